"""How many matching people may be reached, by channel, and why the others may not.

Grain: predicate. Reads what `AudienceQuery` and `HeldOut` read; writes nothing. A person left out counts
under the first reason that holds: suppressed, no channel, opted out of the topic, held out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from angelia.audience.bitmaps.block import Block
from angelia.audience.bitmaps.sets import NOBODY, Set, intersect, union
from angelia.audience.evaluate import evaluate
from angelia.audience.holdout import HeldOut
from angelia.audience.query import AudienceQuery


@dataclass
class ChannelReach:
    """One channel: people with an address and no refusal of it, and what is left of them."""

    reachable: int = 0
    opted_out: int = 0
    held_out: int = 0

    @property
    def allowed(self) -> int:
        """People who may get a message through it."""
        return self.reachable - self.opted_out - self.held_out


@dataclass
class Reach:
    """People who match, the reasons that leave some out, and the rest by channel.

    `matched` is the sum of `suppressed`, `without_channel`, `opted_out`, `held_out` and `allowed`.
    """

    matched: int = 0
    suppressed: int = 0
    without_channel: int = 0
    opted_out: int = 0
    held_out: int | None = None  # None: that night's catalog has no snapshot, so no policy
    channels: dict[str, ChannelReach] = field(default_factory=dict)

    @property
    def allowed(self) -> int:
        """People who may be reached through any channel."""
        return self.reachable - self.opted_out - (self.held_out or 0)

    @property
    def reachable(self) -> int:
        """People with a channel, before topic and holdout."""
        return self.matched - self.suppressed - self.without_channel


def reach(audience: AudienceQuery, text: str, held_out: HeldOut | None, topic: str | None = None) -> Reach:
    """Count the matching people whom the policy of the index's night allows to be reached.

    Args:
        held_out: the night's global holdout; None = there is no policy, so nobody is held out.
        topic: of the message: whoever refused it is left out; None = no topic is looked at.

    Raises:
        InvalidInput: as `AudienceQuery.tree`.
    """
    plan, counts = audience.plan(text), Reach()
    if held_out is not None and held_out.is_known:
        counts.held_out = 0
    for block in audience.blocks():
        _add(counts, block, evaluate(plan, block), held_out, topic)
    counts.channels = dict(sorted(counts.channels.items(), key=lambda item: (-item[1].allowed, item[0])))
    return counts


def _add(counts: Reach, block: Block, match: Set, held_out: HeldOut | None, topic: str | None) -> None:
    width = block.width
    channels = {name: block.get("reachable", "value", name) for name in block.values("reachable")}
    # A suppressed person is reachable on no channel, so these two never overlap.
    suppressed = len(intersect([match, block.get("is_suppressed", "value", "true")], [], width))
    people = intersect([match, union(list(channels.values()), width)], [], width)
    refused = intersect([people, block.get("opted_out", "value", topic)], [], width) if topic else NOBODY
    may = intersect([people], [refused], width)
    held = held_out.among(block, may) if held_out is not None else NOBODY
    counts.matched += len(match)
    counts.suppressed += suppressed
    counts.without_channel += len(match) - len(people) - suppressed
    counts.opted_out += len(refused)
    if counts.held_out is not None:
        counts.held_out += len(held)
    for name, addressed in channels.items():
        mine = counts.channels.setdefault(name, ChannelReach())
        mine.reachable += len(intersect([people, addressed], [], width))
        mine.opted_out += len(intersect([refused, addressed], [], width))
        mine.held_out += len(intersect([held, addressed], [], width))


def topics(audience: AudienceQuery) -> list[str]:
    """Return the topics that anybody refused."""
    return sorted({topic for block in audience.blocks() for topic in block.values("opted_out")})
