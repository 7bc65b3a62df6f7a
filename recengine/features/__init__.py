"""Features, each defined once, for training and serving alike."""
