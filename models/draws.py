"""Read the rounds of the logging policy: every material drawn, those that were never sent included.

Grain: draw (user x campaign x night). Reads decisions; writes nothing. A plan draws a material for each pair
    it considers and sends only some of them: the sent ones alone are a choice that looked at the scores, and
    an estimate from them is biased. So a night counts as a whole: what was drawn and not sent has the reward
    0. Pushes of a night of which only a part is among the examples take no part; those of no known plan (a
    history that was drawn otherwise) count as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts import dataset
from angelia.contracts.ids import uniform
from angelia.contracts.sending import PLAN_HOURS
from angelia.lake import Commit, Lake
from models.behaviour import Behaviour
from models.past import HOUR_US, LEAD_HOURS

MAX_DRAWS = 300_000  # of more, a hash-chosen share of the users counts; several are drawn for each one sent
_DRAW = ("message_id", "campaign_id", "material_id", "material_propensity")
Describe = Callable[[pa.Table], tuple[pa.Table, Behaviour]]


@dataclass(frozen=True)
class Logged:
    """The rounds that a policy is judged on.

    Attributes:
        rows: as of `Examples`. behaviour: of the same rows. reward: (n,) 1 if opened, 0 if not or never sent.
        n_unsent: how many of them were drawn and not sent.
    """

    rows: pa.Table
    behaviour: Behaviour
    reward: npt.NDArray[np.float64]
    n_unsent: int


def read_rounds(
    lake: Lake, rows: pa.Table, behaviour: Behaviour, *, until: int, share: float, describe: Describe
) -> tuple[Logged, list[Commit]]:
    """Return the rounds of the pushes' days, and the plans read.

    Args:
        lake: where the decisions are.
        rows: the latest examples, in time order.
        behaviour: of their people.
        until: when the examples end, microseconds since 1970.
        share: of the users that the examples are drawn from.
        describe: makes examples of pushes, and tells their people's behaviour.
    """
    since, pushed = int(rows["sent_us"][0].as_py()), pc.unique(rows["message_id"])
    plans = plans_between(lake, since, until)
    share = min(share, MAX_DRAWS / max(2 * sum(commit.rows for _, commit in plans), 1))
    unsent, cut = [], []
    for start, commit in plans:
        drawn = read_draws(lake, commit, share)
        if start < since or start + PLAN_HOURS * HOUR_US > until:
            cut.append(drawn["message_id"])
            continue
        drawn = drawn.filter(pc.invert(pc.is_in(drawn["message_id"], value_set=pushed)))
        unsent.append(drawn.append_column("sent_us", pa.array(np.full(drawn.num_rows, start, np.int64))))
    keep = np.ones(rows.num_rows, bool)
    if plans:
        # One share of the users for what was sent and what was not, or the mixture would be another one.
        keep &= _is_sampled(rows["ordinal"], share)
    for ids in cut:
        keep &= ~np.asarray(pc.is_in(rows["message_id"], value_set=ids.combine_chunks()))
    kept = np.flatnonzero(keep)
    rows, behaviour = rows.take(pa.array(kept)), behaviour.pick(kept)
    reward = rows["label"].to_numpy().astype(np.float64)
    if not sum(table.num_rows for table in unsent):
        return Logged(rows, behaviour, reward, 0), [commit for _, commit in plans]
    more, theirs = describe(pa.concat_tables(unsent))
    whole = pa.concat_tables([rows, more.select(rows.column_names).cast(rows.schema)])
    n = more.num_rows
    logged = Logged(whole, behaviour.and_(theirs), np.concatenate([reward, np.zeros(n)]), n)
    return logged, [commit for _, commit in plans]


def plans_between(lake: Lake, since: int, until: int) -> list[tuple[int, Commit]]:
    """Return when each plan that has an hour in [since, until) begins, microseconds, and its commit."""
    plans = []
    for part in lake.partitions("decisions"):
        day = (date.fromisoformat(part["ds"]) - date(1970, 1, 1)).days
        start = (24 * day + LEAD_HOURS) * HOUR_US
        if start < until and start + PLAN_HOURS * HOUR_US > since:
            commit = lake.head("decisions", ds=part["ds"])
            if commit is not None:
                plans.append((start, commit))
    return plans


def read_draws(lake: Lake, commit: Commit, share: float) -> pa.Table:
    """Return a plan's draws with a known propensity, of a share of the users: ordinal and `_DRAW`."""
    table = lake.read(commit, ["ordinal", "choices"])
    table = table.filter(pa.array(_is_sampled(table["ordinal"], share))).combine_chunks()
    if not table.num_rows:
        fields = {name: dataset("decisions")["choices"].type.value_type.field(name).type for name in _DRAW}
        return pa.schema([("ordinal", pa.uint32()), *fields.items()]).empty_table()
    lists = table["choices"].combine_chunks()
    flat, owner = lists.flatten(), lists.value_parent_indices()
    draws = pa.table(
        {
            "ordinal": table["ordinal"].take(owner),
            **{name: pc.struct_field(flat, name) for name in _DRAW},
        }
    )
    return draws.filter(pc.greater(draws["material_propensity"], 0.0))


def _is_sampled(ordinal: pa.ChunkedArray, share: float) -> npt.NDArray[np.bool_]:
    keys = ordinal.to_numpy().astype(np.uint64)
    return np.asarray(uniform(keys, "models", "sample") < share)
