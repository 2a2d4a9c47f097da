"""The registry: versions whole or absent, named by content, and one champion after another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from angelia.errors import Conflict, Corrupt, InvalidInput, NotFound
from models.registry import FILES, Champion, Registry

DS = "2026-11-14"


def files(text: bytes = b"x") -> dict[str, bytes]:
    return {name: name.encode() + text for name in FILES}


def promote(registry: Registry, version: str, expected: int | None = None) -> Champion:
    return registry.promote(version, actor="ada", reason="better", at="2026-11-15T00:00Z", expected=expected)


def damage(registry: Registry, tmp_path: Path, key: str, data: bytes | None) -> None:
    path = tmp_path / "models of mine" / "p_open" / key
    path.chmod(0o644)
    path.unlink() if data is None else path.write_bytes(data)


def test_the_same_files_are_the_same_version(registry: Registry) -> None:
    version = registry.add(DS, files())
    assert version.startswith(f"{DS}-")
    assert registry.add(DS, files()) == version
    assert registry.add(DS, files(b"y")) != version
    assert registry.load(version) == files()
    assert len(registry.versions()) == 2


def test_a_version_that_is_judged_anew_has_its_newest_metrics(registry: Registry) -> None:
    """They compare with the champion of the moment, and are no part of a version's identity."""
    version = registry.add(DS, files())
    path = registry.store.local_path(f"p_open/versions/{version}/metrics.json")
    for text in (b"other", b"third", b"other"):
        anew = {**files(), "metrics.json": text, "card.md": b"# " + text}
        assert registry.add(DS, anew) == version
        assert registry.load(version) == anew
        assert path.read_bytes() == text, "people read it there"
    assert registry.versions() == [version]


def test_who_reads_a_version_while_it_is_judged_anew(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each write the version is whole: with the old metrics or the new."""
    version = registry.add(DS, files())
    anew, seen = {**files(), "metrics.json": b"other", "card.md": b"# other"}, []
    put = registry.store.put

    def watched(key: str, data: bytes) -> None:
        put(key, data)
        seen.append(registry.load(version))

    monkeypatch.setattr(registry.store, "put", watched)
    registry.add(DS, anew)
    assert seen == [files()] * 2 + [anew] * 3


def test_newer_metrics_that_were_changed_are_named(registry: Registry, tmp_path: Path) -> None:
    version = registry.add(DS, files())
    registry.add(DS, {**files(), "metrics.json": b"other"})
    (name,) = [name for name in registry.store.children(f"p_open/versions/{version}") if "metrics-" in name]
    damage(registry, tmp_path, f"versions/{version}/{name}", b"changed")
    with pytest.raises(Corrupt, match=f"{name} was changed after it was stored"):
        registry.load(version)


def test_a_version_has_all_its_files_and_no_other(registry: Registry) -> None:
    for given in ({**files(), "more.txt": b""}, {"model.txt": b""}):
        with pytest.raises(InvalidInput, match="a model version has the files"):
            registry.add(DS, given)
    assert registry.versions() == []


@pytest.mark.parametrize(
    ("name", "data", "match"),
    [
        ("model.txt", b"changed", "was changed after it was stored"),
        ("model.txt", None, "model.txt is missing"),
        ("manifest.json", b"{", "manifest.json is damaged"),
    ],
)
def test_damage_is_named(
    name: str, data: bytes | None, match: str, registry: Registry, tmp_path: Path
) -> None:
    version = registry.add(DS, files())
    damage(registry, tmp_path, f"versions/{version}/{name}", data)
    with pytest.raises(Corrupt, match=match):
        registry.load(version)
    with pytest.raises(Corrupt, match=match):
        promote(registry, version)


def test_a_manifest_that_was_rewritten_does_not_fit_its_name(registry: Registry, tmp_path: Path) -> None:
    version = registry.add(DS, files())
    other = registry.add(DS, files(b"y"))
    manifest = registry.store.read(f"p_open/versions/{other}/manifest.json")
    damage(registry, tmp_path, f"versions/{version}/manifest.json", manifest)
    with pytest.raises(Corrupt, match="is not the one it was stored with"):
        registry.load(version)


def test_a_version_that_is_not_there_names_those_that_are(registry: Registry) -> None:
    version = registry.add(DS, files())
    with pytest.raises(NotFound, match="no model version '2026-01-01-x'") as caught:
        registry.load("2026-01-01-x")
    assert version in caught.value.one_line()


def test_champions_follow_each_other_and_none_comes_twice(registry: Registry) -> None:
    with pytest.raises(NotFound, match="no model has been promoted"):
        registry.require_champion()
    first, second = registry.add(DS, files()), registry.add(DS, files(b"y"))
    champion = promote(registry, first)
    assert (champion.number, promote(registry, first)) == (1, champion)
    assert promote(registry, second, expected=1).number == 2
    assert registry.require_champion() == replace(champion, number=2, version=second)
    assert [champion.version for champion in registry.champions()] == [first, second]


def test_of_two_promotions_at_once_one_is_refused(registry: Registry) -> None:
    first, second = registry.add(DS, files()), registry.add(DS, files(b"y"))
    promote(registry, first, expected=0)
    with pytest.raises(Conflict, match="promoted meanwhile"):
        promote(registry, second, expected=0)
    assert registry.require_champion().version == first


def test_a_damaged_entry_of_the_chain_is_named(registry: Registry, tmp_path: Path) -> None:
    promote(registry, registry.add(DS, files()))
    damage(registry, tmp_path, "champions/00000001.json", json.dumps({"number": 1}).encode())
    with pytest.raises(Corrupt, match=r"champions/00000001\.json is damaged"):
        registry.champion()


def test_a_tampered_model_is_refused(registry: Registry) -> None:
    version = registry.add(DS, files())
    folder = registry.store.local_path(f"p_open/versions/{version}/model.txt").parent
    for name in FILES:
        before = (folder / name).read_bytes()
        (folder / name).chmod(0o644)
        (folder / name).write_bytes(before + b" ")
        with pytest.raises(Corrupt, match=name):
            registry.load(version)
        (folder / name).write_bytes(before)
    registry.load(version)
    # Changing the manifest with the file does not help: the name is a hash of it.
    (folder / "calibration.json").write_bytes(b"{}")
    import hashlib

    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["sha256"]["calibration.json"] = hashlib.sha256(b"{}").hexdigest()
    (folder / "manifest.json").chmod(0o644)
    (folder / "manifest.json").write_bytes(json.dumps(manifest).encode())
    with pytest.raises(Corrupt, match="manifest"):
        registry.load(version)
    (folder / "model.txt").unlink()
    with pytest.raises(Corrupt):
        registry.load(version)


def test_a_version_of_an_older_layout_is_named(registry: Registry) -> None:
    manifest = {"version": "2020-01-01-abc", "ds": "2020-01-01", "sha256": {"model.txt": "0" * 64}}
    registry.store.put("p_open/versions/2020-01-01-abc/manifest.json", json.dumps(manifest).encode())
    with pytest.raises(Corrupt, match=r"2020-01-01-abc: it has no logistic\.json, as versions of today have"):
        registry.load("2020-01-01-abc")
