"""Templates: locales, defaults, refused values, and a fast path that equals Liquid."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.templates.liquid_sandbox import MAX_OUTPUT_BYTES, CompiledText
from angelia.templates.rendering import (
    CompiledTemplate,
    Rendered,
    RowRejected,
    TemplateSet,
    choose_locale,
    field_values,
    names_used,
    render,
    user_columns,
)
from tests.unit.templates.small_template import rejected, template


def test_words_with_values() -> None:
    document = template(link="https://shop.example/{{ category }}?c={{ campaign_id }}")
    fields = {"item": "cameras", "category": "camera", "campaign_id": "sale"}
    assert render(document, "en", fields) == Rendered(
        "Sale: cameras", "cameras for less", "https://shop.example/camera?c=sale"
    )


@pytest.mark.parametrize(
    ("locale", "chosen"),
    [
        ("de", "de"),
        ("de-AT", "de"),
        ("pt-BR", "pt-BR"),
        ("pt-PT", "en"),
        ("zh-Hant-TW", "zh"),
        ("fr", "en"),
        (None, "en"),
        ("", "en"),
        ("-", "en"),
    ],
)
def test_locales_fall_back_to_the_language_and_then_the_default(locale: str | None, chosen: str) -> None:
    variants = {name: {"title": name, "body": "b"} for name in ("en", "de", "pt-BR", "zh")}
    assert choose_locale(locale, variants, "en") == chosen
    compiled = CompiledTemplate(template(variants=variants))
    assert [compiled.render(locale, {}).title for _ in range(2)] == [chosen, chosen]


def test_many_odd_locales_are_rendered_and_not_all_remembered() -> None:
    compiled = CompiledTemplate(template())
    assert {compiled.render(f"x{i}", {"item": "a"}).title for i in range(3000)} == {"Sale: a"}
    assert len(compiled._by_locale) <= 1000


def test_defaults_fill_absent_and_null_fields() -> None:
    document = template(
        variables={"item": {"default": "things", "source": None}, "n": {"default": 0}},
        body="{{ item }}{{ n }}{{ category }}",
    )
    assert render(document, None, {}).body == "things0"
    assert render(document, None, {"item": None, "n": 2}).body == "things2"
    assert render(document, None, {"item": "", "n": 1.5, "category": "camera"}).body == "1.5camera"


def test_a_missing_field_rejects_the_row_under_its_name() -> None:
    assert rejected(template(), {}) == "undefined_variable:item"
    assert rejected(template(), {"item": None}) == "undefined_variable:item"
    assert rejected(template("{% if item == 'x' %}{% endif %}a"), {}) == "undefined_variable:item"
    # A default is declared, not written into the text.
    assert rejected(template("{{ item | default: 'x' }}"), {}) == "undefined_variable:item"
    assert rejected(template("{{ item.price }}")) == "undefined_variable:item"


def test_a_reason_never_holds_a_value() -> None:
    assert rejected(template("{{ [item] }}"), {"item": "4915112345678"}) == "undefined_variable"
    assert "4915112345678" not in rejected(template("{{ item | divided_by: 0 }}"), {"item": "4915112345678"})


@pytest.mark.parametrize(
    ("where", "value", "reason"),
    [
        ("title", "a\nb", "control_character:title"),
        ("title", "a\x00b", "control_character:title"),
        ("title", "a\x1b[31m", "control_character:title"),
        ("title", "a\u2028b", "control_character:title"),
        ("title", "a\x85b", "control_character:title"),
        ("title", "\ud800", "half_a_character"),
        ("title", " \u00a0", "empty:title"),
        ("body", "a\x0bb", "control_character:body"),
        ("body", "a\rb", "control_character:body"),
        ("body", "\ud800", "half_a_character"),
        ("body", "", "empty:body"),
        ("link", "a b", "invalid_link"),
        ("link", "a\r\nHost: x", "control_character:link"),
        ("link", "<script>", "invalid_link"),
    ],
)
def test_values_that_no_phone_should_get(where: str, value: str, reason: str) -> None:
    document = template("t", "b", link="https://shop.example/x")
    if where == "link":
        document["link"] = "https://shop.example/{{ item }}"
    else:
        document["variants"]["en"][where] = "{{ item }}"
    assert rejected(document, {"item": value}) == reason


def test_a_body_may_have_lines_and_any_script() -> None:
    assert render(template("{{ item }}", "{{ item }}\n\tü"), None, {"item": "नमस्ते 👋 مرحبا"}) == Rendered(
        "नमस्ते 👋 مرحبا", "नमस्ते 👋 مرحبا\n\tü", None
    )


@pytest.mark.parametrize(
    "link",
    [
        "javascript://%0aalert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "//shop.example",
        "shop.example",
        "https://",
        "file:///etc/passwd",
        "{{ item }}",
    ],
)
def test_links_that_lead_elsewhere(link: str) -> None:
    assert rejected(template(link=link), {"item": "vbscript://x"}) == "invalid_link"


def test_links_into_an_app() -> None:
    assert (
        render(template(link="shopapp://sale?x={{ item | url_encode }}"), None, {"item": "a b&c"}).link
        == "shopapp://sale?x=a+b%26c"
    )


SCALARS = st.text(max_size=20) | st.integers() | st.floats() | st.booleans() | st.none()
WORDS = st.text(st.characters(exclude_characters="{}"), max_size=12)


@given(
    parts=st.lists(
        WORDS
        | st.sampled_from(
            ["{{ a }}", "{{a}}", "{{- b -}}", "{{ c }} ", "%", "%s", "{% raw %}{{ a }}{% endraw %}"]
        ),
        max_size=8,
    ),
    fields=st.dictionaries(st.sampled_from("abcd"), SCALARS),
)
@example(parts=["{{ a }}"], fields={"a": 10**5000})
@example(parts=["{{ a }}", "%", "{{ b }}"], fields={"a": True, "b": None})
@example(parts=["a\r\n{{ a }}"], fields={"a": "\r"})
@example(parts=["{{ a }}"], fields={"a": "x" * (MAX_OUTPUT_BYTES + 1)})
@example(parts=["{{ a }}"], fields={"a": "x" * MAX_OUTPUT_BYTES})
@example(parts=["half \ud800"], fields={})
@example(parts=["{{ a }}"], fields={"a": "half \ud800"})
def test_the_fast_path_equals_liquid(parts: list[str], fields: dict[str, object]) -> None:
    text = CompiledText("".join(parts))

    def outcome(how: Any) -> str:
        try:
            return f"text {how(fields)}"
        except RowRejected as error:
            return f"rejected {error.reason}"

    assert outcome(text.render) == outcome(text.render_liquid)


def test_the_fast_path_is_taken_for_words_and_plain_outputs_only() -> None:
    def is_fast(source: str) -> bool:
        text = CompiledText(source)
        return text.render != text._slow

    assert all(
        map(
            is_fast,
            ["words", "{{ a }}", "x {{ a }} y {{ b }}", "{{- a -}}", "{% comment %}c{% endcomment %}"[:0]],
        )
    )
    assert not any(
        map(is_fast, ["{{ a.b }}", "{{ a | upcase }}", "{% if a %}{% endif %}", "{{ 'x' }}", "{{ [a] }}"])
    )


def test_names_used_per_part() -> None:
    document = template(
        "{{ item }}",
        "{% assign x = level %}{% for y in tags %}{{ y }}{{ forloop.index }}{% endfor %}{{ x }}",
        link="https://s.example/{{ category }}",
    )
    assert names_used(document) == {
        "item": {"variants.en.title"},
        "level": {"variants.en.body"},
        "tags": {"variants.en.body"},
        "category": {"link"},
    }


def test_a_template_that_does_not_compile_names_itself() -> None:
    with pytest.raises(InvalidInput, match=r"template/sale: variants.en.body: liquid: .*line 2, column"):
        CompiledTemplate(template(body="a\n{% if %}x{% endif %}"))


def test_fields_come_from_material_then_person_then_default() -> None:
    document = template(
        variables={
            "item": {"default": "things", "source": "user.province"},
            "level": {"default": 0, "source": "user.membership_level"},
            "word": {"default": None, "source": None},
        }
    )
    material = {"id": "sale_camera", "category": "camera", "fields": {"item": "cameras"}}
    common = {"campaign_id": "sale", "material_id": "sale_camera", "category": "camera"}
    assert field_values(document, material, "sale", {"province": "hessen", "membership_level": 3}) == {
        **common,
        "item": "cameras",
        "level": 3,
    }
    bare = {"id": "sale_camera", "category": None, "fields": {}}
    assert field_values(document, bare, "sale", {"province": "hessen", "membership_level": None}) == {
        **common,
        "category": "",
        "item": "hessen",
        "level": 0,
    }
    assert user_columns(document) == ["membership_level", "province"]


def test_a_set_renders_by_id_and_version(lake: Lake) -> None:
    templates = TemplateSet(
        [(1, template("one {{ item }}")), (2, template("two {{ item }}")), (3, template("{% broken"))]
    )
    assert [templates.render("sale", version, None, {"item": "x"}).title for version in (1, 2, 1)] == [
        "one x",
        "two x",
        "one x",
    ]
    assert templates.template("sale", 1) is templates.template("sale", 1)
    for key, reason in (
        (("sale", 4), "unknown_template"),
        (("other", 1), "unknown_template"),
        (("sale", 3), "template_error"),
    ):
        with pytest.raises(RowRejected) as caught:
            templates.render(*key, None, {"item": "x"})
        assert caught.value.reason == reason


def test_a_set_is_read_from_a_snapshot(lake: Lake) -> None:
    import pyarrow as pa

    rows = {
        "kind": ["template", "audience"],
        "id": ["sale", "a"],
        "version": pa.array([7, 1], pa.int32()),
        "body": [json.dumps(template()), "{}"],
    }
    with lake.attempt("catalog_snapshot", ds="2026-11-14") as attempt:
        attempt.write(pa.table(rows), "documents.parquet")
        commit = attempt.publish()
    assert TemplateSet.read(lake, commit).render("sale", 7, "de", {"item": "x"}).title == "Sale: x"
