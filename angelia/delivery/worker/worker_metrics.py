"""What a worker counts, for a node exporter's textfile collector.

Grain: channel. `--metrics-file` holds one run's counts and its present pace; the totals of HOME/metrics
add up all runs of this machine. See `angelia.metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from angelia import metrics
from angelia.delivery.sending.sender import Sender

TOTALS = {
    "angelia_delivery_rows_total": "Rows that got an outcome on this machine.",
    "angelia_delivery_requests_total": "Requests to providers, retries included.",
    "angelia_delivery_payload_changed_total": "Rows refused: seen before with another payload.",
    "angelia_delivery_throttled_total": "Times a rate was halved for a 429.",
    "angelia_delivery_breaker_opened_total": "Times a breaker opened.",
    "angelia_delivery_halted_total": "Times a channel halted: its configuration is wrong.",
}


def n_opened(sender: Sender) -> int:
    """Return how often a breaker of a channel opened: the provider's, or its receivers'."""
    return sender.breaker.n_opened if sender.receivers is None else sender.receivers.n_opened


def families(senders: Mapping[str, Sender], ds: str) -> list[metrics.Family]:
    """Return the metrics of every channel."""
    named = [({"ds": ds, "channel": channel}, sender) for channel, sender in sorted(senders.items())]
    outcomes = [
        ({**labels, "outcome": word}, float(n))
        for labels, sender in named
        for word, n in sorted(sender.counts.items())
    ]
    down = [(labels, float(s.receivers.n_down)) for labels, s in named if s.receivers is not None]
    measures: list[tuple[str, str, str, list[tuple[dict[str, str], float]]]] = [
        ("rows_total", "counter", "Rows that got an outcome in this process.", outcomes),
        (
            "requests_total",
            "counter",
            "Requests made, retries included.",
            [(labels, float(s.n_requests)) for labels, s in named],
        ),
        (
            "payload_changed_total",
            "counter",
            "Rows refused: seen before with another payload.",
            [(labels, float(s.n_refused)) for labels, s in named],
        ),
        (
            "throttled_total",
            "counter",
            "Times the rate was halved for a 429.",
            [(labels, float(s.bucket.n_decreases)) for labels, s in named],
        ),
        (
            "breaker_opened_total",
            "counter",
            "Times the breaker opened.",
            [(labels, float(n_opened(s))) for labels, s in named],
        ),
        ("in_flight", "gauge", "Requests under way.", [(labels, float(s.in_flight)) for labels, s in named]),
        ("rate_limit_per_second", "gauge", "Present pace.", [(labels, s.bucket.rate) for labels, s in named]),
        (
            "breaker_open",
            "gauge",
            "1 while the breaker is open.",
            [(labels, float(s.breaker.is_open)) for labels, s in named],
        ),
        ("receivers_down", "gauge", "Receivers (webhook hosts) whose breaker is open.", down),
        (
            "halted",
            "gauge",
            "1 once the channel's configuration is found to be wrong.",
            [(labels, float(s.halted is not None)) for labels, s in named],
        ),
    ]
    return [
        metrics.Family(f"angelia_deliver_{name}", kind, text, samples)
        for name, kind, text, samples in measures
    ]


def totals(senders: Mapping[str, Sender]) -> list[tuple[str, dict[str, str], float]]:
    """Return what the senders of this process have counted, by the names of TOTALS."""
    counted: list[tuple[str, dict[str, str], float]] = []
    for channel, sender in senders.items():
        which = {"channel": channel}
        numbers = {
            "requests": sender.n_requests,
            "payload_changed": sender.n_refused,
            "throttled": sender.bucket.n_decreases,
            "breaker_opened": n_opened(sender),
            "halted": int(sender.halted is not None),
        }
        counted += [(f"angelia_delivery_{name}_total", which, float(n)) for name, n in numbers.items()]
        counted += [
            ("angelia_delivery_rows_total", {**which, "outcome": word}, float(n))
            for word, n in sender.counts.items()
        ]
    return counted


def write(path: Path, senders: Mapping[str, Sender], ds: str) -> None:
    """Replace the file."""
    metrics.write(path, families(senders, ds))
