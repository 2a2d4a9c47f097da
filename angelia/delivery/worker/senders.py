"""The channels of one run: each is opened when needed, as the plan's snapshot describes it.

Reads the catalog snapshot that a manifest cites, and the environment. Grain: channel. Surprise: a simulated
clock refuses the provider's own address; a channel that only fall-over parts want is shut if it cannot be
opened, and keeps no other from going.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from angelia import metrics
from angelia.contracts.outcomes import CHANNEL_OFF
from angelia.delivery.channels.base import ChannelConfig, Provider
from angelia.delivery.clock import Clock, lease_now
from angelia.delivery.sending.holds import SpeedLimits
from angelia.delivery.sending.sender import NOBODY, Nowhere, Sender
from angelia.delivery.sending.shared_pace import CHANNEL, SharedPaces
from angelia.delivery.worker import worker_metrics
from angelia.delivery.worker.channel_changes import ChannelChanges, ChannelDocument
from angelia.delivery.worker.options import Options
from angelia.delivery.worker.plan_snapshot import PlanSnapshot, channel_config
from angelia.errors import InvalidInput
from angelia.lake import Commit, Lake
from angelia.transport.client import Http2Client
from angelia.transport.wire import Transport

log = logging.getLogger(__name__)
# A rehearsal never talks to these.
PROVIDER_HOSTS = (
    "googleapis.com",
    "push.apple.com",
    "twilio.com",
    "amazonaws.com",
    "mandrillapp.com",
    "huawei.com",
    "xiaomi.com",
    "oppomobile.com",
    "heytapmobi.com",
    "vivo.com.cn",
    "honor.com",
    "hihonor.com",
    "meizu.com",
    "weixin.qq.com",
    "sgroup.qq.com",
    "dingtalk.com",
    "dingtalk.io",
)
_OFF = (
    "channel {} was switched off in the catalog; apply its document with enabled: true, and what no other "
    "channel has taken is sent while its window lasts"
)
OpenProvider = Callable[[ChannelConfig], Provider]
OpenTransport = Callable[[Provider, ChannelConfig], Transport]


class Senders:
    """One sender a channel, and the plan snapshots they are described in."""

    def __init__(
        self,
        lake: Lake,
        options: Options,
        clock: Clock,
        open_provider: OpenProvider,
        open_transport: OpenTransport | None = None,
    ) -> None:
        self._lake, self._options, self._clock = lake, options, clock
        self._open_provider = open_provider
        self._open_transport = open_transport or self._transport
        # A rehearsal's hours pass in minutes, so it uses up nothing of what others may send.
        self._shared = SharedPaces(None if clock.simulated else options.pace_folder)
        self._paces = SpeedLimits(options.slots, clock.steady, self._shared)
        self._snapshots: dict[str, PlanSnapshot] = {}
        self._changes = ChannelChanges(lake, lease_now)
        self._documents: dict[str, ChannelDocument] = {}  # by which channels are open
        self.by_channel: dict[str, Sender] = {}
        self.shut: dict[str, str] = {}  # channels that could not be opened, and why
        folder = options.metrics_folder
        path = folder / "angelia_delivery.prom" if folder is not None else None
        self._totals = metrics.Totals(path, worker_metrics.TOTALS)

    def snapshot(self, commit: Commit) -> PlanSnapshot:
        """Return what the catalog said when a manifest was planned. Raises: NotFound."""
        # By what is cited: the intake's batches of an hour are thousands, and cite one snapshot.
        name = next((cited for cited in commit.inputs if cited.startswith("catalog_snapshot/")), commit.ref)
        if name not in self._snapshots:
            self._snapshots[name] = PlanSnapshot.read(self._lake, commit, self._paces)
        return self._snapshots[name]

    def of(self, channel: str, commit: Commit) -> Sender:
        """Return a channel's sender, opening it if nobody has.

        One that was switched off since the night was planned comes closed.

        Raises:
            InvalidInput: the catalog or the environment does not say how, or it is no sandbox and the clock
                is simulated.
        """
        if channel not in self.by_channel:
            self.by_channel[channel] = self._open(channel, commit)
        return self.by_channel[channel]

    async def follow(self, channel: str, commit: Commit) -> None:
        """Obey what was applied since a channel was opened: off, another provider, another quota.

        What is under way is finished with the provider it went to.
        """
        await self._changes.look()
        sender, known = self.by_channel.get(channel), self._documents.get(channel)
        if sender is None or known is None or sender.halted is not None:
            return
        newest = self._changes.after(channel, known)
        if newest is known:
            return
        self._documents[channel] = newest
        if _is_off(newest.body):
            sender.close(CHANNEL_OFF, _OFF.format(channel))
            return
        try:
            provider, config = self._provided(channel, newest.body)
        except InvalidInput as error:
            sender.halt(error.one_line())
            return
        is_other = newest.body["provider"] != self.snapshot(commit).channels[channel]["provider"]
        transport = self._open_transport(provider, config)
        sender.switch(
            provider,
            transport,
            per_minute=config.quota_per_minute / self._options.slots,
            shared=self._shared.of(CHANNEL, channel, config.quota_per_minute),
            is_other=is_other,
        )

    def is_open(self, channel: str, commit: Commit) -> bool:
        """Say whether a channel of a plan sends at present, as far as is known."""
        sender, document = self.by_channel.get(channel), self.snapshot(commit).channels.get(channel)
        if document is None or channel in self.shut or (sender is not None and sender.closed):
            return False
        return not self.is_halted(channel) and not _is_off(self._newest(channel, commit).body)

    def is_closed(self, channel: str) -> bool:
        """Say whether a channel is open in this run, but off or spent."""
        sender = self.by_channel.get(channel)
        return sender is not None and sender.closed is not None

    def is_halted(self, channel: str) -> bool:
        """Say whether a channel is open and sends nothing more."""
        sender = self.by_channel.get(channel)
        return sender is not None and sender.halted is not None

    def halted(self) -> dict[str, str]:
        """Return the channels that send nothing more, or never could, and why."""
        stops = {name: sender.halted or sender.why_closed for name, sender in self.by_channel.items()}
        return self.shut | {name: why for name, why in stops.items() if why}

    def shut_out(self, channel: str, error: InvalidInput) -> None:
        """Remember that a channel cannot be opened."""
        self.shut[channel] = error.one_line()

    async def close(self) -> None:
        """Close every connection, and write the last counts."""
        for sender in self.by_channel.values():
            for transport in (*sender.retired, sender.transport):
                await transport.close()
        self._shared.close()
        self.write_metrics(is_last=True)

    def write_metrics(self, *, is_last: bool = False) -> None:
        """Replace the metrics file, if one is asked for, and add to this machine's totals."""
        try:
            if self._options.metrics_file is not None:
                worker_metrics.write(self._options.metrics_file, self.by_channel, self._options.ds)
            self._totals.add(worker_metrics.totals(self.by_channel), is_last=is_last)
        except OSError as error:
            # Sending matters more than being watched.
            log.warning("metrics file: %s", error.strerror)

    def _open(self, channel: str, commit: Commit) -> Sender:
        options = self._options
        document = self.snapshot(commit).channels.get(channel)
        if document is None:
            raise InvalidInput(
                f"the catalog snapshot of {options.ds} declares no channel {channel}",
                fix="add it to the catalog",
            )
        # A run begins with what is applied by then, not with what its plan was made with.
        self._changes.read()
        newest = self._documents[channel] = self._newest(channel, commit)
        if _is_off(newest.body) and not _is_off(document):
            closed = Sender(channel, NOBODY, Nowhere(), self._clock, per_minute=document["quota_per_minute"])
            closed.close(CHANNEL_OFF, _OFF.format(channel))
            return closed
        provider, config = self._provided(channel, newest.body)
        return Sender(
            channel,
            provider,
            self._open_transport(provider, config),
            self._clock,
            per_minute=config.quota_per_minute / options.slots,
            shared=self._shared.of(CHANNEL, channel, config.quota_per_minute),
            seed=options.seed,
            is_other=newest.body["provider"] != document["provider"],
        )

    def _newest(self, channel: str, commit: Commit) -> ChannelDocument:
        """Return a channel's document as it was planned with, or as it was applied since."""
        snapshot = self.snapshot(commit)
        planned = ChannelDocument(snapshot.channel_versions[channel], snapshot.channels[channel])
        return self._changes.after(channel, planned)

    def _provided(self, channel: str, document: dict[str, Any]) -> tuple[Provider, ChannelConfig]:
        """Return a channel's provider and configuration, as a document has them."""
        config = channel_config(channel, document, self._options.endpoint_url)
        provider = self._open_provider(config)
        if provider.sends_lists:
            # Before the first message leaves: whoever leads receipts back looks here which rows to know.
            self._lake.store.create(f"lists/{self._options.ds}/{channel}", b"")
        if self._clock.simulated and _is_real(provider):
            raise InvalidInput(
                "a simulated clock must not send to a real provider",
                fix=f"set ANGELIA_{channel.upper()}_URL to a sandbox",
            )
        return provider, config

    def _transport(self, provider: Provider, config: ChannelConfig) -> Transport:
        if provider.open_transport is not None:
            return provider.open_transport(config, self._options.request_timeout_s)
        return Http2Client(
            provider.base_url,
            connections=provider.connections,
            timeout_s=self._options.request_timeout_s,
            ca_file=config.ca_file,
        )


def _is_off(document: dict[str, Any]) -> bool:
    return not document.get("enabled", True)


def _is_real(provider: Provider) -> bool:
    host = urlsplit(provider.base_url).hostname or ""
    is_known = any(host == name or host.endswith(f".{name}") for name in PROVIDER_HOSTS)
    return is_known or not provider.may_rehearse
