"""What keeps a night from sending anything, from its terms and its commits."""

from __future__ import annotations

from angelia.catalog.before_planning import Contradiction, before_planning
from angelia.catalog.snapshot import Catalog
from angelia.planning.inputs import Inputs
from angelia.planning.terms import Terms


def contradictions(catalog: Catalog, terms: Terms, inputs: Inputs) -> list[Contradiction]:
    """Return why campaigns of a night can send nothing; to be said before it is solved."""
    capacity = {
        channel.id: int(channel.capacities(terms.n_slots, terms.first_slot).sum())
        for channel in terms.channels
    }
    return before_planning(
        catalog,
        [campaign.id for campaign in terms.campaigns],
        terms.start.date(),
        sizes=inputs.audiences.meta.get("sizes"),
        hours_left=terms.n_slots - terms.first_slot,
        capacity=capacity,
    )
