"""The store under a process that is killed, loses power, or is refused by its disk: what it acknowledged is there."""

import random
import shutil
import subprocess
import sys

import pytest

from recengine.store import directory
from recengine.store.database import FILE
from tests.crash.power import power_cut
from tests.crash.shim import SHORT, SYNC, WRITE, Shim
from tests.unit.journaled import Names, made

TOTAL = 60 * 3
KINDS = [(call, directory.JOURNAL) for call in (WRITE, SYNC, SHORT)] + [(call, FILE) for call in (WRITE, SYNC)]
SHOWN = {(*KINDS[0], 7, 0), (*KINDS[1], 2, 1), (*KINDS[2], 5, 0), (*KINDS[3], 3, 1), (*KINDS[4], 2, 0)}
"""What every run tries; the slow one tries all."""


def some(few, all_of_them):
    """A few in every run, the others in the slow one."""
    return [*range(few), *(pytest.param(n, marks=pytest.mark.slow) for n in range(few, all_of_them))]


def run(library, folder, *, call=0, part="", n=0, forever=0, lines=None):
    """Run the child, kill it after `lines` lines of it (None = when it is done); returns what it told, its calls, the shim."""
    if not (folder / "shop").exists():
        made(folder / "shop").close()
    shim = Shim(library, folder / "shop", folder / "aside")
    words = [sys.executable, "-m", "tests.crash.journal_child", folder / "shop", library, call, part, n, forever]
    told, calls = [], 0
    with subprocess.Popen(
        [str(w) for w in words], env=shim.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        for count, line in enumerate(child.stdout):
            kind, *rest = line.split()
            told += rest if kind == "told" else []
            calls = int(rest[0]) if kind == "calls" else calls
            if kind == "done" or count == lines:
                break
        else:
            pytest.fail("the child ended by itself")
        child.kill()
        told += [
            name for line in child.stdout.read().splitlines() if line.startswith("told") for name in line.split()[1:]
        ]
    return told, calls, shim


def there(folder):
    with Names(folder / "shop") as store:
        names = store.names()
    with Names(folder / "shop") as store:
        assert store.names() == names
    assert len(set(names)) == len(names), "nothing counts twice"
    return names


@pytest.mark.parametrize("seed", some(2, 60))
def test_a_killed_process_loses_nothing_that_it_acknowledged(library, tmp_path, seed):
    told, _, _ = run(library, tmp_path, lines=random.Random(seed).randrange(60))
    assert set(told) <= set(there(tmp_path))


@pytest.mark.parametrize("seed", some(2, 100))
def test_a_power_cut_loses_nothing_that_was_acknowledged(library, tmp_path, seed):
    rng = random.Random(seed)
    told, _, shim = run(library, tmp_path, lines=rng.randrange(61))
    power_cut(shim, rng)
    again = there(tmp_path)
    assert set(told) <= set(again)
    more, _, shim = run(library, tmp_path, lines=rng.randrange(61))
    power_cut(shim, rng)
    assert set(told) | set(more) <= set(there(tmp_path))


FAULTS = [
    pytest.param(call, part, n, forever, marks=[] if (call, part, n, forever) in SHOWN else pytest.mark.slow)
    for call, part in KINDS
    for n in (1, 2, 3, 4, 5, 7, 11, 23)
    for forever in ((0,) if call == SHORT else (0, 1))  # a write that is always short is merely slow
]


@pytest.mark.parametrize(("call", "part", "n", "forever"), FAULTS)
def test_a_disk_that_refuses_is_never_acknowledged_and_does_not_stop_the_store(
    library, tmp_path, call, part, n, forever
):
    """The n-th write or sync of the journal or of the database fails, once or until the disk is well again."""
    told, calls, _ = run(library, tmp_path, call=call, part=part, n=n, forever=forever)
    names = there(tmp_path)
    assert set(told) <= set(names)
    assert calls >= n, "the fault was met"
    if part == directory.JOURNAL and call == SYNC and forever:
        assert len(told) <= TOTAL - 3 * (45 - n - 2), "nothing was acknowledged while syncs failed"
    assert len(told) >= 3 * 15, "it went on when the disk did"


def test_the_fault_is_seen_where_nobody_looks_at_it(library, tmp_path):
    """The harness itself: a journal whose syncs fail unseen would have to lose something."""
    told, _, shim = run(library, tmp_path, lines=30)
    for path in (tmp_path / "shop" / directory.JOURNAL).glob("*.seg"):
        shim.durable.pop(path.stat().st_ino, None)
    (shim.aside / "log").write_text("")
    shutil.rmtree(tmp_path / "shop" / directory.SNAPSHOT, ignore_errors=True)
    power_cut(shim, random.Random(1))
    lost = None
    try:
        lost = set(told) - set(there(tmp_path))
    except Exception as err:  # noqa: BLE001 - refused: that is seen, too
        lost = {str(err)}
    assert lost
