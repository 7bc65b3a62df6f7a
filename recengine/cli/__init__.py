"""The `recengine` command: `parser` says what can be typed, `commands` do it, `show` prints it.

Only here is the environment read.

Exit codes: 0 done; 1 a request, data or model error; 2 usage or configuration; 3 a defect of recengine; 130
interrupted.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from recengine.cli import show
from recengine.cli.parser import build
from recengine.errors import ConfigError, EngineFault, RecEngineError, StoreFailed

__all__ = ("main",)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = build().parse_args(argv)
    try:
        arguments.run(arguments)
    except BrokenPipeError:  # `recengine ... | head` closed the pipe: nothing is wrong, and nothing can be printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except RecEngineError as err:
        return _failed(err, arguments)
    except OSError as err:  # a full disk, a lost mount: whatever touches files may meet one
        where = f"{err.filename}: " if err.filename else ""
        hint = "check the disk and its permissions"
        return _failed(StoreFailed(f"{where}{err.strerror or err}", hint=hint), arguments)
    except KeyboardInterrupt:
        show.warn("interrupted; what was live stays live")
        return 130
    return 0


def _failed(err: RecEngineError, arguments: argparse.Namespace) -> int:
    if getattr(arguments, "json", False):
        show.document(show.problem(err))
    else:
        show.error(err)
    return 3 if isinstance(err, EngineFault) else 2 if isinstance(err, ConfigError) else 1
