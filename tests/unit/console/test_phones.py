"""Messages as a phone shows them: sizes are the channels' own."""

from __future__ import annotations

import pytest

from angelia.catalog.preview import standing
from angelia.console.phones import segments, shown, shown_with
from angelia.planning.limits import ProviderLimits
from angelia.templates.rendering import Rendered


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("语" * 70, 1),
        ("语" * 71, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
    ],
)
def test_an_sms_takes_as_many_segments_as_its_letters_need(text, n):
    assert segments(text) == n


def test_sizes_are_the_adapters_own_to_the_byte(catalog):
    documents = standing(catalog)
    campaign = documents["campaign", "price_drop"]
    limits = ProviderLimits.of_documents(documents)
    message = shown(documents, campaign)[0]
    (weight,) = message.weights
    assert (weight.channel, weight.limit, weight.refused) == ("fcm", 4096, None)
    room = weight.limit - weight.n_bytes
    words = Rendered(message.title, message.body, message.link)
    assert limits.refusal(campaign, "fcm", words._replace(body=words.body + "x" * room)) is None
    assert limits.refusal(campaign, "fcm", words._replace(body=words.body + "x" * (room + 1))).n_bytes == 4097


def test_every_material_and_language_is_shown(console, catalog):
    documents = standing(catalog)
    campaign = documents["campaign", "order_update"]
    shown_phones = {(one.material, one.locale) for one in shown(documents, campaign)}
    assert shown_phones == {(name, locale) for name in campaign.materials for locale in ("de", "en", "zh")}
    page = console("VIEWER").get("/campaigns/order_update").text
    assert "您的订单已发货" in page
    assert "of 4,096 bytes" in page


def test_a_template_says_what_its_materials_say(catalog):
    documents = standing(catalog)
    materials = {name: one for (kind, name), one in documents.items() if kind == "material"}
    template = next(iter(materials.values())).template
    users = {name for name, one in materials.items() if one.template == template}
    messages = shown_with(documents, "template", template)
    assert {one.material for one in messages} == users
    assert all(one.title and one.campaign and one.weights for one in messages)
    material = sorted(users)[0]
    assert shown_with(documents, "material", material) == [m for m in messages if m.material == material]


def test_a_material_of_no_campaign_is_shown_without_limits(catalog):
    documents = {key: one for key, one in standing(catalog).items() if key[0] != "campaign"}
    name = next(name for kind, name in documents if kind == "material")
    messages = shown_with(documents, "material", name)
    assert messages
    assert all(one.title and one.campaign is None and not one.weights for one in messages)
