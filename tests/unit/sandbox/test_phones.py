"""The phones' counts, which every test about doubled or lost messages goes by."""

from __future__ import annotations

import json
from pathlib import Path

from angelia.sandbox.phones import RECENT, Phones


def test_a_second_message_of_a_dispatch_is_a_double() -> None:
    phones = Phones()
    for dispatch in ("a", "b", "a", "a", "", ""):
        phones.receive(dispatch, "t", "title", "body")
    assert (phones.received, phones.repeated) == ({"a": 3, "b": 1}, {"a": 3})
    stats = phones.stats()
    assert (stats["received"], stats["unique"], stats["doubled"], stats["without_dispatch_id"]) == (
        6,
        2,
        2,
        2,
    )


def test_most_under_way_is_the_peak_and_not_the_end() -> None:
    phones = Phones()
    for step in (phones.begin, phones.begin, phones.end, phones.end, phones.begin, phones.end):
        step()
    assert phones.stats()["most_under_way"] == 2


def test_the_counts_are_written_whole_and_the_last_are_kept(tmp_path: Path) -> None:
    phones = Phones()
    for number in range(RECENT + 5):
        phones.receive(str(number), "t", "title", "body")
    assert [recent[0] for recent in phones.recent][::39] == ["5", "44"]
    phones.dump(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["received.json", "stats.json"]
    assert len(json.loads((tmp_path / "received.json").read_text())) == RECENT + 5
