"""The worker process of the delivery benchmark: one real `Delivery`, timed and measured.

It runs alone, so that making the plan and receiving the messages cost it nothing. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from angelia.delivery.manifest.rows import spare_memory
from angelia.delivery.sending import batch
from angelia.delivery.worker.options import Options
from angelia.delivery.worker.run import Delivery
from angelia.lake import Lake
from angelia.transport import connection
from angelia.transport.wire import Answer, Request

_PAGE = os.sysconf("SC_PAGE_SIZE")
FIRST = 100_000  # memory is compared with what it was after this many


def rss_mib() -> float:
    """Return the memory in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 2**20


class MemorySampler(threading.Thread):
    """Samples memory five times a second, by messages settled."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__(daemon=True)
        self.delivery = delivery
        self.over = threading.Event()
        self.peak_first = self.peak_later = 0.0

    def run(self) -> None:
        """Sample until stopped."""
        while not self.over.wait(0.2):
            n = sum(sum(sender.counts.values()) for sender in list(self.delivery.senders.by_channel.values()))
            now = rss_mib()
            if n <= FIRST:
                self.peak_first = max(self.peak_first, now)
            else:
                self.peak_later = max(self.peak_later, now)


class Stopwatch:
    """Times what the worker adds to a message.

    That is from a row's last check to bytes handed to the socket, and from answer read to row settled. The
    answer's own time begins when the sandbox wrote it (it stamps the message name with the shared wall
    clock), so the wire, the kernel and any hold-up of our event loop count as ours: an upper bound.
    """

    def __init__(self) -> None:
        self.before: list[float] = []
        self.after: list[float] = []
        self._leaving: list[float] = []
        build, answered, flush, submit = (
            batch.Batch._build,
            batch.Batch._answered,
            connection.Connection.flush,
            connection.Connection.send,
        )
        watch = self
        began = [0.0]

        def timed_build(self: Any, i: int) -> Any:
            began[0] = time.time()
            return build(self, i)

        def timed_submit(self: Any, request: Request, authorization: bytes, stream: Any) -> None:
            watch._leaving.append(began[0])
            submit(self, request, authorization, stream)

        def timed_flush(self: Any) -> None:
            flush(self)
            now = time.time()
            watch.before += [now - at for at in watch._leaving]
            watch._leaving.clear()

        def timed_answered(self: Any, tag: Any, answer: Answer) -> None:
            answered(self, tag, answer)
            # The sandbox names the moment of acceptance in an accepted message's name, and in nothing else.
            if answer.status == 200:
                stamp = answer.body.partition(b"/messages/0:")[2][:16]
                if stamp.isdigit():
                    watch.after.append(time.time() - int(stamp) / 1e6)

        batch.Batch._build, batch.Batch._answered = timed_build, timed_answered  # type: ignore[method-assign]
        connection.Connection.send, connection.Connection.flush = timed_submit, timed_flush  # type: ignore[method-assign]

    def p99_ms(self) -> dict[str, float]:
        """Return the two parts and their sum, ms."""
        out, back = (float(np.percentile(values, 99)) * 1e3 for values in (self.before, self.after))
        return {
            "worker_added_p99_ms": round(out + back, 3),
            "p99_to_socket_ms": round(out, 3),
            "p99_from_answer_ms": round(back, 3),
        }


def main(argv: list[str]) -> None:
    """Deliver one plan and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--lake", required=True)
    parser.add_argument("--ds", required=True)
    parser.add_argument("--send-hour", required=True)
    parser.add_argument("--latency", action="store_true")
    parser.add_argument("--profile", type=Path)
    args = parser.parse_args(argv)
    spare_memory()  # as `angelia deliver` does
    watch = Stopwatch() if args.latency else None
    delivery = Delivery(
        Lake.open(args.lake), Options(args.ds, (args.send_hour,), pace_folder=Path(args.lake).parent / "pace")
    )
    memory = MemorySampler(delivery)
    memory.start()
    profiler = None
    if args.profile:
        import cProfile

        profiler = cProfile.Profile()
        profiler.enable()
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    result = asyncio.run(delivery.run())
    after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - began
    if profiler is not None:
        profiler.disable()
        profiler.dump_stats(args.profile)
    memory.over.set()
    memory.join()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    growth = memory.peak_later / memory.peak_first - 1 if memory.peak_later else 0.0
    measured: dict[str, Any] = {
        "outcomes": dict(sorted(result.delivered.items())),
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu, 2),
        "system_cpu_s": round(after.ru_stime - before.ru_stime, 2),
        "peak_rss_mib": round(after.ru_maxrss / 1024, 1),
        "rss_first_mib": round(memory.peak_first, 1),
        "rss_growth_pct": round(growth * 100, 1),
    }
    if watch is not None:
        measured |= watch.p99_ms()
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
