"""Each provider's callback is believed by its own signature, and becomes events."""

from __future__ import annotations

import pytest

from angelia.errors import InvalidInput
from angelia.receive.callbacks import readers_of


@pytest.mark.parametrize(
    ("account", "lacks"),
    [
        ({"provider": "pigeon"}, "no callbacks"), ({"provider": "twilio", "url": "https://x"}, "auth_token"),
        ({"provider": "xiaomi", "key": "short"}, "too short"), ({"provider": "ses_v2"}, "topics"),
    ],
)  # fmt: skip
def test_an_account_that_lacks_something_is_named(account: dict[str, str], lacks: str) -> None:
    with pytest.raises(InvalidInput, match=lacks):
        readers_of({"sms": account}, lambda channel, address: "")
