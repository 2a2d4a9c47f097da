"""What failed and has not worked since, from the log of steps."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime

import pytest

from angelia import logs
from angelia.commands.examples import EXAMPLES
from angelia.console.failures import failures

NOW = datetime(2026, 11, 15, 9, 30, tzinfo=UTC)


def line(step, result, ts="2026-11-15T02:10:00+00:00", **more):
    fields = {"event": "step", "step": step, "ds": "2026-11-14", "branch": "main", "result": result, "ts": ts}
    return json.dumps(fields | more)


@pytest.fixture
def log(tmp_path):
    """Return a function that writes lines into a log, and returns its path."""

    def write(*lines):
        path = tmp_path / "angelia.jsonl"
        path.write_text("".join(text + "\n" for text in lines))
        return path

    return write


def test_a_step_that_worked_since_is_no_failure(log):
    path = log(line("build_features", "error", error="x"), line("build_features", "ok"))
    assert failures(path, NOW) == ([], 0)


def test_another_day_does_not_mend_a_failure(log):
    path = log(line("build_features", "error", error="x"), line("build_features", "ok", ds="2026-11-13"))
    assert [bad.step for bad in failures(path, NOW)[0]] == ["build_features"]


@pytest.mark.parametrize(
    ("step", "more", "command"),
    [
        ("build_features", {}, "spark-submit spark_jobs/build_features.py --ds 2026-11-14"),
        ("plan guard", {"words": "--ds 2026-11-14"}, "angelia plan guard --ds 2026-11-14"),
        ("plan replay", {}, "angelia plan replay --help"),
        ("train", {}, "python -m models.train --ds 2026-11-14"),
        ("promote", {"ds": None}, "python -m models.promote --help"),
        ("score_lookalikes", {}, "angelia audience lookalike --help"),
        ("intake triggers", {"ds": None, "words": ""}, "angelia intake triggers"),
    ],
)
def test_each_failure_names_the_command_that_repeats_it(log, step, more, command):
    bad, _ = failures(log(line(step, "crash", error="KeyError", **more)), NOW)
    assert (bad[0].command, bad[0].says) == (command, "KeyError")


@pytest.mark.parametrize(
    "name", ["effects mart", "effects series", "effects over", "rehearse", "deliver", "quality check"]
)
def test_a_command_of_days_and_versions_is_repeated_whole(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ANGELIA_HOME", str(tmp_path))
    monkeypatch.setenv("ANGELIA_LOG", str(tmp_path / "log"))
    words = shlex.split(EXAMPLES[name])[1:]
    with pytest.raises(ValueError), logs.step(name, [*words, "--json"]):
        raise ValueError
    assert failures(tmp_path / "log", datetime.now(UTC))[0][0].command == EXAMPLES[name]


def test_a_gate_that_opened_hides_no_other_gate(log):
    path = log(
        line("quality check", "error", error="x", words="--gate sources --ds 2026-11-14"),
        line("quality check", "ok", words="--gate plan --ds 2026-11-14"),
    )
    assert [bad.command for bad in failures(path, NOW)[0]] == [
        "angelia quality check --gate sources --ds 2026-11-14"
    ]


NINE, TEN = "--send-hour 2026-11-15T09", "--send-hour 2026-11-15T10"


@pytest.mark.parametrize(
    ("failed", "worked", "stands"),
    [
        (NINE, [TEN], True),
        (NINE, [NINE], False),
        (NINE, [""], False),  # all that is due
        ("", [NINE], True),
        (f"{NINE} --channel email", [f"{NINE} --channel fcm"], True),
        (f"{NINE} --channel email --part 1", [f"{NINE} --channel email --part 0"], True),
        (f"{NINE} --channel email --part 1", [NINE], False),
        (f"{NINE} {TEN}", [TEN], True),
        (f"{NINE} {TEN}", [TEN, NINE], False),
        (NINE, [None], True),  # it had an option that no line repeats, and may have been about another hour
        (None, [None], False),
    ],
)
def test_a_failed_hour_stands_until_it_worked(log, failed, worked, stands):
    def of(words):
        return {} if words is None else {"words": f"--ds 2026-11-14 {words} --clock wall".replace("  ", " ")}

    lines = [
        line("deliver", "error", **of(failed)),
        *(line("deliver", "ok", **of(words)) for words in worked),
    ]
    assert len(failures(log(*lines), NOW)[0]) == stands


def test_old_failures_replays_and_other_events_stay_out(log):
    path = log(
        line("report", "error", ts="2026-11-12T09:29:59+00:00", error="x"),
        line("emit_manifests", "error", branch="replay-1", error="x"),
        json.dumps({"event": "deliver", "ts": "2026-11-15T02:10:00+00:00"}),
        line("deliver", "error", ts="2026-11-12T09:30:01+00:00", error="x"),
    )
    assert [bad.step for bad in failures(path, NOW)[0]] == ["deliver"]


def test_lines_that_cannot_be_read_are_counted(log):
    path = log("{cut", "[]", json.dumps({"ts": "soon"}), line("report", "error", error="x"), "")
    bad, unread = failures(path, NOW)
    assert (len(bad), unread) == (1, 3)


def test_a_long_log_is_read_from_its_end(log, monkeypatch):
    monkeypatch.setattr("angelia.console.failures.READ_BYTES", 400)
    path = log(*[line("report", "error", error="x")] * 50, line("deliver", "error", error="x"))
    bad, unread = failures(path, NOW)
    assert ({one.step for one in bad} >= {"deliver"}, unread) == (True, 0)


def test_no_log_is_no_failure(tmp_path):
    assert failures(tmp_path / "none", NOW) == ([], 0)
    assert failures(None, NOW) == ([], 0)
