"""What both spines ask of a deployment: candidates, scores, a blend.

Because both call these, both see the same thing.
"""
