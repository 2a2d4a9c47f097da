"""`angelia lake …` as an operator types it; mistakes are one line and exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from angelia import cli
from angelia.contracts.rows import valid_rows
from angelia.lake import Commit, Lake


@pytest.fixture
def commits(settings_home: Path, lake: Lake) -> list[Commit]:
    made = []
    for seed in (1, 2):
        with lake.attempt("user_days", ds="2026-11-14") as attempt:
            attempt.write(valid_rows("user_days", 10 * seed, seed=seed), "part-0000.parquet", shards=(0, 3))
            made.append(
                attempt.publish(
                    inputs=made[:1], params={"days": 1}, meta={"note": "x"}, rejects={"unknown user": 3}
                )
            )
    return made


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    try:
        cli.main(["lake", *args])
        code = 0
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_log_lists_commits(capsys: pytest.CaptureFixture[str], commits: list[Commit]) -> None:
    code, out, _ = run(capsys, "log", "user_days", "--partition", "ds=2026-11-14")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [
        "user_days/ds=2026-11-14@1",
        "user_days/ds=2026-11-14@2",
    ]
    assert "20 rows" in out.splitlines()[1]
    assert "rejected 3" in out
    code, out, _ = run(capsys, "log", "user_days", "--json")
    assert [(one["commit"], one["rows"], one["state"]) for one in json.loads(out)["commits"]] == [
        (c.ref, c.rows, "live") for c in commits
    ]
    assert (
        run(capsys, "log", "user_days", "--partition", "ds=2026-11-13")[1] == "user_days: nothing committed\n"
    )


def test_show_tells_all_of_one_commit(capsys: pytest.CaptureFixture[str], commits: list[Commit]) -> None:
    code, out, _ = run(capsys, "show", "user_days/ds=2026-11-14@2")
    assert code == 0
    for text in (
        commits[1].sha256,
        commits[0].citation(),
        "days = 1",
        "note = x",
        "unknown user: 3",
        "shards 0-3",
        commits[1].files[0].path,
    ):
        assert text in out
    shown = json.loads(run(capsys, "show", commits[1].citation(), "--json")[1])
    assert (shown["commit"], shown["files"][0]["sha256"]) == (commits[1].ref, commits[1].files[0].sha256)


def test_verify_says_what_it_looked_at_and_exits_2_on_damage(
    capsys: pytest.CaptureFixture[str], commits: list[Commit], lake: Lake
) -> None:
    code, out, err = run(capsys, "verify")
    assert (code, out) == (
        0,
        (
            f"2 commits, 2 files, {sum(c.files[0].bytes for c in commits) / 2**20:,.1f} MiB checked, "
            f"0 expired, 0 problems\n"
        ),
    )
    assert err == "user_days: 2 commits, 0 problems so far\n"
    lake.store.delete(commits[0].files[0].path)
    code, out, err = run(capsys, "verify", "--dataset", "user_days", "--ds", "2026-11-14", "--json")
    assert code == 2
    assert json.loads(out)["problems"] == [
        {"commit": commits[0].ref, "path": commits[0].files[0].path, "problem": "missing"}
    ]
    assert err.splitlines()[-1].startswith("error: 1 problems in the lake")
    code, out, _ = run(capsys, "verify")
    assert code == 2
    assert f"{commits[0].ref}  {commits[0].files[0].path}: missing" in out


def test_expire_lists_or_does(capsys: pytest.CaptureFixture[str], commits: list[Commit]) -> None:
    code, out, _ = run(capsys, "expire", "--dry-run", "--json")
    assert (code, json.loads(out)["commits"], json.loads(out)["dry_run"]) == (0, [], True)
    assert json.loads(out)["ledger_objects"] == 0
    code, out, _ = run(capsys, "expire", "--older-than", "7")
    assert (code, out) == (
        0,
        "expired 0 commits and 0 orphan attempts: 0 files, 0.0 MiB; 0 commits kept for pending plans\n",
    )


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["log", "user_day"], "did you mean user_days"),
        (["log", "user_days", "--partition", "2026-11-14"], "is not KEY=VALUE"),
        (["log", "user_days", "--partition", "day=2026-11-14"], "KEY of ds"),
        (["log", "user_days", "--partition", "ds=yesterday"], "is not a date"),
        (["log"], "Missing argument"),
        (["show", "user_days"], "is not a commit"),
        (["show", "user_days/ds=2026-11-14@9"], "no object"),
        (["show", "user_days/ds=../../x@1"], "is not a commit"),
        (["show", "user_days/ds=..@1"], "cannot be a partition value"),
        (["show", "user_days/ds=2026-11-14@1#0000000000000000"], "not the commit that was cited"),
        (["verify", "--dataset", "nothing"], "no dataset 'nothing'"),
        (["verify", "--ds", "14.11.2026"], "is not a date"),
        (["expire", "--older-than", "0"], "--older-than"),
        (["expire", "--older-than", "soon"], "--older-than"),
        (["expire", "--force"], "No such option"),
    ],
)
def test_mistakes_are_told_and_exit_2(
    capsys: pytest.CaptureFixture[str], commits: list[Commit], args: list[str], says: str
) -> None:
    code, out, err = run(capsys, *args)
    assert (code, out) == (2, "")
    assert says in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("url", "says"), [("gs://bucket/lake", "error: ANGELIA_LAKE: "), ("s3://", "error: lake address")]
)
def test_a_wrong_lake_address_is_told(
    capsys: pytest.CaptureFixture[str],
    settings_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    says: str,
) -> None:
    monkeypatch.setenv("ANGELIA_LAKE", url)
    code, _, err = run(capsys, "verify")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(says)


def test_an_empty_lake_is_no_error(capsys: pytest.CaptureFixture[str], settings_home: Path) -> None:
    assert run(capsys, "verify")[:2] == (0, "0 commits, 0 files, 0.0 MiB checked, 0 expired, 0 problems\n")
    assert run(capsys, "expire")[0] == 0
    assert not (settings_home / "lake").exists()
