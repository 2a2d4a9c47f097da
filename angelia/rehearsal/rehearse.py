"""Let a model version decide in simulated shops, beside champion and usual product.

Grain: version. Reads the registry; returns a verdict, which `models.judging.rehearsed` keeps and judges.
Every shop is a world with a seed of its own and a month of history; each player runs the same nights in a
copy of it, with people who tire, refuse and visit. Opens are counted by the world's probabilities, so chance
enters by worlds and people alone; these are the same for all players, and differences are taken person by
person. Surprise: a model trained on other campaigns knows nothing of this shop (`knows`). Then its recipe is
rehearsed instead: today's code trains a model on the shop's own month with the version's seed and trees, and
that model is compared with the usual product.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from angelia.errors import AngeliaError, InvalidInput
from angelia.lake.attempt import code_version
from angelia.rehearsal.night import decide
from angelia.rehearsal.site import ANCHOR, Site
from angelia.rehearsal.usual import UsualModel
from angelia.world.clock import day_name, day_number
from angelia.world.parameters import parameters
from angelia.world.truth import World
from models.evaluate import Z95
from models.judging.rehearsed import AS_IT_IS, TRAINED_THERE, Verdict
from models.registry import FILES, Registry
from models.scorer import Scorer
from models.train import TRAIN_DAYS, train

SEEDS = (9101, 9102)  # worlds that nothing is tuned on or reported from
PEOPLE, NIGHTS, HISTORY_DAYS = 2500, 2, 28
KNOWN = 0.5  # share of the shop's materials from which a model can be said to know it
F64 = npt.NDArray[np.float64]
Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Lived:
    """What came of a player's nights: messages and opens by person, (n,), and all refusals."""

    messages: F64
    opens: F64
    unsubscribes: float

    @classmethod
    def together(cls, shops: Sequence[Lived]) -> Lived:
        """Return the people of all shops."""
        messages, opens = (
            np.concatenate([getattr(one, name) for one in shops]) for name in ("messages", "opens")
        )
        return cls(messages, opens, sum(one.unsubscribes for one in shops))

    def figures(self) -> dict[str, float]:
        """Return a player's figures."""
        sent = max(float(self.messages.sum()), 1.0)
        return {
            "messages": int(self.messages.sum()),
            "opens": round(float(self.opens.sum()), 3),
            "opens_per_message": round(float(self.opens.sum()) / sent, 7),
            "unsubscribes_per_message": round(self.unsubscribes / sent, 8),
        }


def rehearse(
    registry: Registry,
    version: str,
    *,
    seeds: Sequence[int] = SEEDS,
    people: int = PEOPLE,
    nights: int = NIGHTS,
    note: Callable[[str], None] = lambda line: None,
) -> Verdict:
    """Return the verdict on a version; nothing is kept of it yet.

    Raises:
        NotFound: there is no such version.
        InvalidInput: it is a prior, or of another feature list than this code has.
    """
    files = registry.load(version)
    lineage = json.loads(files["lineage.json"])
    if "prior" in lineage:
        raise InvalidInput(
            f"model {version} is a prior: nothing was learned that could be rehearsed",
            fix="train one with `python -m models.train --ds D`",
        )
    Scorer(files)  # refused here, in one line
    how = AS_IT_IS if knows(files) else TRAINED_THERE
    champion = registry.champion()
    standing, alone = _standing(registry, None if champion is None else champion.version, version, how)
    players = {"version": files if how == AS_IT_IS else None}
    if standing is not None:
        players["champion"] = standing
    lived: dict[str, list[Lived]] = {}
    for seed in seeds:
        # What the jobs print is of the simulated shop; in a log it would look like the real one's.
        with _folder() as home, redirect_stderr(StringIO()):
            shop = open_shop(home, World(seed, people, day_number(ANCHOR)))
            models = {name: _settle(shop, own, lineage) for name, own in players.items()}
            volume: list[int] = []
            for name, model in models.items():
                lived.setdefault(name, []).append(live(shop, name, model, nights, volume))
            # The usual product replaces the scores; what they are of tells it who may get what.
            lived.setdefault("usual", []).append(live(shop, "usual", models["version"], nights, volume))
        note(f"rehearse: world {seed}: {nights} nights of {people:,} people, lived {len(lived)} ways")
    whole = {name: Lived.together(shops) for name, shops in lived.items()}
    ways = {
        AS_IT_IS: "It decided as it is",
        TRAINED_THERE: "It was learned from other campaigns, so one made like it, of each shop, decided",
    }
    return {
        "version": version,
        "champion": None if champion is None else champion.version,
        "how": how,
        "says": f"{ways[how]}: {nights} nights of {people:,} people in each of {len(seeds)} worlds. {alone}",
        "seeds": list(seeds),
        "people": people,
        "nights": nights,
        "code_version": code_version(),
        "figures": {name: one.figures() for name, one in whole.items()},
        "gains": {
            other: gain(whole["version"], whole[other]) for other in ("champion", "usual") if other in whole
        },
    }


def knows(files: Files) -> bool:
    """Return whether a version has learned at least half of the shop's materials."""
    shown = {name for group in parameters().materials().values() for name in group}
    learned = json.loads(files["features.json"])["vocabulary"].get("material_id", [])
    return len(shown & set(learned)) >= KNOWN * len(shown)


def gain(ours: Lived, other: Lived) -> dict[str, dict[str, float]]:
    """Return one player's gain over another: opens per message and in total, with intervals.

    Source: Cochran (1977), Sampling techniques, eq. 6.13 (a ratio's variance by linearisation), of the
    difference of two ratios of the same people.
    """
    n = len(ours.opens)

    def rate(lived: Lived) -> tuple[float, F64]:
        sent = max(float(lived.messages.sum()), 1.0)
        value = float(lived.opens.sum()) / sent
        return value, np.asarray((lived.opens - value * lived.messages) * n / sent)

    (mine, moves), (theirs, their_moves) = rate(ours), rate(other)
    many = ours.opens - other.opens
    return {
        "opens_per_message": _interval(mine - theirs, moves - their_moves, 1.0),
        "opens": _interval(float(many.sum()), many - many.mean(), float(n)),
    }


def _interval(value: float, moves: F64, scale: float) -> dict[str, float]:
    """Return a figure with its interval; `moves` is each person's part times people, mean 0."""
    half = Z95 * scale * float(np.sqrt((moves**2).sum())) / len(moves)
    ends = {"value": value, "low": value - half, "high": value + half}
    return {name: round(number, 7) for name, number in ends.items()}


def _standing(
    registry: Registry, champion: str | None, version: str, how: str
) -> tuple[dict[str, bytes] | None, str]:
    """Return the champion's files where it can be compared, and else why it cannot."""
    if champion is None or champion == version:
        return None, "There is no other champion to compare with."
    if how == TRAINED_THERE:
        return None, "The champion's own weights cannot be compared there."
    try:
        files = registry.load(champion)
        Scorer(files)
    except AngeliaError as error:
        return None, f"The champion cannot be compared: {error.message}."
    if "prior" not in json.loads(files["lineage.json"]) and not knows(files):
        return None, "The champion was learned from other campaigns, so it cannot be compared."
    return files, "The champion decided on the same people."


@contextmanager
def _folder() -> Iterator[Path]:
    """Yield a temporary folder, in memory where the machine offers that."""
    memory = Path("/dev/shm")
    home = Path(tempfile.mkdtemp(prefix="angelia-rehearsal-", dir=memory if memory.is_dir() else None))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def open_shop(home: Path, world: World) -> Site:
    """Return a shop of a month's history in an empty folder; players go on in copies."""
    shop = Site(home / "shop", world)
    shop.begin(HISTORY_DAYS)
    shop.snapshot(ANCHOR)
    shop.write_features(day_name(day_number(ANCHOR) - TRAIN_DAYS))
    shop.usual = UsualModel.train(shop.lake, ANCHOR)
    return shop


def _settle(shop: Site, files: Files | None, lineage: Mapping[str, Any]) -> str:
    """Give the shop a version, or train one there as the lineage says; return its name."""
    registry = Registry.open(shop.home / "models")
    if files is not None:
        return registry.add(json.loads(files["lineage.json"])["ds"], {name: files[name] for name in FILES})
    seed, trees = int(lineage["seed"]), int(lineage["trees"])
    return train(shop.lake, registry, ds=ANCHOR, seed=seed, trees=trees).version


def live(shop: Site, name: str, model: str, nights: int, volume: list[int]) -> Lived:
    """Return what came of a player's nights in a copy of the shop.

    The first player's numbers of messages go into `volume`; the usual product may send as many.
    """
    site = shop.copy(shop.home.parent / name)
    n, is_usual, sets = len(site.person), name == "usual", not volume
    messages, opens, unsubscribes = np.zeros(n), np.zeros(n), 0.0
    for number in range(nights):
        day = day_number(ANCHOR) + number
        ds = day_name(day)
        site.write_features(ds)
        site.snapshot(ds)
        policy, most = ("usual", volume[number]) if is_usual else ("ours", None)
        sent = decide(site, ds, policy, most, curves=not is_usual, model=model)
        came = site.deliver(sent, ds)
        messages += np.bincount(sent.row, minlength=n)
        opens += np.bincount(sent.row, weights=came["chance"], minlength=n)
        unsubscribes += came["unsubscribes"]
        if sets:
            volume.append(len(sent.row))
        site.live(day + 1)
    return Lived(messages, opens, unsubscribes)
