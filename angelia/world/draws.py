"""Counter-based draws for the world: a number depends only on what it is drawn for.

Every function is a pure function of 64-bit keys and salts (see `angelia.contracts.ids`), never of a block, a
process or an order. So any subset of users can be drawn alone and gets the same numbers. `counter` separates
several draws of one key in one layer (the third event of a day).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from angelia.contracts import ids

Keys: TypeAlias = npt.NDArray[np.uint64]
Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

_ODD = np.uint64(0xD1342543DE82EF95)  # spreads counters over the 64 bits before the mixer


def user_keys(index: Ints, seed: int) -> Keys:
    """Return one key per user number, same shape."""
    return ids.mix(index.astype(np.uint64), "world", str(seed))


def counted(keys: Keys, counter: npt.NDArray[np.integer] | int) -> Keys:
    """Return keys of the counter-th draw, broadcast."""
    with np.errstate(over="ignore"):
        return np.asarray(keys + np.asarray(counter).astype(np.uint64) * _ODD, dtype=np.uint64)


def uniform(keys: Keys, *salts: str) -> Floats:
    """Draw from [0, 1), same shape as `keys`."""
    return ids.uniform(keys, *salts)


def normal(keys: Keys, *salts: str) -> Floats:
    """Draw from the standard normal distribution (Box and Muller, 1958), same shape as `keys`."""
    radius = np.sqrt(-2.0 * np.log1p(-ids.uniform(keys, *salts, "radius")))
    return np.asarray(radius * np.cos(2.0 * np.pi * ids.uniform(keys, *salts, "angle")), dtype=np.float64)


def between(keys: Keys, low: float, high: float, *salts: str) -> Floats:
    """Draw uniformly from [low, high)."""
    return low + (high - low) * ids.uniform(keys, *salts)


def pick(u: Floats, weights: Floats) -> Ints:
    """Return the index that `u` (n,) draws from `weights`, (k,) for all or (n, k) each.

    Weights need not sum to one.
    """
    cumulative = np.cumsum(np.broadcast_to(weights, (len(u), weights.shape[-1])), axis=1)
    drawn = (cumulative <= (u * cumulative[:, -1])[:, None]).sum(axis=1)
    return np.asarray(np.minimum(drawn, weights.shape[-1] - 1), dtype=np.int64)


def poisson(u: Floats, mean: Floats) -> Ints:
    """Return Poisson numbers by inversion of `u`, at most 60; shapes (n,)."""
    counts = np.zeros(len(u), dtype=np.int64)
    open_rows = np.arange(len(u))
    mass = np.exp(-mean)
    cumulative = mass.copy()
    for count in range(1, 61):
        beyond = u[open_rows] >= cumulative
        open_rows, mass, cumulative = open_rows[beyond], mass[beyond], cumulative[beyond]
        if not len(open_rows):
            break
        counts[open_rows] = count
        mass = mass * mean[open_rows] / count
        cumulative = cumulative + mass
    return counts


def geometric(u: Floats, mean: float, cap: int) -> Ints:
    """Return numbers 0..cap with a geometric tail and (before the cap) the given mean."""
    return np.asarray(np.minimum(np.floor(np.log1p(-u) / np.log(mean / (1.0 + mean))), cap), dtype=np.int64)
