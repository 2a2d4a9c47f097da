"""How much one worker sends: messages per CPU-second, time added to each, memory.

firebase-admin and aioapns do the same for comparison. Everything is as in production: TLS HTTP/2, tokens,
rendering, ledger, compaction, wall clock. The other side is `angelia sandbox` in a process of its own.
`messages_per_s` is what both processes reach together on this machine; `…_per_cpu_s` counts the worker's own
CPU alone. Peers live in `.venv-peers` (`make bench-peers`); only their base address is changed.

With --mix none of that runs. Six channels send at once instead, and the provider of one (--storm) throttles,
fails, delays, breaks connections and never answers, in spells that take turns with calm ones. The figure is
the 99th percentile of the other channels' messages, from a message's last check until its outcome stands, in
the storms over the calm spells of the same run: by a process a channel (the hourly DAG) and by one process
for all. Lost and doubled are counted by ledger and phones once all is sent.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from angelia.delivery.manifest import sample_plan
from angelia.errors import AngeliaError, InvalidInput
from angelia.lake import Lake
from benchmarks.harness.result import Result
from benchmarks.harness.serving import sandbox
from benchmarks.mixed import mix
from benchmarks.mixed.plan import CHANNELS as MIXED

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv-peers" / "bin" / "python"
PEER_OF = {"fcm": "firebase_admin", "apns": "aioapns"}
BATCHED = ("huawei", "oppo", "xiaomi")  # several messages a request; their libraries are Java
CHANNELS = (*PEER_OF, *BATCHED)
ONE_TEXT = '{"campaign_id": "price_drop", "item": "camera", "first_name": "you"}'
LATENCY_RATE = 2_000  # messages a second offered
UNLIMITED = 60_000_000  # per minute: pacing is on, but not what bounds the run


def environment(names: dict[str, Any], channel: str) -> dict[str, str]:
    """Return the environment of a worker that sends to the sandbox."""
    name = channel.upper()
    credentials = names["credentials"] if channel == "fcm" else names[f"{channel}_credentials"]
    return {
        **os.environ, "PYTHONPATH": str(ROOT), "ANGELIA_CA_FILE": names["ca_file"],
        f"ANGELIA_{name}_URL": names["url"],
        f"ANGELIA_{name}_CREDENTIALS": credentials,
    }  # fmt: skip


def write_per_request(account: Path, most: int) -> None:
    """Let a channel's account send up to `most` messages a request."""
    account.write_text(json.dumps({**json.loads(account.read_text("utf-8")), "per_request": most}), "utf-8")


def this_hour(now: datetime) -> tuple[str, int]:
    """Return a plan day and hour whose rows may be sent now and for the next two hours."""
    return (now - timedelta(days=1)).date().isoformat(), now.hour


def make_plan(lake: str, messages: int, channel: str, per_minute: int) -> list[str]:
    """Write the plan in a process of its own and return the worker's arguments."""
    ds, hour = this_hour(datetime.now(UTC))
    code = (
        "import sys; from benchmarks.deliver import write_plan as w; w(sys.argv[1], sys.argv[2], "
        "*map(int, sys.argv[3:6]), sys.argv[6])"
    )
    command = [sys.executable, "-c", code, lake, ds, str(messages), str(hour), str(per_minute), channel]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    day = datetime.fromisoformat(ds) + timedelta(days=1)
    return ["--lake", lake, "--ds", ds, "--send-hour", f"{day.date().isoformat()}T{hour:02d}"]


def write_plan(lake: str, ds: str, messages: int, hour: int, per_minute: int, channel: str) -> None:
    """Write a plan of `messages` rows."""
    changes: dict[str, Any] = {}
    if channel != "fcm":
        changes = {"channel": channel, "address": lambda number: f"{number:064x}"}
    if channel in ("huawei", "xiaomi"):
        # Their lists are tokens of one text.
        changes |= {"fields": ONE_TEXT, "locale": "en"}
    sample_plan.make(
        Lake.open(lake), ds, messages, hours=(hour,), quota_per_minute=per_minute, changes=changes
    )


def run_worker(arguments: Sequence[str], env: dict[str, str]) -> dict[str, Any]:
    """Run one worker process and return what it measured."""
    command = [sys.executable, "-m", "benchmarks.measured.deliver_worker", *arguments]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AngeliaError(
            f"the worker ended with exit code {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"
        )
    return dict(json.loads(done.stdout))


def run_peer(channel: str, messages: int, names: dict[str, Any]) -> dict[str, Any]:
    """Run the channel's peer library over the same wire.

    A missing environment is reported, not failed.
    """
    peer = PEER_OF[channel]
    if not PEERS.exists():
        sys.stderr.write(f"{peer} skipped: no .venv-peers here; `make bench-peers` makes it\n")
        return {}
    env = environment(names, channel) | {
        "SSL_CERT_FILE": names["ca_file"],
        "REQUESTS_CA_BUNDLE": names["ca_file"],
    }
    arguments = [names["url"], env[f"ANGELIA_{channel.upper()}_CREDENTIALS"], str(messages)]
    command = [str(PEERS), str(Path(__file__).parent / "peers" / f"peer_{peer}.py"), *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(f"{peer} failed: {done.stderr.strip().splitlines()[-1:]}\n")
        return {}
    measured = json.loads(done.stdout.splitlines()[-1])
    return {
        f"{channel}_messages_per_cpu_s": round(measured["sent"] / measured["cpu_s"]),
        "version": measured["version"],
    }


def main(argv: Sequence[str]) -> Result:
    """Measure; return the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks deliver", description=__doc__, allow_abbrev=False
    )
    parser.add_argument(
        "--messages", type=int, default=200_000, help="messages of the throughput run of FCM (default 200000)"
    )
    parser.add_argument(
        "--latency-messages",
        type=int,
        default=20_000,
        help=f"messages of the run at {LATENCY_RATE}/s (0 = leave it out)",
    )
    parser.add_argument(
        "--peer-messages", type=int, default=5_000, help="messages of each peer's run (0 = leave peers out)"
    )
    parser.add_argument(
        "--channels", nargs="+", default=["fcm", "apns"], choices=sorted(CHANNELS), help="channels to measure"
    )
    parser.add_argument(
        "--per-request",
        type=int,
        default=100,
        help=f"messages in a request of {', '.join(BATCHED)} (default 100)",
    )
    parser.add_argument("--profile", type=Path, help="write the worker's cProfile here (slows it down)")
    storms = parser.add_argument_group("with --mix")
    storms.add_argument(
        "--mix", action="store_true", help="instead, send by six channels at once, one of them in a storm"
    )
    storms.add_argument(
        "--storm", default="fcm", choices=sorted(MIXED), help="the channel in the storm (default fcm)"
    )
    storms.add_argument("--rate", type=int, default=40, help="messages a second of each channel (default 40)")
    storms.add_argument(
        "--storm-times",
        type=int,
        default=1,
        help="how many times as many messages the channel in the storm sends (default 1)",
    )
    storms.add_argument(
        "--seconds", type=float, default=8.0, help="seconds of a storm or a calm spell (default 8)"
    )
    storms.add_argument("--rounds", type=int, default=4, help="storms, each followed by calm (default 4)")
    args = parser.parse_args(argv)
    if args.mix:
        return _mixed(args)
    ours: dict[str, Any] = {}
    peers: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="angelia-bench-") as name:
        folder = Path(name)
        for channel in args.channels:
            ours |= measure(folder, channel, args, peers)
    params = {
        "messages": args.messages,
        "latency_messages": args.latency_messages,
        "peer_messages": args.peer_messages,
        "per_request": args.per_request,
    }
    versions = {f"{name}_version": figures.pop("version") for name, figures in peers.items()}
    return {
        "params": {**params, "channels": args.channels},
        "ours": ours,
        "peers": peers,
        "runs": 1,
        "notes": versions,
    }


def _mixed(args: argparse.Namespace) -> Result:
    """Measure what a storm over one channel is to the others; return the figures."""
    if min(args.rate, args.storm_times, args.rounds) < 1 or args.seconds < 1:
        raise InvalidInput("--rate, --storm-times, --rounds and --seconds are at least 1")
    names = ("storm", "rate", "storm_times", "seconds", "rounds")
    with tempfile.TemporaryDirectory(prefix="angelia-bench-") as folder:
        weather = mix.Weather(args.seconds, args.rounds)
        ours = mix.measure(Path(folder), args.storm, args.rate, args.storm_times, weather)
    return {
        "params": {name: getattr(args, name) for name in names} | {"channels": list(MIXED)},
        "ours": ours,
        "peers": {},
        "runs": 1,
    }


def measure(
    folder: Path, channel: str, args: argparse.Namespace, peers: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Measure one channel; its peer's figures go to `peers`."""
    figures: dict[str, Any] = {}
    is_first = channel == args.channels[0]
    plan = make_plan(str(folder / f"{channel}-lake"), args.messages, channel, UNLIMITED)
    with sandbox(folder / f"{channel}-sandbox") as names:
        profile = ["--profile", str(args.profile)] if args.profile else []
        if channel in BATCHED:
            write_per_request(Path(names[f"{channel}_credentials"]), args.per_request)
        run = run_worker([*plan, *profile], environment(names, channel))
    # A figure counts only if the whole job was done.
    if run["outcomes"] != {"accepted": args.messages}:
        raise AngeliaError(f"not every message was accepted: {run['outcomes']}")
    figures[f"{channel}_messages_per_cpu_s"] = round(args.messages / run["cpu_s"])
    if is_first:
        figures["messages_per_s"] = round(args.messages / run["seconds"])
        figures |= {
            key: run[key]
            for key in ("peak_rss_mib", "rss_growth_pct", "rss_first_mib", "seconds", "cpu_s", "system_cpu_s")
        }
    # Latency is measured at a fixed rate: at full speed every message waits for the one before.
    if is_first and args.latency_messages:
        plan = make_plan(str(folder / "latency-lake"), args.latency_messages, channel, LATENCY_RATE * 60)
        with sandbox(folder / "latency-sandbox") as names:
            run = run_worker([*plan, "--latency"], environment(names, channel))
        figures |= {
            key: run[key] for key in ("worker_added_p99_ms", "p99_to_socket_ms", "p99_from_answer_ms")
        }
        figures["latency_messages_per_s"] = round(args.latency_messages / run["seconds"])
    if args.peer_messages and channel in PEER_OF:
        with sandbox(folder / f"{channel}-peer-sandbox") as names:
            peer = run_peer(channel, args.peer_messages, names)
        if peer:
            peers[PEER_OF[channel]] = peer
            key = f"{channel}_messages_per_cpu_s"
            figures[f"times_{PEER_OF[channel]}"] = round(figures[key] / peer[key], 1)
    return figures
