"""People of a comparison from a lake, and the list that an audience names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from pyroaring import BitMap

from angelia import cli
from angelia.contracts.rows import user_name, valid_rows
from angelia.lake import Lake
from models.registry import Registry
from models.uplift.kept import load, newest
from models.uplift.people import KEPT, read_people, top_of
from tests.unit.effects.conftest import DS, Night, put

pytestmark = pytest.mark.usefixtures("settings_home")
BEFORE_HOLDOUTS = ("suppressed", "opted_out", "unreachable")
SPAN = ("--from", DS, "--to", DS)
N = 3_000


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Night, Path]:
    root = tmp_path_factory.mktemp("uplift") / "lake"
    made, lake = Night(N), Lake.open(str(root))
    made.write(lake)
    put(lake, "user_features", valid_rows("user_features", N - 1, ds=DS), ds=DS)  # one has none
    return made, root


@pytest.fixture
def night(written: tuple[Night, Path], tmp_path: Path) -> Night:
    made, root = written
    shutil.copytree(root, tmp_path / "angelia home" / "lake", dirs_exist_ok=True)
    return made


def run(capsys: Any, *words: str) -> tuple[int, Any, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["effects", "uplift", *words, "--json"])
    shown = capsys.readouterr()
    return int(stopped.value.code or 0), json.loads(shown.out) if shown.out else None, shown.err


def test_sides_and_outcomes_are_those_of_the_night(lake: Lake, night: Night) -> None:
    with duckdb.connect() as connection:
        people = read_people(
            connection, lake, [DS], scope="all", metric="converted",
            lead_hours=28, conversion="purchase", cap=None,
        )  # fmt: skip
    expected = {}
    for i, choices in enumerate(night.choices[: N - 1]):
        own = [c["outcome"] for c in choices if c["campaign_id"] != "order_update"]
        if any(outcome not in BEFORE_HOLDOUTS for outcome in own):
            expected[i] = "holdout_global" not in own, float(night.bought[i])
    assert len(people.treated) == len(expected)
    np.testing.assert_array_equal(people.treated, [side for side, _ in expected.values()])
    np.testing.assert_array_equal(people.outcome, [outcome for _, outcome in expected.values()])
    assert people.matrix.shape == (len(expected), len(KEPT))
    assert people.share == pytest.approx(0.9)
    assert not any("push" in name or "open_rate" in name for name in KEPT)
    assert people.left_out == {"people without features of the first night": 1}


def test_a_list_is_kept_only_above_chance_or_by_force(lake: Lake, night: Night, capsys: Any) -> None:
    code, result, error = run(capsys, *SPAN, "--metric", "converted", "--list", "moved", "--size", "100")
    assert (code, result["above_chance"], result["commit"]) == (2, False, None)
    assert "may be chance" in error
    assert lake.head("user_lists", list="moved") is None
    code, result, _ = run(capsys, *SPAN, "--list", "moved", "--size", "100", "--force")
    assert code == 0
    commit = lake.require("user_lists", list="moved")
    assert result["commit"] == commit.ref
    members = [BitMap.deserialize(row) for row in lake.read(commit)["bitmap"].to_pylist()]
    assert sum(map(len, members)) == commit.meta["n_users"] == 100
    features = lake.read(lake.require("user_features", ds=DS)).to_pylist()
    suppressed = {i for i, row in enumerate(features) if row["is_suppressed"]}
    assert not suppressed & {i for own in members for i in own}
    assert commit.meta["uplift"]["scope"] == "all"
    assert user_name(3) not in json.dumps(result)


def test_equal_scores_go_to_the_lower_ordinals() -> None:
    score = np.array([1.0, 2.0, 1.0, 1.0])
    assert top_of(np.array([9, 7, 3, 5]), score, 3).tolist() == [3, 5, 7]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--scope", "weekly_digest"], "nobody of weekly_digest is held out"),
        (["--scope", "other"], "no scope other"),
        (["--metric", "love"], "--metric is not one of"),
        (["--list", "moved"], "--list and --size go together"),
        (["--list", "Not one", "--size", "5"], "--list is not a name"),
    ],
)
def test_bad_questions_are_one_line(
    lake: Lake, night: Night, capsys: Any, words: list[str], says: str
) -> None:
    code, result, error = run(capsys, *SPAN, *words)
    assert (code, result) == (2, None)
    assert says in error
    assert error.count("\n") == 1


def test_a_model_is_kept_with_the_messages_of_its_people(
    lake: Lake, night: Night, capsys: Any, settings_home: Path
) -> None:
    store = Registry.open(settings_home / "models").store
    code, result, error = run(capsys, *SPAN, "--keep", "moved")
    assert (code, result["model"]) == (2, None)
    assert "nothing was kept" in error
    assert newest(store, "moved") is None
    code, result, _ = run(capsys, *SPAN, "--keep", "moved", "--force")
    assert code == 0
    model = load("moved", newest(store, "moved") or b"")
    assert result["model"] == model.version
    own, sent = 0, 0
    for choices in night.choices:
        outcomes = [c["outcome"] for c in choices if c["campaign_id"] != "order_update"]
        if any(o not in BEFORE_HOLDOUTS for o in outcomes) and "holdout_global" not in outcomes:
            own, sent = own + 1, sent + outcomes.count("sent")
    assert model.messages == result["messages_per_person"] == pytest.approx(sent / own)
    assert not model.facts["above_chance"]
