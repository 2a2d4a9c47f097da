"""Write the table of channels' capabilities in docs/reference/channels.md, or check it.

Usage: `python -m angelia.delivery.channels.capabilities [--check]`. Each row is what a provider's module says
of itself (`CAPABILITIES`), and how many of its codes have a meaning.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from angelia.delivery.channels import PROVIDERS
from angelia.delivery.channels.base import Capabilities
from angelia.text_files import write_between

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "channels.md"
BEGIN, END = "<!-- capabilities: written by `make docs` -->", "<!-- /capabilities -->"
_COLUMNS = ("provider", "address", "largest message", "collapse", "lifetime", "what comes back")


def capabilities(provider: str) -> Capabilities:
    """Return what a provider's module says of itself."""
    declared = import_module(PROVIDERS[provider].__module__).CAPABILITIES
    assert isinstance(declared, Capabilities)
    return declared


def table() -> str:
    """Return one row per provider."""
    lines = [
        f"| {' | '.join(_COLUMNS)} | addresses a request (ours: 1, if not said) | codes with a meaning |",
        "|" + "---|" * (len(_COLUMNS) + 2),
    ]
    for name in sorted(PROVIDERS):
        its, module = capabilities(name), import_module(PROVIDERS[name].__module__)
        cells = (f"`{name}`", its.address, its.limit, *(text or "-" for text in (its.collapse, its.ttl)))
        codes = len(getattr(module, "ERRORS", {}))
        many = "several" if its.multicast is None else f"{its.multicast:,}"
        many += f", ours {its.ours:,}" if its.ours > 1 else ""
        known = str(codes) if codes else "by class"
        lines.append(f"| {' | '.join(cells)} | {its.receipts or '-'} | {many} | {known} |")
    return "\n".join(lines)


def main() -> int:
    """Rewrite the page, or with --check say whether it is out of date."""
    if not write_between(PAGE, (BEGIN, END), table(), is_check="--check" in sys.argv[1:]):
        sys.stderr.write("error: docs/reference/channels.md is out of date; run `make docs`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
