"""Who asks for an inbox: the token that the shop's backend signs for a person.

A JSON Web Token, HS256, with `sub` (the person's id), `aud` (`angelia`) and `exp`, at most a day ahead.
Surprise: the person is named in the header only, never in an address, so no proxy's log holds the id.
"""

from __future__ import annotations

from datetime import datetime

import jwt

AUDIENCE = "angelia"
LONGEST_S = 86_400
MIN_SECRET = 32  # bytes; RFC 7518 3.2 for HS256


def person_of(authorization: str, secret: str, now: datetime) -> str | None:
    """Return the person whom a header names, None if its token is not ours or has expired."""
    kind, _, token = authorization.partition(" ")
    if kind.lower() != "bearer" or len(token) > 4_096:
        return None
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=["HS256"],
            audience=AUDIENCE,
            # The time is compared below, with the clock that was given.
            options={"require": ["sub", "exp", "aud"], "verify_exp": False, "verify_nbf": False},
        )
        left_s = int(claims["exp"]) - now.timestamp()
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return str(claims["sub"]) if 0 < left_s <= LONGEST_S else None
