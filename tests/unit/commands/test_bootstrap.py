"""`angelia bootstrap`: refused before it runs a job where it could not end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from angelia import cli
from angelia.commands.bootstrap import FIRST, _can_be_learned_from, _chosen_by_a_person, _pushes
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from models.dataset import LEAST
from models.registry import FILES, Registry

pytestmark = pytest.mark.usefixtures("settings_home")

DS = "2026-11-14"


def refused(capsys: Any, *words: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["bootstrap", "--ds", DS, *words])
    out, err = capsys.readouterr()
    assert (stopped.value.code, out) == (2, "")
    return str(err)


def put(lake: Lake, name: str, n: int, ds: str) -> None:
    with lake.attempt(name, ds=ds) as attempt:
        attempt.write(valid_rows(name, n, ds=ds), "part-0000.parquet")
        attempt.publish()


def test_a_replay_has_no_first_model(lake: Lake, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANGELIA_BRANCH", "replay-x")
    assert "bootstrap writes to main only; unset ANGELIA_BRANCH" in refused(capsys)


def test_without_history_there_is_nothing_to_learn_from(lake: Lake, capsys: Any) -> None:
    assert "user_profiles" in refused(capsys)
    put(lake, "user_profiles", 3, DS)
    put(lake, "user_events", 3, "2026-11-15")  # after the day that is asked for
    line = refused(capsys)
    assert f"no user_events and no push_history up to {DS}" in line
    assert "+ python -m" not in line, "no job was begun"


def test_pushes_are_those_between_the_cutoff_and_the_day(lake: Lake) -> None:
    for ds in ("2026-11-10", "2026-11-11", DS, "2026-11-15"):
        put(lake, "user_pushes", 2, ds)
    days = [commit.partition["ds"] for commit in _pushes(lake, "2026-11-10", DS) if commit]
    assert days == ["2026-11-11", DS]


def test_a_model_that_a_person_chose_is_not_replaced(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path)
    first, second = (
        registry.add(DS, {name: name.encode() + text for name in FILES}) for text in (b"1", b"2")
    )
    assert _chosen_by_a_person(registry, first) is None
    registry.promote(first, actor=FIRST, reason="first", at="2026-11-15T00:00Z")
    assert _chosen_by_a_person(registry, second) is None, "the history was imported again"
    chosen = registry.promote(second, actor="ada", reason="better", at="2026-11-15T00:00Z")
    assert _chosen_by_a_person(registry, first) == chosen
    assert _chosen_by_a_person(registry, second) is None


@pytest.mark.parametrize(("n_sent", "enough"), [(LEAST - 1, False), (LEAST, True)])
def test_a_shop_that_hardly_pushed_begins_with_a_prior(lake: Lake, n_sent: int, enough: bool) -> None:
    day = datetime.fromisoformat(DS).replace(tzinfo=UTC)
    rows = valid_rows("user_pushes", n_sent + 100, ds="2026-11-13")
    young = [day if row >= n_sent + 50 else day - timedelta(seconds=1) for row in range(n_sent + 100)]
    kinds = ["opened" if n_sent <= row < n_sent + 50 else "sent" for row in range(n_sent + 100)]
    for name, values in (("sent_ts", young), ("kind", kinds)):
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), pa.array(values, rows.schema.field(at).type))
    with lake.attempt("user_pushes", ds="2026-11-13") as attempt:
        attempt.write(rows, "part-0000.parquet")
        attempt.publish()
    assert _can_be_learned_from(lake, [None, *_pushes(lake, "2026-11-10", DS)], DS) is enough
