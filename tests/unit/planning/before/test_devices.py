"""A device gets no more of a class than a day allows, by channel."""

from dataclasses import replace

import numpy as np
import pytest

from angelia.planning.before import DeviceRoom
from angelia.planning.terms import ChannelTerms
from tests.unit.planning.few_people import TERMS, past_of

N, H = 3, TERMS.n_slots
PUSH = ChannelTerms("fcm", 0, 9, max_per_device_day=(("marketing", 2), ("service", 1)))
MAIL, TEXT = ChannelTerms("email", 0, 9), ChannelTerms("sms", 0, 9, max_per_device_day=(("marketing", 1),))
ONE = TERMS.campaigns[0]
SERVICE = replace(ONE, id="bill", wire_class="service")
BOTH = np.ones((N, 2), bool)


def past(*messages):
    """Return messages: (user, campaign, hour, channel)."""
    user, campaign, hours, channel = zip(*messages, strict=True) if messages else ((), (), (), ())
    ids = [f"m{i}" for i in range(len(user))]
    return past_of(user, campaign, hours, ids, channel)


def room(*messages, channels=(PUSH, MAIL), first_slot=0):
    terms = replace(TERMS, campaigns=(ONE, SERVICE), channels=channels, first_slot=first_slot)
    return DeviceRoom.of(terms, past(*messages), N)


def within(own, wire_class="marketing", channels=BOTH):
    return own.within(wire_class, np.arange(N), channels)


def test_without_a_limit_nothing_is_closed():
    for own in (room(channels=(MAIL, MAIL)), DeviceRoom.of(TERMS, past(), N)):
        channels, hours = within(own)
        assert channels is BOTH
        assert hours
        assert (own.bound(np.full((N, H), 2, np.int16), [ONE], BOTH) == 2).all()


def test_each_class_is_counted_by_itself():
    # User 0 had both pushes of marketing that a day allows, user 1 its one service message.
    own = room((0, ONE.id, -1, "fcm"), (0, ONE.id, -2, "fcm"), (1, "bill", -1, "fcm"))
    assert within(own)[0].tolist() == [[False, True], [True, True], [True, True]]
    assert within(own, "service")[0].tolist() == [[True, True], [False, True], [True, True]]
    assert within(own, "transactional")[0].all()


@pytest.mark.parametrize(("channel", "is_closed"), [("fcm", True), (None, True), ("email", False)])
def test_a_message_counts_on_its_channel(channel, is_closed):
    own = room((0, ONE.id, -1, channel), (0, ONE.id, -1, channel))
    assert bool(within(own)[0][0, 0]) is not is_closed


def test_a_day_ends_after_24_hours():
    # The second message is 24 hours old at slot 4: from then on there is room.
    own = room((0, ONE.id, -1, "fcm"), (0, ONE.id, -20, "fcm"))
    channels, hours = within(own, channels=np.array([[True, False]] * N))
    assert channels.tolist() == [[True, False]] * N
    assert hours[0].tolist() == [slot >= 4 for slot in range(H)]
    assert hours[1:].all()
    # Mail has room in every hour, so it carries the message and no hour is lost.
    channels, hours = within(own)
    assert channels[0].tolist() == [False, True]
    assert hours.all()
    late = room((0, ONE.id, -1, "fcm"), (0, ONE.id, -20, "fcm"), first_slot=4)
    assert within(late)[0][0].all(), "hours that have passed count for nothing"


def test_no_channel_is_left_once_all_are_used_up():
    own = room((0, ONE.id, 3, "fcm"), (0, ONE.id, 5, "fcm"), (0, ONE.id, 5, "sms"), channels=(PUSH, TEXT))
    channels, _ = within(own)
    assert channels.tolist() == [[False, False], [True, True], [True, True]]


def test_two_messages_of_a_night_fit_the_device():
    own = room((0, ONE.id, -1, "fcm"), (1, ONE.id, -1, "fcm"), (2, ONE.id, -1, "email"))
    reach = np.array([[True, True], [False, True], [True, True]])
    whole = np.full((N, H), 2, np.int16)
    assert own.bound(whole, [ONE], reach)[:, 0].tolist() == [1, 2, 2]
    assert own.bound(whole, [replace(ONE, is_exempt=True)], reach).min() == 2
    assert own.bound(whole, [ONE], reach)[0, -1] == 2, "a day later there is room for both"
