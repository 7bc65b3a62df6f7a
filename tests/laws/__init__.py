"""The laws that every registered algorithm obeys."""
