"""Errors about unreadable text files name line and encoding, never the text itself."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from angelia.errors import InvalidInput, unquoted, without_addresses
from angelia.plain_yaml import PlainLoader
from angelia.text_files import CHUNK_BYTES, fitting_encoding, read_yaml, require_utf8

PLAIN = "id,name,city\n" + "1,Anna,Berlin\n" * 40


@pytest.mark.parametrize(
    ("encoding", "names", "named"),
    [
        ("windows-1252", "2,Jörg Müller,Köln\n3,Zoë,5 €\n", "windows-1252"),
        ("iso-8859-1", "2,Jörg Müller,Köln\n", "windows-1252"),  # its superset
        ("windows-1251", "2,Иван Петров,Москва\n", "windows-1251"),
        ("shift_jis", "2,田中たろう,東京\n", "shift_jis"),
        ("gb2312", "2,王小明,北京\n3,李雷,上海\n", "gb2312"),
        ("euc-kr", "2,김철수,서울\n", "euc-kr"),
        ("utf-16", "2,Jörg,Köln\n", "utf-16"),
        ("utf-16-le", "2,Jörg,Köln\n", "utf-16-le"),
        ("utf-16-be", "2,Jörg,Köln\n", "utf-16-be"),
        ("utf-32", "2,Jörg,Köln\n", "utf-32"),
    ],
)
def test_the_encoding_that_fits_is_named(tmp_path: Path, encoding: str, names: str, named: str) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes((PLAIN + names).encode(encoding))
    assert fitting_encoding(path) == named
    line = 1 if encoding.startswith("utf") else 42
    with pytest.raises(InvalidInput, match=f"people.csv line {line} is not UTF-8 text, it reads as {named}"):
        require_utf8(path)


def test_a_letter_across_two_chunks_is_read(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(b"a" * (CHUNK_BYTES - 1) + "ü\n".encode() + b"b" * CHUNK_BYTES)
    require_utf8(path)
    path.write_bytes(b"a\n" * (CHUNK_BYTES // 2) + b"\nb\n\xfcc")
    with pytest.raises(InvalidInput, match=f"line {CHUNK_BYTES // 2 + 3} "):
        require_utf8(path)
    path.write_bytes("a\nü".encode()[:-1])
    with pytest.raises(InvalidInput, match="line 2 "):
        require_utf8(path)


def test_a_packed_file_is_read_and_a_cut_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "people.csv.gz"
    path.write_bytes(gzip.compress(PLAIN.encode()))
    require_utf8(path)
    path.write_bytes(gzip.compress(PLAIN.encode())[:-9])
    with pytest.raises(InvalidInput, match="damaged or cut short"):
        require_utf8(path)


def test_no_text_at_all_is_not_called_an_encoding(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(bytes(range(256)) * 9)
    assert fitting_encoding(path) is None


def test_what_an_engine_quotes_is_left_out() -> None:
    assert unquoted("found '@' in 'u7' or <x>, got '<scalar>'") == "found '@' in … or <x>, got '<scalar>'"


@pytest.mark.parametrize(
    "address",
    [
        "anna@mail.example",
        "anna@163.com",
        "anna@ma…",
        "+49 171 2345678",
        "+8613800138000",
        "APA91b" + "x" * 70,
    ],
)
def test_an_address_is_left_out_of_a_text(address: str) -> None:
    assert without_addresses(f"audience/x: id: got '{address}'") == "audience/x: id: got '…'"


def test_a_commits_ref_is_no_address() -> None:
    text = "user_profiles/ds=2026-11-14@3 of 10:00+01:00"
    assert without_addresses(text) == text


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (b"a: 1\nb: [", "m.yaml line 2: "),
        (b"a: 2026-02-30\n", "m.yaml: a date or number in it is not valid"),
        (b"a: \xff\n", "m.yaml"),
        (None, "cannot read the list m.yaml: No such file"),
    ],
)
def test_yaml_that_cannot_be_read_is_named_in_a_line(
    tmp_path: Path, written: bytes | None, says: str
) -> None:
    path = tmp_path / "m.yaml"
    if written is not None:
        path.write_bytes(written)
    with pytest.raises(InvalidInput) as refused:
        read_yaml(path, PlainLoader, "the list")
    assert str(refused.value).startswith(says)


def test_yaml_is_read_by_the_rules_of_its_loader(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("a: [1, x]\n", "utf-8")
    assert read_yaml(path, PlainLoader, "the list") == {"a": [1, "x"]}
    path.write_text("a: &b 1\nc: *b\n", "utf-8")
    with pytest.raises(InvalidInput, match="aliases"):
        read_yaml(path, PlainLoader, "the list")
