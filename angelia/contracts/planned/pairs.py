"""A night's pairs by number, as the marts read them. Grain: person.

`decisions` keeps fifteen fields of a pair, and a reader of six takes in all of them. Here a pair that is sent
nothing, nine in ten, is one number; the words behind the numbers stand once, in the commit's meta.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.core import TIMESTAMP, Column, Dataset
from angelia.contracts.outcomes import (
    HOLDOUT_CAMPAIGN,
    HOLDOUT_GLOBAL,
    OPTED_OUT,
    SENT,
    SUPPRESSED,
    UNREACHABLE,
)
from angelia.contracts.sending import ordinal
from angelia.contracts.sources import hash_id

I32 = pa.int32()
# Nobody could have told these people, so they are on no side of a comparison.
NOT_A_PAIR = (SUPPRESSED, OPTED_OUT, UNREACHABLE)
# The place is the number of a side; every other outcome has the next one.
SIDES = (SENT, HOLDOUT_GLOBAL, HOLDOUT_CAMPAIGN)
_PAIR = (
    "(campaign x 4 + side) x (number of arms + 1) + arm; campaign: place in the meta's `campaigns`, from 0; "
    "side: 0 sent, 1 global holdout, 2 the campaign's, 3 not sent for another reason; arm: place in the "
    "meta's `arms`, from 1, 0 = no experiment"
)
SENT_FIELDS = (
    Column("pair", I32, f"number of the pair: {_PAIR}", minimum=0),
    Column("material", I32, "place of the material in the meta's `materials`, from 0", minimum=0),
    Column("channel", I32, "place of the channel in the meta's `channels`, from 0", minimum=0),
    Column("slot", TIMESTAMP, "first instant of the hour it is sent in"),
    hash_id("message_id", "once-only key of the message"),
)
_SENT = pa.struct([(field.name, field.type) for field in SENT_FIELDS])

DECIDED_PAIRS = Dataset(
    "decided_pairs",
    1,
    "user: list of considered campaigns, by number",
    ("ordinal",),
    ("ds",),
    (
        ordinal(),
        Column("others", pa.list_(I32), "numbers of the pairs that are sent nothing, as in `sent.pair`"),
        Column("sent", pa.list_(_SENT), "one entry per message", fields=SENT_FIELDS),
    ),
    ("plan_dispatch",),
    layout=("shards",),
    notes=(
        "What the marts need of `decisions`, whose commit it cites; suppressed, opted out and unreachable "
        "pairs are left out. Nights without it are read from `decisions`. Meta: the words, in lists."
    ),
)

OF_PLANS = (DECIDED_PAIRS,)


@dataclass(frozen=True)
class PairWords:
    """The words of a night's pairs; a word's place is its number."""

    campaigns: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    materials: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> PairWords:
        """Return the words that a commit's meta lists."""
        return cls(**{name: tuple(words) for name, words in meta["words"].items()})

    def by_kind(self) -> dict[str, list[str]]:
        """Return the lists of words, by their names in the meta."""
        return {name: list(words) for name, words in asdict(self).items()}

    def meta(self) -> dict[str, Any]:
        """Return them as `of` reads them."""
        return {"words": self.by_kind()}

    def with_words_of(self, decided: pa.Table) -> PairWords:
        """Return these words, then those that some decisions add."""
        choices = _choices(decided)
        return PairWords(
            _extended(self.campaigns, choices.field("campaign_id")),
            _extended(self.arms, choices.field("arm")),
            _extended(self.materials, choices.field("material_id")),
            _extended(self.channels, choices.field("channel")),
        )


def number_pairs(decided: pa.Table, words: PairWords) -> pa.Table:
    """Return some decisions, (n people), as rows of `decided_pairs`.

    Raises:
        ValueError: a word of a pair is not among `words`.
    """
    n_people, choices = decided.num_rows, _choices(decided)
    person = pc.list_parent_indices(decided["choices"].combine_chunks())
    outcome = choices.field("outcome")
    is_pair = pc.invert(pc.is_in(outcome, pa.array(NOT_A_PAIR)))
    side = pc.fill_null(pc.index_in(outcome, pa.array(SIDES)), len(SIDES))
    campaign = _numbers(choices.field("campaign_id"), words.campaigns)
    arm = pc.add(pc.fill_null(_numbers(choices.field("arm"), words.arms), -1), 1)
    pair = pc.add(pc.multiply(pc.add(pc.multiply(campaign, 4), side), len(words.arms) + 1), arm).cast(I32)
    is_sent = pc.equal(side, 0)
    is_other = pc.and_not(is_pair, is_sent)
    sent = choices.filter(is_sent)
    messages = pa.StructArray.from_arrays(
        [
            pair.filter(is_sent),
            _numbers(sent.field("material_id"), words.materials),
            _numbers(sent.field("channel"), words.channels),
            sent.field("slot"),
            sent.field("message_id"),
        ],
        fields=list(_SENT),
    )
    return pa.table(
        {
            "ordinal": decided["ordinal"],
            "others": _lists(person.filter(is_other), pair.filter(is_other), n_people),
            "sent": _lists(person.filter(is_sent), messages, n_people),
        }
    )


def _choices(decided: pa.Table) -> pa.StructArray:
    return decided["choices"].combine_chunks().flatten()


def _lists(person: pa.Array, values: pa.Array, n_people: int) -> pa.ListArray:
    """Return values, (m,), as a list a person; `person`, (m,), ascends."""
    counts = np.bincount(person.to_numpy(), minlength=n_people)
    return pa.ListArray.from_arrays(pa.array(np.append(0, np.cumsum(counts)), pa.int32()), values)


def _numbers(values: pa.Array, words: Sequence[str]) -> pa.Array:
    numbers = pc.index_in(values, pa.array(words, pa.string()))
    if numbers.null_count != values.null_count:
        raise ValueError("a pair has a word that the night does not list")
    return numbers


def _extended(words: Iterable[str], values: pa.Array) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*words, *values.drop_null().unique().to_pylist()]))
