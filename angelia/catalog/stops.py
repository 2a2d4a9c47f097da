"""Stop and resume a campaign, as a whole or on one channel.

Writes one entry of the lake's log `stops`, which delivery obeys, then the catalog's audit trail.
"""

from __future__ import annotations

import secrets
from datetime import datetime

import pyarrow as pa

from angelia.catalog.documents import Campaign, Template
from angelia.catalog.snapshot import held
from angelia.catalog.store import CatalogStore
from angelia.contracts import arrow, dataset
from angelia.contracts.ids import direct_template
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
    channel: str | None = None,
) -> bool:
    """Stop or resume (`action`) a campaign; return whether that changed anything.

    Args:
        channel: only there (a pause); None = everywhere. The two are lifted apart from each other.

    Raises:
        NotFound: there is no such campaign.
        InvalidInput: a stop without a reason, or of a channel that the campaign does not use.
    """
    if action == "stop" and not (reason or "").strip():
        raise InvalidInput("a stop needs a reason", fix='--reason "wrong price in the text"')
    if lake.branch != "main":
        raise InvalidInput("campaigns are stopped on main only", fix="unset ANGELIA_BRANCH")
    is_held = held(lake).get((campaign, channel), False)
    if not is_held:  # one that was removed from the catalog while stopped can still be resumed
        template = direct_template(campaign)
        key = ("campaign", campaign) if template is None else ("template", template)
        document = store.get(*key).document
        assert isinstance(document, Campaign | Template)
        if channel is not None and channel not in document.channels:
            used = ", ".join(document.channels)
            raise InvalidInput(f"{campaign} does not use {channel}", fix=f"it uses {used}")
    if is_held == (action == "stop"):
        return False
    row = {
        "entry_id": [secrets.token_hex(8)],
        "campaign_id": [campaign],
        "action": [action],
        "at_ts": [at],
        "actor": [actor],
        "reason": [reason],
        "channel": [channel],
    }
    # The lake comes first, since it stops the messages; if the audit trail then fails, the operator sees it.
    lake.append_log("stops", pa.table(row, schema=arrow.schema(dataset("stops"))))
    detail = f"on {channel}: {reason or 'no reason given'}" if channel else reason
    store.record(action, "campaign", campaign, actor=actor, at=at, detail=detail)
    return True
