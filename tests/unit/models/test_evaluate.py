from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.evaluate import (
    auc,
    calibration_error,
    doubly_robust,
    ips,
    logloss,
    losses,
    paired,
    paired_bootstrap,
    snips,
)


def test_auc_counts_pairs_and_ties_half() -> None:
    rng = np.random.default_rng(2)
    label, score = (rng.random(80) < 0.3).astype(float), np.round(rng.random(80), 1)
    pairs = [(1.0 if p > q else 0.5 if p == q else 0.0) for p in score[label > 0] for q in score[label == 0]]
    assert auc(label, score) == pytest.approx(np.mean(pairs))
    assert np.isnan(auc(np.zeros(3), np.arange(3.0)))


def test_auc_is_the_share_of_pairs_in_order() -> None:
    assert auc(np.array([1.0, 0, 1, 0]), np.array([0.9, 0.1, 0.8, 0.2])) == 1.0
    assert auc(np.array([0.0, 1, 0, 1]), np.array([0.9, 0.1, 0.8, 0.2])) == 0.0
    assert auc(np.array([1.0, 0, 1, 0]), np.full(4, 0.5)) == 0.5
    assert auc(np.array([1.0, 0, 0]), np.array([0.5, 0.5, 0.1])) == 0.75


def test_logloss_and_calibration_error() -> None:
    label = np.array([1.0, 0.0, 0.0, 0.0])
    assert logloss(label, np.full(4, 0.25)) == pytest.approx(-(np.log(0.25) + 3 * np.log(0.75)) / 4)
    assert calibration_error(label, np.full(4, 0.25), bins=1) == pytest.approx(0.0)
    assert calibration_error(label, np.full(4, 0.75), bins=1) == pytest.approx(0.5)
    assert np.isfinite(logloss(np.array([1.0]), np.array([0.0])))


def test_a_users_examples_count_as_one() -> None:
    rng = np.random.default_rng(6)
    gain = rng.normal(0.1, 1.0, 400)
    alone = paired(gain, np.arange(400))
    four_times = paired(np.repeat(gain, 4), np.repeat(np.arange(400), 4))
    assert four_times == pytest.approx(alone, abs=1e-6)
    spread = 1.96 * gain.std() / 20
    assert alone["high"] - alone["low"] == pytest.approx(2 * spread, rel=1e-3)
    assert paired(np.zeros(0), np.zeros(0)) == {"value": 0.0, "low": 0.0, "high": 0.0}
    label, p = np.array([1.0, 0.0]), np.array([0.25, 0.5])
    assert losses(label, p).mean() == pytest.approx(logloss(label, p))


def test_users_are_resampled_whole() -> None:
    rng = np.random.default_rng(8)
    gain, user = np.repeat(rng.normal(0.2, 1.0, 300), 3), np.repeat(np.arange(300), 3)
    whole, alone = paired_bootstrap(gain, user, seed=1), paired(gain, user)
    assert whole["value"] == alone["value"]
    assert whole["low"] == pytest.approx(alone["low"], abs=0.03)
    assert whole["high"] == pytest.approx(alone["high"], abs=0.03)
    assert paired_bootstrap(gain, user, seed=1) == whole
    assert paired_bootstrap(gain[:0], user[:0], seed=1) == {"value": 0.0, "low": 0.0, "high": 0.0}


class Bandit:
    """Three actions with known rewards, logged by a known policy that depends on the context."""

    def __init__(self, n: int = 60_000, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.x = rng.integers(0, 2, n)
        means = np.array([[0.1, 0.3, 0.5], [0.5, 0.3, 0.1]])
        logging = np.array([[0.6, 0.3, 0.1], [0.5, 0.25, 0.25]])
        self.target = np.array([[0.1, 0.1, 0.8], [0.8, 0.1, 0.1]])
        action = (rng.random(n)[:, None] > np.cumsum(logging, axis=1)[self.x]).sum(axis=1)
        self.reward = (rng.random(n) < means[self.x, action]).astype(float)
        self.ratio = self.target[self.x, action] / logging[self.x, action]
        self.truth = float((self.target * means)[self.x].sum(axis=1).mean())
        self.model = means
        self.action = action


@pytest.mark.parametrize("estimator", ["ips", "snips", "dr", "dr_bad_model"])
def test_estimators_are_unbiased_and_their_intervals_cover(estimator: str) -> None:
    covered = 0
    for seed in range(40):
        log = Bandit(4000, seed)
        model = log.model if estimator == "dr" else np.full((2, 3), 0.9)
        predicted, expected = model[log.x, log.action], (log.target * model)[log.x].sum(axis=1)
        estimate = {
            "ips": lambda log=log: ips(log.reward, log.ratio),
            "snips": lambda log=log: snips(log.reward, log.ratio),
        }.get(
            estimator, lambda log=log, p=predicted, e=expected: doubly_robust(log.reward, log.ratio, p, e)
        )()
        covered += estimate.low <= log.truth <= estimate.high
        assert estimate.value == pytest.approx(log.truth, abs=0.06)
    assert covered >= 34


def test_a_good_model_narrows_the_interval() -> None:
    log = Bandit(5000)
    plain = ips(log.reward, log.ratio)
    assert plain.effective_n < plain.n == 5000
    assert ips(log.reward, np.ones(5000)).effective_n == pytest.approx(5000)
    assert ips(log.reward, np.ones(5000)).value == pytest.approx(log.reward.mean())
    robust = doubly_robust(
        log.reward, log.ratio, log.model[log.x, log.action], (log.target * log.model)[log.x].sum(axis=1)
    )
    assert robust.high - robust.low < plain.high - plain.low
    assert np.isnan(snips(np.zeros(3), np.zeros(3)).value)
    assert np.isnan(ips(np.zeros(1), np.zeros(1)).value)


def test_one_policys_log_tells_the_others_mean_on_real_rounds(real_data: Callable[..., Path]) -> None:
    folder = real_data("obd_small") / "obd_small"
    random = pq.read_table(folder / "random_all.parquet").to_pandas()
    thompson = pq.read_table(folder / "bts_all.parquet").to_pandas()
    # From the random log, the value of Thompson sampling's average action distribution; compared with its own
    # on-policy mean.
    share = thompson.groupby(["position", "item_id"]).size() / thompson.groupby("position").size()
    target = (
        share.reindex(list(zip(random["position"], random["item_id"], strict=True))).fillna(0.0).to_numpy()
    )
    estimate = snips(random["click"].to_numpy().astype(float), target / random["propensity_score"].to_numpy())
    own = thompson["click"].mean()
    spread = 1.96 * np.sqrt(own * (1 - own) / len(thompson))
    assert estimate.low - spread <= own <= estimate.high + spread


# What zr-obp (commit 8cbd5fa, its InverseProbabilityWeighting, SelfNormalizedInverseProbabilityWeighting and
# DoublyRobust) says of the same rounds: the random log, Thompson sampling's shares by position as the policy.
RECORDED = {
    "all": (0.005035366932711512, 0.0052530721964214695, 0.005225002281121087),
    "men": (0.005656266700835461, 0.005739864701951365, 0.005777691945557614),
    "women": (0.0058056917829497874, 0.005833036087191038, 0.00584238912184327),
}


@pytest.mark.parametrize("campaign", list(RECORDED))
def test_kernels_agree_with_the_open_bandit_pipeline(campaign: str, real_data: Callable[..., Path]) -> None:
    folder = real_data("obd_small") / "obd_small"
    names = ["item_id", "position", "click", "propensity_score"]
    log, other = (
        pq.read_table(folder / f"{policy}_{campaign}.parquet", columns=names).to_pydict()
        for policy in ("random", "bts")
    )
    item, position = np.array(log["item_id"]), np.array(log["position"]) - 1
    reward, k = np.array(log["click"], float), item.max() + 1
    share = np.zeros((3, k))
    np.add.at(share, (np.array(other["position"]) - 1, np.array(other["item_id"])), 1.0)
    share /= share.sum(axis=1, keepdims=True)
    clicks, shown = (np.bincount(item, weights=w, minlength=k) for w in (reward, None))
    model = (clicks + 1.0) / (shown + 200.0)
    ratio = share[position, item] / np.array(log["propensity_score"])
    estimates = (
        ips(reward, ratio),
        snips(reward, ratio),
        doubly_robust(reward, ratio, model[item], (share * model).sum(axis=1)[position]),
    )
    assert [one.value for one in estimates] == pytest.approx(RECORDED[campaign], abs=1e-9)
