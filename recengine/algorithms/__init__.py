"""Algorithms: one family a file behind the protocols of `base.py`; `registry.py` names them all."""
