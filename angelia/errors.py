"""Errors an operator can act on.

Every `AngeliaError` is printed as one line on stderr, and the command exits with code 2. A traceback is a
defect.
"""

from __future__ import annotations

import re
import sys
from types import TracebackType

INTERRUPTED = "error: interrupted; rerun the same command, it continues or starts over safely\n"
_QUOTED = re.compile(r"(['\"])(.*?)\1")
_PART = r"[^\s@<>\"'`,;:/=()\[\]{}]"  # what may stand in a mailbox
_ADDRESS = re.compile(
    # A mailbox, also one cut short; the number after a commit's ref (ds=2026-11-14@3) is no domain.
    rf"{_PART}+@(?:[^\W\d_]{_PART}*|{_PART}*\.[^\W\d_]{_PART}*)"
    r"|\+\d[\d ()./-]{5,}\d"  # a phone number
    r"|[\w.:+-]{65,}"  # a device token; a sha256 has 64 digits
)


def unquoted(text: str) -> str:
    """Return an engine's text without its quotations, which may hold a value of the file.

    Single characters and `<names>` of its own stay.
    """
    return _QUOTED.sub(
        lambda match: match[0] if len(match[2]) < 2 or re.fullmatch(r"<[\w ]+>", match[2]) else "…", text
    )


def without_addresses(text: str) -> str:
    """Return text in which mailboxes, phone numbers and device tokens are replaced by `…`."""
    return _ADDRESS.sub("…", text)


def end_on_interrupt() -> None:
    """Let Ctrl-C outside a command's own handling be one line and exit code 130."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.stderr.write(INTERRUPTED)
            sys.exit(130)
        sys.__excepthook__(kind, error, trace)

    sys.excepthook = hook


class AngeliaError(Exception):
    """Something the operator can put right.

    Args:
        message: What is wrong, naming the thing (dataset, column, file, option).
        fix: What to do about it, where one sentence can say so.
    """

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.fix = " ".join(fix.split()) if fix else None

    def one_line(self) -> str:
        """Return `message; fix` without line breaks."""
        return f"{self.message}; {self.fix}" if self.fix else self.message


class InvalidInput(AngeliaError):
    """A document, file, option or predicate that cannot be accepted; nothing was written."""


class NotFound(AngeliaError):
    """A named thing (partition, commit, campaign, user) that does not exist."""


class Conflict(AngeliaError):
    """Somebody else changed the same thing first; nothing was overwritten."""


class Corrupt(AngeliaError):
    """Bytes that are not what their commit says they are."""


class GateClosed(AngeliaError):
    """A data-quality gate or guard refused to let the night go on."""
