"""score_lookalikes on a small night: the list is the exact top across shards.

The seed and suppressed people are not in it; impossible requests are refused.
"""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyroaring import BitMap

from angelia.audience.query import AudienceQuery
from angelia.contracts import arrow, dataset
from angelia.errors import InvalidInput
from spark_jobs import build_bitmaps, build_features, score_lookalikes

DS = "2026-11-14"
POLICY = (
    '{"kind":"policy","id":"default","holdout":{"share_pct":2.0,"salt":"s"},"salt":"x",'
    '"explore":{"slot_share_pct":5.0,"epsilon":0.1}}'
)
WOMEN = '{"kind":"audience","id":"women","description":"","predicate":"gender = \'f\'"}'


def list_members(lake, name: str) -> set[int]:
    rows = lake.read(lake.require("user_lists", list=name))
    return set(BitMap.union(*(BitMap.deserialize(blob) for blob in rows["bitmap"].to_pylist())))


def test_the_list_is_the_exact_top_of_all_shards(spark, small_night, capsys, monkeypatch) -> None:
    lake = small_night
    build_features.main(["--ds", DS])
    build_bitmaps.main(["--ds", DS])
    rows = [("policy", "default", POLICY), ("audience", "women", WOMEN)]
    with lake.attempt("catalog_snapshot", ds=DS) as attempt:
        table = [{"kind": kind, "id": name, "version": 1, "body": body} for kind, name, body in rows]
        attempt.write(
            pa.Table.from_pylist(table, schema=arrow.schema(dataset("catalog_snapshot"))), "documents.parquet"
        )
        attempt.publish()
    capsys.readouterr()
    argv = [
        "--ds",
        DS,
        "--name",
        "alike",
        "--seed",
        "in_audience('women') AND n_opens_28d >= 6",
        "--size",
        "120",
    ]
    score_lookalikes.main(argv)
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (printed["users"], printed["left_out"]) == (120, ["gender", "n_opens_28d"])
    assert 0 <= printed["auc"] <= 1
    assert len(printed["lift_by_decile"]) == 10
    chosen = list_members(lake, "alike")

    # The same, from one table: score everyone at once, order by score, then ordinal.
    audience = AudienceQuery(lake, DS, {"women": "gender = 'f'"})
    seed = {ordinal for part in audience.all_members(argv[5]) for ordinal in part}
    features = next(lake.cited(name) for name in audience.index.commit.inputs if "user_features/" in name)
    seen = {}
    true_train = score_lookalikes.train

    def remember(*args, **options):
        seen["model"], read_out = true_train(*args, **options)
        return seen["model"], read_out

    monkeypatch.setattr(score_lookalikes, "train", remember)
    score_lookalikes.main(argv)
    everyone = lake.read(features).sort_by("ordinal")
    scores = seen["model"].score(everyone).astype(np.int64)
    ordinals, suppressed = everyone["ordinal"].to_numpy(), np.asarray(everyone["is_suppressed"].to_pylist())
    ranked = sorted(
        (-score, ordinal)
        for score, ordinal, no in zip(scores, ordinals, suppressed, strict=True)
        if ordinal not in seed and not no
    )
    assert suppressed.any()
    assert chosen == {ordinal for _, ordinal in ranked[:120]} == list_members(lake, "alike")
    assert AudienceQuery(lake, DS).count("in_list('alike')") == 120
    assert len({ordinal >> 8 for ordinal in chosen}) > 1  # not of one shard alone

    before = lake.require("user_lists", list="alike").ref
    for change, message in (
        ({"--size": "100000"}, "--size is between 1 and"),
        ({"--seed": "FALSE"}, "the seed has 0 people"),
        ({"--seed": "TRUE"}, "leaves 0"),
    ):
        options = dict(zip(argv[::2], argv[1::2], strict=True)) | change
        with pytest.raises(InvalidInput, match=message):
            score_lookalikes.main([word for pair in options.items() for word in pair])
    assert lake.require("user_lists", list="alike").ref == before


def test_a_mistaken_question_leaves_no_failure(settings_home: Path, monkeypatch, capsys) -> None:
    """Whoever asked has read the refusal; Today and alerts are about the night's steps."""
    monkeypatch.setattr(
        sys, "argv", ["score_lookalikes", "--ds", DS, "--name", "a", "--seed", "TRUE", "--size", "1"]
    )
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(score_lookalikes.__file__, run_name="__main__")
    assert capsys.readouterr().err.startswith("error: ")
    assert not (settings_home / "logs").exists()
    assert not (settings_home / "metrics").exists()
