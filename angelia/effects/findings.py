"""What a report is made of, gathered before a word of it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from angelia.effects.sources import ReportSources
from angelia.effects.tables import Check, Table


@dataclass(frozen=True)
class Findings:
    """Everything a report is made of."""

    sources: ReportSources
    tables: Mapping[str, Table]
    checks: Sequence[Check]
    verdicts: Sequence[Mapping[str, Any]]
    conversion: str
    quality_page: str | None = None  # file beside the report, to link
