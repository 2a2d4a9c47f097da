"""A night's pairs by number, as the marts read them. Grain: person x campaign.

`decisions` keeps fifteen fields of a pair in a list, and a reader of six takes in all of them. Here a pair is
a flat row of small numbers; the words behind the numbers stand once, in the commit's meta.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

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


def _code(name: str, meaning: str, nullable: bool = False) -> Column:
    return Column(name, I32, meaning, minimum=0, nullable=nullable)


DECIDED_PAIRS = Dataset(
    "decided_pairs",
    1,
    "user x campaign",
    ("ordinal", "campaign"),
    ("ds",),
    (
        ordinal(),
        _code("campaign", "place of the campaign in the meta's `campaigns`, from 0"),
        Column(
            "side",
            I32,
            "0: sent; 1: global holdout; 2: the campaign's holdout; 3: not sent for another reason",
            allowed=(0, 1, 2, 3),
        ),
        _code("arm", "place of the experiment's arm in the meta's `arms`; null = no experiment", True),
        _code("material", "place of the material in the meta's `materials`; null = not sent", True),
        _code("channel", "place of the channel in the meta's `channels`; null = not sent", True),
        Column("slot", TIMESTAMP, "first instant of the hour it is sent in; null = not sent", nullable=True),
        hash_id("message_id", "once-only key of the message; null = not sent", nullable=True),
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

    def meta(self) -> dict[str, Any]:
        """Return them as `of` reads them."""
        return {"words": {name: list(words) for name, words in asdict(self).items()}}

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
    """Return the pairs of some decisions, (n people), as rows of `decided_pairs`.

    Raises:
        ValueError: a word of a pair is not among `words`.
    """
    lists = decided["choices"].combine_chunks()
    choices = _choices(decided)
    person = pc.list_parent_indices(lists)
    is_pair = pc.invert(pc.is_in(choices.field("outcome"), pa.array(NOT_A_PAIR)))
    # Most nights hold few people whom nobody may tell: without any, nothing is copied.
    if not pc.all(is_pair).as_py():
        choices, person = choices.filter(is_pair), person.filter(is_pair)
    side = pc.fill_null(pc.index_in(choices.field("outcome"), pa.array(SIDES)), len(SIDES))
    is_sent = pc.equal(side, 0)
    message, slot = (
        pc.if_else(is_sent, choices.field(name), pa.scalar(None, choices.field(name).type))
        for name in ("message_id", "slot")
    )
    return pa.table(
        {
            "ordinal": decided["ordinal"].combine_chunks().take(person),
            "campaign": _numbers(choices.field("campaign_id"), words.campaigns),
            "side": side,
            "arm": _numbers(choices.field("arm"), words.arms),
            "material": _numbers(choices.field("material_id"), words.materials, is_sent),
            "channel": _numbers(choices.field("channel"), words.channels, is_sent),
            "slot": slot,
            "message_id": message,
        }
    )


def _choices(decided: pa.Table) -> pa.StructArray:
    return decided["choices"].combine_chunks().flatten()


def _numbers(values: pa.Array, words: Sequence[str], where: pa.Array | None = None) -> pa.Array:
    if where is not None:
        values = pc.if_else(where, values, pa.scalar(None, values.type))
    numbers = pc.index_in(values, pa.array(words, pa.string()))
    if numbers.null_count != values.null_count:
        raise ValueError("a pair has a word that the night does not list")
    return numbers


def _extended(words: Iterable[str], values: pa.Array) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*words, *values.drop_null().unique().to_pylist()]))
