"""Marginals that the world must share with reality, each with one definition for both.

Reads the real sets of a data folder (KuaiRand-Pure, Online Retail) or a simulated block; `python -m
angelia.world.marginals DATA` rewrites marginals.json beside this module: measured value, tolerance for the
world, definition, source. Surprise: the click rates are those of a video feed (mean 0.44), not of pushes, so
only their *relative* spread is asked of the world, around a mean of its own (0.05 to 0.08).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from angelia.world.activity import PURCHASE
from angelia.world.clock import local
from angelia.world.draws import Floats, Ints
from angelia.world.policy import names
from angelia.world.simulate import simulate
from angelia.world.truth import World, materials

FILE = Path(__file__).with_name("marginals.json")
KUAIRAND = "KuaiRand-Pure standard log, 25 Apr to 8 May 2022 (Gao et al., CIKM 2022; CC BY-SA 4.0)"
RETAIL = (
    "UCI Online Retail I and II, Dec 2009 to Dec 2011 (Chen, UCI ML Repository; CC BY 4.0), 28-day windows"
)

# name: (source, tolerance, is it relative to the measured value, definition)
DEFINITIONS: dict[str, tuple[str, float, bool, str]] = {
    "hour_curve": (
        KUAIRAND,
        0.10,
        False,
        "share of user-hours by local hour; a user-hour is an hour with any event. Distance: total variation",
    ),
    "same_hour_ratio": (
        KUAIRAND,
        0.10,
        True,
        (
            "P(two user-hours of a user on different days share the local hour) / sum of squared "
            "population shares"
        ),
    ),
    "top3_share": (
        KUAIRAND,
        0.10,
        True,
        "users with 12 to 20 user-hours in 14 days: mean share of their three most frequent local hours",
    ),
    "hour_entropy": (KUAIRAND, 0.10, True, "the same users: mean entropy (nats) of their local hours"),
    "user_hours_mean": (KUAIRAND, 0.20, True, "user-hours in 14 days per user with at least one"),
    "user_hours_gini": (KUAIRAND, 0.10, True, "Gini coefficient of the same"),
    "user_hours_top1": (KUAIRAND, 0.25, True, "share of user-hours by the most active 1 % of those users"),
    "user_hours_top10": (KUAIRAND, 0.15, True, "share of user-hours by the most active 10 % of those users"),
    "active_days_mean": (KUAIRAND, 0.20, True, "days of 14 with an event per user with at least one"),
    "active_days_once": (KUAIRAND, 0.06, False, "share of those users active on one day only"),
    "rate_spread_user": (
        KUAIRAND,
        0.25,
        True,
        "main scenario: relative sd of click rate between users, from pairs of different days and categories",
    ),
    "rate_spread_category": (
        KUAIRAND,
        0.35,
        True,
        "main scenario: relative sd of click rate between categories (first tag), weighted by exposures",
    ),
    "rate_spread_user_category": (
        KUAIRAND,
        0.25,
        True,
        "main scenario: relative sd of what a user's liking of a category adds, from pairs of different days",
    ),
    "orders_one": (RETAIL, 0.08, False, "share of a window's buyers with exactly one order"),
    "orders_two": (RETAIL, 0.06, False, "share of a window's buyers with exactly two orders"),
    "orders_top10": (RETAIL, 0.20, True, "share of a window's orders by the 10 % of buyers with most"),
    "order_gap_mean": (
        RETAIL,
        0.25,
        True,
        "mean days between consecutive order days of a buyer within a window",
    ),
    "order_value_log_sd": (RETAIL, 0.10, True, "standard deviation of the log of an order's value"),
    "order_weekdays": (
        RETAIL,
        0.05,
        False,
        (
            "share of orders by weekday, Monday to Friday and Sunday (the shop is closed on "
            "Saturdays). Distance: total variation"
        ),
    ),
}

Value = float | list[float]
Values = dict[str, Value]


@dataclass(frozen=True)
class Clicks:
    """Exposures or pushes and whether they were clicked; all (m,).

    `clicked` is 0 or 1 in real sets, and the true probability in the world.
    """

    user: Ints
    category: Ints
    day: Ints
    clicked: Floats


def activity_marginals(user: Ints, day: Ints, hour: Ints) -> Values:
    """Return the marginals of user-hours over 14 days.

    Args:
        user: 0..n-1, (m,), one entry per event; day and hour likewise, in local time.
    """
    day = day - day.min()
    code = np.unique((user * 64 + day) * 24 + hour)
    user, day, hour = code // (24 * 64), code // 24 % 64, code % 24
    _, user = np.unique(user, return_inverse=True)
    size = int(user.max()) + 1
    by_hour = np.zeros((size, 24))
    np.add.at(by_hour, (user, hour), 1.0)
    by_day = np.zeros((size, 64))
    np.add.at(by_day, (user, day), 1.0)
    count = by_hour.sum(axis=1)
    curve = by_hour.sum(axis=0) / len(code)
    pairs = (count**2).sum() - (by_day**2).sum()
    # A user-hour is unique, so two of one hour are always of different days.
    same = (by_hour**2 - by_hour).sum()
    band = (count >= 12) & (count <= 20)
    shares = by_hour[band] / count[band][:, None]
    days = (by_day > 0).sum(axis=1)
    return {
        "hour_curve": [round(float(share), 5) for share in curve],
        "same_hour_ratio": same / pairs / (curve**2).sum(),
        "top3_share": np.sort(shares, axis=1)[:, -3:].sum(axis=1).mean(),
        "hour_entropy": -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1).mean(),
        "user_hours_mean": count.mean(),
        "user_hours_gini": _gini(count),
        "user_hours_top1": _top_share(count, 0.01),
        "user_hours_top10": _top_share(count, 0.10),
        "active_days_mean": days.mean(),
        "active_days_once": (days == 1).mean(),
    }


def click_marginals(clicks: Clicks) -> Values:
    """Return the relative spread of click rates by user, category and their combination.

    Products of two clicks of one user on different days estimate the second moment without the binomial noise
    of either.
    """
    mean = clicks.clicked.mean()
    user_all = _pairs(clicks.user, clicks.day, clicks.clicked)
    user_same = _pairs(clicks.user * 4096 + clicks.category, clicks.day, clicks.clicked)
    other = (user_all[0] - user_same[0]) / (user_all[1] - user_same[1])
    same = user_same[0] / user_same[1]
    exposures = np.bincount(clicks.category)
    rates = np.bincount(clicks.category, clicks.clicked) / np.maximum(exposures, 1)
    between = float((exposures * (rates - mean) ** 2).sum() / exposures.sum())
    return {
        "rate_spread_user": np.sqrt(max(other - user_all[2] ** 2, 0.0)) / user_all[2],
        "rate_spread_category": np.sqrt(between) / mean,
        "rate_spread_user_category": np.sqrt(max(same - other - between, 0.0)) / user_all[2],
    }


def _pairs(group: Ints, day: Ints, clicked: Floats) -> tuple[float, float, float]:
    """Return (sum of products, number, mean click rate) over pairs within a group.

    Pairs are ordered and lie on different days.
    """
    _, group = np.unique(group, return_inverse=True)
    _, cell = np.unique(group * 64 + (day - day.min()), return_inverse=True)
    sums, counts = np.bincount(group, clicked), np.bincount(group)
    day_sums, day_counts = np.bincount(cell, clicked), np.bincount(cell)
    number = float((counts.astype(float) ** 2).sum() - (day_counts.astype(float) ** 2).sum())
    partners = counts[group] - day_counts[cell]
    return float((sums**2).sum() - (day_sums**2).sum()), number, float((clicked * partners).sum() / number)


def order_marginals(windows: Sequence[tuple[Ints, Ints, Floats]]) -> Values:
    """Return the marginals of orders; a window is (user, day since 1970, value) of its orders."""
    once, twice, top, gaps = [], [], [], []
    for user, day, _ in windows:
        counts = np.bincount(np.unique(user, return_inverse=True)[1])
        once.append((counts == 1).mean())
        twice.append((counts == 2).mean())
        top.append(_top_share(counts.astype(float), 0.10))
        days = np.unique(user * 100_000 + day)
        gap = np.diff(days)
        gaps.append(gap[np.diff(days // 100_000) == 0])
    value = np.concatenate([window[2] for window in windows])
    weekday = np.bincount((np.concatenate([window[1] for window in windows]) + 3) % 7, minlength=7)[
        [0, 1, 2, 3, 4, 6]
    ]
    return {
        "orders_one": np.mean(once),
        "orders_two": np.mean(twice),
        "orders_top10": np.mean(top),
        "order_gap_mean": np.concatenate(gaps).mean(),
        "order_value_log_sd": np.log(value[value > 0]).std(),
        "order_weekdays": [round(float(share), 5) for share in weekday / weekday.sum()],
    }


def measure_kuairand(folder: Path) -> Values:
    """Measure the KuaiRand-Pure log in a folder."""
    columns = ["user_id", "video_id", "time_ms", "is_click", "tab"]
    log = pq.read_table(folder / "log_standard_20220425_20220508.parquet", columns=columns)
    seconds = log["time_ms"].to_numpy() // 1_000 + 8 * 3_600  # Beijing time
    day, hour = seconds // 86_400, seconds // 3_600 % 24
    inside = day > day.min()  # a few rows of the evening before
    _, user = np.unique(log["user_id"].to_numpy(), return_inverse=True)
    features = pq.read_table(
        folder / "video_features_basic_pure.parquet", columns=["video_id", "tag"]
    ).to_pydict()
    tags = {
        video: (tag or "").split(",")[0]
        for video, tag in zip(features["video_id"], features["tag"], strict=True)
    }
    _, category = np.unique(
        [tags.get(video, "") for video in log["video_id"].to_pylist()], return_inverse=True
    )
    # Click rates of scenarios (tabs) differ up to fifty-fold. Only the main one counts: three quarters of
    # rows.
    main_tab = log["tab"].to_numpy() == 1
    clicks = Clicks(
        user[main_tab],
        category[main_tab],
        day[main_tab],
        log["is_click"].to_numpy()[main_tab].astype(np.float64),
    )
    return activity_marginals(user[inside], day[inside], hour[inside]) | click_marginals(clicks)


def measure_retail(folder: Path) -> Values:
    """Measure both Online Retail files in a folder.

    Days that both cover (1 to 9 Dec 2010) are taken from the second.
    """
    parts = []
    for name, customer, price, until in (
        ("online_retail_ii_2009_2010.parquet", "Customer ID", "Price", "2010-12-01"),
        ("online_retail_2010_2011_no_invoice.parquet", "CustomerID", "UnitPrice", "2012-01-01"),
    ):
        lines = pq.read_table(folder / name, columns=[customer, "InvoiceDate", "Quantity", price])
        who, quantity = lines[customer].to_numpy().astype(np.float64), lines["Quantity"].to_numpy()
        minute = lines["InvoiceDate"].to_numpy().astype("datetime64[m]")
        keep = ~np.isnan(who) & (quantity > 0) & (minute < np.datetime64(until))
        amount = (quantity * lines[price].to_numpy().astype(np.float64))[keep]
        parts.append((who[keep].astype(np.int64), minute[keep].astype(np.int64), amount))
    user, minute, amount = (np.concatenate([part[k] for part in parts]) for k in range(3))
    orders, of = np.unique(user * 100_000_000 + minute, return_inverse=True)
    value = np.bincount(of, amount)
    buyer, day = orders // 100_000_000, orders % 100_000_000 // 1_440
    window = (day - day.min()) // 28
    whole = range(int((day.max() - day.min() + 1) // 28))
    return order_marginals([(buyer[window == k], day[window == k], value[window == k]) for k in whole])


def measure_world(world: World, users: int) -> Values:
    """Measure the same marginals on 28 simulated days of a world's first `users` people.

    Clicks enter by their true probability. Adds `push_open_rate` and `pushes_per_user_day`, which have no
    real counterpart.
    """
    person = world.people(np.arange(users))
    lived = list(simulate(world, person, world.anchor_day - 27, world.anchor_day))
    # The real log covers 14 days, so the world is measured on its last 14.
    late = [day.events for day in lived[14:]]
    user, at = np.concatenate([part.row for part in late]), np.concatenate([part.at for part in late])
    hours = at // 3_600
    values = activity_marginals(user, hours // 24, local(person, user, hours).hour)
    category = materials(names()[1]).category
    pushed = [day.pushes for day in lived]
    days = np.repeat([day.day for day in lived], [len(pushes) for pushes in pushed])
    chance = np.concatenate([day.answers.probability for day in lived])
    what = category[np.concatenate([pushes.material for pushes in pushed])]
    values |= click_marginals(Clicks(np.concatenate([pushes.row for pushes in pushed]), what, days, chance))
    bought = [day.events.take(np.flatnonzero(day.events.kind == PURCHASE)) for day in lived]
    order_days = np.repeat([day.day for day in lived], [len(orders) for orders in bought])
    values |= order_marginals(
        [(np.concatenate([f.row for f in bought]), order_days, np.concatenate([f.value for f in bought]))]
    )
    return values | {"push_open_rate": chance.mean(), "pushes_per_user_day": len(chance) / users / 28}


def distance(measured: Value, simulated: Value, relative: bool) -> float:
    """Return how far a world's value is from the measured one.

    Shares differ by total variation, everything else by the (relative) difference.
    """
    if isinstance(measured, list):
        return float(0.5 * np.abs(np.asarray(measured) - np.asarray(simulated)).sum())
    assert not isinstance(simulated, list)
    return abs(simulated - measured) / (abs(measured) if relative else 1.0)


def committed() -> dict[str, dict[str, Any]]:
    """Return marginals.json: name -> value, tolerance, relative, definition, source."""
    rows: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["marginals"]
    return rows


def _gini(values: npt.NDArray[Any]) -> float:
    ordered = np.sort(values)
    rank = np.arange(1, len(ordered) + 1)
    return float((2 * rank - len(ordered) - 1) @ ordered / (len(ordered) * ordered.sum()))


def _top_share(values: npt.NDArray[Any], share: float) -> float:
    ordered = np.sort(values)[::-1]
    return float(ordered[: max(1, int(len(ordered) * share))].sum() / ordered.sum())


def measure(data: Path) -> Values:
    """Measure every marginal on the real sets below a folder, rounded as committed."""
    values = measure_kuairand(data / "kuairand_pure") | measure_retail(data / "online_retail")
    return {
        name: value if isinstance(value, list) else round(float(value), 5) for name, value in values.items()
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Rewrite marginals.json from a data folder."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("data", type=Path, help="folder with kuairand_pure/ and online_retail/")
    measured = measure(parser.parse_args(argv).data)
    rows = {
        name: {
            "value": measured[name],
            "tolerance": tolerance,
            "relative": relative,
            "definition": text,
            "source": source,
        }
        for name, (source, tolerance, relative, text) in DEFINITIONS.items()
    }
    FILE.write_text(
        json.dumps({"written_by": "python -m angelia.world.marginals DATA", "marginals": rows}, indent=1)
        + "\n",
        encoding="utf-8",
    )
    sys.stderr.write(f"{FILE.name}: {len(rows)} marginals\n")


if __name__ == "__main__":
    main()
