"""Keep the models: one folder a version, a hash of each file, and a chain of champions.

Layout: `p_open/versions/{version}/` with model.txt, features.json, calibration.json, metrics.json,
    lineage.json, card.md and, last, manifest.json (sha256 of each); `p_open/champions/00000001.json` names a
    version, who promoted it and why. Both appear by conditional create, so a version is whole or absent, and
    of two promotions at once one is refused. A version is named by its day and a hash of model, features,
    calibration and lineage: training the same again finds it there, and replaces its metrics and card, which
    compare it with the champion of the moment: they stand beside the first ones, and the manifest names them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from angelia.config import Settings
from angelia.errors import Conflict, Corrupt, InvalidInput, NotFound
from angelia.lake.opening import open_store
from angelia.lake.store import Store

FILES = (
    "logistic.json",
    "model.txt",
    "features.json",
    "calibration.json",
    "lineage.json",
    "metrics.json",
    "card.md",
)
_NAMED_BY = FILES[
    :5
]  # metrics compare with the champion of the moment, so they are no part of a version's identity
_MEND = "remove the version's folder and train again, or promote another version"
_ROOT = "p_open"


@dataclass(frozen=True)
class Champion:
    """One entry of the chain of champions."""

    number: int
    version: str
    actor: str
    reason: str
    at: str


class Registry:
    """Model versions and who is champion, in a folder or bucket."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    def open(cls, location: Path | str, endpoint: str | None = None) -> Registry:
        """Open the registry at a folder or s3://bucket/prefix."""
        return cls(open_store(str(location), endpoint))

    @classmethod
    def configured(cls, settings: Settings) -> Registry:
        """Open the registry that the settings name."""
        return cls.open(settings.models_url(), settings.s3_endpoint)

    def add(self, ds: str, files: Mapping[str, bytes]) -> str:
        """Store a version and return its name; the same files again change nothing.

        New metrics and a new card of a version that is there replace its own.

        Raises:
            InvalidInput: a file of `FILES` is missing, or another is there.
            Corrupt: the version is there already, and damaged.
        """
        if set(files) != set(FILES):
            raise InvalidInput(
                f"a model version has the files {', '.join(FILES)}, not {', '.join(sorted(files))}"
            )
        hashes = {name: hashlib.sha256(files[name]).hexdigest() for name in FILES}
        version = f"{ds}-{_identity(hashes)}"
        if self.store.exists(f"{_ROOT}/versions/{version}/manifest.json"):
            if self.load(version) != dict(files):
                self._judge_anew(ds, version, files, hashes)
            return version
        manifest = to_json({"version": version, "ds": ds, "sha256": hashes})
        for name in FILES:
            self.store.put(f"{_ROOT}/versions/{version}/{name}", files[name])
        self.store.create(f"{_ROOT}/versions/{version}/manifest.json", manifest)
        return version

    def _judge_anew(
        self, ds: str, version: str, files: Mapping[str, bytes], hashes: Mapping[str, str]
    ) -> None:
        """Replace the files of a version that its name does not cover; the manifest is the switch."""
        folder = f"{_ROOT}/versions/{version}"
        places = {}
        for name in FILES[len(_NAMED_BY) :]:
            stem, _, kind = name.partition(".")
            places[name] = f"{stem}-{hashes[name][:12]}.{kind}"
            self.store.put(f"{folder}/{places[name]}", files[name])
        self.store.sync([f"{folder}/{place}" for place in places.values()])
        manifest = {"version": version, "ds": ds, "sha256": dict(hashes), "places": places}
        self.store.put(f"{folder}/manifest.json", to_json(manifest))
        # For people, who look under the usual names; nothing reads them any more.
        for name in places:
            self.store.put(f"{folder}/{name}", files[name])

    def versions(self) -> list[str]:
        """Return the names of all whole versions, sorted."""
        names = self.store.children(f"{_ROOT}/versions")
        return [name for name in names if self.store.exists(f"{_ROOT}/versions/{name}/manifest.json")]

    def load(self, version: str) -> dict[str, bytes]:
        """Return a version's files, each checked against the manifest.

        Raises:
            NotFound: there is no such version.
            Corrupt: a file is missing or is not the one that was stored.
        """
        folder = f"{_ROOT}/versions/{version}"
        try:
            manifest = json.loads(self.store.read(f"{folder}/manifest.json"))
            hashes = {name: str(manifest["sha256"][name]) for name in FILES if name in manifest["sha256"]}
            places = {name: str(manifest.get("places", {}).get(name, name)) for name in hashes}
        except (NotFound, InvalidInput):
            have = ", ".join(self.versions()) or "none"
            raise NotFound(
                f"no model version {version!r}",
                fix=f"versions: {have}; make one with `python -m models.train --ds D`",
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Corrupt(f"model {version}: manifest.json is damaged", fix=_MEND) from None
        # An older model lacks a file that today's scorer reads; without it, it would score otherwise.
        absent = [name for name in _NAMED_BY if name not in hashes]
        if absent:
            raise Corrupt(f"model {version}: it has no {absent[0]}, as versions of today have", fix=_MEND)
        # The name ends in a hash of the hashes, so a manifest that was changed does not fit its own name.
        if version.rsplit("-", 1)[-1] != _identity(hashes):
            raise Corrupt(f"model {version}: manifest.json is not the one it was stored with", fix=_MEND)
        files = {}
        for name in hashes:
            try:
                files[name] = self.store.read(f"{folder}/{places[name]}")
            except NotFound:
                raise Corrupt(f"model {version}: {places[name]} is missing", fix=_MEND) from None
            if hashlib.sha256(files[name]).hexdigest() != hashes[name]:
                raise Corrupt(f"model {version}: {places[name]} was changed after it was stored", fix=_MEND)
        return files

    def champions(self) -> list[Champion]:
        """Return every promotion, oldest first."""
        promotions = []
        for name in self.store.children(f"{_ROOT}/champions"):
            try:
                promotions.append(Champion(**json.loads(self.store.read(f"{_ROOT}/champions/{name}"))))
            except (ValueError, TypeError):
                raise Corrupt(
                    f"model registry: champions/{name} is damaged", fix="remove it, then promote again"
                ) from None
        return promotions

    def champion(self) -> Champion | None:
        """Return the newest promotion, or None."""
        chain = self.champions()
        return chain[-1] if chain else None

    def require_champion(self) -> Champion:
        """Return the newest promotion.

        Raises:
            NotFound: nothing was ever promoted.
        """
        champion = self.champion()
        if champion is None:
            raise NotFound(
                "no model has been promoted",
                fix=(
                    "run `angelia bootstrap --ds D`, or `python -m models.train` and `python -m "
                    "models.promote`"
                ),
            )
        return champion

    def promote(
        self, version: str, *, actor: str, reason: str, at: str, expected: int | None = None
    ) -> Champion:
        """Make a version champion; promoting the champion again changes nothing.

        Args:
            version: a stored version; its files are checked first.
            actor: who answers for it.
            reason: why.
            at: when, ISO 8601.
            expected: number of the champion that was looked at, 0 = none; None = whoever it is now.

        Raises:
            Conflict: somebody else promoted meanwhile.
        """
        self.load(version)
        current = self.champion()
        number = current.number if current else 0
        if current and current.version == version:
            return current
        entry = Champion((number if expected is None else expected) + 1, version, actor, reason, at)
        if not self.store.create(f"{_ROOT}/champions/{entry.number:08d}.json", to_json(asdict(entry))):
            raise Conflict(
                "another model was promoted meanwhile", fix="look at the new champion, then promote again"
            )
        return entry


def to_json(value: Any) -> bytes:
    """Return canonical JSON with a final newline."""
    return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode()


def _identity(hashes: Mapping[str, str]) -> str:
    return hashlib.sha256(to_json({name: hashes[name] for name in _NAMED_BY})).hexdigest()[:12]
