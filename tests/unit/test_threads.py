"""Cores are counted in one place, by what the process may use."""

import ast
import os
from pathlib import Path

import pytest

from recengine.kernels import cores

PACKAGE = Path(__file__).parents[2] / "recengine"


def test_a_wish_is_kept_and_zero_means_the_cores_that_this_process_may_use(monkeypatch):
    assert cores(3) == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5}, raising=False)
    assert cores(0) == cores() == 2


@pytest.mark.parametrize("counted", [6, None])
def test_without_affinity_the_machine_is_counted(monkeypatch, counted):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert cores(0) == (counted or 1)


@pytest.mark.parametrize("room", ["algorithms", "offline", "jobs", "retrieval", "features"])
def test_nobody_else_counts_cores(room):
    for file in (PACKAGE / room).glob("*.py"):
        names = {node.attr for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)}
        assert not names & {"cpu_count", "sched_getaffinity"}, file.name
