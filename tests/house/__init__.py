"""The rules of the house, each one a test over the source."""
