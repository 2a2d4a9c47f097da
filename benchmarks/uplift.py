"""How good the decisions are: opens per message against the usual product and an oracle.

A closed loop: every seed is a world of its own; every policy lives `--nights` nights in a copy of it, with
people who tire, refuse and visit. Models are trained before the first night and again every week, on what the
policy itself sent by then. Volume is equal: each night everybody may send as many messages as `ours`. `usual`
is what products do: the person's most active hour, the highest rate that boosted trees on the person's
features predict, first come first served. `oracle` is our planner with true probabilities; `true_material`
and `true_hour` are ours with one part from the truth, `unexplored` is ours without exploration. Figures are
expected opens by the truth, so only worlds and people add chance; intervals are over seeds. `knowledge` of
ours compares its probabilities with the truth's, on offers that nobody chose.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

from angelia.errors import InvalidInput
from angelia.lake.attempt import code_version
from angelia.output import progress
from benchmarks.harness.result import Result

DEFAULT = ("ours", "usual", "random", "oracle")
Nights = list[dict[str, float]]
KNOWLEDGE = ("auc", "auc_truth", "log_loss", "log_loss_truth", "log_loss_rate", "correlation")
HOURS = ("hours_correlation", "hours_correlation_curve")
HOURS += ("hours_response", "hours_response_curve", "hours_response_best")


def main(argv: Sequence[str]) -> Result:
    """Run the benchmark; return its result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks uplift", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--seeds", default="101,102", help="numbers of the worlds, separated by commas")
    parser.add_argument("--users", type=int, default=20_000, help="number of people")
    parser.add_argument("--nights", type=int, default=14, help="nights to play")
    parser.add_argument(
        "--history-days", type=int, default=28, help="days of events and pushes before night 1"
    )
    parser.add_argument("--kept", type=Path, help="folder that keeps each seed's nights as they end")
    parser.add_argument("--policies", default=",".join(DEFAULT), help="`ours` first: it sets the volume")
    parser.add_argument(
        "--refusal-opens",
        default="",
        help="prices of a refusal in opens, separated by commas; every policy also plays at each price",
    )
    parser.add_argument(
        "--refusals-at-most",
        default="",
        help="limits on refusals per message, relative to the usual way, separated by commas",
    )
    args = parser.parse_args(argv)
    seeds = [int(word) for word in args.seeds.split(",")]
    policies = args.policies.split(",")
    if policies[0] != "ours":
        raise InvalidInput("--policies must begin with ours", fix="ours sets every night's volume")
    # Each policy lives a second time on each terms, under a name of its own.
    each = [f"{float(price):g}" for price in args.refusal_opens.split(",") if price]
    each += [f"max{float(limit):g}" for limit in args.refusals_at_most.split(",") if limit]
    policies += [f"{name}@{terms}" for terms in each for name in policies]
    if not 2_000 <= args.users <= 100_000 or not 1 <= args.nights <= 60:
        raise InvalidInput("--users must be 2,000 to 100,000, --nights 1 to 60")
    if not 28 <= args.history_days <= 365:
        raise InvalidInput("--history-days must be 28 to 365")
    work = partial(
        live,
        users=args.users,
        nights=args.nights,
        history_days=args.history_days,
        policies=policies,
        kept=args.kept,
    )
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(2, len(seeds)), mp_context=context) as pool:
        lived = list(pool.map(work, seeds))
    return {
        "params": {
            "seeds": seeds,
            "users": args.users,
            "nights": args.nights,
            "history_days": args.history_days,
        },
        "ours": figures([one["ours"] for one in lived], None),
        "peers": {
            name: figures([one[name] for one in lived], [one[beside(name)] for one in lived])
            for name in policies[1:]
        },
        "runs": len(seeds),
        "notes": {"interval": "95 % over seeds, t distribution; *_pct is ours over the peer, a message"},
    }


def beside(name: str) -> str:
    """Return what a policy is compared with.

    That is ours at the same price of a refusal, and for that one ours as the sample has it.
    """
    policy, at, price = name.partition("@")
    return "ours" if policy == "ours" else f"ours{at}{price}"


def live(
    seed: int,
    *,
    users: int,
    nights: int,
    history_days: int,
    policies: Sequence[str],
    kept: Path | None = None,
) -> dict[str, Nights]:
    """Return what came of every policy's nights in the world of a seed."""
    from benchmarks.nights.nights import lives  # heavy imports belong to the process that needs them

    file = None if kept is None else kept / f"{seed}-{users}-{history_days}.json"
    if file is not None and (known := whole(file, nights, policies)):
        return known
    memory = Path("/dev/shm")
    home = Path(tempfile.mkdtemp(prefix="angelia-uplift-", dir=memory if memory.is_dir() else None))
    try:
        return lives(
            home,
            seed,
            users=users,
            nights=nights,
            history_days=history_days,
            policies=policies,
            note=progress,
            keep=partial(keep, file),
        )
    finally:
        shutil.rmtree(home, ignore_errors=True)


def keep(file: Path | None, lived: dict[str, Nights]) -> None:
    """Write what is known of a seed's nights."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        after = file.with_suffix(".part")
        after.write_text(json.dumps({"code": code_version(), "lived": lived}))
        after.replace(file)


def whole(file: Path, nights: int, policies: Sequence[str]) -> dict[str, Nights] | None:
    """Return a seed's nights as this code kept them, if there are enough."""
    if not file.exists():
        return None
    kept = json.loads(file.read_text())
    if kept["code"] != code_version():
        return None
    lived: dict[str, Nights] = kept["lived"]
    enough = all(len(lived.get(name, [])) >= nights for name in policies)
    return {name: lived[name][:nights] for name in policies} if enough else None


def figures(seeds: list[Nights], ours: list[Nights] | None) -> dict[str, object]:
    """Return a policy's figures over all seeds, and what ours gains over it."""
    rate = per_message(seeds, "opens")
    row: dict[str, object] = {
        "opens_per_send": round(float(rate.mean()), 5),
        "opens_per_send_by_seed": np.round(rate, 5).tolist(),
        "unsubscribes_per_send": round(float(per_message(seeds, "unsubscribes").mean()), 6),
        "value_per_send": round(float(per_message(seeds, "value").mean()), 6),
        "sent": int(sum(total(nights, "sent") for nights in seeds)),
        "predicted_over_actual": round(
            float(np.mean([total(n, "predicted") / total(n, "opens") for n in seeds])), 4
        ),
        "opens_per_send_by_night": np.round(by_night(seeds, "opens"), 5).tolist(),
    }
    if known := [night for nights in seeds for night in nights if "auc" in night]:
        row["knowledge"] = learned(known)
    if ours is not None:
        for name, of in (("gain", "opens"), ("unsubscribes", "unsubscribes"), ("value", "value")):
            row |= compared(name, per_message(ours, of) / per_message(seeds, of))
            # The first night follows evenly drawn pushes, the later ones a policy's own.
            ratio = by_night(ours, of) / by_night(seeds, of)
            row[f"{name}_pct_by_night"] = np.round(100.0 * (ratio - 1.0), 2).tolist()
    return row


def learned(known: Nights) -> dict[str, float]:
    """Return the mean of the nights' `knowledge`: how far our probabilities are from the truth.

    `way_*_pct` is how far they came from knowing nothing (an AUC of .5, one rate for all) to the truth.
    """
    row = {name: float(np.mean([night[name] for night in known])) for name in KNOWLEDGE + HOURS}
    row["way_auc_pct"] = 100.0 * (row["auc"] - 0.5) / (row["auc_truth"] - 0.5)
    row["way_log_loss_pct"] = 100.0 * (
        (row["log_loss_rate"] - row["log_loss"]) / (row["log_loss_rate"] - row["log_loss_truth"])
    )
    return {name: round(value, 4) for name, value in row.items()}


def per_message(seeds: list[Nights], name: str) -> npt.NDArray[np.float64]:
    """Return a figure per message of each seed, (seeds,)."""
    return np.array([total(nights, name) / total(nights, "sent") for nights in seeds])


def by_night(seeds: list[Nights], name: str) -> npt.NDArray[np.float64]:
    """Return a figure per message of each night, the mean over seeds, (nights,).

    nan where nothing was sent.
    """
    rates = [[n[name] / n["sent"] if n["sent"] else np.nan for n in nights] for nights in seeds]
    return np.asarray(np.mean(rates, axis=0))


def compared(name: str, ratio: npt.NDArray[np.float64]) -> dict[str, object]:
    """Return by how many per cent ours is above a peer, with an interval over seeds."""
    gain = 100.0 * (ratio - 1.0)
    mean = float(gain.mean())
    row: dict[str, object] = {
        f"{name}_pct": round(mean, 2),
        f"{name}_pct_by_seed": np.round(gain, 2).tolist(),
    }
    if len(gain) > 1:
        half = float(stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain)))
        row[f"{name}_pct_interval"] = [round(mean - half, 2), round(mean + half, 2)]
    return row


def total(nights: Nights, name: str) -> float:
    """Return a figure summed over nights."""
    return float(sum(night[name] for night in nights))
