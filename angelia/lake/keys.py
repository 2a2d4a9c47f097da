"""Secrets of one lake: random keys below `keys/`, each with its checksum beside it.

`keys/{name}` holds 64 hex digits, `keys/{name}.sha256` the checksum of these bytes. Surprise: a key that an
older version made gets its checksum when it is first read, and is trusted as it stands until then. A key that
is damaged or gone is never replaced: every hash made with it would match nobody any more, and people whose
address was closed would be written to again.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator

from angelia.errors import Corrupt, NotFound
from angelia.lake.store import KEYS, Store

_SEAL = ".sha256"


def lake_key(store: Store, name: str) -> bytes:
    """Return a key of this lake; the first who asks makes it.

    Raises:
        Corrupt: the key or its checksum has changed, or the key is gone.
    """
    key, seal = f"{KEYS}{name}", f"{KEYS}{name}{_SEAL}"
    if not store.exists(key) and not store.exists(seal):
        store.create(key, secrets.token_hex(32).encode())
    data = _checked(store, key)
    if not store.exists(seal):
        store.create(seal, _digest(data))
        data = _checked(store, key)
    return data


def damaged_keys(store: Store) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong) of the keys that stand."""
    for name in sorted({name.removesuffix(_SEAL) for name in store.children(KEYS.rstrip("/"))}):
        try:
            _checked(store, f"{KEYS}{name}")
        except Corrupt as error:
            yield f"{KEYS}{name}", error.one_line()


def _checked(store: Store, key: str) -> bytes:
    """Return a key's bytes, compared with their checksum if there is one. Raises: Corrupt."""
    fix = f"restore {key} and {key}{_SEAL} from a backup; no other key was made in its place"
    try:
        data = store.read(key)
    except NotFound:
        raise Corrupt(f"{key} is missing", fix=fix) from None
    if store.exists(key + _SEAL) and store.read(key + _SEAL) != _digest(data):
        raise Corrupt(f"{key} is damaged, or its checksum is", fix=fix)
    return data


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()
