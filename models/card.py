"""The model card: what a person should know before promoting a version, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from angelia.output import percent

_TOP = 12


def write_card(metrics: Mapping[str, Any], lineage: Mapping[str, Any], gain: Mapping[str, float]) -> str:
    """Return the card; numbers come from metrics and lineage only."""
    test, n = metrics["test"], metrics["n"]
    better = test["logloss_base_rate"] - test["logloss"]
    total = sum(gain.values()) or 1.0
    top = sorted(gain.items(), key=lambda item: (-item[1], item[0]))[:_TOP]
    left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(lineage["left_out"].items()))
    lines = [
        f"# p(open) as of {lineage['ds']}",
        "",
        (
            "Probability that a person opens a push within 24 hours, given person, campaign and "
            "material, at a mean hour of those pushed in."
        ),
        "",
        f"- **Data**: pushes after {lineage['cutoff']} up to {lineage['ds']}: {n['train']} to "
        f"train, {n['calibration']} later ones to calibrate, "
        f"{n['test']} latest to test. Features as of {lineage['cutoff']}.",
        f"- **Left out**: {left_out or 'nothing'}.",
        (
            f"- **Made by**: code {lineage['code_version']}, LightGBM {lineage['lightgbm']}, seed "
            f"{lineage['seed']}."
        ),
        _form(metrics["chosen"]["trees"], lineage["trees"]),
        _bend(metrics["chosen"].get("calibration", "platt")),
        "",
        "## Is it any good?",
        "",
        "| on the latest pushes | this model | always the base rate | the user's own open rate |",
        "|---|---|---|---|",
        f"| AUC | {test['auc']:.4f} | 0.5 | {metrics['test_user_rate_alone']['auc']:.4f} |",
        (
            f"| log loss | {test['logloss']:.4f} | {test['logloss_base_rate']:.4f} | "
            f"{metrics['test_user_rate_alone']['logloss']:.4f} |"
        ),
        f"| calibration error | {test['calibration_error']:.4f} | | |",
        f"| mean predicted / opened | {test['mean_prediction']:.4f} / {test['mean_label']:.4f} | | |",
        "",
        f"It {'beats' if better > 0 else 'DOES NOT BEAT'} the base rate by {better:.5f} nats a push.",
        "",
    ]
    # Histories without logged material propensities support no off-policy estimate; the card leaves it out.
    if metrics.get("off_policy"):
        lines += [
            "## What would drawing materials with it have earned?",
            "",
            (
                "Opens per push on the latest logged rounds, with 95 % intervals; *logging* is what "
                "was really drawn."
            ),
            "",
            "| policy | estimator | value | 95 % | effective rounds |",
            "|---|---|---|---|---|",
            *_rows("this model", metrics["off_policy"]),
            *_rows("champion", metrics.get("champion", {}).get("off_policy", {})),
            "",
            *_rounds(metrics.get("rounds", {})),
        ]
    if metrics.get("fatigue"):
        lines += _fatigue(metrics["fatigue"])
    lines += [
        "## What it looks at",
        "",
        "| feature | share of gain |",
        "|---|---|",
        *(f"| {name} | {percent(100 * value / total)} |" for name, value in top),
        "",
        "## When not to trust it",
        "",
        "- New campaigns and materials are scored as average ones until they have been pushed.",
        (
            "- Opens are of people who were sent something: a logging policy that left people out "
            "leaves them out here, too."
        ),
        "- Off-policy values need logged material propensities; without them this card has none.",
        "",
    ]
    return "\n".join(lines)


def _rounds(rounds: Mapping[str, Any]) -> list[str]:
    even = rounds.get("even_weight")
    if not even:
        return []
    left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(rounds["left_out"].items()))
    return [
        f"{rounds['n']} rounds, {rounds['unsent']} of them drawn and never sent, {rounds['unplanned']} of no "
        f"known plan; left out: {left_out or 'nothing'}. An even draw weighs {even['value']:.4f} of them "
        f"({even['low']:.4f} to {even['high']:.4f}); far from 1, the log lacks draws or what they were from.",
        "",
    ]


def _rows(policy: str, estimates: Mapping[str, Mapping[str, float]]) -> list[str]:
    rows = []
    for name, e in estimates.items():
        if name == "logging" and policy == "champion":
            continue
        who = "logging" if name == "logging" else policy
        label = "mean" if name == "logging" else name.upper()
        interval = f"{e['low']:.5f} to {e['high']:.5f}"
        rows.append(f"| {who} | {label} | {e['value']:.5f} | {interval} | {e['effective_n']:.0f} |")
    return rows


def _form(kept: int, tried: int) -> str:
    """Say what won: the logistic line is the floor, and trees ship only if they make it better."""
    if not kept:
        return (
            f"- **Form**: a logistic line. Up to {tried} trees on what it leaves over were tried, and did "
            "not lower its loss on the calibration days: none ship."
        )
    return (
        f"- **Form**: a logistic line and {kept} trees on what it leaves over (of up to {tried}), which "
        "lowered its loss on the calibration days."
    )


def _bend(method: str) -> str:
    """Say which calibration won: two numbers are the floor."""
    if method == "platt":
        return "- **Calibration**: two numbers (Platt); a bend (isotonic) suited unseen pushes no better."
    return "- **Calibration**: two numbers and a bend (isotonic), which suited unseen pushes better."


def _fatigue(figures: Mapping[str, Any]) -> list[str]:
    """Return the section on what a message costs later."""
    evidence = figures["evidence"]
    tires, more, refuses = (evidence[name] for name in ("tires", "refuses_more", "refuses"))
    return [
        "## What does a message cost later?",
        "",
        (
            f"Effects per unit of log(1 + messages still felt), which fade by e in {figures['tired_days']:g} "
            "days. *Priced* leans to zero by a prior and is what the plan uses."
        ),
        "",
        "| effect | counted | 95 % | priced | of |",
        "|---|---|---|---|---|",
        (
            f"| on opens, each person against themselves | {tires['counted']:+.3f} | {_interval(tires)} | "
            f"{-figures['tires']:+.3f} | {tires['n']:,} opens |"
        ),
        (
            f"| on refusals | {more['counted']:+.3f} | {_interval(more)} | {figures['refuses_more']:+.3f} | "
            f"{refuses['n']:,} refusals |"
        ),
        (
            f"| refusals a push to somebody rested | | {refuses['low']:.6f} to {refuses['high']:.6f} | "
            f"{figures['refuses']:.6f} | {refuses['pushes']:,} pushes |"
        ),
        "",
    ]


def _interval(effect: Mapping[str, Any]) -> str:
    return "unknown" if effect["low"] is None else f"{effect['low']:+.3f} to {effect['high']:+.3f}"
