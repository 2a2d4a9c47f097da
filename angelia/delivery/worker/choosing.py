"""Which parts a run delivers; what is wrong with the plan shows before anything is sealed.

Reads manifests, seals and follow-ups; seals the hours that are sent. Grain: part. Surprise: an hour that is
damaged is named and left out, and the others are sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from angelia.delivery.clock import Clock
from angelia.delivery.ledger.ledger import Ledger
from angelia.delivery.manifest import parts
from angelia.delivery.manifest.families import Families
from angelia.delivery.manifest.parts import Part
from angelia.delivery.manifest.served import require_manifest
from angelia.delivery.worker.options import Options, RunResult
from angelia.delivery.worker.senders import Senders
from angelia.errors import Corrupt, InvalidInput
from angelia.lake import Commit, Lake


class PlannedHour(NamedTuple):
    """What a run sends of one hour: the sealed manifest, and the parts that are wanted of it."""

    hour: str
    commit: Commit
    parts: list[Part]


class PartChoice:
    """The parts of one run: of a plan's hours, or of the intake's sealed batches."""

    def __init__(
        self,
        lake: Lake,
        options: Options,
        clock: Clock,
        ledger: Ledger,
        senders: Senders,
        result: RunResult,
        batches: Sequence[Commit] | None = None,
    ) -> None:
        self._lake, self._options, self._clock = lake, options, clock
        self._ledger, self._senders, self._result, self._batches = ledger, senders, result, batches
        self.families = Families()
        self._seen: list[Part] = []  # what the looked-at hours have, wanted or not

    def plan(self) -> list[PlannedHour]:
        """Seal the hours and return what is to be sent of each.

        Raises:
            InvalidInput: an hour has nothing to send or has not begun, a planned channel cannot be opened, or
                the plan has no such channel or part.
            NotFound: the day has no manifest.
            Corrupt: a part's bytes are not those of its commit.
        """
        if self._batches is not None:
            return [batch for commit in self._batches if (batch := self._batch(commit)) is not None]
        sound = [hour for hour in self._hours() if self._is_sound(hour)]
        self._require_named()
        planned = []
        for hour in sound:
            sealed_at = self._lake.clock().isoformat(timespec="seconds")
            commit = parts.seal(self._lake, self._options.ds, hour, sealed_at)
            wanted = self.of(commit, hour)
            parts.verify(self._lake, wanted)
            planned.append(PlannedHour(hour, commit, wanted))
        return planned

    def _batch(self, commit: Commit) -> PlannedHour | None:
        """Return what is to be sent of a batch; None if it is damaged.

        A channel that cannot be opened is shut: the batch's other channels go.
        """
        hour = commit.partition["send_hour"]
        try:
            for channel in sorted(
                {part.channel for part in self.of(commit, hour) if not self._is_done(part)}
            ):
                try:
                    self._senders.of(channel, commit)
                except InvalidInput as error:
                    self._senders.shut_out(channel, error)
            wanted = self.of(commit, hour)
            parts.verify(self._lake, wanted)
        except Corrupt as error:
            self._result.damage(error)
            return None
        return PlannedHour(hour, commit, wanted)

    def of(self, commit: Commit, hour: str) -> list[Part]:
        """Return the parts of an hour that are wanted by now, follow-ups included.

        Raises:
            Corrupt: a follow-up cannot be read, and its name does not say whose it is either.
        """
        every = parts.parts_of(self._lake, commit, hour)
        self.families.learn(every)
        return self._wanted(every)

    def _hours(self) -> Sequence[str]:
        options, clock = self._options, self._clock
        if options.hours is None:
            # A mistyped day would else look like one on which nothing is due.
            require_manifest(self._lake, options.ds)
            due = parts.due_parts(self._lake, clock.now())
            return sorted({part.send_hour for part in due if part.ds == options.ds})
        parts.require_hours(parts.send_hours(self._lake, options.ds), options.ds, options.hours)
        for hour in options.hours:
            if not clock.simulated and parts.hour_start(hour) > clock.now():
                raise InvalidInput(
                    f"{hour} has not begun; sealing it now would freeze the plan too early",
                    fix="wait, or --clock simulated",
                )
        return options.hours

    def _is_sound(self, hour: str) -> bool:
        """Open the channels that an hour needs; return False if the hour is damaged."""
        try:
            commit = parts.standing_manifest(self._lake, self._options.ds, hour)
            every = parts.parts_of(self._lake, commit, hour)
            wanted = self._wanted(every)
        except Corrupt as error:
            self._result.damage(error)
            return False
        self._seen += every
        todo = [part for part in wanted if not self._is_done(part)]
        for channel in sorted({part.channel for part in todo}):
            try:
                self._senders.of(channel, commit)
            except InvalidInput as error:
                # Nobody planned a channel that only fall-over parts want: it keeps no other from going.
                if not all(part.is_fallover for part in todo if part.channel == channel):
                    raise
                self._senders.shut_out(channel, error)
        return True

    def _require_named(self) -> None:
        """Refuse a channel or part that the plan does not have.

        Whoever mistypes one would else read that nothing is due.
        """
        options, channel = self._options, self._options.channel
        commit = self._lake.head("dispatch_manifest", ds=options.ds)
        # A damaged hour hides what it has, and a day without a plan has nothing to compare with.
        if self._result.damaged or commit is None:
            return
        if channel is not None and channel not in {part.channel for part in self._seen}:
            # One that the catalog knows may have no message in these hours.
            known = sorted(self._senders.snapshot(commit).channels)
            if channel not in known:
                raise InvalidInput(
                    f"--channel {channel}: the plan of {options.ds} knows no such channel",
                    fix=f"channels: {', '.join(known)}",
                )
        numbers = sorted(
            {
                part.number
                for part in self._seen
                if channel in (None, part.channel) and options.priority in (None, part.priority)
            }
        )
        if options.part is not None and numbers and options.part not in numbers:
            raise InvalidInput(
                f"--part {options.part}: there is no such part among what is asked for",
                fix=f"parts: {', '.join(map(str, numbers))}",
            )

    def _is_done(self, part: Part) -> bool:
        try:
            return self._ledger.is_done(part.id)
        except Corrupt:
            return True  # nothing is prepared for it; it is named when its turn comes

    def _wanted(self, every: Sequence[Part]) -> list[Part]:
        options = self._options
        return [
            part
            for part in every
            if options.channel in (None, part.channel)
            and options.part in (None, part.number)
            and options.priority in (None, part.priority)
            and not ((part.is_fallover or part.batch) and part.channel in self._senders.shut)
        ]
