"""What providers would refuse, for every material, language, channel and two people."""

from __future__ import annotations

from datetime import date

import pytest

from angelia.catalog.documents import parse_document
from angelia.delivery.channels import PROVIDERS, stand_in
from angelia.delivery.channels.base import Message, MessageRejected
from angelia.planning.limits import ProviderLimits, columns, notices, refused_people

TODAY = date(2026, 11, 15)
TEMPLATE = {
    "kind": "template",
    "id": "plain",
    "channels": ["fcm", "apns", "webhook", "email"],
    "variables": {"item": {}, "province": {"source": "user.province", "default": "you"}},
    "variants": {
        "en": {"title": "{{ item }}", "body": "for {{ province }}"},
        "de": {"title": "{{ item }}", "body": "für {{ province }}"},
    },
    "default_locale": "en",
}
SHOE = {"kind": "material", "id": "shoe", "template": "plain", "fields": {"item": "shoe"}}
SALE = {
    "kind": "campaign",
    "id": "sale",
    "name": "Sale",
    "topic": "promo",
    "owner": "growth",
    "audience": "everyone",
    "materials": ["shoe"],
    "channels": ["fcm", "apns", "webhook"],
    "value_per_open": 0.05,
    "occurrence": {"every": "daily"},
    "start_date": "2026-11-01",
    "end_date": "2026-12-31",
}


def channel(name, provider, enabled=True):
    return {
        "kind": "channel",
        "id": name,
        "provider": provider,
        "enabled": enabled,
        "capacity_per_hour": 1,
        "quota_per_minute": 1,
    }


CHANNELS = (channel("fcm", "fcm_v1"), channel("apns", "apns"), channel("webhook", "webhook"))


def catalog(*raws):
    documents = map(parse_document, raws)
    return {(document.kind, document.id): document for document in documents}


def variant(locale, body):
    return TEMPLATE | {"variants": TEMPLATE["variants"] | {locale: {"title": "t", "body": body}}}


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_each_provider_builds_requests_without_account(provider):
    known = stand_in(provider)
    message = Message(known.address, "0" * 32, "title", "body", "https://shop.example/x", "sale", 3600, False)
    assert known.adapter.build_request(message).body
    with pytest.raises(MessageRejected, match="payload_too_large") as refused:
        known.adapter.build_request(message._replace(body="x" * 300_000))
    assert refused.value.n_bytes >= 300_000 > refused.value.limit


def test_a_text_above_the_limit_is_an_error_at_its_line():
    documents = catalog(*CHANNELS, variant("de", "ü" * 2500), SHOE, SALE)
    fcm, apns = notices(documents, TODAY)
    assert (fcm.key, fcm.problem.dotted, fcm.is_error) == (
        ("template", "plain"),
        "variants.de.body",
        True,
    )
    assert fcm.problem.message == (
        "5,097 bytes, fcm takes 4,096: every message of campaign sale with material shoe in de would be "
        "rejected; shorten it"
    )
    assert "apns takes 4,096" in apns.problem.message  # and a webhook takes 20,000


def test_long_fields_are_blamed_on_their_material():
    long = SHOE | {"fields": {"item": "x" * 5000}}
    refused = list(notices(catalog(*CHANNELS, TEMPLATE, long, SALE), TODAY))
    assert {(notice.key, notice.problem.dotted) for notice in refused} == {
        (("material", "shoe"), "fields.item")
    }
    assert len(refused) == 4  # two languages, two channels


def test_what_depends_on_the_person_is_a_warning():
    near = "x" * 3900 + "{{ province }}"
    (fcm, apns) = notices(catalog(*CHANNELS, variant("en", near), SHOE, SALE), TODAY)
    assert (fcm.is_error, apns.is_error) == (False, False)
    assert "messages to people with long fields of campaign sale" in fcm.problem.message


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({"end_date": "2026-11-14"}, 0),  # over
        ({"end_date": "2026-11-15"}, 2),  # its last day
        ({"channels": ["webhook"]}, 0),
        ({"channels": ["fcm"]}, 1),
    ],
)
def test_only_what_a_campaign_will_use_is_built(change, count):
    documents = catalog(*CHANNELS, variant("de", "ü" * 2500), SHOE, SALE | change)
    assert len(list(notices(documents, TODAY))) == count


def test_a_channel_that_is_off_and_other_languages_do_not_count():
    off = [channel("fcm", "fcm_v1", enabled=False), *CHANNELS[1:]]
    only_en = SHOE | {"locales": ["en-GB"]}
    assert len(list(notices(catalog(*off, variant("de", "ü" * 2500), SHOE, SALE), TODAY))) == 1
    assert list(notices(catalog(*CHANNELS, variant("de", "ü" * 2500), only_en, SALE), TODAY)) == []


def test_a_header_no_mail_may_carry_is_told_too():
    mail = channel("email", "smtp")
    raw = TEMPLATE | {"variants": {"en": {"title": "=?utf-8?q?hi?=", "body": "x"}}}
    (notice,) = notices(catalog(mail, raw, SHOE, SALE | {"channels": ["email"]}), TODAY)
    assert "email takes no such message (encoded_word:title)" in notice.problem.message


def test_a_provider_that_is_not_installed_is_named():
    (notice,) = notices(catalog(channel("sms", "carrier"), TEMPLATE, SHOE, SALE), TODAY)
    assert (notice.key, notice.is_error, notice.only_news) == (("channel", "sms"), False, True)
    assert "no provider is called 'carrier'" in str(notice)
    assert list(notices(catalog(channel("sms", "carrier", enabled=False), SHOE), TODAY)) == []


def test_a_second_channel_of_mails_is_to_be_called_so():
    named = [channel("email_two", "smtp"), channel("sms_eu", "twilio"), channel("wecom", "wecom")]
    assert list(notices(catalog(*named, TEMPLATE, SHOE), TODAY)) == []
    (notice,) = notices(catalog(channel("mail_two", "mandrill"), TEMPLATE, SHOE), TODAY)
    assert (notice.key, notice.is_error) == (("channel", "mail_two"), False)
    assert "call the channel email_mail_two" in str(notice)


def test_a_limit_in_characters_is_told_in_characters():
    only = {"channels": ["sms"]}
    documents = catalog(channel("sms", "twilio"), variant("de", "ü" * 1700) | only, SHOE, SALE | only)
    (notice,) = notices(documents, TODAY)
    assert " characters, sms takes 1,600" in notice.problem.message


def test_people_whose_messages_would_be_refused_are_counted():
    documents = catalog(*CHANNELS, variant("en", "x" * 3950 + "{{ province }}"), SHOE, SALE)
    people = [{"locale": tag, "province": name} for tag in ("en", "de") for name in ("x", "x" * 100)]
    sale = documents["campaign", "sale"]
    assert columns(sale, documents) == ["locale", "province"]
    limits = ProviderLimits.of_documents(documents)
    assert refused_people(sale, documents, limits, people) == {
        "shoe, fcm: payload_too_large": 1,
        "shoe, apns: payload_too_large": 1,
    }
