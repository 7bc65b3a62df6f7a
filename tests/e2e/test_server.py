"""The server as a process: what a socket can do to it, and what signals and crashes leave."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from recengine import Engine
from recengine.server.keys import FILE, create
from tests.serving import ROOT, Served, answer, free_port

EVERYWHERE = "0.0.0.0"  # noqa: S104


@pytest.fixture(scope="module")
def served(_trained, tmp_path_factory):
    folder = shutil.copytree(_trained, tmp_path_factory.mktemp("served") / "shop")
    with Served(folder, body_timeout=1.0, header_timeout=1.0) as server:
        yield server


def event(k, user="u1"):
    return {"user_id": user, "item_id": f"i{k % 60}", "type": "click", "event_id": f"{user}-{k}"}


def head(method="POST", target="/v1/events", **fields):
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Content-Type: application/json"]
    return ("\r\n".join([*lines, *(f"{k.replace('_', '-')}: {v}" for k, v in fields.items())]) + "\r\n\r\n").encode()


def test_it_says_where_it_is_and_answers(served):
    assert served.about == {"url": f"http://127.0.0.1:{served.port}", "docs": f"http://127.0.0.1:{served.port}/docs", "key": None, "keys_needed": False}
    assert served.ask("/health/ready")[0] == 200
    status, reply = served.ask("/v1/users/u1/recommendations?n=4")
    assert (status, len(reply["items"])) == (200, 4)


def test_a_click_changes_the_next_answer(served):
    _, reply = served.ask("/v1/users/u8/recommendations?n=5")
    first = reply["items"][0]["item_id"]
    assert served.ask("/v1/events", "POST", {"user_id": "u8", "item_id": first, "type": "purchase"})[0] == 201
    _, reply = served.ask("/v1/users/u8/recommendations?n=5")
    assert first not in [item["item_id"] for item in reply["items"]]


BODY = b'{"user_id": "raw", "item_id": "i1"}'


@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        (head(Content_Length=len(BODY) + 50) + BODY, {408, 0}),  # promises more than it sends
        (head(Content_Length=10) + BODY, {400}),  # promises less
        (head(Content_Length=99_999_999) + b"{", {413}),
        (head(Content_Length="9" * 400), {400, 413, 0}),
        (head(Content_Length=-5) + BODY, {400, 0}),
        (head(Content_Length="5, 6") + BODY, {400, 0}),
        (head(Content_Length=5, Transfer_Encoding="chunked") + b"0\r\n\r\n", {400, 0}),
        (head(Transfer_Encoding="chunked") + b"fffffff\r\n" + b" " * 1000, {408, 413, 0}),
        (head(Transfer_Encoding="chunked") + b"zz\r\n", {400, 408, 0}),
        (head(Transfer_Encoding="chunked") + b"100000\r\n" + b" " * 0x100000 + b"\r\n100000\r\n" + b" " * 0x100000, {413, 0}),
        (head(Transfer_Encoding="chunked"), {408, 0}),
        (head(Transfer_Encoding="gzip, chunked") + b"0\r\n\r\n", {400, 0, 501}),
        (b"GET /v1/users/\xff\xfe/recommendations HTTP/1.1\r\nHost: x\r\n\r\n", {400, 0}),
        (b"GET /v1/users/\x00/recommendations HTTP/1.1\r\nHost: x\r\n\r\n", {400, 0}),
        (b"GET /v1/users/" + b"u" * 600_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {400, 414, 431, 0}),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"x: y\r\n" * 5000 + b"\r\n", {400, 431, 0}),
        (b"GET / HTTP/9.9\r\n\r\n", {400, 505, 0}),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", {400, 0}),  # TLS
        (b"\r\n\r\n\r\n", {400, 0}),
        (b"NONSENSE\r\n\r\n", {400, 0}),
        (head("CONNECT", "evil.example:443"), {400, 404, 405, 0}),
        (b"GET http://evil.example/v1/items/popular?n=0 HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404, 0}),
    ],
    ids=range(22),
)
def test_lying_and_broken_requests_are_refused_or_cut_and_store_nothing(served, raw, statuses):
    status, body = served.say(raw)
    assert status in statuses, body[:300]
    if status in {408, 413}:
        assert json.loads(body)["code"] in {"slow-body", "body-too-large"}
    assert served.ask("/v1/users/raw")[0] == 404
    assert served.ask("/health/live")[0] == 200


def test_slow_and_dead_callers_hold_nobody(served):
    """100 that send nothing, half a head, half a body, or never read: others are answered, and the slow are cut."""
    slow = []
    for k in range(100):
        sock = served.connect()
        sock.sendall((b"", b"GET /v1/users/u", head(Content_Length=50) + b"{", b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20)[k % 4])
        slow.append(sock)
    times = []
    for k in range(50):
        start = time.perf_counter()
        assert served.ask(f"/v1/users/u{k}/recommendations?n=3")[0] == 200
        times.append(time.perf_counter() - start)
    assert sorted(times)[25] < 0.2
    end = time.monotonic() + 10
    cut = [sock for k, sock in enumerate(slow) if k % 4 != 3]
    for sock in cut:
        sock.settimeout(max(0.1, end - time.monotonic()))
        while sock.recv(65_536):
            pass
    for sock in slow:
        sock.close()


def test_many_callers_at_once_store_every_event_once(served):
    before = counter(served, "recengine_events_stored_total")
    failures = []

    def tell(name):
        with served.connect() as sock:
            for k in range(40):
                body = json.dumps(event(k, name)).encode()
                sock.sendall(head(Content_Length=len(body)) + body)
                status, got = answer(sock)
                if (status, json.loads(got)) != (201, {"stored": 1, "duplicates": 0}):
                    failures.append((status, got))

    threads = [threading.Thread(target=tell, args=(f"many{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert counter(served, "recengine_events_stored_total") == before + 320


def test_a_full_disk_is_said_and_passes(served):
    """No file of the worker may grow for a while: no event is acknowledged, reads go on, and it recovers by itself."""
    worker = served.worker()
    before = resource.prlimit(worker, resource.RLIMIT_FSIZE)
    stored = counter(served, "recengine_events_stored_total")
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        for k in range(5):
            status, problem = served.ask("/v1/events", "POST", event(k, "full"))
            assert (status, problem["code"]) == (503, "store-failed")
        status, problem = served.ask("/health/ready")
        assert (status, [place["place"] for place in problem["errors"]]) == (503, ["journal"])
        assert served.ask("/v1/items/full", "PUT", {})[0] == 503
        assert served.ask("/v1/users/u1/recommendations?n=3")[0] == 200
        assert counter(served, "recengine_events_stored_total") == stored
    finally:
        resource.prlimit(worker, resource.RLIMIT_FSIZE, before)
    end = time.monotonic() + 10
    while served.ask("/v1/events", "POST", [event(k, "full") for k in range(5)])[0] != 201 and time.monotonic() < end:
        time.sleep(0.05)
    assert served.ask("/v1/events", "POST", [event(k, "full") for k in range(5)]) == (201, {"stored": 0, "duplicates": 5})
    assert counter(served, "recengine_events_stored_total") == stored + 5
    while served.ask("/health/ready")[0] != 200 and time.monotonic() < end + 10:
        time.sleep(0.1)
    assert served.ask("/health/ready")[0] == 200


def counter(served, name):
    status, body = served.say(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert status == 200
    (line,) = [line for line in body.decode().splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


def test_a_stop_finishes_what_runs_closes_the_store_and_exits_with_zero(shop):
    with Served(shop) as server, server.connect() as sock:
        body = json.dumps({"requests": [{"user_id": f"u{k % 100}", "n": 20} for k in range(1000)]}).encode()
        sock.sendall(head(target="/v1/recommendations/batch", Content_Length=len(body)) + body)
        time.sleep(0.1)
        began = time.monotonic()
        stopping = threading.Thread(target=lambda: server.process.send_signal(signal.SIGTERM))
        stopping.start()
        status, got = answer(sock)
        assert status == 200
        assert len(json.loads(got)["responses"]) == 1000
        assert server.process.wait(30) == 0
        assert time.monotonic() - began < 10
        assert not server.listening()
    assert server.log.read_text() == ""
    with Engine.open(shop) as engine:  # the store is free, and its journal empty of what was not stored
        assert engine.replayed == 0


def test_a_worker_that_is_killed_is_started_again_and_none_outlives_its_parent(shop):
    with Served(shop) as server:
        first = server.worker()
        for k in range(20):
            assert server.ask("/v1/events", "POST", event(k, "survivor"))[0] == 201
        os.kill(first, signal.SIGKILL)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                if server.ask("/health/ready")[0] == 200 and server.worker() != first:
                    break
            except OSError:
                time.sleep(0.05)
        status, got = server.ask("/v1/events", "POST", [event(k, "survivor") for k in range(20)])
        assert (status, got) == (201, {"stored": 0, "duplicates": 20})
        second = Path(f"/proc/{server.worker()}")
        server.process.kill()
        end = time.monotonic() + 5
        while second.exists() and time.monotonic() < end:
            time.sleep(0.01)
        assert not second.exists()
    with Engine.open(shop):
        pass


def test_a_terminal_that_closes_stops_the_server_as_it_should(shop):
    with Served(shop) as server:
        assert server.ask("/v1/events", "POST", event(1, "hung-up"))[0] == 201
        server.process.send_signal(signal.SIGHUP)
        assert server.process.wait(30) == 0
    with Engine.open(shop) as engine:
        assert engine.replayed == 0, "closed, not cut off"


def started(folder):
    """Start a server that is expected to fail; returns its exit code and what it said."""
    command = [sys.executable, "-m", "tests.serving", folder]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return ran.returncode, ran.stderr


def test_a_taken_port_and_a_held_store_are_said_at_once(served):
    code, said = started(served.folder)
    assert (code, said.partition(":")[0]) == (2, "config-invalid")
    assert f"127.0.0.1:{served.port}" in said
    config = served.folder / "recengine.toml"
    kept = config.read_text()
    config.write_text(kept.replace(str(served.port), str(free_port())))
    code, said = started(served.folder)
    config.write_text(kept)
    assert code == 2
    assert "store-locked: " in said


def test_a_folder_that_is_no_data_directory_is_left_alone(tmp_path):
    (tmp_path / "recengine.toml").write_text(f'[server]\nhost = "{EVERYWHERE}"\n')
    (tmp_path / "letter.txt").write_text("dear")
    code, said = started(tmp_path)
    assert (code, said.partition(":")[0]) == (2, "directory-invalid")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["letter.txt", "recengine.toml"]


def test_on_every_address_a_key_is_made_shown_once_and_needed(shop):
    with Served(shop, host=EVERYWHERE) as server:
        key = server.about["key"]
        assert server.about["keys_needed"]
        assert key.startswith("rk_")
        assert server.ask("/health/ready")[0] == 200
        for target in ("/v1/items/popular", "/metrics", "/docs", "/openapi.json"):
            assert server.ask(target)[0] == 401
        given = [("Authorization", f"Bearer {key}")]
        assert server.ask("/v1/items/popular", headers=given)[0] == 200
        second = create(shop)
        (shop / FILE).write_text((shop / FILE).read_text().splitlines()[-1] + "\n")
        end = time.monotonic() + 5
        while server.ask("/v1/items/popular", headers=given)[0] != 401 and time.monotonic() < end:
            time.sleep(0.05)
        assert server.ask("/v1/items/popular", headers=given)[0] == 401
        assert server.ask("/v1/items/popular", headers=[("X-API-Key", second)])[0] == 200
        assert server.stop() == 0
    assert key not in server.log.read_text()


def test_a_promoted_deployment_is_followed_and_a_damaged_one_is_not(shop):
    with Engine.open(shop) as engine:
        old = engine.artifacts.current()
        engine.train(force=True)
        new, artifacts = engine.artifacts.current(), engine.artifacts
    with Served(shop) as server:
        assert server.ask("/v1/users/u1/recommendations")[1]["version"] == new
        artifacts.promote(old)
        assert followed(server, old)
        artifacts.promote(new)
        assert followed(server, new)
        victim = next((artifacts.folder / old).rglob("*.npy"))
        victim.write_bytes(victim.read_bytes()[:-1] + b"\xff")
        pointer = artifacts.folder / "current"
        pointer.write_text(f"{old}\n{new}\n")
        time.sleep(2.5)
        assert server.ask("/v1/users/u1/recommendations")[1]["version"] == new
        assert server.ask("/health/ready")[0] == 200
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert [line.get("code") for line in lines if line["event"] == "deployment" and line["level"] == "error"] == ["bad-artifact"]


def followed(server, version):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if server.ask("/v1/users/u1/recommendations")[1]["version"] == version:
            return True
        time.sleep(0.05)
    return False


def test_a_shop_without_a_deployment_is_served_and_says_that_it_is_not_ready(tmp_path):
    folder = tmp_path / "empty"
    with Engine.open(folder, create=True):
        pass
    (folder / "recengine.toml").write_text("")
    with Served(folder) as server:
        status, problem = server.ask("/health/ready")
        assert status == 503
        assert [place["place"] for place in problem["errors"]] == ["deployment"]
        assert server.ask("/health/live")[0] == 200
        status, problem = server.ask("/v1/users/u1/recommendations")
        assert (status, problem["code"]) == (503, "not-trained")
        assert server.ask("/v1/events", "POST", event(1))[0] == 201
        assert server.ask("/v1/items/i1", "PUT", {"attributes": {"title": "A"}})[0] == 200


def test_a_connection_is_kept_for_many_requests(served):
    with served.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(50):
            sock.sendall(b"GET /v1/users/u5/recommendations?n=2 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answer(sock)[0] == 200
