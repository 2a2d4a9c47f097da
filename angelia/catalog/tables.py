"""Tables of the catalog store, the same on SQLite, PostgreSQL and MariaDB.

Keys are short strings, instants ISO text, bodies canonical JSON text. `catalog_documents` holds the newest
state (body NULL = removed; the version counts on, so a version never names two texts), `catalog_versions`
every state so far, `catalog_audit` who did what when, stops and resumes included.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects.mysql import MEDIUMTEXT

from angelia.databases import TABLE_OPTIONS

REVISION = "0002"
"""Revision this code works on: the newest in `migrations/versions` (a test compares)."""
VERSION_TABLE = "catalog_schema"  # our own name: other tools that use alembic may share the database

_LONG = Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")

metadata = MetaData()

documents = Table(
    "catalog_documents",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("body", _LONG, nullable=True),
    Column("actor", String(200), nullable=False),
    Column("at_ts", String(32), nullable=False),
    **TABLE_OPTIONS,
)

versions = Table(
    "catalog_versions",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("body", _LONG, nullable=True),
    Column("actor", String(200), nullable=False),
    Column("at_ts", String(32), nullable=False),
    Column("action", String(16), nullable=False),
    Column("changed", _LONG, nullable=False),
    **TABLE_OPTIONS,
)

audit = Table(
    "catalog_audit",
    metadata,
    Column("entry", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at_ts", String(32), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("action", String(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("id", String(64), nullable=False),
    Column("version", Integer, nullable=True),
    Column("detail", _LONG, nullable=True),
    **TABLE_OPTIONS,
)
