"""Read training examples: pushes after a cutoff day, labelled by opens within 24 hours.

Grain: push. Reads user_pushes of (cutoff, ds], user_features of the cutoff, catalog_snapshot (topics and
    categories); writes nothing. No leakage by construction: every feature is known at the end of the cutoff
    day, every push comes after it. Labels are mature: pushes of the last 24 hours of ds are left out, and an
    open later than 24 hours is none. Train, calibration and test follow each other in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.catalog.snapshot import Catalog, nearest_catalog
from angelia.contracts.ids import uniform
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Commit, Lake
from angelia.timing.evidence import slot_weights
from models.answering.known_hours import hour_offsets
from models.behaviour import WINDOW_DAYS, Behaviour, Population
from models.features import USER_COLUMNS
from models.past import Logged, population_of, read_past, read_rounds, with_behaviour

DAY_US = 86_400_000_000
LEAST = 100  # mature pushes that can be trained on
SHARES = (0.6, 0.8)  # of the examples in time order: train before, calibration between, test after
_PUSH = [
    "ordinal",
    "message_id",
    "campaign_id",
    "material_id",
    "kind",
    "at_ts",
    "sent_ts",
    "slot_propensity",
    "material_propensity",
]
_JOIN = f"""
SELECT s.message_id, s.ordinal, s.campaign_id, s.material_id, s.sent_us,
       s.slot_propensity, s.material_propensity,
       (o.at_us IS NOT NULL)::TINYINT AS label, c.topic, m.category, f.tags, f.user_id,
       {", ".join(f"f.{name}" for name in USER_COLUMNS)}
FROM sent AS s
INNER JOIN features AS f ON f.ordinal = s.ordinal
LEFT JOIN (SELECT message_id, min(at_us) AS at_us FROM opened GROUP BY message_id) AS o
       ON o.message_id = s.message_id AND o.at_us >= s.sent_us AND o.at_us < s.sent_us + {DAY_US}
LEFT JOIN campaigns AS c ON c.campaign_id = s.campaign_id
LEFT JOIN materials AS m ON m.material_id = s.material_id
ORDER BY s.sent_us, s.message_id
"""  # noqa: S608


@dataclass(frozen=True)
class Examples:
    """Labelled pushes in time order.

    Attributes:
        rows: message_id, ordinal, user_id, campaign_id, material_id, sent_us, propensities, label, and every
            feature's source column. label: (n,) 0 or 1. weight: (n,) weights that make sending hours as if
            drawn evenly, mean about 1. offset: (n,) log of what the hour of sending multiplies an open by,
            for that person and category, as of the night that planned it. behaviour: what each example's
            person had done up to the day before it was sent. bounds: row numbers where calibration and test
            begin. inputs: commits read. catalog: the catalog they were described with. left_out: pushes left
            out, by reason.
    """

    rows: pa.Table
    label: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    behaviour: Behaviour
    population: Population
    bounds: tuple[int, int]
    rounds: Logged
    inputs: list[Commit]
    catalog: Catalog
    left_out: dict[str, int]

    def part(self, name: str) -> slice:
        """Return the rows of `train`, `calibration` or `test`."""
        edges = (0, *self.bounds, self.rows.num_rows)
        at = ("train", "calibration", "test").index(name)
        return slice(edges[at], edges[at + 1])


def read_examples(lake: Lake, *, ds: str, cutoff: str, max_rows: int = 2_000_000) -> Examples:
    """Read labelled pushes of (cutoff, ds].

    Of more than about `max_rows` pushes, those of a hash-chosen share of the users are read.

    Raises:
        InvalidInput: the cutoff leaves no mature push.
        NotFound: there are no features as of the cutoff, or no catalog snapshot.
    """
    first, last = date.fromisoformat(cutoff) + timedelta(days=1), date.fromisoformat(ds)
    # A push needs a day to be opened in, so the last day alone holds no mature one.
    if (last - first).days < 1:
        raise InvalidInput(
            f"cutoff {cutoff} leaves no day of mature pushes up to {ds}",
            fix="choose a cutoff at least two days before --ds",
        )
    # As of the cutoff and no later: features that know the opens to be learnt would explain them.
    features = lake.head("user_features", ds=cutoff)
    if features is None:
        raise NotFound(
            f"user_features has no commit for ds={cutoff}",
            fix=f"run spark_jobs/build_features.py --ds {cutoff}",
        )
    days = [(first + timedelta(days=k)).isoformat() for k in range((last - first).days + 1)]
    commits = [commit for commit in (lake.head("user_pushes", ds=day) for day in days) if commit is not None]
    share = min(1.0, max_rows / max(sum(commit.rows for commit in commits), 1))
    sample = partial(_sample, share=share)
    pushes = (
        pa.concat_tables([lake.read(commit, _PUSH, keep=sample) for commit in commits]) if commits else None
    )
    if pushes is None or not pushes.num_rows:
        raise InvalidInput(f"no push was sent after {cutoff} and up to {ds}", fix="choose an earlier cutoff")
    catalog = nearest_catalog(lake, ds)
    if catalog is None:
        raise NotFound(
            "catalog_snapshot has no commit: a model cannot know what a material is about",
            fix=f"run `angelia catalog snapshot --ds {ds}`",
        )
    wanted = ["ordinal", "user_id", "timezone", "tags", *USER_COLUMNS]
    people = lake.read(features, wanted, keep=sample).sort_by("ordinal")
    rows, left_out = join_examples(pushes, people, catalog, since=_us(first), until=_us(last) + DAY_US)
    if rows.num_rows < LEAST:
        raise InvalidInput(
            f"only {rows.num_rows} mature pushes after {cutoff}; {LEAST} are the least to train on",
            fix="choose an earlier cutoff or more --max-rows; where there are none, make a --prior 0.05",
        )
    bounds = split_bounds(rows["sent_us"].to_numpy())
    # The split is by time. Pushes of one instant all fall on one side of it.
    if bounds[1] == rows.num_rows:
        raise InvalidInput(
            f"the pushes after {cutoff} were all sent at one instant: no later ones to test on",
            fix="choose an earlier cutoff",
        )
    # Records up to the cutoff hold nothing that an example could not have known.
    past = read_past(
        lake, ds, (last - first).days + 1 + WINDOW_DAYS, people["ordinal"].to_numpy(), looks_by=cutoff
    )
    train = rows.slice(0, bounds[0])
    population = population_of(train, past, people)
    rows, behaved = with_behaviour(rows, past, people, catalog, population)

    def describe(drawn: pa.Table) -> tuple[pa.Table, Behaviour]:
        never = pa.array([None] * drawn.num_rows, pa.float64())
        drawn = drawn.append_column("slot_propensity", never)
        examples = joined(drawn, drawn.slice(0, 0), people, catalog)
        return with_behaviour(examples, past, people, catalog, population)

    test = slice(bounds[1], rows.num_rows)
    rounds, plans = read_rounds(
        lake, rows.slice(test.start), behaved.take(test), until=_us(last), share=share, describe=describe
    )
    offset, curves = hour_offsets(lake, rows, people, ds=ds, days=(last - first).days + 1)
    propensity = rows["slot_propensity"].cast(pa.float64()).fill_null(np.nan).to_numpy()
    label = rows["label"].to_numpy().astype(np.float64)
    known = [catalog.commit] if catalog.commit else []
    # Days may be read twice, as examples and as the past; each commit is cited once.
    others = [c for c in (*past.commits, *plans) if c not in commits]
    inputs = [features, *commits, *others, *curves, *known]
    weight = slot_weights(propensity)
    return Examples(
        rows, label, weight, offset, behaved, population, bounds, rounds, inputs, catalog, left_out
    )


def join_examples(
    pushes: pa.Table, people: pa.Table, catalog: Catalog, *, since: int, until: int
) -> tuple[pa.Table, dict[str, int]]:
    """Join pushes of [since, until - 24 h) with opens, features, topics and categories.

    An open counts within 24 h of the push; times are microseconds UTC.
    """
    table = pushes.drop_columns(["at_ts", "sent_ts"])
    table = table.append_column("at_us", pushes["at_ts"].cast(pa.int64())).append_column(
        "sent_us", pushes["sent_ts"].cast(pa.int64())
    )
    sent, opened = (table.filter(pc.equal(table["kind"], kind)) for kind in ("sent", "opened"))
    before, young = pc.less(sent["sent_us"], since), pc.greater_equal(sent["sent_us"], until - DAY_US)
    left_out = {"sent_before_cutoff": _count(before), "not_mature": _count(young)}
    sent = sent.filter(pc.and_not(pc.invert(before), young))
    rows = joined(sent, opened, people, catalog)
    left_out["no_features"] = sent.num_rows - rows.num_rows
    return rows, {reason: count for reason, count in left_out.items() if count}


def joined(sent: pa.Table, opened: pa.Table, people: pa.Table, catalog: Catalog) -> pa.Table:
    """Return sent pushes with label, features, topics and categories, in time order."""
    campaigns = {name: campaign.topic for name, campaign in catalog.campaigns.items()}
    materials = {name: material.category for name, material in catalog.materials.items()}
    if "at_us" not in opened.column_names:
        opened = opened.append_column("at_us", pa.array([None] * opened.num_rows, pa.int64()))
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2; SET enable_progress_bar = false")
        connection.register("sent", sent)
        connection.register("opened", opened.select(["message_id", "at_us"]))
        connection.register("features", people)
        connection.register("campaigns", _names("campaign_id", "topic", campaigns))
        connection.register("materials", _names("material_id", "category", materials))
        return connection.sql(_JOIN).to_arrow_table()


def split_bounds(sent_us: npt.NDArray[np.int64]) -> tuple[int, int]:
    """Return where calibration and test begin in ascending sending times.

    Pushes of one instant stay together, and train is never empty.
    """
    bounds = []
    for share in SHARES:
        instant = sent_us[min(int(len(sent_us) * share), len(sent_us) - 1)]
        bounds.append(
            int(np.searchsorted(sent_us, instant) or np.searchsorted(sent_us, instant, side="right"))
        )
    return bounds[0], bounds[1]


def _sample(table: pa.Table, share: float) -> pa.Table:
    if share >= 1.0:
        return table
    draw = uniform(table["ordinal"].to_numpy().astype(np.uint64), "models", "sample")
    return table.filter(pa.array(draw < share))


def _names(key: str, value: str, names: dict[str, str] | dict[str, str | None]) -> pa.Table:
    return pa.table(
        {key: pa.array(list(names), pa.string()), value: pa.array(list(names.values()), pa.string())}
    )


def _count(flags: pa.ChunkedArray) -> int:
    return int(pc.sum(flags).as_py() or 0)


def _us(day: date) -> int:
    return (day - date(1970, 1, 1)).days * DAY_US
