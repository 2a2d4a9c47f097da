"""Make a registered version the champion that the nights score with.

`python -m models.promote --version V --by NAME --reason WHY` reads and writes the registry. A person answers
for it: without `--force` a version that does not beat the base rate by more than luck, or whose log loss or
off-policy value is credibly worse than the champion's on the same pushes, is refused. With `--answer` (what a
DAG passes on) nothing but a named person's approval of this very version promotes it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from angelia import logs
from angelia.answers import Answer, require_approval
from angelia.config import load_settings
from angelia.errors import AngeliaError, GateClosed, InvalidInput
from angelia.output import emit, speak_utf8
from models.registry import Champion, Registry

_ASK = "trigger weekly_retrain again, or answer for it yourself: `python -m models.promote` without --answer"


def objections(metrics: dict[str, Any]) -> list[str]:
    """Return why a version should not become champion, from its own metrics."""
    if "prior" in metrics:
        return ["it is a prior: nothing was trained, since nothing had been pushed"]
    found = []
    test = metrics["test"]
    if test["logloss"] >= test["logloss_base_rate"]:
        found.append(
            f"its log loss {test['logloss']:.4f} is no better than the base rate's "
            f"{test['logloss_base_rate']:.4f}"
        )
    # A hair below the base rate is what labels at random come to, too: the gain must be more than luck.
    elif test.get("gain_over_base", {"low": 1.0})["low"] <= 0:
        gain = test["gain_over_base"]
        found.append(
            f"its log loss is not credibly below that of the base rate and the hour alone "
            f"(gain {gain['value']:.6f}, 95 % from {gain['low']:.6f})"
        )
    against = metrics.get("champion", {}).get("gain_over_champion")
    if against and against["high"] < 0:
        found.append(
            f"its log loss is credibly above the champion's on the same pushes (by {-against['value']:.6f})"
        )
    # The same rounds, round by round: two intervals may overlap where their difference is sure.
    more = metrics.get("champion", {}).get("off_policy_gain")
    if more and more["high"] < 0:
        found.append(
            f"its draws would earn credibly less than the champion's on the same rounds "
            f"({more['value']:.5f} opens a push, 95 % from {more['low']:.5f} to {more['high']:.5f})"
        )
    return found


def promote(
    registry: Registry, version: str, *, actor: str, reason: str, at: str, force: bool = False
) -> Champion:
    """Check a version and make it champion.

    Raises:
        GateClosed: there are objections and `force` is not set.
        NotFound: there is no such version.
        Corrupt: its files were changed.
        Conflict: somebody else promoted meanwhile.
    """
    current = registry.champion()
    found = objections(json.loads(registry.load(version)["metrics.json"]))
    if found and not force:
        raise GateClosed(
            f"model {version} is not promoted: {'; '.join(found)}",
            fix="train again, or take the responsibility with --force",
        )
    return registry.promote(
        version, actor=actor, reason=reason, at=at, expected=current.number if current else 0
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m models.promote", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", required=True, help="a version that `python -m models.train` printed")
    parser.add_argument("--by", required=True, help="who answers for it")
    parser.add_argument("--reason", required=True, help="why")
    parser.add_argument(
        "--answer", metavar="OPTION", help="what was answered in Airflow; only Approve promotes"
    )
    parser.add_argument("--about", metavar="VERSION", default="", help="with --answer: what it was about")
    parser.add_argument("--force", action="store_true", help="promote in spite of objections")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    speak_utf8()
    args = parser.parse_args(argv)
    try:
        if args.answer is not None:
            answer = Answer(args.answer, args.by, args.about)
            require_approval(answer, args.version, f"model {args.version} is not promoted", fix=_ASK)
        if not args.by.strip():
            raise InvalidInput("--by names nobody", fix="a person answers for a model: write --by NAME")
        registry = Registry.configured(load_settings())
        at = datetime.now(UTC).isoformat(timespec="seconds")
        with logs.step("promote") as step:
            step.facts["version"] = args.version
            champion = promote(
                registry, args.version, actor=args.by, reason=args.reason, at=at, force=args.force
            )
    except AngeliaError as error:
        sys.stderr.write(f"error: {error.one_line()}\n")
        return 2
    emit(
        vars(champion),
        [f"champion {champion.number}: {champion.version}, by {champion.actor}: {champion.reason}"],
        args.json,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
