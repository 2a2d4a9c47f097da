"""Who must not be contacted, or not now: stops, refusals, addresses; at most 10 s old.

A worker that cannot read the logs waits, and defers what it was about to send. Surprises: what is said of an
*address* counts only if it is younger than the plan's closed day; older words were known when the night chose
the address. An entry may also open: who unsubscribed and later opted in again is reachable from then on
(`opted_in`), but never after a complaint.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts import arrow, dataset
from angelia.contracts.core import LOG
from angelia.contracts.sending import Micros
from angelia.errors import AngeliaError, InvalidInput
from angelia.lake import Lake
from angelia.lake.keys import lake_key
from angelia.lake.lake import MAIN
from angelia.lake.store import Store
from angelia.timing.own_hours import Span
from angelia.users.addresses import form_of, same_address, unicode_host
from angelia.users.events import Happened
from angelia.users.registered import REGISTERED, NewHolders
from angelia.users.since_plan.new_choices import NewChoices

UNSUBSCRIBED, OPTED_IN = "unsubscribed", "opted_in"  # reasons of entries; any other closes for good
OPERATOR = "operator"
MAX_AGE_US = 10 * 1_000_000
EVENTS_AGE_US = 600 * 1_000_000  # so old may be what is known of what people did
REFRESH_S = 4.0


def address_key(store: Store) -> bytes:
    """Return the key of address hashes: `ANGELIA_ADDRESS_KEY`, else a random one in the lake.

    The random key is created once and read by all.

    Raises:
        Corrupt: the lake's key is damaged or gone.
    """
    given = os.environ.get("ANGELIA_ADDRESS_KEY")
    return given.encode() if given else lake_key(store, "address")


def address_hash(key: bytes, channel: str, address: str) -> str:
    """Return the keyed hash by which suppressions name an address (32 hex digits)."""
    return _hashed(key, channel, same_address(channel, address))


def address_hashes(key: bytes, channel: str, address: str) -> set[str]:
    """Return every hash that a suppression of this address may bear.

    Older versions hashed the one spelling they met.
    """
    spellings = {address, same_address(channel, address)}
    if form_of(channel) == "email":  # imports kept the domain as it was written
        mailbox, at, domain = address.rpartition("@")
        spellings.add(f"{mailbox}{at}{unicode_host(domain)}")
    return {_hashed(key, channel, spelling) for spelling in spellings}


def _hashed(key: bytes, channel: str, spelling: str) -> str:
    return hmac.digest(key, f"{channel}\x1f{spelling}".encode(), "sha256").hex()[:32]


Held = tuple[str, str | None]  # a campaign, and the channel or None for all


def fold_stops(state: dict[Held, bool], entries: Iterable[Mapping[str, object]]) -> None:
    """Update (campaign, channel) -> is held by entries of the log `stops`, in their order.

    A whole campaign and each of its channels are held and resumed apart from each other.

    The log's order decides, never `at_ts`: machines' clocks differ, and a stop must hold even if an earlier
    resume bears a later time.
    """
    for entry in entries:
        channel = entry.get("channel")  # entries of version 1 have none
        state[str(entry["campaign_id"]), str(channel) if channel else None] = entry["action"] == "stop"


class Refusals:
    """Who must not be contacted through what, folded from entries about people in any order.

    Of refusals and returns (`opted_in`) the later one holds, of two at one time the refusal.
    """

    def __init__(self) -> None:
        self._for_good: set[tuple[str, str | None]] = set()  # (user, channel or None for all)
        self._no: dict[tuple[str, str | None], Micros] = {}
        self._yes: dict[tuple[str, str | None], Micros] = {}
        self._returned: dict[str, Micros] = {}  # of any channel

    def __bool__(self) -> bool:
        return bool(self._for_good or self._no)

    def add(self, user: str, channel: str | None, reason: str, since: Micros) -> None:
        """Take an entry that names no address."""
        key = user, channel
        if reason == OPTED_IN:
            self._yes[key] = max(since, self._yes.get(key, since))
            self._returned[user] = max(since, self._returned.get(user, since))
        elif reason == UNSUBSCRIBED:
            self._no[key] = max(since, self._no.get(key, since))
        else:
            self._for_good.add(key)

    def closed(self, user: str, channel: str) -> bool:
        """Return whether the person must not be contacted through a channel."""
        return self.has_refused(user, channel) or self._stands(user, None, (None, channel))

    def has_refused(self, user: str, channel: str | None) -> bool:
        """Say whether an entry about this very channel, or with None about all, closes it."""
        return self._stands(user, channel, (None, channel))

    def closed_everywhere(self, user: str) -> bool:
        """Say whether an entry about all channels closes them, and none is open again."""
        no = self._no.get((user, None))
        is_out = no is not None and self._returned.get(user, no) <= no
        return is_out or (user, None) in self._for_good

    def after(self, user: str, at: datetime) -> datetime:
        """Return `at`, or a moment after all that is known of a person, whichever is later.

        Machines' clocks differ, and what is decided now must hold over what was decided before.
        """
        moments = [
            moment for words in (self._no, self._yes) for key, moment in words.items() if key[0] == user
        ]
        newest = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=max(moments, default=-1) + 1)
        return max(at, newest)

    def is_for_good(self, user: str, channel: str | None) -> bool:
        """Say whether an entry closes a channel, or with None all, in a way that nothing opens."""
        return not self._for_good.isdisjoint({(user, None), (user, channel)})

    def may_return(self, user: str, channel: str, at: Micros) -> bool:
        """Say whether a word of this time would open a channel that is closed."""
        for_good = {(user, None), (user, channel)} & self._for_good
        no = max((self._no[key] for key in ((user, None), (user, channel)) if key in self._no), default=at)
        return not for_good and at > no and self.closed(user, channel)

    def _stands(self, user: str, channel: str | None, opened_by: Sequence[str | None]) -> bool:
        if (user, channel) in self._for_good:
            return True
        no = self._no.get((user, channel))
        return no is not None and all(self._yes.get((user, name), no) <= no for name in opened_by)


def returns(log: pa.Table, opted_in: Iterable[tuple[str, str, Micros]]) -> pa.Table:
    """Return the entries that say who opted in again after unsubscribing.

    Args:
        log: the whole log.
        opted_in: (user_id, channel, when) of those whose last word about a channel is yes.
    """
    refusals, entries = refusals_of(log), []
    for user, channel, at in sorted(opted_in):
        if refusals.may_return(user, channel, at):
            name = secrets.token_hex(16)  # of nothing that names the person: it outlives an erasure
            since = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at)
            entries.append(
                {"entry_id": name, "user_id": user, "channel": channel, "since_ts": since, "reason": OPTED_IN}
            )
    return pa.Table.from_pylist(entries, schema=arrow.schema(dataset("suppressions")))


def close_person(lake: Lake, user: str, channel: str | None, *, for_good: bool, at: datetime) -> bool:
    """Suppress a person, through one channel or all; return whether that changed anything.

    `for_good`: nobody opens it again. Workers obey within 10 s, the next night leaves them out.
    """
    refusals = refusals_of(lake.read_log("suppressions"))
    closed = refusals.has_refused(user, channel) and (bool(channel) or refusals.closed_everywhere(user))
    if refusals.is_for_good(user, channel) or (closed and not for_good):
        return False
    _append(lake, user, channel, OPERATOR if for_good else UNSUBSCRIBED, refusals.after(user, at))
    return True


def open_person(lake: Lake, user: str, channel: str | None, *, at: datetime) -> bool:
    """Open what an unsubscription closed; return whether that changed anything.

    Raises:
        InvalidInput: it was closed for good, by a complaint, an operator or an erasure.
    """
    refusals = refusals_of(lake.read_log("suppressions"))
    if refusals.is_for_good(user, channel):
        raise InvalidInput(
            "this was closed for good; nobody can open it again",
            fix="a person who complained, or whom an operator closed for good, stays closed",
        )
    closed = refusals.closed(user, channel) if channel else refusals.has_refused(user, None)
    if closed:
        _append(lake, user, channel, OPTED_IN, refusals.after(user, at))
    return closed


def _append(lake: Lake, user: str, channel: str | None, reason: str, at: datetime) -> None:
    # The id names nothing of the person: it outlives an erasure.
    entry = {"entry_id": secrets.token_hex(16), "user_id": user, "channel": channel, "since_ts": at}
    row = pa.Table.from_pylist([{**entry, "reason": reason}], schema=arrow.schema(dataset("suppressions")))
    lake.append_log("suppressions", row)


def refusals_of(log: pa.Table) -> Refusals:
    """Return what the log's entries about people come to."""
    people = log.filter(pc.is_null(log["address_hash"]))
    refusals = Refusals()
    for entry in zip(
        *(people[name].to_pylist() for name in ("user_id", "channel", "reason")),
        people["since_ts"].cast(pa.int64()).to_pylist(),
        strict=True,
    ):
        refusals.add(*entry)
    return refusals


class Guards:
    """Logs and new choices in memory; `version` changes when one arrived.

    Only new commits are read. What people did since the plan is read, too, once somebody watches it: an
    event makes a message moot.
    """

    def __init__(self, lake: Lake, ds: str, lease_now: Callable[[], Micros]) -> None:
        self._lake, self._lease_now = lake, lease_now
        self._planned_until = datetime.fromisoformat(ds).replace(tzinfo=UTC) + timedelta(days=1)
        self._seen = {"stops": 0, "suppressions": 0, "preference_choices": 0, REGISTERED: 0}
        self._holders = NewHolders(self._planned_until)
        self._choices = NewChoices(lake, ds)
        self._state: dict[Held, bool] = {}
        self.stopped: frozenset[str] = frozenset()
        self.paused: frozenset[tuple[str, str]] = frozenset()
        self.refusals = Refusals()
        self.addresses: set[str] = set()
        self.version = 0
        self.read_at: Micros | None = None
        self.problem: str | None = None
        self._key: bytes | None = None
        self._reading: asyncio.Task[None] | None = None
        self.happened, self._events_at = Happened(lake, ds), 0
        self._has_read_events = False

    def watch(self, types: Collection[str]) -> None:
        """Look for these events, too, before anything more is sent."""
        if self.happened.watch(types):
            self.read_at, self._events_at = None, 0

    def knows_events(self) -> bool:
        """Say whether what people did was read at most ten minutes ago."""
        return self._lease_now() - self._events_at <= EVENTS_AGE_US

    def is_fresh(self) -> bool:
        """Return whether the logs were read at most 10 s ago."""
        return self.read_at is not None and self._lease_now() - self.read_at <= MAX_AGE_US

    async def refresh(self) -> bool:
        """Read new entries in a thread, one reader at a time; return whether the logs are fresh."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._refresh())
        await asyncio.shield(self._reading)
        return self.is_fresh()

    async def _refresh(self) -> None:
        began, types = self._lease_now(), self.happened.types
        try:
            changed = await asyncio.to_thread(self._read)
        except (AngeliaError, OSError, ValueError) as error:
            self.problem = type(error).__name__
            return
        self.problem = None
        if types is self.happened.types:  # else somebody watches more by now, which is to be read first
            self.read_at = began
            self._events_at = began if self._has_read_events else self._events_at
        if changed:
            self.version += 1

    def _read(self) -> bool:
        changed = self._read_events()
        choices = self._choices.take
        logs = {"stops": self._stops, "suppressions": self._suppressions, "preference_choices": choices}
        for name in self._seen:
            head = self._lake.head(name, log=LOG)
            newest = head.number if head else 0
            gone = self._expired(name) if newest > self._seen[name] + 1 else set()
            for number in range(self._seen[name] + 1, newest + 1):
                if number in gone:
                    continue
                commit = self._lake.as_of(name, number, log=LOG)
                if name in logs:
                    logs[name](self._lake.read(commit).to_pylist())
                elif self._holders.may_tell(commit):
                    self._holders.take(self._lake.read(commit))
                self._seen[name] = number
                changed = True
        return self._choices.read_imported() or changed

    def _expired(self, name: str) -> set[int]:
        """Return the numbers of a log's commits that expired; a lost one is not among them."""
        leaf = {"log": LOG}
        every = set(self._lake.numbers(MAIN, name, leaf, expired=True))
        return every.difference(self._lake.numbers(MAIN, name, leaf))

    def _read_events(self) -> bool:
        try:
            changed = self.happened.refresh()
        except (AngeliaError, OSError, ValueError):
            # Rows that no event can make moot are sent all the same; the others wait for `knows_events`.
            changed = self._has_read_events = False
        else:
            self._has_read_events = True
        return changed

    def _stops(self, entries: Sequence[dict[str, object]]) -> None:
        fold_stops(self._state, entries)
        held = [key for key, is_held in self._state.items() if is_held]
        self.stopped = frozenset(name for name, channel in held if channel is None)
        self.paused = frozenset((name, channel) for name, channel in held if channel is not None)

    def _suppressions(self, entries: Sequence[dict[str, object]]) -> None:
        for entry in entries:
            channel = str(entry["channel"]) if entry["channel"] else None
            since = entry["since_ts"]
            assert isinstance(since, datetime)
            if not entry["address_hash"]:
                moment = round(since.timestamp() * 1e6)
                self.refusals.add(str(entry["user_id"]), channel, str(entry["reason"]), moment)
            elif since >= self._planned_until:
                self.addresses.add(str(entry["address_hash"]))

    def quiet_of(self, users: Sequence[str]) -> dict[int, Span]:
        """Return, by row, the quiet hours that people chose since the plan."""
        return self._choices.quiet_of(users)

    def blocked(
        self,
        campaigns: Sequence[str],
        users: Sequence[str],
        channel: str,
        addresses: Sequence[str],
        topics: Sequence[str] = (),
    ) -> list[str | None]:
        """Return per row the reason not to send, or None; topics are looked at where given."""
        reasons: list[str | None] = [None] * len(campaigns)
        if paused := {name for name, its_channel in self.paused if its_channel == channel}:
            reasons = ["paused" if campaign in paused else None for campaign in campaigns]
        if self.stopped:
            reasons = [
                "stopped" if campaign in self.stopped else reason
                for campaign, reason in zip(campaigns, reasons, strict=True)
            ]
        # What a person refused outlives any stop of a campaign, so it is named in its place.
        if self.refusals:
            for i, user in enumerate(users):
                if self.refusals.closed(user, channel):
                    reasons[i] = "suppressed"
        if self._choices:
            for i, (user, topic) in enumerate(zip(users, topics or [""] * len(users), strict=True)):
                refuses = self._choices.refuses
                if refuses(user, "channel", channel) or refuses(user, "topic", topic):
                    reasons[i] = "suppressed"
        if self.addresses:  # else nothing is hashed, and no key has to be read or made
            key = self._key = self._key or address_key(self._lake.store)
            for i, address in enumerate(addresses):
                if not self.addresses.isdisjoint(address_hashes(key, channel, address)):
                    reasons[i] = "address_gone"
        if self._holders:
            for i, (user, address) in enumerate(zip(users, addresses, strict=True)):
                if self._holders.took(user, channel, address):
                    reasons[i] = "address_gone"
        return reasons
