"""Rewrite a log of words without those that later ones superseded long ago.

Grain: word. Reads and writes one append-only log (`registered_addresses`, `preference_choices`). The newest
word on a thing stays, whatever its age. Surprise: the commits that are replaced stand beside the new one
until `lake expire` removes them, so readers meet such words twice, and go by their instants.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pyarrow as pa

from angelia.contracts import arrow, dataset
from angelia.contracts.core import LOG
from angelia.lake import Lake
from angelia.lake.expire import REPLACES
from angelia.lake.lake import MAIN

KEPT_DAYS = 30  # as user_endpoints is kept: a night that is planned anew needs no older word
MANY_COMMITS = 100  # each is an object that every reader opens; an export an hour makes so many in four days
_LEAF = {"log": LOG}


def compact_words(lake: Lake, name: str, key: Sequence[str], instant: str, now: datetime) -> int:
    """Rewrite a log without long superseded words; return how many those are.

    Args:
        key: columns that say what a word is on.
        instant: the column that says when it was spoken.
    """
    numbers = lake.numbers(MAIN, name, _LEAF)
    commits = [lake.load(MAIN, name, _LEAF, number) for number in numbers]
    already = {number for commit in commits for number in commit.meta.get(REPLACES, ())}
    ours = [commit for commit in commits if commit.number not in already]
    if not ours:
        return 0
    empty = arrow.schema(dataset(name)).empty_table()
    log = pa.concat_tables([empty, *(lake.read(commit) for commit in ours)], promote_options="default")
    log = log.sort_by([(column, "ascending") for column in (*key, instant)])
    words = list(zip(*(log[column].to_pylist() for column in key), strict=True))
    instants, first = log[instant].to_pylist(), now - timedelta(days=KEPT_DAYS)
    # A night reads words up to the end of its day, so one that was the last until lately is still asked for.
    counts = [
        row + 1 == len(words) or words[row + 1] != word or instants[row + 1] >= first
        for row, word in enumerate(words)
    ]
    n_over = counts.count(False)
    if n_over or len(ours) >= MANY_COMMITS:
        with lake.attempt(name, log=LOG) as attempt:
            attempt.write(log.filter(pa.array(counts, pa.bool_())), "entries.parquet")
            numbers_of = [commit.number for commit in ours]
            attempt.publish(params={"entry": attempt.nonce}, meta={REPLACES: numbers_of})
    return n_over
