"""Structured logs and the last run's metrics: a JSON line an event, a textfile a step.

Reads nothing of the data. Appends to HOME/logs/angelia.jsonl (`ANGELIA_LOG`: another file, `-` for stderr,
`off`), and replaces HOME/metrics/angelia_STEP.prom (Prometheus text format). Every Spark job of a night,
every training, and whatever else publishes or was started by Airflow is a step: it leaves one line with the
rows that went in by dataset, the rows that came out, and those left out by reason; the commits it published
are what counts. Gates, guard and training publish none: they name what they read, and report their verdicts
as facts of the line. Surprise: no line holds an address, a name or a user id; a person is named by
`hashed(user_id)`, whose key stays in this home. A log that cannot be written never fails the work.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from angelia import metrics
from angelia.config import load_settings
from angelia.errors import AngeliaError, without_addresses

_RUN = {
    "dag": "AIRFLOW_CTX_DAG_ID",
    "task": "AIRFLOW_CTX_TASK_ID",
    "run": "AIRFLOW_CTX_DAG_RUN_ID",
    "try": "AIRFLOW_CTX_TRY_NUMBER",
}
_DAY = r"\d{4}-\d{2}-\d{2}"
_NAME = r"[a-z][a-z0-9_]{0,63}"
_NUMBER = r"\d{1,5}(\.\d+)?"  # shorter than any telephone number
# The options that a line may repeat, each with the form of its value; none of them names a person.
_REPEATED = {
    **dict.fromkeys(("--ds", "--from", "--to", "--against"), _DAY),
    "--send-hour": _DAY + r"T\d{2}",
    "--now": _DAY + r"T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})",
    "--version": r"\d{8}T\d{6}-[0-9a-f]{8}",
    **dict.fromkeys(("--gate", "--channel", "--conversion", "--clock", "--priority"), _NAME),
    **dict.fromkeys(("--part", "--slots", "--look", "--alarm", "--planned-nights", "--days"), _NUMBER),
}
_FLAGS = ("--once", "--events", "--keep", "--wait-for-lease", "--takeover")


@dataclass
class CommandStep:
    """What one command did; `rows_in` and `rows_out` by dataset, `rejected` by reason."""

    name: str
    rows_in: dict[str, int] = field(default_factory=dict)
    rows_out: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    result: str = "ok"


_STEP: ContextVar[CommandStep | None] = ContextVar("step", default=None)


def event(name: str, **facts: Any) -> None:
    """Append one line; `facts` are counts, codes, dates and hashes, never personal data."""
    run = {key: os.environ[variable] for key, variable in _RUN.items() if os.environ.get(variable)}
    line = {
        "ts": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "event": name,
        **facts,
        **({"airflow": run} if run else {}),
        "pid": os.getpid(),
    }
    _append(json.dumps(line, default=str) + "\n")


def hashed(identifier: str) -> str:
    """Return 12 hex digits that name a person within this home's logs.

    Without the home's key they reveal nothing.
    """
    return hashlib.blake2b(identifier.encode(), key=_key(), digest_size=6).hexdigest()


def published(
    dataset: str, rows: int, rejects: Mapping[str, int], inputs: Iterable[tuple[str, str, int]]
) -> None:
    """Count a commit into the step under way.

    `inputs` are (ref, dataset, rows), each counted once a step.
    """
    step = _STEP.get()
    if step is None:
        return
    step.rows_out[dataset] = step.rows_out.get(dataset, 0) + rows
    took(inputs, rejects)


def took(
    inputs: Iterable[tuple[str, str, int]], rejects: Mapping[str, int] | None = None, **facts: Any
) -> None:
    """Count what the step under way read, and what it left out of it.

    `inputs` are (ref, dataset, rows), each counted once a step.
    """
    step = _STEP.get()
    if step is None:
        return
    step.facts.update(facts)
    for reason, count in (rejects or {}).items():
        step.rejected[reason] = step.rejected.get(reason, 0) + count
    for ref, source, count in inputs:
        if ref not in step.seen:
            step.seen.add(ref)
            step.rows_in[source] = step.rows_in.get(source, 0) + count


def is_step() -> bool:
    """Return whether commits are being counted.

    Code that would read files only to count rows asks first.
    """
    return _STEP.get() is not None


@contextmanager
def step(name: str, argv: Iterable[str] = (), *, always: bool = True) -> Iterator[CommandStep]:
    """Run the block as a step: one line and one textfile when it ends, however it ends.

    A step within a step is part of the outer one.

    Args:
        name: `aggregate_days`, `plan guard`.
        argv: its words, of which the line keeps the day, the branch, and all that repeats the command where
            none of it could name a person.
        always: if not, a block that published no commit and was not started by Airflow leaves nothing: a
            person only looked. A crash leaves its line all the same, for it is a defect whoever asked; it
            replaces no textfile, which no later success on demand would put right.
    """
    outer = _STEP.get()
    if outer is not None:
        yield outer
        return
    words = list(argv)
    here, began = CommandStep(name), time.monotonic()
    token = _STEP.set(here)
    problem, is_defect = None, False
    try:
        yield here
    except AngeliaError as error:
        here.result, problem = "error", error.one_line()
        raise
    except BaseException as error:
        # The text of a foreign error may hold anything; its class says enough for a log.
        code = error.code if isinstance(error, SystemExit) else getattr(error, "exit_code", -1)
        if code:
            here.result, problem = "error" if code == 2 else "crash", type(error).__name__
        # Neither an interrupt nor a closed pipe, nor what a command says by its exit code.
        is_defect = isinstance(error, Exception) and not hasattr(error, "exit_code")
        raise
    finally:
        _STEP.reset(token)
        is_kept = always or bool(here.rows_out) or _RUN["dag"] in os.environ
        if is_kept or is_defect:
            _record(here, words, round(time.monotonic() - began, 2), problem, is_kept)


def _record(
    step: CommandStep, words: list[str], seconds: float, problem: str | None, with_textfile: bool
) -> None:
    """Write the step's line, and, if asked to, its textfile if it worked on main."""
    ds, branch = (
        _option(words, "--ds"),
        _option(words, "--branch") or os.environ.get("ANGELIA_BRANCH") or "main",
    )
    counts = {"rows_in": step.rows_in, "rows_out": step.rows_out, "rejected": step.rejected}
    error = {"error": _without_person(problem, words)} if problem else {}
    repeats = repeatable(step.name, words)
    event(
        "step",
        step=step.name,
        ds=ds,
        branch=branch,
        result=step.result,
        **({} if repeats is None else {"words": repeats}),
        **error,
        seconds=seconds,
        **counts,
        **step.facts,
    )
    if branch == "main" and with_textfile:
        _textfile(step, ds, _gate(words), seconds)


def repeatable(name: str, words: list[str]) -> str | None:
    """Return a step's options as its line may hold them.

    None where one of them could be anything, a person's id among them.
    """
    path = name.split()
    options = words[len(path) :] if words[: len(path)] == path else words
    rest = [part for word in options for part in word.split("=", 1)]
    kept = []
    while rest:
        option = rest.pop(0)
        if option in _FLAGS:
            kept.append(option)
        elif option in _REPEATED and rest and re.fullmatch(_REPEATED[option], rest[0]):
            kept += [option, rest.pop(0)]
        elif option != "--json":  # which changes what is printed, not what is done
            return None
    return " ".join(kept)


def _gate(words: list[str]) -> str | None:
    """Return the gate that a command is about.

    Other words could be anything, and stay out of labels.
    """
    name = _option(words, "--gate")
    return name if name and name.isascii() and name.isalpha() else None


def _option(words: list[str], name: str) -> str | None:
    for at, word in enumerate(words):
        if word == name and at + 1 < len(words):
            return words[at + 1]
        if word.startswith(name + "="):
            return word.partition("=")[2]
    return None


def _without_person(text: str, words: list[str]) -> str:
    user = _option(words, "--user")
    # An error's author has taken care; a value that slipped through is still no address in a log.
    return without_addresses(text.replace(user, hashed(user)) if user else text)


def _textfile(step: CommandStep, ds: str | None, gate: str | None, seconds: float) -> None:
    """Replace the step's metrics: how its last run on main went; each gate's by itself."""
    which = {"step": step.name} | ({"gate": gate} if gate else {})
    with suppress(ValueError):
        # A step without a day (or with a malformed one) has no such metric.
        day = [(which, datetime.fromisoformat(f"{ds}T00:00+00:00").timestamp())] if ds else []
        families = [
            metrics.Family(
                "angelia_step_ok",
                "gauge",
                "1 if the step's last run ended well.",
                [(which, float(step.result == "ok"))],
            ),
            metrics.Family(
                "angelia_step_end_timestamp_seconds",
                "gauge",
                "When the step's last run ended.",
                [(which, time.time())],
            ),
            metrics.Family("angelia_step_seconds", "gauge", "How long it took.", [(which, seconds)]),
            metrics.Family(
                "angelia_step_day_timestamp_seconds", "gauge", "Midnight UTC of the day it worked on.", day
            ),
            metrics.Family(
                "angelia_step_rows_in",
                "gauge",
                "Rows read.",
                [({**which, "dataset": k}, n) for k, n in step.rows_in.items()],
            ),
            metrics.Family(
                "angelia_step_rows_out",
                "gauge",
                "Rows published.",
                [({**which, "dataset": k}, n) for k, n in step.rows_out.items()],
            ),
            metrics.Family(
                "angelia_step_rejected_rows",
                "gauge",
                "Rows left out.",
                [({**which, "reason": k}, n) for k, n in step.rejected.items()],
            ),
            metrics.Family(
                "angelia_step_broken_rows",
                "gauge",
                "Rows that break a check of the gate.",
                [({**which, "check": k}, n) for k, n in step.facts.get("broken_by", {}).items()],
            ),
        ]
        if (folder := load_settings().metrics_folder()) is not None:
            name = "_".join([*step.name.split(), *([gate] if gate else [])])
            with suppress(OSError):
                metrics.write(folder / f"angelia_{name}.prom", families)


def _append(line: str) -> None:
    target = os.environ.get("ANGELIA_LOG", "")
    if target == "off":
        return
    if target == "-":
        sys.stderr.write(line)
        return
    with suppress(OSError, AngeliaError):
        home = load_settings().home
        if not target and not home.is_dir():
            return  # no home yet, and a command that only reads makes none
        path = Path(target) if target else home / "logs" / "angelia.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        # One write of one line to a file opened for appending: lines of several processes do not mix.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


@cache
def _key() -> bytes:
    """Return the key of this home's hashes; a random one where no home is.

    It is `ANGELIA_LOG_KEY`, else HOME/logs/key, made on first use.
    """
    if given := os.environ.get("ANGELIA_LOG_KEY"):
        return hashlib.sha256(given.encode()).digest()
    fresh = secrets.token_bytes(32)
    with suppress(OSError, AngeliaError):
        path = load_settings().home / "logs" / "key"
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            temporary = path.with_name(f".key.{os.getpid()}")
            temporary.touch(mode=0o600)
            temporary.write_bytes(fresh)
            try:
                os.link(temporary, path)
            finally:
                temporary.unlink()
        return path.read_bytes()
    return fresh
