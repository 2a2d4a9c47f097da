"""Addresses that clients registered for people, beside those of the sources.

Reads and writes the log `registered_addresses`, reads the newest `user_endpoints`. Grain: person x channel x
address. Of a source's snapshot and a client's word the later one holds. Surprise: a word may say that an
address is no longer the person's; what a provider called gone is in `suppressions`, and no word here opens
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts import arrow, dataset
from angelia.contracts.core import LOG
from angelia.contracts.devices.endpoints import DENIED
from angelia.contracts.ids import STRANGER
from angelia.contracts.sending import Micros
from angelia.lake import Commit, Lake
from angelia.lake.expire import REPLACES
from angelia.lake.lake import MAIN
from angelia.users.addresses import ascii_forms, same_address
from angelia.users.one_person import rows_of_user

REGISTERED = "registered_addresses"
COLUMNS = dataset(REGISTERED).names
_KEY = ["user_id", "channel", "address"]
KEPT_DAYS = 30  # as user_endpoints is kept: a night that is planned anew needs no older word
MANY_COMMITS = 100  # each is an object that every reader opens; an export an hour makes so many in four days
_SAID = [name for name in COLUMNS if name not in _KEY]


def last_words(lake: Lake, *, until: datetime | None = None, users: pa.Array | None = None) -> pa.Table:
    """Return the last word on each address.

    Of two words at one instant the one that ends the address is the last.

    Args:
        until: words of this instant and later ones do not count.
        users: whose addresses; None = everybody's.
    """
    log = lake.read_log(REGISTERED)
    if until is not None:
        log = log.filter(pc.less(log["registered_ts"], pa.scalar(until, log["registered_ts"].type)))
    if users is not None:
        log = log.filter(pc.is_in(log["user_id"], users))
    if log.num_rows < 2:
        return log.select(COLUMNS)
    ordered = log.sort_by([("registered_ts", "ascending"), ("is_active", "descending")])
    # One thread, since `last` means the order of the rows.
    # A word that says nothing of the device leaves nothing known of it, so nulls are last words, too.
    whole = pc.ScalarAggregateOptions(skip_nulls=False)
    last = ordered.group_by(_KEY, use_threads=False).aggregate([(name, "last", whole) for name in _SAID])
    return last.rename_columns([*_KEY, *_SAID]).select(COLUMNS).cast(_schema())


def amended(rows: pa.Table, words: pa.Table) -> pa.Table:
    """Return endpoints as they stand after clients' words: what these ended is gone.

    Every row of the words' addresses must be among `rows`, or a later word of a source would be missed.

    Args:
        rows: user_id, channel, address, registered_ts, is_active; where known app_version and permission.
    """
    if not words.num_rows:
        return rows
    rows = arrow.filled(ascii_forms(rows), COLUMNS, dataset(REGISTERED))  # words are spelt so
    last = {key: at for *key_parts, at in _columns(words) if (key := tuple(key_parts))}
    standing, outdated = [], set()
    for *key_parts, at in _columns(rows):
        key = tuple(key_parts)
        word_at = last.get(key)
        stands = word_at is None or at is None or at > word_at
        standing.append(stands)
        if word_at is not None and stands:
            outdated.add(key)
    named = pc.and_(
        words["is_active"],
        pa.array([tuple(key_parts) not in outdated for *key_parts, _ in _columns(words)], pa.bool_()),
    )
    kept = rows.select(COLUMNS).filter(pa.array(standing, pa.bool_()))
    return pa.concat_tables([kept.cast(_schema()), words.filter(named).cast(_schema())])


def permitted(rows: pa.Table) -> pa.Table:
    """Return the endpoints but those whose phone shows no notification of the app."""
    denied = pc.fill_null(pc.equal(rows["permission"], DENIED), False)
    return rows.filter(pc.invert(denied))


def addresses_of(lake: Lake, user: str) -> pa.Table:
    """Return a person's endpoints in the newest snapshot, after clients' words."""
    words = last_words(lake, users=pa.array([user], pa.string()))
    leaves = lake.partitions("user_endpoints")
    if not leaves:
        return words.filter(words["is_active"])
    rows = rows_of_user(lake, lake.require("user_endpoints", **leaves[-1]), user, COLUMNS)
    # A person who is in no file has columns of no type.
    rows = rows if rows.num_rows else _schema().empty_table()
    return ascii_forms(amended(arrow.filled(rows, COLUMNS, dataset(REGISTERED)), words))


def register(lake: Lake, rows: list[dict[str, Any]]) -> Commit:
    """Append words; what is not known of a device may be left out of a row."""
    return lake.append_log(REGISTERED, pa.Table.from_pylist(rows, schema=_schema()))


class NewHolders:
    """Whose an address is by what clients said since a plan was made."""

    def __init__(self, since: datetime) -> None:
        self._since = since
        # (channel, common spelling) -> user -> when they last spoke of it, and whether it is over
        self._words: dict[tuple[str, str], dict[str, tuple[Micros, bool]]] = {}

    def __bool__(self) -> bool:
        return bool(self._words)

    def may_tell(self, commit: Commit) -> bool:
        """Say whether a commit of the log may hold such words; machines' clocks differ."""
        return datetime.fromisoformat(commit.created_ts) > self._since - timedelta(hours=1)

    def take(self, rows: pa.Table) -> None:
        """Take words in; of two at one instant the one that ends the address is the last."""
        at = rows["registered_ts"]
        for user, channel, address, is_active, moment in zip(
            *(
                column.to_pylist()
                for column in rows.select([*_KEY, "is_active"])
                .append_column("at", at.cast(pa.int64()))
                .filter(pc.greater_equal(at, pa.scalar(self._since, at.type)))
            ),
            strict=True,
        ):
            word, of = (moment, not is_active), self._words.setdefault(_place(channel, address), {})
            of[user] = max(word, of.get(user, word))

    def took(self, user: str, channel: str, address: str) -> bool:
        """Say whether a person gave an address up, or somebody else has it since."""
        of = self._words.get(_place(channel, address))
        # A message to an address, whoever's it is, goes where its client said.
        if of is None or user.startswith(STRANGER):
            return False
        own_at, is_over = of.get(user, (-1, False))
        others = ((at, other) for other, (at, is_done) in of.items() if other != user and not is_done)
        return is_over or max(others, default=(-1, user)) > (own_at, user)


def _place(channel: str, address: str) -> tuple[str, str]:
    return channel, same_address(channel, address)


def compact(lake: Lake, now: datetime) -> int:
    """Rewrite the log without long superseded words; return how many those are.

    The newest word on an address may say that it is over.
    """
    return compact_words(lake, REGISTERED, _KEY, "registered_ts", now)


def compact_words(lake: Lake, name: str, key: Sequence[str], instant: str, now: datetime) -> int:
    """Rewrite a log without long superseded words; return how many those are.

    Args:
        key: columns that say what a word is on.
        instant: the column that says when it was spoken.
    """
    numbers = lake.numbers(MAIN, name, {"log": LOG})
    commits = [lake.load(MAIN, name, {"log": LOG}, number) for number in numbers]
    already = {number for commit in commits for number in commit.meta.get(REPLACES, ())}
    ours = [commit for commit in commits if commit.number not in already]
    if not ours:
        return 0
    empty = arrow.schema(dataset(name)).empty_table()
    log = pa.concat_tables([empty, *(lake.read(commit) for commit in ours)], promote_options="default")
    log = log.sort_by([(column, "ascending") for column in (*key, instant)])
    words = list(zip(*(log[column].to_pylist() for column in key), strict=True))
    instants, first = log[instant].to_pylist(), now - timedelta(days=KEPT_DAYS)
    # A night reads words up to the end of its day, so one that was the last until lately is still asked for.
    counts = [
        row + 1 == len(words) or words[row + 1] != word or instants[row + 1] >= first
        for row, word in enumerate(words)
    ]
    n_over = counts.count(False)
    if n_over or len(ours) >= MANY_COMMITS:
        with lake.attempt(name, log=LOG) as attempt:
            attempt.write(log.filter(pa.array(counts, pa.bool_())), "entries.parquet")
            numbers_of = [commit.number for commit in ours]
            attempt.publish(params={"entry": attempt.nonce}, meta={REPLACES: numbers_of})
    return n_over


def _columns(table: pa.Table) -> zip[tuple[Any, ...]]:
    instants = table["registered_ts"].cast(pa.int64()).to_pylist()
    return zip(*(table[name].to_pylist() for name in _KEY), instants, strict=True)


def _schema() -> pa.Schema:
    """Return the log's schema, in which anything may be missing: sources are dirty."""
    whole = arrow.schema(dataset(REGISTERED))
    return pa.schema([field.with_nullable(True) for field in whole])
