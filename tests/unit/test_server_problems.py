"""The table from errors to answers: every error of ours has a status, and nothing that a caller sends is a 500."""

import io
from contextlib import redirect_stderr

import msgspec
import pytest
from litestar.exceptions import InternalServerException, MethodNotAllowedException, NotFoundException

from recengine import errors
from recengine.server.problems import CODES, STATUS, Refused, answer_of, problem_of
from recengine.types import Event

OURS = [getattr(errors, name) for name in errors.__all__]


def problem(error):
    with redirect_stderr(io.StringIO()):
        return problem_of(error, "r1")


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_every_error_answers_with_its_code_and_says_nothing_of_the_inside_where_it_is_ours(kind):
    found, headers = problem(kind("/secret/path: broken", hint="do this"))
    assert found.code == kind.code
    assert found.type.endswith(kind.code)
    assert found.title
    assert found.instance.endswith("r1")
    assert 400 <= found.status < 600
    if found.status == 500:
        assert "secret" not in found.detail
    else:
        assert found.detail == "/secret/path: broken"
        assert found.hint == "do this"
    assert ("retry-after" in headers) == (found.status == 503)


def test_who_must_act_decides_the_hundred():
    for kind in OURS:
        status = problem(kind("x"))[0].status
        if issubclass(kind, errors.RequestError | errors.DataError) and kind is not errors.StoreCorrupt:
            assert status < 500, kind
        if issubclass(kind, errors.EngineFault | errors.ModelError) and kind not in {errors.GateFailed, errors.FullTrainNeeded}:
            assert status >= 500, kind


def test_the_table_has_every_group():
    groups = {errors.RequestError, errors.ConfigError, errors.DataError, errors.ModelError, errors.EngineFault}
    assert groups < set(STATUS)


def test_a_full_disk_asks_to_try_again():
    found, headers = problem(errors.StoreFailed("disk full"))
    assert (found.status, headers) == (503, {"retry-after": "1"})


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"user_id": 1, "item_id": "i"}', "$.user_id"),
        (b'{"user_id": "u", "item_id": "i", "value": 1e300}', "$.value"),
        (b'{"user_id": "u", "item_id": "i", "nope": 1}', "$"),
        (b'{"user_id": "u"}', "$"),
        (b"{", "$"),
        (b"[]", "$"),
    ],
)
def test_what_msgspec_refuses_names_the_place(body, place):
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(body, type=Event)
    found, _ = problem(caught.value)
    assert found.status == 400
    assert found.errors[0].place == place
    assert found.detail.startswith(place)


def test_bytes_that_break_the_decoder_are_the_callers_fault():
    with pytest.raises(UnicodeDecodeError) as invalid:
        msgspec.json.decode(b'{"user_id": "\xff"}', type=Event)
    with pytest.raises(RecursionError) as deep:
        msgspec.json.decode(b'{"order":' + b"[" * 100_000, type=Event)
    for caught in (invalid, deep):
        assert problem(caught.value)[0].status == 400


def test_a_place_in_our_own_message_is_listed():
    found, _ = problem(errors.BadRequest("request: Expected `int` - at `$.n`"))
    assert [(p.place, p.message) for p in found.errors] == [("$.n", "Expected `int`")]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFoundException(), 404, "no-such-route"),
        (MethodNotAllowedException(headers={"allow": "GET"}), 405, "bad-method"),
        (Refused(408, "slow"), 408, "slow-body"),
        (InternalServerException("secret"), 500, "engine-fault"),
        (ZeroDivisionError("secret"), 500, "engine-fault"),
        (MemoryError("secret"), 500, "engine-fault"),
    ],
)
def test_other_errors_answer_too(error, status, code):
    found, headers = problem(error)
    assert (found.status, found.code) == (status, code)
    assert "secret" not in found.detail
    if status == 405:
        assert headers["allow"] == "GET"


def test_codes_are_one_vocabulary():
    """A code of HTTP is no code of an error, but for the one that means the same."""
    ours = {kind.code for kind in OURS}
    assert {code for code, _, _ in CODES.values()} & ours == {"bad-request"}


def test_an_answer_is_valid_asgi():
    with redirect_stderr(io.StringIO()):
        start, body = answer_of(errors.StoreFailed("x"), "r1")
    headers = dict(start["headers"])
    assert headers[b"content-type"] == b"application/problem+json"
    assert int(headers[b"content-length"]) == len(body["body"])
    assert msgspec.json.decode(body["body"])["status"] == start["status"] == 503
