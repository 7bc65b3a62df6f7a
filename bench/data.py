"""The one door to the real data sets, for tests and benches: `RECENGINE_DATA`, or `../shared/data` beside the checkout.

They are never copied: their licences forbid it.
"""

import os
from pathlib import Path

ROOT = Path(os.environ.get("RECENGINE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def path(name: str) -> Path | None:
    """Locate `name`, such as `gowalla/train.parquet`; None where it is absent."""
    file = ROOT / name
    return file if file.exists() else None


def require(name: str) -> Path:
    """Locate `name` or end the bench with a clear line."""
    file = path(name)
    if file is None:
        raise SystemExit(f"data set {name} is absent under {ROOT}; set RECENGINE_DATA")
    return file
