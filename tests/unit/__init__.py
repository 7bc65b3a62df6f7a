"""One file a module or kernel."""
