"""The one place where SQL is put together: names of foreign columns and files come in, quoted; values never do.

Everything that can be written down is a file in `sql/`; what stands here depends on columns that only the data knows.
"""

from collections.abc import Mapping, Sequence

__all__ = (
    "add_attribute",
    "append_versions",
    "append_whole_versions",
    "attach",
    "attribute_fault",
    "attribute_value",
    "copy_database",
    "count_of",
    "describe",
    "describe_fields",
    "detach",
    "drop",
    "field",
    "fill_versions",
    "has_table",
    "id_text",
    "literal",
    "order_extent",
    "order_ranges",
    "parsed_number",
    "quarantine",
    "quoted",
    "read_versions",
    "rejects",
    "select",
    "source_view",
    "stage_versions",
    "survey_attributes",
    "table_digest",
    "text_number",
    "text_time",
    "text_types",
    "trimmed_text",
    "versions_in_force",
    "whole_number",
)


def quoted(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a string, for the statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def source_view(reader: str, path: str, options: Mapping[str, str]) -> str:
    """Let `part` be a view of the file at `path`; `options` are SQL literals."""
    settings = "".join(f", {name} = {value}" for name, value in options.items())
    return f"CREATE OR REPLACE TEMP VIEW part AS SELECT * FROM {reader}({literal(path)}{settings})"


def text_types(names: Mapping[str, str]) -> str:
    """Write {column: type} as the struct literal that readers take."""
    return "{" + ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in names.items()) + "}"


def describe(relation: str) -> str:
    """Ask for the columns of a relation."""
    return f"DESCRIBE SELECT * FROM {quoted(relation)}"


def count_of(query: str) -> str:
    """Count the rows of a query made here."""
    return f"SELECT count(*) FROM ({query})"


def has_table(name: str) -> str:
    """Ask whether a table exists."""
    return f"SELECT count(*) > 0 FROM duckdb_tables() WHERE table_name = {literal(name)}"


def drop(relation: str) -> str:
    """Drop a table where it exists."""
    return f"DROP TABLE IF EXISTS {quoted(relation)}"


def select(columns: Mapping[str, str], relation: str) -> str:
    """Select expressions under aliases: {alias: expression}."""
    listed = ", ".join(f"{expression} AS {quoted(alias)}" for alias, expression in columns.items())
    return f"SELECT {listed} FROM {quoted(relation)}"


def id_text(column: str, family: str) -> str:
    """Read an id: integers as they are, whole floats as integers (a gap makes a frame's 7 a 7.0), the rest as text."""
    name = quoted(column)
    if family == "integer":
        return name
    if family == "float":
        return f"CASE WHEN {name} = trunc({name}) AND abs({name}) < 9007199254740992 THEN CAST({name} AS BIGINT) END"
    return f"CAST({name} AS VARCHAR)"


def trimmed_text(column: str) -> str:
    """Read a text where the empty one means none."""
    return f"nullif(trim(CAST({quoted(column)} AS VARCHAR)), '')"


def text_number(column: str, family: str) -> str:
    """Read a number; NaN where a text is none, NULL where there is nothing."""
    name = quoted(column)
    if family == "text":
        return f"CASE WHEN trim({name}) <> '' THEN coalesce(TRY_CAST({name} AS DOUBLE), CAST('NaN' AS DOUBLE)) END"
    return f"CAST({name} AS DOUBLE)"


def parsed_number(column: str) -> str:
    """Read a text as a number where it is one; NULL else."""
    return f"TRY_CAST({quoted(column)} AS DOUBLE)"


def whole_number(column: str, kind: str) -> str:
    """Read an integer of any width as a BIGINT; NULL where it does not fit."""
    return quoted(column) if kind == "BIGINT" else f"TRY_CAST({quoted(column)} AS BIGINT)"


def text_time(column: str, family: str) -> str:
    """Read a moment as microseconds; NULL where it is none."""
    name = quoted(column)
    moment = f"TRY_CAST({name} AS TIMESTAMPTZ)" if family == "text" else f"CAST({name} AS TIMESTAMPTZ)"
    return f"CASE WHEN isfinite({moment}) THEN epoch_us({moment}) END"


def order_extent(number: str | None, moment: str | None, relation: str) -> str:
    """Survey an order column: rows, numbers, moments; smallest and largest number, first and last moment.

    What cannot be there is None and not asked for: Parquet footers alone may answer the rest, ten times as fast.
    """
    numbers = ("count(n)", "min(n), max(n)") if number else ("0", "NULL, NULL")
    moments = ("count(t)", "min(t), max(t)") if moment else ("0", "NULL, NULL")
    read = ", ".join(f"{what} AS {name}" for name, what in (("n", number), ("t", moment)) if what) or "1"
    counts = f"SELECT count(*), {numbers[0]}, {moments[0]}, {numbers[1]}, {moments[1]}"
    return f"{counts} FROM (SELECT {read} FROM {quoted(relation)})"


def order_ranges(number: str, ranges: Sequence[tuple[float, float]], relation: str) -> str:
    """Count the numbers of an order column in each range."""
    counts = ", ".join(f"count(*) FILTER (n BETWEEN {low!r} AND {high!r})" for low, high in ranges)
    return f"SELECT {counts} FROM (SELECT {number} AS n FROM {quoted(relation)})"


def quarantine(source: str, relation: str, path: str, *, rejected: bool) -> str:
    """Copy the rows that `bad_rows(_row, _reason)` lists, and lines that were no rows at all, to a Parquet file."""
    rows = (
        f"SELECT {literal(source)} AS _source, b._row, b._reason, r.* EXCLUDE (_row) FROM bad_rows b "
        f"JOIN (SELECT row_number() OVER () AS _row, * FROM {quoted(relation)}) r USING (_row)"
    )
    if rejected:
        rows += f" UNION ALL BY NAME SELECT {literal(source)} AS _source, _line, _reason, _text FROM ({rejects()})"
    return f"COPY ({rows} ORDER BY _row) TO {literal(path)} (FORMAT parquet)"


def rejects() -> str:
    """List the lines that the CSV reader could not split."""
    return (
        "SELECT line AS _line, any_value(error_message) AS _reason, any_value(csv_line) AS _text "
        "FROM reject_errors GROUP BY line"
    )


# ----------------------------------------------------------------------------------------- attributes and versions

STORED = {
    "bool": "BOOLEAN",
    "number": "DOUBLE",
    "string": "VARCHAR",
    "strings": "VARCHAR[]",
    "text": "VARCHAR",
    "timestamp": "BIGINT",
}
"""The DuckDB type of an attribute's column, by kind; a vector is FLOAT[length]."""


def _stored(kind: str, size: int) -> str:
    return f"FLOAT[{size}]" if kind == "vector" else STORED[kind]


def describe_fields(column: str, relation: str) -> str:
    """Ask for the fields of a struct column."""
    return f"DESCRIBE SELECT unnest({quoted(column)}) FROM {quoted(relation)}"


def field(column: str, name: str) -> str:
    """Read one field of a struct column."""
    return f"{quoted(column)}.{quoted(name)}"


def attribute_value(value: str, kind: str, family: str, separator: str | None = None) -> str:
    """Read the SQL expression `value` as an attribute of `kind`; NULL = missing."""
    if kind == "bool":
        return f"CAST({value} AS BOOLEAN)"
    if kind == "number":
        return f"nullif(CAST({value} AS DOUBLE), CAST('NaN' AS DOUBLE))"
    if kind == "timestamp":
        return f"CASE WHEN isfinite(CAST({value} AS TIMESTAMPTZ)) THEN epoch_us(CAST({value} AS TIMESTAMPTZ)) END"
    if kind == "strings":
        if separator is not None and family == "text":
            parts = f"list_transform(string_split({value}, {literal(separator)}), lambda x: trim(x))"
        else:
            parts = f"CAST({value} AS VARCHAR[])"
        return f"list_filter({parts}, lambda x: x <> '')"
    if kind == "vector":
        return f"CAST({value} AS FLOAT[])"
    return f"nullif(CAST({value} AS VARCHAR), '')"


def attribute_fault(values: Mapping[str, tuple[str, str]]) -> str:
    """Name the first attribute of a row that may not be kept, {name: (kind, stored value)}; NULL where all may."""
    cases = []
    for name, (kind, value) in values.items():
        if kind == "number":
            cases.append(f"WHEN isinf({value}) THEN {literal(f'attribute {name} is infinite')}")
        if kind == "vector":
            broken = f"len(list_filter({value}, lambda x: x IS NULL OR NOT isfinite(x))) > 0"
            cases.append(f"WHEN {broken} THEN {literal(f'attribute {name} has an entry that is not a finite number')}")
    return f"CASE {' '.join(cases)} END" if cases else "CAST(NULL AS VARCHAR)"


def survey_attributes(texts: Mapping[str, str], vectors: Mapping[str, str], relation: str) -> str:
    """Measure {name: expression}: rows, average characters and distinct texts; shortest and longest vectors."""
    measures = [f"count({e}), coalesce(avg(length({e})), 0), approx_count_distinct({e})" for e in texts.values()]
    measures += [f"coalesce(min(len({e})), 0), coalesce(max(len({e})), 0)" for e in vectors.values()]
    return f"SELECT {', '.join(measures)} FROM {quoted(relation)}"


def add_attribute(owner: str, position: int, kind: str, size: int) -> str:
    """Give the versions of `owner` (item | user) a column for one more attribute."""
    return f"ALTER TABLE {owner}_versions ADD COLUMN a{position} {_stored(kind, size)}"


def stage_versions(attributes: Mapping[int, tuple[str, int]]) -> str:
    """Make the temporary table of versions to be compared, {position: (kind, size)}."""
    columns = "".join(f", a{position} {_stored(kind, size)}" for position, (kind, size) in attributes.items())
    fixed = 'seq BIGINT, "row" INTEGER, valid_from BIGINT, available BOOLEAN'
    return f"CREATE OR REPLACE TEMP TABLE staged_versions ({fixed}{columns})"


def fill_versions(positions: Sequence[int]) -> str:
    """Add a batch to the temporary versions."""
    columns = "".join(f", a{p}" for p in positions)
    return f'INSERT INTO staged_versions SELECT seq, "row", valid_from, available{columns} FROM version_batch'


def append_versions(owner: str, told: Sequence[int], silent: Sequence[int]) -> str:
    """Append the temporary versions that differ from the version before them.

    `told` are the attributes that the source has; those it is `silent` about keep their value. Parameters: $now, the
    moment from which a later version without a date is valid; $ever, the moment of a first one.
    """
    mine = "".join(f", o.a{p}" for p in told) + "".join(f", b.a{p}" for p in silent)
    base = "".join(f", b.a{p} AS b{p}" for p in told)
    lags = "".join(f", lag(a{p}) OVER w AS l{p}" for p in told)
    kept = "".join(f", a{p}" for p in (*told, *silent))
    from_lag = " OR ".join(["available <> lag_available", *(f"a{p} IS DISTINCT FROM l{p}" for p in told)])
    from_base = " OR ".join(
        ["base_from IS NULL", "available <> base_available", *(f"a{p} IS DISTINCT FROM b{p}" for p in told)]
    )
    return f"""
        INSERT INTO {owner}_versions (seq, "row", valid_from, available{kept})
        WITH placed AS ( -- every temporary version with the moment from which it is valid
            SELECT s.* REPLACE (
                coalesce(
                    s.valid_from,
                    CASE WHEN s."row" IN (SELECT "row" FROM {owner}_versions) THEN $now::BIGINT ELSE $ever::BIGINT END
                ) AS valid_from
            )
            FROM staged_versions s
        ),
        once AS ( -- of those valid from one moment, the last that was given
            SELECT * FROM placed
            QUALIFY row_number() OVER (PARTITION BY "row", valid_from ORDER BY seq DESC) = 1
        ),
        stored AS (
            SELECT * FROM {owner}_versions
            QUALIFY row_number() OVER (PARTITION BY "row", valid_from ORDER BY seq DESC) = 1
        ),
        based AS ( -- each (o) beside the stored one in force then (b), which tells what it is silent about
            SELECT
                o.seq, o."row", o.valid_from, coalesce(o.available, b.available, true) AS available,
                b.valid_from AS base_from, b.available AS base_available{mine}{base}
            FROM once o
            ASOF LEFT JOIN stored b ON o."row" = b."row" AND o.valid_from >= b.valid_from
        ),
        compared AS ( -- and the one before it among the temporary ones
            SELECT *, lag(valid_from) OVER w AS lag_from, lag(available) OVER w AS lag_available{lags}
            FROM based
            WINDOW w AS (PARTITION BY "row" ORDER BY valid_from)
        )
        SELECT seq, "row", valid_from, available{kept}
        FROM compared
        WHERE CASE -- the later of the two is the version before it; kept is what differs from that
            WHEN lag_from IS NOT NULL AND (base_from IS NULL OR lag_from >= base_from) THEN {from_lag}
            ELSE {from_base}
        END
    """


def read_versions(owner: str, positions: Sequence[int]) -> str:
    """Read the version of every item or user valid at $as_of (NULL = the latest), since when, and since the first."""
    columns = "".join(f", a{p}" for p in positions)
    return f"""
        SELECT "row", available, valid_from AS held, min(valid_from) OVER (PARTITION BY "row") AS since{columns}
        FROM {owner}_versions WHERE $as_of::BIGINT IS NULL OR valid_from <= $as_of::BIGINT
        QUALIFY row_number() OVER (PARTITION BY "row" ORDER BY valid_from DESC, seq DESC) = 1
        ORDER BY "row"
    """


def versions_in_force(owner: str, positions: Sequence[int]) -> str:
    """Read the version valid at each (row, moment) of the frame wanted_versions; nothing where there is none."""
    columns = "".join(f", v.a{p}" for p in positions)
    return f"""
        SELECT DISTINCT w."row", v.valid_from, v.available{columns}
        FROM wanted_versions w
        ASOF JOIN (
            SELECT * FROM {owner}_versions WHERE "row" IN (SELECT "row" FROM wanted_versions)
            QUALIFY row_number() OVER (PARTITION BY "row", valid_from ORDER BY seq DESC) = 1
        ) v ON w."row" = v."row" AND w.moment >= v.valid_from
        ORDER BY w."row", v.valid_from
    """


def append_whole_versions(owner: str, positions: Sequence[int]) -> str:
    """Append the frame version_batch; attributes whose columns it lacks are missing."""
    columns = "".join(f", a{p}" for p in positions)
    return (
        f'INSERT INTO {owner}_versions (seq, "row", valid_from, available{columns}) '
        f'SELECT seq, "row", valid_from, available{columns} FROM version_batch'
    )


# -------------------------------------------------------------------------------------------------------- backups


def attach(path: str, name: str) -> str:
    """Attach the database file at `path` under `name`."""
    return f"ATTACH {literal(path)} AS {quoted(name)}"


def detach(name: str) -> str:
    """Let an attached database go; its file is whole then."""
    return f"DETACH {quoted(name)}"


def copy_database(source: str, target: str) -> str:
    """Copy all tables of one attached database into another."""
    return f"COPY FROM DATABASE {quoted(source)} TO {quoted(target)}"


def table_digest(catalog: str, table: str) -> str:
    """Count the rows of a table and hash its content, whatever the order of the rows."""
    return f"SELECT count(*), coalesce(bit_xor(hash(t)), 0)::VARCHAR FROM {quoted(catalog)}.{quoted(table)} AS t"
