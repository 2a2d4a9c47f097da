"""A report's page: texts escaped, numbers aligned, one style sheet named by its hash."""

from __future__ import annotations

import base64
import hashlib

import pytest

from angelia.drawing.page import STYLE, Html, details, facts, legend, links, page, section, table, tiles

HOSTILE = "<b>\"'&"


def test_a_table_aligns_columns_of_numbers_and_heads_each_row() -> None:
    rows = [{"name": "sale", "n": 1_200, "ok": True}, {"name": HOSTILE, "n": None, "ok": False}]
    text = table([("name", "Name"), ("n", "Messages"), ("ok", "Fine")], rows, "All")
    assert '<th scope="col">Name</th><th scope="col" class="n">Messages</th><th scope="col">Fine</th>' in text
    assert '<th scope="row">sale</th><td class="n">1,200</td><td>yes</td>' in text
    assert '<td class="n">–</td><td>no</td>' in text
    assert "<b>" not in text
    assert "<caption>All</caption>" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.01234, "0.0123"),
        (0.5, "0.50"),
        (12.34, "12.3"),
        (Html("<i>x</i>"), "<i>x</i>"),
        ("<i>", "&lt;i&gt;"),
    ],
)
def test_a_cell_has_as_many_digits_as_say_something(value: object, shown: str) -> None:
    assert f'<th scope="row">{shown}</th>' in table([("v", "V")], [{"v": value}], "")


def test_every_text_is_escaped() -> None:
    parts = (
        legend([("s1", HOSTILE)]),
        details(HOSTILE, ""),
        section("x", HOSTILE, HOSTILE),
        tiles([(HOSTILE, HOSTILE, HOSTILE)]),
        facts([(HOSTILE, HOSTILE)]),
        links([(HOSTILE, HOSTILE)]),
    )
    assert not any('<b>"' in part for part in parts)
    assert all("&lt;b&gt;" in part for part in parts)
    assert links([]) == ""


def test_the_policy_of_a_page_allows_its_own_style_alone() -> None:
    text = page(HOSTILE, "head", ["one", "two"], "foot")
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    assert (
        f"content=\"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'\""
        in text
    )
    assert f"<style>{STYLE}</style>" in text
    assert "<main>\none\ntwo\n</main>" in text
    assert "<title>&lt;b&gt;" in text
    assert text == page(HOSTILE, "head", ["one", "two"], "foot")
