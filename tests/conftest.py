"""Hypothesis profiles, the real data sets, and the closing count of what was skipped for lack of them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bench import data

# `dev` must be fast and repeat itself exactly; `deep` looks for new failures: HYPOTHESIS_PROFILE=deep, or `make slow`.
settings.register_profile(
    "dev", max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

ABSENT = "absent: "
"""How a skip says that something this machine lacks (a data set, torch) was needed; counted in the closing lines."""


@pytest.fixture(scope="session")
def data_path() -> Callable[[str], Path]:
    """`data_path("gowalla/train.parquet")`: the file, or the test is skipped where this machine does not have it."""

    def locate(name: str) -> Path:
        found = data.path(name)
        if found is None:
            pytest.skip(f"{ABSENT}data set {name}")  # its licence forbids a copy here; the closing lines count it
        return found

    return locate


@pytest.fixture(scope="session")
def postgres() -> str:
    """The URI of a PostgreSQL in which tests may make tables; without one the test is skipped and counted."""
    found = os.environ.get("RECENGINE_TEST_POSTGRES")
    if not found:
        pytest.skip(f"{ABSENT}a PostgreSQL (RECENGINE_TEST_POSTGRES)")  # `.ci/run` starts one; `make test` needs none
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many tests did not run because something is absent, and what; and the figures that tests measured."""
    missing: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if ABSENT in reason:
            what = reason.split(ABSENT, 1)[1]
            missing[what] = missing.get(what, 0) + 1
    if missing:
        listed = ", ".join(f"{what} ({count})" for what, count in sorted(missing.items()))
        terminalreporter.write_line(f"skipped for lack of data sets or extras: {sum(missing.values())}: {listed}")
    told = {
        (report.nodeid, value): None
        for status in ("passed", "failed")
        for report in terminalreporter.stats.get(status, [])
        for name, value in report.user_properties
        if name == "figure"
    }
    for where, figures in told:
        terminalreporter.write_line(f"{where.rpartition('::')[2]}: {figures}")
