"""The people of a comparison as arrays: features before it, side, outcome.

Grain: person of a scope (`all`, or a campaign with a holdout). Reads what the panel of the nights reads, and
user_features of the span's first night. Surprise: columns about pushes are left out, for they tell the sides
apart; other features of a night carry what earlier messages changed, so begin with the holdout's first night.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.delivery.manifest.served import served
from angelia.effects.panel import read_panel
from angelia.effects.sources import view
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Commit, Lake
from models.features import CATEGORICAL, MAX_VALUES, MIN_COUNT, USER_COLUMNS, encode_users
from models.uplift.curves import Bools, Floats
from models.uplift.learning import LEAST, Matrix

METRICS = {"converted": "max(has_converted)", "revenue": "sum(amount)", "active_days": "sum(is_active)"}
_OF_PUSHES = ("n_pushes_7d", "n_pushes_28d", "n_opens_28d", "open_rate_28d", "days_since_push")
KEPT = tuple(name for name in USER_COLUMNS if name not in _OF_PUSHES)
COLUMNS = (*USER_COLUMNS, "tags", "ordinal", "is_suppressed")


@dataclass(frozen=True)
class ComparedPeople:
    """A comparison's people, in the order of their ordinals."""

    matrix: Matrix
    treated: Bools
    outcome: Floats
    share: float  # with which the hash treats a person
    vocabulary: Mapping[str, Sequence[str]]
    features: Commit
    nights: tuple[str, ...]
    left_out: Mapping[str, int]

    @property
    def categorical(self) -> list[int]:
        """Positions of the matrix that hold categories."""
        return [KEPT.index(USER_COLUMNS[i]) for i in CATEGORICAL if i < len(USER_COLUMNS)]


def read_people(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    days: Sequence[str],
    *,
    scope: str,
    metric: str,
    lead_hours: int,
    conversion: str,
    cap: float | None,
) -> ComparedPeople:
    """Return the people of a scope over planned nights, with what they did in all of them.

    Raises:
        NotFound: the scope has no holdout, or the first night no features.
        InvalidInput: a side has too few people to learn from.
    """
    panel = read_panel(connection, lake, days, lead_hours=lead_hours, conversion=conversion, cap=cap)
    usable = ", ".join(name for name in sorted(panel.sizes) if all(panel.sizes[name])) or "none has"
    sides = panel.sizes.get(scope, (0, 0))
    if not all(sides):
        raise NotFound(
            f"nobody of {scope} is held out" if scope in panel.sizes else f"no scope {scope} in these nights",
            fix=f"name one with a holdout: {usable}",
        )
    features = served(lake, "user_features", panel.nights[0].ds)
    if features is None:
        raise NotFound(
            f"there are no user_features of {panel.nights[0].ds}",
            fix="begin with a night that still has them",
        )
    view(connection, lake, "user_features", [features])
    # A day of money counts up to the panel's cap, so that the model learns the outcome that is read out.
    limit = panel.cap.amount or 0.0
    wanted = ", ".join(f"f.{name}" for name in COLUMNS)
    rows = connection.sql(
        "WITH days AS (SELECT user_id, bucket, has_converted, is_active, "  # noqa: S608 - a contract's names
        "greatest(least(amount, $cap), -$cap) AS amount FROM panel_days), "
        f"done AS (SELECT p.user_id, any_value(p.is_holdout) AS is_holdout, coalesce({METRICS[metric]}, 0)"
        "::DOUBLE AS outcome FROM panel AS p LEFT JOIN days AS d ON p.user_id = d.user_id AND d.bucket "
        "BETWEEN p.entry AND $last + 1 WHERE p.scope = $scope GROUP BY p.user_id) "
        f"SELECT {wanted}, NOT done.is_holdout AS treated, done.outcome FROM done INNER JOIN user_features "
        "AS f ON done.user_id = f.user_id ORDER BY f.ordinal",
        params={"cap": limit, "last": panel.offsets[-1], "scope": scope},
    ).to_arrow_table()
    treated = rows["treated"].to_numpy().astype(bool)
    if min(treated.sum(), (~treated).sum()) < LEAST:
        raise InvalidInput(
            f"{scope} has {int((~treated).sum()):,} people held out and {int(treated.sum()):,} not: "
            f"each side needs {LEAST}",
            fix="name more nights, or a scope with a larger holdout",
        )
    # A share that changed between the nights is no number: what was drawn stands for it.
    configured = panel.shares.get(scope)
    vocabulary = learn_words(rows)
    return ComparedPeople(
        encode(rows, vocabulary),
        treated,
        rows["outcome"].to_numpy(),
        float(treated.mean()) if configured is None else 1.0 - configured,
        vocabulary,
        features,
        tuple(night.ds for night in panel.nights),
        {"people without features of the first night": n} if (n := sum(sides) - rows.num_rows) else {},
    )


def messages_per_person(
    connection: duckdb.DuckDBPyConnection, lake: Lake, nights: Sequence[str], scope: str
) -> float:
    """Return how many of a scope's messages were sent to each person who was not held out.

    Asks the connection that `read_people` read the same nights with.
    """
    plans = [plan for ds in nights if (plan := served(lake, "decisions", ds)) is not None]
    view(connection, lake, "decisions", plans)
    row = connection.execute(
        "WITH sent AS (SELECT user_id, unnest(choices) AS choice FROM decisions), "
        "own AS (SELECT user_id FROM panel WHERE scope = $scope AND NOT is_holdout) "
        "SELECT count(*) FILTER (WHERE choice.outcome = 'sent' AND (choice.campaign_id = $scope OR "
        "$scope = 'all' AND coalesce(is_marketing, TRUE))), (SELECT count(*) FROM own) "
        "FROM sent SEMI JOIN own ON sent.user_id = own.user_id "
        "LEFT JOIN campaigns ON sent.choice.campaign_id = campaigns.campaign_id",
        {"scope": scope},
    ).fetchone()
    n_sent, n_people = row or (0, 0)
    return n_sent / n_people if n_people else 0.0


def learn_words(rows: pa.Table) -> dict[str, list[str]]:
    """Return each category's frequent values, most frequent first."""
    vocabulary = {}
    for i in CATEGORICAL:
        if i < len(USER_COLUMNS):
            counts = Counter(value for value in rows[USER_COLUMNS[i]].to_pylist() if value is not None)
            frequent = sorted((-n, value) for value, n in counts.items() if n >= MIN_COUNT)
            vocabulary[USER_COLUMNS[i]] = [value for _, value in frequent[:MAX_VALUES]]
    return vocabulary


def encode(rows: pa.Table, vocabulary: Mapping[str, Sequence[str]]) -> Matrix:
    """Return (n, len(KEPT)) float32 of user_features rows."""
    whole = encode_users(rows, vocabulary).matrix
    return whole[:, [USER_COLUMNS.index(name) for name in KEPT]]


def may_be_told(rows: pa.Table) -> pa.Table:
    """Return the rows of people who are not suppressed."""
    return rows.filter(pc.invert(rows["is_suppressed"]))


def top_of(ordinals: np.ndarray, score: Floats, size: int) -> np.ndarray:
    """Return the ordinals of the highest scores, ascending; of equal scores the lower ordinals."""
    order = np.lexsort((ordinals, -score))[:size]
    return np.sort(ordinals[order])
