"""The card says what a person should know before promoting, from metrics and lineage only."""

from __future__ import annotations

from typing import Any

from models.card import write_card

TEST = {
    "auc": 0.71, "logloss": 0.30, "logloss_base_rate": 0.32, "calibration_error": 0.01,
    "mean_prediction": 0.1, "mean_label": 0.11,
}  # fmt: skip
METRICS: dict[str, Any] = {
    "test": TEST,
    "test_user_rate_alone": {"auc": 0.6, "logloss": 0.31},
    "n": {"train": 900, "calibration": 50, "test": 100},
    "chosen": {"trees": 0},
}
LINEAGE = {
    "ds": "2026-11-14", "cutoff": "2026-11-07", "left_out": {"no features": 3, "late": 1},
    "code_version": "1.0", "lightgbm": "4.6", "seed": 7, "trees": 40,
}  # fmt: skip
ESTIMATE = {"value": 0.08, "low": 0.07, "high": 0.09, "effective_n": 90.0}


def test_a_model_that_does_not_beat_the_base_rate_is_called_so() -> None:
    assert "It beats the base rate by 0.02000 nats a push." in write_card(METRICS, LINEAGE, {"a": 1.0})
    worse = {**METRICS, "test": {**TEST, "logloss": 0.33}}
    assert "It DOES NOT BEAT the base rate by -0.01000" in write_card(worse, LINEAGE, {})


def test_what_was_left_out_is_counted_under_its_reasons() -> None:
    assert "- **Left out**: 1 late, 3 no features." in write_card(METRICS, LINEAGE, {})
    assert "- **Left out**: nothing." in write_card(METRICS, {**LINEAGE, "left_out": {}}, {})


def test_the_twelve_features_of_most_gain_are_shown() -> None:
    text = write_card(METRICS, LINEAGE, {f"f{n:02d}": float(n) for n in range(1, 15)})
    shown = [line for line in text.splitlines() if line.startswith(("| f0", "| f1"))]
    assert len(shown) == 12
    assert shown[0] == "| f14 | 13.3 % |"
    assert "f02" not in text


def test_off_policy_values_stand_beside_the_champions() -> None:
    assert "What would drawing" not in write_card(METRICS, LINEAGE, {})
    off = {"logging": ESTIMATE, "dr": ESTIMATE}
    metrics = {**METRICS, "off_policy": off, "champion": {"off_policy": off}}
    rows = [line for line in write_card(metrics, LINEAGE, {}).splitlines() if "0.07000 to 0.09000" in line]
    assert [row.split(" | ")[:2] for row in rows] == [
        ["| logging", "mean"],
        ["| this model", "DR"],
        ["| champion", "DR"],
    ]


def test_the_card_says_whether_trees_beat_the_line() -> None:
    alone = write_card(METRICS, LINEAGE, {})
    assert "**Form**: a logistic line. Up to 40 trees" in alone
    assert "none ship" in alone
    more = write_card({**METRICS, "chosen": {"trees": 12}}, LINEAGE, {})
    assert "**Form**: a logistic line and 12 trees on what it leaves over (of up to 40)" in more


def test_the_card_says_which_calibration_won() -> None:
    assert "two numbers (Platt); a bend (isotonic) suited" in write_card(METRICS, LINEAGE, {})
    bent = write_card({**METRICS, "chosen": {"trees": 0, "calibration": "isotonic"}}, LINEAGE, {})
    assert "two numbers and a bend (isotonic), which suited" in bent
