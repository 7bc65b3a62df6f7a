"""Plain numpy answers, at most 40 lines each, written from the formula: what kernels are held against."""
