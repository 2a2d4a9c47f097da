"""Approvals: what waits, what was answered by whom, what each night's guard said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Response

from angelia.console.desk import Desk, Page
from angelia.errors import Corrupt
from angelia.lake import Commit, Lake, numbered
from angelia.planning.verdict import TOPIC

PAGE = Page("approvals", "Approvals", order=60)
NIGHTS_AT_MOST = 14
WORDS = {
    "open": "plausible, nothing held back",
    "missing": "plausible, but something that should send plans nothing",
    "campaigns": "campaigns held back unless a person wants them",
    "night": "the night held back unless a person wants it",
    "crashed": "the guard crashed, nothing is emitted",
}


@dataclass(frozen=True)
class Judged:
    """What the guard said of one night, and what came of it."""

    ds: str
    verdict: str
    says: tuple[str, ...]
    held: tuple[str, ...]
    outcome: str


@PAGE.get()
def approvals(desk: Desk) -> Response:
    """Show questions and verdicts; the page's script asks Airflow for the questions."""
    lake = desk.engine.lake()
    days = [leaf["ds"] for leaf in reversed(lake.partitions("decisions"))][:NIGHTS_AT_MOST]
    nights = [judged for ds in days if (judged := _judged(lake, ds))]
    return desk.show("approvals.html", title="Approvals", nights=nights)


def _judged(lake: Lake, ds: str) -> Judged | None:
    try:
        stored = numbered.load(lake, TOPIC, ds)
    except Corrupt as error:
        return Judged(ds, "damaged", (error.one_line(),), (), "nothing is emitted from it")
    if stored is None:
        return Judged(ds, "not judged", ("the guard has not looked at it",), (), "no manifests until it has")
    verdict: dict[str, Any] = stored[1]
    kind = str(verdict.get("verdict", ""))
    says = tuple(str(breach["says"]) for breach in verdict.get("breaches", ()))
    if kind == "crashed":
        says = (str(verdict.get("error", "")),)
    manifest = lake.head("dispatch_manifest", ds=ds)
    held = tuple(map(str, verdict.get("held", ())))
    return Judged(ds, WORDS.get(kind, kind), says, held, _outcome(verdict, manifest))


def _outcome(verdict: dict[str, Any], manifest: Commit | None) -> str:
    """Return what was emitted after a verdict, and by whose answer."""
    if manifest is None:
        return "no manifests yet"
    judged = str(verdict.get("decisions"))
    # Verdicts of older versions cite a plan without its content.
    if judged not in {form for text in manifest.inputs for form in (text, text.partition("#")[0])}:
        return f"{manifest.ref} was made from another plan"
    by = manifest.meta.get("answered_by")
    left_out = manifest.params.get("held_back", ())
    answer = f", answered by {by}" if by else ""
    return f"{manifest.rows:,} messages emitted" + (
        f" without {', '.join(left_out)}{answer}" if left_out else answer
    )
