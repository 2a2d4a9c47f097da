"""The name in the audit trail: the one given, else the login's."""

from __future__ import annotations

import getpass

import pytest

from angelia.commands.canary.actors import actor_name
from angelia.errors import InvalidInput


def test_the_name_given_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "login")
    assert actor_name(" ann ") == "ann"
    assert actor_name("x" * 200) == "x" * 200
    assert actor_name(None) == "login"


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="200 printable characters"):
        actor_name(name)


def test_a_container_without_users_has_a_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert actor_name(None) == "unknown"
