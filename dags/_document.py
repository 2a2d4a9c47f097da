"""Write docs/DAGS.md from the DAGs' docstrings, or check it.

Usage: `python dags/_document.py [--check]`. Reads the files as text: neither Airflow nor a DAG is imported.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
TARGET = FOLDER.parent / "docs" / "DAGS.md"
HEAD = "# DAGs\n\nWritten by `make docs` from the docstrings in `dags/`, which Airflow shows, too.\n"


def document() -> str:
    """Return the Markdown of every DAG's docstring, by file name."""
    parts = [HEAD]
    for path in sorted(FOLDER.glob("[!_]*.py")):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        title, _, rest = text.removeprefix("## ").partition("\n")
        parts.append(f"## {path.stem}\n\n*{title}.*\n{rest}\n")
    return "\n".join(parts)


def main(argv: list[str]) -> int:
    """Write the file, or compare it; return the exit code."""
    text = document()
    if "--check" not in argv:
        TARGET.write_text(text)
    elif not TARGET.is_file() or TARGET.read_text() != text:
        sys.stderr.write("error: docs/DAGS.md is not what the docstrings say; run: make docs\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
