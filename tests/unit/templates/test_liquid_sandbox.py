"""The Liquid sandbox: whatever a text asks for, it renders words or is refused, and fast."""

from __future__ import annotations

import pytest

from angelia.errors import InvalidInput
from angelia.templates.liquid_sandbox import FILTERS, MAX_ITERATIONS, MAX_OUTPUT_BYTES, CompiledText
from angelia.templates.rendering import Rendered, RowRejected, render
from tests.unit.templates.small_template import rejected, template

# Texts that ask for more than words. None may render anything but words, take long, or raise anything but our
# two errors.
HOSTILE = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ item.__class__ }}",
    "{{ item.__class__.__mro__ }}",
    "{{ item['__class__'] }}",
    "{{ item.format }}",
    "{{ self }}",
    "{{ self._TemplateReference__context }}",
    "{{ config }}",
    "{{ config.items() }}",
    "{{ request.application.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__['os'] }}",
    "{{ 7*7 }}",
    "${7*7}{{ 7*'7' }}",
    "{{ forloop.parentloop }}",
    "{{ now }}",
    "{{ today }}",
    "{{ 'now' | date: '%Y' }}",
    "{{ 'aWQ=' | base64_decode }}",
    "{{ item | attr: '__class__' }}",
    "{{ item | map: '__class__' }}",
    "{% include '/etc/passwd' %}",
    "{% render 'x' %}",
    "{% layout 'x' %}",
    "{% import os %}",
    "{% capture x %}{{ item }}{% endcapture %}",
    "{% tablerow i in item %}{% endtablerow %}",
    "{% increment x %}",
    "{% liquid echo item %}",
    "{% for i in (1..1000000000) %}x{% endfor %}",
    "{% for i in (1..1000000000) offset: 999999999 %}x{% endfor %}",
    "{{ (1..1000000000) | join: '' }}",
    "{% assign x = (1..1000000000) %}{{ x | last }}",
    "{{ item",
    "{% if item %}",
    "{% endfor %}",
    "{%" * 2000,
    "{{" * 2000,
    "{% if item %}" * 200 + "{% endif %}" * 200,
    "{% if " + "item and " * 3000 + "item %}x{% endif %}",
    "{{ item" + "['a'" * 500 + "]" * 500 + " }}",
    "{{ item" + "[item" * 3000 + "]" * 3000 + " }}",
    "{{ 99999999999999999999 | times: " + "9" * 4200 + " | times: " + "9" * 4200 + " }}",
    "{{ " + "9" * 5000 + " }}",
    "{{ 1 | divided_by: 0 }}",
    "{{ 1.5 | modulo: 0 }}",
    "{{ 'nan' | plus: 1 | round }}",
    "{{ '1e999' | times: '1e999' | floor }}",
    "{{ item | slice: 'x' }}",
    "{{ item | truncate: -1 }}",
    "{{ item | nosuch }}",
    "{{ item | split: '' | join: item | split: '' | join: item | split: '' | join: item }}",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts(text: str) -> None:
    try:
        rendered = render(template("t", text), "en", {"item": "cameras", "secret": "s3cret"})
    except (InvalidInput, RowRejected):
        return
    for trace in ("class", "passwd", "os.", "49", "2026", "object at", "s3cret"):
        assert trace not in rendered.body


def test_markup_that_slows_the_lexer_is_refused() -> None:
    for text in ("{{" * 9000, "{{ a }}" + "{%" + " " * 1200 + "%}", "x" * 20_001):
        with pytest.raises(InvalidInput, match=r"not closed by|more than 20000"):
            CompiledText(text)


@pytest.mark.parametrize(
    "value", ["{{ secret }}", "{% include 'x' %}", "{{ item }}", "%s %(x)s {0} %%", "</script>"]
)
def test_values_are_never_template(value: str) -> None:
    assert render(
        template("{{ item }}", "{% if true %}{{ item }}{% endif %}"), None, {"item": value, "secret": "s"}
    ) == Rendered(value, value, None)


def test_all_loops_of_a_text_share_one_budget() -> None:
    loop = "{% assign parts = item | split: ',' %}{% for a in parts %}{% endfor %}"
    just = {"item": ",".join("x" * MAX_ITERATIONS)}
    assert render(template("t", loop + "b"), None, just).body == "b"
    assert rejected(template("t", loop + "{% for a in parts %}{% endfor %}b"), just) == "template_loop_limit"
    nested = (
        "{% assign parts = item | split: ',' %}{% for a in parts %}{% for b in parts %}{% endfor "
        "%}{% endfor %}b"
    )
    assert rejected(template("t", nested), {"item": ",".join("x" * 40)}) == "template_loop_limit"
    with pytest.raises(InvalidInput, match="more than 10 loops"):
        CompiledText("{% for a in item %}{% endfor %}" * 11)


@pytest.mark.parametrize(
    "body",
    [
        "{{ item }}",
        "{{ item }}{{ item }}",
        "{{ item | append: item }}",
        "{{ item | upcase }}",
        "{{ item | replace: 'x', item }}",
        "{% assign parts = item | split: '' %}{{ parts | join: item }}",
        "{% assign y = item %}b",
    ],
)
def test_ten_megabytes_are_refused(body: str) -> None:
    assert rejected(template("t", body), {"item": "x" * 10_000_000}) == "template_output_limit"


def test_doubling_is_stopped_before_it_is_large() -> None:
    doubling = (
        "{% assign parts = n | split: '' %}{% assign x = 'xxxxxxxx' %}{% for i in parts %}{% assign x "
        "= x | append: x %}{% endfor %}{{ x }}"
    )
    assert rejected(template("t", doubling), {"n": "1" * 900}) == "template_output_limit"
    squaring = (
        "{% assign parts = n | split: '' %}{% assign x = 9 %}{% for i in parts %}{% assign x = x | "
        "times: x %}{% endfor %}b"
    )
    assert rejected(template("t", squaring), {"n": "1" * 900}) == "template_output_limit"


def test_the_output_limit_counts_bytes() -> None:
    fits = "é" * (MAX_OUTPUT_BYTES // 2)
    assert render(template("t", "{{ item }}"), None, {"item": fits}).body == fits
    assert rejected(template("t", "{{ item }}"), {"item": fits + "e"}) == "template_output_limit"


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_on_the_list_works(name: str) -> None:
    arguments = {
        "append": "'x'",
        "prepend": "'x'",
        "remove": "'a'",
        "remove_first": "'a'",
        "replace": "'a', 'b'",
        "replace_first": "'a', 'b'",
        "split": "','",
        "join": "'-'",
        "default": "'d'",
        "slice": "0",
        "truncate": "4",
        "truncatewords": "1",
    }
    numeric = {"at_least", "at_most", "divided_by", "minus", "modulo", "plus", "times"}
    argument = ": 2" if name in numeric else f": {arguments[name]}" if name in arguments else ""
    assert isinstance(
        CompiledText(
            "{{ 'a,b 3' | " + name + argument + " }}"
            if name not in numeric
            else "{{ 7 | " + name + argument + " }}"
        ).render({}),
        str,
    )
