"""What a message pays by each way it may go: cost, prices of limits, closed doors.

Pure. Tables by group of people, set of channels, campaign and slot, so that the per-person step adds one
figure to a worth. Channels that make the same of a message are one layer, in which the cheapest stands;
without a campaign that chooses its channel by value there is one layer. Surprise: with several layers the
best channel depends on what the message is worth, so it is looked up for chosen messages only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from angelia.contracts.ids import mix
from angelia.planning.problem import I64, ONE, TOO_MUCH, Bools, Limits, boosted

SLOT_BITS = 5
SLOT_MASK = (1 << SLOT_BITS) - 1
GROUPS = 32  # a power of two
_PRICE_MOST = TOO_MUCH // 4


@dataclass(frozen=True)
class Tilt:
    """How prices differ between groups of people: by a share of each, and a little more.

    Where hours or channels are equally good to a crowd, one price would send all of it to either; tilted
    prices split it. The little is for prices of 0.
    """

    share: float
    little: float

    def of(self, prices: I64) -> I64:
        """Return each group's prices, (g, c*h + k + s*h)."""
        place = _evenly(len(prices))
        return np.rint(prices * (1.0 + self.share * place) + self.little * (place + 0.5)).astype(np.int64)

    def slope(self, n: int) -> npt.NDArray[np.float64]:
        """Return by how much a group's price rises with the price, (g, n)."""
        return 1.0 + self.share * _evenly(n)


@dataclass(frozen=True)
class FeeLayer:
    """What a message pays, as tables, by the channels that make the same of it.

    Attributes:
        factor: what these channels make of a worth (`Limits.boost`).
        fee: by group x pattern x campaign and slot, (g*p*k, h). key: the same as
            a key to be subtracted, which leaves the slot. by: the cheapest channel, as `fee`.
    """

    factor: int
    fee: I64
    key: I64
    by: I64

    def worth(self, worth: npt.NDArray[np.signedinteger]) -> npt.NDArray[np.signedinteger]:
        """Return what these channels make of worths."""
        return worth if self.factor == ONE else boosted(worth, self.factor)


@dataclass(frozen=True)
class Fees:
    """What messages pay, in layers: one unless a campaign's channel goes by value.

    `n_groups` is 1 where all pay the same.
    """

    layers: tuple[FeeLayer, ...]
    n_groups: int

    def taken(
        self, worth: npt.NDArray[np.signedinteger], kind: I64, group: I64, slot: I64
    ) -> tuple[I64, I64]:
        """Return the best channel of messages in these slots, and their worth by it.

        Both (r,). Of equal ones the channel that makes least of it, and so costs least.
        """
        at = kind + (group * (len(self.layers[0].fee) // self.n_groups) if self.n_groups > 1 else 0)
        gross = np.stack([layer.worth(worth) for layer in self.layers])
        net = gross - np.stack([layer.fee[at, slot] for layer in self.layers])
        which = np.argmax(net, axis=0)[None]
        by = np.stack([layer.by[at, slot] for layer in self.layers])
        channel, made = (np.take_along_axis(figures, which, 0)[0] for figures in (by, gross))
        return channel, made.astype(np.int64)


def fees(
    patterns: Bools,
    bits: int,
    limits: Limits,
    prices: I64,
    closed: Bools | None = None,
    tilt: Tilt | None = None,
) -> Fees:
    """Return what messages pay at these prices.

    `patterns` says which channels may carry a pair, the different answers, (p, c); `bits` are a key's below
    its value; `closed` marks constraints that take nobody any more. With a `tilt`, each group of people sees
    prices of its own.
    """
    c, h = limits.capacity.shape
    k, n_groups = limits.budget.size, GROUPS if tilt else 1
    prices = np.clip(prices, -_PRICE_MOST, _PRICE_MOST)
    prices = prices[None, :] if tilt is None else tilt.of(prices)
    if closed is not None:
        prices = np.where(closed, TOO_MUCH, prices)
    hour = limits.cost[:, None] + prices[:, : c * h].reshape(-1, c, h)
    hour = np.where(patterns[:, :, None], hour[:, None], 2 * TOO_MUCH)  # (g, p, c, h)
    own = np.repeat(prices[:, c * h : c * h + k, None], h, axis=2)
    own[:, limits.paced] += prices[:, c * h + k :].reshape(n_groups, -1, h)
    layers = []
    for factor in np.unique(limits.boost).tolist() or [ONE]:
        least, by = _cheapest(hour, limits.boost == factor if limits.boost.size else np.ones((1, c), bool))
        fee = (least + own[:, None]).reshape(-1, h)
        by = np.broadcast_to(by, (*by.shape[:2], k, h)).reshape(-1, h)
        layers.append(FeeLayer(factor, fee, (fee << bits) - (SLOT_MASK - np.arange(h)), by))
    return Fees(tuple(layers), n_groups)


def _cheapest(hour: I64, may: Bools) -> tuple[I64, I64]:
    """Return the least of channels' fees and whose it is, (g, p, k, h) each, from (g, p, c, h).

    `may` says which channels campaigns may go by, (k, c), or (1, c) for all campaigns alike.
    """
    shape = (*hour.shape[:2], len(may), hour.shape[3])
    least, by = np.full(shape, 2 * TOO_MUCH), np.zeros(shape, np.int64)
    for channel in range(may.shape[1]):
        own = np.where(may[:, channel, None], hour[:, :, None, channel], 2 * TOO_MUCH)
        is_less = own < least
        least[is_less], by[is_less] = own[is_less], channel
    return least, by


def _evenly(n: int) -> npt.NDArray[np.float64]:
    """Return each group's place at each of n constraints, evenly from -1/2 to 1/2, (g, n)."""
    draw = mix(np.arange(n, dtype=np.uint64), "tilt")
    step, start = (draw >> np.uint64(40)) | np.uint64(1), draw & np.uint64(GROUPS - 1)
    # An odd step visits every group once.
    place = (np.arange(GROUPS, dtype=np.uint64)[:, None] * step + start) & np.uint64(GROUPS - 1)
    return np.asarray((place.astype(np.float64) + 0.5) / GROUPS - 0.5)
