"""Errors are grouped by who must act, and every one has a code that never changes."""

import ast
import builtins
import re

import pytest

from recengine import errors
from tests.house.source import shipped
from tests.house.test_rules import plant

GROUPS = (errors.RequestError, errors.ConfigError, errors.DataError, errors.ModelError, errors.EngineFault)


def below(error):
    return [error, *(e for child in error.__subclasses__() for e in below(child))]


OURS = [error for error in below(errors.RecEngineError) if error.__module__.startswith("recengine")]


@pytest.mark.parametrize("error", OURS, ids=lambda error: error.__name__)
def test_an_error_has_its_own_kebab_code(error):
    assert "code" in vars(error), "a code that is inherited names two errors"
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", error.code)
    assert [other for other in OURS if other.code == error.code] == [error]


@pytest.mark.parametrize("error", OURS, ids=lambda error: error.__name__)
def test_an_error_says_what_it_means_and_stands_in_errors(error):
    assert error.__module__ == "recengine.errors"
    assert error.__name__ in errors.__all__
    assert "__doc__" in vars(error)
    assert error.__doc__


def test_every_error_belongs_to_one_group():
    for error in OURS:
        if error is not errors.RecEngineError:
            assert sum(issubclass(error, group) for group in GROUPS) == 1, error
    assert all(group in OURS for group in GROUPS)


def test_a_hint_follows_the_message():
    assert str(errors.BadRequest("n: expected >= 1, got 0", hint="ask for one")) == "n: expected >= 1, got 0 (ask for one)"
    assert str(errors.BadRequest("n: expected >= 1, got 0")) == "n: expected >= 1, got 0"


def plainly_raised(modules):
    """Find the builtin exceptions that a module raises itself; a caller cannot look them up by code."""
    plain = {name for name, thing in vars(builtins).items() if isinstance(thing, type) and issubclass(thing, Exception)}
    plain -= {"StopIteration", "AttributeError"}  # protocols of Python
    for module in modules:
        for node in ast.walk(module.tree):
            raised = node.exc if isinstance(node, ast.Raise) else None
            name = ast.unparse(raised.func if isinstance(raised, ast.Call) else raised) if raised else ""
            if name in plain:
                yield f"{module.where}:{node.lineno}: {name}"


def test_the_package_raises_its_own_errors():
    """`config` is left out: msgspec turns the ValueError of a `__post_init__` into ConfigInvalid with the place."""
    assert list(plainly_raised(m for m in shipped() if m.room != "config")) == []


def test_a_planted_builtin_is_seen(tmp_path):
    plant(tmp_path, {"recengine/a.py": "def f():\n    raise ValueError('x')\n", "recengine/b.py": "raise\n"})
    assert list(plainly_raised(shipped(tmp_path))) == ["recengine/a.py:2: ValueError"]
