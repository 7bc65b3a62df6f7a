"""Where configured sources stand in the tests: a SQLite file, or a schema in a real PostgreSQL."""

import sqlite3
from contextlib import closing
from uuid import uuid4

import adbc_driver_postgresql.dbapi

from recengine import Engine, config

START = 1_760_000_000
PRODUCTS = "CREATE TABLE products (sku VARCHAR(20), price NUMERIC(10, 2), brand TEXT, changed BIGINT)"


class Lite:
    """A SQLite file."""

    def __init__(self, folder):
        self.path = folder / "shelf.db"
        self.uri = f"sqlite:///{self.path}"

    def run(self, *statements):
        with closing(sqlite3.connect(self.path)) as opened, opened:
            for statement in statements:
                opened.execute(statement)


class Postgres:
    """A schema of its own in the PostgreSQL of the tests."""

    def __init__(self, uri):
        self.schema = f"t{uuid4().hex[:12]}"
        self.admin = uri
        self.run(f"CREATE SCHEMA {self.schema}")
        self.uri = f"{uri}?options=-csearch_path%3D{self.schema}"

    def run(self, *statements):
        rows = []
        with adbc_driver_postgresql.dbapi.connect(self.admin, autocommit=True) as opened, opened.cursor() as cursor:
            cursor.execute(f"SET search_path = {self.schema}")
            for statement in statements:
                cursor.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
        return rows


def opened(tmp_path, *sources, environment=None):
    tree = config.Config(source=tuple(config.Source(**{"name": "shelf", "into": "items", **s}) for s in sources))
    return Engine.open(tmp_path / "shop", config=tree, create=True, environment=environment)


def counts(report):
    return [(s.rows, s.stored, s.duplicates) for s in report.sources]
