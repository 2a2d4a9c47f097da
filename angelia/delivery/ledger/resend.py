"""`angelia ledger resend`: send decided messages again that no provider has seen.

Reads manifests, ledger objects, stops, suppressions and the user_preferences since the plan; writes follow-up
parts, which the next delivery takes. Grain: manifest row. A row is left out, under a reason, if its message
reached its provider or may have (`already_…`), by whatever plan; if a worker is still at it (`pending`), its
own window has closed, the person has refused it since, or a later plan has it (`planned_again`). A count
comes first and returns a hash of the instant and of the rows that may go, consent left out. Only the rows of
this hash are sent again, less those whose window closed or whose person refused since.

Surprise: a message never leaves the window it was decided for; sending it later takes another plan.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.outcomes import AT_LEAST_ONCE, DEFERRED, OPTED_OUT, SKIPPED
from angelia.contracts.sending import Micros
from angelia.delivery.ledger import compaction
from angelia.delivery.ledger.ledger import Ledger, Owner
from angelia.delivery.ledger.outcomes import COUNTED, moves_on
from angelia.delivery.manifest import parts
from angelia.delivery.manifest.families import families
from angelia.delivery.manifest.parts import Part
from angelia.delivery.manifest.rows import columns_of
from angelia.errors import AngeliaError, Conflict, InvalidInput
from angelia.lake import Lake
from angelia.users.suppressions import Guards

_COLUMNS = ("campaign_id", "message_id", "user_id", "address", "topic", "guarantee", "not_after")
_CHOICE = ["user_id", "kind", "name"]  # what a preference is about
LACKING = frozenset({SKIPPED, DEFERRED})  # no provider has seen these


_HASH = re.compile(r"(\d{1,19})-([0-9a-f]{16})")


@dataclass
class _Count:
    """Rows by campaign and reason, and the hash of what may go but for consent."""

    at: Micros
    now: Micros
    by_campaign: dict[str, Counter[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    digest: Any = field(default_factory=hashlib.sha256)

    @property
    def hash(self) -> str:
        """The instant at which windows were judged, and the hash."""
        return f"{self.at}-{self.digest.hexdigest()[:16]}"


def resend(
    lake: Lake,
    days: Sequence[str],
    campaigns: Collection[str],
    now: Micros,
    lease_now: Micros,
    *,
    expect: str | None = None,
) -> dict[str, Any]:
    """Write follow-up parts of what may go again, or only count it.

    Returns rows by campaign, `resent` (or what would be), what was left out by reason, and the `hash` of what
    was counted.

    Args:
        days: plans, by ds; those without a manifest are named in `no_plan`.
        campaigns: by id.
        now: instant at which windows are judged, in microseconds.
        lease_now: real time, by which the logs' age is judged.
        expect: the `hash` of an earlier count, whose rows are sent again; without it, rows are only counted.

    Raises:
        InvalidInput: the lake is on a replay branch, no day has a manifest, none has such a campaign, a
            campaign is stopped, or `expect` is not a hash.
        Conflict: other rows may go now than were counted; no follow-up part was written.
        AngeliaError: stops and suppressions cannot be read.
    """
    parts.require_main(lake)
    ledger = Ledger(lake.store, Owner.this_process(), lambda: lease_now)
    refused = _refused(lake, min(days, default=""))
    count = _Count(_counted_at(expect) if expect is not None else now, now)
    count.digest.update(" ".join([str(count.at), *days, "|", *sorted(campaigns)]).encode())
    chosen: list[tuple[list[Part], list[int]]] = []
    no_plan = []
    for ds in days:
        # A range of days may hold some without a plan; they are named, and hold up no other.
        if lake.head("dispatch_manifest", ds=ds) is None:
            no_plan.append(ds)
            continue
        guards = _guards(lake, ds, lease_now)
        # A follow-up part of a stopped campaign would only be skipped row by row, and look done.
        if stopped := sorted(guards.stopped & set(campaigns)):
            raise InvalidInput(
                f"campaign {', '.join(stopped)} is stopped",
                fix=f"`angelia catalog resume {stopped[0]}` first, if it is to go on",
            )
        others = _OtherPlans(lake, ledger, ds, campaigns)
        for _, family in families(lake, ds):
            if rows := _part(lake, ledger, family, campaigns, guards, refused, others, count):
                chosen.append((family, rows))
    if len(no_plan) == len(days):
        raise InvalidInput(
            f"no night from {days[0]} to {days[-1]} has manifests",
            fix="`angelia lake log dispatch_manifest` lists the nights that have",
        )
    if unknown := sorted(set(campaigns) - set(count.by_campaign)):
        raise InvalidInput(
            f"no plan of {days[0]} to {days[-1]} has a message of {', '.join(unknown)}",
            fix="`angelia plan show --ds D` lists a plan's campaigns",
        )
    if expect is not None:
        # Whoever answered saw other numbers: nothing is queued that nobody counted.
        if count.hash != expect:
            raise Conflict(
                f"what may go again is not what was counted as {expect}; nothing was queued",
                fix="count again without --yes, and look at the new numbers",
            )
        for family, rows in chosen:
            name = f"{family[0].id[:32]}.resent-{len(family):04d}"
            parts.follow_up(lake, family[0], rows, "resent", name)
    by_campaign = count.by_campaign
    return {
        "days": list(days),
        "no_plan": no_plan,
        "campaigns": {name: dict(sorted(counts.items())) for name, counts in sorted(by_campaign.items())},
        "resent": sum(counts["resent"] for counts in by_campaign.values()),
        "parts": len(chosen),
        "left_out": dict(sorted(count.left_out.items())),
        "dry_run": expect is None,
        "hash": count.hash,
    }


def _counted_at(expect: str) -> Micros:
    """Return the instant of a count.

    Raises:
        InvalidInput: it is not the hash of a count.
    """
    match = _HASH.fullmatch(expect)
    if match is None:
        raise InvalidInput(
            f"--expect {expect!r} is not the hash of a count",
            fix="run it without --yes; the last line prints it",
        )
    return int(match[1])


def _part(
    lake: Lake,
    ledger: Ledger,
    family: Sequence[Part],
    campaigns: Collection[str],
    guards: Guards,
    refused: frozenset[tuple[str, str, str]],
    others: _OtherPlans,
    count: _Count,
) -> list[int]:
    """Return the rows of one manifest part that may go again; count every row of the campaigns."""
    root = family[0]
    rows = columns_of(lake, root.entry, _COLUMNS)
    wanted = pc.is_in(rows["campaign_id"], pa.array(sorted(campaigns), pa.string())).to_pylist()
    if not any(wanted):
        return []
    is_open = _is_open(ledger, family)
    outcomes, moved = _outcomes(ledger, family)
    names, messages, users, topics = (
        rows[name].to_pylist() for name in ("campaign_id", "message_id", "user_id", "topic")
    )
    ends = rows["not_after"].cast(pa.int64()).to_pylist()
    transactional = [word == AT_LEAST_ONCE for word in rows["guarantee"].to_pylist()]
    asked = ["" if exempt else topic for topic, exempt in zip(topics, transactional, strict=True)]
    blocked = guards.blocked(names, users, root.channel, rows["address"].to_pylist(), asked)
    chosen = []
    for row in (row for row, is_wanted in enumerate(wanted) if is_wanted):
        outcome = outcomes.get(row)
        if outcome is not None and outcome not in LACKING:
            reason = f"already_{outcome}"
        elif row in moved:
            reason = "fell_over"  # its next channel has it
        elif is_open:
            reason = "pending"  # a delivery takes it by itself while its window is open
        elif ends[row] <= count.at:
            reason = "window_closed"
        else:
            other = others.reasons.get(messages[row])
            if other is None:
                # Counted before consent and the present instant are looked at: both only take away, and who
                # refuses between count and answer makes no other question of it.
                count.digest.update(f"\n{root.id} {row}".encode())
            if ends[row] <= count.now:
                reason = "window_closed"
            elif (users[row], "channel", root.channel) in refused or (
                not transactional[row] and (users[row], "topic", topics[row]) in refused
            ):
                # as the night sees it: a channel may be refused for everything, a topic for marketing
                reason = OPTED_OUT
            else:
                reason = blocked[row] or other or "resent"
        count.by_campaign.setdefault(names[row], Counter())[reason] += 1
        if reason == "resent":
            chosen.append(row)
        else:
            count.left_out[reason] += 1
    return chosen


def _is_open(ledger: Ledger, family: Sequence[Part]) -> bool:
    return not all(ledger.is_done(part.id) for part in family)


def _outcomes(ledger: Ledger, family: Sequence[Part]) -> tuple[dict[int, str], set[int]]:
    """Return the best outcome of each row, and the rows that went to their next channel."""
    best = compaction.merged(ledger, family, (*COUNTED, "reason"))
    moved = best.filter(pc.and_(pc.equal(best["outcome"], SKIPPED), moves_on(best["reason"])))
    outcomes = dict(zip(best["row"].to_pylist(), best["outcome"].to_pylist(), strict=True))
    return outcomes, set(moved["row"].to_pylist())


class _OtherPlans:
    """Why messages of one plan may not go: what other plans do with them."""

    def __init__(self, lake: Lake, ledger: Ledger, ds: str, campaigns: Collection[str]) -> None:
        self._lake, self._ledger, self._ds, self._campaigns = lake, ledger, ds, campaigns

    @cached_property
    def reasons(self) -> dict[str, str]:
        """Reason by message_id.

        It is asked for only while a row's window is open, so later plans are few; earlier ones are those that
        are still delivered.
        """
        earliest = (date.fromisoformat(self._ds) - timedelta(days=parts.LOOK_BACK_DAYS)).isoformat()
        reason_of: dict[str, str] = {}
        for other in (leaf["ds"] for leaf in self._lake.partitions("dispatch_manifest")):
            if other >= earliest and other != self._ds:
                for _, family in families(self._lake, other):
                    reason_of |= self._of(family, is_later=other > self._ds)
        return reason_of

    def _of(self, family: Sequence[Part], *, is_later: bool) -> dict[str, str]:
        rows = columns_of(self._lake, family[0].entry, ("campaign_id", "message_id"))
        ours = pc.is_in(rows["campaign_id"], pa.array(sorted(self._campaigns), pa.string())).to_pylist()
        if not any(ours):
            return {}
        (outcomes, _), is_open = _outcomes(self._ledger, family), _is_open(self._ledger, family)
        why = {}
        for row, message in (
            (row, message) for row, message in enumerate(rows["message_id"].to_pylist()) if ours[row]
        ):
            outcome = outcomes.get(row)
            if outcome is not None and outcome not in LACKING:
                why[message] = f"already_{outcome}"
            elif is_later:
                why[message] = "planned_again"
            elif is_open:
                why[message] = "pending"
        return why


def _guards(lake: Lake, ds: str, lease_now: Micros) -> Guards:
    guards = Guards(lake, ds, lambda: lease_now)
    if not asyncio.run(guards.refresh()):
        raise AngeliaError(
            f"stops and suppressions cannot be read ({guards.problem}); nothing was queued",
            fix="run `angelia lake verify`",
        )
    return guards


def _refused(lake: Lake, since: str) -> frozenset[tuple[str, str, str]]:
    """Return (user, kind, name) where the last word in the preferences since a day is no.

    Every commit counts, not the newest alone: that one may be a part of all or broken, no gate has seen it
    yet, and a refusal ends by a later yes only. A day after today may be of a mistyped year: its yes ends
    nothing, and its own refusals count too.
    """
    days, today = (
        [leaf["ds"] for leaf in lake.partitions("user_preferences")],
        datetime.now(UTC).date().isoformat(),
    )
    past, later = [day for day in days if day <= today], [day for day in days if day > today][-1:]
    read = ([day for day in past if day >= since] or past[-1:], later)
    return frozenset().union(*(_refused_on(lake, some) for some in read if some))


def _refused_on(lake: Lake, days: Sequence[str]) -> frozenset[tuple[str, str, str]]:
    commits = [commit for day in days for commit in lake.history("user_preferences", ds=day)]
    columns = [*_CHOICE, "is_opted_in", "updated_ts"]
    preferences = pa.concat_tables(lake.read(commit, columns) for commit in commits)
    yes, no = (
        preferences.filter(pc.equal(preferences["is_opted_in"], word))
        .group_by(_CHOICE)
        .aggregate([("updated_ts", "max")])
        .rename_columns([*_CHOICE, at])
        for word, at in ((True, "yes_ts"), (False, "no_ts"))
    )
    last = no.join(yes, _CHOICE, join_type="left outer")
    stands = last.filter(pc.fill_null(pc.greater(last["no_ts"], last["yes_ts"]), True))
    return frozenset(zip(*(stands[name].to_pylist() for name in _CHOICE), strict=True))


def lines(result: dict[str, Any]) -> list[str]:
    """Return what an operator reads before saying yes."""
    done = "would be queued again" if result["dry_run"] else "queued again; the next delivery sends them"
    text = [f"{result['resent']:,} messages in {result['parts']} parts {done}"]
    text += [
        f"  {name}: " + ", ".join(f"{reason} {n:,}" for reason, n in counts.items())
        for name, counts in result["campaigns"].items()
    ]
    text += [f"  no plan of {ds}" for ds in result["no_plan"]]
    if result["dry_run"] and result["resent"]:
        text.append(f"to queue these and no others: add --yes --expect {result['hash']}")
    return text
