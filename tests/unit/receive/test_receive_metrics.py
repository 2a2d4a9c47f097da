"""Callbacks are counted by status, events by what became of them; nobody is named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from angelia.receive.receive_metrics import CallbackTotals


def test_two_servers_of_a_machine_add_up(tmp_path: Path) -> None:
    server = Counter({"200": 3, "401": 1, "late": 2, "events": 4, "refused": 1, "requests": 3, "repeated": 0})
    for _ in range(2):
        totals = CallbackTotals(tmp_path)
        totals.add(server, Counter(receipts=2, devices=1, foreign=1))
        totals.add(
            server, Counter(receipts=2, devices=1, foreign=1), is_last=True
        )  # the same counts are no news
    lines = (tmp_path / "angelia_receive.prom").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        'angelia_receive_answers_total{status="200"} 6',
        'angelia_receive_answers_total{status="401"} 2',
        'angelia_receive_answers_total{status="late"} 4',
        'angelia_receive_events_total{result="refused"} 2',
        'angelia_receive_events_total{result="taken"} 8',
        'angelia_receive_folded_total{what="devices"} 2',
        'angelia_receive_folded_total{what="foreign"} 2',
        'angelia_receive_folded_total{what="receipts"} 4',
    ]


def test_a_file_that_cannot_be_written_takes_events_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("a file where the folder should be")
    CallbackTotals(tmp_path / "metrics").add(Counter({"200": 1}), Counter(), is_last=True)
    CallbackTotals(None).add(Counter({"200": 1}), Counter(), is_last=True)
