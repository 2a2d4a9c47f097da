"""Publishes what the world wrote, or adopts the standing commit if it is the same bytes from the same inputs:
asking twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from angelia.errors import Corrupt
from angelia.lake import Attempt, Commit, Lake


def publish_once(
    lake: Lake,
    attempt: Attempt,
    *,
    inputs: Sequence[Commit] = (),
    params: Mapping[str, Any],
    meta: Mapping[str, Any] | None = None,
    rejects: Mapping[str, int] | None = None,
) -> Commit:
    """Publish an attempt, unless the newest commit holds the same files with whole bytes; then leave that one
    standing and return it.
    """
    standing = lake.head(attempt.name, **attempt.partition)
    if standing is not None and _same(standing, attempt, inputs, params) and _is_whole(lake, standing):
        return standing
    return attempt.publish(inputs=inputs, params=params, meta=meta, rejects=rejects)


def _same(standing: Commit, attempt: Attempt, inputs: Sequence[Commit], params: Mapping[str, Any]) -> bool:
    def shapes(files: Sequence[Any]) -> list[tuple[str, str]]:
        return sorted((entry.path.rsplit("/", 1)[-1], entry.sha256) for entry in files)

    same_inputs = sorted(standing.inputs) == sorted({item.citation() for item in inputs})
    return (
        same_inputs
        and dict(standing.params) == dict(params)
        and shapes(standing.files) == shapes(attempt.files)
    )


def _is_whole(lake: Lake, commit: Commit) -> bool:
    try:
        for entry in commit.files:
            lake.check_bytes(entry)
    except Corrupt:
        return False
    return True
