"""The ledger: claims, intents before sends, outcomes after; each a conditional create.

Nothing else coordinates workers. Keys in the lake's store (part = sha256 of the part):
`claims/{part}/{epoch}`, `heartbeats/{part}/{epoch}`, `released/{part}/{epoch}`, `intents/{part}/{k}`,
`outcomes/{part}/{k}`, `late/{part}/{k}-{epoch}`, `done/{part}`. Batch k is a fixed range of the part's rows;
after a takeover that sends again (at least once) the second intent is `intents/{part}/{k}-e{epoch}`. Times
here are lease time, microseconds since 1970 UTC.

Surprise: an intent without outcomes is not a failure record but an *unknown*: its rows may have been sent,
and only its owner can know. Every object has a checksum, and whoever reads a damaged one stops (Corrupt): a
number misread here sends a message twice.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from angelia.contracts.sending import Micros
from angelia.delivery.manifest.objects import create_json, damaged, fields_of, open_bytes, read_json, to_bytes
from angelia.delivery.manifest.parts import Part
from angelia.errors import Corrupt, NotFound
from angelia.lake.store import Store

STALE_US = 300 * 1_000_000
STANDING, LATE = "outcomes", "late"  # folders of outcome objects
PAYLOAD_BYTES = 8  # of a payload hash in an intent: rows are compared one with one, so chance has 2^-64


@dataclass(frozen=True)
class Owner:
    """A worker process, named so precisely that its own machine can tell whether it still runs."""

    host: str
    boot: str
    namespace: str
    pid: int
    started: str

    @classmethod
    def this_process(cls) -> Owner:
        """Return the owner record of this process."""
        return cls(socket.gethostname(), _boot(), _namespace(), os.getpid(), _start_ticks(os.getpid()) or "")

    def is_dead(self) -> bool:
        """Say whether the process is *provably* gone.

        That is: same machine, boot and pid namespace, and no such process (zombies count as gone).
        """
        here = (socket.gethostname(), _boot(), _namespace())
        if not self.boot or not self.started or (self.host, self.boot, self.namespace) != here:
            return False
        return _start_ticks(self.pid) != self.started


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _start_ticks(pid: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]


@dataclass(frozen=True)
class Claim:
    """This worker's right to a part, until another worker creates the next epoch."""

    part: str
    epoch: int
    owner: Owner
    is_takeover: bool = False  # the one before had not given it back


class Lease(NamedTuple):
    """How long a claim keeps others out: `STALE_US` after its holder was last heard of."""

    epoch: int
    seen: Micros

    @property
    def end(self) -> Micros:
        """Return the last instant at which the holder has the part, unless it is heard of again."""
        return self.seen + STALE_US


@dataclass(frozen=True)
class Intent:
    """Rows a worker was about to send.

    Attributes:
        k: the batch.
        deadline: the owner starts no request after this instant.
        rows: number of rows in this batch.
        size: number of rows in every full batch of the part.
    """

    k: int
    epoch: int
    key: str
    owner: Owner
    deadline: Micros
    rows: int
    size: int
    payloads: bytes = b""  # a hash of each row's payload, one after the other

    def payload(self, position: int) -> bytes | None:
        """Return the payload hash of the batch's row at a position; None if the intent has none."""
        return self.payloads[position * PAYLOAD_BYTES : (position + 1) * PAYLOAD_BYTES] or None


class Ledger:
    """The ledger over one store; `lease_now` is injected."""

    def __init__(self, store: Store, owner: Owner, lease_now: Callable[[], Micros]) -> None:
        self.store, self.owner, self.lease_now = store, owner, lease_now

    # ---- claims

    def claim(self, part: Part, *, takeover: bool = False) -> Claim | None:
        """Claim a part; None if it is done, or another worker holds it.

        A held part is taken over when asked for, when its owner released it, when its heartbeat is older than
        300 s, or when its owner is provably dead.

        Raises:
            Corrupt: the standing claim, its release or the mark of the end is damaged.
        """
        if self.is_done(part.id):
            return None
        epoch = self.newest_epoch(part.id)
        is_released = epoch > 0 and self._stands(f"released/{part.id}/{epoch:08d}")
        is_free = not epoch or self._is_free(part.id, epoch)  # asked whatever else holds: it reads the claim
        if not (is_free or is_released or takeover):
            return None
        claim = Claim(part.id, epoch + 1, self.owner, epoch > 0 and not is_released)
        body = {
            "owner": asdict(self.owner),
            "claimed": self.lease_now(),
            "ds": part.ds,
            "send_hour": part.send_hour,
            "leaf": part.leaf,
        }
        return claim if create_json(self.store, f"claims/{part.id}/{claim.epoch:08d}", body) else None

    def newest_epoch(self, part: str) -> int:
        """Return the newest epoch of a part, 0 = unclaimed."""
        return max(self._numbers(f"claims/{part}").values(), default=0)

    def _numbers(self, folder: str) -> dict[str, int]:
        """Return the names in a folder with the numbers they begin with."""
        numbers = {}
        for name in self.store.children(folder):
            with fields_of(f"{folder}/{name}"):
                numbers[name] = int(name.split("-")[0])
        return numbers

    def _stands(self, key: str) -> bool:
        """Say whether an object whose presence alone counts is there, and whole."""
        try:
            read_json(self.store, key)
        except NotFound:
            return False
        return True

    def _is_free(self, part: str, epoch: int) -> bool:
        return self._sign_of_life(part, epoch) is None

    def _sign_of_life(self, part: str, epoch: int) -> Micros | None:
        """Return when the holder of a claim was last heard of; None if it may be taken."""
        key = f"claims/{part}/{epoch:08d}"
        standing = read_json(self.store, key)
        with fields_of(key):
            owner, seen = Owner(**standing["owner"]), int(standing["claimed"])
        if owner.is_dead():
            return None
        beat = f"heartbeats/{part}/{epoch:08d}"
        # A heartbeat is not made durable: after a power cut it may be empty.
        with contextlib.suppress(NotFound, Corrupt), fields_of(beat):
            seen = int(read_json(self.store, beat)["at"])
        return None if self.lease_now() - seen > STALE_US else seen

    def lease(self, part: str) -> Lease | None:
        """Return the lease by which another worker holds a part; None if it is free or done.

        Raises:
            Corrupt: the standing claim, its release or the mark of the end is damaged.
        """
        epoch = self.newest_epoch(part)
        if not epoch or self.is_done(part) or self._stands(f"released/{part}/{epoch:08d}"):
            return None
        seen = self._sign_of_life(part, epoch)
        return None if seen is None else Lease(epoch, seen)

    def is_fenced(self, claim: Claim) -> bool:
        """Say whether another worker has taken the part over."""
        return self.newest_epoch(claim.part) != claim.epoch

    def heartbeat(self, claim: Claim) -> None:
        """Write that this worker lives, over its own last heartbeat."""
        self.store.put(f"heartbeats/{claim.part}/{claim.epoch:08d}", to_bytes({"at": self.lease_now()}))

    def release(self, claim: Claim) -> None:
        """Give a claim back: every open intent has its outcomes."""
        create_json(self.store, f"released/{claim.part}/{claim.epoch:08d}", {})

    # ---- intents and outcomes

    def intend(
        self,
        claim: Claim,
        k: int,
        rows: int,
        size: int,
        deadline: Micros,
        *,
        payloads: bytes = b"",
        again: bool = False,
    ) -> bool:
        """Write the intent of a batch; False = another worker has it."""
        key = f"intents/{claim.part}/{k:06d}" + (f"-e{claim.epoch}" if again else "")
        body = {
            "owner": asdict(self.owner),
            "epoch": claim.epoch,
            "deadline": deadline,
            "rows": rows,
            "size": size,
            "at": self.lease_now(),
        }
        body["payloads"] = base64.b64encode(payloads).decode()
        return create_json(self.store, key, body)

    def intents(self, part: str) -> dict[int, list[Intent]]:
        """Return the intents of a part by batch.

        Raises:
            Corrupt: one is damaged, or two name batches of different sizes: nobody knows which rows were
                intended.
        """
        by_batch: dict[int, list[Intent]] = {}
        sizes: set[int] = set()
        for name, k in self._numbers(f"intents/{part}").items():
            key = f"intents/{part}/{name}"
            raw = read_json(self.store, key)
            with fields_of(key):
                numbers = [int(raw[field]) for field in ("epoch", "deadline", "rows", "size")]
                payloads = base64.b64decode(raw.get("payloads", ""), validate=True)
                intent = Intent(
                    k, numbers[0], key, Owner(**raw["owner"]), numbers[1], numbers[2], numbers[3], payloads
                )
            sizes.add(intent.size)
            fits = 0 < intent.rows <= intent.size and len(payloads) in (0, intent.rows * PAYLOAD_BYTES)
            if not fits or len(sizes) > 1:
                raise damaged(key)
            by_batch.setdefault(k, []).append(intent)
        return by_batch

    def batches_with_outcomes(self, part: str) -> set[int]:
        """Return the batches whose outcomes are written."""
        return set(self._numbers(f"outcomes/{part}").values())

    def has_outcomes(self, part: str, k: int) -> bool:
        """Say whether the outcomes of a batch are written."""
        return self.store.exists(f"outcomes/{part}/{k:06d}")

    def conclude(self, claim: Claim, k: int, outcomes: bytes) -> bool:
        """Write the outcomes of a batch; False = another worker resolved it first.

        Ours are then appended as late truth.
        """
        if self.store.create(f"outcomes/{claim.part}/{k:06d}", outcomes):
            return True
        self.store.create(f"late/{claim.part}/{k:06d}-{claim.epoch:08d}", outcomes)
        return False

    def move_on(self, part: str, outcomes: bytes) -> None:
        """Write that rows of a part have gone to their next channels; the first word stands."""
        self.store.create(f"{LATE}/{part}/moved", outcomes)

    def written(self, parts: Iterable[str]) -> tuple[int, ...]:
        """Return how many outcome objects each part has, late ones too.

        Nothing is ever changed or removed, so equal numbers mean equal knowledge.
        """
        return tuple(
            len(self.store.children(f"{folder}/{part}"))
            for part in sorted(parts)
            for folder in (STANDING, LATE)
        )

    def read_outcomes(self, part: str, folders: Sequence[str] = (STANDING, LATE)) -> Iterable[bytes]:
        """Yield the outcome objects of a part: first those that stand, then late ones.

        Raises:
            Corrupt: one is damaged.
        """
        for folder in folders:
            for name in self.store.children(f"{folder}/{part}"):
                key = f"{folder}/{part}/{name}"
                yield open_bytes(self.store.read(key), key)

    # ---- the end of a part

    def is_done(self, part: str) -> bool:
        """Say whether a part is finished. Raises: Corrupt."""
        return self._stands(f"done/{part}")

    def finish(self, part: str, summary: dict[str, Any]) -> None:
        """Mark a part finished."""
        create_json(self.store, f"done/{part}", summary)
