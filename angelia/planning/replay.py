"""`angelia plan replay` and `compare`: past nights decided again, beside main's plans.

A replay changes campaigns and writes to a branch.

Reads the catalog snapshot, features, curves, audiences, scores and pushes that main's plan of each night was
made from; writes catalog_snapshot, decisions, dispatch_manifest and the comparison of the branch. Grain:
night. Only what the plan itself weighs can be changed here (caps, budgets, values, windows …): another
audience or material needs another selection and other scores, which a backfill of the whole night makes.
Surprise: each night counts the branch's own plan of the night before as pending, but opens and pushes are
those that really happened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.compute as pc

from angelia.catalog.documents import Campaign, Policy, parse_document
from angelia.catalog.snapshot import Catalog, StoredDocument, documents_of, read_snapshot, write_snapshot
from angelia.contracts.outcomes import SENT
from angelia.errors import InvalidInput
from angelia.lake import Commit, Lake, numbered
from angelia.lake.citing import input_of
from angelia.output import progress, run_module
from angelia.planning.guard import guard

CHANGEABLE = {
    "campaign": (
        *(
            "caps",
            "budget",
            "priority",
            "value_per_open",
            "send_window",
            "holdout_pct",
            "channels",
            "ttl_hours",
        ),
        *("start_date", "end_date", "occurrence", "postpone_nights"),
    ),
    "policy": ("caps", "min_gap_hours", "quiet_hours", "holdout", "explore"),
}
Changes = Mapping[str, Mapping[str, Any]]
COMPARED = "compared"  # topic below which a replay keeps its comparison, for the console


def parse_changes(text: str) -> dict[str, dict[str, Any]]:
    """Return changes by campaign (or `policy`), from a JSON object of objects.

    Raises:
        InvalidInput: it is none, or names a field that a plan alone cannot follow.
    """
    try:
        changes = json.loads(text or "{}")
    except (ValueError, RecursionError):
        changes = None
    if not isinstance(changes, dict) or not all(isinstance(fields, dict) for fields in changes.values()):
        raise InvalidInput(
            "--changes is not a JSON object of objects",
            fix="""write it as '{"price_drop": {"caps": [{"messages": 1, "days": 7}]}}'""",
        )
    for name, fields in changes.items():
        allowed = CHANGEABLE["policy" if name == "policy" else "campaign"]
        if wrong := sorted(set(fields) - set(allowed)):
            raise InvalidInput(
                f"--changes: {wrong[0]} of {name} is not the plan's alone",
                fix=(
                    f"these are: {', '.join(allowed)}; for others apply the document and backfill "
                    f"nightly_personalization"
                ),
            )
    return changes


def branch_for(days: Sequence[str], changes: Changes) -> str:
    """Return the branch a replay writes unless named; the same question has the same branch."""
    asked = json.dumps([list(days), changes], sort_keys=True).encode()
    return f"replay-{days[0]}-{hashlib.sha256(asked).hexdigest()[:8]}"


def changed(catalog: Catalog, changes: Changes) -> list[StoredDocument]:
    """Return a snapshot's documents with the changes made, each checked by its model.

    Raises:
        InvalidInput: there is no such campaign, or a value cannot be.
    """
    unknown = sorted(set(changes) - set(catalog.campaigns) - {"policy"})
    if unknown:
        raise InvalidInput(
            f"--changes: the night had no campaign {unknown[0]}", fix=f"it had {', '.join(catalog.campaigns)}"
        )
    documents = []
    for stored in documents_of(catalog):
        document = stored.document
        fields = changes.get(
            "policy"
            if isinstance(document, Policy)
            else document.id
            if isinstance(document, Campaign)
            else ""
        )
        if fields:
            parsed = parse_document({**document.model_dump(mode="json"), **fields})
            documents.append(replace(stored, document=parsed))
        else:
            documents.append(stored)
    return documents


def require_replayable(days: Sequence[str], changes: Changes) -> None:
    """Refuse a change that cannot be replayed over so many nights.

    Raises:
        InvalidInput: who may wait is changed, over several nights.
    """
    waits = [name for name, fields in changes.items() if "postpone_nights" in fields]
    if waits and len(days) > 1:
        raise InvalidInput(
            f"postpone_nights of {waits[0]} cannot be replayed over {len(days)} nights: what main sent on "
            "the first counts as sent on the next, so a message that waits would never go",
            fix="replay one night, or ask `angelia plan whatif --ds D --set postpone.CAMPAIGN=3`",
        )


def replay(main: Lake, branch: Lake, days: Sequence[str], changes: Changes) -> list[dict[str, Any]]:
    """Decide nights again, in one Spark session; return each one's comparison with main.

    Raises:
        NotFound: main has no plan of one of these nights.
        InvalidInput: a change cannot be made, or not over several nights.
        AngeliaError: a job failed; its own error stands above.
    """
    require_replayable(days, changes)
    snapshots = []
    for ds in days:
        plan = main.require("decisions", ds=ds)
        catalog = read_snapshot(main, input_of(main, plan, "catalog_snapshot"))
        snapshots.append((changed(catalog, changes), catalog.stopped))
        for note in moved(main, plan):
            progress(f"{ds}: {note}")
    jobs: list[str] = []
    for ds, (documents, stopped) in zip(days, snapshots, strict=True):
        write_snapshot(branch, _Documents(documents), ds, stopped=stopped)
        for job in ("plan_dispatch", "emit_manifests"):
            jobs += [job, "--ds", ds, "--branch", branch.branch, "+"]
    run_module(["spark_jobs", *jobs[:-1]])
    nights = []
    for ds in days:
        judged = guard(branch, ds)
        compared = compare(main, branch, ds)
        numbered.store(branch, COMPARED, ds, compared)
        nights.append(
            {
                **compared,
                "guard": judged["verdict"],
                "breaches": [one["says"] for one in judged["breaches"]],
            }
        )
    return nights


class _Documents:
    def __init__(self, documents: list[StoredDocument]) -> None:
        self._documents = documents

    def current(self) -> list[StoredDocument]:
        return self._documents


def moved(lake: Lake, plan: Commit) -> list[str]:
    """Return a line for each input of a plan that has a newer commit now.

    A replay reads the newer commit, and says so.
    """
    differences = []
    for commit in map(lake.cited, plan.inputs):
        head = lake.head(commit.dataset, **commit.partition)
        if (
            head is not None
            and head.number != commit.number
            and "chain" not in commit.partition
            and commit.dataset != "catalog_snapshot"
        ):
            differences.append(f"{plan.ref} was made from {commit.ref}, this one is from {head.ref}")
    return differences


def compare(main: Lake, branch: Lake, ds: str) -> dict[str, Any]:
    """Return what two plans of one night have in common.

    Messages by campaign, who gained and lost one, value and gap.

    Raises:
        NotFound: one of them has no plan of that night.
        InvalidInput: the branch has none of its own.
    """
    ours, theirs = main.require("decisions", ds=ds), branch.require("decisions", ds=ds)
    # A branch reads main's commit where it has none: main would be compared with itself.
    if theirs.branch != branch.branch:
        raise InvalidInput(
            f"{branch.branch} has no plan of {ds} of its own", fix="`angelia plan replay` makes one"
        )
    here, there = _sent(main, ours), _sent(branch, theirs)
    campaigns = {}
    for name in sorted({*here, *there}):
        a, b = here.get(name, np.zeros(0, "S1")), there.get(name, np.zeros(0, "S1"))
        both = int(np.isin(a, b, assume_unique=True).sum())
        campaigns[name] = {
            "main": len(a),
            "replay": len(b),
            "both": both,
            "gained": len(b) - both,
            "lost": len(a) - both,
        }
    return {
        "ds": ds,
        "main": ours.ref,
        "replay": theirs.ref,
        "campaigns": campaigns,
        "value_micros": {"main": ours.meta["primal_micros"], "replay": theirs.meta["primal_micros"]},
        "gap_pct": {"main": ours.meta["gap_pct"], "replay": theirs.meta["gap_pct"]},
    }


def _sent(lake: Lake, commit: Commit) -> dict[str, np.ndarray]:
    """Return the message ids a plan sends, by campaign."""
    ordinals: dict[str, list[np.ndarray]] = {}
    for entry in commit.files:
        flat = lake.read_file(entry, ["choices"])["choices"].combine_chunks().flatten()
        sent = flat.filter(pc.equal(pc.struct_field(flat, "outcome"), SENT))
        names, keys = pc.struct_field(sent, "campaign_id"), pc.struct_field(sent, "message_id")
        for name in pc.unique(names).to_pylist():
            ordinals.setdefault(name, []).append(
                keys.filter(pc.equal(names, name)).to_numpy(zero_copy_only=False).astype("S")
            )
    return {name: np.concatenate(parts) for name, parts in ordinals.items()}


def lines(days: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the comparison as a table for people."""
    page = []
    for day in days:
        value, gap = day["value_micros"], day["gap_pct"]
        page.append(f"{day['ds']}: {day['replay']} beside {day['main']}")
        page.append(
            f"  value {value['replay'] / 1e6:,.2f} (main {value['main'] / 1e6:,.2f}), gap "
            f"{gap['replay']} % (main {gap['main']} %)"
        )
        width = max(map(len, day["campaigns"]), default=0)
        for name, campaign in day["campaigns"].items():
            counts = f"{campaign['replay']:>9,} messages, {campaign['replay'] - campaign['main']:+,}"
            people = f"{campaign['gained']:,} people gain one, {campaign['lost']:,} lose it"
            page.append(f"  {name:<{width}}  {counts}; {people}")
        page += [f"  guard: {says}" for says in day.get("breaches", ())]
    return page
