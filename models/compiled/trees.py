"""Compile a model's trees with lleaves, keep the code in the registry, load it again.

Grain: model version and platform. Reads `model.txt`; writes `PLATFORM.o` and `PLATFORM.json`, which names the
hashes of the trees and of the code. Raw scores differ from the Booster's by less than 1e-9 (ADR 13). Code is
made for every processor of an architecture of the last ten years, not for the one it is compiled on, since
workers may have another.
Surprise: object code runs as whoever loads it, so who may write to the registry may run code on the workers;
the hash finds damage, not malice. Nothing is compiled unless a promotion asks for it.
"""

from __future__ import annotations

import hashlib
import json
import platform
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from angelia.errors import InvalidInput, NotFound
from angelia.output import progress
from models.registry import Registry, to_json

Floats = npt.NDArray[np.float64]
CODE, FACTS = "compiled.o", "compiled.json"  # beside a version's own files, once loaded
# AVX2 or NEON at most: trees compare single numbers, and newer instructions gain nothing.
PROCESSORS = {"x86_64": "x86-64-v3", "amd64": "x86-64-v3", "aarch64": "generic", "arm64": "generic"}
EXTRA = "install the extra: pip install 'angelia[compiled]'"


class CompiledTrees:
    """Trees that were compiled for this platform; `predict` gives raw scores like a Booster's."""

    def __init__(self, model: bytes, code: bytes) -> None:
        """Load object code made of `model` (LightGBM text)."""
        import lleaves

        with tempfile.TemporaryDirectory(prefix="angelia-trees-") as folder:
            text, stored = Path(folder) / "model.txt", Path(folder) / CODE
            text.write_bytes(model)
            stored.write_bytes(code)
            self.model = lleaves.Model(str(text))
            self.model.compile(cache=str(stored), raw_score=True, **_target())

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> CompiledTrees | None:
        """Return a version's compiled trees; None where there are none that fit."""
        if CODE not in files or not files["model.txt"] or misfit(files) is not None:
            return None
        return cls(files["model.txt"], files[CODE])

    def predict(self, matrix: npt.NDArray[np.float32], threads: int = 1) -> Floats:
        """Return raw scores of encoded pairs, (n,)."""
        return np.asarray(self.model.predict(matrix, n_jobs=threads), dtype=np.float64)


def misfit(files: Mapping[str, bytes]) -> str | None:
    """Return why a version's compiled trees cannot be used here, or None."""
    try:
        facts = json.loads(files[FACTS])
        wanted = {"model": _hash(files["model.txt"]), "code": _hash(files[CODE]), "platform": platform_name()}
        wrong = [name for name, value in wanted.items() if facts.get(name) != value]
    except (ValueError, KeyError, AttributeError):
        return "what was kept with them is damaged"
    if wrong:
        return {
            "model": "they are of other trees",
            "code": "they were changed after they were stored",
            "platform": f"they are for {facts.get('platform')}, not {platform_name()}",
        }[wrong[0]]
    if facts.get("compiler") != compiler():
        return f"they were made by {facts.get('compiler')}, here is {compiler() or 'no compiler'}"
    return None


def compiler() -> str | None:
    """Return the compiler that is installed, with its version."""
    try:
        return ", ".join(f"{name} {metadata.version(name)}" for name in ("lleaves", "llvmlite"))
    except metadata.PackageNotFoundError:
        return None


def platform_name() -> str:
    """Return the system and architecture that code is made for."""
    return f"{platform.system()}-{platform.machine()}".lower()


def compile_trees(model: bytes) -> bytes:
    """Return the object code of LightGBM text.

    Raises:
        InvalidInput: the extra is not installed.
    """
    if compiler() is None:
        raise InvalidInput("there is no compiler for trees here", fix=EXTRA)
    import lleaves

    with tempfile.TemporaryDirectory(prefix="angelia-trees-") as folder:
        text, code = Path(folder) / "model.txt", Path(folder) / CODE
        text.write_bytes(model)
        lleaves.Model(str(text)).compile(cache=str(code), raw_score=True, **_target())
        return code.read_bytes()


def keep_compiled(registry: Registry, version: str) -> str:
    """Compile a version's trees and keep them in the registry; return what was done.

    Raises:
        InvalidInput: the extra is not installed.
    """
    model = registry.load(version)["model.txt"]
    if not model:
        return "it has no trees: there is nothing to compile"
    code = compile_trees(model)
    facts = {"model": _hash(model), "code": _hash(code), "platform": platform_name(), "compiler": compiler()}
    folder = _folder(version)
    registry.store.put(f"{folder}/{platform_name()}.o", code)
    # The facts come last: without them the code is not looked at.
    registry.store.put(f"{folder}/{platform_name()}.json", to_json(facts))
    return f"its trees are compiled for {platform_name()}: {len(code):,} bytes"


def compiled_files(registry: Registry, version: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return a version's files, with compiled trees if any fit; say which score."""
    folder = _folder(version)
    if not files["model.txt"]:
        return dict(files)
    try:
        facts = registry.store.read(f"{folder}/{platform_name()}.json")
        compiled = {**files, FACTS: facts, CODE: registry.store.read(f"{folder}/{platform_name()}.o")}
    except NotFound:
        return dict(files)
    why = misfit(compiled)
    if why is not None:
        progress(f"model {version}: compiled trees are not used: {why}; LightGBM scores instead")
        return dict(files)
    progress(f"model {version}: compiled trees score")
    return compiled


def _folder(version: str) -> str:
    return f"p_open/compiled/{version}"


def _target() -> dict[str, Any]:
    cpu = PROCESSORS.get(platform.machine().lower())
    return {} if cpu is None else {"target_cpu": cpu, "target_cpu_features": ""}


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
