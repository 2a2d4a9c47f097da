"""Answers to what-ifs, kept in the lake: a DAG run works one out, the console shows it.

Grain: night x question. Reads and writes numbered objects beside the guard's verdicts, never a dataset. The
same settings of the same plan are the same question, so an answer never grows old: another plan is another
question.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from angelia.asking.whatif import WhatIf
from angelia.errors import InvalidInput
from angelia.lake import Lake, numbered

NAME = re.compile(r"[0-9a-f]{12}")
_TOPIC = "what-if-"


def question(plan: str, settings: Mapping[str, str]) -> str:
    """Return the name of a question: the plan's ref and the settings, hashed."""
    asked = json.dumps([plan, sorted(settings.items())]).encode()
    return hashlib.sha256(asked).hexdigest()[:12]


def keep(lake: Lake, answer: WhatIf) -> str:
    """Keep an answer; return the name of its question."""
    name = question(answer.plan, answer.settings)
    numbered.store(lake, f"{_TOPIC}{name}", answer.ds, answer.as_dict())
    return name


def load(lake: Lake, ds: str, name: str) -> dict[str, Any] | None:
    """Return a kept answer, or None while there is none.

    Raises:
        InvalidInput: this is no question's name.
        Corrupt: the answer is damaged.
    """
    if not NAME.fullmatch(name):
        raise InvalidInput("there is no such question", fix="ask it again with the form")
    stored = numbered.load(lake, f"{_TOPIC}{name}", ds)
    return stored[1] if stored else None


def names(lake: Lake, ds: str) -> list[str]:
    """Return the questions about a night that have an answer."""
    topics = lake.store.children(f"quality/{lake.branch}/{ds}")
    asked = [topic.removeprefix(_TOPIC) for topic in topics if topic.startswith(_TOPIC)]
    return [name for name in asked if NAME.fullmatch(name)]
