"""Breakages of what is decided: plan, draw, model, gate, guard."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

DECIDING = (
    # ---- the plan
    Mutant(
        "no hour is set aside for exploration",
        "capacity=np.floor(capacity * rest).astype(np.int64),",
        "capacity=capacity,",
        ("planning/test_terms.py",),
    ),
    Mutant(
        "no budget is set aside for exploration",
        "np.where(budget == NO_BUDGET, budget, np.floor(budget * rest).astype(np.int64))",
        "budget",
        ("planning/test_terms.py",),
    ),
    Mutant(
        "a cut-off overfills capacity",
        "if by_rank[place] > rest:",
        "if rest <= 0:",
        ("planning/test_admit.py",),
    ),
    Mutant(
        "the highest vendor limit counts, not the lowest",
        "limits[vendor] = min(most, limits.get(vendor, most))",
        "limits[vendor] = max(most, limits.get(vendor, most))",
        ("planning/test_eligibility.py",),
    ),
    Mutant(
        "a canary's rest goes with it",
        "is_early[clock] == in_canary(",
        "is_early[clock] | ~in_canary(",
        ("planning/canary/test_hours.py",),
    ),
    Mutant(
        "a campaign ends a day early",
        "local.date <= np.datetime64(campaign.end_date)",
        "local.date < np.datetime64(campaign.end_date)",
        ("planning/test_eligibility.py",),
    ),
    Mutant(
        "a campaign's last day is not looked at",
        "isinstance(document, Campaign) and document.end_date >= today:",
        "isinstance(document, Campaign) and document.end_date > today:",
        ("planning/test_limits.py",),
    ),
    Mutant(
        "an hour's looks are left out of the price of a refusal",
        "np.maximum(1.0 + TILT * (curve - 1.0), 0.0)",
        "np.ones_like(curve)",
        ("planning/later/test_refusals.py",),
    ),
    Mutant(
        "a second message need not bear the first",
        "np.bincount(user[bears], minlength=n_users) >= 2",
        "np.bincount(user[bears], minlength=n_users) >= 0",
        ("planning/later/test_refusals.py",),
    ),
    Mutant(
        "messages without worth earn by being seldom refused",
        "np.where(before > 0, cost, np.maximum(cost, 0.0))",
        "cost",
        ("planning/later/test_steering.py",),
    ),
    Mutant(
        "the price of a limit on refusals takes and never gives",
        "(risk / price.reference - price.at_most)",
        "(risk / price.reference)",
        ("planning/later/test_steering.py",),
    ),
    Mutant(
        "the usual way finds room in full hours",
        "fits * int(further.sum())",
        "int(further.sum())",
        ("planning/later/test_steering.py",),
    ),
    Mutant(
        "a limit on refusals may silence a night",
        "if len(rows) < fewest:",
        "if len(rows) < 0:",
        ("planning/later/test_steering.py",),
    ),
    Mutant(
        "a price of refusals is shown and not paid",
        "return net if self.by_hour is None else net - self.by_hour",
        "return net",
        ("planning/later/test_refusals.py",),
    ),
    Mutant(
        "suppressed people count as reachable",
        "allowed = ~is_suppressed[owners]",
        "allowed = is_suppressed[owners] | True",
        ("audience/test_commands.py",),
    ),
    # ---- gate and guard
    Mutant(
        "a closed gate is not asked",
        "require_open(GATE, ds, checks)",
        "pass",
        ("planning/test_verdict.py",),
    ),
    Mutant(
        "the guard's other commits go unlooked at",
        "for commit in (decisions, *others):",
        "for commit in (decisions,):",
        ("planning/test_verdict.py",),
    ),
    Mutant("nobody's answer counts", "if not self.by.strip():", "if False:", ("test_answers.py",)),
    Mutant(
        "a check without a result passes",
        'outcomes.get(check.name) or Outcome(check.name, (), "no result")',
        "outcomes.get(check.name) or Outcome(check.name, ())",
        ("contracts/test_gx.py",),
    ),
    Mutant(
        "an empty partition passes",
        "min_value=check.minimum if counts else None,",
        "min_value=0 if counts else None,",
        ("quality/test_empty_partitions.py", "contracts/test_gx.py"),
    ),
    # ---- models
    Mutant(
        "the gap does not steer the draw",
        "gamma = np.maximum(n - 1, 0) / max(loss, 1e-9)",
        "gamma = np.maximum(n - 1, 0) * max(loss, 1e-9)",
        ("matching/test_draw.py",),
    ),
    Mutant(
        "days to come teach",
        "here = (when <= day) & (when > day - WINDOW_DAYS)",
        "here = when > day - WINDOW_DAYS",
        ("models/test_behaviour.py",),
    ),
    Mutant(
        "pushes to come teach",
        "pa.array((when <= day) & (when > day - WINDOW_DAYS))",
        "pa.array(when > day - WINDOW_DAYS)",
        ("models/test_behaviour.py",),
    ),
    Mutant(
        "calibration is fitted on training rows",
        'calibration = examples.part("calibration")\n    raw',
        'calibration = examples.part("train")\n    raw',
        ("models/test_train.py",),
    ),
    Mutant(
        "every interval counts alone",
        "if p > level / (len(p_values) - rank):",
        "if p > level:",
        ("effects/test_multiple.py",),
    ),
)
