"""recengine: a recommendation engine in one process and one folder."""

__all__ = ()
