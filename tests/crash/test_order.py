"""No acknowledgement leaves the process before the frame that it speaks of is on the disk."""

from tests.crash.clients import Clients
from tests.crash.server import Server
from tests.crash.shim import Shim


def test_every_acknowledged_event_was_synced_before_its_reply_left(shop, ledger, library, figure):
    shim = Shim(library, shop, shop.parent / "shim", mark=ledger.prefix)
    with Server(shop, environment=shim.environment) as server:
        server.start()
        Clients(ledger, server.port, count=4).until(300)
        server.stop()
    acknowledged, early = judged(shim.lines(), ledger)
    figure(replies=acknowledged, before_their_sync=len(early))
    assert acknowledged >= 200
    assert early == []


def test_the_judge_sees_a_reply_that_left_too_early(ledger):
    event = ledger.new()[0]["event_id"]
    arrives, written, synced, left = ["recv", "7", event], ["write", "9", event], ["sync", "9", "64", "j"], ["send", "7", "201"]
    assert judged([arrives, written, synced, left], ledger) == (1, [])
    assert judged([arrives, written, left, synced], ledger) == (1, [event])
    assert judged([arrives, left], ledger) == (1, [event])
    assert judged([arrives, written, ["sync", "8", "64", "other"], left], ledger) == (1, [event])


def judged(lines, ledger):
    """Follow the log: how many events were acknowledged, and which of them before a sync of the file they went to."""
    asked, unsynced, synced, early, count = {}, {}, set(), [], 0
    for kind, *fields in lines:
        match kind, fields:
            case "recv", [wire, event] if event in ledger.sent:
                asked.setdefault(wire, set()).add(event)
            case "write", [inode, event] if event in ledger.sent:
                unsynced.setdefault(inode, set()).add(event)
            case "sync", [inode, *_]:
                synced |= unsynced.pop(inode, set())
            case "send", [wire, status]:
                events = asked.pop(wire, set())
                if status.startswith("20"):
                    count += len(events)
                    early += sorted(events - synced)
    return count, early
