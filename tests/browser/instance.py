"""The seeded instance as tests see it."""
import pathlib

import psycopg

from harness.postgres import Postgres


class Instance:
    def __init__(self, folder: pathlib.Path, server: Postgres | None = None):
        self.folder = folder
        self.server = server or Postgres.again(folder / "pg")

    def dsn(self, user: str = "postgres") -> str:
        return self.server.dsn("hirundo", user)

    def connect(self, user: str = "postgres") -> psycopg.Connection:
        return self.server.connect("hirundo", user)

    def query(self, sql: str, parameters=None) -> list[tuple]:
        return self.server.query(sql, parameters)
