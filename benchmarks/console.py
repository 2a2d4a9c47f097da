"""The console's pages: milliseconds on the server, for one operator and for several.

In a process of its own, uvicorn serves a home with a planned and sent night (`make run`; `--home`). The
console is mounted as in Airflow's API server, but without Airflow's check of who asks. One operator requests
each page once cold, then `--rounds` times; then `--operators` operators walk through all pages at the same
time. Forms are requested in the same way, with other content each time: `count` counts a condition while it
is typed, `person` is a person's page, `why` is that page with the night in full. The server's processor
seconds are reported, too, because a busy machine stretches all other times.

Example: `python -m benchmarks console --home var --rounds 5`.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlencode

from angelia.contracts.core import CHAIN
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Lake
from angelia.output import progress
from benchmarks.harness.result import Result
from benchmarks.harness.watch import ticks

PAGES = (
    *("today", "campaigns", "catalog", "approvals", "audit", "plan", "plan/what-if", "replay", "effects"),
    *("campaigns/price_drop", "catalog/campaign/price_drop", "effects/report/{ds}", "replay/resend"),
)
# Conditions as somebody types them: a number after the sign makes each another question.
COUNTED = "gender = 'f' AND days_since('open') <= {n} AND NOT opted_out('promo') OR value_28d > {n}"
START_S = 120
Fill = Callable[[int], dict[str, str]]
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def main(argv: Sequence[str]) -> Result:
    """Run the benchmark; return its result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks console", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("ANGELIA_HOME", "var")))
    parser.add_argument("--rounds", type=int, default=20, help="how often each page is requested")
    parser.add_argument(
        "--operators", type=int, default=8, help="how many operators walk through the pages at once"
    )
    parser.add_argument("--pages", nargs="*", default=PAGES, help="only these paths below the console")
    args = parser.parse_args(argv)
    # The first request is cold, so a median needs a second one.
    if args.rounds < 2 or args.operators < 1:
        raise InvalidInput("--rounds is at least 2, --operators at least 1")
    lake = Lake.open(str(args.home / "lake"))
    nights = [leaf["ds"] for leaf in lake.partitions("decisions")]
    if not nights:
        raise NotFound(f"{args.home} has no planned night", fix="make run, or name another --home")
    people = lake.require("user_features", ds=nights[-1]).rows
    pages = [page.format(ds=nights[-1]) for page in args.pages]
    with served(args.home) as (url, server):
        ours = {page: timed(url, page, server, args.rounds) for page in pages}
        for name, (path, fill) in forms(lake, nights[-1]).items():
            ours[name] = timed(url, path, server, args.rounds, fill)
        progress(f"console: {len(pages)} pages measured, {args.operators} operators next")
        together = at_once(url, pages, args.operators)
    return {
        "params": {"people": people, "rounds": args.rounds, "operators": args.operators},
        "ours": {"pages": ours, "at_once": together},
        "peers": {},
        "runs": args.rounds,
    }


def forms(lake: Lake, ds: str) -> dict[str, tuple[str, Fill]]:
    """Return the forms that are asked: their paths, and what the n-th question sends."""
    ids = lake.read(lake.require("user_index", chain=CHAIN), ["user_id"])["user_id"]
    people = [str(ids[n]) for n in range(0, len(ids), max(1, len(ids) // 1_000))]
    return {
        "count": ("audiences/count", lambda n: {"text": COUNTED.format(n=n % 28)}),
        "person": ("people", lambda n: {"user": people[n % len(people)]}),
        "why": ("people", lambda n: {"user": people[(n + 500) % len(people)], "ds": ds}),
    }


def timed(url: str, page: str, server: int, rounds: int, fill: Fill | None = None) -> dict[str, float]:
    """Return a page's milliseconds: first, median, and processor time of the server."""
    first = ask(url, page, fill(0) if fill else None)
    before = ticks(server)
    times = [ask(url, page, fill(n + 1) if fill else None) for n in range(rounds)]
    spent = ticks(server) - before
    return {
        "cold_ms": round(first, 1),
        "warm_ms": round(median(times), 1),
        "cpu_ms": round(1000 * spent / TICKS_A_SECOND / rounds, 1),
    }


def at_once(url: str, pages: Sequence[str], operators: int) -> dict[str, float]:
    """Return a page's milliseconds while every operator walks all pages, each from another on."""
    walks = [[*pages[n % len(pages) :], *pages[: n % len(pages)]] for n in range(operators)]
    with ThreadPoolExecutor(operators) as pool:
        times = [
            taken
            for walk in pool.map(lambda walk: [ask(url, page) for page in walk], walks)
            for taken in walk
        ]
    return {"median_ms": round(median(times), 1), "p95_ms": round(quantiles(times, n=20)[-1], 1)}


def ask(url: str, page: str, form: dict[str, str] | None = None) -> float:
    """Return the milliseconds until a page has come, asked with a form or without."""
    data = urlencode(form).encode() if form is not None else None
    # The console takes forms from its own pages only.
    request = urllib.request.Request(f"{url}/{page}", data, {"Sec-Fetch-Site": "same-origin"})
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()
    return 1000 * (time.perf_counter() - began)


@contextmanager
def served(home: Path) -> Iterator[tuple[str, int]]:
    """Serve the console of a home; yield its address and process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "ANGELIA_HOME": str(home.resolve())}
    words = [sys.executable, "-m", "benchmarks.measured.console_server", str(port)]
    with subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as started:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(f"{url}/static/console.js", started)
            yield url, started.pid
        finally:
            started.terminate()


def _wait(url: str, started: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and started.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(url, timeout=10).close()
            return
        time.sleep(0.2)
    raise NotFound("the console did not answer", fix="its own words stand above")
