"""Caps for messages that leave now: what people got lately, and what is planned.

Grain: message. Reads `user_pushes`, ledgers and manifests of the last nights, and the intake's own sends;
writes nothing. Surprise: a message of the night's plan that has not left yet uses room, also on its way to
its next channel, as the night counts what the intake sent; of two dispatchers that decide about one person
at once, the later one asks again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from angelia.catalog.document_parts import Cap
from angelia.catalog.documents import Campaign
from angelia.catalog.snapshot import Catalog
from angelia.contracts.ids import OWED
from angelia.contracts.outcomes import ACCEPTED, AMBIGUOUS, CAPPED, DEFERRED
from angelia.contracts.sending import PLAN_LIFE_DAYS, Micros
from angelia.delivery.manifest.batches import is_of_batch
from angelia.delivery.manifest.parts import FALLOVER
from angelia.intake.codes import TOO_MANY_TO_ADDRESS, Codes
from angelia.intake.dispatching.batches import IntakeSend
from angelia.intake.dispatching.deciding import HOUR_US, Chosen, Verdicts, is_code
from angelia.intake.dispatching.people import Person
from angelia.lake import Commit, Lake

MIN_GAP, CONTENDED = "min_gap", "contended"
DAY_US = 24 * HOUR_US
_LOOK_S = 5.0  # so old the list of commits may be
_KEPT_ROWS = 4_000_000


@dataclass(frozen=True)
class CountedMessage:
    """A message that uses a person's room."""

    user_id: str
    campaign_id: str
    message_id: str
    at: Micros
    is_settled: bool = True
    channel: str | None = None  # not known of the intake's own sends: they count on each


class NightlySends:
    """What the nights' plans sent, or are about to send, to the people of a batch."""

    def __init__(self, lake: Lake, now_s: Callable[[], float] = time.monotonic) -> None:
        self._lake, self._now_s, self._looked_at = lake, now_s, -_LOOK_S
        self._pushes: list[Commit] = []
        self._ledgers: list[Commit] = []
        self._manifests: list[Commit] = []
        self._tables: dict[str, pa.Table] = {}

    def of(self, people: Mapping[str, Person], since: Micros, now: Micros) -> list[CountedMessage]:
        """Return what counts for these people since an instant, each message once."""
        self._look(since, now)
        users = pa.array(sorted(people), pa.string())
        by_ordinal = {int(person["ordinal"]): user for user, person in people.items()}
        ordinals = pa.array(sorted(by_ordinal), pa.uint32())
        counted: dict[str, CountedMessage] = {}
        settled: set[str] = set()  # messages
        ended: set[str] = set()  # dispatches: a message that falls over has another
        deferred: set[str] = set()
        for table in self._read(
            self._ledgers,
            ("user_id", "campaign_id", "message_id", "dispatch_id", "outcome", "sent_ts", "channel"),
        ):
            for row in table.filter(pc.is_in(table["user_id"], users)).to_pylist():
                # It may still leave, as what waits for its campaign's speed limit does: it counts as planned.
                if row["outcome"] == DEFERRED:
                    deferred.add(row["dispatch_id"])
                else:
                    settled.add(row["message_id"])
                    ended.add(row["dispatch_id"])
                if row["outcome"] in (ACCEPTED, AMBIGUOUS) and row["sent_ts"] is not None:
                    at = _micros(row["sent_ts"])
                    counted[row["message_id"]] = CountedMessage(
                        row["user_id"], row["campaign_id"], row["message_id"], at, channel=row["channel"]
                    )
        for table in self._read(
            self._pushes, ("ordinal", "campaign_id", "message_id", "kind", "at_ts", "channel")
        ):
            for row in table.filter(pc.is_in(table["ordinal"], ordinals)).to_pylist():
                if row["kind"] == "sent" and row["message_id"] not in settled:
                    user, at = by_ordinal[row["ordinal"]], _micros(row["at_ts"])
                    counted[row["message_id"]] = CountedMessage(
                        user, row["campaign_id"], row["message_id"], at, channel=row["channel"]
                    )
        # What is planned and not accounted for yet uses room at the hour it is planned for.
        for table in self._read(
            self._manifests,
            ("user_id", "campaign_id", "message_id", "dispatch_id", "send_ts", "not_after", "channel"),
        ):
            for row in table.filter(pc.is_in(table["user_id"], users)).to_pylist():
                waits = row["dispatch_id"] in deferred and _micros(row["not_after"]) > now
                is_known = row["dispatch_id"] in ended or row["dispatch_id"] in deferred
                if row["message_id"] not in counted and (waits or not is_known):
                    at = _micros(row["send_ts"])
                    counted[row["message_id"]] = CountedMessage(
                        row["user_id"], row["campaign_id"], row["message_id"], at, channel=row["channel"]
                    )
        return [each for each in counted.values() if each.at > since]

    def _look(self, since: Micros, now: Micros) -> None:
        if self._now_s() - self._looked_at < _LOOK_S:
            return
        self._looked_at = self._now_s()
        today, lake = datetime.fromtimestamp(now / 1e6, UTC).date(), self._lake
        first = datetime.fromtimestamp(since / 1e6, UTC).date()
        pushed = [leaf["ds"] for leaf in lake.partitions("user_pushes")]
        self._pushes = [lake.require("user_pushes", ds=ds) for ds in pushed if ds >= first.isoformat()]
        # Days of pushes are closed days; what was sent since stands in the ledgers of the last plans.
        closed = date.fromisoformat(max(pushed)) if pushed else first
        recent = [day.isoformat() for day in _days(max(first, closed - timedelta(days=2)), today)]
        self._ledgers = [
            lake.require("delivery_ledger", **leaf)
            for ds in recent
            for leaf in lake.partitions("delivery_ledger", ds=ds)
            if not is_of_batch(leaf)  # the intake's own are in its database
        ]
        planned = [day.isoformat() for day in _days(today - timedelta(days=PLAN_LIFE_DAYS), today)]
        heads = [lake.head("dispatch_manifest", ds=ds) for ds in planned]
        self._manifests = [commit for commit in heads if commit is not None]
        # What is on its way to its next channel stands here, and as refused or skipped in the ledger.
        self._manifests += [
            lake.require(FALLOVER, **leaf)
            for ds in planned
            for leaf in lake.partitions(FALLOVER, ds=ds)
            if not is_of_batch(leaf)
        ]
        live = {commit.ref for commit in (*self._pushes, *self._ledgers, *self._manifests)}
        self._tables = {ref: table for ref, table in self._tables.items() if ref in live}

    def _read(self, commits: Iterable[Commit], columns: Sequence[str]) -> Iterator[pa.Table]:
        for commit in commits:
            table = self._tables.get(commit.ref)
            if table is None:
                table = self._lake.read(commit, list(columns))
                if table.num_rows + sum(kept.num_rows for kept in self._tables.values()) <= _KEPT_ROWS:
                    self._tables[commit.ref] = table
            yield table


def days_counted(catalog: Catalog) -> int:
    """Return for how many days back messages count for any campaign."""
    own = [cap.days for campaign in catalog.campaigns.values() for cap in _own(campaign)]
    return max([1, -(-catalog.policy.min_gap_hours // 24), *(cap.days for cap in catalog.policy.caps), *own])


def send_of(chosen: Chosen, now: Micros) -> IntakeSend:
    """Return what is reserved of a message before caps are asked."""
    row, message = chosen.row, chosen.message
    return IntakeSend(
        row["message_id"], message["client"], message["id"], row["user_id"], row["campaign_id"], now
    )


def cap(
    catalog: Catalog,
    verdicts: Verdicts,
    nightly: Sequence[CountedMessage],
    own: Sequence[tuple[IntakeSend, bool]],
    now: Micros,
    drawn: Callable[[], float] = random.random,
) -> Verdicts:
    """Return the verdicts after caps and the gap: what has no room is refused or postponed.

    Args:
        nightly: what counts from the nights' plans.
        own: the intake's sends to these people, with whether each is settled.
        drawn: in [0, 1): spreads those that ask again.
    """
    mine = {chosen.row["message_id"] for chosen in verdicts.chosen}
    past: dict[str, list[CountedMessage]] = {}
    # The receipts of what the intake sent before midnight stand in user_pushes, too.
    sent_here = {send.message_id for send, _ in own}
    for each in (each for each in nightly if each.message_id not in sent_here):
        past.setdefault(each.user_id, []).append(each)
    for send, is_settled in own:
        # A batch that is taken up again finds its own sends: counted, they would close it to itself.
        if send.message_id not in mine:
            counts = CountedMessage(send.user_id, send.campaign_id, send.message_id, send.at_us, is_settled)
            past.setdefault(send.user_id, []).append(counts)
    kept = Verdicts([], list(verdicts.refused), list(verdicts.postponed))
    for chosen in verdicts.chosen:
        of_person = past.setdefault(chosen.row["user_id"], [])
        if chosen.is_marketing:
            reason, until = _closed(catalog, chosen, of_person, now)
            # Two dispatchers see each other's claims; after waits of random length one of them comes first.
            if reason == CONTENDED:
                until = now + int((1 + 4 * drawn()) * 1e6)
            if reason is not None:
                if until is not None and until < chosen.deadline:
                    kept.postponed.append((chosen.message, until, reason))
                else:
                    kept.refused.append((chosen.message, reason))
                continue
        row = chosen.row
        of_person.append(CountedMessage(row["user_id"], row["campaign_id"], row["message_id"], now))
        kept.chosen.append(chosen)
    return kept


def limit_codes(codes: Codes, verdicts: Verdicts, now: Micros) -> None:
    """Refuse the one-time codes of which an address got too many, whoever they are for."""
    addressed = [
        (chosen.message["id"], chosen.row["channel"], chosen.row["address"])
        for chosen in verdicts.chosen
        if is_code(chosen.message)
    ]
    refused = codes.admit(addressed, now) if addressed else set()
    verdicts.refused += [
        (chosen.message, TOO_MANY_TO_ADDRESS) for chosen in verdicts.chosen if chosen.message["id"] in refused
    ]
    verdicts.chosen = [chosen for chosen in verdicts.chosen if chosen.message["id"] not in refused]


def _closed(
    catalog: Catalog, chosen: Chosen, of_person: Sequence[CountedMessage], now: Micros
) -> tuple[str | None, Micros | None]:
    """Return why there is no room now, and when there is again if that is known."""
    campaign, policy = catalog.campaigns[chosen.row["campaign_id"]], catalog.policy
    marketing = [each for each in of_person if not _is_exempt(catalog, each.campaign_id)]
    own = [each for each in of_person if each.campaign_id == campaign.id]
    limits = [(each.messages, each.days, marketing) for each in policy.caps]
    limits += [(each.messages, each.days, own) for each in _own(campaign)]
    vendor = [
        channel.max_per_vendor_day[chosen.vendor]
        for channel in catalog.channels.values()
        if channel.enabled and chosen.vendor in channel.max_per_vendor_day
    ]
    limits += [(min(vendor), 1, marketing)] if vendor else []
    contended = False
    for most, days, counted in limits:
        near = [each for each in counted if each.at > now - days * DAY_US]
        if sum(each.is_settled for each in near) >= most:
            return CAPPED, None
        contended |= len(near) >= most
    gap = policy.min_gap_hours * HOUR_US
    close = [each for each in marketing if abs(each.at - now) < gap]
    if any(each.is_settled for each in close):
        return MIN_GAP, max(each.at for each in close) + gap
    return (CONTENDED, None) if contended or close else (None, None)


def _own(campaign: Campaign) -> tuple[Cap, ...]:
    at_most = campaign.trigger.at_most if campaign.trigger is not None else None
    return campaign.caps if at_most is None else (*campaign.caps, at_most)


def _is_exempt(catalog: Catalog, campaign_id: str) -> bool:
    campaign = catalog.campaigns.get(campaign_id)
    # What was owed when it was sent stays so, whatever the template says by now.
    return campaign_id.startswith(OWED) or (campaign is not None and campaign.is_transactional)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=back) for back in range((last - first).days + 1)]


def _micros(value: datetime) -> Micros:
    return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1_000_000)
