"""Where kept lift models lie, and the newest of a name as it is stored.

Layout, in the registry's store: `lift/NAME/00000001.json` and on. Apart from `kept`, so that a night that
asks for no model loads none of what models need.
"""

from __future__ import annotations

from angelia.lake.store import Store

SCORE = "uplift_score"  # the model of this name fills the column and audience field of the same name
_ROOT = "lift"


def numbers(store: Store, name: str) -> list[int]:
    """Return the numbers of a name's models."""
    files = (file.removesuffix(".json") for file in store.children(f"{_ROOT}/{name}"))
    return [int(file) for file in files if file.isdigit()]


def path_of(name: str, number: int) -> str:
    """Return where a model lies."""
    return f"{_ROOT}/{name}/{number:08d}.json"


def newest(store: Store, name: str) -> bytes | None:
    """Return the newest kept model of a name as it is stored, or None."""
    number = max(numbers(store, name), default=0)
    return store.read(path_of(name, number)) if number else None
