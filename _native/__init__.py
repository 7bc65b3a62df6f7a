"""Cython kernels of recengine, one family a file; reached only through `recengine.kernels`."""
