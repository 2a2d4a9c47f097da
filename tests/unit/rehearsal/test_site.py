"""A simulated shop: apart from the real one, and from its copies."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from angelia.rehearsal.push_log import PushLog, Sent
from angelia.rehearsal.site import ANCHOR, Site
from angelia.world.clock import day_name, day_number

DAY = day_number(ANCHOR) + 1


def sent(*rows: int, material: str) -> Sent:
    n = len(rows)
    return Sent(
        np.array(rows), ["price_drop"] * n, [material] * n, np.full(n, 24 * DAY),
        [f"{row:032x}" for row in rows], np.full(n, np.nan), np.full(n, 0.5),
    )  # fmt: skip


def test_the_real_shops_settings_are_out_of_sight_and_come_back(
    shop: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANGELIA_HISTORY_DAYS", "7")
    monkeypatch.setenv("ANGELIA_HOME", "/real")
    monkeypatch.delenv("ANGELIA_SPARK_MASTER", raising=False)
    inside: list[str] = []

    def fail() -> None:
        with shop.here():
            inside.extend(os.environ[name] for name in ("ANGELIA_HISTORY_DAYS", "ANGELIA_HOME"))
            raise ValueError("a job failed")

    with pytest.raises(ValueError, match="a job failed"):
        fail()
    assert inside == ["", str(shop.home)]
    assert (os.environ["ANGELIA_HISTORY_DAYS"], os.environ["ANGELIA_HOME"]) == ("7", "/real")
    assert "ANGELIA_SPARK_MASTER" not in os.environ


def test_a_copy_goes_its_own_way(shop: Site, tmp_path: Path) -> None:
    before, twin = len(shop.log.row), shop.copy(tmp_path / "twin")
    name = shop.log.sent.material[0]
    twin.log = twin.log.and_(sent(3, material=name), np.array([86_400 * DAY]), np.array([-1]))
    twin.refused.append(("u1", "promo", 0))
    assert (len(twin.log.row), len(shop.log.row)) == (before + 1, before)
    assert ("u1", "promo", 0) not in shop.refused
    twin.live(DAY)
    assert twin.lake.head("user_pushes", ds=day_name(DAY)) is not None
    assert shop.lake.head("user_pushes", ds=day_name(DAY)) is None


def test_pushes_of_no_category_are_felt_by_their_person(shop: Site, tmp_path: Path) -> None:
    twin, name = shop.copy(tmp_path / "felt"), shop.log.sent.material[0]
    at, never = np.array([86_400 * DAY]), np.array([-1])
    twin.log = PushLog().and_(sent(0, material="of-their-own"), at, never)
    twin.log = twin.log.and_(sent(1, material=name), at, never)
    felt, own = twin.felt_grid(np.array([24 * (DAY + 1)]))
    assert felt[:2, 0] == pytest.approx(np.exp(-24.5 / (24.0 * twin.person.fatigue_days[:2])))
    assert own[:2].sum(axis=1)[:, 0] == pytest.approx([0.0, felt[1, 0]])
    assert felt[2:].sum() == 0.0


def test_a_push_and_its_open_stand_on_their_own_days(shop: Site, tmp_path: Path) -> None:
    twin, midnight = shop.copy(tmp_path / "twin"), 86_400 * (DAY + 1)
    name = shop.log.sent.material[0]
    # One is opened in the day's last second, one in the next day's first, one never.
    opened = np.array([midnight - 1, midnight, -1])
    twin.log = PushLog().and_(sent(0, 1, 2, material=name), np.full(3, midnight - 60), opened)
    days = []
    for day in (DAY, DAY + 1):
        twin.live(day)
        table = twin.lake.read(twin.lake.require("user_pushes", ds=day_name(day)))
        days.append(list(zip(table["ordinal"].to_pylist(), table["kind"].to_pylist(), strict=True)))
    assert sorted(days[0]) == [(0, "opened"), (0, "sent"), (1, "sent"), (2, "sent")]
    assert days[1] == [(1, "opened")]
