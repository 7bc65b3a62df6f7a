"""`python -m recengine`: the same as the `recengine` command."""

import sys

from recengine.cli import main

__all__ = ()

sys.exit(main())
