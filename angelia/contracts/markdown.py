"""Write docs/DATASETS.md from the contracts: `python -m angelia.contracts.markdown`.

A test compares the page with the contracts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from angelia.contracts import CONTRACTS
from angelia.contracts.constraints import FROM_SCHEMA, Constraint, constraints, type_name
from angelia.contracts.core import Column, Dataset

TARGET = Path("docs/DATASETS.md")
HEAD = """# Datasets

Generated from `angelia/contracts/` by `python -m angelia.contracts.markdown`; edit the contracts, not this file.

Each dataset is a folder of commits per leaf partition. *Checks* are what its gate counts; `≤ 1 %` means that up to one percent of the rows
may break it (they are dropped and counted by the job that reads them), no figure means none may. A check is critical (closes the gate)
unless it says *warning*. **Personal** columns never appear in logs, reports or quality results. Every column must also be present with its type.
"""


def document(contracts: Iterable[Dataset]) -> str:
    """Return the whole document."""
    every = list(contracts)
    lines = [HEAD, "| dataset | grain | partition | written by |", "|---|---|---|---|"]
    lines += [
        (
            f"| [{one.name}](#{one.name}) | {_text(one.grain)} | "
            f"{_codes((*one.partition, *one.layout))} | {_text(', '.join(one.written_by))} |"
        )
        for one in every
    ]
    for contract in every:
        lines += ["", *_section(contract)]
    return "\n".join(lines) + "\n"


def _section(contract: Dataset) -> Iterator[str]:
    yield f"## {contract.name}"
    yield ""
    facts = [f"Version {contract.version}", f"one row per {contract.grain}", f"key {_codes(contract.key)}"]
    if contract.retention_days:
        facts.append(f"kept {contract.retention_days} days")
    yield "; ".join(facts) + f". {contract.notes}".rstrip()
    yield ""
    yield "| column | type | null | meaning | checks |"
    yield "|---|---|---|---|---|"
    checks = constraints(contract)
    for column in contract.columns:
        own = [
            check
            for check in checks
            if check.columns == (column.name,)
            # Type and null have columns of their own; the key is about the whole dataset, below.
            and check.kind not in FROM_SCHEMA
            and not check.name.startswith("key.")
        ]
        meaning = (
            column.meaning
            + (f" ({column.unit})" if column.unit else "")
            + ("; **personal**" if column.personal else "")
        )
        row = (
            f"`{column.name}`",
            type_name(column.type),
            "yes" if column.nullable else "no",
            _text(meaning),
            "; ".join(map(_check, own)),
        )
        yield f"| {' | '.join(row)} |"
        yield from (_member(column.name, member) for member in column.fields)
    for name, words in _vocabularies(contract):
        yield ""
        yield (
            f"Words of `{name}`: "
            + "; ".join(f"`{word}`: {_text(says)}" for word, says in words.items())
            + "."
        )
    rest = [check for check in checks if check.name in ("key.unique", "rows.min")]
    if rest:
        yield ""
        yield "Whole dataset: " + "; ".join(map(_check, rest)) + "."


def _member(parent: str, member: Column) -> str:
    """Return the row of a list column's member, which no check counts by itself."""
    unit = f" ({member.unit})" if member.unit else ""
    null = "yes" if member.nullable else "no"
    return f"| `{parent}.{member.name}` | {type_name(member.type)} | {null} | {_text(member.meaning + unit)} |  |"


def _vocabularies(contract: Dataset) -> Iterator[tuple[str, Mapping[str, str]]]:
    for column in contract.columns:
        named = [
            (column.name, column),
            *((f"{column.name}.{member.name}", member) for member in column.fields),
        ]
        yield from ((name, each.words) for name, each in named if each.words)


def _check(check: Constraint) -> str:
    tolerated = f" ≤ {check.tolerated_pct:g} %" if check.tolerated_pct else ""
    warning = " *warning*" if check.severity == "warning" else ""
    return f"{check.kind}: {_text(check.breach)}{tolerated}{warning}"


def _text(text: str) -> str:
    # Patterns and notes may hold what Markdown would take for markup or a column border.
    if any(sign in text for sign in "|*\\<^"):
        return "`" + text.replace("|", "\\|") + "`" if "**" not in text else text.replace("|", "\\|")
    return text


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the document, or with --check say whether it is current."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 2 if the file differs from the contracts"
    )
    parser.add_argument("--out", type=Path, default=TARGET)
    args = parser.parse_args(argv)
    text = document(CONTRACTS.values())
    if args.check:
        if not args.out.is_file() or args.out.read_text(encoding="utf-8") != text:
            sys.stderr.write(
                f"error: {args.out} differs from the contracts; run `python -m angelia.contracts.markdown`\n"
            )
            return 2
        return 0
    args.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
