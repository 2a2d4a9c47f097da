"""What keeps a night from sending anything, from its terms and its commits."""

from __future__ import annotations

from angelia.catalog.checking.before_planning import Contradiction, before_planning
from angelia.catalog.snapshot import Catalog
from angelia.planning.inputs import Inputs
from angelia.planning.terms import Terms


def impossible(catalog: Catalog, terms: Terms, inputs: Inputs) -> list[Contradiction]:
    """Return why campaigns of a night can send nothing; to be said before it is solved."""
    priced = terms.limits()
    n = priced.capacity.size
    # What chosen messages may use, and what is set aside for drawn ones.
    whole = (priced.flat()[:n] + terms.explore_limits()[:n]).reshape(priced.capacity.shape).sum(axis=1)
    return before_planning(
        catalog,
        [campaign.id for campaign in terms.campaigns],
        terms.start.date(),
        sizes=inputs.audiences.meta.get("sizes"),
        hours_left=terms.n_slots - terms.first_slot,
        capacity={one.id: int(messages) for one, messages in zip(terms.channels, whole, strict=True)},
    )
