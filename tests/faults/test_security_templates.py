"""Templates that try to reach beyond text, and values that try to be templates.

The corpus is `corpora/`: expressions, each in a dozen wrappings. The output must never hold anything of
Python, of the process, of the file system, or of variables that were not given, nor the result of an
expression in a value.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from angelia.errors import InvalidInput
from angelia.templates.liquid_sandbox import MAX_OUTPUT_BYTES
from angelia.templates.rendering import RowRejected, render

FOLDER = Path(__file__).with_name("corpora")
WRAPPINGS = [
    "{{ %s }}", "{{- %s -}}", "{%% if %s %%}x{%% endif %%}", ("{%% assign x = "
    "%s %%}{{ x }}"), "{%% for x in %s %%}{{ x }}{%% endfor %%}", "${%s}",
    "#{%s}", "<%%= %s %%>", "{{{%s}}}", "@(%s)", "*{%s}", "[[${%s}]]", "{%% echo %s %%}",
    "{{ item | append: %s }}", "{{ item[%s] }}",
]  # fmt: skip
EXPRESSIONS = (FOLDER / "templates.txt").read_text().splitlines()
CORPUS = [wrapping % text for text in EXPRESSIONS for wrapping in WRAPPINGS] + (
    FOLDER / "templates_whole.txt"
).read_text().splitlines()
# Whatever of these a text shows that does not stand in its own source came from somewhere it should not.
TRACES = re.compile(
    r"<class|<function|<built-in|<module|object at 0x|bound "
    r"method|__main__|Traceback|root:x?:|uid=\d|1787569|\b49\b|s3cret|CANARY|/usr/|/home/"
)


def shown(text: str, fields: dict[str, object]) -> str | None:
    """Return what a phone would get, or None if it gets nothing."""
    template = {
        "id": "t",
        "variants": {"en": {"title": "t", "body": text}},
        "variables": {"item": {}},
        "default_locale": "en",
        "link": None,
    }
    try:
        return render(template, "en", fields).body
    except (InvalidInput, RowRejected):
        return None


def test_no_template_of_the_corpus_shows_more_than_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/CANARY-HOME")
    os.environ["ANGELIA_CANARY"] = "CANARY-ENVIRONMENT"
    escapes, refused = [], 0
    try:
        for text in CORPUS:
            out = shown(text, {"item": "cameras", "secret": "s3cret"})
            if out is None:
                refused += 1
                continue
            assert len(out.encode()) <= MAX_OUTPUT_BYTES
            if TRACES.search(out.replace(text, "")) and not TRACES.search(text):
                escapes.append((text, out[:200]))
    finally:
        del os.environ["ANGELIA_CANARY"]
    assert escapes == []
    assert len(CORPUS) > 1_500
    assert 500 < refused < len(CORPUS)  # what is no markup of ours is a text like any other


def test_no_value_of_the_corpus_is_evaluated() -> None:
    """A person's name may be any of them: it comes out as it went in, or not at all."""
    for text in CORPUS:
        out = shown("Hello {{ item }}!", {"item": text, "secret": "s3cret"})
        assert out is None or out == f"Hello {text}!"
        out = shown(
            "{% if true %}Hello {{ item }}!{% endif %}", {"item": text, "secret": "s3cret"}
        )  # not the fast path
        assert out is None or out == f"Hello {text}!"
