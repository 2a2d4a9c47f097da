"""Each bar at its edge: what is refused names the figure and the bar."""

from typing import Any

import pytest

from models.judging.bars import objections


def metrics(**over: Any) -> dict[str, Any]:
    """Return what a version that clears every bar by a hair is measured at."""
    test = {
        "logloss": 0.2, "logloss_base_rate": 0.3, "gain_over_base": {"value": 0.1, "low": 0.01, "high": 0.2},
        "mean_label": 0.1, "calibration_error": 0.0249, "calibration_noise": 0.01,
    }  # fmt: skip
    champion = {
        "version": "v", "is_prior": False, "off_policy": {"dr": {"value": 0.1}},
        "gain_over_champion": {"value": 0.0, "low": -0.00099, "high": 0.001, "loss": 0.2},
        "off_policy_gain": {"value": 0.001, "low": 0.00001, "high": 0.002},
    }  # fmt: skip
    worst = {"segment": "country=DE", "pushes": 300, "value": -0.01, "high": -0.004, "loss": 0.2}
    whole = {
        "test": test,
        "champion": champion,
        "segments": {"against": "the champion", "n": 9, "worst": worst},
    }
    for name, value in over.items():
        part, _, key = name.partition("__")
        whole[part] = whole[part] | {key: value} if key else value
    return whole


def interval(low: float, high: float, **more: float) -> dict[str, float]:
    return {"value": (low + high) / 2, "low": low, "high": high} | more


def test_a_version_that_clears_each_bar_is_not_refused() -> None:
    assert objections(metrics()) == []
    assert objections(metrics(champion={}, segments={"n": 0})) == []
    assert objections(metrics(champion={"version": "v", "not_compared": "other features"})) == []


@pytest.mark.parametrize(
    ("over", "names"),
    [
        ({"test__logloss": 0.3}, ("log loss 0.3000", "base rate's 0.3000")),
        ({"test__gain_over_base": interval(0.0, 0.01)}, ("from 0.000000", "the bar is above 0)")),
        ({"test__calibration_error": 0.0251}, ("0.02510", "0.01000", "the bar is 0.01500")),
        (
            {"champion__gain_over_champion": interval(-0.001, 0.5, loss=0.2)},
            ("may be above the champion's", "from -0.001000", "the bar is above -0.001000"),
        ),
        (
            {"champion__gain_over_champion": interval(-0.5, -0.1, loss=0.2)},
            ("is credibly above the champion's", "to -0.100000"),
        ),
        (
            {"champion__off_policy_gain": interval(0.0, 0.01)},
            ("may earn no more than", "95 % from 0.00000", "the bar is above 0.00000"),
        ),
        ({"champion__off_policy_gain": interval(-0.02, -0.01)}, ("earn credibly less than", "-0.01500")),
        ({"champion__off_policy": {}}, ("no logged round", "the bar is credibly more")),
        (
            {"segments__worst": {"segment": "category=food", "pushes": 250, "value": -0.1, "high": -0.0041,
                                 "loss": 0.2}},
            ("category=food (250 pushes)", "at most -0.00410", "the bar is -0.00400"),
        ),
    ],
)  # fmt: skip
def test_a_missed_bar_is_named_with_its_figure(over: dict[str, Any], names: tuple[str, ...]) -> None:
    (line,) = objections(metrics(**over))
    for name in names:
        assert name in line


def test_a_refresh_may_lose_a_margin_of_its_draws() -> None:
    """By 5 % of what the champion's draws earn, asked for or because the champion is a prior."""
    near, far = interval(-0.0049, 0.01), interval(-0.0051, 0.01)
    assert objections(metrics(champion__off_policy_gain=near), "non_inferior") == []
    (line,) = objections(metrics(champion__off_policy_gain=far), "non_inferior")
    assert "the bar is above -0.00500" in line
    assert len(objections(metrics(champion__off_policy_gain=near))) == 1
    prior = metrics(champion__off_policy_gain=near)
    prior["champion"]["is_prior"] = True
    assert objections(prior) == []
    assert objections(metrics(champion__off_policy={}), "non_inferior") == []
