"""Which steps failed last and have not worked since, and the command that helps with each.

Reads the end of HOME/logs/angelia.jsonl, where every step leaves a line. Grain: step x day of main, and what
of the day it was about: each gate, and each hour, channel and part of a delivery stands by itself. A failure
is over once a run worked that was about as much or more. Surprise: a line that is cut or foreign is left out
and counted; the log is for people, and may be rotated at any time.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from angelia.config import Settings
from spark_jobs import JOBS

READ_BYTES = 4 * 1024 * 1024
LOOK_BACK = timedelta(days=3)
BAD = ("error", "crash")
# Steps that can be about a part of a day, and the options that say which.
PARTIAL = ("deliver", "quality check")
_ABOUT = re.compile(r"(--gate|--send-hour|--channel|--part) (\S+)")
Scope = frozenset[tuple[str, str]]  # options with their values; empty = the whole day
# What asks for a person's name, or for a predicate, which no log line holds.
ASKING_MORE = {"promote": "python -m models.promote", "score_lookalikes": "angelia audience lookalike"}


@dataclass(frozen=True)
class Failure:
    """A step whose newest run failed: what it said, how to repeat it, the task to clear."""

    step: str
    ds: str | None
    at_ts: str
    says: str
    command: str
    dag: str | None = None
    task: str | None = None
    run: str | None = None


def log_path(settings: Settings) -> Path | None:
    """Return the log's file; None where lines go elsewhere."""
    given = os.environ.get("ANGELIA_LOG", "")
    if given in ("-", "off"):
        return None
    return Path(given) if given else settings.home / "logs" / "angelia.jsonl"


def failures(path: Path | None, now: datetime) -> tuple[list[Failure], int]:
    """Return what failed lately and has not worked since, and how many lines are unreadable."""
    standing: dict[tuple[str, str | None], dict[Scope, dict[str, Any]]] = {}
    lines, unread = _lines(path)
    for line in lines:
        if line.get("event") == "step" and line.get("branch", "main") == "main":
            of_step = standing.setdefault((str(line.get("step")), line.get("ds")), {})
            for scope in _scopes(line):
                if line.get("result") in BAD:
                    of_step[scope] = line
                else:
                    for over in [known for known in of_step if known >= scope]:
                        del of_step[over]
    # A run of several hours stands once, until each of them has worked.
    newest = {id(line): line for of_step in standing.values() for line in of_step.values()}
    bad = [_failure(line) for line in newest.values() if now - _when(line) < LOOK_BACK]
    return sorted(bad, key=lambda failure: failure.at_ts, reverse=True), unread


def _lines(path: Path | None) -> tuple[list[dict[str, Any]], int]:
    if path is None or not path.is_file():
        return [], 0
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        begin = max(0, end - READ_BYTES)
        file.seek(begin)
        raw = file.read(READ_BYTES).split(b"\n")
    # The first line of a later part of the file is cut, which is no fault of it.
    errors, unread = [], 0
    for text in raw[1:] if begin else raw:
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            _when(line)
            errors.append(line)
        except (ValueError, TypeError, KeyError, AttributeError):
            unread += 1
    return errors, unread


def _when(line: dict[str, Any]) -> datetime:
    moment = datetime.fromisoformat(line["ts"])
    if moment.tzinfo is None:
        raise ValueError("an instant without a zone")
    return moment


def _failure(line: dict[str, Any]) -> Failure:
    step, ds, run = str(line["step"]), line.get("ds"), line.get("airflow") or {}
    return Failure(
        step,
        ds,
        line["ts"],
        str(line.get("error") or "it ended before it was done; what it printed says why"),
        _command(step, ds, line.get("words")),
        run.get("dag"),
        run.get("task"),
        run.get("run"),
    )


def _scopes(line: dict[str, Any]) -> list[Scope]:
    """Return what of its day a run was about, one for each hour that it names."""
    words = line.get("words")
    if not isinstance(words, str):  # they could hold anything: such a run stands for others like it only
        return [frozenset({("words", "unknown")}) if line.get("step") in PARTIAL else frozenset()]
    options = _ABOUT.findall(words)
    hours = [pair for pair in options if pair[0] == "--send-hour"]
    whole = frozenset(options) - set(hours)
    return [whole | {pair} for pair in hours] or [whole]


def _command(step: str, ds: str | None, words: Any) -> str:
    """Return what repeats a step by hand: its own words, or its help where no line holds them."""
    day = f" --ds {ds}" if ds else ""
    if step in ASKING_MORE:
        return f"{ASKING_MORE[step]} --help"
    # A job and a training need no more than the day; what else Airflow gave them is in its own log.
    if step in JOBS:
        return f"spark-submit spark_jobs/{step}.py{day}"
    if step == "train":
        return f"python -m models.train{day}"
    return f"angelia {step} {words if isinstance(words, str) else '--help'}".rstrip()
