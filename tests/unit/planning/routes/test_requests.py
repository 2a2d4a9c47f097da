"""Where a message takes several requests, an hour holds fewer messages."""

from dataclasses import replace

from angelia.planning.routes import with_responses
from angelia.planning.routes.requests import META, requests_a_message, with_requests
from angelia.planning.terms import ChannelTerms
from tests.unit.planning.few_people import TERMS

CHANNELS = (
    ChannelTerms("fcm", 0, 1_000, takes_per_hour=1_000),
    ChannelTerms("email", 0, 300, takes_per_hour=1_000),
    ChannelTerms("sms", 0, 60, takes_per_hour=60),
)


def capacities(meta):
    return [c.capacity_per_hour for c in with_requests(replace(TERMS, channels=CHANNELS), meta).channels]


def test_an_hour_holds_what_its_providers_minutes_take():
    assert capacities({}) == [1_000, 300, 60]
    # 1,000 requests an hour are 400 messages to two and a half devices each; mail has room to spare.
    assert capacities({META: {"fcm": 2.5, "email": 2.5}}) == [400, 300, 60]
    assert capacities({META: {"email": 4}}) == [1_000, 250, 60]
    terms = with_responses(replace(TERMS, channels=CHANNELS), {META: {"fcm": 2}})
    assert terms.channels[0].capacity_per_hour == 500


def test_manifests_say_where_messages_have_several_rows():
    assert requests_a_message({"fcm": 25, "sms": 3}, {"fcm": 10, "sms": 3}) == {"fcm": 2.5}
    assert requests_a_message({}, {}) == {}
