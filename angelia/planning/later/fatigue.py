"""The price of fatigue: what one more message to a person costs their later messages.

Grain: pair (user x campaign). Two costs, both in the objective's own money. *Tiring*: each later message is
opened less; what the person's best message of tonight is worth stands for the later ones. *Refusing*: with a
small chance the person refuses the topic, and what its messages would be worth is lost for the policy's
`horizon_days`. Who does not look cannot refuse, so that chance goes with the hour as opens do: it costs a
share of the message's worth, and tiring a flat amount.

"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

FELT_DAYS = 7
FINE, _COARSE = 32, 16  # binary places of chances, and of messages still felt


@dataclass(frozen=True)
class Fatigue:
    """What was learned of fatigue; nothing learned is 0 everywhere.

    Attributes:
        tires: share of an open that is lost per unit of log(1 + messages still felt).
        refuses: refusals per message at a mean hour to somebody who feels no other.
        refuses_more: by which power of (1 + messages still felt) refusals grow.
        rate: messages a person gets a day, on average.
        tired_days: time constant of messages still felt.
    """

    tires: float = 0.0
    refuses: float = 0.0
    refuses_more: float = 0.0
    rate: float = 0.0
    tired_days: float = 2.0

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> Fatigue | None:
        """Return what the meta of material_scores carries; None where its model is older."""
        fatigue = meta.get("fatigue") or {}
        names = cls.__dataclass_fields__
        return cls(**{name: float(fatigue[name]) for name in names if name in fatigue}) if fatigue else None

    def as_meta(self) -> dict[str, float]:
        """Return it as `of` reads it back."""
        return asdict(self)


@dataclass(frozen=True)
class LaterCosts:
    """What a message of each pair costs later, all (m,).

    Attributes:
        flat: micro-units whatever the hour. share: of the message's worth in its hour. felt: messages that
            the person still feels. rate: messages they get a day. lost: share of a later message's opens that
            this one costs, summed over a week's. chance: that it is refused, at a mean hour. by_hour:
            micro-units in each slot for that chance, (m, h); None where the policy sets no price on it. risk:
            of a refusal in each slot, to somebody rested at a mean hour = 1, (m, h); None without a limit.
    """

    flat: F64
    share: F64
    felt: F64
    rate: F64
    lost: F64
    chance: F64
    by_hour: F64 | None = None
    risk: F64 | None = None

    def net(self, worth: F64) -> F64:
        """Return what messages are worth in each hour after this price, (m, h)."""
        net = np.asarray(worth * (1.0 - self.share)[:, None] - self.flat[:, None])
        return net if self.by_hour is None else net - self.by_hour


def later_costs(
    fatigue: Fatigue,
    worth: F64,
    at_mean: F64,
    bears: npt.NDArray[np.bool_],
    user: I64,
    topics: Sequence[str],
    past_user: I64,
    past_hours: F64,
    *,
    n_users: int,
    weight: float,
    horizon_days: int,
) -> LaterCosts:
    """Return what a message of each pair costs later.

    Args:
        fatigue: what was learned.
        worth: of a message in each slot before costs, 0 where it may not go, (m, h).
        at_mean: what it would be worth at a mean hour, (m,).
        bears: which pairs pay: marketing, (m,).
        user: of each pair, ascending, (m,).
        topics: of each pair, m of them.
        past_user: of each marketing message that was sent or is pending, (p,).
        past_hours: when, relative to the plan's start, (p,).
        n_users: n.
        weight: multiplies the price.
        horizon_days: for how long a refused topic's messages count as lost.
    """
    felt, rate = still_felt(fatigue, past_user, past_hours, n_users)
    lost = fatigue.tires * rate * _ahead(fatigue.tired_days) / (1.0 + felt)
    chance = rounded(fatigue.refuses * np.exp(fatigue.refuses_more * np.log1p(felt)), FINE)
    own = np.zeros(n_users)
    np.maximum.at(own, user[bears], worth[bears].max(axis=1, initial=0.0))
    # A topic's share of later messages is its share of tonight's campaigns.
    codes = {name: code for code, name in enumerate(sorted(set(topics)))}
    code = np.array([codes[name] for name in topics], np.int64)
    cell = user * max(len(codes), 1) + code
    of_topic = np.bincount(cell[bears], minlength=n_users * max(len(codes), 1))[cell]
    share_of_topic = of_topic / np.maximum(np.bincount(user[bears], minlength=n_users)[user], 1)
    refused = chance[user] * horizon_days * rate[user] * share_of_topic * own[user]
    # The chance of a refusal goes with the hour's response as the worth does: the same share in every hour.
    share = np.divide(refused, at_mean, out=np.zeros(len(user)), where=at_mean > 0)
    return LaterCosts(
        flat=np.where(bears, weight * lost[user] * own[user], 0.0),
        share=np.where(bears, weight * share, 0.0),
        felt=felt[user],
        rate=rate[user],
        lost=lost[user],
        chance=chance[user],
    )


def still_felt(fatigue: Fatigue, user: I64, hours: F64, n_users: int) -> tuple[F64, F64]:
    """Return the messages each person still feels, and those they get a day, (n,).

    The daily number leans to everybody's by as much as a week of their own messages.
    """
    age = np.maximum(np.floor(-hours), 0.0).astype(np.int64)
    recent = age < 24 * FELT_DAYS
    # As in training, a message counts as felt in the middle of the day that is planned.
    table = np.exp(-((np.arange(24 * FELT_DAYS) + 0.5) / 24.0 + 0.5) / fatigue.tired_days)
    weights = rounded(table, _COARSE)[age[recent]]
    felt = np.bincount(user[recent], weights=weights, minlength=n_users).astype(np.float64)
    n = np.bincount(user[recent], minlength=n_users)
    return felt, np.asarray((n + FELT_DAYS * fatigue.rate) / (2.0 * FELT_DAYS), np.float64)


def _ahead(tired_days: float) -> float:
    """Return how strongly one message is felt at a message of each of the next days, summed."""
    return float(rounded(np.exp(-np.arange(1, FELT_DAYS + 1) / tired_days), _COARSE).sum())


def rounded(values: F64, bits: int) -> F64:
    """Return values to so many binary places, in which all processors agree."""
    return np.asarray(np.rint(values * 2.0**bits) / 2.0**bits)
