"""The process that the shim fails: for each fault it is told, a fork opens an engine, records under the fault, and dies.

`python -m tests.crash.embedded LIBRARY ROUNDS.json`, started with the shim loaded. A round names a folder (a data
directory made for it), the call that fails, and a folder aside for the shim's log and for `told.json`: what was
acknowledged, and how the engine did after the fault was over.
"""

import json
import os
import sys
import time
from pathlib import Path

from recengine import Engine
from recengine.errors import RecEngineError
from tests.crash.ledger import Ledger
from tests.crash.shim import Faults

AFTER = 15.0
"""Seconds in which the engine must work again once calls succeed again."""


def one(faults: Faults, plan: dict) -> dict:
    """Record under a fault, then without; never close: the process ends as if it were killed."""
    ledger = Ledger(plan["items"])
    refused: list[str] = []
    engine = Engine.open(plan["folder"])
    try:
        faults.arm(plan["call"], plan["part"], plan["n"], forever=plan["forever"], error=plan["error"])
        for number in range(plan["events"]):
            refused += _record(engine, ledger, ledger.new())
            if number % plan["batch"] == 0:
                refused += _flush(engine)
        seen = faults.disarm()
        end = time.monotonic() + AFTER
        while (error := _record(engine, ledger, ledger.new())) and time.monotonic() < end:
            time.sleep(0.05)
        late = list(error)
        for _ in range(5):
            late += _record(engine, ledger, ledger.new())
    finally:
        faults.disarm()
    return {"seen": seen, "refused": refused, "after": late, "sent": ledger.sent, "acknowledged": sorted(ledger.acknowledged), "complaints": ledger.complaints}


def _flush(engine: Engine) -> list[str]:
    """Let the database follow now, not when its time has come."""
    try:
        engine._feedback.flush()
    except RecEngineError as err:
        return [err.code]
    return []


def _record(engine: Engine, ledger: Ledger, events: list[dict]) -> list[str]:
    """Record; returns the error's code, in a list, where it was refused as an error of ours."""
    try:
        receipt = engine.record(events)
    except RecEngineError as err:
        return [err.code]
    ledger.acknowledge(events, receipt.stored, receipt.duplicates, again=False)
    return []


def main(library: str, rounds: str) -> None:
    faults = Faults(Path(library))
    for plan in json.loads(Path(rounds).read_text()):
        child = os.fork()
        if child == 0:
            aside = Path(plan["aside"])
            faults.watch(Path(plan["folder"]), aside)
            try:
                told = one(faults, plan)
            except BaseException as err:  # noqa: BLE001 - the parent is told, whatever it was
                told = {"died": f"{type(err).__name__}: {err}"}
            (aside / "told.json").write_text(json.dumps(told))
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
