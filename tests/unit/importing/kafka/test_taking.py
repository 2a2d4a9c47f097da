"""Every message of a topic becomes a row once, through reruns, races, midnight and kills."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from angelia.errors import Conflict, InvalidInput
from angelia.importing.kafka.messages import NO_OBJECT
from angelia.lake import Lake
from tests.unit.importing.kafka.topics import NOW, FakeTopic, days, event, taker

TODAY, TOMORROW = "2026-11-28", "2026-11-29"


def test_a_rerun_reads_only_what_came_since(lake: Lake, tmp_path: Path) -> None:
    topic = FakeTopic([event("a"), event("b")], [event("c")])
    first = taker(lake, tmp_path).take(topic)
    assert (first.read, first.rows, len(first.commits)) == (3, 3, 1)
    assert taker(lake, tmp_path).take(topic).commits == []
    topic.partitions[1].append(event("d"))
    assert taker(lake, tmp_path).take(topic).rows == 1
    assert topic.reads[-1] == {1: (1, 2)}
    assert days(lake) == {TODAY: ["a", "b", "c", "d"]}


def test_a_backlog_is_taken_in_portions_to_its_end(lake: Lake, tmp_path: Path) -> None:
    topic = FakeTopic([event(f"a{n}") for n in range(5)], [event("b0")])
    taken = taker(lake, tmp_path, at_once=4).take(topic)
    assert topic.reads == [{0: (0, 2), 1: (0, 1)}, {0: (2, 5)}]
    assert taken.rows == 6
    assert len(days(lake)[TODAY]) == 6


@pytest.mark.parametrize("later", [timedelta(0), timedelta(hours=12), timedelta(days=2)])
def test_of_two_readers_at_once_each_event_is_ones(lake: Lake, tmp_path: Path, later: timedelta) -> None:
    # The second one may stand behind midnight, where it writes into another leaf.
    taker(lake, tmp_path).take(FakeTopic([event("zero")]))
    topic = FakeTopic([event("zero"), event("a"), event("b")])
    at = (NOW + later).strftime("%Y-%m-%dT%H:00:00Z")
    topic.partitions[0].append(event("c", at=at if later < timedelta(days=1) else "2026-11-28T11:59:00Z"))
    topic.before_read = lambda: _take_quietly(lake, tmp_path, NOW + later, topic)
    slow = taker(lake, tmp_path).take(topic)
    every = sorted(name for names in days(lake).values() for name in names)
    assert every == ["a", "b", "c", "zero"]
    assert slow.rows == 0


def _take_quietly(lake: Lake, home: Path, now: datetime, topic: FakeTopic) -> None:
    assert taker(lake, home, now).take(topic).rows == 3


def test_a_run_killed_at_midnight_loses_nothing(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = FakeTopic([event("a")])
    taker(lake, tmp_path).take(topic)
    topic.partitions[0].append(event("b", at="2026-11-29T00:01:00Z"))
    morning = datetime(2026, 11, 29, 0, 2, tzinfo=UTC)
    for n_writes in (1, 2):  # in the day's last commit, then in the next day's first
        calls: list[str] = []

        def die(name: str, calls: list[str] = calls, n_writes: int = n_writes) -> None:
            calls.append(name)
            if calls.count("publish.before_create") == n_writes:
                raise KeyboardInterrupt

        with monkeypatch.context() as broken:
            broken.setattr("angelia.lake.attempt.failpoint", die)
            with pytest.raises(KeyboardInterrupt):
                taker(lake, tmp_path, morning).take(topic)
    # The second kill came before its second write: the first day was closed by it already.
    assert taker(lake, tmp_path, morning + timedelta(days=1)).take(topic).rows == 1
    every = [name for names in days(lake).values() for name in names]
    assert sorted(every) == ["a", "b"]


def test_rows_lie_by_the_day_they_arrive(lake: Lake, tmp_path: Path) -> None:
    topic = FakeTopic([event("a", at="2026-11-26T10:00:00Z"), event("b", at="2026-11-28T12:30:00Z")])
    topic.partitions[0] += [event("old", at="2026-11-24T23:00:00Z"), event("far", at="2026-11-28T14:00:00Z")]
    taken = taker(lake, tmp_path).take(topic)
    assert days(lake) == {TODAY: ["a", "b"]}
    assert taken.filtered == {"more than three days late": 1, "in the future": 1}
    next_day = NOW + timedelta(days=1)
    topic.partitions[0].append(event("c", at="2026-11-28T23:59:00Z"))
    taker(lake, tmp_path, next_day).take(topic)
    assert days(lake) == {TODAY: ["a", "b"], TOMORROW: ["c"]}


def test_bad_messages_are_counted_and_hold_nothing_up(lake: Lake, tmp_path: Path) -> None:
    bad: list[str | None] = ["{", None, "[1]", "7", event("x", user=""), '{"id": "\\u0000"}', "{}"]
    taken = taker(lake, tmp_path).take(FakeTopic([*bad, event("a"), event("a")]))
    assert taken.rows == 1
    assert taken.rejected[NO_OBJECT] == 4
    assert sum(taken.rejected.values()) == 7
    assert taken.filtered == {"duplicate": 1}
    samples = Path(str(taken.reject_samples)).read_text("utf-8")
    assert '"file": "events/0", "line": 0' in samples
    assert lake.require("user_events", ds=TODAY).rejects[NO_OBJECT] == 4
    topic = FakeTopic([*bad, event("a"), event("a"), "{", event("a")])
    again = taker(lake, tmp_path).take(topic)
    assert (again.rows, again.rejected) == (0, {NO_OBJECT: 1}), "bad ones are counted once"
    assert again.filtered == {"already in the day": 1}, "a producer that tried again"


def test_a_wrong_mapping_leaves_the_messages(lake: Lake, tmp_path: Path) -> None:
    topic = FakeTopic(["{}"] * 100)
    with pytest.raises(InvalidInput, match="100 of 100 messages rejected") as refused:
        taker(lake, tmp_path).take(topic)
    assert "stay to be read" in refused.value.message
    assert lake.partitions("user_events") == []
    assert taker(lake, tmp_path, max_reject_pct=100.0).take(topic).read == 100


def test_expired_messages_are_named_and_may_be_given_up(lake: Lake, tmp_path: Path) -> None:
    topic = FakeTopic([event("a")], [event("b")])
    taker(lake, tmp_path).take(topic)
    topic.partitions[0] += [event("gone"), event("c")]
    topic.oldest[0] = 2
    with pytest.raises(InvalidInput, match="partition 0: 1 messages expired") as refused:
        taker(lake, tmp_path).take(topic)
    assert "--allow-lost" in str(refused.value.fix)
    taken = taker(lake, tmp_path, allow_lost=True).take(topic)
    assert (taken.rows, taken.lost) == (1, 1)
    anew = FakeTopic([], [event("d")])
    with pytest.raises(InvalidInput, match="was it made anew"):
        taker(lake, tmp_path).take(anew)


def test_a_new_partition_is_read_whole_and_newest_skips(lake: Lake, tmp_path: Path) -> None:
    newest = {"start": "newest"}
    topic = FakeTopic([event("a")])
    assert taker(lake, tmp_path, source=newest).take(topic).rows == 0
    topic.partitions[0].append(event("b"))
    topic.partitions.append([event("c")])
    topic.oldest.append(0)
    assert taker(lake, tmp_path, source=newest).take(topic).rows == 2
    assert days(lake) == {TODAY: ["b", "c"]}


def test_an_import_of_the_day_does_not_rewind(lake: Lake, tmp_path: Path) -> None:
    topic = FakeTopic([event("a")])
    taker(lake, tmp_path).take(topic)
    head = lake.require("user_events", ds=TODAY)
    with lake.attempt("user_events", ds=TODAY) as attempt:  # as an import replaces the day: no note of ours
        attempt.write(lake.read(head), "part-0000.parquet")
        attempt.publish()
    topic.partitions[0].append(event("b"))
    assert taker(lake, tmp_path).take(topic).read == 1
    assert days(lake) == {TODAY: ["a", "b"]}


def test_two_mappings_of_a_topic_read_it_each(lake: Lake, tmp_path: Path) -> None:
    topic, other = FakeTopic([event("a")]), FakeTopic([event("b")])
    taker(lake, tmp_path).take(topic)
    taker(lake, tmp_path, source={"topic": "others"}).take(other)
    assert taker(lake, tmp_path).take(topic).commits == []
    assert days(lake) == {TODAY: ["a", "b"]}


def test_a_dry_run_and_a_branch_write_nothing(lake: Lake, tmp_path: Path) -> None:
    topic = FakeTopic([event("a")])
    assert taker(lake, tmp_path).take(topic, dry_run=True).rows == 1
    assert lake.partitions("user_events") == []
    replayed = taker(lake, tmp_path)
    replayed.lake.branch = "replay-x"
    with pytest.raises(InvalidInput, match="read into main"):
        replayed.take(topic)


def test_who_always_comes_second_says_so(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(*_args: object, **_more: object) -> None:
        raise Conflict("the head moved")

    monkeypatch.setattr("angelia.importing.kafka.taking.publish", moved)
    with pytest.raises(Conflict):
        taker(lake, tmp_path).take(FakeTopic([event("a")]))
