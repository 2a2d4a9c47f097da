"""LDIF as ldapsearch writes it: folded lines, base64, comments, results between."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.audience.directory.ldif import read_ldif
from angelia.errors import InvalidInput


def read(tmp_path: Path, text: str) -> list[tuple[str, dict[str, list[str]]]]:
    path = tmp_path / "group.ldif"
    path.write_text(text, "utf-8")
    return [(name, dict(values)) for name, values in read_ldif(path)]


def test_entries_are_read_as_ldapsearch_writes_them(tmp_path: Path) -> None:
    text = (
        "version: 1\n\n# a comment\n#  that goes on\n  here\n"
        "dn: cn=a very long\n  name,dc=x\r\nMember: uid=1\n"
        "member;range=0-1: uid=2\ncn:: w5xiZXI=\nmail:\n\n\n"
        "dn:: Y249w5xiZXIsZGM9eA==\ncn: b: c\n\n"
        "# search result\nsearch: 2\nresult: 0 Success\n\n# numEntries: 2"
    )
    assert read(tmp_path, text) == [
        ("cn=a very long name,dc=x", {"member": ["uid=1", "uid=2"], "cn": ["Über"], "mail": [""]}),
        ("cn=Über,dc=x", {"cn": ["b: c"]}),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dn: cn=a\nno colon\n", "line 2 is not a line of LDIF"),
        ("dn: cn=a\njpegPhoto:< file:///etc/passwd\n", "line 2: values at an address"),
        ("dn: cn=a\n\ncn:: %%%\n", "line 3: not base64"),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read(tmp_path, text)
    with pytest.raises(InvalidInput, match="no file none"):
        read_ldif(tmp_path / "none.ldif")
