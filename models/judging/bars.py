"""The bars of a promotion: each refusal names the figure and the bar it misses.

Reads and writes nothing: metrics in, sentences out. A version must beat the base rate by more than luck, be
calibrated, be in no segment credibly worse than a margin, and lose no more log loss than a margin to the
champion. What its draws would earn more than the champion's, round by round, must lie above zero with its
whole interval (`superior`), or above a margin below zero where a person states that a mere refresh is wanted
(`non_inferior`), and where the champion is a prior: nothing was learned that could be lost.
"""

from __future__ import annotations

from typing import Any

SUPERIOR, NON_INFERIOR = "superior", "non_inferior"
BARS = (SUPERIOR, NON_INFERIOR)
LOSS_MARGIN = 0.005  # of the champion's log loss: what a refresh may lose by chance
DRAWS_MARGIN = 0.05  # of what the champion's draws earn
CALIBRATION_MARGIN = 0.15  # of the mean label, beyond what chance explains
SEGMENT_MARGIN = 0.02  # of a segment's log loss
Metrics = dict[str, Any]


def objections(metrics: Metrics, bar: str = SUPERIOR) -> list[str]:
    """Return why a version should not become champion, from its own metrics."""
    if "prior" in metrics:
        return ["it is a prior: nothing was trained, since nothing had been pushed"]
    refusals = [_base(metrics["test"]), _calibration(metrics["test"]), _segment(metrics.get("segments", {}))]
    champion = metrics.get("champion", {})
    # A champion of another feature list cannot be compared: the version stands on its own figures.
    if "gain_over_champion" in champion:
        refusals += [_loss(champion["gain_over_champion"], metrics["test"]["logloss"]), _draws(champion, bar)]
    return [line for line in refusals if line]


def _base(test: Metrics) -> str | None:
    if test["logloss"] >= test["logloss_base_rate"]:
        return (
            f"its log loss {test['logloss']:.4f} is no better than the base rate's "
            f"{test['logloss_base_rate']:.4f}"
        )
    # A hair below the base rate is what labels at random come to, too: the gain must be more than luck.
    gain = test.get("gain_over_base", {"low": 1.0})
    if gain["low"] > 0:
        return None
    return (
        f"its log loss is not credibly below that of the base rate and the hour alone "
        f"(gain {gain['value']:.6f}, 95 % from {gain['low']:.6f}; the bar is above 0)"
    )


def _calibration(test: Metrics) -> str | None:
    if "calibration_noise" not in test:  # a version of before this was measured
        return None
    error, bar = test["calibration_error"], CALIBRATION_MARGIN * test["mean_label"]
    if error - test["calibration_noise"] <= bar:
        return None
    return (
        f"its probabilities are off by {error:.5f} on average, {test['calibration_noise']:.5f} of it by "
        f"chance; the bar is {bar:.5f} beyond chance"
    )


def _segment(judged: Metrics) -> str | None:
    worst = judged.get("worst")
    if not worst or worst["high"] >= -SEGMENT_MARGIN * worst["loss"]:
        return None
    return (
        f"for {worst['segment']} ({worst['pushes']} pushes) its log loss is credibly above that of "
        f"{judged['against']} (gain {worst['value']:.5f}, 95 % of {judged['n']} segments at most "
        f"{worst['high']:.5f}; the bar is {-SEGMENT_MARGIN * worst['loss']:.5f})"
    )


def _loss(gain: Metrics, loss: float) -> str | None:
    bar = -LOSS_MARGIN * gain.get("loss", loss)
    if gain["low"] > bar:
        return None
    certain = "is credibly above" if gain["high"] < 0 else "may be above"
    return (
        f"its log loss {certain} the champion's on the same pushes (gain {gain['value']:.6f}, 95 % from "
        f"{gain['low']:.6f} to {gain['high']:.6f}; the bar is above {bar:.6f})"
    )


def _draws(champion: Metrics, bar: str) -> str | None:
    gain, earned = champion.get("off_policy_gain"), champion.get("off_policy", {}).get("dr")
    bar = NON_INFERIOR if champion.get("is_prior") else bar
    if not gain or not earned:
        if bar == NON_INFERIOR:
            return None
        return "no logged round tells what its draws would earn; the bar is credibly more than the champion's"
    least = -DRAWS_MARGIN * max(earned["value"], 0.0) if bar == NON_INFERIOR else 0.0
    if gain["low"] > least:
        return None
    certain = "earn credibly less than" if gain["high"] < 0 else "may earn no more than"
    return (
        f"its draws {certain} the champion's on the same rounds ({gain['value']:.5f} opens a push, 95 % from "
        f"{gain['low']:.5f} to {gain['high']:.5f}; the bar is above {least:.5f})"
    )
