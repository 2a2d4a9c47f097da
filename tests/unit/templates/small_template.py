"""A small template, and the reason for which a row of it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.templates.rendering import RowRejected, render


def template(
    title: str = "Sale: {{ item }}", body: str = "{{ item }} for less", **more: Any
) -> dict[str, Any]:
    return {
        "id": "sale",
        "variants": {"en": {"title": title, "body": body}},
        "variables": {"item": {}},
        "default_locale": "en",
        "link": None,
        **more,
    }


def rejected(
    document: dict[str, Any], fields: dict[str, object] | None = None, locale: str | None = None
) -> str:
    with pytest.raises(RowRejected) as caught:
        render(document, locale, {"item": "cameras"} if fields is None else fields)
    return caught.value.reason
