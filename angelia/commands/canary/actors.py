"""Who acts, for the audit trail: the name given, else the login name.

Pure but for the login name. Grain: one command.
"""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from angelia.errors import InvalidInput

ActorOption = Annotated[
    str | None,
    typer.Option("--actor", metavar="NAME", help="Your name for the audit trail; default: the login name."),
]


def actor_name(given: str | None) -> str:
    """Return the name of whoever acts.

    Raises:
        InvalidInput: the name given is none.
    """
    if given is not None:
        if not 0 < len(given.strip()) <= 200 or not given.isprintable():
            raise InvalidInput("--actor is a name of at most 200 printable characters")
        return given.strip()
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a user database
        return "unknown"
