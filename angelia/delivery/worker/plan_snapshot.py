"""What a plan's catalog snapshot tells the worker: channels, templates, speed limits.

The environment adds to a channel. Reads the snapshot that the manifest cites; no database is in this path.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from angelia.contracts.ids import direct_campaign
from angelia.delivery.canary.verdict import CanaryRule
from angelia.delivery.channels.base import ChannelConfig
from angelia.delivery.sending.holds import CampaignPace, SpeedLimits
from angelia.delivery.sending.rendering import Renderer
from angelia.errors import InvalidInput
from angelia.lake import Commit, Lake
from angelia.templates.rendering import TemplateSet


@dataclass(frozen=True)
class PlanSnapshot:
    """Channel documents by id, templates, and the gates of campaigns that have a speed limit."""

    channels: dict[str, dict[str, Any]]
    render: Renderer
    paces: dict[str, CampaignPace]
    routes: dict[str, list[str]]  # a campaign's channels, in order of preference
    template_channels: dict[tuple[str, int], list[str]]
    cancel_on: dict[str, str]  # of campaigns whose planned messages an event makes moot: its type
    canaries: dict[str, CanaryRule]
    channel_versions: dict[str, int]

    def next_channels(self, campaign: str, channel: str, template: str, version: int) -> list[str]:
        """Return the channels a campaign falls over to after one, in order.

        They come later in its list, are switched on, and the template is for them.
        """
        route = self.routes.get(campaign, [])
        later = route[route.index(channel) + 1 :] if channel in route else []
        fits = self.template_channels.get((template, version), [])
        return [
            name
            for name in later
            if name in fits
            and (body := self.channels.get(name))
            and body.get("enabled", True)
            and body.get("quota_per_minute")
        ]

    @classmethod
    def read(cls, lake: Lake, manifest: Commit, paces: SpeedLimits) -> Self:
        """Return the snapshot that a manifest commit cites.

        Raises:
            NotFound: there is none.
        """
        cited = next((name for name in manifest.inputs if name.startswith("catalog_snapshot/")), None)
        snapshot = (
            lake.cited(cited) if cited else lake.require("catalog_snapshot", ds=manifest.partition["ds"])
        )
        rows = [
            (row["kind"], row["id"], row["version"], json.loads(row["body"]))
            for row in lake.read(snapshot).to_pylist()
        ]
        channels = {name: body for kind, name, _, body in rows if kind == "channel"}
        templates = [(version, body) for kind, _, version, body in rows if kind == "template"]
        routes = {name: list(body.get("channels", ())) for kind, name, _, body in rows if kind == "campaign"}
        # A template that clients send without a campaign falls over along its own channels.
        routes |= {
            direct_campaign(name, kind): list(body.get("channels", ()))
            for _, name, _, body in (row for row in rows if row[0] == "template" and row[3].get("direct"))
            for kind in ("transactional", "marketing")
        }
        limits = {
            name: body.get("speed_limit_per_minute") for kind, name, _, body in rows if kind == "campaign"
        }
        canaries = {name: body.get("canary") for kind, name, _, body in rows if kind == "campaign"}
        cancel_on = {name: body.get("cancel_on") for kind, name, _, body in rows if kind == "campaign"}
        return cls(
            channels,
            Renderer(TemplateSet(templates)),
            paces.of({name: limit for name, limit in limits.items() if limit}),
            routes,
            {(str(body["id"]), version): list(body.get("channels", ())) for version, body in templates},
            {name: str(event) for name, event in cancel_on.items() if event},
            {name: CanaryRule.of(body) for name, body in canaries.items() if body},
            {name: version for kind, name, version, _ in rows if kind == "channel"},
        )


def channel_config(channel: str, document: dict[str, Any], endpoint_url: str | None) -> ChannelConfig:
    """Return a channel's configuration: the catalog's document, and the environment.

    Raises:
        InvalidInput: the channel is switched off or has no quota.
    """
    if not document.get("enabled", True):
        raise InvalidInput(
            f"channel {channel} is switched off in the catalog",
            fix="set enabled: true, or deliver other channels with --channel",
        )
    quota = float(document.get("quota_per_minute") or 0)
    if quota <= 0:
        raise InvalidInput(f"channel {channel} has no quota_per_minute", fix="set it in the catalog")
    name = channel.upper()
    credentials, ca_file = os.environ.get(f"ANGELIA_{name}_CREDENTIALS"), os.environ.get("ANGELIA_CA_FILE")
    return ChannelConfig(
        channel,
        str(document["provider"]),
        quota,
        endpoint_url or os.environ.get(f"ANGELIA_{name}_URL") or None,
        Path(credentials) if credentials else None,
        Path(ca_file) if ca_file else None,
    )
