"""Events that wait for their moment, and what became of them, in the intake database.

Grain: event of a person and campaign. Surprise: a concluded event stays for a month, so that its file may
arrive again; by then it is too old to set anything off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from angelia.catalog.document_parts import Trigger
from angelia.contracts.sending import Micros
from angelia.intake.database import answering, kept
from angelia.intake.store import slices
from angelia.intake.tables import messages, trigger_events, trigger_moots, trigger_reads
from angelia.intake.triggers.arrivals import Arrived
from angelia.lake.failpoint import failpoint

KEPT_US = 32 * 86_400_000_000  # longer than any campaign's ttl after any wait
OVER, WAITS, HANDED = 0, 1, 2  # stages
HANDED_OVER, REPEATED = "handed_over", "occurrence_has_its_message"
_Key = tuple[str, str, Micros]


@dataclass(frozen=True)
class TriggerEvent:
    """An event that sets a campaign's message off, unless something speaks against it."""

    campaign_id: str
    user_id: str
    event_us: Micros
    item: str
    due_us: Micros

    @property
    def key(self) -> _Key:
        """What names it in its table."""
        return self.campaign_id, self.user_id, self.event_us


@dataclass(frozen=True)
class Handed:
    """An event that became a message: the message's id, the event's outcome, its status."""

    event: TriggerEvent
    message: str
    outcome: str
    status: str


class Waiting:
    """The events of all campaigns; safe to use from several processes at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read_so_far(self) -> dict[str, int]:
        """Return the number of the commit that was read last, by leaf."""
        with answering(self._engine), self._engine.connect() as connection:
            rows = connection.execute(sa.select(trigger_reads.c.leaf, trigger_reads.c.number)).all()
        return {row.leaf: int(row.number) for row in rows}

    def keep(self, arrived: Arrived, triggers: Mapping[str, Trigger]) -> int:
        """Keep in one transaction what arrived of a leaf, and that it was read; count the new."""
        events: dict[_Key, TriggerEvent] = {}
        moots: set[tuple[str, str, Micros]] = set()
        ends = {trigger.without for trigger in triggers.values()}
        for user, event_type, at_us, item in arrived.events:
            if event_type in ends:
                moots.add((user, event_type, at_us))
            for campaign, trigger in triggers.items():
                if trigger.event == event_type:
                    event = TriggerEvent(campaign, user, at_us, item, at_us + trigger.waits_us)
                    events.setdefault(event.key, event)

        def write(connection: Connection) -> int:
            # Where another run kept the same events meanwhile, they are there, and are left out.
            fresh = _insert(connection, events.values(), moots)
            _note_read(connection, arrived.leaf, arrived.number)
            failpoint("trigger.kept")
            return fresh

        return kept(self._engine, write)

    def due(self, now: Micros, limit: int) -> list[TriggerEvent]:
        """Return open events whose moment has come, the oldest first."""
        c = trigger_events.c
        query = sa.select(c.campaign_id, c.user_id, c.event_us, c.item, c.due_us)
        query = query.where(c.stage == WAITS, c.due_us <= now).order_by(c.due_us).limit(limit)
        with answering(self._engine), self._engine.connect() as connection:
            return [TriggerEvent(**row) for row in connection.execute(query).mappings()]

    def moots_of(self, users: Iterable[str]) -> dict[tuple[str, str], list[Micros]]:
        """Return when people did what makes messages moot, by person and event type."""
        c, known = trigger_moots.c, dict[tuple[str, str], list[Micros]]()
        with answering(self._engine), self._engine.connect() as connection:
            for part in slices(sorted(set(users))):
                for row in connection.execute(sa.select(trigger_moots).where(c.user_id.in_(part))):
                    known.setdefault((row.user_id, row.event_type), []).append(row.at_us)
        return known

    def handed_over(self, client: str) -> list[Handed]:
        """Return the events whose messages had not left when they were last looked at.

        Args:
            client: whose messages they became.
        """
        c, m = trigger_events.c, messages.c
        both = trigger_events.outerjoin(messages, sa.and_(m.client == client, m.id == c.message))
        query = sa.select(
            *(c.campaign_id, c.user_id, c.event_us, c.item, c.due_us, c.message, c.outcome, m.status)
        )
        query = query.select_from(both).where(c.stage == HANDED).order_by(c.due_us)
        with answering(self._engine), self._engine.connect() as connection:
            return [
                Handed(TriggerEvent(*row[:5]), row.message, row.outcome, row.status or "")
                for row in connection.execute(query)
            ]

    def conclude(self, concluded: Sequence[tuple[TriggerEvent, str, str]], stage: int = OVER) -> None:
        """Write what became of open events: (event, outcome, id of its message or nothing)."""
        if not concluded:
            return
        c = trigger_events.c
        change = sa.update(trigger_events).where(
            c.campaign_id == sa.bindparam("of_campaign"),
            c.user_id == sa.bindparam("of_user"),
            c.event_us == sa.bindparam("of_event"),
            c.stage != OVER,
        )
        change = change.values(
            stage=stage, outcome=sa.bindparam("its_outcome"), message=sa.bindparam("its_message")
        )
        rows = [
            {
                "of_campaign": event.campaign_id,
                "of_user": event.user_id,
                "of_event": event.event_us,
                "its_outcome": outcome,
                "its_message": message,
            }
            for event, outcome, message in concluded
        ]
        kept(self._engine, lambda connection: connection.execute(change, rows))

    def forget_old(self, now: Micros) -> int:
        """Delete what is too old to matter, however often it arrives again; return how many events."""
        old = trigger_events.c.due_us < now - KEPT_US

        def delete(connection: Connection) -> int:
            connection.execute(sa.delete(trigger_moots).where(trigger_moots.c.at_us < now - KEPT_US))
            gone = sa.delete(trigger_events).where(trigger_events.c.stage == OVER, old)
            return connection.execute(gone).rowcount

        return kept(self._engine, delete)

    def counts(self, campaign: str) -> Counter[str]:
        """Return how many of a campaign's events wait, and what became of the others."""
        c = trigger_events.c
        query = sa.select(c.stage, c.outcome, sa.func.count()).where(c.campaign_id == campaign)
        with answering(self._engine), self._engine.connect() as connection:
            rows = connection.execute(query.group_by(c.stage, c.outcome)).all()
        counts: Counter[str] = Counter()
        for stage, outcome, number in rows:
            counts["waiting" if stage == WAITS else outcome] += number
        return counts


def _insert(
    connection: Connection, events: Iterable[TriggerEvent], moots: Iterable[tuple[str, str, Micros]]
) -> int:
    every, ends = {event.key: event for event in events}, set(moots)
    e, m = trigger_events.c, trigger_moots.c
    for part in slices(sorted({key[1] for key in every})):
        known = sa.select(e.campaign_id, e.user_id, e.event_us).where(e.user_id.in_(part))
        for row in connection.execute(known):
            every.pop(tuple(row), None)
    for part in slices(sorted({user for user, _, _ in ends})):
        there = sa.select(m.user_id, m.event_type, m.at_us).where(m.user_id.in_(part))
        ends -= {tuple(row) for row in connection.execute(there)}
    if every:
        connection.execute(
            sa.insert(trigger_events),
            [vars(event) | {"stage": WAITS, "outcome": "", "message": ""} for event in every.values()],
        )
    if ends:
        connection.execute(
            sa.insert(trigger_moots),
            [{"user_id": user, "event_type": event, "at_us": at} for user, event, at in sorted(ends)],
        )
    return len(every)


def _note_read(connection: Connection, leaf: str, number: int) -> None:
    c = trigger_reads.c
    later = sa.update(trigger_reads).where(c.leaf == leaf, c.number < number).values(number=number)
    if connection.execute(later).rowcount:
        return
    if connection.execute(sa.select(c.number).where(c.leaf == leaf)).first() is None:
        connection.execute(sa.insert(trigger_reads), {"leaf": leaf, "number": number})
