"""The per-person step: each person's best set of messages at given prices, exactly.

People are laid out by how many campaigns want them, so that blocks of people are arrays without gaps. In a
block each slot keeps the two best campaigns; the best pair of messages is made of those, since a slot's third
best campaign could be replaced by one of its two better ones. The earlier message is summarised by the best
and the second-best campaign over all slots at least `gap` hours before, so a campaign never meets itself.

Each option is one int64 key, `net << bits | campaign's place | slot`, so one maximum finds value, campaign
and slot. Equal values go to the lower campaign number, then to the earlier slot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from angelia.planning.problem import I64, TOO_MUCH, Bools, Choice, Limits, Problem, boosted, of_each
from angelia.planning.routes.fees import GROUPS, SLOT_BITS, SLOT_MASK, Fees, Tilt, fees

# A block's work stays in the processor's cache, and each step of it takes longer than starting it.
BLOCK_PEOPLE = 2048
_NO_KEY = -(2**62)


@dataclass(frozen=True)
class Bucket:
    """The people whom the same number of campaigns want, w of them.

    Attributes:
        users: user rows, ascending, (u,). rows: pair of each place and person, (w, u). kind: row of the fees,
            (w, u). worth: value where a message may go, far below 0 elsewhere, (w, u, h). room_two: caps
            leave room for a second message, (u, h).
    """

    users: I64
    rows: I64
    kind: I64
    worth: npt.NDArray[np.signedinteger]
    room_two: Bools
    group: I64
    bits: int

    def part(self, people: I64 | slice) -> Bucket:
        """Return some of its people."""
        return Bucket(
            self.users[people],
            self.rows[:, people],
            self.kind[:, people],
            self.worth[:, people],
            self.room_two[people],
            self.group[people],
            self.bits,
        )

    def place_of(self, pair: I64, who: I64) -> I64:
        """Return the place of a pair among each of these people's, (u,); -1 if not theirs."""
        is_it = self.rows[:, who] == pair
        return np.where(is_it.any(axis=0), np.argmax(is_it, axis=0), -1)

    def blocks(self, who: I64) -> Iterator[tuple[slice, Bucket]]:
        """Yield these people in blocks, each with its place among them."""
        is_all = np.array_equal(who, np.arange(len(self.users)))  # a slice copies nothing
        for start in range(0, len(who), BLOCK_PEOPLE):
            here = slice(start, start + BLOCK_PEOPLE)
            yield here, self.part(here if is_all else who[here])


@dataclass(frozen=True)
class Packed:
    """A problem laid out for the per-person step, without what no price can reach."""

    buckets: tuple[Bucket, ...]
    exempt: I64  # transactional pairs, (e,)
    exempt_worth: I64  # as a bucket's, (e, h)
    patterns: Bools  # which channels may carry a pair: the different answers, (p, c)
    pattern: I64  # of each pair, (m,)
    group: I64  # of each pair's person, (m,)
    bits: int  # of a key below its value


def pack(problem: Problem, limits: Limits) -> Packed:
    """Return a problem laid out, without pairs worth less than the cheapest channel."""
    codes = problem.channels.astype(np.int64) @ (1 << np.arange(problem.channels.shape[1]))
    _, first, pattern = np.unique(codes, return_index=True, return_inverse=True)
    patterns = problem.channels[first].reshape(len(first), problem.channels.shape[1])
    k = limits.budget.size
    cheapest = np.where(patterns, limits.cost, TOO_MUCH).min(axis=1, initial=TOO_MUCH)
    # A campaign with a minimum may be paid to send: no worth is too small for it.
    is_wanted = np.zeros(k, bool)
    is_wanted[: limits.least.size] = limits.least > 0
    # What a message costs later may exceed its worth, so a value may lie below 0.
    top = problem.value.max(axis=1, initial=-TOO_MUCH, where=problem.allowed)
    if limits.boost.size:
        top = boosted(top, limits.boost.max(axis=1)[problem.pair_campaign])
    reach = (cheapest < TOO_MUCH)[pattern] & (top > -TOO_MUCH)
    reach &= (top > cheapest[pattern]) | is_wanted[problem.pair_campaign]
    marketing = np.flatnonzero(reach & ~problem.is_exempt & ~problem.is_explore)
    exempt = np.flatnonzero(reach & problem.is_exempt)
    # int32 halves what is read; micro-units of most nights fit.
    least, most = problem.value.min(initial=0), problem.value.max(initial=0)
    fits = least > -(2**30) and most < 2**30 and not is_wanted.any()
    kind, buckets = pattern * k + problem.pair_campaign, []
    users, first, count = np.unique(problem.pair_user[marketing], return_index=True, return_counts=True)
    # A hash of the person, which no shard changes.
    group = (problem.tie & np.uint64(GROUPS - 1)).astype(np.int64)
    mine = group[marketing[first]]
    group[marketing] = np.repeat(mine, count)
    width = np.repeat(count, count)
    bits = SLOT_BITS + max(int(count.max(initial=1)) - 1, 1).bit_length()
    for w in np.unique(count).tolist():
        rows = np.ascontiguousarray(marketing[width == w].reshape(-1, w).T)
        here = users[count == w]
        room = problem.room[here]
        worth = _worth(problem, rows, room >= 1, fits=fits)
        buckets.append(Bucket(here, rows, kind[rows], worth, room >= 2, mine[count == w], bits))
    worth = _worth(problem, exempt, None, fits=False)
    return Packed(tuple(buckets), exempt, worth, patterns, pattern, group, bits)


def _worth(problem: Problem, rows: I64, room: Bools | None, *, fits: bool) -> npt.NDArray[np.signedinteger]:
    never = np.int32(-(2**31)) if fits else np.int64(-TOO_MUCH)
    worth: npt.NDArray[np.signedinteger] = problem.value[rows].astype(never.dtype)
    allowed = problem.allowed[rows]
    worth[~(allowed if room is None else allowed & room)] = never
    return worth


Keys = tuple[I64, I64, I64]  # first and second message (0 = none), and the set's value; each (u,)


def best_of(bucket: Bucket, limits: Limits, tables: Fees, who: I64) -> Keys:
    """Return the best set of these people of a bucket, (u,), who hold nothing yet."""
    first, second, value = (np.zeros(len(who), np.int64) for _ in range(3))
    for here, block in bucket.blocks(who):
        first[here], second[here], value[here] = _sets(block, limits, *_tops(block, tables))
    return first, second, value


def best_more(bucket: Bucket, limits: Limits, tables: Fees, who: I64, held: I64, at: I64) -> tuple[I64, I64]:
    """Return the best message of these people beside the one they hold, and its value.

    `held` is the place of the held message's campaign. Places are -1 where the held campaign is not among the
    bucket's; `at` is the held message's slot.
    """
    key, value = (np.zeros(len(who), np.int64) for _ in range(2))
    slots = np.arange(limits.n_slots)
    for here, block in bucket.blocks(who):
        top, runner = _tops(block, tables)
        own = _place(block, top) == held[here, None]
        best = np.where(own, runner, top)
        at_here = at[here, None]
        # Caps read in time order: a message beside a held one needs room for two at the later of both.
        later = np.where(slots > at_here, block.room_two, np.take_along_axis(block.room_two, at_here, 1))
        best[(np.abs(slots - at_here) < limits.gap_slots) | ~later] = 0
        most = best.max(axis=1, initial=0)
        value[here] = np.maximum(most >> bucket.bits, 0)
        key[here] = np.where(value[here] > 0, most, 0)
    return key, value


def _tops(block: Bucket, tables: Fees) -> tuple[I64, I64]:
    """Return each person's and slot's best and second-best campaign as keys, (u, h) each."""
    w, u, h = block.worth.shape
    bits, last = block.bits, (1 << (block.bits - SLOT_BITS)) - 1
    n_kinds = len(tables.layers[0].key) // tables.n_groups
    offset = block.group * n_kinds if tables.n_groups > 1 else np.int64(0)
    top, runner = np.full((u, h), _NO_KEY), np.full((u, h), _NO_KEY)
    net, less, other = (np.empty((u, h), np.int64) for _ in range(3))
    for place in range(w):
        for number, layer in enumerate(tables.layers):
            into = other if number else net
            worth = layer.worth(block.worth[place])
            np.left_shift(worth, bits, out=into, dtype=np.int64, casting="same_kind")
            np.take(layer.key, block.kind[place] + offset, axis=0, out=less, mode="clip")
            less -= (last - place) << SLOT_BITS
            into -= less
            if number:
                np.maximum(net, other, out=net)
        np.minimum(top, net, out=less)
        np.maximum(top, net, out=top)
        np.maximum(runner, less, out=runner)
    return top, runner


def _place(block: Bucket, key: I64) -> I64:
    last = (1 << (block.bits - SLOT_BITS)) - 1
    return np.asarray(last - ((key >> SLOT_BITS) & last))


def _sets(block: Bucket, limits: Limits, top: I64, runner: I64) -> Keys:
    """Return each person's best set, made of each slot's two best campaigns, (u, h)."""
    h, gap, bits = limits.n_slots, limits.gap_slots, block.bits
    single = top.max(axis=1, initial=0)
    value = np.maximum(single >> bits, 0)
    first, second = np.where(value > 0, single, 0), np.zeros_like(single)
    if limits.max_messages < 2 or gap >= h or len(block.rows) < 2:
        return first, second, value
    may = np.flatnonzero((value > 0) & block.room_two.any(axis=1))
    campaign = ((1 << bits) - 1) ^ SLOT_MASK
    # Slots first: each step is over people who stand side by side. What is not worth sending never adds up.
    tops, runners = (np.where(key >> bits > 0, key, _NO_KEY)[may].T.copy() for key in (top, runner))
    lead, other = _earlier(tops[: h - gap], runners[: h - gap], campaign)
    # A campaign never meets itself: the later one gives way, or the earlier one does.
    meets = ((tops[gap:] ^ lead) & campaign) == 0
    own, lead_value = tops[gap:] >> bits, lead >> bits
    yields, stays = (runners[gap:] >> bits) + lead_value, own + (other >> bits)
    total = np.where(meets, np.maximum(yields, stays), own + lead_value)
    total[~block.room_two[may].T[gap:]] = _NO_KEY
    slot = np.argmax(total, axis=0)
    better = np.flatnonzero(total[slot, np.arange(len(may))] > value[may])
    slot, may = slot[better], may[better]
    meets, is_later = meets[slot, better], yields[slot, better] >= stays[slot, better]
    first[may] = np.where(meets & ~is_later, other[slot, better], lead[slot, better])
    second[may] = np.where(meets & is_later, runners[slot + gap, better], tops[slot + gap, better])
    value[may] = total[slot, better]
    return first, second, value


def _earlier(tops: I64, runners: I64, campaign: int) -> tuple[I64, I64]:
    """Return the best message up to each slot, and the best of another campaign, (h, u) each.

    `tops` and `runners` are each slot's two best, of different campaigns; `campaign` masks a key's campaign.
    """
    lead, other = tops.copy(), runners.copy()
    for slot in range(1, len(tops)):
        before, new = lead[slot - 1], tops[slot]
        # Of two leads the lower is the best of another campaign, unless both are the same campaign's.
        lower = np.minimum(before, new)
        lower[((before ^ new) & campaign) == 0] = _NO_KEY
        np.maximum(before, new, out=lead[slot])
        np.maximum(other[slot], lower, out=other[slot])
        np.maximum(other[slot], other[slot - 1], out=other[slot])
    return lead, other


def best_sets(
    problem: Problem,
    limits: Limits,
    prices: I64,
    closed: Bools | None = None,
    held: Choice | None = None,
    packed: Packed | None = None,
    tilt: Tilt | None = None,
    people: Bools | None = None,
) -> Choice:
    """Return each person's best set at these prices; a person who holds a message may add one.

    Held messages stay as they are. Exploration pairs are not chosen here (their slot was drawn); they come in
    as `held`. `packed` saves laying the problem out again; `people`, (n,), leaves the others as they are.
    """
    packed = pack(problem, limits) if packed is None else packed
    tables = fees(packed.patterns, packed.bits, limits, prices, closed, tilt)
    held = Choice.none(problem.n_pairs) if held is None else held
    choice = Choice(held.slot.copy(), held.channel.copy(), held.bid.copy())
    _choose_exempt(problem, limits, packed, tables, choice)
    rows = np.flatnonzero((held.slot >= 0) & ~problem.is_exempt)
    count = np.bincount(problem.pair_user[rows], minlength=problem.n_users)
    last = np.full(problem.n_users, -1)  # one of the pairs a person holds
    last[problem.pair_user[rows]] = rows
    for bucket in packed.buckets:
        n_held = count[bucket.users]
        if people is not None:
            n_held = np.where(people[bucket.users], n_held, limits.max_messages)
        free = np.flatnonzero(n_held == 0)
        if len(free):
            first, second, _ = best_of(bucket, limits, tables, free)
            for key in (first, second):
                _write(limits, tables, bucket, free, key, choice)
        may_more = bucket.room_two.any(axis=1) if limits.max_messages >= 2 else np.False_
        more = np.flatnonzero((n_held == 1) & may_more)
        if len(more):
            beside = last[bucket.users[more]]
            place = bucket.place_of(beside, more)
            key, _ = best_more(bucket, limits, tables, more, place, held.slot[beside])
            _write(limits, tables, bucket, more, key, choice)
    return choice


def _write(limits: Limits, tables: Fees, bucket: Bucket, who: I64, key: I64, choice: Choice) -> None:
    """Enter the messages of these people that the keys name, (u,)."""
    who, key = who[key > 0], key[key > 0]
    place, slot = _place(bucket, key), SLOT_MASK - (key & SLOT_MASK)
    row = bucket.rows[place, who]
    worth, kind = bucket.worth[place, who, slot], bucket.kind[place, who]
    channel, made = tables.taken(worth, kind, bucket.group[who], slot)
    choice.slot[row], choice.channel[row] = slot, channel
    choice.bid[row] = made - limits.cost[channel]


def exempt_net(problem: Problem, limits: Limits, packed: Packed, which: I64, tables: Fees) -> I64:
    """Return what transactional pairs are worth in each slot after these fees, (r, h).

    `which`: their places in `Packed.exempt`.
    """
    rows, worth = packed.exempt[which], packed.exempt_worth[which]
    kind = packed.pattern[rows] * limits.budget.size + problem.pair_campaign[rows]
    if tables.n_groups > 1:
        kind = kind + packed.group[rows] * len(packed.patterns) * limits.budget.size
    net = np.stack([layer.worth(worth) - layer.fee[kind] for layer in tables.layers])
    return np.asarray(net.max(axis=0))


def _choose_exempt(problem: Problem, limits: Limits, packed: Packed, tables: Fees, choice: Choice) -> None:
    which = np.flatnonzero(choice.slot[packed.exempt] < 0)
    if not len(which):
        return
    net = exempt_net(problem, limits, packed, which, tables)
    slot = np.argmax(net, axis=1)
    good = net[np.arange(len(which)), slot] > 0
    which, slot = which[good], slot[good]
    rows = packed.exempt[which]
    kind = packed.pattern[rows] * limits.budget.size + problem.pair_campaign[rows]
    worth = packed.exempt_worth[which, slot]
    channel, made = tables.taken(worth, kind, packed.group[rows], slot)
    choice.slot[rows], choice.channel[rows] = slot, channel
    choice.bid[rows] = made - limits.cost[channel]


def dual_value(problem: Problem, limits: Limits, prices: I64, choice: Choice) -> int:
    """Return the users' part of the Lagrangian dual: the sum of what their best sets are worth."""
    chosen = problem.priced(choice)
    paid = of_each(problem.constraints(choice, chosen, limits), prices).sum(axis=0)
    return int((choice.bid[chosen] - paid).sum())
