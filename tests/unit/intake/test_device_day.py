"""A device gets no more of a class than its channel allows in 24 hours, whoever sent it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from angelia.contracts.outcomes import DECIDED
from angelia.intake.dispatching.caps import CountedMessage
from angelia.intake.dispatching.device_day import DeviceDay
from angelia.intake.dispatching.sample_night import CHANNEL, DOCUMENTS, SALE, TEMPLATE
from angelia.users.registered import register
from tests.unit.delivery.given import OK
from tests.unit.intake.dispatching import ORDER, Bench, bench
from tests.unit.intake.verdicts import NOON, contents, message, outcome, verdicts_of

__all__ = ["bench"]
LIMIT = {"max_per_device_day": {"marketing": 2, "transactional": 3}}


def had(n: int, campaign: str = "sale", channel: str | None = "fcm") -> list[CountedMessage]:
    return [CountedMessage("u1", campaign, f"{campaign}{i}", NOON, channel=channel) for i in range(n)]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (had(1), "chosen"),
        (had(2), "device_quota"),
        (had(2, channel=None), "device_quota"),
        (had(2, channel="email"), "chosen"),
        (had(2, "order"), "chosen"),
        (had(2, "no longer in the catalog"), "device_quota"),
    ],
)
def test_a_class_is_counted_by_channel(messages: list[CountedMessage], expected: str) -> None:
    catalog = contents(fcm=LIMIT)
    assert outcome(verdicts_of(catalog, day=DeviceDay(catalog.catalog, messages))) == expected
    assert "device_quota" in DECIDED


def test_messages_of_one_batch_count() -> None:
    catalog = contents(fcm=LIMIT)
    verdicts = verdicts_of(catalog, *(message(n) for n in range(4)), day=DeviceDay(catalog.catalog))
    assert len(verdicts.chosen) == 2
    assert [why for _, why in verdicts.refused] == ["device_quota"] * 2


def night(bench: Bench, channels: list[str]) -> None:
    """Make a night whose campaign goes by these channels, of which fcm has a limit."""
    changed: dict[str, Any] = {
        "fcm": CHANNEL | LIMIT,
        "sale": SALE | {"channels": channels},
        "plain": TEMPLATE | {"channels": ["fcm", "fcm_two"]},
    }
    documents = [changed.get(each["id"], each) if each["kind"] != "material" else each for each in DOCUMENTS]
    features = {"channels": [["fcm", "fcm_two"]] * 2}
    bench.night(2, documents=[*documents, CHANNEL | {"id": "fcm_two"}], features=features)
    second = {"user_id": "u0000000", "channel": "fcm_two", "address": "second", "is_active": True}
    register(bench.lake, [second | {"registered_ts": datetime.now(UTC)}])
    bench.wire.script = lambda _: OK


def test_what_is_too_much_goes_by_the_next_channel(bench: Bench) -> None:
    night(bench, ["fcm", "fcm_two"])
    ids = bench.accept(*({} for _ in range(2)))
    bench.dispatch()
    more = bench.accept({}, {**ORDER})
    bench.dispatch()
    assert bench.states(ids + more) == ["sent"] * 4
    assert [step for step in bench.steps(more[0]) if step[0] == "sent"] == [("sent", "fcm_two")]
    assert [step for step in bench.steps(more[1]) if step[0] == "sent"] == [("sent", "fcm")]


def test_without_another_channel_it_is_refused(bench: Bench) -> None:
    night(bench, ["fcm"])
    bench.accept(*({} for _ in range(2)))
    bench.dispatch()
    (third,) = bench.accept({})
    report = bench.dispatch()
    assert bench.states([third]) == ["refused"]
    assert report.steps["refused: device_quota"] == 1
