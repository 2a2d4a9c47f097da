"""Pages as files: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from angelia.errors import InvalidInput


def require_writable(path: Path) -> None:
    """Make the folder of a file.

    Raises:
        InvalidInput: the file could not be written there.
    """
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {error.strerror}") from None
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise InvalidInput(f"cannot write {path}", fix="name a file in a folder you may write to")


def write_text(path: Path, text: str) -> None:
    """Write a file whole: readers see the old one or the new one, even while others write.

    Raises:
        InvalidInput: it cannot be written.
    """
    require_writable(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, "utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InvalidInput(f"cannot write {path}: {error.strerror}") from None
