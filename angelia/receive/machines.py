"""Opens and clicks that no person made: programs that fetch pictures or follow links.

Sources: Apple's Mail Privacy Protection fetches as bare `Mozilla/5.0`; the others name themselves. Read
2026-11-28. Surprise: Gmail's and Yahoo's picture proxies fetch when a person opens, so theirs count.
"""

from __future__ import annotations

from angelia.contracts.outcomes import MACHINE

_BARE = frozenset({"mozilla/5.0", "mozilla/4.0"})
_WORDS = (
    "bot", "crawler", "spider", "barracuda", "proofpoint", "mimecast", "bitdefender", "safelinks", "preview",
    "python-", "curl/", "wget/", "go-http-client", "java/", "okhttp", "headlesschrome",
)  # fmt: skip
_PEOPLE = ("googleimageproxy", "yahoomailproxy")


def reason_of_open(agent: object) -> str | None:
    """Return `machine` if a program with this name opens or clicks by itself, else nothing."""
    name = str(agent or "").strip().casefold()
    if any(word in name for word in _PEOPLE):
        return None
    return MACHINE if name in _BARE or any(word in name for word in _WORDS) else None
