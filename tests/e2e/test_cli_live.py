"""The commands of an open shop, as typed: serve, record, forget."""

import io
import json
import os
import pty
import signal
import subprocess
import sys

import pytest

from recengine.client import Client
from recengine.engine import Engine
from tests.serving import Served, free_port


def lines(*events):
    return "".join(f"{event if isinstance(event, str) else json.dumps(event)}\n" for event in events)


def test_one_event_is_recorded_and_felt(run, shop):
    first = json.loads(run("recommend", shop, "u2", "--json")[1])
    item = first["items"][0]["item_id"]
    words = ("record", shop, "--user", "u2", "--item", item, "--type", "click", "--event-id", "e1", "--request-id", first["request_id"], "--json")
    assert json.loads(run(*words)[1]) == {"stored": 1, "duplicates": 0}
    assert json.loads(run(*words)[1]) == {"stored": 0, "duplicates": 1}
    assert item not in [line["item_id"] for line in json.loads(run("recommend", shop, "u2", "--json")[1])["items"]]


def test_a_file_is_recorded_in_batches(run, shop, tmp_path):
    events = [{"user_id": f"u{k % 120}", "item_id": f"i{k % 80}", "type": "view", "event_id": str(k)} for k in range(2500)]
    file = tmp_path / "events.jsonl"
    file.write_text(lines(*events[:1200], "", *events[1200:]).rstrip("\n"))  # no newline at the end, an empty line between
    assert json.loads(run("record", shop, "--file", file, "--json")[1]) == {"stored": 2500, "duplicates": 0}
    assert json.loads(run("record", shop, "--file", file, "--json")[1]) == {"stored": 0, "duplicates": 2500}


def test_a_bad_line_is_named_with_what_is_stored(run, shop, tmp_path):
    good = [{"user_id": "u1", "item_id": "i1", "event_id": str(k)} for k in range(1500)]
    file = tmp_path / "events.jsonl"
    file.write_text(lines(*good[:1400], {"user_id": "u1"}, *good[1400:]))
    code, _, err = run("record", shop, "--file", file)
    assert (code, "line 1401" in err, "item_id" in err, "lines 1 to 1000 are stored" in err) == (1, True, True, True), err
    file.write_text(lines(*good))
    assert json.loads(run("record", shop, "--file", file, "--json")[1]) == {"stored": 500, "duplicates": 1000}


def test_standard_input_is_recorded(run, shop, monkeypatch):
    text = lines({"user_id": "u1", "item_id": "i1"}, {"user_id": "u1", "item_id": "i2", "order": "2026-01-01T00:00:00Z"})
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert json.loads(run("record", shop, "--file", "-", "--json")[1]) == {"stored": 2, "duplicates": 0}


def test_a_user_is_forgotten(run, shop):
    assert json.loads(run("forget", shop, "u2", "--json")[1]) == {"user_id": "u2", "forgotten": True}
    assert json.loads(run("forget", shop, "u2", "--json")[1]) == {"user_id": "u2", "forgotten": False}
    with Engine.open(shop) as engine:
        assert "u2" not in engine.users()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("record",), 2, "--url"),
        (("record", "{shop}"), 2, "--user and --item"),
        (("record", "{shop}", "--url", "http://127.0.0.1:1", "--user", "u1", "--item", "i1"), 2, "--url"),
        (("record", "{shop}", "--user", "u1", "--file", "-"), 2, "--file"),
        (("record", "{shop}", "--file", "{tmp}/none.jsonl"), 1, "none.jsonl"),
        (("record", "{shop}", "--user", "u1", "--item", "i1", "--value", "nan"), 1, "value"),
        (("record", "--url", "nonsense", "--user", "u1", "--item", "i1"), 2, "http://"),
        (("serve", "{tmp}/nowhere"), 2, "does not exist"),
        (("serve", "{shop}", "--port", "70000"), 2, "65535"),
        (("serve", "{shop}", "--host", "192.0.2.1"), 2, "192.0.2.1"),
        (("forget", "{tmp}/nowhere", "u1"), 2, "does not exist"),
    ],
)
def test_mistakes_are_named_with_an_exit_code(run, shop, tmp_path, words, code, says):
    got, _, err = run(*(word.format(tmp=tmp_path, shop=shop) for word in words))
    assert (got, says in err) == (code, True), err


def test_a_served_shop_is_told_through_its_server_and_says_so(run, shop):
    with Served(shop) as served:
        url = f"http://127.0.0.1:{served.port}"
        code, _, err = run("record", shop, "--user", "u1", "--item", "i1")
        assert (code, "--url" in err) == (2, True), err
        assert json.loads(run("record", "--url", url, "--user", "u1", "--item", "i1", "--json")[1]) == {"stored": 1, "duplicates": 0}
        code, _, err = run("serve", shop, "--port", served.port)
        assert (code, "cannot listen" in err) == (2, True), err
        code, _, err = run("forget", shop, "u1")
        assert (code, "DELETE" in err) == (2, True), err


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_serve_says_where_keeps_its_key_in_a_file_and_ends_well(shop, tmp_path, stop):
    file, port = tmp_path / "key", free_port()
    words = [sys.executable, "-m", "recengine", "serve", str(shop), "--host", "localhost", "--port", str(port), "--key-file", str(file), "--json"]
    for _ in range(2):  # the second start finds the key
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            about = json.loads(process.stdout.readline())
            assert (about["url"], about["key"], about["keys_needed"]) == (f"http://localhost:{port}", None, True)
            assert file.stat().st_mode & 0o777 == 0o600
            with Client(about["url"], file.read_text().strip(), retries=0) as client:
                assert client.recommend("u1", 3).items
            process.send_signal(stop)
            out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, ""), err
        assert "Traceback" not in err


EVERYWHERE = ("--host", "0.0.0.0")  # noqa: S104


def test_a_key_that_no_terminal_shows_is_in_a_file_and_not_in_the_output(shop):
    port = free_port()
    words = [sys.executable, "-m", "recengine", "serve", str(shop), *EVERYWHERE, "--port", str(port), "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        about = json.loads(line)
        file = shop / "keys/first_key"
        assert (about["key"], about["key_file"], about["keys_needed"]) == (None, str(file), True)
        key = file.read_text().strip()
        assert file.stat().st_mode & 0o777 == 0o600
        assert key not in line
        with Client(f"http://127.0.0.1:{port}", key, retries=0) as client:
            assert client.recommend("u1", 3).items
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, key in out + err) == (0, False)


def test_a_key_for_the_terminal_is_not_lost_when_the_opening_fails(shop):
    """A terminal: the key would be shown when the server answers, which it never does here."""
    words = [sys.executable, "-m", "recengine", "serve", str(shop), *EVERYWHERE, "--port", str(free_port())]
    ours, theirs = pty.openpty()
    with Engine.open(shop):  # so that the worker cannot
        code = subprocess.run(words, stdout=theirs, stderr=subprocess.PIPE, timeout=60, check=False).returncode
    os.close(theirs)
    os.close(ours)
    assert code == 2
    assert (shop / "keys/api_keys").read_text() == "", "the next start makes a key and shows it"
    assert not (shop / "keys/first_key").exists()
