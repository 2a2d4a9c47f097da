"""The lake that the settings name: the one way to open it for commands, jobs and models."""

from __future__ import annotations

from angelia.config import Settings, load_settings
from angelia.lake.lake import Lake


def open_lake(branch: str | None = None, settings: Settings | None = None) -> Lake:
    """Open the configured lake, on the configured branch unless another is named."""
    settings = settings or load_settings()
    return Lake.open(settings.lake_url(), branch=branch or settings.branch, endpoint=settings.s3_endpoint)
