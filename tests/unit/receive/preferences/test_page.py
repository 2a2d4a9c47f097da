"""The page escapes what it shows, runs no script, and loads nothing."""

from __future__ import annotations

import re

from angelia.receive.preferences.page import HEADERS, render


def test_names_from_the_catalog_are_text_and_no_markup() -> None:
    page = render('t"><script>', {"topic": {"<script>alert(1)</script>": True}}, ("<b>kept</b>",))
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;b&gt;kept&lt;/b&gt;" in page


def test_a_box_is_ticked_if_the_choice_is_yes() -> None:
    page = render("t", {"channel": {"sms": True, "email": False}})
    boxes = dict(re.findall(r'name="channel\.(\w+)"\s*(checked)?', page))
    assert boxes == {"sms": "checked", "email": ""}


def test_a_choice_reads_as_its_title_and_keeps_its_id() -> None:
    rows = {"topic": {"price_drop": True, "new_in": True}}
    page = render("t", rows, title=lambda kind, name: f"<{kind} {name}>" if name == "new_in" else "Sales")
    labels = re.findall(r'name="([\w.]+)"\s*checked> ([^<]+)</label>', page)
    assert labels == [("topic.price_drop", "Sales"), ("topic.new_in", "&lt;topic new_in&gt;")]
    assert "> price drop</label>" in render("t", rows), "without a title its id, as words"


def test_a_question_carries_its_own_fields_or_the_token() -> None:
    assert '<input type="hidden" name="t" value="token">' in render("token", question="Yes?")
    page = render("token", question="Yes?", hidden={"d": "7"})
    assert '<input type="hidden" name="d" value="7">' in page
    assert "token" not in page


def test_the_headers_let_nothing_in_and_no_frame_around() -> None:
    policy = HEADERS["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert (HEADERS["cache-control"], HEADERS["referrer-policy"]) == ("no-store", "no-referrer")
