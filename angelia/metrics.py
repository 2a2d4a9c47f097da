"""The Prometheus text format, written for a node exporter's textfile collector.

Source: prometheus.io/docs/instrumenting/exposition_formats. A file is replaced whole, so the collector never
reads half of one. No label holds an address, a user or a message.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Family(NamedTuple):
    """One metric: name, kind (`counter` or `gauge`), help text, samples as (labels, value)."""

    name: str
    kind: str
    text: str
    samples: Sequence[tuple[Mapping[str, str], float]]


def render(families: Iterable[Family]) -> str:
    """Return the families that have samples, as text."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines += [f"# HELP {family.name} {family.text}", f"# TYPE {family.name} {family.kind}"]
        for labels, value in family.samples:
            named = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            number = int(value) if math.isfinite(value) and value == int(value) else value
            lines.append(f"{family.name}{{{named}}} {number!r}" if named else f"{family.name} {number!r}")
    return "\n".join(lines) + "\n"


def write(path: Path, families: Iterable[Family]) -> None:
    """Replace the file, making its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(render(families), "utf-8")
    temporary.replace(path)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
