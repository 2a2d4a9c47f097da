"""A rehearsal's bar at its edge, what is kept of it, and what a promotion makes of it."""

import json

import pytest

from angelia.commands.rehearse import command
from angelia.errors import Corrupt, GateClosed, InvalidInput
from models.judging.rehearsed import (
    MARGIN,
    card_path,
    keep,
    kept,
    objections_of,
    shortfalls,
    skipped,
)
from models.promote import promote
from models.registry import FILES, Registry, to_json

DS, AT = "2026-11-14", "2026-11-15T03:00:00+00:00"
FIGURES = {"messages": 1000, "opens": 100.0, "opens_per_message": 0.1, "unsubscribes_per_message": 0.001}


def verdict(version: str, low: float, high: float = 0.01, opens_low: float = 0.0) -> dict:
    gains = {
        "opens_per_message": {"value": 0.0, "low": low, "high": high},
        "opens": {"value": 0.0, "low": opens_low, "high": 10.0},
    }
    return {
        "version": version, "champion": "v0", "how": "as_it_is", "says": "Two nights.",
        "figures": {"version": FIGURES, "champion": FIGURES}, "gains": {"champion": gains},
    }  # fmt: skip


@pytest.fixture
def version(registry: Registry) -> str:
    """Return a version that no other bar refuses."""
    good = {"test": {"logloss": 0.2, "logloss_base_rate": 0.3}}
    files = dict.fromkeys(FILES, b"{}") | {"model.txt": b"", "metrics.json": to_json(good)}
    return registry.add(DS, files | {"card.md": b"# The card\n"})


def test_the_bar_is_a_margin_below_the_other() -> None:
    assert shortfalls(verdict("v", -MARGIN * 0.1 + 1e-9)) == []
    (line,) = shortfalls(verdict("v", -MARGIN * 0.1))
    assert "may be fewer than those of the champion" in line
    assert "the bar is above -0.005" in line
    (line,) = shortfalls(verdict("v", -0.05, high=-0.01))
    assert "are credibly fewer" in line
    (line,) = shortfalls(verdict("v", 0.0, opens_low=-5.0))
    assert line.startswith("in the rehearsal its opens in all may be fewer")


def test_a_failed_rehearsal_closes_the_gate(registry, version) -> None:
    keep(registry, version, verdict(version, -0.02))
    with pytest.raises(GateClosed, match="in the rehearsal its opens a message may be fewer"):
        promote(registry, version, actor="ada", reason="first", at=AT)
    whole = registry.store.read(card_path(version)).decode()
    assert whole.startswith("# The card\n")
    assert "**Refused.** Two nights." in whole
    # A later verdict takes its place, and the version itself stays sealed.
    keep(registry, version, verdict(version, 0.001))
    assert "**Passed.**" in registry.store.read(card_path(version)).decode()
    assert promote(registry, version, actor="ada", reason="first", at=AT, must_be_rehearsed=True).number == 1


def test_the_dag_promotes_nothing_unrehearsed(registry, version) -> None:
    assert objections_of(registry, version, needed=False) == []
    with pytest.raises(GateClosed, match=f"was not rehearsed; run `angelia rehearse --version {version}`"):
        promote(registry, version, actor="ada", reason="first", at=AT, must_be_rehearsed=True)
    keep(registry, version, skipped(version, "the shop is broken", "ada"))
    assert "**Skipped** by ada: the shop is broken" in registry.store.read(card_path(version)).decode()
    assert promote(registry, version, actor="ada", reason="first", at=AT, must_be_rehearsed=True).number == 1


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b"{}", b'{"version": "other"}', b'{"version": "VERSION", "gains": {"usual": {}}}']
)
def test_a_damaged_verdict_names_the_way_out(registry, version, data) -> None:
    keep(registry, version, verdict(version, 0.0))
    path = card_path(version).replace("card.md", "verdict.json")
    registry.store.put(path, data.replace(b"VERSION", version.encode()))
    with pytest.raises(Corrupt, match="damaged") as damaged:
        kept(registry, version)
    assert f"angelia rehearse --version {version}" in damaged.value.one_line()


def test_skipping_takes_a_reason_and_a_name(registry, version, monkeypatch, capsys) -> None:
    monkeypatch.setattr(Registry, "configured", classmethod(lambda cls, settings: registry))
    with pytest.raises(InvalidInput, match="names nobody"):
        command(version, skip="no time", by=" ")
    command(version, skip=" no time ", by="ada", as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["passes"], printed["objections"], printed["verdict"]["reason"]) == (True, [], "no time")
    assert registry.store.exists(printed["card"])
