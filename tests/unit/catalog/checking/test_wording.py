"""Placeholders that people would read, and variables that nobody would."""

from __future__ import annotations

import pytest

from angelia.catalog.checking import wording
from angelia.catalog.documents import Material, Template


def template(
    title: str = "{{ item }}", body: str = "b", link: str | None = None, **variables: object
) -> Template:
    variants = {"en": {"title": title, "body": body}}
    declared = {"item": {}, **variables}
    return Template.model_validate(
        {"id": "t", "channels": ("fcm",), "variables": declared, "variants": variants, "link": link}
    )


@pytest.mark.parametrize(
    ("text", "placeholder"),
    [
        ("Hi { item }", "{ item }"),
        ("Hi {user.name}!", "{user.name}"),
        ("${item} for less", "${item}"),
        ("[[item]] for less", "[[item]]"),
        ("Hi %first_name%,", "%first_name%"),
        ("Hi *|FNAME|*,", "*|FNAME|*"),
        ("Hi <%= name %>", "<%= name %>"),
    ],
)
def test_a_placeholder_of_another_language_is_named(text: str, placeholder: str) -> None:
    doubts = list(wording.of_template(template(body=text)))
    assert [doubt.path for doubt in doubts] == [("variants", "en", "body")]
    assert doubts[0].says.startswith(f"{placeholder} is shown as it stands; a variable is written {{{{ ")
    material = Material.model_validate({"id": "m", "template": "t", "fields": {"item": text}})
    assert [doubt.path for doubt in wording.of_material(material)] == [("fields", "item")]


@pytest.mark.parametrize(
    "text",
    [
        "{{ item }} 20% off, 30% on Sunday",
        "{% if item %}[b] {{item}}{% endif %}",
        "p {color: red} { margin: 0 }",
        "100 % cotton * | new",
    ],
)
def test_texts_that_hold_none(text: str) -> None:
    assert list(wording.of_template(template(body=text))) == []


def test_liquid_in_a_field_is_shown_as_it_stands() -> None:
    fields = {"item": "for {{ name }}", "price": 9.5}
    (doubt,) = wording.of_material(Material.model_validate({"id": "m", "template": "t", "fields": fields}))
    assert doubt.path == ("fields", "item")
    assert doubt.says.startswith("{{ name }} is shown as it stands")


def test_a_variable_that_no_text_shows_is_named() -> None:
    (doubt,) = wording.of_template(template(price={}))
    assert (doubt.path, doubt.says.partition(";")[0]) == (("variables", "price"), "no text shows it")
    assert not list(
        wording.of_template(template(link="https://x.example/{{ price | url_encode }}", price={}))
    )
    assert not list(wording.of_template(template("{% if price > 2 %}{{ item }}{% endif %}", price={})))
