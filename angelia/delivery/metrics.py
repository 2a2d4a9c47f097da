"""What a worker counts, in the Prometheus text format, for a node exporter's textfile collector (`angelia deliver --metrics-file`).

Grain: channel. Written whole or not at all; no address, user or message is a label. Source: prometheus.io/docs/instrumenting/exposition_formats.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from angelia.delivery.sender import Sender


def n_opened(sender: Sender) -> int:
    """Return how often a breaker of a channel opened: the provider's, or its receivers'."""
    return sender.breaker.n_opened if sender.receivers is None else sender.receivers.n_opened


def render(senders: Mapping[str, Sender], ds: str) -> str:
    """Return the metrics of every channel."""
    lines: list[str] = []

    def family(name: str, kind: str, text: str, samples: list[tuple[str, float]]) -> None:
        lines.append(f"# HELP angelia_deliver_{name} {text}")
        lines.append(f"# TYPE angelia_deliver_{name} {kind}")
        lines.extend(f"angelia_deliver_{name}{{{labels}}} {value:g}" for labels, value in samples)

    named = [(f'ds="{ds}",channel="{channel}"', sender) for channel, sender in sorted(senders.items())]
    counts = [(f'{labels},outcome="{word}"', float(n)) for labels, sender in named for word, n in sorted(sender.counts.items())]
    family("rows_total", "counter", "Rows that got an outcome in this process.", counts)
    family("requests_total", "counter", "Requests made, retries included.", [(labels, float(s.n_requests)) for labels, s in named])
    family(
        "payload_changed_total", "counter", "Rows refused: seen before with another payload.", [(labels, float(s.n_refused)) for labels, s in named]
    )
    family("throttled_total", "counter", "Times the rate was halved for a 429.", [(labels, float(s.bucket.n_decreases)) for labels, s in named])
    family("breaker_opened_total", "counter", "Times the breaker opened.", [(labels, float(n_opened(s))) for labels, s in named])
    family("in_flight", "gauge", "Requests under way.", [(labels, float(s.in_flight)) for labels, s in named])
    family("rate_limit_per_second", "gauge", "Present pace.", [(labels, s.bucket.rate) for labels, s in named])
    family("breaker_open", "gauge", "1 while the breaker is open.", [(labels, float(s.breaker.is_open)) for labels, s in named])
    down = [(labels, float(s.receivers.n_down)) for labels, s in named if s.receivers is not None]
    family("receivers_down", "gauge", "Receivers (webhook hosts) whose breaker is open.", down)
    family("halted", "gauge", "1 once the channel's configuration is found wrong.", [(labels, float(s.halted is not None)) for labels, s in named])
    return "\n".join(lines) + "\n"


def write(path: Path, senders: Mapping[str, Sender], ds: str) -> None:
    """Replace the file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(render(senders, ds))
    temporary.replace(path)
