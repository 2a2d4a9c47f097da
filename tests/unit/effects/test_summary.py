"""The night in numbers is the night that is sent, whatever was planned again since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from angelia.contracts.rows import valid_rows
from angelia.effects import summary
from angelia.effects.sources import find_sources
from angelia.lake import Lake

DS = "2026-11-14"


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
    assert find_sources(lake, DS, 28).one("decisions") == emitted
