"""A plan of several channels for this hour, and the environment of its workers.

Writes one commit of `catalog_snapshot` and one of `dispatch_manifest`. Grain: one message.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from angelia.contracts import arrow, dataset
from angelia.delivery.manifest import sample_plan
from angelia.lake import Lake

ROOT = Path(__file__).parents[2]
# Two speak HTTP/2 by our own client, three HTTP/1.1 (OPPO in batches), one SMTP.
CHANNELS = ("fcm", "apns", "email", "sms", "webpush", "oppo")
ADDRESSES: dict[str, Callable[[int], str]] = {
    "apns": lambda n: f"{n:064x}",
    "email": lambda n: f"ann.{n}@people.example",
    "sms": lambda n: f"+49151{n:07d}",
    "oppo": lambda n: f"r{n:06d}_regid",
}
Sandboxes = Mapping[str, Mapping[str, Any]]  # channel -> the ready file of the sandbox it is sent to


def write(
    lake: Lake, send_hour: str, messages: Mapping[str, int], rates: Mapping[str, int], sandboxes: Sandboxes
) -> str:
    """Write a plan whose rows may be sent from `send_hour` on for two hours; return its day.

    Args:
        messages: channel -> how many.
        rates: channel -> its quota, messages a second.
    """
    start = datetime.fromisoformat(f"{send_hour}:00").replace(tzinfo=UTC)
    ds = (start - timedelta(days=1)).date().isoformat()
    documents = sample_plan.documents(channels=tuple(messages))
    for row in documents:
        if row["kind"] == "channel":
            body = json.loads(row["body"]) | {"quota_per_minute": rates[row["id"]] * 60}
            row["body"] = json.dumps(body, sort_keys=True)
    with lake.attempt("catalog_snapshot", ds=ds) as attempt:
        schema = arrow.schema(dataset("catalog_snapshot"))
        attempt.write(pa.Table.from_pylist(documents, schema=schema), "part-0000.parquet")
        snapshot = attempt.publish()
    first = 0
    with lake.attempt("dispatch_manifest", ds=ds) as attempt:
        for channel, n in messages.items():
            changes: dict[str, Any] = {"channel": channel}
            # FCM's are those of every sample plan.
            if channel != "fcm":
                changes["address"] = addresses(channel, sandboxes)
            keys = {"send_hour": send_hour, "channel": channel, "priority": "medium"}
            folder = "/".join(f"{key}={value}" for key, value in keys.items())
            rows = sample_plan.rows(first, n, start, **changes)
            attempt.write(rows, f"{folder}/part-0000.parquet", keys=keys)
            first += n
        attempt.publish(inputs=[snapshot])
    return ds


def addresses(channel: str, sandboxes: Sandboxes) -> Callable[[int], str]:
    """Return how a channel's addresses are made from a user's number."""
    if channel != "webpush":
        return ADDRESSES[channel]
    path = Path(sandboxes[channel]["ca_file"]).with_name("webpush-subscription.json")
    subscription = json.dumps(json.loads(path.read_text("utf-8")))
    return lambda n: subscription.replace("NAME", f"r{n:06d}")


def environment(folder: Path, channels: Sequence[str], sandboxes: Sandboxes) -> dict[str, str]:
    """Return a worker's environment; write the authorities of the sandboxes it sends to."""
    authorities = folder / "authorities.pem"
    files = sorted({str(sandboxes[channel]["ca_file"]) for channel in channels})
    authorities.write_text("".join(Path(name).read_text("utf-8") for name in files), "utf-8")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "ANGELIA_CA_FILE": str(authorities)}
    for channel in channels:
        names, name = sandboxes[channel], f"ANGELIA_{channel.upper()}"
        env[f"{name}_CREDENTIALS"] = str(
            names["credentials" if channel == "fcm" else f"{channel}_credentials"]
        )
        # A subscription names its own push service.
        if channel != "webpush":
            env[f"{name}_URL"] = str(names["smtp_url" if channel == "email" else "url"])
    return env
