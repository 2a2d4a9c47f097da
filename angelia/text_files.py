"""Text files from the outside, why one is not UTF-8, and pages that are generated in part.

Reads bytes and YAML of local files; writes a page between two marks. An error names file, line and the
encoding that fits, and never the text itself: it may be an address.
"""

from __future__ import annotations

import codecs
import gzip
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import yaml

from angelia.errors import InvalidInput, unquoted

CHUNK_BYTES = 1 << 20
_SAMPLE_BYTES = 1 << 16  # of lines with bytes beyond ASCII: more of them change no guess
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Where whole words lie beyond ASCII: the codec, and how the names of its letters begin.
_SCRIPTS = (
    ("windows-1251", ("CYRILLIC",)),
    ("euc-kr", ("HANGUL", "CJK")),
    ("shift_jis", ("HIRAGANA", "KATAKANA", "CJK")),
    ("gb2312", ("CJK",)),
    ("big5", ("CJK",)),
)


def open_binary(path: Path) -> IO[bytes]:
    """Open a file, or what a .gz file holds, for reading bytes."""
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def chunks(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, a .gz file unpacked.

    Raises:
        InvalidInput: it cannot be read, or is a damaged .gz file.
    """
    try:
        with open_binary(path) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InvalidInput(f"{path.name} is damaged or cut short", fix="copy it again") from None
    except OSError as error:
        raise InvalidInput(f"cannot read {path.name}: {error.strerror}") from None


def read_yaml(path: Path, loader: type[yaml.SafeLoader], name: str) -> Any:
    """Return the document of a YAML file; `name` says what it is, as `the mapping`.

    Raises:
        InvalidInput: it cannot be read, or is no UTF-8, no YAML, or against the loader's rules.
    """
    try:
        return yaml.load(path.read_text("utf-8"), Loader=loader)
    except OSError as error:
        raise InvalidInput(f"cannot read {name} {path.name}: {error.strerror}") from None
    except UnicodeDecodeError:
        require_utf8(path)
        raise InvalidInput(f"{path.name} is not UTF-8 text") from None
    except ValueError:
        # 2026-02-30 has the form of a date, so YAML tries to make one of it.
        says = f"{path.name}: a date or number in it is not valid"
        raise InvalidInput(says, fix="correct it, or quote it") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise InvalidInput(f"{path.name}{line}: {unquoted(problem)}") from None


def write_between(page: Path, marks: tuple[str, str], text: str, *, is_check: bool = False) -> bool:
    """Write a text between two marks of a page, or only check that it stands there."""
    before = page.read_text("utf-8")
    head, _, rest = before.partition(marks[0])
    tail = rest.partition(marks[1])[2]
    fresh = f"{head}{marks[0]}\n{text}\n{marks[1]}{tail}"
    if is_check:
        return fresh == before
    page.write_text(fresh, "utf-8")
    return True


def require_utf8(path: Path, fix: str = "save it as UTF-8") -> None:
    """Check that a whole file is UTF-8 text.

    Args:
        fix: what to do; `{encoding}` in it becomes the encoding that fits.

    Raises:
        InvalidInput: it is not; the line, and the encoding that fits, are named.
    """
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    for chunk in chunks(path):
        pending = decoder.getstate()[0]
        bad = [at + len(pending) for at in [chunk.find(b"\0")] if at >= 0]  # no text holds a zero byte
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            bad.append(error.start)
        if bad:
            raise _not_utf8(path, line + (pending + chunk).count(b"\n", 0, min(bad)), fix)
        line += chunk.count(b"\n")
    if decoder.getstate()[0]:
        raise _not_utf8(path, line, fix)


def _not_utf8(path: Path, line: int, fix: str) -> InvalidInput:
    encoding = fitting_encoding(path)
    if encoding is None:
        return InvalidInput(f"{path.name} line {line} is not UTF-8 text", fix="is it a text file at all?")
    return InvalidInput(
        f"{path.name} line {line} is not UTF-8 text, it reads as {encoding}",
        fix=fix.format(encoding=encoding),
    )


def fitting_encoding(path: Path) -> str | None:
    """Return the encoding that fits a file that is no UTF-8; None where it looks like no text.

    Windows-1252, 1250 and their relatives differ by a few letters only, so the first stands for all of them.
    """
    head = next(chunks(path), b"")
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if b"\0" in head:
        zeros = head.count(b"\0") / len(head)  # of plain letters, half the bytes are zero, or three quarters
        for name, step, first, least in (
            ("utf-32-le", 4, 0, 0.7),
            ("utf-16-le", 2, 0, 0.4),
            ("utf-16-be", 2, 1, 0.4),
        ):
            letters = head[first::step]
            if zeros >= least and letters.count(b"\0") < 0.1 * len(letters):
                return name
        return None
    sample = bytearray()
    for chunk in chunks(path):
        sample += b"\n".join(line for line in chunk.splitlines() if not line.isascii())
        if len(sample) > _SAMPLE_BYTES:
            break
    return _by_letters(bytes(sample))


def _by_letters(sample: bytes) -> str | None:
    beyond = sum(byte > 127 for byte in sample)
    runs = sum(a > 127 >= b for a, b in zip(sample, sample[1:] + b"\n", strict=True))
    if beyond < 2 * runs:  # single letters among plain ones: Müller, Zoë
        try:
            letters = [letter for letter in sample.decode("cp1252") if ord(letter) > 127]
        except UnicodeDecodeError:
            return None
        strange = sum(unicodedata.category(letter) in ("Cc", "Co", "Cn") for letter in letters)
        return None if strange else "windows-1252"
    for name, scripts in _SCRIPTS:
        text = sample.decode(name, "replace")
        letters = [letter for letter in text if ord(letter) > 127]
        fitting = sum(unicodedata.name(letter, "").startswith(scripts) for letter in letters)
        if fitting > 0.95 * len(letters):
            return name
    return None
