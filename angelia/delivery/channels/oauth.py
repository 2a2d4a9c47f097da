"""Service-account OAuth: a signed assertion (RS256) is exchanged for a bearer token.

The sender makes one exchange for all its callers.

Source: developers.google.com/identity/protocols/oauth2/service-account, "HTTP/REST", written down 2026-11-21.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt

from angelia.delivery.channels.base import ChannelConfig, load_credentials
from angelia.errors import AngeliaError, InvalidInput
from angelia.transport.client import Http2Client
from angelia.transport.wire import Request

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EARLY_S = 300.0  # refreshed this long before it ends, so that no request carries a token about to expire
_TRIES = 4


class ServiceAccount:
    """A service account's bearer token.

    It runs on real time: a rehearsed night must still sign with today's date.
    """

    def __init__(
        self,
        account: dict[str, Any],
        scope: str,
        ca_file: Path | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._account, self._scope, self._ca_file, self._now = account, scope, ca_file, now
        self.project_id = str(account["project_id"])
        self._header: bytes | None = None
        self._refresh_at = 0.0
        self.n_refreshes = 0

    @classmethod
    def load(cls, config: ChannelConfig, scope: str) -> ServiceAccount:
        """Read the service account's JSON file.

        Raises:
            InvalidInput: it is not named, missing or incomplete.
        """
        needed = ("project_id", "private_key", "private_key_id", "client_email", "token_uri")
        return cls(load_credentials(config, needed), scope, config.ca_file)

    def current(self) -> bytes | None:
        """See `Credentials.current`."""
        return self._header if self._now() < self._refresh_at else None

    async def refresh(self, stale: bytes | None) -> None:
        """See `Credentials.refresh`."""
        await self._fetch()

    def _assertion(self) -> str:
        """Return a signed request for a token that is valid from now on for an hour."""
        now = int(self._now())
        claims = {
            "iss": self._account["client_email"],
            "scope": self._scope,
            "aud": self._account["token_uri"],
            "iat": now,
            "exp": now + 3600,
        }
        try:
            return jwt.encode(
                claims,
                self._account["private_key"],
                algorithm="RS256",
                headers={"kid": self._account["private_key_id"]},
            )
        except (ValueError, TypeError, jwt.PyJWTError):
            raise InvalidInput(
                "the service account's private key is unusable",
                fix="download the key of a service account again",
            ) from None

    async def _fetch(self) -> None:
        uri = urlsplit(self._account["token_uri"])
        client = Http2Client(f"{uri.scheme}://{uri.netloc}", connections=1, ca_file=self._ca_file)
        path, headers = (uri.path or "/").encode(), ((b"content-type", b"application/x-www-form-urlencoded"),)
        try:
            for attempt in range(_TRIES):
                # Signed at each try: an assertion that waited for its turn may be too old.
                form = urlencode({"grant_type": GRANT, "assertion": self._assertion()}).encode()
                answer = await client.fetch(Request(path, headers, form))
                if answer.status == 200:
                    token = json.loads(answer.body)
                    self._header = f"Bearer {token['access_token']}".encode()
                    # A short-lived token is kept for half its life, so that it is not refreshed at every row.
                    life_s = float(token["expires_in"])
                    self._refresh_at = self._now() + max(life_s - _EARLY_S, life_s / 2)
                    self.n_refreshes += 1
                    return
                # A refusal stays one; a busy or broken endpoint may answer at the next try.
                if 400 <= answer.status < 500 and answer.status != 429:
                    raise InvalidInput(
                        f"the token endpoint refused the service account (HTTP {answer.status})",
                        fix="check the credentials file",
                    )
                await asyncio.sleep(0.2 * 2**attempt)
            raise AngeliaError(
                f"the token endpoint does not answer ({answer.detail or f'HTTP {answer.status}'})",
                fix="check the network, then rerun",
            )
        except (ValueError, KeyError, TypeError):
            raise AngeliaError(
                "the token endpoint's answer holds no token", fix="check token_uri in the credentials file"
            ) from None
        finally:
            await client.close()
