"""The parts of the server that stand alone: the file of keys, the counts, the lines of the log, the page of the API."""

import io
import json
import logging
import math
import re
import time
from contextlib import redirect_stderr

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from recengine.errors import ConfigInvalid, DirectoryInvalid
from recengine.server import log
from recengine.server.docs import page
from recengine.server.keys import FILE, Keys, create, loopback
from recengine.server.metrics import BUCKETS, Counts, exposition

EVERYWHERE = "0.0.0.0"  # noqa: S104

# ---------------------------------------------------------------------------------------------------- keys


def test_a_key_is_kept_as_a_hash_that_only_its_owner_reads(tmp_path):
    key = create(tmp_path, "for the shop")
    path = tmp_path / FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert re.fullmatch(r"rk_[0-9a-f]{8}_[\w-]{43}", key)
    assert key not in path.read_text()
    assert key[12:] not in path.read_text()
    assert Keys(tmp_path, "on", "127.0.0.1").allow(key.encode())


def test_a_file_that_others_could_read_is_closed(tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / FILE).touch(mode=0o644)
    create(tmp_path)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_revoked_key_is_refused_after_a_look(tmp_path):
    first, second = create(tmp_path), create(tmp_path)
    keys = Keys(tmp_path, "on", "127.0.0.1")
    assert not keys.reload()
    lines = (tmp_path / FILE).read_text().splitlines()
    (tmp_path / FILE).write_text(lines[1] + "\n")
    assert keys.reload()
    assert not keys.allow(first.encode())
    assert keys.allow(second.encode())
    (tmp_path / FILE).unlink()
    assert keys.reload()
    assert keys.needed
    assert not keys.allow(second.encode())


def test_keys_that_are_gone_leave_the_door_closed_until_a_restart(tmp_path):
    keys = Keys(tmp_path, "auto", "127.0.0.1")
    assert not keys.needed
    key = create(tmp_path)
    keys.reload()
    (tmp_path / FILE).unlink()
    keys.reload()
    assert keys.needed
    assert not keys.allow(key.encode())
    assert not Keys(tmp_path, "auto", "127.0.0.1").needed


def test_a_damaged_file_names_its_line_and_keeps_the_keys_in_force(tmp_path):
    key = create(tmp_path)
    keys = Keys(tmp_path, "auto", "127.0.0.1")
    (tmp_path / FILE).write_text("# mine\n\nnonsense\n")
    with pytest.raises(ConfigInvalid, match="line 3"):
        keys.reload()
    assert keys.allow(key.encode())
    with pytest.raises(ConfigInvalid, match="line 3"):
        Keys(tmp_path, "auto", "127.0.0.1")


def test_a_link_is_not_written_through(tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DirectoryInvalid):
        create(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", ["auto", "on", "off"])
@pytest.mark.parametrize("host", ["127.0.0.1", EVERYWHERE])
@pytest.mark.parametrize("some", [False, True])
def test_when_a_key_is_needed(tmp_path, mode, host, some):
    if some:
        create(tmp_path)
    wanted = {"on": True, "off": False, "auto": some or host == EVERYWHERE}
    assert Keys(tmp_path, mode, host).needed == wanted[mode]


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True)]
    + [(h, False) for h in (EVERYWHERE, "::", "10.0.0.1", "example.org", "localhost.example.org", "127.0.0.1.example", "")],
)
def test_loopback_is_what_only_this_machine_reaches(host, alone):
    assert loopback(host) == alone


@given(st.binary(max_size=80))
def test_no_bytes_open_a_door_without_keys(tmp_path_factory, token):
    assert not Keys(tmp_path_factory.getbasetemp(), "on", "127.0.0.1").allow(token)


# ---------------------------------------------------------------------------------------------------- counts


@given(st.lists(st.tuples(st.sampled_from(["/a", "/b"]), st.sampled_from([200, 404]), st.floats(0, 20)), max_size=40))
def test_metrics_are_what_was_counted(answers):
    counts = Counts()
    for route, status, seconds in answers:
        counts.count("GET", route, status, seconds)
    text = exposition(counts, lambda: ())().decode()
    found = {family.name: family for family in text_string_to_metric_families(text)}
    requests = {(s.labels["route"], s.labels["status"]): s.value for s in found["recengine_http_requests"].samples}
    for key in {(route, str(status)) for route, status, _ in answers}:
        assert requests[key] == sum((route, str(status)) == key for route, status, _ in answers)
    samples = found["recengine_http_request_seconds"].samples
    for route in {route for route, _, _ in answers}:
        took = [seconds for r, _, seconds in answers if r == route]
        bucket = {s.labels["le"]: s.value for s in samples if s.name.endswith("_bucket") and s.labels["route"] == route}
        for bound in BUCKETS:
            assert bucket[str(bound)] == sum(seconds <= bound for seconds in took)
        assert bucket["+Inf"] == len(took)
        (total,) = [s.value for s in samples if s.name.endswith("_sum") and s.labels["route"] == route]
        assert math.isclose(total, sum(took), abs_tol=1e-9)


def test_counting_costs_less_than_two_microseconds():
    counts = Counts()
    best = math.inf
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(1000):
            counts.count("GET", "/v1/users/{user_id}/recommendations", 200, 0.0007)
        best = min(best, (time.perf_counter() - start) / 1000)
    assert best < 2e-6


# ---------------------------------------------------------------------------------------------------- log


def written(*args, **fields):
    out = io.StringIO()
    with redirect_stderr(out):
        log.line(*args, **fields)
    return out.getvalue()


@given(st.text(max_size=50))
def test_whatever_a_caller_sends_stays_one_line_of_json(text):
    line = written("info", "request", path=text)
    assert line.count("\n") == 1
    assert json.loads(line)["path"] == text


def test_half_a_surrogate_and_a_long_value_are_written_too():
    assert json.loads(written("info", "x", path="\ud800"))["path"]
    assert len(written("info", "x", path="a" * 100_000)) < 3_000


def test_records_of_logging_have_the_same_form():
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError as err:
        record = logging.LogRecord("recengine.x", logging.ERROR, "", 1, "a %s\nb", ("c",), (type(err), err, None))
    line = log.Lines().format(record)
    assert "\n" not in line
    assert json.loads(line) | {"time": 0, "trace": 0} == {
        "time": 0,
        "level": "error",
        "event": "a c\nb",
        "logger": "recengine.x",
        "trace": 0,
    }


# ---------------------------------------------------------------------------------------------------- the page


def test_the_page_escapes_what_the_schema_says_and_loads_nothing():
    bad = "<script>alert(1)</script>"
    schema = {
        "info": {"title": bad, "version": bad, "description": bad},
        "paths": {
            bad: {
                "get": {
                    "description": bad,
                    "parameters": [{"name": bad, "in": "query", "schema": {"type": bad}, "description": bad}],
                    "requestBody": {"content": {"application/json": {"schema": {"$ref": f"#/x/{bad}"}}}},
                    "responses": {"200": {"description": bad, "content": {"x": {"schema": {"oneOf": [{"type": bad}]}}}}},
                }
            }
        },
        "components": {"schemas": {bad: {"description": bad, "properties": {bad: {"items": {"type": bad}}}}}},
    }
    html = page(schema).decode()
    assert "<script" not in html
    assert "://" not in html
    assert html.count("&lt;script&gt;") >= 12
