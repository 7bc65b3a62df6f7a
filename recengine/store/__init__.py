"""The one home of everything kept: DuckDB, vocabularies, versions, decisions, and the door to foreign files.

Floor 2. `duckdb` is imported nowhere else. Outside this package the database is seen as Arrow tables, numpy columns and
`types`.
"""
