"""Evaluation kernels: ranking, calibration, and off-policy value from logged propensities.

Reads and writes nothing. Kernels take arrays; `play` also takes a Scorer, rounds and a Catalog. n rows are
examples, or rounds of the logging policy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.catalog.snapshot import Catalog
from angelia.contracts.ids import user_keys
from angelia.matching import assign_arms, inverse_gap
from models.behaviour import DAY_US
from models.features import Context
from models.past import Logged
from models.scorer import Scorer

Floats = npt.NDArray[np.float64]
Z95 = 1.959963984540054


def auc(label: Floats, score: Floats) -> float:
    """Return the chance that an opened push scores above one that was not.

    Ties count half; nan if there is one class only. Source: Mann & Whitney (1947), On a test of whether one
    of two random variables is stochastically larger than the other, eq. 1.
    """
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    positives = float(label.sum())
    negatives = len(label) - positives
    if not positives or not negatives:
        return float("nan")
    return float((rank[label > 0].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def logloss(label: Floats, p: Floats, weight: Floats | None = None) -> float:
    """Return the mean negative log-likelihood, in nats."""
    q = np.clip(p, 1e-12, 1 - 1e-12)
    return float(np.average(-(label * np.log(q) + (1 - label) * np.log(1 - q)), weights=weight))


def losses(label: Floats, p: Floats) -> Floats:
    """Return each example's negative log-likelihood, in nats, (n,)."""
    q = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(-(label * np.log(q) + (1 - label) * np.log(1 - q)))


def paired(gain: Floats, user: npt.NDArray[np.generic]) -> dict[str, float]:
    """Return the mean of (n,) differences with a 95 % interval, clustered by user.

    Source: Liang & Zeger (1986), Longitudinal data analysis using generalized linear models, the sandwich of
        a mean with one cluster a user.
    """
    if not len(gain):
        return {"value": 0.0, "low": 0.0, "high": 0.0}
    _, inverse = np.unique(user, return_inverse=True)
    value = float(gain.mean())
    by_user = np.bincount(inverse, weights=gain - value)
    spread = float(np.sqrt((by_user**2).sum())) / len(gain)
    interval = {"value": value, "low": value - Z95 * spread, "high": value + Z95 * spread}
    return {name: round(number, 7) for name, number in interval.items()}


def calibration_error(label: Floats, p: Floats, weight: Floats | None = None, bins: int = 10) -> float:
    """Return the expected calibration error over bins of equal mass.

    Source: Naeini, Cooper & Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian
        binning, eq. 1 (here equal-mass bins).
    """
    w = np.ones_like(p) if weight is None else weight
    total = 0.0
    for part in np.array_split(np.argsort(p, kind="stable"), bins):
        if len(part):
            total += abs(float((w[part] * (p[part] - label[part])).sum()))
    return total / float(w.sum())


@dataclass(frozen=True)
class Estimate:
    """An off-policy value with a 95 % interval and the effective sample size."""

    value: float
    low: float
    high: float
    effective_n: float
    n: int


def ips(reward: Floats, ratio: Floats) -> Estimate:
    """Estimate a policy's mean reward by inverse propensity scores.

    Args:
        reward: (n,) rewards of the logged actions.
        ratio: (n,) evaluation policy's / logging policy's probability of the logged action.

    Source: Horvitz & Thompson (1952), A generalization of sampling without replacement, eq. 4.
    """
    return _estimate(ratio * reward, ratio)


def snips(reward: Floats, ratio: Floats) -> Estimate:
    """Estimate it by self-normalised inverse propensity scores.

    The interval is the delta method's. Source: Swaminathan & Joachims (2015), The self-normalized estimator
    for counterfactual learning, eq. 7.
    """
    total = float(ratio.sum())
    if total <= 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0.0, len(reward))
    value = float((ratio * reward).sum()) / total
    spread = float(np.sqrt(((ratio * (reward - value)) ** 2).sum())) / total
    return Estimate(value, value - Z95 * spread, value + Z95 * spread, _effective(ratio), len(reward))


def doubly_robust(reward: Floats, ratio: Floats, predicted: Floats, expected: Floats) -> Estimate:
    """Estimate it by the doubly robust estimator.

    Args:
        reward: (n,) rewards of the logged actions.
        ratio: (n,) probability ratios of the logged actions.
        predicted: (n,) a reward model's prediction for the logged action.
        expected: (n,) the reward model's expectation under the evaluation policy.

    Source: Dudík, Langford & Li (2011), Doubly robust policy evaluation and learning, eq. 1.
    """
    return _estimate(expected + ratio * (reward - predicted), ratio)


def _estimate(terms: Floats, ratio: Floats) -> Estimate:
    n = len(terms)
    if n < 2:
        return Estimate(float("nan"), float("nan"), float("nan"), float(n), n)
    value, spread = float(terms.mean()), float(terms.std(ddof=1)) / float(np.sqrt(n))
    return Estimate(value, value - Z95 * spread, value + Z95 * spread, _effective(ratio), n)


def _effective(ratio: Floats) -> float:
    squares = float((ratio**2).sum())
    return float(ratio.sum()) ** 2 / squares if squares else 0.0


def ranking_metrics(label: Floats, p: Floats, weight: Floats, base_rate: float) -> dict[str, float]:
    """Return AUC, log loss beside that of `base_rate`, and calibration, to 6 digits."""
    metrics = {
        "auc": auc(label, p),
        "logloss": logloss(label, p, weight),
        "logloss_base_rate": logloss(label, np.full(len(label), base_rate), weight),
        "calibration_error": calibration_error(label, p, weight),
        "mean_label": float(np.average(label, weights=weight)),
        "mean_prediction": float(np.average(p, weights=weight)),
    }
    return {name: round(value, 6) for name, value in metrics.items()}


def contexts_of(catalog: Catalog, campaign_id: str, more: Set[str] = frozenset()) -> list[Context]:
    """Return a campaign's materials, its experiment's arms included, in order of id.

    And those of `more` that the catalog has: a plan may have drawn what the campaign shows no longer.
    """
    topic = catalog.campaigns[campaign_id].topic
    return [
        Context(campaign_id, name, topic, catalog.materials[name].category)
        for name in sorted({*catalog.materials_of(campaign_id), *(more & set(catalog.materials))})
    ]


@dataclass(frozen=True)
class Rounds:
    """Logged rounds seen by another policy, all (n,); nan where a round takes no part.

    Attributes:
        reward: of the logged action.
        ratio: the policy's over the logging policy's probability of that action.
        predicted: the model's expectation of that action's reward.
        expected: its expectation under the policy.
        even: an even draw's over the logging policy's probability: its mean is 1 where what was logged is
            what was drawn from. left_out: rounds that take no part, by reason.
    """

    reward: Floats
    ratio: Floats
    predicted: Floats
    expected: Floats
    even: Floats
    left_out: dict[str, int]

    @property
    def terms(self) -> Floats:
        """Return each round's term of the doubly robust estimate."""
        return self.expected + self.ratio * (self.reward - self.predicted)

    def estimates(self) -> dict[str, Estimate]:
        """Return the policy's mean reward by every estimator; nothing of fewer than two rounds."""
        known = ~np.isnan(self.ratio)
        if known.sum() < 2:
            return {}
        earned, ratio, predicted, expected = (
            values[known] for values in (self.reward, self.ratio, self.predicted, self.expected)
        )
        return {
            "logging": ips(earned, np.ones(len(earned))),
            "ips": ips(earned, ratio),
            "snips": snips(earned, ratio),
            "dr": doubly_robust(earned, ratio, predicted, expected),
        }


def play(scorer: Scorer, logged: Logged, catalog: Catalog) -> Rounds:
    """Return logged rounds as a policy sees them that draws materials by a model's scores.

    It draws from what the plan of the round drew from.
    """
    users, explore = scorer.encode_users(logged.rows, logged.behaviour), catalog.policy.explore
    n = len(logged.reward)
    ratio, predicted, expected, even = (np.full(n, np.nan) for _ in range(4))
    chosen, left_out = choices(logged, catalog)
    for contexts, here, may, action, propensity in chosen:
        scores = scorer.predict(users, contexts, here)
        doubt = np.array([scorer.doubt.get(context.material_id, 1.0) for context in contexts])
        chances = inverse_gap(np.where(may, scores, np.nan), explore.epsilon, doubt)
        at = np.arange(len(here))
        ratio[here] = chances[at, action] / propensity
        even[here] = (may / may.sum(axis=1, keepdims=True))[at, action] / propensity
        predicted[here] = scores[at, action]
        expected[here] = (chances * scores).sum(axis=1)
    return Rounds(logged.reward, ratio, predicted, expected, even, left_out)


Choices = tuple[list[Context], npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.int64], Floats]


def choices(logged: Logged, catalog: Catalog) -> tuple[list[Choices], dict[str, int]]:
    """Return each campaign's usable rounds, and how many are not usable, by reason.

    A campaign's are its materials (k), the rounds' numbers (m,), which materials each could choose from
    (m, k), the one it drew (m,), and that one's propensity (m,). What a plan kept is taken as it is; for
    rounds of no plan it is worked out from the catalog (`eligible`), which cannot know who was in the
    audience of a material.
    """
    rows = logged.rows
    propensity = rows["material_propensity"].cast(pa.float64()).fill_null(np.nan).to_numpy()
    campaigns, materials = (
        np.array(rows[name].to_pylist(), dtype=object) for name in ("campaign_id", "material_id")
    )
    asked = rows.select(["user_id", "locale", "sent_us"])
    usable, left_out = [], Counter(no_propensity=int((~(propensity > 0)).sum()))
    for campaign in sorted({name for name in campaigns.tolist() if name is not None}):
        here = np.flatnonzero((campaigns == campaign) & (propensity > 0))
        if campaign not in catalog.campaigns:
            left_out["campaign_gone"] += len(here)
            continue
        planned = logged.chosen_from[here]
        sets = {place: logged.sets[place] for place in np.unique(planned[planned >= 0]).tolist()}
        contexts = contexts_of(catalog, campaign, {name for chosen in sets.values() for name in chosen})
        position = {context.material_id: k for k, context in enumerate(contexts)}
        may = np.zeros((len(here), len(contexts)), bool)
        for place, chosen in sets.items():
            known = [position.get(name, -1) for name in chosen]
            # A set with a material that the catalog has lost cannot be scored: its rounds stay all false.
            may[np.ix_(planned == place, known)] = min(known) >= 0
        lost = (planned >= 0) & (may.sum(axis=1) == 0)
        free = np.flatnonzero(planned < 0)
        shown = np.isin(list(position), catalog.materials_of(campaign))
        may[free] = eligible(catalog, campaign, list(position), asked.take(pa.array(here[free]))) & shown
        action = np.array([position.get(name, -1) for name in materials[here]], np.int64)
        narrow = any(catalog.materials[name].audience for name in catalog.materials_of(campaign))
        unknown = (planned < 0) if narrow else np.zeros(len(here), bool)
        nothing = may.sum(axis=1) == 0
        out = {"material_gone": lost | (action < 0), "audience_unknown": unknown, "nothing_eligible": nothing}
        keep = np.ones(len(here), bool)
        for reason, flags in out.items():
            left_out[reason] += int((keep & flags).sum())
            keep &= ~flags
        if keep.any():
            here = here[keep]
            usable.append((contexts, here, may[keep], action[keep], propensity[here]))
    return usable, {reason: count for reason, count in sorted(left_out.items()) if count}


def eligible(
    catalog: Catalog, campaign_id: str, materials: Sequence[str], rows: pa.Table
) -> npt.NDArray[np.bool_]:
    """Return which materials each row's person may be shown, (n, k).

    By arm, language and the days a material is valid on.
    """
    may = np.ones((rows.num_rows, len(materials)), bool)
    day = rows["sent_us"].to_numpy() // DAY_US
    name = catalog.campaigns[campaign_id].experiment
    if name:
        experiment = catalog.experiments[name]
        keys = user_keys(rows["user_id"].to_pylist())
        arm = assign_arms(keys, experiment.salt, [one.share_pct for one in experiment.arms])
        shown = [
            [one.materials is None or material in one.materials for material in materials]
            for one in experiment.arms
        ]
        may &= np.array(shown, bool)[arm]
    for column, material in enumerate(materials):
        document = catalog.materials[material]
        locales = document.locales
        if document.valid_from is not None:
            may[:, column] &= day >= (document.valid_from - date(1970, 1, 1)).days
        if document.valid_until is not None:
            may[:, column] &= day <= (document.valid_until - date(1970, 1, 1)).days
        if locales is not None:
            speaks = pc.fill_null(pc.is_in(rows["locale"], pa.array(sorted(locales), pa.string())), False)
            may[:, column] &= np.asarray(speaks.to_numpy(zero_copy_only=False), bool)
    return may


def paired_bootstrap(
    gain: Floats, user: npt.NDArray[np.generic], seed: int, draws: int = 1000
) -> dict[str, float]:
    """Return the mean of (n,) differences and its 95 % interval over resampled users.

    Source: Efron & Tibshirani (1993), An introduction to the bootstrap, ch. 13 (percentiles), by cluster.
    """
    if not len(gain):
        return {"value": 0.0, "low": 0.0, "high": 0.0}
    _, inverse = np.unique(user, return_inverse=True)
    total, rounds = np.bincount(inverse, weights=gain), np.bincount(inverse).astype(np.float64)
    rng, users = np.random.default_rng(seed), len(total)
    means = np.empty(draws)
    for number in range(draws):
        drawn = rng.integers(0, users, users)
        means[number] = total[drawn].sum() / rounds[drawn].sum()
    low, high = np.percentile(means, [2.5, 97.5])
    interval = {"value": float(gain.mean()), "low": float(low), "high": float(high)}
    return {name: round(number, 7) for name, number in interval.items()}


def estimates_json(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    """Return estimates as plain numbers, rounded to 6 digits."""
    return {
        name: {key: round(float(value), 6) for key, value in vars(estimate).items()}
        for name, estimate in estimates.items()
    }
