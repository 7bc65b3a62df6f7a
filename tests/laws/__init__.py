"""The laws that every registered algorithm obeys.

A law takes `make` (returns an unfitted model) and training data, and raises AssertionError. To hold a new algorithm
against them, register it; to hold one from elsewhere, call the functions of `LAWS` in `lists.py` (its answers),
`learning.py` (fitting, saving, memory) and `likeness.py` (the optional protocols).
"""
