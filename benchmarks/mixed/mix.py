"""Six channels at once, one of them in a storm: what the five others feel, and what is lost.

Each round sends the same plan in calm weather and in the storm, by a process a channel as `hourly_dispatch`
does, and by one process for all as `angelia deliver` at a prompt does. The storming channel has a sandbox of
its own, so that what is measured is ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from angelia.errors import AngeliaError
from angelia.lake import Lake
from angelia.output import progress
from benchmarks.harness.serving import sandbox
from benchmarks.mixed import plan

WAYS = {"process_a_channel": True, "one_process": False}
BATCH = 100  # OPPO's messages a request, as delivered
AGAIN = 5  # so often at most a worker goes on with what is left


def storm(channel: str, seconds: float) -> dict[str, Any]:
    """Return the rules of a storm in which about every fourth message goes through at once.

    The others are throttled, meet a broken server, are answered after three seconds (not mails), or lose
    their connection before the message was read or after it; some answers never come.
    """
    if channel == "email":
        fates: list[tuple[float, dict[str, Any]]] = [
            (0.30, {"status": 450, "error": "4.2.0 try later"}),
            (0.25, {"status": 421, "error": "4.3.2 not now"}),
        ]
    else:
        fates = [
            (0.30, {"status": 429, "retry_after": "1"}),
            (0.25, {"status": 503}),
            (0.20, {"delay_s": 3.0}),
        ]
    fates += [(0.25, {"reset": "before"}), (0.10, {"reset": "after"}), (0.05, {"silent": True})]
    rules = [{"match": {"probability": share, "for_s": seconds}, "then": then} for share, then in fates]
    return {"seed": 7, "rules": rules}


def measure(
    folder: Path, storming: str, rate: int, times: int, seconds: float, rounds: int
) -> dict[str, Any]:
    """Return the figures of both ways.

    Args:
        storming: the channel whose provider storms.
        rate: messages a second of each channel.
        times: how many times as many the storming channel has.
        seconds: of sending, as long as the storm.
        rounds: how often calm and storm alternate.
    """
    figures: dict[str, Any] = {}
    for way, is_apart in WAYS.items():
        runs: dict[str, list[dict[str, Any]]] = {"calm": [], "storm": []}
        for number in range(rounds):
            # They alternate in who goes first, so that a machine that becomes busier favours neither.
            for weather in ("calm", "storm") if number % 2 == 0 else ("storm", "calm"):
                home = folder / f"{way}-{number}-{weather}"
                home.mkdir()
                rates = {name: rate * (times if name == storming else 1) for name in plan.CHANNELS}
                messages = {name: int(seconds * n) for name, n in rates.items()}
                rules = storm(storming, seconds) if weather == "storm" else None
                runs[weather].append(_run(home, storming, rates, messages, rules, is_apart=is_apart))
                progress(f"deliver --mix: {way}, round {number + 1}, {weather}")
        figures[way] = compared(runs["calm"], runs["storm"], storming)
    return figures


def _run(
    home: Path,
    storming: str,
    rates: Mapping[str, int],
    messages: Mapping[str, int],
    rules: dict[str, Any] | None,
    *,
    is_apart: bool,
) -> dict[str, Any]:
    """Send one plan to its end; return each channel's times, and what phones and ledger say of it."""
    with ExitStack() as stack:
        others = stack.enter_context(sandbox(home / "others"))
        script = home / "rules.yaml"
        script.write_text(yaml.safe_dump(rules or {}), "utf-8")
        its = stack.enter_context(sandbox(home / "storming", ["--rules", str(script)]))
        sandboxes = {name: its if name == storming else others for name in messages}
        if "oppo" in messages:
            account = Path(sandboxes["oppo"]["oppo_credentials"])
            account.write_text(json.dumps(json.loads(account.read_text("utf-8")) | {"per_request": BATCH}))
        lake = Lake.open(str(home / "lake"))
        send_hour = datetime.now(UTC).strftime("%Y-%m-%dT%H")
        ds = plan.write(lake, send_hour, messages, rates, sandboxes)
        env = plan.environment(home, list(messages), sandboxes)
        words = ["--lake", str(home / "lake"), "--ds", ds, "--send-hour", send_hour]
        todo = [[*words, "--channel", name] for name in messages] if is_apart else [words]
        told = _workers(todo, env)
        # A channel that was in the storm may have more to do than one run's rounds.
        later: list[dict[str, Any]] = []
        while any(run["unfinished"] or run["outcomes"].get("deferred") for run in (later or told)):
            if len(later) == AGAIN:
                break
            later = [*later, *_workers([words], env)]
    received = Counter[str]()
    for name in ("others", "storming"):
        received.update(json.loads((home / name / "received.json").read_text("utf-8")))
    return {
        "milliseconds": {k: v for run in told for k, v in run["milliseconds"].items()},
        "seconds": {k: v for run in told for k, v in run["seconds"].items()},
        "cpu_s": sum(run["cpu_s"] for run in told),
        **accounted(lake, ds, received),
    }


def _workers(todo: Sequence[Sequence[str]], env: Mapping[str, str]) -> list[dict[str, Any]]:
    """Run worker processes side by side; return what each measured."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.measured.deliver_mix", *words],
            env=dict(env), cwd=plan.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for words in todo
    ]  # fmt: skip
    answers = []
    for process in processes:
        out, problem = process.communicate()
        if process.returncode:
            last = problem.strip().splitlines()[-1:]
            raise AngeliaError(f"a worker ended with exit code {process.returncode}: {last}")
        answers.append(dict(json.loads(out)))
    return answers


def accounted(lake: Lake, ds: str, received: Mapping[str, int]) -> dict[str, int]:
    """Return what became of a plan's messages, by the ledger and by the phones.

    Lost is a message that no phone received and the ledger does not call ambiguous, or that is called
    accepted and was not received. Doubled is a message received more than once.
    """
    planned = lake.read(lake.require("dispatch_manifest", ds=ds), ["dispatch_id"])["dispatch_id"].to_pylist()
    outcome: dict[str, str] = {}
    for leaf in lake.partitions("delivery_ledger", ds=ds):
        table = lake.read(lake.require("delivery_ledger", **leaf), ["dispatch_id", "outcome"])
        outcome |= dict(zip(*(table[name].to_pylist() for name in ("dispatch_id", "outcome")), strict=True))
    return {
        "messages": len(planned),
        "accepted": sum(outcome.get(name) == "accepted" for name in planned),
        "ambiguous": sum(outcome.get(name) == "ambiguous" for name in planned),
        "lost": sum(not received.get(name) and outcome.get(name) != "ambiguous" for name in planned),
        "doubled": sum(received.get(name, 0) > 1 for name in planned),
    }


def compared(
    calm: Sequence[Mapping[str, Any]], stormy: Sequence[Mapping[str, Any]], storming: str
) -> dict[str, Any]:
    """Return the 99th percentile of each healthy channel, in calm and in the storm, and their ratio."""
    figures: dict[str, Any] = {}
    ratios, everything = [], {"calm": [], "storm": []}  # type: ignore[var-annotated]
    for channel in plan.CHANNELS:
        if channel == storming:
            continue
        of = {
            weather: np.concatenate([run["milliseconds"][channel] for run in runs])
            for weather, runs in (("calm", calm), ("storm", stormy))
        }
        before, after = (float(np.percentile(of[weather], 99)) for weather in ("calm", "storm"))
        took = [float(np.median([run["seconds"][channel] for run in runs])) for runs in (calm, stormy)]
        ratios.append(after / before)
        figures[channel] = {
            "p99_ms": [round(before, 1), round(after, 1)],
            "p99_ratio": round(after / before, 2),
            "seconds": took,
        }
        for weather, values in of.items():
            everything[weather].append(values)
    pooled = [float(np.percentile(np.concatenate(everything[weather]), 99)) for weather in everything]
    return {
        "p99_ratio": round(pooled[1] / pooled[0], 2),
        "worst_p99_ratio": round(max(ratios), 2),
        "channels": figures,
        "worker_cpu_s": [round(sum(run["cpu_s"] for run in runs), 1) for runs in (calm, stormy)],
        "storm": {
            name: sum(run[name] for run in stormy)
            for name in ("messages", "accepted", "ambiguous", "lost", "doubled")
        },
        "calm_lost": sum(run["lost"] + run["doubled"] + run["ambiguous"] for run in calm),
    }
