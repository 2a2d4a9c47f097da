"""Run one benchmark: `python -m benchmarks NAME [options]` prints one JSON line.

`--list` prints the names.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from angelia.errors import AngeliaError
from benchmarks.harness import guard, machine, result


def names() -> list[str]:
    """Return the benchmarks' names."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    # Packages hold what several benchmarks need, or what one is made of.
    return sorted(module.name for module in modules if not module.ispkg and not module.name.startswith("_"))


def main(argv: Sequence[str]) -> int:
    """List, or run one; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument(
        "name", nargs="?", choices=names(), help="which benchmark; NAME --help shows its options"
    )
    # What follows the name belongs to the benchmark, --help included.
    cut = next((i + 1 for i, word in enumerate(argv) if not word.startswith("-")), len(argv))
    args = parser.parse_args(argv[:cut])
    if args.list:
        sys.stdout.write("".join(f"{name}\n" for name in names()))
        return 0
    if args.name is None:
        parser.print_usage(sys.stderr)
        return 2
    try:
        with guard.guarded():
            figures = importlib.import_module(f"benchmarks.{args.name}").main(argv[cut:])
    except AngeliaError as error:
        sys.stderr.write(f"{error.one_line()}\n")
        return 2
    sys.stdout.write(json.dumps(result.line(args.name, figures, machine.facts())) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
