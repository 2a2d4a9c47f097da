"""A person's score taken apart: what each feature adds, and over the runner-up.

Grain: material of one person. Reads the rows that the night scored from, and the model that scored; writes
nothing. Surprise: features are weighed against an average person, so a feature that says nothing about this
one adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pyarrow as pa

from angelia.asking.night import ResidentNight
from angelia.asking.records import Score, ScorePart
from angelia.catalog.documents import Campaign
from angelia.contracts import dataset
from angelia.errors import AngeliaError, NotFound
from angelia.lake import Commit, Lake
from angelia.output import written_out
from angelia.planning.inputs import SCORE_BITS
from angelia.users.one_person import PersonLake
from models.answering.lately import ScoreShift, segments_of
from models.behaviour import DAY_US, WINDOW_DAYS, Behaviour, Population, behaviour
from models.features import NAMES, Context, Matrix, encode_pairs
from models.registry import Registry
from models.scorer import COLUMNS
from models.taste import LOOK_COLUMNS, PastLooks

TOP = 6  # features shown of a score
LEAST = 0.005  # log-odds; less moves no score by one part in two hundred
DAY_COLUMNS = ("event_type", "item", "n_events", "hours")
# What caps, scores and the fate of messages ask of a day's pushes; the ids of the rest cost most to decode.
PUSH_COLUMNS = ("ordinal", "message_id", "campaign_id", "material_id", "kind", "at_ts", "sent_ts")
LATELY = "opens since the training"  # a part of a score that no feature of the model makes
SAME = 2e-9 + 0.5 * 2.0**-SCORE_BITS  # scores are stored with nine digits, and planned in binary places


class PersonScores:
    """One person's scores of a night, and what they are made of."""

    def __init__(self, resident: ResidentNight, lake: PersonLake, registry: Registry) -> None:
        """Load the model that scored the night, and the person's rows.

        Raises:
            AngeliaError: the model or a commit is gone.
        """
        self.night = night = resident.night
        self.scorer = resident.scorer(registry)
        rows = lake.read(night.inputs.features, ["ordinal", *COLUMNS])
        if not rows.num_rows:
            raise NotFound(f"{night.inputs.features.ref} has no row of this person")
        category = {name: m.category for name, m in night.catalog.materials.items() if m.category is not None}
        behaved = _behaviour(lake, resident, category, self.scorer.population, rows)
        self.user = self.scorer.encode_users(rows, behaved)
        self.shift, self.segment = ScoreShift(night.inputs.scores.meta.get("shift") or {}), segments_of(rows)

    def matrix(self, campaign: Campaign, material: str) -> Matrix:
        """Return the features of the person and one material of a campaign, (1, features)."""
        document = self.night.catalog.materials[material]
        context = Context(campaign.id, material, campaign.topic, document.category)
        return encode_pairs(self.user, np.zeros(1, np.int64), context, self.scorer.vocabulary)

    def apart(
        self, campaign: str, material: str, p_open: float, runner_up: str | None, other: float | None
    ) -> Score:
        """Return a stored score taken apart.

        Raises:
            NotFound: the model gives another score today, so its parts would explain something else.
        """
        document = self.night.catalog.campaigns[campaign]
        matrix = self.matrix(document, material)
        score = self.shift.moved(self.scorer.predict_matrix(matrix), material, *self.segment)
        again = round(float(score[0]), 9)
        if abs(again - p_open) > SAME:
            raise NotFound(
                f"the night scored {material} {p_open:.6f}, and the same rows give {again:.6f} today",
                fix="rows were erased or made again since; the parts of the old score cannot be told",
            )
        both = matrix if runner_up is None else np.vstack([matrix, self.matrix(document, runner_up)])
        names, adds = self.scorer.parts(both)
        each = (material,) if runner_up is None else (material, runner_up)
        moved = [self.shift.log_odds(name, *self.segment) for name in each]
        names, adds = [*names, LATELY], np.hstack([adds, np.array(moved)])
        over = None if runner_up is None else adds[0] - adds[1]
        weight = np.abs(adds[0]) if over is None else np.maximum(np.abs(adds[0]), np.abs(over))
        order = [i for i in np.argsort(-weight, kind="stable").tolist() if weight[i] >= LEAST]
        # What tells the two materials apart comes first, then what the score itself is made of.
        apart = [] if over is None else sorted(order, key=lambda i: -abs(float(over[i])))
        apart = [i for i in apart if over is not None and abs(float(over[i])) >= LEAST][:TOP]
        own = sorted(order, key=lambda i: -abs(float(adds[0][i])))[:TOP]
        shown = list(dict.fromkeys([*apart, *own]))
        parts = tuple(
            ScorePart(
                names[i],
                self._value(names[i], matrix),
                round(float(adds[0][i]), 4),
                None if over is None else round(float(over[i]), 4),
            )
            for i in shown
        )
        return Score(material, p_open, runner_up, other, parts)

    def _value(self, name: str, matrix: Matrix) -> str:
        """Return the person's value of a feature, as the model saw it."""
        if name == LATELY:
            return "beside what was expected"
        if name not in NAMES:
            return " x ".join(self._value(one, matrix) for one in name.split(" x "))
        value = float(matrix[0, NAMES.index(name)])
        if np.isnan(value):
            return "unknown"
        if name in self.scorer.vocabulary:
            return self.scorer.vocabulary[name][int(value)]
        return written_out(value, 4)


def _behaviour(
    lake: PersonLake,
    resident: ResidentNight,
    category: dict[str, str],
    population: Population,
    users: pa.Table,
) -> Behaviour:
    """Return what the person did up to the night, from the days that its scores cite."""
    night, cited = resident.night, resident.scored_from
    columns = {"user_days": DAY_COLUMNS, "user_pushes": PUSH_COLUMNS, "user_looks": LOOK_COLUMNS}
    lake.prefetch((commit for commit in cited if commit.dataset in columns), columns)
    first = date.fromisoformat(night.ds).toordinal() - (WINDOW_DAYS - 1)
    days = _window(lake, cited, "user_days", list(DAY_COLUMNS), first)
    pushes = _window(lake, cited, "user_pushes", ["kind", "material_id", "sent_ts"], first)
    epoch = first - date(1970, 1, 1).toordinal()
    sent = pushes["sent_ts"].cast(pa.int64()).to_numpy() / DAY_US - epoch
    pushes = pushes.append_column("sent_day", pa.array(sent.astype(np.float64)))
    before = None
    for commit in (commit for commit in cited if commit.dataset == "user_looks"):
        kept = lake.read(commit, LOOK_COLUMNS)
        day = date.fromisoformat(commit.partition["ds"]).toordinal() - first
        before = PastLooks.of(kept, np.unique(kept["ordinal"].to_numpy().astype(np.int64)), day=day)
    return behaviour(days, pushes, category, population, day=WINDOW_DAYS - 1, n=1, users=users, before=before)


def _window(lake: Lake, cited: Sequence[Commit], name: str, columns: list[str], first: int) -> pa.Table:
    fields = [*(pa.field(column, dataset(name)[column].type) for column in columns)]
    tables = [pa.schema([*fields, pa.field("row", pa.int64()), pa.field("day", pa.int64())]).empty_table()]
    for commit in (commit for commit in cited if commit.dataset == name):
        table = lake.read(commit, columns)
        day = date.fromisoformat(commit.partition["ds"]).toordinal() - first
        table = table.append_column("row", pa.array(np.zeros(table.num_rows, np.int64)))
        tables.append(table.append_column("day", pa.array(np.full(table.num_rows, day, np.int64))))
    return pa.concat_tables(tables, promote_options="permissive")


def try_scores(
    resident: ResidentNight, lake: PersonLake, registry: Registry | None, notes: list[str]
) -> PersonScores | None:
    """Return the person's scores, or None and a note that says why they cannot be taken apart."""
    if registry is None:
        return None
    try:
        return PersonScores(resident, lake, registry)
    except AngeliaError as error:
        notes.append(f"scores are not taken apart: {error.one_line()}")
        return None
