"""Lift models that are kept under a name, for campaigns to count lift as worth.

Layout, in the registry's store: `lift/NAME/00000001.json` and on, each a whole model with the words of its
categories, what it was read out to be worth, and a hash of all that. A file appears by conditional create and
never changes; the newest counts. Surprise: a model is learnt from everybody who was not held out, over all
nights of its span, so its lift is divided by the messages that those people got.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from angelia.errors import Conflict, Corrupt, InvalidInput
from angelia.lake.store import Store
from models.registry import to_json
from models.uplift.curves import Floats
from models.uplift.learning import Uplift
from models.uplift.people import KEPT, encode
from models.uplift.stored import newest, numbers, path_of

__all__ = ["LiftModel", "keep", "load", "newest"]


@dataclass(frozen=True)
class LiftModel:
    """A kept model: what one message adds to a metric, by person."""

    version: str  # NAME/HASH
    model: Uplift
    vocabulary: Mapping[str, Sequence[str]]
    messages: float  # that each person who was not held out got in the span
    facts: Mapping[str, Any]  # as `angelia effects uplift --json` shows them

    def per_message(self, users: pa.Table) -> Floats:
        """Return what one message adds to the metric for each row of user_features, (n,)."""
        return self.model.score(encode(users, self.vocabulary)) / self.messages

    def as_meta(self) -> dict[str, Any]:
        """Return what a commit that was scored with it says of it."""
        facts = self.facts
        read_out = {name: facts[name] for name in ("metric", "scope", "above_chance")}
        return {"model": self.version, **read_out, "nights": list(facts["nights"])}


def keep(
    store: Store,
    name: str,
    model: Uplift,
    vocabulary: Mapping[str, Sequence[str]],
    messages: float,
    facts: Mapping[str, Any],
) -> str:
    """Keep a model as the newest of its name, and return its version.

    Raises:
        InvalidInput: nobody got a message, so there is no lift of one.
        Conflict: another one was kept under this name meanwhile.
    """
    if messages <= 0:
        raise InvalidInput(
            "nobody was sent a message in these nights, so a message's lift is unknown",
            fix="name nights that were sent",
        )
    body = {
        "columns": list(KEPT),
        "model": model.to_text(),
        "vocabulary": {name: list(words) for name, words in vocabulary.items()},
        "messages": messages,
        "facts": dict(facts),
    }
    number, sha256 = max(numbers(store, name), default=0) + 1, _hash(body)
    # Of two writers of one number the later one must not replace the first one's model.
    if not store.create(path_of(name, number), to_json({"sha256": sha256, "body": body})):
        raise Conflict(
            f"another lift model was kept as {name} meanwhile", fix="keep this one again if it should count"
        )
    return _version(name, sha256)


def load(name: str, stored: bytes) -> LiftModel:
    """Return the model that `newest` gave.

    Raises:
        Corrupt: it is not what was stored.
        InvalidInput: it was learnt from other columns than this code reads.
    """
    again = f"keep it anew: `angelia effects uplift --keep {name}` with its nights"
    try:
        raw = json.loads(stored)
        body, expected = raw["body"], raw["sha256"]
    except (ValueError, KeyError, TypeError):
        raise Corrupt(f"lift model {name} is damaged", fix=again) from None
    if _hash(body) != expected:
        raise Corrupt(f"lift model {name} was changed after it was stored", fix=again)
    if body["columns"] != list(KEPT):
        raise InvalidInput(f"lift model {name} was learnt from other columns than this code reads", fix=again)
    return LiftModel(
        _version(name, expected),
        Uplift.from_text(body["model"]),
        body["vocabulary"],
        float(body["messages"]),
        body["facts"],
    )


def _version(name: str, sha256: str) -> str:
    return f"{name}/{sha256[:12]}"


def _hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(to_json(body)).hexdigest()
