"""Limits that contradict each other, so that nothing can be sent.

Each has its cause and one fix. Grain: document. Reads documents, and how many workers share a quota; `sense`
says them when a catalog is applied, and `before_planning` once more of a night. Surprise: the share set aside
for exploration is taken off first and the rest rounded down, so a capacity or budget of one leaves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from angelia.catalog.documents import AnyDocument, Campaign, Channel, Policy
from angelia.catalog.problems import Doubt, Key
from angelia.config import load_settings
from angelia.contracts.sending import steady_per_minute
from angelia.output import written_out

Documents = Mapping[Key, AnyDocument]
WEIGHTS = {"high": 4, "medium": 2, "low": 1}  # as planning.terms has them
NOTHING = "nothing will be sent"


def of_campaign(campaign: Campaign, documents: Documents) -> Iterator[Doubt]:
    """Yield what keeps a campaign from sending anything, as far as documents say."""
    named = [documents.get(("channel", name)) for name in campaign.channels]
    channels = [one for one in named if isinstance(one, Channel) and one.enabled]
    policy = documents.get(("policy", "default"))
    about = tuple(("channel", channel.id) for channel in channels)
    worth = WEIGHTS[campaign.priority] * campaign.value_micros
    cheapest = min(channels, key=lambda channel: channel.cost_micros, default=None)
    # What lift adds by person is not known here.
    if campaign.uplift is None and cheapest is not None and 0 < worth <= cheapest.cost_micros:
        says = (
            f"{written_out(campaign.value_per_open)} at priority {campaign.priority} is worth no more than "
            f"the {written_out(cheapest.cost_per_message)} that a message by {cheapest.id} costs, even if "
            f"everybody opened it: {NOTHING}; give more, or a cheaper channel"
        )
        yield Doubt(("value_per_open",), says, about, empties=True)
    if not isinstance(policy, Policy):
        return
    budget = campaign.budget.max_messages if campaign.budget else None
    if budget is not None and _is_lost(budget, policy):
        says = (
            f"{budget:,} less the {policy.explore.slot_share_pct:g} % set aside for exploration rounds down "
            f"to 0: {NOTHING} but drawn messages; give at least {_least(policy):,}"
        )
        yield Doubt(("budget", "max_messages"), says, (("policy", "default"),), empties=True)


def of_channel(channel: Channel, documents: Documents) -> Iterator[Doubt]:
    """Yield what keeps a channel from sending, or from sending what it promises."""
    if not channel.enabled:
        return
    policy = documents.get(("policy", "default"))
    capacity, minute = channel.capacity_per_hour, channel.quota_per_minute
    if isinstance(policy, Policy) and _is_lost(capacity, policy):
        says = (
            f"{capacity:,} less the {policy.explore.slot_share_pct:g} % set aside for exploration rounds "
            f"down to 0: {NOTHING} but drawn messages; give at least {_least(policy):,}"
        )
        yield Doubt(("capacity_per_hour",), says, (("policy", "default"),), empties=True)
    most = int(60 * steady_per_minute(minute, load_settings().delivery_slots))
    if 0 < most < capacity:
        says = (
            f"{capacity:,} an hour is more than {minute:,} a minute allow ({most:,}): the rest would "
            "be late; lower it, or raise quota_per_minute"
        )
        yield Doubt(("capacity_per_hour",), says)
    for vendor, most in sorted(channel.max_per_vendor_day.items()):
        if most == 0:
            says = "0 a day: nobody with such a phone gets any marketing; give at least 1, or leave it out"
            yield Doubt(("max_per_vendor_day", vendor), says)


def of_policy(policy: Policy) -> Iterator[Doubt]:
    """Yield what keeps the plan from choosing anything."""
    if policy.explore.slot_share_pct == 100:
        says = "100 % of the hours are drawn: nothing is chosen, and no capacity is left for it; give less"
        yield Doubt(("explore", "slot_share_pct"), says, empties=True)


def _is_lost(messages: int, policy: Policy) -> bool:
    """Say whether exploration's share leaves nothing of a limit.

    A share of all is a doubt of the policy's own.
    """
    share = policy.explore.slot_share_pct
    return share < 100 and messages > 0 and not int(messages * (1.0 - share / 100.0))


def _least(policy: Policy) -> int:
    """Return the smallest limit that leaves one message for the plan."""
    share = 1.0 - policy.explore.slot_share_pct / 100.0
    least = math.ceil(1.0 / share - 1e-9)
    return least if int(least * share) else least + 1  # 10 x (1 - 0.9) rounds down to 0
