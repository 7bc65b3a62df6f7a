"""The offline spine: `cycle.py` reads it aloud, then one file a stage."""
