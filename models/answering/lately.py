"""Count what was opened beside what scores expected, by material and segment.

Grain: campaign x material x segment (gender and age). Reads user_pushes, material_scores and the meta of
send_times of each night that has become ripe, and the people's user_features; writes nothing: the sums stand
in the meta of material_scores, and the next night goes on from them. A model is trained once a week; these
sums tell each night of new materials and of those that people have had enough of, and correct the scores.
Each material is compared with its campaign's others, and a segment with the material's others, so the level
of a campaign stays the model's. How far they differ at all is learned from the same sums, and each difference
is shrunk by it: where chance explains everything, nothing is moved. Surprise: a night counts if tonight's
model scored it, so a newly promoted model begins with nothing.

Source: Clayton & Kaldor (1987), eq. 2, as for the curves, with the spread by moments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.ids import uniform
from angelia.lake import Commit, Lake
from angelia.timing.category_hours import CategoryHours
from angelia.timing.evidence import exact, read_clock
from models.logistic import LEAST_DOUBT

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Cell = tuple[str, str, str]  # campaign, material, segment

HALF_LIFE = 14.0  # days; as long as a person's own numbers have
COUNTED_HOURS = 20  # of a night's 24: with a day to be opened in they end with a day, and few are sent later
CATCH_UP = 7  # nights; after a longer pause the record goes on with the newest ones
MOST_PUSHES = 500_000  # of more, a share of the people is drawn
MOST = 1.0  # log-odds that a score is moved by
AGES = (30, 50)  # where the next age begins
HOUR_US = 3_600_000_000
_OPENED = f"""
SELECT s.ordinal, s.campaign_id, s.material_id, s.sent_us, p.p_open, o.message_id IS NOT NULL AS is_opened
FROM sent AS s
INNER JOIN scores AS p
       ON p.ordinal = s.ordinal AND p.campaign_id = s.campaign_id AND p.material_id = s.material_id
LEFT JOIN (SELECT DISTINCT message_id FROM opened WHERE at_us < sent_us + {24 * HOUR_US}) AS o
       ON o.message_id = s.message_id
"""  # noqa: S608


def segments_of(users: pa.Table) -> tuple[list[str], Ints]:
    """Return the names of the segments, and each user's, (n,), by gender and age."""
    gender = pc.fill_null(users["gender"].cast(pa.string()), "unknown").combine_chunks().dictionary_encode()
    years = users["age_years"].cast(pa.float64()).fill_null(np.nan).to_numpy()
    names = [f"under {AGES[0]}", *(f"{age} and over" for age in AGES), "age unknown"]
    at = np.where(np.isnan(years), len(AGES) + 1, np.searchsorted(AGES, years, side="right"))
    code = gender.indices.to_numpy().astype(np.int64) * len(names) + at
    return [f"{kind}, {name}" for kind in gender.dictionary.to_pylist() for name in names], code


@dataclass(frozen=True)
class ScoreShift:
    """What moves scores, in log-odds, by material and segment; "" = every other segment."""

    by: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def moved(self, p: Floats, material: str, segments: Sequence[str], code: Ints) -> Floats:
        """Return p(open) of a material moved, (n,); `code` = places in `segments`."""
        mine = self.by.get(material)
        if not mine:
            return p
        return np.asarray(p / (p + (1.0 - p) * np.exp(-self._of(mine, segments, code))))

    def log_odds(self, material: str, segments: Sequence[str], code: Ints) -> Floats:
        """Return what a material's scores were moved by, (n,)."""
        return self._of(self.by.get(material, {}), segments, code)

    @staticmethod
    def _of(mine: Mapping[str, float], segments: Sequence[str], code: Ints) -> Floats:
        whole = mine.get("", 0.0)
        return np.array([mine.get(name, whole) for name in segments], np.float64)[code]


@dataclass(frozen=True)
class Lately:
    """What a model expected and what came, by cell.

    `counts` are expected opens, opens and squares of the opens' weights, (3,).
    `until` is the last night counted, "" for none.
    """

    model: str
    until: str = ""
    counts: Mapping[Cell, Floats] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        rows = [[*cell, *np.round(sums, 6).tolist()] for cell, sums in sorted(self.counts.items())]
        return {"model": self.model, "until": self.until, "counts": rows}

    @classmethod
    def of(cls, meta: Mapping[str, Any], model: str) -> Lately:
        """Return what a commit's meta says of a model; nothing if another one scored it."""
        facts = meta.get("lately") or {}
        if facts.get("model") != model:
            return cls(model)
        counts = {(row[0], row[1], row[2]): np.array(row[3:], np.float64) for row in facts["counts"]}
        return cls(model, str(facts["until"]), counts)

    def plus(self, ds: str, new: Mapping[Cell, Floats]) -> Lately:
        """Return the record with another night, the older ones faded."""
        days = (date.fromisoformat(ds) - date.fromisoformat(self.until)).days if self.until else 0
        faded = 0.5 ** (days / HALF_LIFE)
        counts = {cell: sums * [faded, faded, faded**2] for cell, sums in self.counts.items()}
        for cell, sums in new.items():
            counts[cell] = counts.get(cell, 0.0) + sums
        return Lately(self.model, ds, counts)

    def shift(self) -> ScoreShift:
        """Return what moves scores: materials in campaigns, segments in materials."""
        own = differences({cell: (cell[0], cell[1]) for cell in self.counts}, self.counts)
        among = differences({cell: (cell[1], "\t".join(cell[1:])) for cell in self.counts}, self.counts)
        by = {material: {"": effect} for material, effect in own.effect.items()}
        for name, effect in among.effect.items():
            material, segment = name.split("\t")
            mine = by.setdefault(material, {"": 0.0})
            mine[segment] = mine[""] + effect
        kept = {
            material: {segment: round(float(np.clip(z, -MOST, MOST)), 6) for segment, z in mine.items()}
            for material, mine in sorted(by.items())
        }
        return ScoreShift({material: mine for material, mine in kept.items() if any(mine.values())})

    def doubt(self, known: Mapping[str, float]) -> dict[str, float]:
        """Return how much of materials is still unknown after these nights."""
        left = differences({cell: (cell[0], cell[1]) for cell in self.counts}, self.counts).left
        return {
            name: round(max(min(LEAST_DOUBT, doubt), doubt * left.get(name, 1.0)), 4)
            for name, doubt in known.items()
        }


@dataclass(frozen=True)
class Differences:
    """How members of groups differ from what their group leads to expect.

    `effect` is each one's, in logarithms and shrunk; `left`, (0, 1], how much of it is still unknown.
    """

    effect: Mapping[str, float]
    left: Mapping[str, float]


def differences(member_of: Mapping[Cell, tuple[str, str]], counts: Mapping[Cell, Floats]) -> Differences:
    """Return how members differ; `member_of` is each cell's group and member."""
    groups: dict[str, dict[str, Floats]] = {}
    for cell, (group, member) in member_of.items():
        members = groups.setdefault(group, {})
        members[member] = members.get(member, 0.0) + counts[cell]
    usual, came, noise = Counter[str](), Counter[str](), Counter[str]()
    for members in groups.values():
        expected, opened, square = np.sum(list(members.values()), axis=0)
        # A lone member is its group, and where nothing was opened nothing tells members apart.
        if len(members) < 2 or not opened or not expected:
            continue
        for member, sums in members.items():
            share = sums[0] / expected
            usual[member] += opened * share
            came[member] += sums[1]
            noise[member] += square * share * (1.0 - share)
    if not usual:
        return Differences({}, {})
    names = sorted(usual)
    u, o, v = (np.array([each[name] for name in names]) for each in (usual, came, noise))
    # What chance alone makes of squares is taken off; what is left is how far members differ.
    spread = max(0.0, float(((o - u) ** 2 - v).sum() / max((u**2).sum(), 1e-12)))
    if not spread:
        return Differences({}, {})
    behind = np.maximum(v / np.maximum(u, 1e-12), 1e-12) / spread  # pseudo opens, faded as the opens are
    effect, left = np.log((o + behind) / (u + behind)), behind / (u + behind)
    return Differences(
        dict(zip(names, effect.tolist(), strict=True)), dict(zip(names, left.tolist(), strict=True))
    )


def read_lately(
    lake: Lake,
    features: Commit,
    category_of: Mapping[str, str],
    *,
    ds: str,
    model: str,
    lead_hours: int,
) -> tuple[Lately, list[Commit]]:
    """Return the record, continued by nights that have become ripe, and what was read."""
    earlier = [leaf["ds"] for leaf in lake.partitions("material_scores") if leaf["ds"] < ds]
    last = lake.head("material_scores", ds=earlier[-1]) if earlier else None
    record = Lately(model) if last is None else Lately.of(last.meta, model)
    read = [] if last is None or not record.until else [last]
    ripe = date.fromisoformat(ds) - timedelta(days=-(-(lead_hours + COUNTED_HOURS) // 24))
    nights = [(ripe - timedelta(days=back)).isoformat() for back in reversed(range(CATCH_UP))]
    for night in (night for night in nights if night > record.until and night in earlier):
        scores = lake.head("material_scores", ds=night)
        if scores is None or scores.meta.get("model") != model:
            continue
        new, commits = count_night(lake, features, scores, category_of, lead_hours=lead_hours)
        record, read = record.plus(night, new), [*read, scores, *commits]
    return record, list({commit.ref: commit for commit in read}.values())


def count_night(
    lake: Lake, features: Commit, scores: Commit, category_of: Mapping[str, str], *, lead_hours: int
) -> tuple[dict[Cell, Floats], list[Commit]]:
    """Return what a night's scores expected of what was sent, and what was opened."""
    ds = date.fromisoformat(scores.partition["ds"])
    start = (ds - date(1970, 1, 1)).days * 24 * HOUR_US + lead_hours * HOUR_US
    end = start + COUNTED_HOURS * HOUR_US
    first, final = lead_hours // 24, (lead_hours + COUNTED_HOURS + 23) // 24
    heads = (
        lake.head("user_pushes", ds=(ds + timedelta(days=k)).isoformat()) for k in range(first, final + 1)
    )
    pushed = [commit for commit in heads if commit is not None]
    curves = lake.head("send_times", ds=ds.isoformat())
    commits = [*pushed, *([curves] if curves is not None else [])]
    pushes = _pushes(lake, pushed, start, end)
    people = pc.unique(pushes["ordinal"])
    if not len(people) or not scores.files or not features.files:
        return {}, commits
    of_people = _read(lake, features, ["ordinal", "gender", "age_years", "timezone", "country"], people)
    of_people = of_people.sort_by("ordinal")
    rows = _joined(pushes, _read(lake, scores, ["ordinal", "campaign_id", "material_id", "p_open"], people))
    # Who has left the features since is in no segment any more.
    rows = rows.filter(pc.is_in(rows["ordinal"], value_set=of_people["ordinal"].combine_chunks()))
    if not rows.num_rows:
        return {}, commits
    who = np.searchsorted(of_people["ordinal"].to_numpy(), rows["ordinal"].to_numpy())
    names, code = segments_of(of_people)
    expected = rows["p_open"].to_numpy().astype(np.float64)
    materials = rows["material_id"].combine_chunks().dictionary_encode()
    moved = ScoreShift(scores.meta.get("shift") or {})
    for place, material in enumerate(materials.dictionary.to_pylist()):
        here = np.flatnonzero(materials.indices.to_numpy() == place)
        # What the model itself said, so that the record does not learn from its own corrections.
        undone = np.exp(-moved.log_odds(material, names, code[who[here]]))
        p = expected[here]
        expected[here] = p * undone / (p * undone + 1.0 - p)
    hours = CategoryHours.of(curves.meta if curves is not None else {})
    zones, countries = (of_people[name].to_pylist() for name in ("timezone", "country"))
    clock = read_clock(zones, countries, np.datetime64(ds + timedelta(days=final), "D"), final + 1, HALF_LIFE)
    at = (clock.group[who], rows["sent_us"].to_numpy() // HOUR_US - clock.first_hour)
    categories = hours.rows(category_of, materials.dictionary.to_pylist())
    row = np.array(categories, np.int64)[materials.indices.to_numpy()]
    expected *= hours.at(row, clock.cells[at].astype(np.int64), clock.weekdays[at].astype(np.int64))
    return _sums(rows, materials, names, code[who], exact(expected)), commits


def _pushes(lake: Lake, commits: Iterable[Commit], start: int, end: int) -> pa.Table:
    """Return pushes of a span with their opens, of a share of the people if many."""
    columns = ["ordinal", "message_id", "campaign_id", "material_id", "kind", "at_ts", "sent_ts"]
    commits = list(commits)
    share = min(1.0, MOST_PUSHES / max(sum(commit.rows for commit in commits), 1))
    tables = []
    for commit in commits:
        table = lake.read(commit, columns)
        sent = table["sent_ts"].cast(pa.int64())
        table = table.append_column("sent_us", sent).append_column("at_us", table["at_ts"].cast(pa.int64()))
        keep = (sent.to_numpy() >= start) & (sent.to_numpy() < end)
        keep &= uniform(table["ordinal"].to_numpy().astype(np.uint64), "models", "lately") < share
        tables.append(table.drop_columns(["at_ts", "sent_ts"]).filter(pa.array(keep)))
    none = pa.table({"ordinal": pa.array([], pa.uint32()), "kind": pa.array([], pa.string())})
    return pa.concat_tables(tables) if tables else none


def _read(lake: Lake, commit: Commit, columns: list[str], people: pa.Array) -> pa.Table:
    """Return the rows of some people; files are read one by one, as scores are many."""
    tables = []
    for entry in commit.files:
        table = lake.read_file(entry, columns)
        tables.append(table.filter(pc.is_in(table["ordinal"], value_set=people)))
    return pa.concat_tables(tables, promote_options="permissive")


def _joined(pushes: pa.Table, scores: pa.Table) -> pa.Table:
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2; SET enable_progress_bar = false")
        connection.register("sent", pushes.filter(pc.equal(pushes["kind"], "sent")))
        connection.register("opened", pushes.filter(pc.equal(pushes["kind"], "opened")))
        connection.register("scores", scores)
        return connection.sql(_OPENED).to_arrow_table()


def _sums(
    rows: pa.Table, materials: pa.DictionaryArray, names: Sequence[str], code: Ints, expected: Floats
) -> dict[Cell, Floats]:
    campaigns = rows["campaign_id"].combine_chunks().dictionary_encode()
    cell = campaigns.indices.to_numpy().astype(np.int64) * len(materials.dictionary)
    cell = (cell + materials.indices.to_numpy()) * len(names) + code
    distinct, place = np.unique(cell, return_inverse=True)
    opened = np.bincount(place, weights=rows["is_opened"].to_numpy().astype(np.float64))
    sums = np.stack([np.bincount(place, weights=expected), opened, opened], axis=1)
    counts: dict[Cell, Floats] = {}
    for at, total in zip(distinct.tolist(), sums, strict=True):
        pair, segment = divmod(at, len(names))
        campaign, material = divmod(pair, len(materials.dictionary))
        counts[
            campaigns.dictionary[campaign].as_py(), materials.dictionary[material].as_py(), names[segment]
        ] = total
    return counts
