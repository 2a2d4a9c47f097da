"""Where a message takes several requests, an hour holds fewer messages."""

from dataclasses import replace

from angelia.planning.routes import with_responses
from angelia.planning.routes.requests import META, ManifestCounts, with_requests
from angelia.planning.terms import ChannelTerms
from tests.unit.planning.few_people import TERMS

CHANNELS = (
    ChannelTerms("fcm", 0, 1_000, takes_per_hour=1_000),
    ChannelTerms("email", 0, 300, takes_per_hour=1_000),
    ChannelTerms("sms", 0, 60, takes_per_hour=60),
)


def planned(channels, campaigns=None):
    """Return the hours' messages of the channels, and of the campaigns with a speed limit."""
    meta = {META: {"channels": channels, "campaigns": campaigns or {}}} if channels else {}
    paced = (replace(TERMS.campaigns[0], id="fast", max_per_hour=90), TERMS.campaigns[1])
    terms = with_requests(replace(TERMS, channels=CHANNELS, campaigns=paced), meta)
    return [c.capacity_per_hour for c in terms.channels], [c.max_per_hour for c in terms.campaigns]


def test_an_hour_holds_what_its_providers_minutes_take():
    assert planned({}) == ([1_000, 300, 60], [90, None])
    # 1,000 requests an hour are 400 messages to two and a half devices each; mail has room to spare.
    assert planned({"fcm": 2.5, "email": 2.5})[0] == [400, 300, 60]
    assert planned({"email": 4})[0] == [1_000, 250, 60]
    assert planned({"fcm": 2}, {"fast": 3.0}) == ([500, 300, 60], [30, None])
    terms = with_responses(
        replace(TERMS, channels=CHANNELS), {META: {"channels": {"fcm": 2}, "campaigns": {}}}
    )
    assert terms.channels[0].capacity_per_hour == 500


def test_manifests_say_where_messages_have_several_rows():
    counts = ManifestCounts()
    assert counts.meta() == {"n_messages": 0, META: {"channels": {}, "campaigns": {}}}
    counts.add("fcm", [("all", 30, 10), ("one", 10, 10)])
    counts.add("fcm", [("all", 10, 10)])
    counts.add("sms", [("one", 3, 3)])
    assert counts.meta() == {
        "n_messages": 33,
        META: {"channels": {"fcm": 1.6667}, "campaigns": {"all": 2.0}},
    }
