"""A worker process of `deliver --mix`: a real `Delivery` that times each message.

A message takes from its last check until its outcome stands, every try and the provider included. Begins when
the file GO is there, which whoever starts several makes once each has printed that it is ready. Prints one
JSON object: each channel's messages as (instant, milliseconds), outcomes, processor seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from angelia.delivery.manifest.rows import spare_memory
from angelia.delivery.sending.batch import Batch
from angelia.delivery.worker.options import Options
from angelia.delivery.worker.run import Delivery
from angelia.lake import Lake


class MessageTimes:
    """Notes when each message was first built, and how long it took to be settled.

    Instants are of the machine's monotonic clock, which all processes share.
    """

    def __init__(self) -> None:
        self.messages: dict[str, list[tuple[float, float]]] = {}
        began: dict[tuple[int, int], float] = {}
        build, settle = Batch._build, Batch._settle

        def timed_build(batch: Any, i: int) -> Any:
            began.setdefault((id(batch), i), time.monotonic())
            return build(batch, i)

        def timed_settle(batch: Any, i: int, *args: Any, **kwargs: Any) -> None:
            settle(batch, i, *args, **kwargs)
            now, since = time.monotonic(), began.pop((id(batch), i), None)
            if since is not None:
                took = round((now - since) * 1e3, 3)
                self.messages.setdefault(batch.sender.channel, []).append((round(since, 4), took))

        Batch._build, Batch._settle = timed_build, timed_settle  # type: ignore[method-assign]


def main(argv: list[str]) -> None:
    """Deliver an hour, or one channel of it, and print what each message took."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--lake", required=True)
    parser.add_argument("--ds", required=True)
    parser.add_argument("--send-hour", required=True)
    parser.add_argument("--channel")
    parser.add_argument("--go", type=Path, required=True)
    args = parser.parse_args(argv)
    spare_memory()  # as `angelia deliver` does
    times = MessageTimes()
    delivery = Delivery(Lake.open(args.lake), Options(args.ds, (args.send_hour,), channel=args.channel))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not args.go.exists():
        time.sleep(0.01)
    result = asyncio.run(delivery.run())
    used = resource.getrusage(resource.RUSAGE_SELF)
    measured = {
        "messages": times.messages,
        "outcomes": dict(result.delivered),
        "unfinished": result.unfinished,
        "halted": result.halted,
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
    }
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
