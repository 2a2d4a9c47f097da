"""What an erasure remembers while it works: tombstones, and old files to delete.

Grain: person; list of files. Writes `erasing/people/{keyed hash}`, `erasing/drops/{n}`,
`erasing/locks/{epoch}`, and at the end `erasures/{tombstone}`. The key is `keys/erasure`. At the end the link
from the hash to the tombstone is deleted: from then on nobody can find a person's tombstone, even with their
id in hand.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from angelia.errors import Conflict, NotFound
from angelia.lake.failpoint import failpoint
from angelia.lake.keys import lake_key
from angelia.lake.store import Store

LOCKS = "erasing/locks"


@dataclass(frozen=True)
class ErasedPerson:
    """One person being erased: the note about them, and the id they get."""

    note: str
    tombstone: str


class ErasureJournal:
    """The journal of one store."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self.store, self.clock = store, clock

    @contextmanager
    def alone(self, takeover: bool) -> Iterator[None]:
        """Hold the lock: two erasures that rewrite one commit would undo each other.

        The lock of a process that died on this machine is taken over.

        Raises:
            Conflict: another erasure is under way.
        """
        mine = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since_ts": self.clock().isoformat(timespec="seconds"),
            "nonce": secrets.token_hex(8),
        }
        body = json.dumps(mine, sort_keys=True).encode()
        while True:
            newest = max((int(name.partition(".")[0]) for name in self.store.children(LOCKS)), default=0)
            if newest and not self.store.exists(f"{LOCKS}/{newest:08d}.released"):
                holder = json.loads(self.store.read(f"{LOCKS}/{newest:08d}"))
                # Whether a process of another machine lives cannot be known from here.
                if not takeover and (holder["host"] != mine["host"] or _lives(holder["pid"])):
                    raise Conflict(
                        (
                            f"another erasure is under way, on {holder['host']} since "
                            f"{holder['since_ts']} (process {holder['pid']})"
                        ),
                        fix="wait for it; if that process is dead, --takeover",
                    )
            if self.store.create(f"{LOCKS}/{newest + 1:08d}", body):  # else somebody was faster: look again
                break
        try:
            yield
        finally:
            self.store.create(f"{LOCKS}/{newest + 1:08d}.released", b"{}")

    def find(self, user: str) -> ErasedPerson | None:
        """Return the person of an erasure that was begun and not ended."""
        note = self._note(user)
        try:
            return ErasedPerson(note, json.loads(self.store.read(note))["tombstone"])
        except NotFound:
            return None

    def begin(self, user: str) -> ErasedPerson:
        """Note that an erasure began."""
        person = ErasedPerson(self._note(user), f"erased-{secrets.token_hex(8)}")
        self.store.create(person.note, json.dumps({"tombstone": person.tombstone}).encode())
        failpoint("erase.begun")
        return person

    def end(self, people: Mapping[str, ErasedPerson]) -> None:
        """Note for good that people were erased, and forget who they were."""
        for person in people.values():
            when = {"erased_ts": self.clock().isoformat(timespec="seconds")}
            self.store.create(f"erasures/{person.tombstone}", json.dumps(when).encode())
            self.store.delete(person.note)

    def note_drops(self, paths: list[str]) -> None:
        """Note files that no commit will name any more."""
        self.store.create(f"erasing/drops/{secrets.token_hex(8)}", json.dumps(paths).encode())

    def drops(self) -> list[tuple[str, list[str]]]:
        """Return the notes of files to delete, of this erasure and of one that died."""
        return [(key, json.loads(self.store.read(key))) for key in list(self.store.list("erasing/drops"))]

    def _note(self, user: str) -> str:
        digest = hmac.new(lake_key(self.store, "erasure"), user.encode(), hashlib.sha256).hexdigest()
        return f"erasing/people/{digest[:32]}"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
