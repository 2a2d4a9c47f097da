"""Breakages of messages that wait for a better night."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_BEST = ("planning/postponing/test_best.py",)
_AHEAD = ("planning/postponing/test_ahead.py",)
_PAIRS = ("planning/test_eligibility.py",)

WAITING = (
    Mutant(
        "what waits keeps tonight's hours",
        "allowed = allowed & (nights == 0)[:, None]",
        "allowed = allowed | (nights == 0)[:, None]",
        _PAIRS,
    ),
    Mutant(
        "hours that are drawn to learn from wait",
        "may = allowed & ~(exempt | is_explore)[:, None]",
        "may = allowed & ~exempt[:, None]",
        _PAIRS,
    ),
    Mutant(
        "a night of waiting loses nothing",
        "np.cumprod([1.0, *(1.0 - NIGHT_LOSS,) * NIGHTS_AHEAD])",
        "np.ones(1 + NIGHTS_AHEAD)",
        _BEST,
    ),
    Mutant(
        "a night takes any number of a person's messages",
        "np.where(week.taken[user] < most,",
        "np.where(week.taken[user] < 99,",
        _BEST,
    ),
    Mutant(
        "messages that are laid out are not felt",
        "self.felt[user] += self.fades",
        "self.felt[user] += 0.0 * self.fades",
        _BEST,
    ),
    Mutant(
        "who feels others refuses no more",
        "tires = fatigue.tires + REFUSALS * fatigue.refuses_more",
        "tires = fatigue.tires",
        _BEST,
    ),
    Mutant(
        "people look forward to a rest that never comes",
        "felt[:, None] * fades + (rate * fatigue.tired_days)[:, None] * (1.0 - fades)",
        "felt[:, None] * fades",
        _BEST,
    ),
    Mutant(
        "messages wait behind one that comes every night",
        "asks[self.user] & ~self.is_nightly))",
        "asks[self.user]))",
        _BEST,
    ),
    Mutant(
        "what may not wait takes room",
        "self.taken[user, night] += may_wait",
        "self.taken[user, night] += 1",
        _BEST,
    ),
    Mutant(
        "a message may wait for ever",
        "within = np.arange(1, NIGHTS_AHEAD + 1) <= left[:, None]",
        "within = np.arange(1, NIGHTS_AHEAD + 1) <= 99 + left[:, None]",
        _AHEAD,
    ),
    Mutant(
        "a material's last day is none to a later night",
        "if self.materials.is_valid(material, stretch.day):",
        "if True:",
        _AHEAD,
    ),
    Mutant(
        "a later night promises more than certainty",
        "return np.minimum(score * gain, 1.0)",
        "return score * gain",
        _AHEAD,
    ),
    Mutant(
        "lift is worth nothing on later nights",
        "return cls(user, best, ahead * ratio[:, None], is_nightly)",
        "return cls(user, best, ahead, is_nightly)",
        _BEST,
    ),
    Mutant(
        "the drawn material decides whether it waits",
        "np.divide(own, best, out=",
        "np.divide(best, best, out=",
        _AHEAD,
    ),
    Mutant(
        "their own quiet hours are tonight's alone",
        "is_open = is_open & ~own[0]",
        "is_open = is_open & ~own[0] if not number else is_open",
        _AHEAD,
    ),
    Mutant(
        "what is late tonight is late on every night",
        "start=terms.start + timedelta(days=number), first_slot=0",
        "start=terms.start + timedelta(days=number)",
        _AHEAD,
    ),
    Mutant(
        "a message waits for the next week's",
        "for day in days])) == occurrence",
        "for day in days])) is not None",
        ("planning/test_inputs.py",),
    ),
    Mutant(
        "who waits is written to by the plan that prices refusals",
        "problem = replace(problem, allowed=problem.allowed & ~waits[:, None])",
        "problem = replace(problem, allowed=problem.allowed)",
        ("planning/later/test_steering.py",),
    ),
    Mutant(
        "the usual product waits like ours",
        "shard = replace(shard, pairs=replace(shard.pairs, later=None))",
        "shard = replace(shard, pairs=shard.pairs)",
        ("rehearsal/test_policies.py",),
    ),
)
