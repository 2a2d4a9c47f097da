"""A night solved: prices, then offers; what a full limit refuses chooses again.

Each step is a pure function of one shard's night and of figures that are sums over shards, so `solve` works
on one problem in memory as on the shards of a cluster: it asks `run` to do a step on every shard and adds up
the answers. A night holds what its people hold; a lost shard is made again from the problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from angelia.planning.admit import admitted, cut_offs, histogram, regrets
from angelia.planning.choose import Packed, best_sets, pack
from angelia.planning.prices import bound_of, corrected, fit_prices, tilt_of, usage
from angelia.planning.problem import I64, Bools, Choice, Limits, Problem
from angelia.planning.routes.fees import Tilt

# Fitted prices ration the first offers: the second is for those whom the first refused. What is left over
# would go idle at those prices, so later offers ask less and less for it.
DISCOUNT = (1.0, 1.0, 0.5, 0.0)
MAX_ROUNDS = len(DISCOUNT)
# A sample's prices miss the whole by its luck; each correction costs a pass.
CORRECTIONS = 2


@dataclass(frozen=True)
class Round:
    """What a finished round fixed: cut-offs by constraint, and what takes nobody any more."""

    cuts: Mapping[int, int]
    closed: tuple[int, ...]


@dataclass(frozen=True)
class ShardRounds:
    """One shard on its way through the rounds.

    `held` is what finished rounds left, `offered` what the open one adds, `refused` who was ever refused.
    `asked` and `regret`: the offered pairs that a full limit may refuse, and what each refusal costs, (r,).
    """

    problem: Problem
    packed: Packed
    held: Choice
    offered: Choice
    refused: Bools
    asked: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    regret: I64 = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, problem: Problem, limits: Limits, drawn: Choice | None = None) -> ShardRounds:
        """Lay a problem out; `drawn` messages have reserved capacity and are never refused."""
        drawn = Choice.none(problem.n_pairs) if drawn is None else drawn
        return cls(problem, pack(problem, limits), drawn, drawn, np.zeros(problem.n_pairs, bool))


# A JSON-ready answer, and the shard after it.
Step = Callable[[ShardRounds], tuple[dict[str, Any], ShardRounds]]
Run = Callable[[Step], list[dict[str, Any]]]


@dataclass(frozen=True)
class Solved:
    """What the shards share once a night is solved.

    `bound`: no plan is worth more. `used`: messages by constraint, the exploration stratum's left out.
    """

    prices: I64
    rounds: tuple[Round, ...]
    bound: int
    used: I64

    def spent(self, limits: Limits) -> list[int]:
        """Return the campaigns whose budget is used up."""
        first = limits.capacity.size
        closed = {number for done in self.rounds for number in done.closed}
        return sorted(number - first for number in closed if first <= number < first + limits.budget.size)


@dataclass(frozen=True)
class RoundOffer:
    """What everybody is offered: prices, tilted or not, and what takes nobody any more."""

    limits: Limits
    prices: I64
    tilt: Tilt | None
    closed: tuple[int, ...] = ()

    def to(self, night: ShardRounds, people: Bools | None = None) -> Choice:
        """Return what people choose beside what they hold.

        `people`, (n,), leaves the others as they are.
        """
        closed = _mask(self.limits, self.closed)
        return best_sets(
            night.problem, self.limits, self.prices, closed, night.held, night.packed, self.tilt, people
        )


def measure(offer: RoundOffer, night: ShardRounds) -> tuple[dict[str, Any], ShardRounds]:
    """Answer what people want."""
    return {"used": usage(night.problem, offer.limits, offer.to(night)).tolist()}, night


def make(offer: RoundOffer, night: ShardRounds) -> tuple[dict[str, Any], ShardRounds]:
    """Make the first offer; answer what it uses, and people's part of the bound."""
    bound = bound_of(night.problem, offer.limits, offer.prices, night.packed)
    answer, after = _offered(offer, night, None)
    return {**answer, "bound": bound}, after


def rank(
    offer: RoundOffer, exceeded: Sequence[int], closed: Sequence[int], night: ShardRounds
) -> tuple[dict[str, Any], ShardRounds]:
    """Answer, by exceeded constraint, what the refusal of offered messages would cost."""
    over, after = _mask(offer.limits, exceeded), _mask(offer.limits, closed)
    rows, regret = regrets(
        night.problem, offer.limits, offer.prices, night.offered, over, after, night.held, night.packed,
        offer.tilt,
    )  # fmt: skip
    answer = {"ranks": histogram(night.problem, offer.limits, night.offered, rows, regret, over)}
    return answer, replace(night, asked=rows, regret=regret)


def admit(
    offer: RoundOffer, finished: Round, following: RoundOffer | None, night: ShardRounds
) -> tuple[dict[str, Any], ShardRounds]:
    """Keep of an offer what the cut-offs admit, and make the following offer on top.

    At the same prices only those who were refused choose anew: less is open, so others keep to their choice.
    """
    limits, problem = offer.limits, night.problem
    stays = admitted(problem, limits, night.offered, night.asked, night.regret, finished.cuts)
    gone = night.asked[~stays]
    keep, refused = night.offered.slot >= 0, night.refused.copy()
    keep[gone], refused[gone] = False, True
    held = night.offered.where(keep)
    after = ShardRounds(problem, night.packed, held, held, refused)
    if following is None:
        return {"held": usage(problem, limits, held).tolist()}, after
    people = None
    if np.array_equal(following.prices, offer.prices) and following.tilt == offer.tilt:
        people = np.zeros(problem.n_users, bool)
        people[problem.pair_user[gone]] = True
    return _offered(following, after, people)


def _offered(
    offer: RoundOffer, night: ShardRounds, people: Bools | None
) -> tuple[dict[str, Any], ShardRounds]:
    choice = offer.to(night, people)
    held, used = (usage(night.problem, offer.limits, each).tolist() for each in (night.held, choice))
    return {"held": held, "used": used}, replace(night, offered=choice)


def _mask(limits: Limits, numbers: Iterable[int]) -> Bools:
    mask = np.zeros(limits.n_constraints, bool)
    mask[list(numbers)] = True
    return mask


def _total(answers: Sequence[Mapping[str, Any]], name: str, limits: Limits) -> I64:
    return np.sum([answer[name] for answer in answers], axis=0, dtype=np.int64) + np.zeros(
        limits.n_constraints, np.int64
    )


def solve(
    run: Run,
    limits: Limits,
    sample: Problem,
    scale: float,
    *,
    start: I64 | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Solved:
    """Fit prices to a sample, and offer until nothing is left.

    The sample stands for `scale` times as many people. `start`: prices to begin with, yesterday's for
    example. `run` does a step on every shard.
    """
    tilt, flat = tilt_of(sample), limits.flat()
    prices = _prices(run, limits, sample, scale, start, report)
    offers = [_discounted(limits, prices, tilt, share) for share in DISCOUNT]
    if not prices.any():
        offers = offers[-1:] * 3  # nothing is scarce: what luck overfills is offered again
    answers = run(partial(make, offers[0]))
    people = sum(answer["bound"] for answer in answers)
    rounds: list[Round] = []
    closed: tuple[int, ...] = ()
    for turn, offer in enumerate(offers):
        offer = replace(offer, closed=closed)
        held, used = _total(answers, "held", limits), _total(answers, "used", limits)
        exceeded = np.flatnonzero(used > flat).tolist()
        wanted = int(used[: limits.capacity.size].sum())
        report(f"offer {turn + 1}: {wanted} wishes, {len(exceeded)} limits exceeded")
        closed = tuple(sorted({*closed, *np.flatnonzero(used >= flat).tolist()}))
        ranks = run(partial(rank, offer, exceeded, closed)) if exceeded else []
        rounds.append(Round(cut_offs([answer["ranks"] for answer in ranks], flat - held), closed))
        # Without refusals and prices that kept somebody out, nothing would follow.
        is_last = turn + 1 == len(offers) or not (exceeded or offer.prices.any())
        following = None if is_last else replace(offers[turn + 1], closed=closed)
        answers = run(partial(admit, offer, rounds[-1], following))
        if is_last:
            break
    used = _total(answers, "held", limits)
    # A minimum that was not reached bounds nothing: the bound is that of the minimum reached.
    reached = limits
    if limits.least.size:
        own = used[limits.capacity.size :][: limits.budget.size]
        reached = replace(limits, least=np.minimum(limits.least, own))
    return Solved(prices, tuple(rounds), people + reached.worth_of(prices), used)


def _discounted(limits: Limits, prices: I64, tilt: Tilt, share: float) -> RoundOffer:
    now = np.rint(prices * share).astype(np.int64)
    return RoundOffer(limits, now, tilt if now.any() else None)


def _prices(
    run: Run,
    limits: Limits,
    sample: Problem,
    scale: float,
    start: I64 | None,
    report: Callable[[str], None],
) -> I64:
    """Return prices fitted to the sample, and corrected unless the sample is everybody."""
    packed, tilt = pack(sample, limits), tilt_of(sample)
    prices = fit_prices(sample, limits, scale, start=start, packed=packed)
    for correction in range(CORRECTIONS if scale > 1.0 else 0):
        used = _total(run(partial(measure, RoundOffer(limits, prices, tilt))), "used", limits)
        excess = np.maximum(used - limits.flat(), 0).sum() / max(used.sum(), 1)
        priced = f"{np.count_nonzero(prices)} of {len(prices)} limits priced"
        report(f"prices {correction + 1}: {priced}, {100 * excess:.1f} % wanted beyond them")
        if not prices.any() and not excess:
            break
        prices = corrected(sample, limits, scale, prices, used, packed)
    return prices


@dataclass
class InMemory:
    """Shards in this process: what `solve` runs its steps on."""

    nights: list[ShardRounds]

    def __call__(self, step: Step) -> list[dict[str, Any]]:
        """Do a step on every shard and return the answers."""
        done = [step(night) for night in self.nights]
        self.nights = [night for _, night in done]
        return [answer for answer, _ in done]


def solve_here(
    problem: Problem, limits: Limits, drawn: Choice | None = None, *, start: I64 | None = None
) -> tuple[Solved, Choice]:
    """Solve a night that fits into memory; return its choice too.

    Prices are fitted to all its people.
    """
    run = InMemory([ShardRounds.of(problem, limits, drawn)])
    solved = solve(run, limits, problem, 1.0, start=start)
    return solved, run.nights[0].held
