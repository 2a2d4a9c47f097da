"""A group of a directory becomes a list: nested groups, and names in any spelling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from angelia.audience.directory.groups import DirectoryMapping, load_directory, members_of, name_key
from angelia.errors import InvalidInput, NotFound
from tests.unit.audience.typed import People, asked, run

GROUP = {"group": "cn=vip,dc=x", "user_id": "employeeNumber"}
MAPPING = "group: cn=vip,dc=x\nuser_id: employeeNumber\ntemplate: 'u{value}'\n"


def mapping(**changes: Any) -> DirectoryMapping:
    return DirectoryMapping.model_validate(GROUP | changes)


ENTRIES: list[tuple[str, dict[str, list[str]]]] = [
    ("cn=vip,dc=x", {"member": ["UID = a , DC=X", "cn=more,dc=x", "uid=gone,dc=x", "uid=guest,dc=x"]}),
    ("cn=more,dc=x", {"member": ["uid=b,dc=x", "uid=a,dc=x", "cn=vip,dc=x"]}),
    ("uid=a,dc=x", {"employeenumber": ["1", "2"]}),
    ("uid=b,dc=x", {"employeenumber": ["3"]}),
    ("uid=guest,dc=x", {"cn": ["guest"]}),
    ("cn=posix,dc=x", {"memberuid": ["a", "b", "a"]}),
]


def test_nested_groups_are_followed_once() -> None:
    members = members_of(ENTRIES, mapping())
    assert (members.ids, members.n_groups, members.without_id, members.unknown) == (["1", "3"], 2, 1, 1)
    assert members_of(ENTRIES, mapping(nested=False)).ids == ["1"]
    posix = mapping(group="CN=posix, DC=x", member="memberUid", member_is="id", template="u-{value}")
    assert members_of(ENTRIES, posix).ids == ["u-a", "u-b"]
    with pytest.raises(NotFound, match="no entry for the mapping's group"):
        members_of(ENTRIES, mapping(group="cn=nobody,dc=x"))


def test_names_are_equal_whatever_their_spelling() -> None:
    assert name_key("CN = A\\, B , DC=X") == name_key("cn=a\\, b,dc=x")
    assert name_key("cn=a,dc=x") != name_key("cn=a=b,dc=x")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("group: cn=x,dc=y\n", "user_id: Field required"),
        (MAPPING + "colour: red\n", "colour: Extra inputs"),
        ("group: cn=x,dc=y\nuser_id: a)(b\n", "user_id: String should match"),
        ("group: cn=x,dc=y\nuser_id: uid\ntemplate: u\n", "template: it holds {value} once"),
        (MAPPING + "server: ldap://host\n", "a server needs a base"),
        (MAPPING + "server: ldap://me:secret@host\nbase: dc=x\n", "server: String should match"),
        ("- a\n", "is not a map of names"),
        ("group: [\n", "expected the node"),
    ],
)
def test_a_mapping_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "ldap.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(InvalidInput, match=says) as refused:
        load_directory(path)
    assert "secret" not in refused.value.one_line()


def test_a_group_in_a_file_becomes_a_list(
    people: People, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path, file = tmp_path / "ldap.yaml", tmp_path / "group.ldif"
    path.write_text(MAPPING, "utf-8")
    ids = [str(person["user_id"]) for person in people[:3]]
    lines = ["dn: cn=vip,dc=x", *(f"member: uid={i},dc=x" for i in range(5)), ""]
    for number, user in enumerate([*ids, "u-unknown"]):
        lines += [f"dn: uid={number},dc=x", f"employeeNumber: {user[1:]}", ""]
    file.write_text("\n".join(lines), "utf-8")
    made = asked(capsys, "import-ldap", "vip", "--mapping", path, "--ldif", file)
    assert (made["users"], made["rejects"]) == (3, {"unknown_user": 1, "without_entry": 1})
    assert asked(capsys, "count", "in_list('vip')")["count"] == 3
    path.write_text(MAPPING.replace("u{value}", "v{value}"), "utf-8")
    code, _, err = run(capsys, "import-ldap", "vip", "--mapping", path, "--ldif", file)
    assert code == 2
    assert "4 of 4 ids are unknown; list vip stays as it is" in err
