"""Make a registered version the champion that the nights score with.

`python -m models.promote --version V --by NAME --reason WHY` reads and writes the registry. A person answers
for it: without `--force` a version that misses a bar of `models.judging.bars` is refused: it must beat the
base rate by more than luck, be calibrated, lose no log loss to the champion, be worse in no segment, and draw
credibly better (`--bar non_inferior`: no worse than a margin), have been compared with today's champion
unless it was champion before, and have failed no rehearsal (`angelia rehearse`). With `--answer` (what a DAG
passes on) nothing but a named person's approval of this very version promotes it, and it must have been
rehearsed, or that been skipped with a reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from angelia import logs
from angelia.answers import OperatorAnswer, require_approval
from angelia.config import load_settings
from angelia.errors import GateClosed, InvalidInput
from angelia.output import emit, exit_code, speak_utf8
from models.compiled.trees import EXTRA, compiler, keep_compiled
from models.judging import BARS, objections
from models.judging.rehearsed import objections_of
from models.registry import Champion, Registry

_ASK = "trigger weekly_retrain again, or answer for it yourself: `python -m models.promote` without --answer"


def promote(
    registry: Registry,
    version: str,
    *,
    actor: str,
    reason: str,
    at: str,
    force: bool = False,
    bar: str = BARS[0],
    must_be_rehearsed: bool = False,
) -> Champion:
    """Check a version and make it champion; promoting the champion again changes nothing.

    A rehearsal that it failed is an objection; that there was none is, where it `must_be_rehearsed`.

    Raises:
        GateClosed: there are objections and `force` is not set.
        NotFound: there is no such version.
        Corrupt: its files were changed.
        Conflict: somebody else promoted meanwhile.
    """
    current = registry.champion()
    files = registry.load(version)
    # The present champion needs no verdict: one that is damaged must not refuse what changes nothing.
    if current is not None and current.version == version:
        return current
    metrics = json.loads(files["metrics.json"])
    refusals = objections(metrics, bar) + _stale(registry, version, metrics)
    refusals += objections_of(registry, version, needed=must_be_rehearsed)
    if refusals and not force:
        raise GateClosed(
            f"model {version} is not promoted: {'; '.join(refusals)}",
            fix="train again (of the same day with another --seed), ask for a mere refresh with "
            "--bar non_inferior, or overrule with --force",
        )
    return registry.promote(
        version, actor=actor, reason=reason, at=at, expected=current.number if current else 0
    )


def _stale(registry: Registry, version: str, metrics: dict[str, Any]) -> list[str]:
    """Return the objection that a version was compared with another champion than today's.

    Whoever was champion once may return: going back needs no comparison.
    """
    chain = registry.champions()
    if not chain or "prior" in metrics or version in {entry.version for entry in chain}:
        return []
    compared, current = metrics.get("champion", {}).get("version"), chain[-1].version
    if compared == current:
        return []
    return [f"it was compared with {compared or 'no champion'}, and {current} has become champion since"]


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
    parser.add_argument(
        "--bar",
        choices=BARS,
        default=BARS[0],
        help="what its draws must earn beside the champion's: credibly more, or no less than a margin",
    )
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="make machine code of its trees, once: minutes for large ones, then scoring is several times "
        "faster; needs the extra `compiled`",
    )
    parser.add_argument("--force", action="store_true", help="promote in spite of objections")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    speak_utf8()
    args = parser.parse_args(argv)
    return exit_code(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    """Promote, as the command line asks."""
    if args.answer is not None:
        answer = OperatorAnswer(args.answer, args.by, args.about)
        require_approval(answer, args.version, f"model {args.version} is not promoted", fix=_ASK)
    if not args.by.strip():
        raise InvalidInput("--by names nobody", fix="a person answers for a model: write --by NAME")
    registry = Registry.configured(load_settings())
    at = datetime.now(UTC).isoformat(timespec="seconds")
    with logs.step("promote") as step:
        step.facts["version"] = args.version
        if args.compile and compiler() is None:
            raise InvalidInput("--compile: there is no compiler for trees here", fix=EXTRA)
        champion = promote(
            registry,
            args.version,
            actor=args.by,
            reason=args.reason,
            at=at,
            force=args.force,
            bar=args.bar,
            must_be_rehearsed=args.answer is not None,
        )
        # A champion without machine code scores all the same, so it comes after the promotion.
        compiled = keep_compiled(registry, args.version) if args.compile else "no"
    lines = [f"champion {champion.number}: {champion.version}, by {champion.actor}: {champion.reason}"]
    lines += [f"compiled   {compiled}"] if args.compile else []
    emit({**vars(champion), "compiled": compiled}, lines, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
