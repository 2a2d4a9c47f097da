"""Entries of a directory server, by ldap3 (the extra `ldap`).

Reads people and groups below a base, a page at a time. Surprise: a password goes over TLS only, unless the
mapping says `plain_password`.
"""

from __future__ import annotations

import ssl
from typing import Any

from angelia.audience.directory.groups import Attributes, DirectoryMapping
from angelia.errors import AngeliaError, InvalidInput

PASSWORD = "ANGELIA_LDAP_PASSWORD"
_CONNECT_S, _ANSWER_S = 10, 60


def read_server(mapping: DirectoryMapping, password: str | None) -> list[tuple[str, Attributes]]:
    """Return the entries below the base that are a group or have an id.

    Raises:
        InvalidInput: ldap3 is missing, or the mapping, name or password cannot be used.
        AngeliaError: the server does not answer, or refuses the search.
    """
    if mapping.server is None or mapping.base is None:
        raise InvalidInput("the mapping names no server", fix="add `server` and `base`, or give --ldif")
    # A simple bind sends the password as text, so it needs an encrypted connection or the operator's consent.
    is_safe = mapping.server.startswith("ldaps:") or mapping.start_tls
    if mapping.bind is not None:
        if not password:
            raise InvalidInput(f"`bind` needs a password, and {PASSWORD} is not set", fix=f"set {PASSWORD}")
        if not is_safe and not mapping.plain_password:
            raise InvalidInput(
                "the password would go over the network as it is",
                fix="write ldaps://, or `start_tls: true`; or `plain_password: true` if the network is yours",
            )
    try:
        # Optional: reading an LDIF file works without it.
        import ldap3
        from ldap3.core import exceptions as refusals
    except ModuleNotFoundError:
        raise InvalidInput(
            "reading a directory's server needs ldap3",
            fix="pip install 'angelia[ldap]', or give --ldif a file that ldapsearch wrote",
        ) from None
    try:
        return _read(ldap3, mapping, password)
    # The library's own texts may hold names of entries, so only the kind of failure is repeated.
    except (refusals.LDAPCommunicationError, refusals.LDAPStartTLSError) as error:
        raise AngeliaError(
            f"the directory's server does not answer ({type(error).__name__})",
            fix="check `server`, its port and certificate, and the network",
        ) from None
    except (refusals.LDAPInvalidCredentialsResult, refusals.LDAPBindError):
        raise InvalidInput(
            "the directory's server refuses name or password", fix=f"check `bind` and {PASSWORD}"
        ) from None
    except refusals.LDAPException as error:
        raise AngeliaError(
            f"the directory's server refuses the search ({type(error).__name__})",
            fix="check `base`, what `bind` may read, and `page` against the server's limits",
        ) from None


def _read(ldap3: Any, mapping: DirectoryMapping, password: str | None) -> list[tuple[str, Attributes]]:
    ca = str(mapping.ca_file) if mapping.ca_file else None
    tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=ca)
    server = ldap3.Server(mapping.server, connect_timeout=_CONNECT_S, get_info=ldap3.NONE, tls=tls)
    # Active Directory hands out large groups in ranges, which ldap3 puts together.
    connection = ldap3.Connection(
        server, mapping.bind, password, read_only=True, raise_exceptions=True, receive_timeout=_ANSWER_S
    )
    try:
        connection.open()
        if mapping.start_tls:
            connection.start_tls()
        connection.bind()
        answers = connection.extend.standard.paged_search(
            mapping.base,
            f"(|({mapping.member}=*)({mapping.user_id}=*))",
            attributes=[mapping.member, mapping.user_id],
            paged_size=mapping.page,
            generator=True,
        )
        return [
            (answer["dn"], _texts(answer["raw_attributes"]))
            for answer in answers
            if answer["type"] == "searchResEntry"  # others point at further servers
        ]
    finally:
        connection.unbind()


def _texts(raw: dict[str, list[bytes]]) -> Attributes:
    """Return an entry's values; what it lacks is left out, as a file has it."""
    return {
        name.lower(): [value.decode("utf-8", "replace") for value in values]
        for name, values in raw.items()
        if values
    }
