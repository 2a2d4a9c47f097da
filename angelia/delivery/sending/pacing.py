"""How fast and how often: token bucket, decrease on 429, breaker, Retry-After, backoff.

Surprise: the bucket keeps every sliding minute below the quota, not only the average, so its steady rate is a
little below quota / 60. Source of the backoff: "Exponential backoff and jitter" (AWS architecture blog,
2015), full jitter, capped.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

from angelia.contracts.sending import Micros, burst_of, steady_per_minute
from angelia.delivery.sending.shared_pace import SharedPace

_DECREASE, _RECOVER_PER_S, _FLOOR = 0.5, 0.05, 0.01
_OPEN_AFTER = 20  # failures in a row
_PROBE_CAP_S = 30.0


class TokenBucket:
    """Tokens on plan time; `take` never blocks, it says how long to wait before asking again."""

    def __init__(self, per_minute: float, now: Micros, shared: SharedPace | None = None) -> None:
        """Take this process's own share, and what all processes of the home keep to together."""
        self._shared = shared
        self.burst, self.limit = burst_of(per_minute), steady_per_minute(per_minute) / 60
        self.rate = self.limit
        self.tokens = self.burst
        self.paused_until: Micros = 0
        self._at = now
        self._decreased_at: Micros = 0
        self.n_decreases = 0

    def wait(self, now: Micros) -> float:
        """Return 0 if a token is there (of the shared pace one is held), else the seconds to wait."""
        if now < self.paused_until:
            return (self.paused_until - now) / 1e6
        elapsed = (now - self._at) / 1e6
        if elapsed > 0:
            self._at = now
            if self.rate < self.limit:
                self.rate = min(self.limit, self.rate + self.limit * _RECOVER_PER_S * min(elapsed, 1.0))
            self.tokens = min(self.burst, self.tokens + elapsed * self.rate)
        if self.tokens < 1.0:
            return (1.0 - self.tokens) / self.rate + 1e-6
        return 0.0 if self._shared is None else self._shared.wait(now)

    def take(self, now: Micros) -> float:
        """Take a token and return 0, or return the seconds to wait for one."""
        pause = self.wait(now)
        if not pause:
            self.use()
        return pause

    def use(self) -> None:
        """Take the token that `wait` saw."""
        self.tokens -= 1.0
        if self._shared is not None:
            self._shared.use()

    def give_back(self) -> None:
        """Return a token that was not used."""
        self.tokens = min(self.burst, self.tokens + 1.0)
        if self._shared is not None:
            self._shared.give_back()

    def clears_in(self, rows: int) -> float:
        """Return the seconds until that many tokens could have been taken."""
        own = max(0.0, rows - self.tokens) / self.limit
        return own if self._shared is None else max(own, self._shared.clears_in(rows))

    def throttled(self, now: Micros, retry_after_s: float | None) -> None:
        """Halve the rate, and hold everything while the provider asks for it.

        A storm of 429s is one signal, so the rate is halved at most once a second.
        """
        if now - self._decreased_at >= 1_000_000:
            self._decreased_at = now
            self.n_decreases += 1
            self.rate = max(self.limit * _FLOOR, self.rate * _DECREASE)
        if retry_after_s:
            self.paused_until = max(self.paused_until, now + int(retry_after_s * 1e6))


class Breaker:
    """Stops asking a provider that does not answer well.

    After a growing pause it lets one probe through (half-open).
    """

    def __init__(self, open_after: int = _OPEN_AFTER) -> None:
        self._open_after = open_after
        self.failures = 0
        self.n_opened = 0
        self._until: Micros = 0
        self._pause_s = 1.0
        self._probing = False
        self.is_open = False

    def pause(self, now: Micros) -> float:
        """Return 0 if a request may go ahead, else the seconds to wait."""
        if not self.is_open:
            return 0.0
        if self._probing:
            return 0.1
        return max(0.0, (self._until - now) / 1e6)

    def wait(self, now: Micros) -> float:
        """Return 0 to go ahead (as the probe, if the breaker is open), else the seconds to wait."""
        pause = self.pause(now)
        if not pause and self.is_open:
            self._probing = True
        return pause

    def abandoned(self) -> None:
        """Take back what `wait` let through: the request was not made after all."""
        self._probing = False

    def succeeded(self) -> bool:
        """Close the breaker on a well-formed answer about a message; say whether it was open."""
        was_open = self.is_open
        self.failures = 0
        if was_open:
            self.is_open, self._probing, self._pause_s = False, False, 1.0
        return was_open

    def failed(self, now: Micros) -> bool:
        """Count a 5xx, no answer, or no connection; say whether that opened the breaker."""
        self.failures += 1
        if self.is_open and self._probing:
            self._probing = False
            self._pause_s = min(_PROBE_CAP_S, self._pause_s * 2)
            self._until = now + int(self._pause_s * 1e6)
        elif not self.is_open and self.failures >= self._open_after:
            self.is_open = True
            self.n_opened += 1
            self._until = now + int(self._pause_s * 1e6)
            return True
        return False


def retry_after(value: str | None, now: Micros) -> float | None:
    """Return the seconds a Retry-After header asks for, at most an hour.

    The header is a number of seconds or an HTTP date (RFC 9110 10.2.3); None if it is absent or unreadable.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), 3600.0)
    try:
        when = parsedate_to_datetime(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return min(max(0.0, when.timestamp() - now / 1e6), 3600.0)
    except (ValueError, TypeError, OverflowError):
        # No date at all, a zone of a million hours, or the year 1 in a zone east of Greenwich.
        return None


def backoff(attempt: int, uniform: Callable[[], float], base_s: float = 0.5, cap_s: float = 16.0) -> float:
    """Return the seconds before retry number `attempt` (from 1), never below 50 ms.

    They are uniform in (0, min(cap, base * 2^attempt)].
    """
    return max(0.05, float(min(cap_s, base_s * 2 ** min(attempt, 16)) * uniform()))
