"""What documents' words on devices cost, or keep from being sent.

Grain: document. Reads documents only; `sense` says it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from angelia.catalog.documents import AnyDocument, Campaign, Channel
from angelia.catalog.problems import Doubt, Key
from angelia.contracts.sending import ALL, BEST, MOST_DEVICES
from angelia.output import written_out


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
                f"{written_out(channel.cost_per_message)} each, and the plan counts one; leave it out, "
                "or name channels without a cost"
            )
            yield Doubt(("devices",), says, (("channel", channel.id),))


def of_channel(channel: Channel) -> Iterator[Doubt]:
    """Yield the classes of messages that a channel's limit a device lets nobody have."""
    for kind, most in sorted((channel.max_per_device_day or {}).items()):
        if channel.enabled and most == 0:
            says = f"0 a day: no {kind} message leaves by this channel; give at least 1, or leave it out"
            yield Doubt(("max_per_device_day", kind), says)
