"""Numbered JSON objects below `quality/{branch}/{ds}/{topic}`; the newest number wins.

Nothing is ever overwritten. Verdicts of gates and of the guard are kept this way, one topic each. Reads and
writes the lake's store; never Parquet.
"""

from __future__ import annotations

import json
import re
from typing import Any

from angelia.errors import Corrupt
from angelia.lake import Lake

_NUMBER = re.compile(r"^(\d{4,})\.json$")


def store(lake: Lake, topic: str, ds: str, value: Any) -> str:
    """Write a value as the next numbered object of a topic on this branch; return its key."""
    folder = _folder(lake.branch, topic, ds)
    body = json.dumps(value, sort_keys=True, indent=1).encode() + b"\n"
    number = _newest(lake, folder) + 1
    while not lake.store.create(f"{folder}/{number:04d}.json", body):
        number += 1  # somebody wrote meanwhile; the later number wins
    return f"{folder}/{number:04d}.json"


def load(lake: Lake, topic: str, ds: str, branch: str | None = None) -> tuple[str, Any] | None:
    """Return key and value of a topic's newest object, or None.

    The branch is this lake's if no other is named.

    Raises:
        Corrupt: the newest object is not JSON.
    """
    folder = _folder(branch or lake.branch, topic, ds)
    number = _newest(lake, folder)
    if not number:
        return None
    key = f"{folder}/{number:04d}.json"
    try:
        return key, json.loads(lake.store.read(key))
    except ValueError:
        raise Corrupt(
            f"{key} is not JSON",
            fix="write it again, the newest number wins: check the gate, or run the guard",
        ) from None


def _folder(branch: str, topic: str, ds: str) -> str:
    return f"quality/{branch}/{ds}/{topic}"


def _newest(lake: Lake, folder: str) -> int:
    return max(
        (int(match.group(1)) for name in lake.store.children(folder) if (match := _NUMBER.match(name))),
        default=0,
    )
