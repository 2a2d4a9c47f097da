"""Declare the features of the p(open) model once, and encode them for training and scoring.

Grain: user x campaign x material. Reads and writes nothing. A change of `FEATURES` needs a new `VERSION`: the
    scorer refuses models of another one. Numbers and flags go in as they are (missing = NaN); categories
    become their place in a vocabulary learned in training, and values outside it, like missing ones, NaN:
    LightGBM sends those down its missing branch, so a new campaign or city scores as an average one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.behaviour import PAIR_NUMBERS, USER_NUMBERS, Behaviour

Matrix = npt.NDArray[np.float32]

VERSION = 3
MAX_VALUES = 250
MIN_COUNT = 20  # a value seen less often in training says nothing
# What a shop sends is known however seldom it was sent; more columns than this make the fit take minutes.
SENT = ("campaign_id", "material_id")
MAX_SENT = 2000


@dataclass(frozen=True)
class Feature:
    """One column of the model: where it comes from and how it is read."""

    name: str
    kind: Literal["number", "flag", "category"]
    of: Literal["user", "behaviour", "campaign", "material", "pair", "taste"] = "user"


FEATURES: tuple[Feature, ...] = (
    Feature("gender", "category"),
    Feature("age_years", "number"),
    Feature("country", "category"),
    Feature("province", "category"),
    Feature("locale", "category"),
    Feature("timezone", "category"),
    Feature("is_timezone_unknown", "flag"),
    Feature("device_vendor", "category"),
    Feature("membership_level", "number"),
    Feature("days_since_signup", "number"),
    Feature("n_events_1d", "number"),
    Feature("n_events_7d", "number"),
    Feature("n_events_28d", "number"),
    Feature("n_active_days_28d", "number"),
    Feature("n_purchases_28d", "number"),
    Feature("value_28d", "number"),
    Feature("days_since_event", "number"),
    Feature("days_since_purchase", "number"),
    Feature("n_pushes_7d", "number"),
    Feature("n_pushes_28d", "number"),
    Feature("n_opens_28d", "number"),
    Feature("open_rate_28d", "number"),
    Feature("days_since_push", "number"),
    *(Feature(name, "number", "behaviour") for name in USER_NUMBERS),
    Feature("campaign_id", "category", "campaign"),
    Feature("topic", "category", "campaign"),
    Feature("material_id", "category", "material"),
    Feature("category", "category", "material"),
    Feature("is_category_in_tags", "flag", "pair"),
    *(Feature(name, "number", "taste" if name == "taste" else "pair") for name in PAIR_NUMBERS),
)
# What the logistic line also sees in pairs: taste depends on who somebody is.
CROSSES = (("category", "gender"), ("category", "age_years"))
NAMES = tuple(feature.name for feature in FEATURES)
CATEGORICAL = tuple(position for position, feature in enumerate(FEATURES) if feature.kind == "category")
USER_COLUMNS = tuple(feature.name for feature in FEATURES if feature.of == "user")
N_USER = len(USER_COLUMNS) + len(USER_NUMBERS)

Vocabulary = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Context:
    """What is the same for all users: a campaign's material."""

    campaign_id: str
    material_id: str
    topic: str | None = None
    category: str | None = None


def learn_vocabulary(rows: pa.Table) -> dict[str, list[str]]:
    """Return each category feature's frequent values, most frequent first, ties by name.

    Of campaigns and materials every value counts, since the rarest is the one to learn about.
    """
    vocabulary = {}
    for feature in FEATURES:
        if feature.kind == "category":
            counts = Counter(value for value in rows[feature.name].to_pylist() if value is not None)
            least, most = (1, MAX_SENT) if feature.name in SENT else (MIN_COUNT, MAX_VALUES)
            frequent = sorted(((-count, value) for value, count in counts.items() if count >= least))
            vocabulary[feature.name] = [value for _, value in frequent[:most]]
    return vocabulary


def encode_rows(rows: pa.Table, vocabulary: Vocabulary) -> Matrix:
    """Return examples as (n, features).

    `rows` has every user column, `tags`, and campaign_id, topic, material_id, category.
    """
    matrix = np.empty((rows.num_rows, len(FEATURES)), dtype=np.float32)
    for position, feature in enumerate(FEATURES):
        if feature.name == "is_category_in_tags":
            matrix[:, position] = _tag_matches(rows)
        else:
            matrix[:, position] = _column(rows[feature.name], feature, vocabulary)
    return matrix


@dataclass(frozen=True)
class EncodedUsers:
    """Users ready for scoring: (n, user features) float32, and by tag who has it, (n,).

    `begun` is the log-odds of the model's line as far as the user's own features say them, (n,).
    """

    matrix: Matrix
    tags: Mapping[str, npt.NDArray[np.bool_]]
    behaviour: Behaviour | None = None
    begun: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.matrix)


def encode_users(users: pa.Table, vocabulary: Vocabulary, behaviour: Behaviour | None = None) -> EncodedUsers:
    """Return rows of user_features ready for scoring; `behaviour` is of the same users."""
    declared = {feature.name: feature for feature in FEATURES}
    columns = [_column(users[name], declared[name], vocabulary) for name in USER_COLUMNS]
    if behaviour is not None:
        columns += [behaviour.user[name].astype(np.float32) for name in USER_NUMBERS]
    matrix = np.stack(columns, axis=1) if users.num_rows else np.empty((0, len(columns)), dtype=np.float32)
    tags = users["tags"].combine_chunks()
    values, owner = pc.list_flatten(tags), pc.list_parent_indices(tags).to_numpy()
    has: dict[str, npt.NDArray[np.bool_]] = {}
    for tag in sorted(set(values.drop_null().to_pylist())):
        flags = np.zeros(users.num_rows, dtype=bool)
        flags[owner[np.asarray(pc.fill_null(pc.equal(values, tag), False)).astype(bool)]] = True
        has[tag] = flags
    return EncodedUsers(matrix.astype(np.float32), has, behaviour)


def encode_pairs(
    users: EncodedUsers, rows: npt.NDArray[np.int64], context: Context, vocabulary: Vocabulary
) -> Matrix:
    """Return (len(rows), features): the given users, each with the same campaign and material."""
    return np.hstack([users.matrix[rows], encode_context(users, rows, context, vocabulary)])


def encode_context(
    users: EncodedUsers, rows: npt.NDArray[np.int64], context: Context, vocabulary: Vocabulary
) -> Matrix:
    """Return what `encode_pairs` adds to the users' own features, (n, features - N_USER)."""
    matrix = np.empty((len(rows), len(FEATURES) - N_USER), dtype=np.float32)
    assert users.behaviour is not None
    habits = users.behaviour.of(context.category, rows)
    for column, feature in enumerate(FEATURES[N_USER:]):
        if feature.name in habits:
            matrix[:, column] = habits[feature.name]
        elif feature.kind == "number":
            matrix[:, column] = np.nan  # the behaviour at hand does not know it
        elif feature.of == "pair":
            flags = users.tags.get(context.category) if context.category is not None else None
            matrix[:, column] = 0.0 if flags is None else flags[rows]
        else:
            value = getattr(context, feature.name)
            known = vocabulary[feature.name]
            matrix[:, column] = list(known).index(value) if value in known else np.nan
    return matrix


def _column(values: pa.ChunkedArray, feature: Feature, vocabulary: Vocabulary) -> Matrix:
    if feature.kind == "category":
        values = pc.index_in(values, value_set=pa.array(vocabulary[feature.name], pa.string()))
    return np.asarray(values.cast(pa.float32()).fill_null(np.nan).to_numpy(), dtype=np.float32)


def _tag_matches(rows: pa.Table) -> Matrix:
    tags = rows["tags"].combine_chunks()
    owner = pc.list_parent_indices(tags).to_numpy()
    wanted = rows["category"].combine_chunks().take(pa.array(owner))
    equal = np.asarray(pc.fill_null(pc.equal(pc.list_flatten(tags), wanted), False)).astype(bool)
    matches = np.zeros(rows.num_rows, dtype=np.float32)
    matches[owner[equal]] = 1.0
    return matches
