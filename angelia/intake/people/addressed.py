"""Addresses that messages name in place of a person, under names that hide them.

Grain: message. Reads the lake's key of address hashes; writes nothing. Surprise: until a dispatcher knows
whose an address is, its messages are those of `to:HASH`, which takes the place of a person everywhere; the
answer to a request does not tell whether an address is somebody's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from angelia.contracts.ids import STRANGER
from angelia.errors import AngeliaError
from angelia.importing.addresses import judge_addresses
from angelia.intake.errors import refused
from angelia.intake.message import Draft, Refusal
from angelia.lake import Lake
from angelia.users.suppressions import address_hash, address_key

_NOT_OFFERED = Refusal("not_offered", "to", "this intake has no lake, which says whose an address is")


def stranger(key: bytes, channel: str, address: str) -> str:
    """Return the name of an address that is nobody's: by the hash that suppressions use."""
    return f"{STRANGER}{address_hash(key, channel, address)}"


def is_stranger(user: str) -> bool:
    """Say whether a name is that of an address."""
    return user.startswith(STRANGER)


def address_drafts(lake: Lake | None, drafts: Sequence[Draft]) -> None:
    """Give drafts that name an address its common form and its name, or a refusal.

    Raises:
        Refused: the lake, which has the key, does not answer.
    """
    mine = [draft for draft in drafts if draft.to is not None]
    if lake is None:
        _refuse(mine, _NOT_OFFERED)
        return
    try:
        key = address_key(lake.store)
    except (AngeliaError, OSError):
        reason = "the lake does not answer: nothing is acknowledged, send it again"
        raise refused("lake_unavailable", reason, retry_after_s=1) from None
    pairs = [draft.to for draft in mine if draft.to is not None]
    for draft, (channel, _), (address, why) in zip(mine, pairs, judge_addresses(pairs), strict=True):
        if why is not None:
            _refuse([draft], Refusal("format", "to", f"{channel}: {why}"))
        draft.to = channel, address
        draft.row["user_id"] = stranger(key, channel, address)


def _refuse(drafts: Iterable[Draft], refusal: Refusal) -> None:
    for draft in drafts:
        draft.refusal = draft.refusal or refusal
