"""The pace that all processes of a home share: a channel's quota, a campaign's speed limit.

Grain: a file of HOME/pace for each, which holds what may still leave, and since when. Reads and writes only
that. Surprise: a process draws up to a quarter of a burst at once and uses it within 20 ms, since a lock for
each message would cost a tenth of the pace; what it did not use goes back.
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

from angelia.contracts.sending import Micros, burst_of, steady_per_minute

log = logging.getLogger(__name__)
CHANNEL, CAMPAIGN = "channel", "campaign"
_STATE = struct.Struct("<qd")  # instant in microseconds, messages that may leave
_HOLD_US = 20_000
_CONTENDED_S = 0.001
# The wall clock, since homes may be shared by machines. One that is further ahead than this was set.
_SET_US = 5_000_000


class SharedPace:
    """A token bucket in a file. Without a file that can be used it lets everything pass."""

    def __init__(self, path: Path, per_minute: float, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._path, self._wall_ns = path, wall_ns
        burst = burst_of(per_minute)
        # Messages leave up to 20 ms after they were drawn, so a sliding minute holds the draws of 60.02 s;
        # a smaller burst pays for that. Where it is one message, the 20 ms come to less than another.
        self.burst = max(1.0, burst - per_minute / 60 * _HOLD_US / 1e6)
        self.limit = steady_per_minute(per_minute) / 60
        self._most_drawn = max(1, int(burst / 4))
        self._file: int | None = None
        self._is_broken = False
        self._drawn, self._drawn_at = 0, 0
        self._full_at: Micros = 0  # by the wall clock, when the file may have been full again at the earliest
        self._left = 0.0  # in the file, as far as is known

    def wait(self, now: Micros) -> float:
        """Return 0 if a message may leave now, for which a token is held; else the seconds to wait."""
        if self._drawn > 0 and 0 <= now - self._drawn_at < _HOLD_US:
            return 0.0
        return self._draw(now)

    def use(self) -> None:
        """Use the token that `wait` has drawn."""
        self._drawn -= 1

    def give_back(self) -> None:
        """Return a token that was used for nothing."""
        self._drawn += 1

    def clears_in(self, rows: int) -> float:
        """Return the seconds until that many messages could have left, if nobody else sends."""
        return max(0.0, rows - self._drawn - self._left) / self.limit

    def close(self) -> None:
        """Give back what is drawn."""
        if self._drawn > 0 and self._file is not None:
            self._draw(0, most=0)
        if self._file is not None:
            os.close(self._file)
        self._file, self._drawn = None, 0

    def _draw(self, now: Micros, most: int | None = None) -> float:
        if self._is_broken:
            self._drawn = 1
            return 0.0
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            # Nobody holds the lock for longer than two system calls, and a dead process holds none.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _CONTENDED_S
        except OSError as error:
            return self._broken(error)
        try:
            return self._draw_locked(self._file, now, self._most_drawn if most is None else most)
        except OSError as error:
            return self._broken(error)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _draw_locked(self, file: int, now: Micros, most: int) -> float:
        wall = self._wall_ns() // 1000
        at, tokens = self._read(file, wall)
        # Somebody's clock may be a little ahead; one that was set back must not stop the sending.
        at = wall if at - wall > _SET_US else at
        # What was drawn before the bucket could fill up again would have run over since: it is lost.
        unused = max(0, self._drawn) if wall < self._full_at else 0
        tokens = min(self.burst, tokens + max(0, wall - at) / 1e6 * self.limit + unused)
        self._drawn, self._drawn_at = min(most, int(tokens)), now
        self._left = tokens - self._drawn
        self._full_at = wall + int((self.burst - self._left) / self.limit * 1e6)
        os.pwrite(file, _STATE.pack(max(at, wall), self._left), 0)
        return 0.0 if self._drawn else (1.0 - self._left) / self.limit + 1e-6

    def _read(self, file: int, wall: Micros) -> tuple[Micros, float]:
        state = os.pread(file, _STATE.size + 1, 0)
        if not state:
            return wall, self.burst  # nothing ever left by it
        at, tokens = _STATE.unpack(state) if len(state) == _STATE.size else (wall, math.nan)
        if math.isfinite(tokens) and tokens >= 0:
            return at, tokens
        os.ftruncate(file, 0)  # damaged: nobody knows what left
        return wall, 0.0

    def _broken(self, error: OSError) -> float:
        # Sending matters more: the process still keeps its own share.
        log.warning("the shared pace is not kept, %s: %s", self._path.name, error.strerror)
        self._is_broken, self._drawn = True, 1
        return 0.0


class SharedPaces:
    """The shared paces of one process, by name and limit."""

    def __init__(self, folder: Path | None) -> None:
        """Take the folder; None: each process has only its own pace."""
        self._folder = folder
        self._paces: dict[tuple[str, float], SharedPace] = {}

    def of(self, kind: str, name: str, per_minute: float) -> SharedPace | None:
        """Return the pace of a channel or a campaign."""
        if self._folder is None:
            return None
        file = f"{kind}.{name}"
        if (file, per_minute) not in self._paces:
            self._paces[file, per_minute] = SharedPace(self._folder / file, per_minute)
        return self._paces[file, per_minute]

    def close(self) -> None:
        """Give back what was drawn and not used."""
        for pace in self._paces.values():
            pace.close()
