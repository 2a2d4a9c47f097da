"""What a command prints: one JSON object with `--json`, else lines for people.

Progress goes to stderr.
"""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

import typer

from angelia.days import parse_day
from angelia.errors import INTERRUPTED, AngeliaError, InvalidInput

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
DsOption = Annotated[
    str,
    typer.Option(
        "--ds", metavar="YYYY-MM-DD", help="The closed UTC day D.", callback=lambda value: parse_ds(value)
    ),
]


def parse_ds(value: str) -> str:
    """Return `value` if it is an ISO date within range.

    Raises:
        InvalidInput: it is not.
    """
    return parse_day("--ds", value).isoformat()


def days_between(first: str, last: str) -> list[str]:
    """Return the dates from `first` to `last`, both included.

    Raises:
        InvalidInput: a text is not a date, `last` lies before `first`, or there are more than 366.
    """
    begin, end = parse_day("--from", first), parse_day("--to", last)
    if not 0 <= (end - begin).days < 366:
        raise InvalidInput(
            f"{first} to {last} is not a span of 1 to 366 days", fix="name the earlier day first"
        )
    return [(begin + timedelta(days=day)).isoformat() for day in range((end - begin).days + 1)]


def speak_utf8() -> None:
    """Write UTF-8 on both standard streams, whatever the locale.

    What `show` prints is applied again. Bytes of the command line that are no text are shown as escapes, so
    that no error message fails itself.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def emit(result: Mapping[str, Any], lines: Iterable[str], as_json: bool) -> None:
    """Print `result` as one JSON object, or `lines` for people."""
    print_lines([json.dumps(result, default=_plain)] if as_json else lines)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines on standard output.

    A reader that has seen enough, such as `head -1`, is no error: the exit code still says how the work went.

    Raises:
        InvalidInput: they cannot be written there, as on a full disk.
    """
    text = "".join(line + "\n" for line in lines)
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise InvalidInput(
                f"the answer cannot be written to standard output: {error.strerror}",
                fix="free space, or write it elsewhere; what the command did stands",
            ) from None


def exit_code(run: Callable[[], int]) -> int:
    """Run a command and return its exit code; operators' errors and Ctrl-C are one line."""
    try:
        return run()
    except AngeliaError as error:
        sys.stderr.write(f"error: {error.one_line()}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(INTERRUPTED)
        return 130


def percent(pct: float) -> str:
    """Return per cent for people: one decimal, and two digits that count below 1 %.

    Only none and all of them are `0 %` and `100 %`: few are not nobody.
    """
    if pct in (0, 100):
        return f"{pct:.0f} %"
    digits = 1 if abs(pct) >= 0.995 else 1 - math.floor(math.log10(abs(pct)))
    return f"{pct:.{digits}f} %"


def written_out(value: float, digits: int = 6, *, signed: bool = False) -> str:
    """Return a number in so many digits that count, never as a power of ten.

    `0.00001` and `123,000`, where a format `g` says `1e-05` and `1.23e+05`.
    """
    sign = "+" if signed else ""
    short = f"{value:{sign}.{digits}g}"
    return f"{Decimal(short):{sign},f}" if math.isfinite(value) else short


def progress(message: str) -> None:
    """Print one progress line on stderr."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def _plain(value: object) -> object:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if hasattr(value, "item"):
        return value.item()
    return str(value)


def run_module(argv: Sequence[str]) -> str:
    """Run a Python module as a command, let its progress pass, and return what it printed.

    Raises:
        AngeliaError: it failed; its own error stands above.
    """
    progress("+ python -m " + " ".join(argv))
    done = subprocess.run(
        [sys.executable, "-m", *argv],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        raise AngeliaError(
            f"`python -m {argv[0]} …` ended with exit code {done.returncode}",
            fix="its own error stands above",
        )
    return done.stdout
