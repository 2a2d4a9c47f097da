"""How people can be reached and what they refuse: the truth behind user_endpoints and user_preferences.
Grain: user.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from angelia.world import draws
from angelia.world.draws import Bools, Ints
from angelia.world.parameters import parameters
from angelia.world.population import People

CHANNELS = ("fcm", "apns", "sms", "email")
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Contact:
    """What holds for n people.

    Attributes:
        has: address known, (n, 4) over CHANNELS. is_active: and the provider still takes it, same shape.
        topic_out_day: day since which a topic is refused, NEVER = not, (n, topics). channel_out_day: the same
            over CHANNELS, (n, 4).
    """

    has: Bools
    is_active: Bools
    topic_out_day: Ints
    channel_out_day: Ints

    def reachable(self, day: int) -> Bools:
        """Say who can be reached through which channel on a day, (n, 4)."""
        return np.asarray(self.is_active & (self.channel_out_day > day))


def topics() -> tuple[str, ...]:
    """Return the topics a person may refuse."""
    return tuple(parameters().reach.opt_out)


def contact(person: People, anchor_day: int) -> Contact:
    """Return reachability and refusals of people."""
    reach = parameters().reach
    has = np.stack(
        [person.has_app & ~person.is_ios, person.has_app & person.is_ios, person.has_sms, person.has_email],
        axis=1,
    )
    dead = (
        draws.uniform(draws.counted(person.keys[:, None], np.arange(4)[None, :]), "inactive")
        < reach.inactive_share
    )
    topic_out = np.stack(
        [_out_day(person, f"topic {name}", share, anchor_day) for name, share in reach.opt_out.items()],
        axis=1,
    )
    channel_out = np.full((len(person), 4), NEVER)
    for name, share in reach.channel_opt_out.items():
        column = CHANNELS.index(name)
        channel_out[:, column] = np.where(
            has[:, column], _out_day(person, f"channel {name}", share, anchor_day), NEVER
        )
    return Contact(has, has & ~dead, topic_out, channel_out)


def _out_day(person: People, layer: str, share: float, anchor_day: int) -> Ints:
    recent = parameters().reach.recent_opt_out_share
    u = draws.uniform(person.keys, layer, "when")
    age = np.where(u < recent, 28.0 * u / recent, 28.0 + 600.0 * (u - recent) / (1.0 - recent)).astype(
        np.int64
    )
    day = np.maximum(anchor_day - age, person.signup_day)
    return np.where(draws.uniform(person.keys, layer) < share, day, NEVER)
