"""The optimum of a small night by HiGHS, to hold a plan and its bound against.

A linear program over sets of messages, column by column: HiGHS prices the limits, the per-person step finds
each person's best set at these prices, until no set improves the program. Its value is above every plan's,
since a plan is one of its solutions in whole numbers, and below every bound of prices.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from angelia.planning import Choice, Limits, Problem, best_sets, bound_of
from angelia.planning.choose import Tilt, pack
from angelia.planning.prices import UNREACHED

ROUNDS = 40
ENOUGH = 1e-4  # of the optimum, between the program's value and its bound


def optimum(problem: Problem, limits: Limits, prices: np.ndarray) -> tuple[float, float]:
    """Return the program's value and a bound of the optimum, from these prices on."""
    packed, columns = pack(problem, limits), _Columns(problem, limits)
    for step in range(6):  # sets that are good at nearly these prices
        columns.add(best_sets(problem, limits, prices, packed=packed, tilt=Tilt(0.02 * 1.6**step, 0.0)))
    value, bound = 0.0, float("inf")
    for _ in range(ROUNDS):
        columns.add(best_sets(problem, limits, prices, packed=packed))
        bound = min(bound, bound_of(problem, limits, prices, packed) + limits.worth_of(prices))
        value, prices = columns.solve()
        if bound - value <= ENOUGH * bound:
            break
    return value, bound


class _Columns:
    """The sets of messages met so far: whose, what they are worth, what they use."""

    def __init__(self, problem: Problem, limits: Limits) -> None:
        self.problem, self.limits = problem, limits
        self.known: dict[tuple[int, ...], None] = {}
        self.worth: list[int] = []
        self.person: list[int] = []
        self.uses: list[list[int]] = []

    def add(self, choice: Choice) -> None:
        """Add each person's set unless it is known."""
        rows = np.flatnonzero(choice.slot >= 0)
        used = self.problem.constraints(choice, rows, self.limits).T.tolist()
        sets: dict[int, list[int]] = {}
        for place, user in enumerate(self.problem.pair_user[rows].tolist()):
            sets.setdefault(user, []).append(place)
        slot, channel, bid = (part[rows].tolist() for part in (choice.slot, choice.channel, choice.bid))
        for user, places in sets.items():
            key = (user, *(x for i in places for x in (int(rows[i]), slot[i], channel[i])))
            if key in self.known:
                continue
            self.known[key] = None
            self.person.append(user)
            self.worth.append(sum(bid[i] for i in places))
            self.uses.append([constraint for i in places for constraint in used[i] if constraint >= 0])

    def solve(self) -> tuple[float, np.ndarray]:
        """Return the program's value and the prices of the limits."""
        flat, n = self.limits.flat(), len(self.worth)
        real = np.flatnonzero(flat < UNREACHED)
        place = np.full(len(flat), -1)
        place[real] = np.arange(len(real))
        owner = np.repeat(np.arange(n), [len(used) for used in self.uses])
        constraint = place[np.concatenate([np.array(used, np.int64) for used in self.uses])]
        owner, constraint = owner[constraint >= 0], constraint[constraint >= 0]
        limit = sparse.csr_matrix((np.ones(len(owner)), (constraint, owner)), (len(real), n))
        person = sparse.csr_matrix((np.ones(n), (self.person, np.arange(n))), (self.problem.n_users, n))
        unit = float(max(self.worth))
        solved = linprog(
            -np.array(self.worth) / unit,
            A_ub=sparse.vstack([limit, person]),
            b_ub=np.concatenate([flat[real], np.ones(self.problem.n_users)]),
            method="highs",
        )
        prices = np.zeros(len(flat), np.int64)
        prices[real] = np.rint(np.maximum(-solved.ineqlin.marginals[: len(real)], 0.0) * unit)
        return -solved.fun * unit, prices
