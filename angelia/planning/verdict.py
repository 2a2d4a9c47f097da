"""The verdicts of gate and guard on a plan: only a plan that they judged goes out.

Grain: night. Reads the newest verdicts of the gate `plan` and of the guard from `quality/{branch}/{ds}`;
    writes nothing. A verdict cites the commits it judged, by content; its id is a hash of all that it says,
    so that the same plan judged again the same way has the same id. Manifests of main need both verdicts,
    open and of the very commits they are made from; a replay sends nothing, and needs none. Surprise: whether
    a person was asked does not matter here, only what was answered, by whom and to which verdict.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from angelia.answers import APPROVE, REJECT, OperatorAnswer
from angelia.errors import Corrupt, GateClosed, NotFound
from angelia.lake import Commit, Lake, numbered
from angelia.output import percent
from angelia.quality.verdicts import load_with_seen, require_open

TOPIC, GATE = "guard", "plan"
# What the question to each verdict of the guard offers, the option that sends what is held first.
OFFERED: Mapping[str, tuple[str, str]] = {
    "campaigns": ("Send them, too", "Leave them out"),
    "night": (APPROVE, REJECT),
}


@dataclass(frozen=True)
class Released:
    """What may be emitted of a plan: all but `held`, by which verdict, and for whom.

    `refused` says why an answer did not count, where one was asked for.
    """

    held: tuple[str, ...] = ()
    verdict_id: str | None = None
    answered_by: str | None = None
    refused: str | None = None

    def recorded(self) -> dict[str, str]:
        """Return what the manifests' commit keeps of it: the verdict, and who answered it."""
        kept = {"verdict": self.verdict_id, "answered_by": self.answered_by}
        return {name: value for name, value in kept.items() if value is not None}


def identified(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a verdict of the guard with its `verdict_id`.

    The id is 12 hex digits of the hash of all else it says.
    """
    content = {name: value for name, value in result.items() if name != "verdict_id"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return {**content, "verdict_id": hashlib.sha256(canonical.encode()).hexdigest()[:12]}


def lines(result: Mapping[str, Any]) -> list[str]:
    """Return what a person should read before deciding."""
    planned = result["figures"]["messages"]
    heads = {
        "open": "plausible: nothing is out of bounds",
        "missing": f"nothing is held back, but look at what plans no message: {', '.join(result['missing'])}",
        "campaigns": (
            f"held back unless a person wants them: "
            f"{', '.join(f'{name} ({planned[name]:,})' for name in result['held'])}"
        ),
        "night": "the night is held back unless a person wants it",
    }
    head = (
        f"{result['decisions'].partition('#')[0]}: {sum(planned.values()):,} messages, {result['history']}; "
        f"{heads[result['verdict']]}"
    )
    breaches = [f"  {breach['severity']}: {breach['says']}" for breach in result["breaches"]]
    judged = {
        name
        for breach in result["breaches"]
        if breach["check"] == "provider_limits"
        for name in breach["campaigns"]
    }
    # Too few to hold a campaign back, and still worth a look. Verdicts of older versions count none.
    refused, tried = result["figures"].get("refused", {}), result["figures"].get("rendered", {})
    few = [
        f"  {refused_line(name, reasons, tried.get(name, 0))}"
        for name, reasons in sorted(refused.items())
        if name not in judged
    ]
    return [head, *breaches, *few, f"  verdict {result['verdict_id']} on {result['decisions']}"]


def refused_line(campaign: str, reasons: Mapping[str, int], tried: int) -> str:
    """Return how many of a campaign's sampled messages its providers would reject, and why."""
    bad = sum(reasons.values())
    named = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
    share = 100.0 * bad / tried if tried else 0.0
    return (
        f"{bad} of {tried} sampled messages of {campaign} ({percent(share)}) would be rejected by the "
        f"provider: {named}"
    )


def release(lake: Lake, decisions: Commit, others: Sequence[Commit], answer: OperatorAnswer) -> Released:
    """Return what may be emitted of a plan.

    Args:
        lake: whose branch is written; a replay's guard is heard where it judged this plan.
        decisions: the plan that manifests are about to be made from.
        others: what else they are made from, and gate and guard looked at: features, the catalog's snapshot.
        answer: of a person to the guard, if any.

    Raises:
        NotFound: gate or guard have no verdict on this night.
        GateClosed: the gate is closed, the guard crashed, one of them judged another commit, or the guard
            holds the night back and no named person approved it.
        Corrupt: a verdict is not the one that was stored.
    """
    ds = decisions.partition["ds"]
    stored = numbered.load(lake, TOPIC, ds)
    if lake.branch != "main":
        heard = stored[1] if stored and isinstance(stored[1], dict) else {}
        judged_this = heard.get("decisions") == decisions.citation()
        return Released(tuple(heard.get("held", ()))) if judged_this else Released()
    again = (
        f"run `angelia quality check --gate {GATE} --ds {ds}`, then `angelia plan guard --ds {ds}`; what "
        "they judge is what is emitted"
    )
    checks, seen = load_with_seen(lake, GATE, ds)
    if not checks:
        raise NotFound(f"the gate {GATE} of {ds} has no verdict, nothing is emitted", fix=again)
    require_open(GATE, ds, checks)
    cited = [text for check in checks if check.dataset == decisions.dataset for text in check.commits]
    _same(f"the gate {GATE}", ds, cited, decisions, again)
    # Its invariants read features and the catalog's snapshot, too. Verdicts of older versions cite neither.
    for commit in others if seen else ():
        _same(f"the gate {GATE}", ds, seen.get(commit.dataset, ()), commit, again)
    if stored is None:
        raise NotFound(f"the guard of {ds} has no verdict, nothing is emitted", fix=again)
    key, verdict = stored
    if not isinstance(verdict, dict) or identified(verdict) != verdict:
        raise Corrupt(f"{key} is not a verdict as the guard stores it, nothing is emitted", fix=again)
    if verdict["verdict"] == "crashed":
        raise GateClosed(f"the guard of {ds} crashed ({verdict['error']}), nothing is emitted", fix=again)
    for commit in (decisions, *others):
        _same("the guard", ds, verdict["judged"].get(commit.dataset, ()), commit, again)
    return _answered(ds, verdict, answer)


def _same(who: str, ds: str, cited: Sequence[str], commit: Commit, again: str) -> None:
    # An erased commit keeps its number; its content is the judged one without a person.
    judged = {text.partition("#")[0] if commit.erased else text for text in cited}
    wanted = commit.ref if commit.erased else commit.citation()
    if judged != {wanted}:
        named = ", ".join(sorted(judged)) or f"no commit of {commit.dataset}"
        raise GateClosed(f"{who} of {ds} judged {named}, not {wanted}: nothing is emitted", fix=again)


def _answered(ds: str, verdict: Mapping[str, Any], answer: OperatorAnswer) -> Released:
    kind, name, held = verdict["verdict"], verdict["verdict_id"], tuple(verdict["held"])
    if kind not in OFFERED:
        return Released(verdict_id=name)
    wanted, _ = OFFERED[kind]
    refused = answer.refusal(OFFERED[kind], name)
    if refused is None and answer.option == wanted:
        return Released(verdict_id=name, answered_by=answer.by)
    if kind == "night":
        raise GateClosed(
            f"the guard holds back the night of {ds} ({refused or f'the answer was {answer.option}'}): "
            "nothing is emitted",
            fix=(
                f"read `angelia plan guard --ds {ds}`; who wants it all the same answers the question, or "
                f"runs emit_manifests with --answer {wanted} --answered-by NAME --verdict {name}"
            ),
        )
    return Released(held, name, None if refused else answer.by, refused)
