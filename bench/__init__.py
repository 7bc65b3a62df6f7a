"""Benchmarks: one question a file, the peer beside it in the same run. `python -m bench.NAME --json`."""
