"""What is refused before a server is asked; test_directory.py asks a real one."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest

from angelia.audience.directory.groups import DirectoryMapping
from angelia.audience.directory.server import read_server
from angelia.errors import InvalidInput

SAFE = {"server": "ldaps://directory.example", "base": "dc=x", "bind": "cn=reader,dc=x"}


@pytest.mark.parametrize(
    ("changes", "password", "says"),
    [
        ({"server": None}, "secret", "names no server"),
        ({}, None, "ANGELIA_LDAP_PASSWORD is not set"),
        ({"server": "ldap://directory.example"}, "secret", "over the network as it is"),
        ({}, "secret", "needs ldap3"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    changes: dict[str, Any], password: str | None, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] == "ldap3":
            raise ModuleNotFoundError(name)
        return real(name, *arguments)

    for name in [name for name in sys.modules if name.partition(".")[0] == "ldap3"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    mapping = DirectoryMapping.model_validate({"group": "cn=vip", "user_id": "uid", **SAFE, **changes})
    with pytest.raises(InvalidInput, match=says) as refused:
        read_server(mapping, password)
    assert "secret" not in refused.value.one_line()
