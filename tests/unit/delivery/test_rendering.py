"""A text is made once per distinct input, and a row without one is refused by its reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from angelia.delivery.channels.base import MessageRejected
from angelia.delivery.manifest.sample_plan import documents
from angelia.delivery.sending import rendering
from angelia.delivery.sending.rendering import Renderer
from angelia.templates.rendering import TemplateSet

FIELDS = json.dumps({"campaign_id": "c", "item": "lamp", "first_name": "Ann"})


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Return the inputs that were really rendered."""
    calls: list[tuple[Any, ...]] = []
    render = TemplateSet.render

    def noting(self: TemplateSet, *given: Any) -> Any:
        calls.append(given)
        return render(self, *given)

    monkeypatch.setattr(TemplateSet, "render", noting)
    return calls


def renderer() -> Renderer:
    template = json.loads(documents()[0]["body"])
    return Renderer(TemplateSet([(1, template)]))


def test_a_text_is_rendered_once_per_input(rendered: list[tuple[Any, ...]]) -> None:
    render = renderer()
    assert {render("price_drop", 1, FIELDS, "de") for _ in range(3)} == {
        ("Preissturz: lamp", "Hallo Ann, lamp kostet heute weniger.", "https://shop.example/sale?c=c")
    }
    assert render("price_drop", 1, FIELDS, "en")[0] == "Price drop: lamp"
    assert len(rendered) == 2


@pytest.mark.parametrize("fields", ["", "[1]", "{", '"text"'])
def test_fields_that_are_no_object_refuse_the_row_each_time(fields: str) -> None:
    render = renderer()
    for _ in range(2):
        with pytest.raises(MessageRejected, match=r"^fields_unreadable$"):
            render("price_drop", 1, fields, None)


def test_a_full_cache_forgets_and_goes_on(
    rendered: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "_CACHE", 2)
    render = renderer()
    for locale in ("en", "de", "en", "fr", "en"):
        render("price_drop", 1, FIELDS, locale)
    assert len(rendered) == 4  # the third was known; the fourth emptied the cache
    assert len(render._done) == 2
