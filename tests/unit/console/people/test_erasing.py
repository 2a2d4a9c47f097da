"""An erasure in a process of its own: what it says, and that it never says whom."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest

from angelia.console.people import erasing
from angelia.console.people.erasing import DONE, FAILED, Erasures, _result


def test_what_was_erased_is_counted() -> None:
    erased = {"commits": ["a", "b"], "rows": {"user_days": 1_200, "decisions": 3}, "files_deleted": 4}
    out = "progress\n" + json.dumps(erased) + "\n"
    assert _result(0, out, "") == (DONE, "2 commits rewritten, 1,203 rows, 4 files")


@pytest.mark.parametrize(
    ("err", "says"),
    [
        ("warning: slow\nerror: first\nerror: the lake is gone; mount it\n", "the lake is gone; mount it"),
        ("Traceback …", "the process ended with 2"),
        ("", "the process ended with 2"),
    ],
)
def test_a_failure_is_its_last_line_of_error(err: str, says: str) -> None:
    assert _result(2, "", err) == (FAILED, says)


def test_a_failed_erasure_does_not_repeat_the_id(
    lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no row of secret-id")

    monkeypatch.setattr("sys.stdin", io.StringIO('"secret-id"'))
    monkeypatch.setattr("angelia.lake.erasing.erase.erase", broken)
    assert erasing.main() == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: the erasure failed (RuntimeError); erase again to complete it\n")


def test_a_process_is_waited_for_and_its_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "MODULE", "calendar")  # a module that ends at once, without an erasure
    monkeypatch.setattr(erasing, "_result", lambda code, *_: (DONE if code == 0 else FAILED, "told"))
    ended, erasures = [], Erasures()
    first = erasures.begin("u1", "ada", datetime(2026, 11, 15, tzinfo=UTC), ended.append)
    second = erasures.begin("u2", "ada", datetime(2026, 11, 15, tzinfo=UTC), ended.append)
    erasures.join(30)
    assert [id(one) for one in erasures.begun] == [id(second), id(first)], "the newest first"
    assert {(one.state, one.says) for one in ended} == {(DONE, "told")}
    assert len(ended) == 2
    assert "u1" not in repr(erasures)
