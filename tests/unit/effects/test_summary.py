"""The summary of a small night: counts equal the rows written; the hash is of parts."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from angelia.contracts.rows import valid_rows
from angelia.effects import summary
from angelia.effects.sources import find_sources
from angelia.lake import Lake

DS = "2026-11-14"


def test_the_summary_counts_what_was_decided_and_delivered(lake: Lake, night: Any) -> None:
    figures = summary(lake, DS)
    outcomes = [choice["outcome"] for choices in night.choices for choice in choices]
    assert figures["users"] == night.n
    assert figures["audiences"] == {"everyone": night.n, "lapsed_shoppers": night.n // 3}
    assert figures["decisions"] == {name: outcomes.count(name) for name in sorted(set(outcomes))}
    assert figures["manifest_rows"] == len(night.manifest)
    assert figures["delivered"]["accepted"] == night.n_accepted
    assert sum(figures["delivered"].values()) == len(night.manifest)
    assert figures["opens"] == night.n_opened


def test_the_manifest_hash_is_over_parts_and_bytes_only(lake: Lake, night: Any) -> None:
    manifest = lake.require("dispatch_manifest", ds=DS)
    lines = [
        f"send_hour={e.keys['send_hour']}/channel=fcm/priority=medium/part=0000 {e.sha256}"
        for e in manifest.files
    ]
    assert (
        summary(lake, DS)["manifest_sha256"] == hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    )
    with lake.attempt("dispatch_manifest", ds=DS) as attempt:  # the same parts in another attempt folder
        for entry in manifest.files:
            attempt.write(lake.read_file(entry), entry.path.split("/", 4)[-1], keys=entry.keys)
        attempt.publish()
    again = lake.require("dispatch_manifest", ds=DS)
    assert again.files[0].path != manifest.files[0].path
    assert (
        summary(lake, DS)["manifest_sha256"] == hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    )


def test_a_plan_that_was_never_emitted_is_not_reported(settings_home: Path, lake: Lake, night: Any) -> None:
    emitted, before = lake.require("decisions", ds=DS), summary(lake, DS)
    sent = lake.require("dispatch_manifest", ds=DS)
    with lake.attempt("dispatch_manifest", ds=DS) as attempt:
        for entry in sent.files:
            attempt.add(entry)
        attempt.publish(inputs=[emitted])
    with lake.attempt("decisions", ds=DS) as attempt:
        attempt.write(valid_rows("decisions", 3), "part-0000.parquet", conform=False)
        attempt.publish()
    assert summary(lake, DS) == before
    assert find_sources(lake, DS, 28).only("decisions") == emitted
