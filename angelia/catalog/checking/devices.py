"""What a campaign's word on devices costs, or does not do. Reads documents only; `sense` says it.

Grain: campaign.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from angelia.catalog.documents import AnyDocument, Campaign, Channel
from angelia.catalog.problems import Doubt, Key
from angelia.contracts.sending import ALL, BEST, MOST_DEVICES


def of_campaign(campaign: Campaign, documents: Mapping[Key, AnyDocument]) -> Iterator[Doubt]:
    """Yield what an operator may not expect of `devices`."""
    if campaign.devices == BEST and campaign.trigger is not None:
        says = "best is for planned messages: what an event sets off goes to the newest device; leave it out"
        yield Doubt(("devices",), says)
    if campaign.devices != ALL:
        return
    channels = [documents.get(("channel", name)) for name in campaign.channels]
    for channel in channels:
        if isinstance(channel, Channel) and channel.enabled and channel.cost_micros:
            says = (
                f"all: up to {MOST_DEVICES} messages a person by {channel.id}, which cost "
                f"{channel.cost_per_message:g} each, and the plan counts one; leave it out, or name channels "
                "without a cost"
            )
            yield Doubt(("devices",), says, (("channel", channel.id),))
