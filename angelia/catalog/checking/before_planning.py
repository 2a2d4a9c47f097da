"""What keeps a night from sending anything, named before it is solved.

Grain: night. Reads a night's documents, and what is known of it: sizes of audiences, hours left, capacity.
Each contradiction is one line with its fix. Surprise: only campaigns that run that night are looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from angelia.catalog.checking import sense
from angelia.catalog.checking.contradictions import NOTHING, Documents
from angelia.catalog.documents import Campaign
from angelia.catalog.snapshot import Catalog, documents_of


@dataclass(frozen=True)
class Contradiction:
    """One reason why a campaign, a channel or a night can send nothing, and its fix."""

    about: str
    says: str

    def __str__(self) -> str:
        return f"{self.about}: {self.says}"


def before_planning(
    catalog: Catalog,
    running: Collection[str],
    day: date,
    *,
    sizes: Mapping[str, int] | None = None,
    hours_left: int | None = None,
    capacity: Mapping[str, int] | None = None,
) -> list[Contradiction]:
    """Return what keeps a night's campaigns from sending anything, before the night is solved.

    Args:
        catalog: as of the night.
        running: the campaigns that are planned.
        day: the first planned day.
        sizes: people of each audience, where they are known.
        hours_left: planned hours that have not passed.
        capacity: messages that each channel may send over all planned hours, where hours differ.
    """
    documents: Documents = {stored.key: stored.document for stored in documents_of(catalog)}
    wanted = {("policy", "default"), *(("campaign", name) for name in running)}
    wanted |= {("channel", name) for one in running for name in catalog.campaigns[one].channels}
    contradictions = []
    if hours_left == 0:
        says = "all planned hours have passed: nothing will be sent; plan the next night"
        contradictions.append(Contradiction("the night", says))
    # A notice that empties a campaign which does not run tonight keeps nothing from being sent.
    for notice in sense.notices(documents, day):
        if notice.empties and notice.key in wanted:
            contradictions.append(Contradiction(f"{notice.key[0]} {notice.key[1]}", str(notice.problem)))
    for name in sorted(running):
        campaign = catalog.campaigns[name]
        contradictions += [
            Contradiction(f"campaign {name}", says) for says in _of_night(campaign, sizes, capacity)
        ]
    return contradictions


def _of_night(
    campaign: Campaign, sizes: Mapping[str, int] | None, capacity: Mapping[str, int] | None
) -> Iterator[str]:
    """Yield what a night's own numbers say of a campaign."""
    people = (sizes or {}).get(campaign.audience)
    if people == 0:
        yield f"audience {campaign.audience} holds nobody: {NOTHING}; widen its condition"
    if capacity is not None:
        known = [capacity[name] for name in campaign.channels if name in capacity]
        if known and not sum(known):
            names = ", ".join(campaign.channels)
            yield f"channels: {names} may send 0 in every planned hour: {NOTHING}; open one"
