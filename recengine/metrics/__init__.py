"""Metrics, pure functions: `ranking` compares lists with what users did next, `beyond` looks at the lists alone."""
