"""Run every bench of collaborative filtering, one after the other, each in a process of its own, beside its peers.

als and bpr stand beside implicit, svd beside scipy's `svds`, nmf beside scikit-learn, ease beside the LAPACK call that
it rests on, neural_cf beside its network in ONNX Runtime as it was exported. What each asks and what its limit is, its
own file says; this one only gathers the lines.

    OPENBLAS_NUM_THREADS=1 python -m bench.cf --json
    python -m bench.cf --only bpr,svd
"""

import json
import subprocess
import sys
from pathlib import Path

from bench.harness import arguments, report

PARTS = ("als", "bpr", "svd", "nmf", "ease", "neural_cf")


def measure(args) -> dict[str, object]:
    """Ask each part; one that fails is told with its last line, and the others go on."""
    found: dict[str, object] = {}
    for part in args.only.split(",") if args.only else PARTS:
        command = [sys.executable, "-m", f"bench.{part}", "--json", "--threads", str(args.threads)]
        done = subprocess.run(  # noqa: S603 - our own benches
            [*command, *(["--small"] if args.small else [])],
            capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1],
        )  # fmt: skip
        if done.returncode:
            found[part] = {"failed": (done.stderr.strip().splitlines() or ["no output"])[-1]}
        else:
            line = json.loads(done.stdout.splitlines()[-1])
            found[part] = {key: value for key, value in line.items() if key not in {"bench", "machine"}}
    return found


def main() -> None:
    args = arguments(__doc__, only="")
    unknown = [part for part in args.only.split(",") if part and part not in PARTS]
    if unknown:
        raise SystemExit(f"no part {', '.join(unknown)}; known: {', '.join(PARTS)}")
    found = measure(args)
    report("cf", args, **found)
    if any(isinstance(answer, dict) and "failed" in answer for answer in found.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
