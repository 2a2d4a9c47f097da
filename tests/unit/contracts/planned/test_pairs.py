"""Numbers of pairs against a loop that reads their words back."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.contracts.outcomes import DECIDED
from angelia.contracts.planned.pairs import DECIDED_PAIRS, NOT_A_PAIR, PairWords, number_pairs
from angelia.contracts.rows import valid_rows

SIDES = {"sent": 0, "holdout_global": 1, "holdout_campaign": 2}


def decided() -> pa.Table:
    """Return people whose pairs have every outcome, with an arm or without."""
    people = valid_rows("decisions", 40).to_pylist()
    for i, person in enumerate(people):
        for k, choice in enumerate(person["choices"]):
            outcome = list(DECIDED)[(i + 7 * k) % len(DECIDED)]
            choice |= {"outcome": outcome, "arm": (None, "a", "b")[(i + k) % 3]}
            choice |= {"channel": "fcm" if i % 2 else "sms", "slot": valid_slot(people)}
        person["choices"] = [] if i % 3 == 2 else person["choices"]  # somebody who is in no audience
    return pa.Table.from_pylist(people, schema=arrow.schema(dataset("decisions")))


def valid_slot(people: list[dict[str, Any]]) -> Any:
    return next(one["slot"] for person in people for one in person["choices"] if one["slot"])


def read_back(row: dict[str, Any], words: PairWords) -> list[tuple[Any, ...]]:
    """Return a person's pairs in words, as the contract explains their numbers."""
    pairs = []
    for number, message in [(n, None) for n in row["others"]] + [(m["pair"], m) for m in row["sent"]]:
        rest, arm = divmod(number, len(words.arms) + 1)
        campaign, side = divmod(rest, 4)
        details = (None, None, None, None) if message is None else (
            words.materials[message["material"]], words.channels[message["channel"]],
            message["slot"], message["message_id"],
        )  # fmt: skip
        pairs.append((words.campaigns[campaign], side, words.arms[arm - 1] if arm else None, *details))
    return sorted(pairs, key=str)


@pytest.mark.parametrize(("start", "length"), [(0, 40), (7, 20)])
def test_numbers_say_what_the_plan_says(start: int, length: int) -> None:
    table = decided().slice(start, length)  # a slice's lists do not begin at its arrays' beginning
    words = PairWords().with_words_of(table)
    numbered = arrow.conform(number_pairs(table, words), DECIDED_PAIRS).to_pylist()
    assert [row["ordinal"] for row in numbered] == table["ordinal"].to_pylist()
    for row, person in zip(numbered, table.to_pylist(), strict=True):
        pairs = [
            (one["campaign_id"], SIDES.get(one["outcome"], 3), one["arm"],
             *([one[name] for name in ("material_id", "channel", "slot", "message_id")]
               if one["outcome"] == "sent" else [None] * 4))
            for one in person["choices"] if one["outcome"] not in NOT_A_PAIR
        ]  # fmt: skip
        assert read_back(row, words) == sorted(pairs, key=str)
    assert sum(len(row["sent"]) for row in numbered) >= 1


def test_a_word_that_is_not_listed_is_refused() -> None:
    table = decided()
    with pytest.raises(ValueError, match="does not list"):
        number_pairs(table, PairWords().with_words_of(table.slice(0, 1)))


def test_words_come_back_from_the_meta() -> None:
    words = PairWords(("b", "a"), (), ("m",), ("fcm",))
    assert PairWords.of(words.meta()) == words
    assert words.with_words_of(decided()).campaigns[:2] == ("b", "a")
