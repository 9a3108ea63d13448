"""Copies of a PostgreSQL database, studies included, by `COPY` in one snapshot; `pg_dump` need not be installed."""

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, Table, create_mock_engine, event, text
from sqlalchemy.orm import Session
from sqlalchemy.sql.ddl import CreateSchema, DropSchema

from service.store import files, studies
from service.store.migrate import VERSION_TABLE, upgrade
from service.store.session import Store
from service.store.tables import Base
from service.upkeep import fencing

TABLES = "tables.json"
"""What there is to copy: statements that make the studies' tables; schema, name and columns of each table, in order."""


def save(store: Store, folder: Path) -> dict[str, str | None]:
    """Copies every table as it is at one moment; returns the artifacts that the copy names."""
    snapshot = store.engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with snapshot as connection, connection.begin():
        with Session(connection) as session:
            named = files.all_named(session)
        tables, statements = _reflected(connection), list[str]()
        tables = [table for table in tables if table.name != VERSION_TABLE]
        for schema in studies.schemas(connection):
            of_study = _reflected(connection, schema)
            statements += [str(CreateSchema(schema).compile(connection)), *_statements(of_study, connection)]
            tables += of_study
        described = [(table.schema, table.name, [column.name for column in table.columns]) for table in tables]
        for number, table in enumerate(described):
            _save_table(connection, _copying(connection, *table), folder / f"{number}.copy")
    (folder / TABLES).write_text(json.dumps({"statements": statements, "tables": described}, indent=1))
    return named


def load(store: Store, folder: Path, schema: str) -> None:
    """Replaces every table and study in one transaction, in which attempts are fenced off; then migrates them."""
    described = json.loads((folder / TABLES).read_text())
    _drop(store)
    upgrade(store.engine, schema)
    with store.engine.begin() as connection:
        # A worker that lives on waits here, and finds its attempt to be past.
        tables = ", ".join(_quoted(connection, None, name) for of, name, _ in described["tables"] if of is None)
        for statement in (f"TRUNCATE {tables}", *described["statements"]):
            connection.exec_driver_sql(statement)
        for number, (of, name, columns) in enumerate(described["tables"]):
            _load_table(connection, _copying(connection, of, name, columns), folder / f"{number}.copy")
            _set_counters(connection, of, name, columns)
        fencing.raise_attempts(connection)
    upgrade(store.engine)


def _drop(store: Store) -> None:
    with store.engine.begin() as connection:
        for schema in studies.schemas(connection):
            connection.execute(DropSchema(schema, cascade=True))
        Base.metadata.drop_all(connection)
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {VERSION_TABLE}")


def _reflected(connection: Connection, schema: str | None = None) -> list[Table]:
    """The schema's tables as the database has them, those that others refer to first."""
    metadata = MetaData()
    event.listen(metadata, "column_reflect", _number_automatically)
    metadata.reflect(connection, schema=schema)
    return list(metadata.sorted_tables)


def _number_automatically(_: object, __: object, column: Any) -> None:
    """A column that a sequence fills is made with a sequence of its own again."""
    if str(column.get("default") or "").startswith("nextval("):
        column |= {"default": None, "autoincrement": True}


def _statements(tables: list[Table], connection: Connection) -> list[str]:
    """What makes these tables, their types and their indexes."""
    statements: list[str] = []
    recorder = create_mock_engine(
        connection.engine.url, lambda element, *_, **__: statements.append(str(element.compile(connection)))
    )
    if tables:
        tables[0].metadata.create_all(recorder, checkfirst=False)
    return statements


def _copying(connection: Connection, schema: str | None, name: str, columns: list[str]) -> str:
    quote = connection.dialect.identifier_preparer.quote
    return f"COPY {_quoted(connection, schema, name)} ({', '.join(map(quote, columns))})"


def _quoted(connection: Connection, schema: str | None, name: str) -> str:
    quote = connection.dialect.identifier_preparer.quote
    return quote(name) if schema is None else f"{quote(schema)}.{quote(name)}"


def _save_table(connection: Connection, copying: str, path: Path) -> None:
    cursor: Any = connection.connection.cursor()
    with cursor, path.open("wb") as file, cursor.copy(f"{copying} TO STDOUT (FORMAT binary)") as rows:
        file.writelines(rows)


def _load_table(connection: Connection, copying: str, path: Path) -> None:
    cursor: Any = connection.connection.cursor()
    with cursor, path.open("rb") as file, cursor.copy(f"{copying} FROM STDIN (FORMAT binary)") as rows:
        while data := file.read(2**20):
            rows.write(data)


def _set_counters(connection: Connection, schema: str | None, name: str, columns: list[str]) -> None:
    """Sequences go on behind the rows that were loaded."""
    table = _quoted(connection, schema, name)
    quote = connection.dialect.identifier_preparer.quote
    for column in columns:
        sequence = text("SELECT pg_get_serial_sequence(:table, :column)")
        found = connection.execute(sequence, {"table": table, "column": column}).scalar()
        if found is not None:
            last = text(f"SELECT setval(:sequence, coalesce(max({quote(column)}), 0) + 1, false) FROM {table}")
            connection.execute(last, {"sequence": found})
