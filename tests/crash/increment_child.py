"""The process that dies in the middle of an increment: for each round a fork makes one, and kills itself at a file.

`python -m tests.crash.increment_child ROUNDS.json`. A round names a folder (a data directory with new events) and at
which touch of its artifacts (opening, making, renaming) the kernel ends it; -1 = at none, and how many there were is
written to `touched.json` beside the folder.
"""

import json
import os
import signal
import sys
from pathlib import Path

from recengine import Engine

TOUCHES = {"open", "os.mkdir", "os.rename", "os.remove", "shutil.rmtree"}


def one(folder: Path, at: int) -> None:
    """Make an increment; die at the touch with number `at`."""
    seen = 0

    def heard(event: str, args: tuple[object, ...]) -> None:
        nonlocal seen
        if armed and event in TOUCHES and any("/artifacts/" in str(arg) for arg in args):
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

    armed = False
    sys.addaudithook(heard)
    engine = Engine.open(folder)
    armed = True
    engine.train(incremental=True, threads=1)
    (folder.parent / "touched.json").write_text(json.dumps(seen))


def main(rounds: str) -> None:
    for folder, at in json.loads(Path(rounds).read_text()):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                one(Path(folder), at)
                status = 0
            finally:
                os._exit(status)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1])
