"""The Prometheus text format, written for a node exporter's textfile collector.

Source: prometheus.io/docs/instrumenting/exposition_formats. A file is replaced whole, so the collector never
reads half of one. No label holds an address, a user or a message.

`Totals` are counters that outlive the process: deliveries are many short processes on one machine, and a
collector that looks every minute would miss most of what each counted.
"""

from __future__ import annotations

import fcntl
import math
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_SAMPLE = re.compile(r"([a-z_]+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
_EVERY_S = 2.0


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


Labels = tuple[tuple[str, str], ...]


class Totals:
    """Counters that all processes of one machine keep in one file; each adds what it counted.

    What is damaged counts from nothing again, which Prometheus takes for a restart.
    """

    def __init__(self, path: Path | None, counters: Mapping[str, str]) -> None:
        """Take the file (None: keep nothing) and the counters' names with their help texts."""
        self._path, self._texts = path, dict(counters)
        self._added: dict[tuple[str, Labels], float] = {}
        self._written_at = -math.inf

    def add(self, counts: Iterable[tuple[str, Mapping[str, str], float]], *, is_last: bool = False) -> None:
        """Add what this process has counted since the last call; `counts` are its totals so far.

        It writes every two seconds, and the last time. Raises: OSError.
        """
        if self._path is None or (time.monotonic() - self._written_at < _EVERY_S and not is_last):
            return
        now = {(name, tuple(sorted(labels.items()))): float(value) for name, labels, value in counts}
        more = {key: value - self._added.get(key, 0.0) for key, value in now.items()}
        self._written_at = time.monotonic()
        if not any(more.values()):
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self._path.with_name(f".{self._path.name}.lock")):
            standing = _read(self._path)
            for key, value in more.items():
                standing[key] = standing.get(key, 0.0) + value
            write(
                self._path,
                [
                    Family(
                        name,
                        "counter",
                        text,
                        [(dict(labels), n) for (of, labels), n in sorted(standing.items()) if of == name],
                    )
                    for name, text in self._texts.items()
                ],
            )
        self._added = now


def _read(path: Path) -> dict[tuple[str, Labels], float]:
    """Return the samples of a file of ours."""
    samples: dict[tuple[str, Labels], float] = {}
    with suppress(FileNotFoundError, UnicodeDecodeError):
        for line in path.read_text("utf-8").splitlines():
            if match := _SAMPLE.fullmatch(line):
                labels = tuple((name, _plain(text)) for name, text in _LABEL.findall(match[2] or ""))
                with suppress(ValueError):
                    samples[match[1], tuple(sorted(labels))] = float(match[3])
    return samples


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file's lock, which ends with the process."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], text)
