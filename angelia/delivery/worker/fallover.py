"""Fall-over: a row that its channel cannot deliver goes to its campaign's next channel.

That happens in the next cycle. Reads outcomes, the manifest file, `user_features` and `user_endpoints` as the
manifest cites them, `registered_addresses`, `suppressions`; writes `dispatch_fallover`: one commit a part, of
rows that differ from the manifest's in channel, address and dispatch id. Grain: dispatch. From then on they
are parts like any other: own claim, ledger, pace, guards, and the same window. What was deferred before it
went is then `skipped` under the same reason (a late outcome), so that no follow-up part has it too.

Surprise: only rows whose address is gone or can be none, or whose channel is off or has used up its
provider's count of the day, fall over; never what is or ever was ambiguous, and never to a channel that the
person has refused. A manifest that cites no features and endpoints falls over nowhere. A message to several
devices falls over once none of them can take it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from operator import itemgetter

import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts import arrow, dataset
from angelia.contracts.devices.endpoints import NEWEST_BY
from angelia.contracts.ids import dispatch_id
from angelia.contracts.outcomes import AMBIGUOUS, DEFERRED, REJECTED, SKIPPED
from angelia.contracts.sending import MOST_DEVICES, Micros
from angelia.delivery.ledger import outcomes
from angelia.delivery.ledger.ledger import Ledger
from angelia.delivery.manifest.parts import FALLOVER, LEFT, Part
from angelia.delivery.manifest.rows import PartRows, batches_of, columns_of
from angelia.delivery.worker.devices import whole_messages
from angelia.delivery.worker.plan_snapshot import PlanSnapshot
from angelia.errors import Conflict
from angelia.lake import Commit, Lake
from angelia.users.addresses import ascii_forms, same_addresses
from angelia.users.index import index_head
from angelia.users.mapped import MappedRows
from angelia.users.registered import amended, last_words, permitted
from angelia.users.remembered import RememberedRows
from angelia.users.suppressions import address_hashes, address_key

_AT_ONCE = 2_000
_SAME = "same"  # beside the endpoints that are kept: their common spelling
_ENDPOINT = ("user_id", "channel", "address", "registered_ts", "is_active", "permission")


def fall_over(
    lake: Lake,
    ledger: Ledger,
    part: Part,
    family: Sequence[Part],
    snapshot: PlanSnapshot,
    manifest: Commit,
    now: Micros,
    is_open: Callable[[str], bool] = lambda _: True,
) -> int:
    """Commit a part's unreachable rows as parts of their next channels, once; return how many.

    `is_open` says of a channel whether it sends at present.
    """
    leaf = part.fallover_leaf
    # Most plans have one channel a campaign, and their outcomes need not be read for this.
    if not _has_routes(snapshot):
        return 0
    best, known = _unreachable(ledger, part, family)
    rows = known if part.rows is None else sorted(set(part.rows).intersection(known))
    if rows and snapshot.to_all:
        rows = whole_messages(lake, part, best, known, rows, snapshot.to_all)
    n_moved = 0
    # A part is concluded again after a takeover; what it once handed on may be under way.
    if rows and lake.head(FALLOVER, **leaf) is None:
        n_moved = _commit(lake, part, rows, snapshot, manifest, now, is_open)
    _move_on(lake, ledger, part, best, rows, now)
    return n_moved


def may_move(lake: Lake, part: Part, snapshot: PlanSnapshot, is_open: Callable[[str], bool]) -> bool:
    """Say whether an open channel comes after this one for any campaign of a part.

    False for what was left by a closed channel already: nobody else took it.
    """
    if part.kind == LEFT or not _has_routes(snapshot):
        return False
    names = columns_of(lake, part.entry, ["campaign_id", "template_id", "template_version"])
    return any(
        is_open(name)
        for row in names.group_by(names.column_names, use_threads=False).aggregate([]).to_pylist()
        for name in snapshot.next_channels(row["campaign_id"], part.channel, *list(row.values())[1:])
    )


def _has_routes(snapshot: PlanSnapshot) -> bool:
    return any(len(channels) > 1 for channels in snapshot.routes.values())


def _commit(
    lake: Lake,
    part: Part,
    rows: Sequence[int],
    snapshot: PlanSnapshot,
    manifest: Commit,
    now: Micros,
    is_open: Callable[[str], bool],
) -> int:
    leaf, reach = part.fallover_leaf, OpenAddresses.of(lake, manifest)
    if reach is None:
        return 0
    moved = [table for table in _redirected(lake, part, rows, snapshot, reach, now, is_open) if len(table)]
    if not moved:
        return 0
    whole = pa.concat_tables(moved)
    with lake.attempt(FALLOVER, **leaf) as attempt:
        for channel in sorted(set(whole["channel"].to_pylist())):
            table = whole.filter(pc.equal(whole["channel"], channel)).sort_by("dispatch_id")
            keys = {
                "send_hour": part.send_hour,
                "channel": channel,
                "priority": part.priority,
                "part": f"{part.number:04d}",
            }
            attempt.write(table, f"channel={channel}.parquet", keys=keys)
        try:
            attempt.publish(inputs=[manifest, *reach.commits], expected=0)
        except Conflict:
            return 0  # whoever concluded the part beside us was first, and its rows may be under way
    return int(whole.num_rows)


def _move_on(
    lake: Lake, ledger: Ledger, part: Part, best: pa.Table, rows: Sequence[int], now: Micros
) -> None:
    """Say of deferred rows that stand in the fall-over that this channel has done with them."""
    deferred = best.filter(
        pc.and_(pc.is_in(best["row"], pa.array(rows, pa.int32())), pc.equal(best["outcome"], DEFERRED))
    )
    head = lake.head(FALLOVER, **part.fallover_leaf) if deferred.num_rows else None
    if head is None:
        return
    messages = columns_of(lake, part.entry, ["message_id"])["message_id"].take(deferred["row"])
    gone = deferred.filter(pc.is_in(messages, lake.read(head, ["message_id"])["message_id"]))
    for name, value in (("outcome", SKIPPED), ("at_us", now), ("n_attempts", 0)):
        at = gone.schema.get_field_index(name)
        gone = gone.set_column(
            at, gone.schema.field(at), pa.array([value] * len(gone), gone.schema.field(at).type)
        )
    if gone.num_rows:
        ledger.move_on(part.id, outcomes.to_object(gone))


def _unreachable(ledger: Ledger, part: Part, family: Sequence[Part]) -> tuple[pa.Table, list[int]]:
    """Return the family's best outcomes, and the file's rows that its channel cannot deliver.

    None of these rows ever was ambiguous.
    """
    tables = [outcomes.read(data) for member in family for data in ledger.read_outcomes(member.id)]
    if not tables:
        return outcomes.SCHEMA.empty_table(), []
    was_ambiguous = pa.concat_tables(tables)
    was_ambiguous = was_ambiguous.filter(pc.equal(was_ambiguous["outcome"], AMBIGUOUS))[
        "row"
    ].combine_chunks()
    best = outcomes.merge(tables)
    is_gone = pc.or_(
        outcomes.says_gone(best["reason"]), pc.is_in(best["reason"], pa.array(outcomes.UNREACHABLE))
    )
    is_out = pc.is_in(best["outcome"], pa.array([REJECTED, SKIPPED]))
    # A count of the day or a switch says nothing of the address, and leaves a row deferred.
    moves = pc.and_(
        outcomes.moves_on(best["reason"]), pc.is_in(best["outcome"], pa.array([REJECTED, DEFERRED]))
    )
    is_left = pc.or_(pc.and_(pc.fill_null(is_gone, False), is_out), moves)
    known = pc.and_(is_left, pc.invert(pc.is_in(best["row"], was_ambiguous)))
    return best, best["row"].filter(known).to_pylist()


def _redirected(
    lake: Lake,
    part: Part,
    rows: Sequence[int],
    snapshot: PlanSnapshot,
    reach: OpenAddresses,
    now: Micros,
    is_open: Callable[[str], bool],
) -> Iterator[pa.Table]:
    """Yield the rows as they go to their next channel.

    Rows without a next channel, or whose window is over, are left out.
    """
    contract, seen = dataset(FALLOVER), set[str]()
    with PartRows(lake, part.entry, contract.names) as source:
        for first in range(0, len(rows), _AT_ONCE):
            table = source.read(rows[first : first + _AT_ONCE])
            # The row keeps its window: what is over on one channel is over on the next.
            table = table.filter(pc.greater(table["not_after"].cast(pa.int64()), now))
            channels_of = reach.channels(table["user_id"].to_pylist(), table["ordinal"].to_pylist())
            people = reach.devices(channels_of)
            names = ("user_id", "message_id", "campaign_id", "template_id", "template_version")
            kept, channels, addresses, ids = [], [], [], []
            for i, (user, message, campaign, template, version) in enumerate(
                zip(*(table[name].to_pylist() for name in names), strict=True)
            ):
                after = snapshot.next_channels(campaign, part.channel, template, version)
                channel = next((name for name in after if (user, name) in people and is_open(name)), None)
                # A message to all devices has a row for each, and goes on as one.
                if channel is None or (campaign in snapshot.to_all and message in seen):
                    continue
                seen.add(message)
                for address in people[user, channel][: None if campaign in snapshot.to_all else 1]:
                    kept.append(i)
                    channels.append(channel)
                    addresses.append(address)
                    ids.append(dispatch_id(message, channel, address))
            moved = table.take(pa.array(kept, pa.int64()))
            for name, values in (("channel", channels), ("address", addresses), ("dispatch_id", ids)):
                moved = moved.set_column(
                    moved.schema.get_field_index(name), name, pa.array(values, pa.string())
                )
            yield moved.cast(arrow.schema(contract))


class OpenAddresses:
    """How people can be reached: as the plan knew it, less the addresses that are gone since."""

    def __init__(
        self, lake: Lake, features: Commit, endpoints: Commit, shard_bits: int, *, kept_rows: int = 0
    ) -> None:
        """Take the commits.

        Args:
            kept_rows: for who asks often: so many endpoints stay in memory, more in a file of this process;
                0 = each question reads all.
        """
        self._lake, self._features, self._endpoints, self._bits = lake, features, endpoints, shard_bits
        self._keeps, self._maps = endpoints.rows <= kept_rows, 0 < kept_rows < endpoints.rows
        self._mapped: MappedRows | None = None
        self._kept: dict[str, RememberedRows] = {}  # by the column that they are looked up by
        self._words: pa.Table | None = None
        self.commits = (features, endpoints)
        self._contracts = dataset(features.dataset), dataset(endpoints.dataset)
        self._schema = pa.schema([arrow.schema(self._contracts[1]).field(name) for name in _ENDPOINT])
        # By person, then by hash of the address.
        self._gone: dict[str, dict[str, list[tuple[str | None, Micros]]]] | None = None

    @classmethod
    def of(cls, lake: Lake, manifest: Commit) -> OpenAddresses | None:
        """Return the reach that a manifest cites, or None if it cites none."""
        cited = {
            name: next((c for c in manifest.inputs if c.split("/")[0] == name), None)
            for name in ("user_features", "user_endpoints")
        }
        index = index_head(lake)
        if cited["user_features"] is None or cited["user_endpoints"] is None or index is None:
            return None
        return cls(
            lake,
            lake.cited(cited["user_features"]),
            lake.cited(cited["user_endpoints"]),
            int(index.meta["shard_bits"]),
        )

    def devices(self, channels: Mapping[str, Collection[str]]) -> dict[tuple[str, str], list[str]]:
        """Return the usable addresses of each (person, channel), the newest ten, newest first.

        Usable means active, on a channel that the person has not refused, not gone, and not registered by
        somebody else since. Two spellings of one address are one.

        Args:
            channels: of each person those that are not refused.
        """
        known = [
            row
            for table in self._endpoints_of("user_id", channels)
            for row in _reachable(permitted(table))
            if row[1] in channels[row[0]] and self._lives(*row[:4])
        ]
        owners = {key: user for key, (user, _) in self.owners({row[1:2] + row[4:] for row in known}).items()}
        known.sort(key=itemgetter(*map(_ENDPOINT.index, NEWEST_BY)), reverse=True)
        usable: dict[tuple[str, str], dict[str, str]] = {}
        for user, channel, address, _, same in known:
            if owners.get((channel, same), user) == user:
                usable.setdefault((user, channel), {}).setdefault(same, address)
        return {key: list(by_form.values())[:MOST_DEVICES] for key, by_form in usable.items()}

    def channels(self, users: Sequence[str], ordinals: Sequence[int]) -> dict[str, Sequence[str]]:
        """Return the channels that people have not refused, as the plan knew them."""
        shards = {ordinal >> self._bits for ordinal in ordinals}
        wanted = pa.array(users, pa.string())
        of_person: dict[str, Sequence[str]] = {}
        for entry in self._features.files:
            if entry.shards is None or any(entry.shards[0] <= shard <= entry.shards[1] for shard in shards):
                for batch in batches_of(self._lake, entry, ("user_id", "channels"), self._contracts[0]):
                    rows = batch.filter(pc.is_in(batch.column("user_id"), wanted)).to_pydict()
                    of_person |= {u: names or () for u, names in zip(*rows.values(), strict=True)}
        return of_person

    def owners(self, addresses: Collection[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, Micros]]:
        """Return whose each (channel, common spelling) is, and since when.

        That is its newest registration's. Only living ones count; of two at one instant the larger user id,
        as the night has it.
        """
        newest: dict[tuple[str, str], tuple[Micros, str]] = {}
        if not addresses:
            return {}
        for table in self._endpoints_of(_SAME, {same for _, same in addresses}):
            for user, channel, address, at, same in _reachable(table):
                if (channel, same) in addresses and self._lives(user, channel, address, at):
                    newest[channel, same] = max((at, user), newest.get((channel, same), (at, user)))
        return {key: (user, at) for key, (at, user) in newest.items()}

    def _endpoints_of(self, column: str, texts: Collection[str]) -> Iterator[pa.Table]:
        """Yield the endpoints that have one of these texts, with their common spelling."""
        wanted = pa.array(sorted(texts), pa.string())
        if self._words is None:
            self._words = _spelled(last_words(self._lake))
        words = self._words.filter(pc.is_in(self._words[column], wanted))
        tables = self._of_sources(column, wanted)
        if not words.num_rows:
            yield from tables
        else:
            # A client's word is judged beside all rows of its address, and these are those of a few people.
            of_night = pa.concat_tables([table.select(_ENDPOINT) for table in tables])
            yield _spelled(amended(of_night, words.drop_columns([_SAME])))

    def _of_sources(self, column: str, wanted: pa.Array) -> Iterator[pa.Table]:
        if self._maps:
            if self._mapped is None:
                schema = _spelled(self._schema.empty_table()).schema
                spelled = map(_spelled, self._read_endpoints())
                self._mapped = MappedRows(spelled, ("user_id", _SAME), schema)
            yield ascii_forms(self._mapped.of(column, wanted.to_pylist()))
            return
        if not self._keeps:
            for rows in self._read_endpoints():
                # Of all rows only where they are asked for by it.
                rows = _spelled(rows) if column == _SAME else rows
                rows = rows.filter(pc.is_in(rows[column], wanted))
                yield ascii_forms(rows if column == _SAME else _spelled(rows))
            return
        if not self._kept:
            read = _spelled(self._lake.read(self._endpoints, list(_ENDPOINT)))
            self._kept = {name: RememberedRows(read, name) for name in ("user_id", _SAME)}
        yield ascii_forms(self._kept[column].of(wanted.to_pylist()))

    def _read_endpoints(self) -> Iterator[pa.Table]:
        for entry in self._endpoints.files:
            for batch in batches_of(self._lake, entry, _ENDPOINT, self._contracts[1]):
                yield pa.Table.from_batches([batch]).cast(self._schema)

    def _lives(self, user: str, channel: str, address: str, registered: Micros) -> bool:
        if self._gone is None:
            log = self._lake.read_log("suppressions")
            columns = [log[name].to_pylist() for name in ("user_id", "address_hash", "channel")]
            instants = log["since_ts"].cast(pa.int64()).to_pylist()
            self._gone = {}
            for of_user, hashed, of_channel, since in zip(*columns, instants, strict=True):
                if hashed:
                    of_person = self._gone.setdefault(of_user, {})
                    of_person.setdefault(hashed, []).append((of_channel, since))
        gone = self._gone.get(user)
        if gone is None:
            return True
        hashes = address_hashes(address_key(self._lake.store), channel, address)
        entries = [entry for hashed in hashes for entry in gone.get(hashed, ())]
        return not any(of in (None, channel) and registered <= since for of, since in entries)


def _spelled(rows: pa.Table) -> pa.Table:
    """Return endpoints with the common spelling of their addresses."""
    return rows.append_column(_SAME, same_addresses(rows))


def _reachable(table: pa.Table) -> Iterator[tuple[str, str, str, Micros, str]]:
    """Yield (user, channel, address, registered, common spelling) of active endpoints."""
    # As numbers: a moment with a time zone takes Python 5 µs to make.
    instants = table["registered_ts"].cast(pa.int64()).to_pylist()
    columns = [table[name].to_pylist() for name in ("user_id", "channel", "address", "is_active", _SAME)]
    for user, channel, address, is_active, same, at in zip(*columns, instants, strict=True):
        if is_active and None not in (user, channel, address, at):
            yield user, channel, address, at, same


def without_surprise(every: Collection[Part], tried: Collection[str]) -> list[Part]:
    """Return the parts without the fall-over parts that have only just come up.

    Those are for the next cycle.
    """
    return [part for part in every if part.kind != FALLOVER or part.id in tried]
