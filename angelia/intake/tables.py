"""Tables of the intake database, the same on SQLite, PostgreSQL and MariaDB.

Instants are microseconds since 1970 in UTC, 0 = never, so that no database converts a time zone. A message's
id begins with its millisecond of acceptance: the primary key (client, id) is also the order of acceptance.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

REVISION = 1
"""The form of these tables; a database with a higher number belongs to newer code."""
PRIORITIES = ("high", "medium", "low")  # the number in the table is the position here

_MYSQL: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}

metadata = MetaData()

schema = Table(
    "intake_schema", metadata, Column("revision", Integer, primary_key=True, autoincrement=False), **_MYSQL
)

messages = Table(
    "intake_messages",
    metadata,
    Column("client", String(32), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("campaign_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("class", String(16), nullable=False),
    Column("channels", String(200), nullable=False),
    Column("variables", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("send_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("accepted_us", BigInteger, nullable=False),
    Column("key_hash", String(64)),
    Column("body_hash", String(64), nullable=False),
    Column("status", String(12), nullable=False),
    Column("status_us", BigInteger, nullable=False),
    Column("claimed_us", BigInteger, nullable=False),
    Column("claimed_by", String(64), nullable=False),
    # Open = accepted or claimed. A claim moves due_us to its own end: when it lapses, it is due again.
    Column("is_open", SmallInteger, nullable=False),
    Column("due_us", BigInteger, nullable=False),
    UniqueConstraint("client", "key_hash", name="intake_idempotency"),
    Index("intake_due", "is_open", "priority", "due_us"),
    **_MYSQL,
)

keys = Table(
    "intake_keys",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("client", String(32), nullable=False),
    Column("secret_hash", String(64), nullable=False),
    Column("scopes", String(100), nullable=False),
    Column("per_second", Integer, nullable=False),
    Column("made_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger, nullable=False),
    **_MYSQL,
)
