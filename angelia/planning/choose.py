"""The per-user step: given prices, every user's best set of messages, found exactly and independently.

For at most two marketing messages with a minimum gap the best pair is found in O(campaigns x slots): the
earlier message is summarised by the best and second-best campaign over all slots at least `gap` hours before,
so that the later one never meets itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from angelia.planning.problem import I64, NEVER, Choice, Limits, Problem


def net_values(
    problem: Problem, limits: Limits, prices: I64, closed: npt.NDArray[np.bool_] | None = None
) -> tuple[I64, I64]:
    """Return each pair's net value per slot after cost and prices, and the channel that gives it; both (m,
    h).

    `closed` marks constraints (c*h + k,) that take nobody any more. Infeasible options are `NEVER`.
    """
    c, h = limits.capacity.shape
    hour_price, campaign_price = prices[: c * h].reshape(c, h), prices[c * h :]
    shut = np.zeros(limits.n_constraints, bool) if closed is None else closed
    best = np.full((problem.n_pairs, h), NEVER, np.int64)
    by = np.full((problem.n_pairs, h), -1, np.int64)
    for channel in range(c):
        open_hours = (
            problem.allowed
            & ~shut[channel * h : (channel + 1) * h][None, :]
            & problem.channels[:, channel][:, None]
        )
        net = np.where(open_hours, problem.value - limits.cost[channel] - hour_price[channel][None, :], NEVER)
        better = net > best
        best = np.where(better, net, best)
        by = np.where(better, channel, by)
    net = np.where(best > NEVER, best - campaign_price[problem.pair_campaign][:, None], NEVER)
    net[shut[c * h :][problem.pair_campaign]] = NEVER
    return net, np.where(net > NEVER, by, -1)


def best_sets(
    problem: Problem,
    limits: Limits,
    prices: I64,
    closed: npt.NDArray[np.bool_] | None = None,
    held: Choice | None = None,
) -> Choice:
    """Return every user's best set at these prices; `held` messages stay as they are, and a user who holds
    one may add one.

    Exploration pairs are not chosen here (their slot was drawn); they come in as `held`.
    """
    net, by = net_values(problem, limits, prices, closed)
    choice = (
        Choice.none(problem.n_pairs)
        if held is None
        else Choice(held.slot.copy(), held.channel.copy(), held.bid.copy())
    )
    _choose_exempt(problem, net, by, choice)
    free = ~problem.is_exempt & ~problem.is_explore & (choice.slot < 0)
    if free.any():
        _choose_marketing(problem, limits, net, by, choice, free)
    _set_bids(problem, limits, prices, choice, held)
    return choice


def _choose_exempt(problem: Problem, net: I64, by: I64, choice: Choice) -> None:
    rows = np.flatnonzero(problem.is_exempt & (choice.slot < 0))
    slot = np.argmax(net[rows], axis=1)
    good = net[rows, slot] > 0
    rows, slot = rows[good], slot[good]
    choice.slot[rows], choice.channel[rows] = slot, by[rows, slot]


def _choose_marketing(
    problem: Problem, limits: Limits, net: I64, by: I64, choice: Choice, free: npt.NDArray[np.bool_]
) -> None:
    h, gap = problem.n_slots, limits.gap_slots
    rows = np.flatnonzero(free)
    users, place = _places(problem.pair_user[rows])
    width = int(place.max()) + 1
    row_at = np.full((len(users), width), -1, np.int64)
    row_of_user = np.searchsorted(users, problem.pair_user[rows])
    row_at[row_of_user, place] = rows
    grid = np.full((len(users), width, h), NEVER, np.int64)
    grid[row_of_user, place] = net[rows]

    n_held, blocked = _held(problem, limits, choice)
    room = problem.room[users].astype(np.int64)
    grid = np.where(blocked[users][:, None, :] | (room < 1)[:, None, :], NEVER, grid)
    flat = grid.reshape(len(users), -1)
    single = np.argmax(flat, axis=1)
    single_value = flat[np.arange(len(users)), single]

    can_pair = (
        (n_held[users] == 0) & (limits.max_messages >= 2) & (single_value > 0) & (width >= 2) & (gap < h)
    )
    some = np.flatnonzero(can_pair)
    first, second, pair_value = _best_pair(grid[some], room[some] >= 2, gap)
    is_pair = pair_value > single_value[some]
    may_add = (n_held[users] < limits.max_messages) & (single_value > 0)
    may_add[some[is_pair]] = False
    chosen_users = [np.flatnonzero(may_add), some[is_pair], some[is_pair]]
    chosen_cells = [single[may_add], first[is_pair], second[is_pair]]
    for who, cell in zip(chosen_users, chosen_cells, strict=True):
        row, slot = row_at[who, cell // h], cell % h
        choice.slot[row], choice.channel[row] = slot, by[row, slot]


def _best_pair(grid: I64, room_two: npt.NDArray[np.bool_], gap: int) -> tuple[I64, I64, I64]:
    """Return the best (earlier cell, later cell, value) of each user; cells index (campaign place, slot),
    grid is (u, w, h).
    """
    u, w, h = grid.shape
    if u == 0:
        empty = np.zeros(0, np.int64)
        return empty, empty, empty
    # prefix[i, t] = best value of campaign i at any slot <= t, and where
    prefix = np.maximum.accumulate(grid, axis=2)
    slots = np.arange(h)
    where = np.maximum.accumulate(np.where(grid == prefix, slots, -1), axis=2)
    earlier, earlier_at = prefix[:, :, : h - gap], where[:, :, : h - gap]
    top = np.argmax(earlier, axis=1)  # (u, h-gap): best campaign for the earlier message
    top_value = np.take_along_axis(earlier, top[:, None, :], 1)[:, 0]
    rest = earlier.copy()
    np.put_along_axis(rest, top[:, None, :], NEVER, 1)
    runner = np.argmax(rest, axis=1)
    runner_value = np.take_along_axis(rest, runner[:, None, :], 1)[:, 0]
    later = np.where(
        room_two[:, None, gap:], grid[:, :, gap:], NEVER
    )  # (u, w, h-gap), slot t+gap meets prefix t
    is_top = np.arange(w)[None, :, None] == top[:, None, :]
    other = np.where(is_top, runner_value[:, None, :], top_value[:, None, :])
    total = np.where((later > 0) & (other > 0), later + other, NEVER)
    best = np.argmax(total.reshape(u, -1), axis=1)
    place, t = best // (h - gap), best % (h - gap)
    rows = np.arange(u)
    partner = np.where(is_top[rows, place, t], runner[rows, t], top[rows, t])
    first = partner * h + earlier_at[rows, partner, t]
    return first, place * h + t + gap, total[rows, place, t]


def _held(problem: Problem, limits: Limits, choice: Choice) -> tuple[I64, npt.NDArray[np.bool_]]:
    """Return how many marketing messages each user already holds, (n,), and which slots that closes for one
    more, (n, h).

    Caps read in time order: a message beside a held one needs room for two at the later of both.
    """
    held = np.flatnonzero((choice.slot >= 0) & ~problem.is_exempt)
    users, at = problem.pair_user[held], choice.slot[held][:, None]
    count = np.bincount(users, minlength=problem.n_users).astype(np.int64)
    slots = np.arange(problem.n_slots)[None, :]
    later = np.where(slots > at, problem.room[users], np.take_along_axis(problem.room[users], at, 1))
    blocked = np.zeros((problem.n_users, problem.n_slots), bool)
    np.logical_or.at(blocked, users, (np.abs(slots - at) < limits.gap_slots) | (later < 2))
    return count, blocked


def _places(owner: I64) -> tuple[I64, I64]:
    """Return the distinct owners of an ascending array, and each element's place within its owner's run."""
    users, start, count = np.unique(owner, return_index=True, return_counts=True)
    return users, np.arange(len(owner)) - np.repeat(start, count)


def _set_bids(problem: Problem, limits: Limits, prices: I64, choice: Choice, held: Choice | None) -> None:
    """A bid is what a message is worth after its cost, before prices: the order in which a full constraint
    admits.
    """
    new = np.flatnonzero((choice.slot >= 0) & ((held.slot < 0) if held is not None else True))
    choice.bid[new] = problem.value[new, choice.slot[new]] - limits.cost[choice.channel[new]]


def dual_value(problem: Problem, limits: Limits, prices: I64, choice: Choice) -> int:
    """Return Σ over users of the best set's value at these prices: the users' part of the Lagrangian dual."""
    chosen = problem.priced(choice)
    hours, campaigns = problem.constraints(choice, chosen, limits)
    return int((choice.bid[chosen] - prices[hours] - prices[campaigns]).sum())
