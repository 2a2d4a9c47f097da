"""Six channels at once, one of them in storms: what the five others feel, and what is lost.

Storms and calm take turns within one run, so that whatever else the machine does meets both alike. A plan is
sent by a process a channel, as `hourly_dispatch` does, and another by one process for all, as `angelia
deliver` at a prompt does. The storming channel has a sandbox of its own: what is measured is ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from angelia.errors import AngeliaError
from angelia.lake import Lake
from angelia.output import progress
from benchmarks.harness.serving import sandbox
from benchmarks.mixed import plan

WAYS = {"process_a_channel": True, "one_process": False}
BATCH = 100  # OPPO's messages a request, as delivered
AGAIN = 5  # so often at most a worker goes on with what is left
SETTLING_S = 2.0  # after each change of weather, what left before it is still under way
Sent = Mapping[str, Sequence[Sequence[float]]]  # channel -> (instant, milliseconds) of its messages


@dataclass(frozen=True)
class Weather:
    """When it storms: after a first calm spell, which is left out, storms and calm take turns."""

    seconds: float  # of a spell
    rounds: int  # storms, and as many calm spells after them

    @property
    def sending_s(self) -> float:
        """How long there is something to send."""
        return self.seconds * (2 * self.rounds + 1)

    def storms(self) -> list[float]:
        """Return when each storm begins, seconds after the storming channel's first message."""
        return [self.seconds * (2 * number + 1) for number in range(self.rounds)]

    def at(self, since: float) -> str | None:
        """Return the weather at an instant, None where it does not count."""
        spell, into = divmod(since, self.seconds)
        if since < self.seconds or spell > 2 * self.rounds or into < min(SETTLING_S, self.seconds / 2):
            return None
        return "storm" if spell % 2 else "calm"


def write_storm(path: Path, channel: str, weather: Weather) -> None:
    """Write the sandbox's rules for a channel in storms.

    In one about every fourth message goes through at once. The others are throttled, meet a broken server,
    are answered after three seconds (not mails), or lose their connection before the message was read or
    after it; some answers never come.
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
    rules = [
        {"match": {"probability": share, "after_s": begins, "for_s": weather.seconds}, "then": then}
        for begins in weather.storms()
        for share, then in fates
    ]
    # JSON is YAML, and has no aliases, which the sandbox refuses.
    path.write_text(json.dumps({"seed": 7, "rules": rules}), "utf-8")


def measure(folder: Path, storming: str, rate: int, times: int, weather: Weather) -> dict[str, Any]:
    """Return the figures of both ways.

    Args:
        storming: the channel whose provider storms.
        rate: messages a second of each channel.
        times: how many times as many the storming channel has.
    """
    figures: dict[str, Any] = {}
    for way, is_apart in WAYS.items():
        (home := folder / way).mkdir()
        rates = {name: rate * (times if name == storming else 1) for name in plan.CHANNELS}
        figures[way] = _run(home, storming, rates, weather, is_apart=is_apart)
        progress(f"deliver --mix: {way} measured")
    return figures


def _run(
    home: Path, storming: str, rates: Mapping[str, int], weather: Weather, *, is_apart: bool
) -> dict[str, Any]:
    """Send one plan to its end; return what the healthy channels felt, and what was lost."""
    messages = {name: int(weather.sending_s * n) for name, n in rates.items()}
    with ExitStack() as stack:
        others = stack.enter_context(sandbox(home / "others"))
        write_storm(script := home / "rules.yaml", storming, weather)
        its = stack.enter_context(sandbox(home / "storming", ["--rules", str(script)]))
        sandboxes = {name: its if name == storming else others for name in messages}
        account = Path(sandboxes["oppo"]["oppo_credentials"])
        account.write_text(json.dumps(json.loads(account.read_text("utf-8")) | {"per_request": BATCH}))
        lake = Lake.open(str(home / "lake"))
        send_hour = datetime.now(UTC).strftime("%Y-%m-%dT%H")
        ds = plan.write(lake, send_hour, messages, rates, sandboxes)
        env = plan.environment(home, list(messages), sandboxes)
        words = ["--lake", str(home / "lake"), "--ds", ds, "--send-hour", send_hour, "--go", str(home / "go")]
        todo = [[*words, "--channel", name] for name in messages] if is_apart else [words]
        workers = _workers(todo, env, home / "go")
        # What a storm left is sent by the next cycle, as in production.
        later, n_later = workers, 0
        while n_later < AGAIN and any(run["unfinished"] or run["outcomes"].get("deferred") for run in later):
            later, n_later = _workers([words], env, home / "go"), n_later + 1
    received = Counter[str]()
    for name in ("others", "storming"):
        received.update(json.loads((home / name / "received.json").read_text("utf-8")))
    sent = {channel: each for run in workers for channel, each in run["messages"].items()}
    return {
        **compared(sent, storming, weather),
        "worker_cpu_s": round(sum(run["cpu_s"] for run in workers), 1),
        "later_cycles": n_later,
        **accounted(lake, ds, received),
    }


def _workers(todo: Sequence[Sequence[str]], env: Mapping[str, str], go: Path) -> list[dict[str, Any]]:
    """Run worker processes that begin at once; return what each measured."""
    go.unlink(missing_ok=True)
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.measured.deliver_mix", *words],
            env=dict(env), cwd=plan.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for words in todo
    ]  # fmt: skip
    # A process that imports its modules takes a core from those that send already.
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    go.touch()
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

    Lost is a message that no phone received and the ledger does not call ambiguous. Doubled is a message
    received more than once.
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


def compared(sent: Sent, storming: str, weather: Weather) -> dict[str, Any]:
    """Return percentiles of the healthy channels' messages in calm and storm, and their ratios.

    Raises:
        AngeliaError: a channel sent nothing in one of them, so that nothing can be compared.
    """
    began = min(at for at, _ in sent[storming])
    of: dict[str, dict[str, list[float]]] = {}
    for channel, messages in sent.items():
        if channel == storming:
            continue
        of[channel] = {"calm": [], "storm": []}
        for at, milliseconds in messages:
            when = weather.at(at - began)
            if when is not None:
                of[channel][when].append(milliseconds)
        if not all(of[channel].values()):
            raise AngeliaError(f"channel {channel} sent nothing in calm or in storm", fix="raise --seconds")
    pooled = {when: [value for each in of.values() for value in each[when]] for when in ("calm", "storm")}
    channels = {channel: _percentiles(each) for channel, each in of.items()}
    return {
        **_percentiles(pooled),
        "worst_p99_ratio": max(each["p99_ratio"] for each in channels.values()),
        "channels": channels,
    }


def _percentiles(of: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for share in (50, 99):
        calm, stormy = (float(np.percentile(of[when], share)) for when in ("calm", "storm"))
        figures[f"p{share}_ms"] = [round(calm, 1), round(stormy, 1)]
        figures[f"p{share}_ratio"] = round(stormy / calm, 2)
    return figures
