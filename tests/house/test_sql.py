"""SQL: one statement a file, three header lines that tell the truth, asked for by some module, and bound by DuckDB itself."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from recengine.store import migrations
from tests.house.source import ROOT, shipped
from tests.house.test_rules import plant

FILES = sorted((ROOT / "sql").rglob("*.sql"))
HEADER = re.compile(r"-- what: (?P<what>\S.*)\n-- params: (?P<params>\S.*)\n-- rows: (?P<rows>\S.*)\n(?P<statement>[^-\s][\s\S]*)")
FRAMES = {"event_batch": "SELECT * FROM events LEFT JOIN event_ids USING (seq)", "decision_batch": "SELECT * FROM decisions", "consent_batch": "SELECT * FROM consents"}
"""Arrow batches that a query reads by name, where their columns are those of a table."""
AS_OF = re.compile(r"\bFROM\s+events\b")
NEEDS_NO_MOMENT = {"event_span", "find_machines", "count_orphans"}
"""They count what is stored, or screen what comes in; nothing learns from them."""


def parsed(path):
    found = HEADER.fullmatch(path.read_text(encoding="utf-8"))
    assert found, "needs `-- what:`, `-- params:`, `-- rows:` as its first three lines, then the statement"
    return found


def parameters(text):
    code = re.sub(r"--[^\n]*|'[^']*'", "", text)
    return set(re.findall(r"\$(\w+)", code))


def opened():
    """A database with the empty schema, the staged tables, and the frames."""
    connection = duckdb.connect()
    for step in migrations.STEPS:
        for name in step:
            connection.execute(parsed(ROOT / "sql" / "store" / f"{name}.sql")["statement"])
    for path in FILES:
        if path.stem.startswith("stage_"):
            connection.execute(parsed(path)["statement"])
    for name, columns in FRAMES.items():
        connection.execute(f"CREATE TEMP TABLE {name} AS {columns}")
    return connection


def bind(path):
    """Let DuckDB bind the statement on the empty schema; returns the names of its columns."""
    header, connection = parsed(path), opened()
    for name, columns in re.findall(r"table (\w+)\(([^)]*)\)", header["params"]):
        connection.execute(f"CREATE TEMP TABLE {name} AS SELECT " + ", ".join(f'NULL AS "{c.strip()}"' for c in columns.split(",")))
    given = dict.fromkeys(sorted(parameters(header["params"])))
    statement = header["statement"]
    assert len(connection.extract_statements(statement)) == 1, "one statement a file"
    kind = statement.split()[0].upper()
    if kind in {"SELECT", "WITH", "FROM"}:
        return [column[0] for column in connection.execute(statement, given).description]
    if kind in {"INSERT", "UPDATE", "DELETE"}:
        connection.execute(f"EXPLAIN {statement}", given)
        return ["count"]
    connection.execute(re.sub(r"\bCREATE TABLE\b(?! IF)", "CREATE OR REPLACE TABLE", statement), dict.fromkeys(given, "/nowhere/"))
    return []


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_query_binds_and_returns_what_its_header_says(path):
    rows = parsed(path)["rows"].partition(";")[0]
    returned = bind(path)
    told = [] if rows == "none" else [column.strip() for column in rows.split(",")]
    assert told == returned or (told == [] and returned == ["count"])


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_query_declares_the_parameters_it_uses(path):
    header = parsed(path)
    assert parameters(header["params"]) == parameters(header["statement"])
    assert (header["params"] == "none") == (not parameters(header["params"]) and "table " not in header["params"])
    assert "?" not in re.sub(r"--[^\n]*|'[^']*'", "", header["statement"]), "parameters have names"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_query_that_reads_events_says_up_to_when(path):
    """Whatever training may read is cut at `$as_of`, so that nothing later leaks in."""
    statement = parsed(path)["statement"]
    reads = statement.startswith(("SELECT", "WITH"))  # an INSERT compares with what is stored
    if reads and AS_OF.search(statement) and path.stem not in NEEDS_NO_MOMENT:
        assert "as_of" in parameters(statement)


def asked(modules) -> Iterator[re.Pattern]:
    """What the calls of `query(...)` may name: `f"store/count_{x}_ids"` -> store/count_\\w+_ids."""
    for module in modules:
        constants = {n.value for n in ast.walk(module.tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        for node in ast.walk(module.tree):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "query" and node.args):
                continue
            for name in ast.walk(node.args[0]):
                if isinstance(name, ast.JoinedStr):
                    pattern = "".join(re.escape(str(p.value)) if isinstance(p, ast.Constant) else r"\w+" for p in name.values)
                    folder = pattern.removesuffix(r"/\w+")
                    named = [pattern] if folder == pattern else [f"{folder}/{re.escape(c)}" for c in constants]
                    yield from (re.compile(p) for p in named)
                elif isinstance(name, ast.Constant) and "/" in str(name.value):
                    yield re.compile(re.escape(name.value))


def unused(files: list[Path], modules) -> list[str]:
    names = [f"{path.parent.name}/{path.stem}" for path in files]
    patterns = list(asked(modules))
    return [name for name in names if not any(p.fullmatch(name) for p in patterns)]


def test_every_query_is_asked_for_by_the_module_of_its_folder():
    assert unused(FILES, [m for m in shipped() if m.room in {p.parent.name for p in FILES}]) == []


def test_every_query_that_is_asked_for_exists():
    names = {f"{path.parent.name}/{path.stem}" for path in FILES}
    package = shipped()
    exact = [p.pattern.replace("\\", "") for p in asked(package) if r"\w" not in p.pattern]
    asked_for = {name for name in exact if re.fullmatch(r"[a-z_]+/[a-z_]+", name)}
    steps = {f"store/{name}" for step in migrations.STEPS for name in step}
    literal = {n for n in asked_for if any(f'"{n}"' in m.text for m in package)}
    assert literal | steps <= names
    assert len(literal) > 10


def test_planted_faults_are_seen(tmp_path):
    head = "-- what: x\n-- params: none\n-- rows: none\n"
    plant(tmp_path, {"sql/store/a.sql": "-- what: x\nSELECT 1", "sql/store/b.sql": head + "SELECT no_such FROM events"})
    plant(tmp_path, {"sql/store/c.sql": head + "SELECT 1; SELECT 2", "recengine/store/a.py": 'query("store/b")\nquery(f"store/d_{x}")'})
    a, b, c = sorted(tmp_path.rglob("*.sql"))
    with pytest.raises(AssertionError, match="first three lines"):
        parsed(a)
    with pytest.raises(duckdb.BinderException):
        bind(b)
    with pytest.raises(AssertionError, match="one statement"):
        bind(c)
    assert parameters("SELECT $a, '$b' -- $c") == {"a"}
    assert unused([b, c, tmp_path / "sql/store/d_x.sql"], shipped(tmp_path)) == ["store/c"]
