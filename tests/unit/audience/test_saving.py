"""`angelia audience save`, and the audiences a lookalike builds on."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia import cli
from tests.unit.audience.typed import People, asked, run


def cli_apply(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["catalog", "apply", str(path)])
    assert not left.value.code, capsys.readouterr().err
    capsys.readouterr()


def apply_policy(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    policy = folder / "policy.yaml"
    policy.write_text(
        "kind: policy\nid: default\nholdout: {share_pct: 20.0, salt: s}\nsalt: x\nexplore: "
        "{slot_share_pct: 5, epsilon: 0.1}\n"
    )
    cli_apply(capsys, policy)


def test_save_makes_a_catalog_audience_and_refuses_cycles(
    people: People, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    apply_policy(capsys, tmp_path)
    assert asked(capsys, "save", "grown_ups", "age_years >= 18")["action"] == "created"
    assert asked(capsys, "save", "seniors", "in_audience('grown_ups') AND age_years >= 60")["version"] == 1
    assert asked(capsys, "save", "slip", "NOT opted_out('prmo')")["hints"] == [
        "note: nobody has opted out of 'prmo'; did you mean promo?"
    ]
    for text, problem in (
        ("count_events('open', 90) > 1", "days is between 1 and 28"),
        ("in_list('nobody_made_it')", "no list 'nobody_made_it'"),
    ):
        code, _, err = run(capsys, "save", "stops_the_night", text)
        assert code == 2
        assert problem in err
    code, _, err = run(capsys, "save", "grown_ups", "in_audience('seniors')")
    assert code == 2
    assert "in a cycle: seniors -> grown_ups -> seniors" in err
    assert asked(capsys, "count", "seniors")["count"] == sum(p["age_years"] == 64 for p in people)


def test_a_lookalikes_seed_means_the_audiences_of_that_night(
    people: People, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    apply_policy(capsys, tmp_path)
    # The live catalog has men only, the night's women only.
    assert run(capsys, "save", "men", "gender = 'm'")[0] == 0
    seeds: list[str] = []
    answer = {"list": "x", "users": 5, "auc": 0.7, "lift_by_decile": [], "top_features": [], "left_out": []}
    monkeypatch.setattr(
        "angelia.commands.audience_lookalike.find", lambda name, seed, *rest: seeds.append(seed) or answer
    )
    for seed in ("women", "in_audience('women') AND age_years > 20"):
        assert run(capsys, "lookalike", "x", "--seed", seed, "--size", "5")[0] == 0
    assert seeds == ["in_audience('women')", "in_audience('women') AND age_years > 20"]
    code, _, err = run(capsys, "lookalike", "x", "--seed", "men", "--size", "5")
    assert code == 2
    assert "no audience 'men' in the catalog of the night of 2026-11-14" in err
    assert run(capsys, "lookalike", "x", "--seed", "in_audience('men')", "--size", "5")[0] == 2
    assert len(seeds) == 2
