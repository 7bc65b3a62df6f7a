"""SQL of recengine: one query a file; the folder is the module that calls it."""
