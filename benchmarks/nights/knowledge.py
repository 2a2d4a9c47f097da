"""How much of what can be known our probabilities know, beside the truth and one rate.

Everybody is offered one material of each campaign, drawn evenly among those that they may get, at an hour
drawn evenly among those that are not quiet: so neither our choices nor our hours make it easy. The night lies
after everything that the model was trained on. Labels are expectations under the truth, so only people and
draws add chance. Hours are compared over all that are not quiet, each with the mean of them for the same
person and material: what the person's curve knows of the true shape, and what the curve and the category's
hours know together. Reads a night as policies see it, and asks the world.
"""

from __future__ import annotations

import numpy as np

from angelia.contracts.ids import uniform
from angelia.planning.eligibility import F64, Bools, open_hours, slot_chance, slot_response
from angelia.rehearsal.policies import PolicyView, Truth, evenly, nth_true
from models.evaluate import logloss


def knowledge(night: PolicyView) -> dict[str, float]:
    """Return AUC and log loss of our probabilities, of the truth and of one rate for all."""
    people, shard = night.people, night.with_materials(evenly(night, "knowledge"))
    local, quiet, off = open_hours(night.terms, people)
    pairs = shard.pairs
    open_slots = ~quiet[pairs.user]
    has = np.flatnonzero(pairs.has_material & open_slots.any(axis=1))
    lot = uniform(people.keys[pairs.user] + pairs.campaign.astype(np.uint64), "knowledge hour", night.ds)
    slot = nth_true(open_slots, lot)[has]
    names = [str(shard.material[i]) for i in has.tolist()]
    by_slot = Truth(night).of(pairs.user[has], names)
    truth = by_slot[np.arange(len(has)), slot]
    curve, factor = (response[has] for response in slot_response(people, pairs, local, off))
    ours = slot_chance(people, pairs, local, off)[has, slot]
    rate = np.full(len(has), truth.mean())
    return {
        "offers": len(has),
        "auc": expected_auc(truth, ours),
        "auc_truth": expected_auc(truth, truth),
        "log_loss": logloss(truth, ours),
        "log_loss_truth": logloss(truth, truth),
        "log_loss_rate": logloss(truth, rate),
        "correlation": correlation(ours, truth),
    } | hours(by_slot, curve, factor, open_slots[pairs.user[has]])


def hours(truth: F64, curve: F64, factor: F64, is_open: Bools) -> dict[str, float]:
    """Return how well the hours of offers are known, beside the person's curve alone.

    All are (m, h). A shape is a value over the mean of the offer's open hours: `hours_correlation` is that of
    our shape with the true one over all open hours, `hours_response` the true shape at our best hour,
    `hours_response_best` at the truly best one.
    """

    def shape(values: F64) -> F64:
        opened = np.where(is_open, values, 0.0)
        return np.asarray(opened / (opened.sum(axis=1) / is_open.sum(axis=1))[:, None])

    true, row = shape(truth), np.arange(len(truth))
    known = {"hours_correlation": shape(curve * factor), "hours_correlation_curve": shape(curve)}
    best = {"hours_response": curve * factor, "hours_response_curve": curve, "hours_response_best": truth}
    return {name: correlation(values[is_open], true[is_open]) for name, values in known.items()} | {
        name: float(true[row, np.where(is_open, values, -1.0).argmax(axis=1)].mean())
        for name, values in best.items()
    }


def correlation(ours: F64, truth: F64) -> float:
    """Return Pearson's correlation, 0 where one of them is the same everywhere."""
    return float(np.corrcoef(ours, truth)[0, 1]) if min(np.ptp(ours), np.ptp(truth)) > 1e-12 else 0.0


def expected_auc(chance: F64, score: F64) -> float:
    """Return the chance that what is opened scores above what is not; ties count half.

    Everything is opened with its own chance. Source: Mann & Whitney (1947), eq. 1, in expectation.
    """
    _, level = np.unique(score, return_inverse=True)
    against = np.bincount(level, weights=1.0 - chance)
    below = np.cumsum(against) - against / 2
    # Nothing is compared with itself.
    own = float((chance * (1.0 - chance)).sum())
    wins = float((chance * below[level]).sum()) - own / 2
    return wins / (float(chance.sum()) * float((1.0 - chance).sum()) - own)
