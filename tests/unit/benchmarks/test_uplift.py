"""Kept nights come back, peers are compared by seed, and all live a night before the next."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import uplift
from benchmarks.nights import nights as lived_nights


def a_night(sent: int, opens: float, unsubscribes: float) -> dict[str, float]:
    return {"sent": sent, "opens": opens, "unsubscribes": unsubscribes, "value": opens, "predicted": opens}


def test_a_peer_is_compared_seed_by_seed() -> None:
    ours = [[a_night(100, 12.0, 0.10)], [a_night(50, 9.0, 0.06)]]
    peer = [[a_night(100, 10.0, 0.10)], [a_night(50, 6.0, 0.05)]]
    row = uplift.figures(peer, ours)
    assert row["gain_pct_by_seed"] == [20.0, 50.0]
    assert row["unsubscribes_pct_by_seed"] == [0.0, 20.0]
    low, high = row["unsubscribes_pct_interval"]  # type: ignore[misc]
    assert low < 10.0 < high
    assert row["unsubscribes_pct"] == 10.0
    assert "gain_pct" not in uplift.figures(ours, None)


def test_a_peer_is_compared_night_by_night() -> None:
    ours = [
        [a_night(100, 12.0, 0.10), a_night(50, 6.0, 0.04)],
        [a_night(100, 12.0, 0.10), a_night(10, 1.2, 0.01)],
    ]
    peer = [
        [a_night(100, 10.0, 0.10), a_night(50, 5.0, 0.05)],
        [a_night(100, 8.0, 0.10), a_night(10, 1.0, 0.01)],
    ]
    row = uplift.figures(peer, ours)
    assert row["opens_per_send_by_night"] == [0.09, 0.1]
    assert row["gain_pct_by_night"] == [33.33, 20.0]
    assert row["unsubscribes_pct_by_night"] == [0.0, -10.0]
    nobody = [[a_night(100, 10.0, 0.10), a_night(0, 0.0, 0.0)]]
    assert np.isnan(uplift.by_night(nobody, "opens")).tolist() == [False, True]


def test_kept_nights_are_read_back_if_they_suffice(tmp_path: Path) -> None:
    file = tmp_path / "kept" / "1-2000-28.json"
    lived = {"ours": [a_night(3, 1.0, 0.1)] * 2, "usual": [a_night(3, 0.5, 0.1)]}
    assert uplift.whole(file, 1, ["ours"]) is None
    uplift.keep(file, lived)
    assert uplift.whole(file, 1, ["ours", "usual"]) == {"ours": lived["ours"][:1], "usual": lived["usual"]}
    assert uplift.whole(file, 2, ["ours", "usual"]) is None
    assert uplift.whole(file, 1, ["ours", "random"]) is None
    uplift.keep(None, lived)


def test_kept_nights_of_other_code_are_lived_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "1-2000-28.json"
    uplift.keep(file, {"ours": [a_night(3, 1.0, 0.1)]})
    assert uplift.whole(file, 1, ["ours"]) is not None
    monkeypatch.setattr(uplift, "code_version", lambda: "another")
    assert uplift.whole(file, 1, ["ours"]) is None


def test_every_policy_lives_a_night_before_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Shop:
        def __init__(self, home: Path, world: object) -> None:
            self.home, self.lake, self.usual = home, None, None

        def copy(self, home: Path) -> "Shop":
            return Shop(home, None)

        def begin(self, days: int) -> None: ...
        def snapshot(self, ds: str) -> None: ...
        def write_features(self, ds: str) -> None: ...

    order: list[tuple[str, int, int | None]] = []
    ready: list[str] = []

    def live(site: Shop, name: str, number: int, volume: int | None) -> dict[str, float]:
        order.append((name, number, volume))
        return a_night((7 if "@" in name else 10) + number, 1.0, 0.0)

    monkeypatch.setattr(lived_nights, "Site", Shop)
    monkeypatch.setattr(lived_nights, "night", live)
    monkeypatch.setattr(lived_nights, "retrain", lambda site, ds: None)
    monkeypatch.setattr(lived_nights, "run_jobs", lambda site, ds: ready.append(site.home.name))
    monkeypatch.setattr(lived_nights.UsualModel, "train", lambda lake, ds: None)
    kept: list[list[int]] = []
    lived_nights.lives(
        tmp_path, 1, users=2, nights=2, history_days=28, policies=["ours", "usual", "ours@60", "usual@60"],
        note=lambda text: None, keep=lambda lived: kept.append([len(nights) for nights in lived.values()]),
    )  # fmt: skip
    assert order[:4] == [("ours", 0, None), ("usual", 0, 10), ("ours@60", 0, None), ("usual@60", 0, 7)]
    assert order[4:] == [("ours", 1, None), ("usual", 1, 11), ("ours@60", 1, None), ("usual@60", 1, 8)]
    assert kept == [[1, 1, 1, 1], [2, 2, 2, 2]]
    assert ready == ["base"], "until somebody sends, one night's jobs serve all"


def test_each_price_of_a_refusal_has_its_own_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prices: list[tuple[float | None, float | None, bool]] = []

    def decide(site: Any, ds: str, name: str, volume: int | None, **how: Any) -> Any:
        prices.append((how["refusal_opens"], how["refusals_at_most"], how["curves"]))
        raise KeyError(name)

    monkeypatch.setattr(lived_nights, "decide", decide)
    monkeypatch.setattr(lived_nights, "has_limit", lambda lake, ds: lake == "limited")
    site: Any = SimpleNamespace(write_features=lambda ds: None, snapshot=lambda ds: None, lake=None)
    for name in ("ours", "usual@60", "oracle@max0.98"):
        with pytest.raises(KeyError, match=name.partition("@")[0]):
            lived_nights.night(site, name, 0, None)
    site.lake = "limited"
    for name in ("oracle", "usual", "random@max0.98"):
        with pytest.raises(KeyError):
            lived_nights.night(site, name, 0, None)
    # A limit counts looks by the curves, so that whoever obeys it needs them; other products know none.
    assert prices[:3] == [(None, None, True), (60.0, None, False), (None, 0.98, True)]
    assert prices[3:] == [(None, None, True), (None, None, False), (None, 0.98, False)]
    assert uplift.beside("oracle@max0.98") == "ours@max0.98"
    assert [uplift.beside(name) for name in ("usual", "ours@60", "usual@60")] == ["ours", "ours", "ours@60"]


@pytest.mark.parametrize(("name", "again"), [("ours", ["ours"]), ("usual", ["usual"]), ("oracle", [])])
def test_only_what_a_policy_looks_at_is_trained_again(
    name: str, again: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class TrainedEnough(Exception): ...

    def stop() -> Any:
        raise TrainedEnough

    trained: list[str] = []
    monkeypatch.setattr(lived_nights, "has_limit", lambda lake, ds: False)
    site = SimpleNamespace(write_features=lambda ds: None, snapshot=lambda ds: None, here=stop, lake=None)
    monkeypatch.setattr(lived_nights, "retrain", lambda site, ds: trained.append("ours"))
    monkeypatch.setattr(lived_nights.UsualModel, "train", lambda lake, ds: trained.append("usual"))
    for number in (1, lived_nights.WEEK):
        with pytest.raises(TrainedEnough):
            lived_nights.night(site, name, number, None)  # type: ignore[arg-type]
    assert trained == again


def test_per_message_sums_nights_first() -> None:
    nights = [a_night(1, 1.0, 0.0), a_night(9, 0.0, 0.0)]
    assert np.allclose(uplift.per_message([nights], "opens"), [0.1])
