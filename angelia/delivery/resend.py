"""`angelia ledger resend`: what of a campaign's decided messages the ledger lacks, and that may still go, is put up to be sent again.

Reads manifests, ledger objects, stops, suppressions and the newest user_preferences; writes follow-up parts, which the next delivery takes. Grain:
manifest row. A row is left out, under a reason, if it reached its provider or may have (`already_…`), if somebody is still at it (`pending`), if its
own window has closed, or if the person has refused it since.
What would surprise: a message never leaves the window it was decided for; who wants it later wants another plan.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from angelia.delivery import compaction, parts
from angelia.delivery.clock import Micros
from angelia.delivery.guards import Guards
from angelia.delivery.ledger import Ledger, Owner
from angelia.delivery.outcomes import DEFERRED, SKIPPED
from angelia.delivery.parts import Part
from angelia.delivery.rows import columns_of
from angelia.delivery.status import families
from angelia.errors import AngeliaError, InvalidInput
from angelia.lake import Lake

_COLUMNS = ("campaign_id", "user_id", "address", "topic", "guarantee", "not_after")
LACKING = frozenset({SKIPPED, DEFERRED})  # no provider has seen these


def resend(lake: Lake, days: Sequence[str], campaigns: Collection[str], now: Micros, lease_now: Micros, *, dry_run: bool) -> dict[str, Any]:
    """Put up for sending again what may go; return rows by campaign, `resent` (or what would be), and what was left out by reason.

    Args:
        days: plans, by ds; those without a manifest are named in `no_plan`.
        campaigns: by id.
        now: instant at which windows are judged, in microseconds.
        lease_now: real time, by which the logs' age is judged.

    Raises:
        InvalidInput: the lake is on a replay branch, no plan of these days has such a campaign, or a campaign is stopped.
        AngeliaError: stops and suppressions cannot be read.
    """
    parts.require_main(lake)
    ledger = Ledger(lake.store, Owner.this_process(), lambda: lease_now)
    refused = _refused(lake)
    by_campaign: dict[str, Counter[str]] = {}
    left_out: Counter[str] = Counter()
    n_parts, no_plan = 0, []
    for ds in days:
        if lake.head("dispatch_manifest", ds=ds) is None:
            no_plan.append(ds)
            continue
        guards = _guards(lake, ds, lease_now)
        if stopped := sorted(guards.stopped & set(campaigns)):
            raise InvalidInput(f"campaign {', '.join(stopped)} is stopped", fix=f"`angelia catalog resume {stopped[0]}` first, if it is to go on")
        for _, family in families(lake, ds):
            chosen = _part(lake, ledger, family, campaigns, guards, refused, now, by_campaign, left_out)
            if chosen:
                n_parts += 1
                if not dry_run:
                    parts.follow_up(lake, family[0], chosen, "resent", f"{family[0].id[:32]}.resent-{len(family):04d}")
    if unknown := sorted(set(campaigns) - set(by_campaign)):
        raise InvalidInput(
            f"no plan of {days[0]} to {days[-1]} has a message of {', '.join(unknown)}", fix="`angelia plan show --ds D` lists a plan's campaigns"
        )
    resent = sum(counts["resent"] for counts in by_campaign.values())
    return {
        "days": list(days),
        "no_plan": no_plan,
        "campaigns": {name: dict(sorted(counts.items())) for name, counts in sorted(by_campaign.items())},
        "resent": resent,
        "parts": n_parts,
        "left_out": dict(sorted(left_out.items())),
        "dry_run": dry_run,
    }


def _part(
    lake: Lake,
    ledger: Ledger,
    family: Sequence[Part],
    campaigns: Collection[str],
    guards: Guards,
    refused: frozenset[tuple[str, str]],
    now: Micros,
    by_campaign: dict[str, Counter[str]],
    left_out: Counter[str],
) -> list[int]:
    """Return the rows of one manifest part that may go again, and count every row of the campaigns."""
    root = family[0]
    rows = columns_of(lake, root.entry, _COLUMNS)
    wanted = pc.is_in(rows["campaign_id"], pa.array(sorted(campaigns), pa.string())).to_pylist()
    if not any(wanted):
        return []
    is_open = not all(ledger.is_done(part.id) for part in family)
    best = compaction.merged(ledger, family, ("row", "outcome", "n_attempts"))
    outcomes: dict[int, str] = dict(zip(best["row"].to_pylist(), best["outcome"].to_pylist(), strict=True))
    names, users, topics = (rows[name].to_pylist() for name in ("campaign_id", "user_id", "topic"))
    blocked = guards.blocked(names, users, root.channel, rows["address"].to_pylist())
    ends = rows["not_after"].cast(pa.int64()).to_pylist()
    transactional = [word == "at_least_once" for word in rows["guarantee"].to_pylist()]
    chosen = []
    for row in (row for row, is_wanted in enumerate(wanted) if is_wanted):
        outcome = outcomes.get(row)
        if outcome is not None and outcome not in LACKING:
            reason = f"already_{outcome}"
        elif is_open:
            reason = "pending"  # a delivery takes it by itself while its window is open
        elif ends[row] <= now:
            reason = "window_closed"
        elif not transactional[row] and (users[row], topics[row]) in refused:
            reason = "opted_out"
        else:
            reason = blocked[row] or "resent"
        by_campaign.setdefault(names[row], Counter())[reason] += 1
        if reason == "resent":
            chosen.append(row)
        else:
            left_out[reason] += 1
    return chosen


def _guards(lake: Lake, ds: str, lease_now: Micros) -> Guards:
    guards = Guards(lake, ds, lambda: lease_now)
    if not asyncio.run(guards.refresh()):
        raise AngeliaError(f"stops and suppressions cannot be read ({guards.problem}); nothing was put up", fix="run `angelia lake verify`")
    return guards


def _refused(lake: Lake) -> frozenset[tuple[str, str]]:
    """Return (user, topic) of the newest preferences that say no: younger than the plan, if a day has come in since."""
    days = lake.partitions("user_preferences")
    if not days:
        return frozenset()
    table = lake.read(lake.require("user_preferences", **days[-1]), ["user_id", "kind", "name", "is_opted_in"])
    no = table.filter(pc.and_(pc.equal(table["kind"], "topic"), pc.invert(table["is_opted_in"])))
    return frozenset(zip(no["user_id"].to_pylist(), no["name"].to_pylist(), strict=True))


def lines(result: dict[str, Any]) -> list[str]:
    """Return what an operator reads before saying yes."""
    done = "would be put up again" if result["dry_run"] else "put up again; the next delivery takes them"
    found = [f"{result['resent']:,} messages in {result['parts']} parts {done}"]
    found += [f"  {name}: " + ", ".join(f"{reason} {n:,}" for reason, n in counts.items()) for name, counts in result["campaigns"].items()]
    return [*found, *(f"  no plan of {ds}" for ds in result["no_plan"])]
