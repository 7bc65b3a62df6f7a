"""What the types of PostgreSQL and SQLite become, as columns and as watermarks."""


import pytest

from recengine.errors import BadColumn
from tests.e2e.shelves import Lite, counts, opened


def test_the_types_of_postgres_become_what_they_mean(pg, tmp_path):
    pg.run("CREATE TYPE mood AS ENUM ('good', 'bad')")
    pg.run(
        """CREATE TABLE every (id bigint, n numeric, cents numeric(10, 2), whole numeric(12), at timestamptz, local timestamp,
        day date, flag boolean, tags text[], sizes int[], doc jsonb, code uuid, feels mood, padded char(6), r real)"""
    )
    pg.run(
        """INSERT INTO every VALUES
        (7, 1.5, 2.25, 12345678901, '2025-01-01 02:00+02', '2025-01-01 05:00', '2025-02-01', true, '{a,b}', '{1,2}', '{"a": 1}',
        '0f8fad5b-d9cb-469f-a165-70867728950e', 'good', 'ab', 1.5),
        (8, 'NaN', NULL, NULL, 'infinity', '-infinity', 'infinity', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"""
    )
    with opened(tmp_path, {"uri": pg.uri, "table": "every", "columns": {"item": "id"}}) as engine:
        assert counts(engine.pull("shelf")) == [(2, 2, 0)]
        assert engine.item("8").attributes == {}
        found = engine.item("7").attributes
        moments = {name: found.pop(name) for name in ("at", "local", "day")}
        assert {name: str(said)[:16].replace(" ", "T") for name, said in moments.items()} == {
            "at": "2025-01-01T00:00",
            "local": "2025-01-01T05:00",
            "day": "2025-02-01T00:00",
        }
        assert found == {
            "n": 1.5,
            "cents": 2.25,
            "whole": 12345678901.0,
            "flag": True,
            "tags": ["a", "b"],
            "sizes": ["1", "2"],
            "doc": '{"a": 1}',
            "code": "0f8fad5b-d9cb-469f-a165-70867728950e",
            "feels": "good",
            "padded": "ab",
            "r": 1.5,
        }
        pg.run("ALTER TABLE every ADD COLUMN raw bytea")
        with pytest.raises(BadColumn, match="'raw' is bytea, of which nothing can be made"):
            engine.pull("shelf")


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date", "numeric(12, 3)", "double precision", "text", "int"])
def test_a_watermark_may_have_any_type_that_grows(pg, tmp_path, kind):
    values = {"text": ("a", "b", "c"), "int": (1, 2, 3), "numeric(12, 3)": (0.1, 0.25, 1.125), "double precision": (0.1, 0.3, 1e300)}
    one, two, three = values.get(kind, ("2025-01-01", "2025-01-02", "2025-01-03"))
    pg.run(f"CREATE TABLE p (id text, changed {kind})", f"INSERT INTO p VALUES ('a', '{one}'), ('b', '{two}')")
    if kind.startswith(("timestamp", "double")):
        pg.run(f"INSERT INTO p VALUES ('never', '{'NaN' if 'double' in kind else 'infinity'}')")
    with opened(tmp_path, {"uri": pg.uri, "table": "p", "columns": {"item": "id"}, "watermark": "changed"}) as engine:
        first = engine.pull("shelf").sources[0].rows
        pg.run(f"INSERT INTO p VALUES ('c', '{three}')")
        assert engine.pull("shelf").sources[0].rows == first, "all but a: the mark, what stands above, what has no end"


def test_a_sqlite_column_has_the_type_that_takes_all_its_values(tmp_path):
    lite = Lite(tmp_path)
    empty = ", ".join(f"('{k}', NULL, {k}, {k}, NULL)" for k in range(2000))
    lite.run("CREATE TABLE t (id, late, mixed, number, void)", f"INSERT INTO t VALUES {empty}, (2000, 'word', 'text', 1.5, NULL)")
    with opened(tmp_path, {"uri": lite.uri, "table": "t"}) as engine:
        assert counts(engine.pull("shelf")) == [(2001, 2001, 0)]
        assert engine.item("2000").attributes == {"late": "word", "mixed": "text", "number": 1.5}
        assert engine.item("7").attributes == {"mixed": "7", "number": 7.0}
