"""A shard's planning problem on its way through the passes of `plan_dispatch`.

It is built from the lake once. Beside the attempt wait: its night, laid out for the per-person step; what its
people hold, which each pass replaces; the rows of its decisions, all but what is decided; and its part of the
price sample, which is joined with those of other shards.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa

from angelia.contracts.ids import uniform
from angelia.lake import Lake
from angelia.lake.store import Store
from angelia.planning import Choice, Problem, ShardRounds
from angelia.planning.choose import Bucket, Packed
from angelia.planning.eligibility import assemble, message_ids
from angelia.planning.exploring import draw_slots
from angelia.planning.inputs import Inputs, ShardInputs, load_shard
from angelia.planning.later import LaterCosts
from angelia.planning.offers import MaterialFacts
from angelia.planning.problem import boosted, count_of
from angelia.planning.reading import Blocks
from angelia.planning.terms import Terms

ARRAYS = tuple(field.name for field in fields(Problem) if field.name != "n_users")
# What a night still needs of its problem once it is laid out.
THIN = ("pair_user", "pair_campaign", "is_exempt", "is_explore", "tie")
PACKED = ("exempt", "exempt_worth", "patterns", "pattern", "group")
BUCKET = ("users", "rows", "kind", "worth", "room_two", "group")
ALIGNED = 64  # bytes: NumPy copies what does not begin at a multiple of its size before each step


@dataclass(frozen=True)
class WaitingParts:
    """Where parts of shards wait for the next pass: beside the attempt, whose folder it is.

    It travels with each shard of each step, so it names no file of what the plan is made from: at ten million
    people these are thousands, and to read their names takes longer than the step.
    """

    lake: Lake
    folder: str

    def key(self, number: int, part: str) -> str:
        """Return where a part of a shard waits for the next pass: night, state, rows or sample."""
        return f"{self.folder}/sample/{number:06d}.{part}.npy"

    def forget(self, numbers: Iterable[int]) -> None:
        """Delete what waited for passes."""
        for number in numbers:
            for part in ("night", "state", "rows", "sample"):
                self.lake.store.delete(self.key(number, part))


@dataclass(frozen=True)
class PlanContext:
    """What the passes that build problems read; travels to the workers."""

    lake: Lake
    inputs: Inputs
    terms: Terms
    facts: MaterialFacts
    folder: str

    @property
    def waiting(self) -> WaitingParts:
        """Return where parts of shards wait."""
        return WaitingParts(self.lake, self.folder)


@dataclass(frozen=True)
class PlannedShard:
    """A shard as it was built, with its exploration stratum's draws, before any drop.

    `allowed` and `nights` are as in `BuiltShard`.
    """

    shard: ShardInputs
    problem: Problem
    ids: list[str]
    outcome: np.ndarray
    arm: np.ndarray
    drawn: Choice
    slot_propensity: np.ndarray
    later: LaterCosts | None
    allowed: np.ndarray
    nights: np.ndarray | None


def prepare(context: PlanContext, number: int, blocks: Blocks | None = None) -> PlannedShard:
    """Return a shard's problem and its exploration stratum's draws, before any drop.

    With `blocks` only that of these people.
    """
    terms = context.terms
    shard = load_shard(context.lake, context.inputs, terms, context.facts, number, blocks)
    ids = message_ids(terms, shard.people, shard.pairs)
    built = assemble(terms, shard.people, shard.pairs, shard.past, ids=ids)
    problem, outcome = built.problem, built.outcome
    drawn, slot_propensity = draw_slots(
        terms, shard.people, problem, outcome, shard.pairs.p_open, shard.pairs.lift
    )
    return PlannedShard(
        shard,
        problem,
        ids,
        outcome,
        built.arm,
        drawn,
        slot_propensity,
        built.later,
        built.allowed,
        built.nights,
    )


def explore_usage(planned: PlannedShard, terms: Terms) -> np.ndarray:
    """Return what the drawn messages would use of each constraint, (c*h + k + s*h,)."""
    limits, rows = terms.limits(), np.flatnonzero(planned.drawn.slot >= 0)
    return count_of(planned.problem.constraints(planned.drawn, rows, limits), limits)


def price_sample(planned: PlannedShard, terms: Terms, share: float) -> Problem:
    """Return the part of a shard's problem that prices are fitted to, by hash of people."""
    lot = uniform(planned.shard.people.keys, terms.salt, "price sample", terms.ds)
    return part_of(planned.problem, lot < share)


def part_of(problem: Problem, chosen: np.ndarray) -> Problem:
    """Return the part of a problem that concerns the chosen users, (n,), and has an open hour."""
    rows = chosen[problem.pair_user] & problem.allowed.any(axis=1)
    place = np.cumsum(chosen) - 1
    arrays = {name: getattr(problem, name)[rows] for name in ARRAYS if name not in ("pair_user", "room")}
    return Problem(
        n_users=int(chosen.sum()),
        pair_user=place[problem.pair_user[rows]],
        room=problem.room[chosen],
        **arrays,
    )


def joined(problems: Sequence[Problem]) -> Problem:
    """Return the problems of several shards as one."""
    first = np.cumsum([0, *(problem.n_users for problem in problems)])
    arrays = {
        name: np.concatenate([getattr(problem, name) for problem in problems])
        for name in ARRAYS
        if name != "pair_user"
    }
    users = np.concatenate(
        [problem.pair_user + start for problem, start in zip(problems, first[:-1], strict=True)]
    )
    return Problem(n_users=int(first[-1]), pair_user=users, **arrays)


# ---- arrays in the store: one .npy after the other, no pickles


def put_arrays(store: Store, key: str, arrays: Iterable[np.ndarray]) -> None:
    """Store arrays, one after the other."""
    sink = io.BytesIO()
    for array in arrays:
        np.lib.format.write_array(sink, np.ascontiguousarray(array), allow_pickle=False)
        sink.write(b"\0" * (-sink.tell() % ALIGNED))
    store.put(key, sink.getvalue())


def get_arrays(store: Store, key: str) -> Iterable[np.ndarray]:
    """Yield the arrays that `put_arrays` stored."""
    local = store.local_path(key)
    # A night is looked at, not copied: of millions of options most passes need a part.
    source = pa.memory_map(str(local)) if local else pa.BufferReader(store.read(key))
    while source.tell() < source.size():
        np.lib.format.read_magic(source)
        shape, _, dtype = np.lib.format.read_array_header_1_0(source)
        yield np.ndarray(shape, dtype, source.read_buffer(int(np.prod(shape)) * dtype.itemsize))
        source.seek(source.tell() + -source.tell() % ALIGNED)


def keep_sample(store: Store, key: str, sample: Problem) -> None:
    """Store a shard's part of the price sample."""
    put_arrays(store, key, [np.array([sample.n_users]), *(getattr(sample, name) for name in ARRAYS)])


def kept_sample(store: Store, key: str) -> Problem:
    """Return what `keep_sample` stored."""
    n_users, *arrays = get_arrays(store, key)
    return Problem(n_users=int(n_users[0]), **dict(zip(ARRAYS, arrays, strict=True)))


def keep_night(waiting: WaitingParts, number: int, night: ShardRounds) -> None:
    """Store a shard's night: what no pass changes, and what its people hold."""
    problem, packed = night.problem, night.packed
    sizes = np.array([problem.n_users, problem.n_slots, packed.bits, len(packed.buckets)])
    arrays = [sizes, *(getattr(problem, name) for name in THIN), *(getattr(packed, name) for name in PACKED)]
    for bucket in packed.buckets:
        arrays += [getattr(bucket, name) for name in BUCKET]
    put_arrays(waiting.lake.store, waiting.key(number, "night"), arrays)
    keep_state(waiting, number, night)


def keep_state(waiting: WaitingParts, number: int, night: ShardRounds) -> None:
    """Store what a shard's people hold and are offered: a row a message, since these are few."""
    arrays = [np.flatnonzero(night.refused), night.asked, night.regret]
    for choice in (night.held, night.offered):
        rows = np.flatnonzero(choice.slot >= 0)
        arrays += [rows, choice.slot[rows], choice.channel[rows], choice.bid[rows]]
    put_arrays(waiting.lake.store, waiting.key(number, "state"), arrays)


def kept_night(waiting: WaitingParts, number: int) -> ShardRounds:
    """Return a shard's night as the last pass left it."""
    arrays = iter(get_arrays(waiting.lake.store, waiting.key(number, "night")))
    n_users, h, bits, n_buckets = next(arrays).tolist()
    thin = {name: next(arrays) for name in THIN}
    nothing: dict[str, Any] = {"value": np.zeros((0, h), np.int64), "allowed": np.zeros((0, h), bool)}
    nothing |= {"channels": np.zeros((0, 0), bool), "room": np.zeros((0, h), np.int16)}
    whole = {name: next(arrays) for name in PACKED}
    buckets = [Bucket(*(next(arrays) for _ in BUCKET), bits=bits) for _ in range(n_buckets)]
    problem = Problem(n_users=n_users, **thin, **nothing)
    refused, asked, regret, *stored = get_arrays(waiting.lake.store, waiting.key(number, "state"))
    choices = []
    for rows, slot, channel, bid in (stored[:4], stored[4:]):
        choice = Choice.none(problem.n_pairs)
        choice.slot[rows], choice.channel[rows], choice.bid[rows] = slot, channel, bid
        choices.append(choice)
    was_refused = np.zeros(problem.n_pairs, bool)
    was_refused[refused] = True
    packed = Packed(buckets=tuple(buckets), bits=bits, **whole)
    return ShardRounds(problem, packed, *choices, was_refused, asked, regret)


# ---- the rows of a shard's decisions, but for what is decided


def undecided_rows(planned: PlannedShard, terms: Terms) -> pa.Table:
    """Return every considered pair of a shard: what is known of it before the night is solved.

    `waits` is how many nights its message waits, 0 = it does not.
    `may_value` is what the best open hour would be worth by the best channel that reaches the person,
    `has_value` whether that covers its channel's cost.
    `later_flat`, `later_share` and, by slot, `later_by_hour` are what a message costs later, which these
    values are net of; the last is there only if the policy prices refusals.
    """
    problem, shard, limits = planned.problem, planned.shard, terms.limits()
    ids = [campaign.id for campaign in terms.campaigns]
    occurrences = [campaign.occurrence for campaign in terms.campaigns]
    names = shard.people.user_id
    codes = pa.array(problem.pair_campaign, pa.int64())
    best = problem.value.max(axis=1, initial=0, where=problem.allowed)
    # What each channel that reaches the person makes of it; one that opens well may cost more than that.
    made = best[:, None]
    if limits.boost.size:
        made = boosted(made, limits.boost[problem.pair_campaign])
    net = np.where(problem.channels, made - limits.cost, -1)
    best = np.where(problem.channels, made, 0).max(axis=1, initial=0)
    later = planned.later
    nothing = np.zeros(problem.n_pairs)
    by_hour = {}
    if later is not None and later.by_hour is not None:
        flat = pa.array(later.by_hour.astype(np.float32).ravel())  # half the bytes, for a sum that is shown
        by_hour["later_by_hour"] = pa.FixedSizeListArray.from_arrays(flat, problem.n_slots)
    # `from_pandas`: NaN means "not drawn" in arrays, null in the table.
    return pa.table(
        {
            "user": pa.array(problem.pair_user, pa.int64()),
            "ordinal": pa.array(shard.people.ordinal[problem.pair_user]),
            "user_id": pa.array(names, pa.string()).take(pa.array(problem.pair_user, pa.int64())),
            "campaign_id": pa.array(ids, pa.string()).take(codes),
            "message_id": pa.array(planned.ids, pa.string()),
            "occurrence": pa.array(occurrences, pa.string()).take(codes),
            "material_id": pa.array(shard.material, pa.string()),
            "material_propensity": pa.array(shard.material_propensity, pa.float64(), from_pandas=True),
            "eligible": shard.eligible,
            "slot_propensity": pa.array(planned.slot_propensity, pa.float64(), from_pandas=True),
            "outcome": pa.array(planned.outcome.tolist(), pa.string()),
            "p_open": pa.array(shard.pairs.p_open),
            "may_value": pa.array(best),
            "has_value": pa.array(net.max(axis=1, initial=-1) > 0),
            "arm": pa.array(planned.arm.tolist(), pa.string()),
            "is_explore": pa.array(problem.is_explore),
            "waits": pa.array(nothing if planned.nights is None else planned.nights, pa.int8()),
            "later_flat": pa.array(nothing if later is None else later.flat),
            "later_share": pa.array(nothing if later is None else later.share),
            **by_hour,
        }
    )


def keep_rows(waiting: WaitingParts, number: int, rows: pa.Table) -> None:
    """Store a shard's undecided rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    waiting.lake.store.put(waiting.key(number, "rows"), sink.getvalue().to_pybytes())


def kept_rows(waiting: WaitingParts, number: int) -> pa.Table:
    """Return what `keep_rows` stored, in one piece."""
    stored = waiting.lake.store.read(waiting.key(number, "rows"))
    return pa.ipc.open_file(pa.BufferReader(stored)).read_all().combine_chunks()


def without_draws(night: ShardRounds, dropped: np.ndarray, thinned: Choice) -> ShardRounds:
    """Return a night whose exploration stratum keeps what fits its reserve."""
    return replace(night, held=thinned, offered=thinned, refused=night.refused | dropped)
