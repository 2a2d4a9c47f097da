"""Stop and resume a campaign.

Writes one entry of the lake's log `stops`, which delivery obeys, then the catalog's audit trail.
"""

from __future__ import annotations

import secrets
from datetime import datetime

import pyarrow as pa

from angelia.catalog.snapshot import stopped_campaigns
from angelia.catalog.store import CatalogStore
from angelia.contracts import arrow, dataset
from angelia.errors import InvalidInput
from angelia.lake import Lake


def set_stopped(
    lake: Lake,
    store: CatalogStore,
    campaign: str,
    action: str,
    *,
    actor: str,
    at: datetime,
    reason: str | None,
) -> bool:
    """Stop or resume (`action`) a campaign; return whether that changed anything.

    Raises:
        NotFound: there is no such campaign.
        InvalidInput: a stop without a reason.
    """
    if action == "stop" and not (reason or "").strip():
        raise InvalidInput("a stop needs a reason", fix='--reason "wrong price in the text"')
    if lake.branch != "main":
        raise InvalidInput("campaigns are stopped on main only", fix="unset ANGELIA_BRANCH")
    stopped = stopped_campaigns(lake)
    if campaign not in stopped:  # one that was removed from the catalog while stopped can still be resumed
        store.get("campaign", campaign)
    if (campaign in stopped) == (action == "stop"):
        return False
    row = {
        "entry_id": [secrets.token_hex(8)],
        "campaign_id": [campaign],
        "action": [action],
        "at_ts": [at],
        "actor": [actor],
        "reason": [reason],
    }
    # The lake comes first, since it stops the messages; if the audit trail then fails, the operator sees it.
    lake.append_log("stops", pa.table(row, schema=arrow.schema(dataset("stops"))))
    store.record(action, "campaign", campaign, actor=actor, at=at, detail=reason)
    return True
