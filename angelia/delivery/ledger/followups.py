"""Follow-up parts: rows of a concluded part that are as good as unsent, to be sent again.

Reads outcomes and the manifest file; writes `followups/…`. Grain: manifest row. Surprise: a row whose window
is over is not followed up any more, nor is one that was refused for its payload: the next attempt would be
the same.
"""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.outcomes import AMBIGUOUS, AT_LEAST_ONCE, CANARY_WAITS, DEFERRED
from angelia.contracts.sending import Micros
from angelia.delivery.ledger import compaction
from angelia.delivery.ledger.ledger import Ledger
from angelia.delivery.ledger.outcomes import COUNTED, PAYLOAD_CHANGED, moves_on
from angelia.delivery.manifest import parts
from angelia.delivery.manifest.parts import Part
from angelia.delivery.manifest.rows import columns_of
from angelia.lake import Lake


def follow_up(lake: Lake, ledger: Ledger, part: Part, now: Micros, limited: Collection[str] = ()) -> None:
    """Name the rows that are sent again, while their windows last, in a follow-up part.

    Each campaign with a speed limit (`limited`) gets a part of its own, which waits for that limit; so do the
    rows of each campaign whose canary they wait for. Rows of a channel that is off or spent, which no other
    channel has taken, get one that waits for that channel.
    """
    mine = compaction.merged(ledger, [part], (*COUNTED, "reason"))
    mine = mine.filter(pc.is_in(mine["outcome"], pa.array([DEFERRED, AMBIGUOUS])))
    mine = mine.filter(pc.fill_null(pc.not_equal(mine["reason"], PAYLOAD_CHANGED), True))
    if not len(mine):
        return
    facts = columns_of(lake, part.entry, ["not_after", "guarantee", "campaign_id"]).take(mine["row"])
    # A transactional row that never got an answer is as unsent as a deferred one.
    is_unsent = pc.or_(pc.equal(mine["outcome"], DEFERRED), pc.equal(facts["guarantee"], AT_LEAST_ONCE))
    goes_on = pc.and_(is_unsent, pc.greater(facts["not_after"].cast("int64"), now))
    again, campaigns = mine["row"].filter(goes_on), facts["campaign_id"].filter(goes_on)
    waits = pc.fill_null(pc.equal(mine["reason"].filter(goes_on), CANARY_WAITS), False)
    left = moves_on(mine["reason"].filter(goes_on))
    paced = pc.and_not(pc.is_in(campaigns, pa.array(list(limited), pa.string())), pc.or_(waits, left))
    for kind, rows in ((parts.CANARY, waits), (parts.PACED, paced)):
        for campaign in sorted(campaigns.filter(rows).unique().to_pylist()):
            own = again.filter(pc.and_(rows, pc.equal(campaigns, campaign)))
            name = f"{part.id[:32]}.{kind}.{campaign}"
            parts.follow_up(lake, part, own.to_pylist(), kind, name, campaign)
    rest = pc.invert(pc.or_(pc.or_(waits, paced), left))
    for kind, rows in ((parts.LEFT, left), ("deferred", rest)):
        if own := again.filter(rows).to_pylist():
            parts.follow_up(lake, part, own, kind, f"{part.id[:32]}.{kind}")
