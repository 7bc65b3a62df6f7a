"""The online spine: `recommender.py` says it aloud, then one file a stage.

`state.py` is the fold over what happened.
"""
