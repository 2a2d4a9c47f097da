"""The one form of a benchmark's result, as docs/architecture.md says it."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Result(TypedDict):
    """What a benchmark's `main` returns; the name and the machine are added where it is printed."""

    params: dict[str, Any]
    ours: dict[str, Any]
    peers: dict[str, dict[str, Any]]
    runs: int
    notes: NotRequired[dict[str, Any]]  # what is no figure: what was compared, which peers were left out


def line(name: str, found: Result, machine: dict[str, Any]) -> dict[str, Any]:
    """Return the object that is printed.

    Raises:
        TypeError: the result has another form.
    """
    if set(found) - {"notes"} != {"params", "ours", "peers", "runs"} or not all(
        isinstance(one, dict) for one in found["peers"].values()
    ):
        raise TypeError(
            f"benchmark {name} returned another form than docs/architecture.md says: {sorted(found)}"
        )
    return {"benchmark": name, **found, "machine": machine}
