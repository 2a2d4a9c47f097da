"""Write the table of packages in docs/architecture.md from their docstrings, or check it.

Usage: `python docs/house.py [--check]`.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from angelia.text_files import write_between

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- house: written by `make docs` -->", "<!-- /house -->"


def summary(init: Path) -> str:
    """Return the first line of a package's docstring."""
    text = ast.get_docstring(ast.parse(init.read_text("utf-8"))) or ""
    return text.partition("\n")[0]


def table() -> str:
    """Return one row per package of angelia: name, modules, lines, purpose."""
    rows = ["| package | modules | what it is for |", "|---|---|---|"]
    for init in sorted((ROOT / "angelia").rglob("__init__.py")):
        package = init.parent.relative_to(ROOT)
        modules = [path for path in init.parent.glob("*.py") if path.name != "__init__.py"]
        if "migrations" in package.parts or package.name == "angelia":
            continue
        rows.append(f"| `{'.'.join(package.parts)}` | {len(modules)} | {summary(init)} |")
    return "\n".join(rows)


def main() -> int:
    """Rewrite the page, or with --check say whether it is out of date."""
    if not write_between(PAGE, (BEGIN, END), table(), is_check="--check" in sys.argv[1:]):
        sys.stderr.write("error: docs/architecture.md is out of date; run `make docs`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
