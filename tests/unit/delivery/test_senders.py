"""The channels of a run: each opened once, as the plan describes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels.base import ChannelConfig, Provider
from angelia.delivery.channels.fcm import BASE_URL, FcmAdapter
from angelia.delivery.clock import SimulatedClock, WallClock
from angelia.delivery.manifest import sample_plan
from angelia.delivery.worker.options import Options
from angelia.delivery.worker.senders import Senders
from angelia.errors import InvalidInput
from angelia.lake import Lake
from tests.unit.delivery.given import DS


def senders(
    lake: Lake, clock: Any = None, url: str = "https://sandbox.test", *, rehearse: bool = True, **options: Any
) -> tuple[Senders, list[ChannelConfig]]:
    """Return the senders of a run, and what was opened for them."""
    opened: list[ChannelConfig] = []

    def provider(config: ChannelConfig) -> Provider:
        opened.append(config)
        return Provider(FcmAdapter("p"), url, None, may_rehearse=rehearse)

    given: Any = Options(DS, **options)
    transport: Any = lambda *_: None  # noqa: E731
    return Senders(lake, given, clock or SimulatedClock(0), provider, transport), opened


def test_a_channel_is_opened_once_at_its_share_of_the_quota(lake: Lake) -> None:
    commit = sample_plan.make(lake, DS, 5, quota_per_minute=1_200)
    channels, opened = senders(lake, slots=4)
    assert channels.of("fcm", commit) is channels.of("fcm", commit)
    assert [config.quota_per_minute for config in opened] == [1_200]
    bucket = channels.by_channel["fcm"].bucket
    assert bucket.burst + 60 * bucket.limit == pytest.approx(1_200 / 4)


def test_a_channel_that_the_plan_does_not_declare_is_named(lake: Lake) -> None:
    commit = sample_plan.make(lake, DS, 5)
    channels, opened = senders(lake)
    with pytest.raises(InvalidInput, match="declares no channel apns"):
        channels.of("apns", commit)
    assert opened == []


@pytest.mark.parametrize(
    ("url", "rehearse"),
    [(BASE_URL, True), ("https://a.push.apple.com", True), ("https://sandbox.test", False)],
)
def test_a_rehearsal_reaches_nobody_real(url: str, rehearse: bool, lake: Lake) -> None:
    commit = sample_plan.make(lake, DS, 5)
    channels, _ = senders(lake, url=url, rehearse=rehearse)
    with pytest.raises(InvalidInput, match="real provider"):
        channels.of("fcm", commit)
    real, _ = senders(lake, WallClock(), url, rehearse=rehearse)
    assert real.of("fcm", commit).channel == "fcm"


def test_a_name_that_only_looks_real_may_be_rehearsed(lake: Lake) -> None:
    commit = sample_plan.make(lake, DS, 5)
    channels, _ = senders(lake, url="https://notgoogleapis.com")
    assert channels.of("fcm", commit).channel == "fcm"


def test_halted_channels_are_told_with_those_that_were_shut(lake: Lake) -> None:
    commit = sample_plan.make(lake, DS, 5)
    channels, _ = senders(lake)
    assert not channels.is_halted("fcm")
    channels.of("fcm", commit).halted = "wrong project"
    channels.shut_out("email", InvalidInput("no credentials", fix="set them"))
    assert (channels.is_halted("fcm"), channels.is_halted("email")) == (True, False)
    assert channels.halted() == {"fcm": "wrong project", "email": "no credentials; set them"}


def test_an_unwritable_metrics_file_stops_no_sending(
    lake: Lake, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    commit = sample_plan.make(lake, DS, 5)
    channels, _ = senders(lake, metrics_file=tmp_path)
    channels.of("fcm", commit)
    channels.write_metrics()
    assert "metrics file" in caplog.text
