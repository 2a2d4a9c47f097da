"""Documents that can mean nothing: which warning, at which field, and where there is none."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

import angelia
from angelia import cli
from angelia.catalog.apply import read_documents
from angelia.catalog.checking.sense import notices, shown_numbers, written_number
from angelia.catalog.documents import parse_document

TODAY = date(2026, 11, 15)  # a Sunday
POLICY = {
    "kind": "policy",
    "id": "default",
    "quiet_hours": {"start": 22, "end": 8},
    "salt": "s",
    "holdout": {"share_pct": 0, "salt": "h"},
    "explore": {"slot_share_pct": 0, "epsilon": 0.1, "temperature": 0.02},
}
FCM = {
    "kind": "channel",
    "id": "fcm",
    "provider": "fcm_v1",
    "capacity_per_hour": 100,
    "quota_per_minute": 100,
}
SHOE = {"kind": "material", "id": "shoe", "template": "plain", "fields": {"price": 12}}
HAT = SHOE | {"id": "hat"}
PLAIN = {
    "kind": "template",
    "id": "plain",
    "channels": ["fcm"],
    "variables": {"price": {}},
    "variants": {"en": {"title": "t", "body": "{{ price }}"}},
}
SALE = {
    "kind": "campaign",
    "id": "sale",
    "name": "Sale",
    "topic": "promo",
    "owner": "growth",
    "audience": "everyone",
    "materials": ["shoe"],
    "channels": ["fcm"],
    "value_per_open": 0.05,
    "occurrence": {"every": "daily"},
    "start_date": "2026-11-01",
    "end_date": "2026-12-31",
}


def doubts(*raws):
    by_key = {(raw["kind"], raw["id"]): raw for raw in (POLICY, FCM, SHOE, HAT, PLAIN, SALE, *raws)}
    documents = {key: parse_document(raw) for key, raw in by_key.items()}
    return [(f"{notice.key[0]}.{notice.problem.dotted}", notice) for notice in notices(documents, TODAY)]


NIGHTLY = {"send_window": {"start": 22, "end": 24}}


@pytest.mark.parametrize(
    ("raw", "field", "says"),
    [
        (SALE | NIGHTLY, "campaign.send_window", "within the policy's quiet hours (22 to 8)"),
        (SALE | {"send_window": {"start": 3, "end": 8}}, "campaign.send_window", "3 to 8 lies within"),
        (
            SALE | {"end_date": "2026-11-06", "start_date": "2026-11-02"},
            "campaign.end_date",
            "2026-11-06 is before today: nothing will be sent",
        ),
        (
            SALE
            | {
                "start_date": "2026-11-16",
                "end_date": "2026-11-20",
                "occurrence": {"every": "daily", "weekdays": ["sat", "sun"]},
            },
            "campaign.occurrence.weekdays",
            "no sat, sun comes from 2026-11-16 to 2026-11-20: nothing will be sent",
        ),
        (
            SALE
            | {
                "start_date": "2026-11-16",
                "end_date": "2026-11-20",
                "occurrence": {"every": "weekly", "weekdays": ["fri", "sat"]},
            },
            "campaign.occurrence.weekdays",
            "no sat comes from",
        ),
        (SALE | {"start_date": "2062-11-01", "end_date": "2062-12-01"}, "campaign.start_date", "is the year"),
        (SALE | {"value_per_open": 0}, "campaign.value_per_open", "an open worth 0 never covers its cost"),
        (SALE | {"value_per_open": 4e-7}, "campaign.value_per_open", "an open worth 0 never"),  # micro-units
        (
            {
                "kind": "experiment",
                "id": "copy",
                "salt": "s",
                "arms": [{"name": "a", "share_pct": 100}, {"name": "b", "share_pct": 0}],
            },
            "experiment.arms[1].share_pct",
            "nobody is in arm b",
        ),
        (SALE | {"holdout_pct": 100.0}, "campaign.holdout_pct", "nobody will get it"),
        (SALE | {"caps": [{"messages": 0, "days": 1}]}, "campaign.caps[0].messages", "nothing will be sent"),
        (POLICY | {"caps": [{"messages": 0, "days": 1}]}, "policy.caps[0].messages", "nothing will be sent"),
        (POLICY | {"holdout": {"share_pct": 100, "salt": "h"}}, "policy.holdout.share_pct", "nobody"),
        (
            POLICY | {"topics": {"promo": {"en": "Offers"}, "promos": {"en": "Offers"}}},
            "policy.topics.promos",
            "no campaign has this topic; did you mean promo?",
        ),
        (FCM | {"enabled": False}, "campaign.channels", "none of them is switched on"),
        (FCM | {"capacity_per_hour": 0}, "channel.capacity_per_hour", "0: nothing will be sent"),
        (FCM | {"quota_per_minute": 0}, "channel.quota_per_minute", "0: nothing will be sent"),
        (
            FCM | {"cost_per_message": 0.1},
            "campaign.value_per_open",
            "0.05 at priority medium is worth no more",
        ),
        (FCM | {"capacity_per_hour": 5881}, "channel.capacity_per_hour", "100 a minute allow (5,880)"),
        (
            FCM | {"max_per_vendor_day": {"oppo": 0, "vivo": 1}},
            "channel.max_per_vendor_day.oppo",
            "0 a day: nobody with such a phone gets any marketing; give at least 1",
        ),
        (
            POLICY | {"explore": {"slot_share_pct": 100, "epsilon": 0.1}},
            "policy.explore.slot_share_pct",
            "100 % of the hours are drawn: nothing is chosen",
        ),
        (SHOE | {"valid_from": "2027-01-01"}, "campaign.materials[0]", "from 2027-01-01, and the campaign"),
        (SHOE | {"valid_until": "2026-12-03"}, "campaign.materials", "none is valid on 2026-12-04"),
        (
            {"kind": "audience", "id": "idle", "predicate": "days_since('open') > 30"},
            "audience.predicate",
            "nobody can match days_since('open') > 30: the index covers 28 days",
        ),
    ],
)
def test_a_document_that_can_mean_nothing_is_named(raw, field, says):
    ((where, notice),) = doubts(raw)
    assert where == field
    assert says in notice.problem.message
    assert not notice.is_error


def test_marketing_that_asks_for_no_consent_is_named():
    owed = SALE | {"id": "owed", "guarantee": "at_least_once"}
    ((where, notice),) = doubts(owed)
    assert (where, notice.about) == ("campaign.guarantee", (("campaign", "sale"),))
    assert "asks for no consent, cap or quiet hours, and promo is the topic of marketing, too (sale)" in (
        notice.problem.message
    )
    assert doubts(owed | {"topic": "orders"}) == []
    assert doubts(SALE | {"guarantee": "at_least_once"}, owed) == []


EXPLORING = POLICY | {"explore": {"slot_share_pct": 5, "epsilon": 0.1}}


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (SALE | {"budget": {"max_messages": 1}}, "campaign.budget.max_messages"),
        (FCM | {"capacity_per_hour": 1}, "channel.capacity_per_hour"),
    ],
)
def test_a_limit_that_exploration_rounds_to_nothing(raw, field):
    ((where, notice),) = doubts(EXPLORING, raw)
    assert (where, notice.empties) == (field, True)
    assert notice.problem.message.startswith("1 less the 5 % set aside for exploration rounds down to 0")
    assert notice.problem.message.endswith("give at least 2")
    two = json.loads(json.dumps(raw).replace(": 1", ": 2")) | {"kind": raw["kind"]}
    assert doubts(EXPLORING, two) == []


def test_a_material_that_expires_before_its_campaign_begins():
    doubts_of = dict(doubts(SHOE | {"valid_until": "2026-10-31"}, SALE | {"start_date": "2026-11-10"}))
    assert "valid until 2026-10-31, and the campaign runs from" in (
        doubts_of["campaign.materials[0]"].problem.message
    )
    assert doubts_of["material.valid_until"].only_news  # it is over: said once


@pytest.mark.parametrize(
    "raws",
    [
        (),
        (SALE | {"send_window": {"start": 21, "end": 24}},),
        (FCM | {"cost_per_message": 0.0999},),
        (FCM | {"cost_per_message": 0.1}, SALE | {"priority": "high"}),
        (FCM | {"capacity_per_hour": 5880},),
        (SALE | NIGHTLY | {"guarantee": "at_least_once"},),
        (POLICY | {"quiet_hours": None}, SALE | NIGHTLY),
        (SALE | {"occurrence": {"every": "daily", "weekdays": ["sat", "sun"]}},),
        (
            SALE | {"materials": ["shoe", "hat"]},
            SHOE | {"valid_until": "2026-12-03"},
            HAT | {"valid_from": "2026-12-04"},
        ),
        (SHOE | {"valid_from": "2026-01-01", "valid_until": "2026-12-31"},),
        (FCM | {"enabled": False, "quota_per_minute": 0}, SALE | {"end_date": "2026-11-15"}),
    ],
)
def test_what_makes_sense_has_no_warning(raws):
    warnings = doubts(*raws)
    assert [where for where, _ in warnings if where != "campaign.channels"] == []


def test_a_number_that_loses_its_form_is_named(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(
        "kind: material\nid: shoe\ntemplate: plain\n"
        "fields: {price: 9.90, low: 9.95, n: 5, code: '9.90', e: 1e3, f: +5}\n"
    )
    ((_, raw),) = read_documents([file]).values()
    numbers = [written_number(path, text, raw.at_path(path)) for path, text in raw.numbers.items()]
    assert [str(problem) for problem in numbers if problem] == [
        'fields.price: 9.90 is a number, shown as 9.9; to keep its form quote it: "9.90"',
        'fields.e: 1e3 is a number, shown as 1000.0; to keep its form quote it: "1e3"',
        'fields.f: +5 is a number, shown as 5; to keep its form quote it: "+5"',
    ]


def test_preview_names_numbers_that_may_have_lost_decimals():
    raws = [SHOE | {"fields": {"a": 9.9, "b": 9.95, "c": 3, "d": "9.90"}}]
    raws.append(PLAIN | {"variables": {"price": {"default": 5.0}}})
    documents = {(raw["kind"], raw["id"]): parse_document(raw) for raw in raws}
    assert [str(notice) for notice in shown_numbers(documents)] == [
        'material/shoe: fields.a: is a number, shown as 9.9; for another form quote it: "9.90"',
        "template/plain: variables.price.default: is a number, shown as 5.0; for another form quote it: "
        '"5.00"',
    ]


def catalog(capsys, *args):
    with pytest.raises(SystemExit) as ended:
        cli.main(["catalog", *map(str, args)])
    assert not ended.value.code
    return capsys.readouterr()


def test_apply_warns_once_of_what_is_over(settings_home, write, capsys):
    folder = write(("end_date: 2036-11-30", "end_date: 2026-11-30"), ("item: books", "item: 9.90"))
    out, err = catalog(capsys, "apply", folder, "--on", "2026-12-01", "--json")
    assert [line.partition(": ")[2] for line in json.loads(out)["warnings"]] == [
        'material/sale_books: fields.item: 9.90 is a number, shown as 9.9; to keep its form quote it: "9.90"',
        "campaign/sale: end_date: 2026-11-30 is before today: nothing will be sent; give a later day, or "
        "remove it",
    ]
    assert err.count("warning: ") == 2
    assert catalog(capsys, "apply", folder, "--on", "2026-12-01").err == ""
    shown = catalog(capsys, "preview", "--campaign", "sale", "--ds", "2026-12-01").err
    assert shown == (
        "warning: campaign/sale: end_date: 2026-11-30 is before today: nothing will be sent; "
        "give a later day, or remove it\n"
        "warning: material/sale_books: fields.item: is a number, shown as 9.9; for another form quote it: "
        '"9.90"\n'
    )


def test_the_sample_campaigns_mean_what_they_say(settings_home, capsys):
    folder = Path(angelia.__file__).parent.parent / "campaigns"
    assert catalog(capsys, "apply", folder, "--on", "2026-11-14").err == ""
