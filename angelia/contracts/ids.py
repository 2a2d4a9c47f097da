"""Identities and draws: hashes that are the same on every machine, shard, attempt and day.

`message_id` is the once-only key of a message, `dispatch_id` one attempt at one address. Draws are
counter-based: a user's 64-bit key mixed with a salt, so that a rerun repeats them and no shard boundary can
change them. Source of the mixer: splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
generators, OOPSLA 2014).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b, sha256

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]


def _hash(*parts: str, size: int = 16) -> str:
    # The unit separator cannot occur in an id (contracts forbid control characters), so no two part lists
    # collide.
    return blake2b("\x1f".join(parts).encode(), digest_size=size).hexdigest()


def message_id(campaign_id: str, user_id: str, occurrence: str) -> str:
    """Return the once-only key of one message (32 hex digits); caps count these."""
    return _hash("m", campaign_id, user_id, occurrence)


def dispatch_id(message: str, channel: str, address: str) -> str:
    """Return the key of one attempt at one address (32 hex digits)."""
    return _hash("d", message, channel, address)


INTAKE_OCCURRENCE = "intake-"  # of a message that came by itself: its id follows
_LIST = "l-"


@lru_cache(maxsize=4096)
def list_id(campaign_id: str, occurrence: str, channel: str) -> str | None:
    """Return what the messages of one occurrence share on a channel (`l-` and 32 hex digits).

    It stands in payloads that go to many addresses at once, in place of a dispatch id. None: the occurrence
    is one message's own.
    """
    if occurrence.startswith(INTAKE_OCCURRENCE):
        return None
    return _LIST + _hash("l", campaign_id, occurrence, channel)


def is_list(text: str) -> bool:
    """Say whether a text has the form of a list's id."""
    digits = text.removeprefix(_LIST)
    return len(text) == len(_LIST) + 32 and len(digits) == 32 and set(digits) <= set("0123456789abcdef")


def listed_id(shared: str, address: str) -> str:
    """Return the name of a list's message at one address (32 hex digits).

    Phones make it too, so it is SHA-256, which each of them has.
    """
    return sha256(f"{shared}:{address}".encode()).hexdigest()[:32]


# Campaigns that no operator writes: a template that clients send without one, by the message's class. The
# class is in the name, so that every night that counts the message knows whether it was exempt.
_DIRECT = {"transactional": "transactional__", "marketing": "marketing__"}
DIRECT_PREFIXES = tuple(_DIRECT.values())
MAX_DIRECT_LETTERS = 64 - max(map(len, DIRECT_PREFIXES))  # of a template's id
OWED = _DIRECT["transactional"]
STRANGER = "to:"  # begins the name of an address that stands in place of a person


def direct_campaign(template: str, message_class: str) -> str:
    """Return the campaign that messages of a template have which name no campaign."""
    return f"{_DIRECT[message_class]}{template}"


def direct_template(campaign_id: str) -> str | None:
    """Return the template that a campaign stands for, None if an operator wrote the campaign."""
    prefix = next((each for each in DIRECT_PREFIXES if campaign_id.startswith(each)), None)
    return None if prefix is None else campaign_id[len(prefix) :]


def hash64(text: str) -> int:
    """Return a stable 64-bit hash of a text: salts, user keys, ties."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def user_keys(user_ids: Iterable[str]) -> U64:
    """Return one 64-bit key per user id, shape (n,)."""
    joined = b"".join(blake2b(user.encode(), digest_size=8).digest() for user in user_ids)
    return np.frombuffer(joined, dtype="<u8").astype(np.uint64)


def mix(keys: U64, *salts: str) -> U64:
    """Mix user keys with salts (campaign, occurrence, layer) into 64 uniform bits each."""
    with np.errstate(over="ignore"):
        z = keys ^ np.uint64(hash64("\x1f".join(salts)))
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(keys: U64, *salts: str) -> npt.NDArray[np.float64]:
    """Draw one number in [0, 1) per user key, a pure function of key and salts."""
    return (mix(keys, *salts) >> np.uint64(11)).astype(np.float64) * 2.0**-53
