"""A report as one HTML page: no script, no outside file.

Input is texts, rows and charts; output is text that depends on nothing else (no clock), so equal inputs give
equal bytes. The page forbids everything in its own Content-Security-Policy but its one style sheet, named by
hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from angelia.drawing.svg import number
from angelia.output import written_out

STYLE = (Path(__file__).parent / "style.css").read_text("utf-8")


def table(columns: Sequence[tuple[str, str]], rows: Iterable[Mapping[str, Any]], caption: str) -> str:
    """Return a table with columns of (key, heading).

    Numbers are aligned right; the first column heads its row.
    """
    listed = list(rows)
    numeric = {
        key
        for key, _ in columns
        if any(isinstance(row.get(key), int | float) and not isinstance(row.get(key), bool) for row in listed)
    }
    head = "".join(f'<th scope="col"{_n(key in numeric)}>{escape(title)}</th>' for key, title in columns)
    body = []
    for row in listed:
        first, *others = [key for key, _ in columns]
        cells = f'<th scope="row">{_cell(row.get(first))}</th>' + "".join(
            f"<td{_n(key in numeric)}>{_cell(row.get(key))}</td>" for key in others
        )
        body.append(f"<tr>{cells}</tr>")
    inner = (
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
    )
    return f'<div class="scroll"><table>{inner}</table></div>'


class Html(str):
    """Text that is HTML already and is not escaped again."""


def _n(is_numeric: bool) -> str:
    return ' class="n"' if is_numeric else ""


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, Html):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return number(value)
    if isinstance(value, float):
        if 0 < abs(value) < 0.001:  # four decimals would call a rare rate none
            return written_out(value, 2)
        return number(value, 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 4) if value else "0"
    return escape(str(value))


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Return the key of a chart: (colour class, name)."""
    items = "".join(
        (
            f'<li><svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" '
            f'class="{css}"/></svg>{escape(name)}</li>'
        )
        for css, name in entries
    )
    return f'<ul class="legend">{items}</ul>'


def details(summary: str, inner: str) -> str:
    """Return a part that is folded away under its chart."""
    return f"<details><summary>{escape(summary)}</summary>{inner}</details>"


def empty(text: str) -> str:
    """Return the text for a section without data, and why it has none."""
    return f'<p class="empty">{escape(text)}</p>'


def section(identifier: str, title: str, lead: str, *parts: str) -> str:
    """Return one section with its heading, lead and parts."""
    head = f'<h2 id="{identifier}">{escape(title)}</h2><p class="lead">{escape(lead)}</p>'
    return f'<section aria-labelledby="{identifier}">{head}{"".join(parts)}</section>'


def figure(chart: str) -> str:
    """Return a chart as a figure."""
    return f"<figure>{chart}</figure>"


def tiles(entries: Sequence[tuple[str, str, str]]) -> str:
    """Return the row of key figures: (figure, what it counts, note)."""
    items = "".join(
        f'<div class="tile"><b>{_cell(value)}</b><span>{escape(what)}'
        f"{'<br>' + escape(note) if note else ''}</span></div>"
        for value, what, note in entries
    )
    return f'<div class="tiles">{items}</div>'


def facts(entries: Sequence[tuple[str, str]]) -> str:
    """Return names and values of what the page was made from."""
    return (
        '<dl class="facts">'
        + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in entries)
        + "</dl>"
    )


def links(entries: Sequence[tuple[str, str]]) -> str:
    """Return links to pages beside this one: (relative address, text); nothing for no links."""
    items = "".join(
        f'<a href="{escape(address, quote=True)}">{escape(text)}</a>' for address, text in entries
    )
    return f"<nav>{items}</nav>" if items else ""


def listed(items: Sequence[Html]) -> str:
    """Return a list of findings, a line or two each."""
    return f'<ul class="found">{"".join(f"<li>{item}</li>" for item in items)}</ul>'


def style_source(style: str) -> str:
    """Return how a Content-Security-Policy names one style sheet that stands on its page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"


def page(title: str, head: str, sections: Sequence[str], foot: str) -> str:
    """Return the whole document."""
    policy = f"default-src 'none'; style-src {style_source(STYLE)}; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light '
        f'dark">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n'
        f"<header>{head}</header>\n<main>\n{chr(10).join(sections)}\n</main>\n<footer>{foot}</footer>\n</body>\n</html>\n"
    )
