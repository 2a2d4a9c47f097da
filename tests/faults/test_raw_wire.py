"""Wire-level faults: broken connections, streams, answers and handshakes, each classified.

Half the rows of every plan are marketing, half transactional. Whatever breaks: every row is accounted for,
marketing is never doubled, transactional is never left unsent, and the sandbox's counts say so.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from angelia.delivery.manifest import sample_plan
from angelia.delivery.worker.options import Options
from angelia.delivery.worker.run import Delivery
from angelia.lake import Lake
from angelia.sandbox.phones import Phones
from angelia.sandbox.server import serve

DS, HOUR, ROWS = "2026-11-14", "2026-11-15T04", 60
IN_FLIGHT = 200  # requests under way at once on FCM


def once_each(prefixes: Iterable[tuple[str, str]]) -> str:
    """Return the rules that break the first request of two rows, PREFIX0 and PREFIX1.

    PREFIX0 is marketing, PREFIX1 transactional.
    """
    return "rules:\n" + "".join(
        f'  - {{match: {{token_prefix: "{prefix}{kind}", max: 1}}, then: {{{then}}}}}\n'
        for prefix, then in prefixes
        for kind in (0, 1)
    )


class Night(NamedTuple):
    """A delivery's result by dispatch: its ledger row, its address, its count on the phone."""

    ledger: dict[str, dict[str, Any]]
    address: dict[str, str]
    received: dict[str, int]
    phones: Phones

    def of(self, prefix: str, guarantee: str) -> list[tuple[str | None, str | None, int]]:
        """Return (outcome, reason, times received) of the rows whose address begins so."""
        rows = [
            (name, self.ledger[name]) for name, address in self.address.items() if address.startswith(prefix)
        ]
        return [
            (row["outcome"], row["reason"], self.received.get(name, 0))
            for name, row in rows
            if row["guarantee"] == guarantee
        ]


def outcomes(lake: Lake) -> set[str]:
    """Return the outcomes that stand in the ledger."""
    leaves = lake.partitions("delivery_ledger", ds=DS)
    return {
        word
        for leaf in leaves
        for word in lake.read(lake.require("delivery_ledger", **leaf), ["outcome"])["outcome"].to_pylist()
    }


def deliver(
    lake: Lake, folder: Path, rules: str, channel: str, addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> Night:
    """Deliver rows to these addresses at the raw front end of a sandbox in this process.

    Rows at even positions are marketing.
    """
    path = folder / "rules.yaml"
    path.write_text(rules)

    async def main() -> Phones:
        ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        server = asyncio.create_task(serve(folder, rules=path, announce=ready.set_result, max_seconds=60))
        names = await ready
        monkeypatch.setenv("ANGELIA_CA_FILE", names["ca_file"])
        monkeypatch.setenv(
            f"ANGELIA_{channel.upper()}_CREDENTIALS",
            names["credentials" if channel == "fcm" else f"{channel}_credentials"],
        )
        if channel != "webhook":
            monkeypatch.setenv(
                f"ANGELIA_{channel.upper()}_URL", names["smtp_url" if channel == "email" else "raw_url"]
            )
        made = [f"{names['raw_url']}/hook/{name}" if channel == "webhook" else name for name in addresses]
        changes = {
            "channel": channel,
            # While everybody waits, simulated time flies: the window must not end first.
            "not_after": datetime(2100, 1, 1, tzinfo=UTC),
            "address": lambda n: made[n],
            "guarantee": lambda n: "at_least_once" if n % 2 else "at_most_once",
        }
        sample_plan.make(lake, DS, len(made), changes=changes)
        # A receiver that broke five times in a row is let alone: what waited for it goes out in the next run,
        # as it would next hour.
        for _ in range(4):
            await Delivery(
                lake, Options(DS, (HOUR,), simulated=True, request_timeout_s=1.5, batch_deadline_s=20.0)
            ).run()
            if "deferred" not in outcomes(lake):
                break
        os.kill(os.getpid(), signal.SIGINT)  # SIGTERM was the worker's
        return await server

    phones = asyncio.run(main())
    plan = lake.read(
        lake.require("dispatch_manifest", ds=DS), ["dispatch_id", "address", "guarantee"]
    ).to_pylist()
    ledger: dict[str, dict[str, Any]] = {}
    for leaf in lake.partitions("delivery_ledger", ds=DS):
        for row in lake.read(lake.require("delivery_ledger", **leaf)).to_pylist():
            assert row["dispatch_id"] not in ledger
            ledger[row["dispatch_id"]] = row
    assert set(ledger) == {row["dispatch_id"] for row in plan}, "unaccounted rows"
    for row in plan:
        ledger[row["dispatch_id"]]["guarantee"] = row["guarantee"]
    night = Night(
        ledger,
        {row["dispatch_id"]: row["address"].rpartition("/")[2] for row in plan},
        phones.received,
        phones,
    )
    for outcome, reason, count in night.of("", "at_most_once"):
        assert count <= 1, "doubled"
        assert (outcome == "accepted" and count == 1) or (outcome == "ambiguous" and reason == "no_answer"), (
            outcome,
            reason,
            count,
        )
    for outcome, _, count in night.of("", "at_least_once"):
        assert (outcome, count >= 1) == ("accepted", True), "unsent"
    assert sum(outcome == "ambiguous" for outcome, _, _ in night.of("", "at_most_once")) <= IN_FLIGHT
    return night


# What is done to one message -> what its marketing row becomes, whether its phone has it, whether rows beside
# it on the connection stay untouched.
STREAMS = {
    "{rst: CANCEL}": ("ambiguous", 1, True),
    "{rst: INTERNAL_ERROR}": ("ambiguous", 1, True),
    "{rst: NO_ERROR}": ("ambiguous", 1, True),
    "{refuse: true}": ("accepted", 1, True),
    "{silent: true}": ("ambiguous", 1, True),
    "{drip: true}": ("ambiguous", 1, True),
    "{goaway: true}": ("accepted", 1, True),
    "{goaway: after}": ("accepted", 1, True),
    "{goaway: graceful}": ("accepted", 1, True),
    "{goaway: lost}": ("ambiguous", 1, True),
    "{reset: before}": ("ambiguous", 0, False),
    "{reset: after}": ("ambiguous", None, False),
    "{reset: body}": ("ambiguous", None, False),
    "{reset: cut}": ("ambiguous", None, False),
    "{header_bytes: 100000}": ("ambiguous", None, False),
    "{garbage: true}": ("ambiguous", None, False),
}


@pytest.mark.parametrize("then", STREAMS)
def test_a_broken_stream_or_connection(
    then: str, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = (
        f"rules:\n  - {{match: {{token_prefix: hit-m, max: 1}}, then: {then}}}\n  - {{match: "
        f"{{token_prefix: hit-t, max: 1}}, then: {then}}}\n"
    )
    addresses = ["hit-m" if n == 30 else "hit-t" if n == 31 else f"safe-{n}" for n in range(ROWS)]
    night = deliver(lake, tmp_path, rules, "fcm", addresses, monkeypatch)
    outcome, received, is_isolated = STREAMS[then]
    [(hit, _, count)] = night.of("hit-m", "at_most_once")
    assert hit == outcome
    assert received is None or count == received
    others = [found for found, _, _ in night.of("safe-", "at_most_once")]
    assert not is_isolated or set(others) == {"accepted"}
    doubled = sum(count > 1 for _, _, count in night.of("", "at_least_once"))
    assert doubled <= (1 if is_isolated else IN_FLIGHT)


@pytest.mark.parametrize("how", ["silent", "close", "reset", "cut", "clear", "after"])
def test_a_handshake_that_breaks_is_not_sent_and_tried_again(
    how: str, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = f"connections:\n  - {{match: {{max: 3}}, then: {{handshake: {how}}}}}\n"
    night = deliver(lake, tmp_path, rules, "fcm", [f"safe-{n}" for n in range(20)], monkeypatch)
    assert {outcome for outcome, _, _ in night.of("", "at_most_once")} == {"accepted"}
    assert night.phones.doubled == 0
    assert (
        night.phones.n_connections >= 4 + 1
    )  # three that broke, one that did not, and the one for the token


def test_half_a_fleet_of_broken_connections(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = """
seed: 11
connections:
  - {match: {probability: 0.3}, then: {handshake: reset}}
  - {match: {probability: 0.3}, then: {handshake: after}}
rules:
  - {match: {probability: 0.02}, then: {goaway: lost}}
  - {match: {probability: 0.02}, then: {rst: CANCEL}}
  - {match: {probability: 0.02}, then: {reset: cut}}
  - {match: {probability: 0.05}, then: {goaway: true}}
"""
    night = deliver(lake, tmp_path, rules, "fcm", [f"safe-{n}" for n in range(300)], monkeypatch)
    assert night.phones.n_connections > 10
    assert any(outcome == "ambiguous" for outcome, _, _ in night.of("", "at_most_once"))


def test_another_provider_on_the_same_wire(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """APNs: what breaks the stream has the same names, what the provider says has its own."""
    faults = {
        "rst: CANCEL": ("ambiguous", 1), "refuse: true": ("accepted", 1), "goaway: lost": ("ambiguous", 1),
        "silent: true": ("ambiguous", 1),
        "status: 503, error: ServiceUnavailable": ("accepted", 1),
    }  # fmt: skip
    rules = once_each((f"a{i}", then) for i, then in enumerate(faults))
    addresses = [f"a{n // 2}{n % 2}{n:061x}" if n < 2 * len(faults) else f"b{n:063x}" for n in range(40)]
    night = deliver(lake, tmp_path, rules, "apns", addresses, monkeypatch)
    for i, (then, (outcome, received)) in enumerate(faults.items()):
        assert [(found, count) for found, _, count in night.of(f"a{i}", "at_most_once")] == [
            (outcome, received)
        ], then
    assert {outcome for outcome, _, _ in night.of("b", "at_most_once")} == {"accepted"}


WEBHOOKS = {
    "reset: after",
    "reset: before",
    "reset: body",
    "reset: cut",
    "silent: true",
    "drip: true",
    "header_bytes: 100000",
    "garbage: true",
}


def test_broken_answers_to_webhooks(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP/1.1 knows no "not processed": whatever breaks after the request left is unknown."""
    faults = sorted(WEBHOOKS)
    rules = once_each((f"r{i}-", then) for i, then in enumerate(faults))
    addresses = [f"r{n // 2}-{n % 2}" if n < 2 * len(faults) else f"safe-{n}" for n in range(40)]
    night = deliver(lake, tmp_path, rules, "webhook", addresses, monkeypatch)
    for i, then in enumerate(faults):
        assert night.of(f"r{i}-", "at_most_once") == [
            ("ambiguous", "no_answer", 0 if then == "reset: before" else 1)
        ], then
    assert {outcome for outcome, _, _ in night.of("safe-", "at_most_once")} == {"accepted"}


MAILS = {
    "reset: before": "accepted",
    "reset: after": "ambiguous",
    "silent: true": "ambiguous",
    "rst: CANCEL": "ambiguous",
}


def test_broken_answers_to_mail(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the final dot nothing was sent; after it, without a reply, nobody knows."""
    rules = once_each((f"r{i}-", then) for i, then in enumerate(MAILS))
    addresses = [
        f"r{n // 2}-{n % 2}@people.example" if n < 2 * len(MAILS) else f"safe-{n}@people.example"
        for n in range(30)
    ]
    night = deliver(lake, tmp_path, rules, "email", addresses, monkeypatch)
    for i, (then, outcome) in enumerate(MAILS.items()):
        assert [(found, count) for found, _, count in night.of(f"r{i}-", "at_most_once")] == [(outcome, 1)], (
            then
        )
    assert {outcome for outcome, _, _ in night.of("safe-", "at_most_once")} == {"accepted"}
