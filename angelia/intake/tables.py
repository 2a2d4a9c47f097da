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
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.engine import Dialect

from angelia.databases import TABLE_OPTIONS

REVISION = 7
"""The form of these tables; a database with a higher number belongs to newer code. A lower one lacks whole
tables, or columns that may be null, which are added on connecting: 2 added batches, steps, sends, codes and
their uses, 3 triggers, 4 changes, 5 addresses, external ids and imports, 6 addresses of messages and what is
known of the device behind an address. 7 took the unique index of keys from SQLite, where runs of keys do its
work, and what is not open from the index of what is due."""
PRIORITIES = ("high", "medium", "low")  # the number in the table is the position here


metadata = MetaData()


def _is_server(*_: Any, dialect: Dialect, **__: Any) -> bool:
    return dialect.name != "sqlite"


schema = Table(
    "intake_schema",
    metadata,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    **TABLE_OPTIONS,
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
    # Open = accepted, and not in a dispatcher's batch; only what is open is looked at when it is due.
    Column("is_open", SmallInteger, nullable=False),
    Column("due_us", BigInteger, nullable=False),
    # On SQLite `intake_key_runs` does its work, at a fifth of the time a message.
    Index("intake_idempotency", "client", "key_hash", unique=True).ddl_if(callable_=_is_server),
    # MariaDB has no index of a part of a table, so there the first column says what is open.
    Index(
        "intake_due_open",
        *("is_open", "priority", "due_us"),
        sqlite_where=text("is_open = 1"),
        postgresql_where=text("is_open = 1"),
    ),
    **TABLE_OPTIONS,
)

# On SQLite: the idempotency keys of a transaction's messages, 8 bytes of each one's hash, then 16 of each id.
key_runs = Table(
    "intake_key_runs",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("packed", LargeBinary, nullable=False),
    sqlite_autoincrement=True,  # no number comes twice, or who has read up to it would miss the second
    **TABLE_OPTIONS,
)

batches = Table(
    "intake_batches",
    metadata,
    Column("id", String(32), primary_key=True),
    # Whoever wrote the holder last has the batch; all others find that their word is not there any more.
    Column("holder", String(32), nullable=False),
    Column("owner", String(1_000), nullable=False),
    Column("lease_us", BigInteger, nullable=False),
    Column("is_open", SmallInteger, nullable=False),
    Column("is_sealed", SmallInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("made_us", BigInteger, nullable=False),
    Column("ds", String(10), nullable=False),
    Column("send_hour", String(13), nullable=False),
    # `client/id` a line: one row read, where an index over all messages would be paid for at each insert.
    Column("members", Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb"), nullable=False),
    Index("intake_batches_due", "is_open", "lease_us"),
    **TABLE_OPTIONS,
)

steps = Table(
    "intake_steps",
    metadata,
    Column("client", String(32), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("step", String(16), primary_key=True),
    Column("channel", String(32), primary_key=True),  # empty where a step is no channel's
    Column("at_us", BigInteger, nullable=False),
    Column("reason", String(200), nullable=False),
    **TABLE_OPTIONS,
)

# What was handed to the worker, or is about to be: caps count these, and receipts find their message here.
sends = Table(
    "intake_sends",
    metadata,
    Column("message_id", String(32), primary_key=True),
    Column("client", String(32), nullable=False),
    Column("id", String(32), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("campaign_id", String(64), nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Index("intake_sends_of", "user_id", "at_us"),
    **TABLE_OPTIONS,
)

# One-time codes: the id is their message's; neither the code nor whom it is for can be read from a row.
codes = Table(
    "intake_codes",
    metadata,
    Column("client", String(32), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("person_hash", String(64), nullable=False),
    Column("code_hash", String(64), nullable=False),
    Column("made_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("attempts_left", SmallInteger, nullable=False),
    Column("verified_us", BigInteger, nullable=False),
    Index("intake_codes_of", "person_hash", "made_us"),
    **TABLE_OPTIONS,
)

# How often codes were asked for, by keyed hashes of person, network and address.
code_uses = Table(
    "intake_code_uses",
    metadata,
    Column("used_by", String(64), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Index("intake_code_uses_at", "used_by", "at_us"),
    **TABLE_OPTIONS,
)

# A row to lock, so that two requests about one person are judged one after the other on servers, too.
code_locks = Table(
    "intake_code_locks", metadata, Column("used_by", String(64), primary_key=True), **TABLE_OPTIONS
)

# Which commit of a leaf of `user_events` was read last.
trigger_reads = Table(
    "intake_trigger_reads",
    metadata,
    Column("leaf", String(64), primary_key=True),
    Column("number", BigInteger, nullable=False),
    **TABLE_OPTIONS,
)

# Events that set a campaign's message off. Stage 1 waits for its moment, 2 has become a message that has not
# left, 0 is over; it is kept with what became of it, so that an event that arrives again is not judged again.
trigger_events = Table(
    "intake_trigger_events",
    metadata,
    Column("campaign_id", String(64), primary_key=True),
    Column("user_id", String(64), primary_key=True),
    Column("event_us", BigInteger, primary_key=True),
    Column("item", String(200), nullable=False),
    Column("due_us", BigInteger, nullable=False),
    Column("stage", SmallInteger, nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("message", String(32), nullable=False),
    Index("intake_trigger_due", "stage", "due_us"),
    Index("intake_trigger_of", "user_id"),
    **TABLE_OPTIONS,
)

# Events that make a message moot: the types that campaigns name as `without`.
trigger_moots = Table(
    "intake_trigger_moots",
    metadata,
    Column("user_id", String(64), primary_key=True),
    Column("event_type", String(64), primary_key=True),
    Column("at_us", BigInteger, primary_key=True),
    Index("intake_trigger_moots_at", "at_us"),
    **TABLE_OPTIONS,
)

# Hours of acceptance with messages that changed since they were exported to the lake: a row a transaction, so
# that no two dispatchers wait for each other.
changes = Table(
    "intake_changes",
    metadata,
    Column("token", String(32), primary_key=True),
    Column("accept_hour", String(13), nullable=False),
    **TABLE_OPTIONS,
)

# Clients' last word on each address of a person. State 1 is theirs, 0 no more, 2 waits for the person's yes.
addresses = Table(
    "intake_addresses",
    metadata,
    Column("user_id", String(64), primary_key=True),
    Column("channel", String(32), primary_key=True),
    # A token may be longer than an index takes, so the key is a hash of its common spelling.
    Column("address_hash", String(64), primary_key=True),
    Column("address", Text, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("said_us", BigInteger, nullable=False),
    Column("is_exported", SmallInteger, nullable=False),
    Column("app_version", String(32)),
    Column("permission", String(16)),
    Index("intake_addresses_new", "is_exported"),
    **TABLE_OPTIONS,
)

external_ids = Table(
    "intake_external_ids",
    metadata,
    Column("namespace", String(64), primary_key=True),
    Column("external_id", String(64), primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("linked_us", BigInteger, nullable=False),
    Index("intake_external_ids_of", "user_id"),
    **TABLE_OPTIONS,
)

# Which commit of a dataset was taken over last.
imports = Table(
    "intake_imports",
    metadata,
    Column("dataset", String(64), primary_key=True),
    Column("ref", String(200), nullable=False),
    **TABLE_OPTIONS,
)

# Where messages go that name an address in place of a person; a row ends when its message leaves, or never
# will.
message_addresses = Table(
    "intake_message_addresses",
    metadata,
    Column("client", String(32), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("channel", String(32), nullable=False),
    Column("address", Text, nullable=False),
    **TABLE_OPTIONS,
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
    **TABLE_OPTIONS,
)
