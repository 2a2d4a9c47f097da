"""The one form of a benchmark's result, as docs/architecture.md says it."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Result(TypedDict):
    """What a benchmark's `main` returns; printing adds the name and the machine."""

    params: dict[str, Any]
    ours: dict[str, Any]
    peers: dict[str, dict[str, Any]]
    runs: int
    notes: NotRequired[dict[str, Any]]  # not figures: what was compared, which peers were left out


def line(name: str, result: Result, machine: dict[str, Any]) -> dict[str, Any]:
    """Return the object that is printed.

    Raises:
        TypeError: the result has another form.
    """
    if set(result) - {"notes"} != {"params", "ours", "peers", "runs"} or not all(
        isinstance(peer, dict) for peer in result["peers"].values()
    ):
        raise TypeError(
            f"benchmark {name} returned another form than docs/architecture.md says: {sorted(result)}"
        )
    return {"benchmark": name, **result, "machine": machine}
