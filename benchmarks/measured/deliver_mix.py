"""A worker process of `deliver --mix`: one real `Delivery` that notes how long each message took.

A message takes from its last check until its outcome stands, every try and the provider included. Prints one
JSON object: milliseconds and seconds by channel, outcomes, processor seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from typing import Any

from angelia.delivery.manifest.rows import spare_memory
from angelia.delivery.sending.batch import Batch
from angelia.delivery.worker.options import Options
from angelia.delivery.worker.run import Delivery
from angelia.lake import Lake


class MessageTimes:
    """Notes when each message was first built and when it was settled, by channel."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, list[float]] = {}
        self.first: dict[str, float] = {}
        self.last: dict[str, float] = {}
        began: dict[tuple[int, int], float] = {}
        build, settle = Batch._build, Batch._settle

        def timed_build(batch: Any, i: int) -> Any:
            now = time.monotonic()
            began.setdefault((id(batch), i), now)
            self.first.setdefault(batch.sender.channel, now)
            return build(batch, i)

        def timed_settle(batch: Any, i: int, *args: Any, **kwargs: Any) -> None:
            settle(batch, i, *args, **kwargs)
            now, since = time.monotonic(), began.pop((id(batch), i), None)
            if since is not None:
                channel = batch.sender.channel
                self.milliseconds.setdefault(channel, []).append(round((now - since) * 1e3, 3))
                self.last[channel] = now

        Batch._build, Batch._settle = timed_build, timed_settle  # type: ignore[method-assign]

    def seconds(self) -> dict[str, float]:
        """Return the time from a channel's first message to its last outcome."""
        return {channel: round(last - self.first[channel], 2) for channel, last in self.last.items()}


def main(argv: list[str]) -> None:
    """Deliver an hour, or one channel of it, and print what each message took."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--lake", required=True)
    parser.add_argument("--ds", required=True)
    parser.add_argument("--send-hour", required=True)
    parser.add_argument("--channel")
    args = parser.parse_args(argv)
    spare_memory()  # as `angelia deliver` does
    times = MessageTimes()
    delivery = Delivery(Lake.open(args.lake), Options(args.ds, (args.send_hour,), channel=args.channel))
    result = asyncio.run(delivery.run())
    used = resource.getrusage(resource.RUSAGE_SELF)
    measured = {
        "milliseconds": times.milliseconds,
        "seconds": times.seconds(),
        "outcomes": dict(result.delivered),
        "unfinished": result.unfinished,
        "halted": result.halted,
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
    }
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
