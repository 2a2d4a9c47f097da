"""Whose word counts: secrets from the files of ANGELIA_RECEIVE_CREDENTIALS and of e-mail.

Reads those files, and the lake's key of address hashes on first use. Surprise: providers' callbacks are named
by channel, so two accounts of one provider are two channels here as they are in the catalog.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from angelia.delivery.channels.base import ChannelConfig, load_credentials
from angelia.errors import InvalidInput
from angelia.lake.store import Store
from angelia.receive.callbacks import readers_of
from angelia.receive.callbacks.base import Reader
from angelia.receive.inbox.beacons import PERSON, BeaconTrust
from angelia.receive.inbox.routes import InboxTrust
from angelia.receive.inbox.tokens import MIN_SECRET
from angelia.receive.preferences.routes import PreferencesTrust
from angelia.users.suppressions import address_hash, address_key

CALLER = r"[a-z0-9_-]{1,32}"
_NAMED = ("secrets", "callbacks", "inbox", "preferences", "beacons")


@dataclass(frozen=True)
class Trust:
    """Secrets by caller, the secret of mails' links, readers by channel."""

    callers: Mapping[str, bytes] = field(default_factory=dict)
    mail_secret: bytes | None = None
    readers: Mapping[str, Reader] = field(default_factory=dict)
    inbox: InboxTrust | None = None
    preferences: PreferencesTrust | None = None
    beacons: BeaconTrust | None = None


def configured(store: Store) -> Trust:
    """Return whom this installation believes.

    Raises:
        InvalidInput: nobody could be believed, or a file is not as documented.
    """
    document, mail_secret = receive_document(), secret_of("email", "unsubscribe_secret")
    if not document and mail_secret is None:
        raise InvalidInput(
            "no secret is set, so no callback could be verified",
            fix="set ANGELIA_RECEIVE_CREDENTIALS, or ANGELIA_EMAIL_CREDENTIALS, or both",
        )

    def hashed(channel: str, address: str) -> str:
        return address_hash(address_key(store), channel, address)

    return Trust(
        caller_secrets(document),
        mail_secret,
        readers_of(document.get("callbacks") or {}, hashed),
        inbox_trust(document),
        preferences_trust(document),
        beacon_trust(document, hashed),
    )


def preferences_trust(document: Mapping[str, Any]) -> PreferencesTrust | None:
    """Return the secrets and address of the preferences page, None if it is not served.

    Raises:
        InvalidInput: one of them is missing, or a secret is too short.
    """
    page = document.get("preferences")
    if not page:
        return None
    secret, person_secret, url = (str(page.get(name) or "") for name in ("secret", "person_secret", "url"))
    if min(len(secret), len(person_secret)) < MIN_SECRET or not re.fullmatch(
        r"https://[!-~]+/preferences", url
    ):
        raise InvalidInput(
            "ANGELIA_RECEIVE_CREDENTIALS: preferences needs secret, person_secret and url",
            fix=f"give each secret {MIN_SECRET} random characters, and https://YOUR-HOST/preferences",
        )
    return PreferencesTrust(secret, person_secret, url)


def inbox_trust(document: Mapping[str, Any]) -> InboxTrust | None:
    """Return the secrets of the inbox, None if it is not served.

    Raises:
        InvalidInput: one of the two is missing or too short.
    """
    secrets = document.get("inbox")
    if not secrets:
        return None
    pair = [str(secrets.get(name) or "") for name in ("secret", "person_secret")]
    if min(map(len, pair)) < MIN_SECRET:
        raise InvalidInput(
            "ANGELIA_RECEIVE_CREDENTIALS: inbox needs secret and person_secret",
            fix=f"give each {MIN_SECRET} random characters or more",
        )
    return InboxTrust(*pair)


def beacon_trust(document: Mapping[str, Any], hashed: Callable[[str, str], str]) -> BeaconTrust | None:
    """Return the secret of people's tokens for beacons, None if none are taken.

    Raises:
        InvalidInput: it is missing or too short.
    """
    named = document.get("beacons")
    if not named:
        return None
    secret = str(named.get("person_secret") or "")
    if len(secret) < MIN_SECRET:
        raise InvalidInput(
            "ANGELIA_RECEIVE_CREDENTIALS: beacons needs person_secret",
            fix=f"give it {MIN_SECRET} random characters or more",
        )
    return BeaconTrust(secret, lambda user: hashed(PERSON, user))


def secret_of(channel: str, field: str) -> bytes | None:
    """Return a secret from the file that `ANGELIA_<CHANNEL>_CREDENTIALS` names, or None.

    Raises:
        InvalidInput: the file is unreadable, or lacks the field.
    """
    path = os.environ.get(f"ANGELIA_{channel.upper()}_CREDENTIALS")
    return (
        str(
            load_credentials(ChannelConfig(channel, "", 1.0, credentials=Path(path)), (field,))[field]
        ).encode()
        if path
        else None
    )


def receive_document() -> dict[str, Any]:
    """Return what ANGELIA_RECEIVE_CREDENTIALS names; nothing if it is not set.

    Raises:
        InvalidInput: the file is unreadable, or holds none of the fields that docs/DELIVERY.md shows.
    """
    path = os.environ.get("ANGELIA_RECEIVE_CREDENTIALS")
    if not path:
        return {}
    document = load_credentials(ChannelConfig("receive", "", 1.0, credentials=Path(path)), ())
    for name in _NAMED:
        named = document.get(name) or {}
        if not isinstance(named, dict) or not all(re.fullmatch(CALLER, who) and named[who] for who in named):
            raise InvalidInput(
                f"ANGELIA_RECEIVE_CREDENTIALS: `{name}` must map names to what they need",
                fix='write {"secrets": {"sms": "…", "app": "…"}}: names of small letters, digits, - and _',
            )
    if not any(document.get(name) for name in ("secret", *_NAMED)):
        raise InvalidInput(
            "ANGELIA_RECEIVE_CREDENTIALS: the file lacks secret",
            fix="docs/DELIVERY.md shows what a channel's file holds",
        )
    return document


def caller_secrets(document: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the secrets of callers who may report events; a single one has the empty name."""
    every = {"": document.get("secret"), **(document.get("secrets") or {})}
    return {name: str(secret).encode() for name, secret in every.items() if secret}
