"""Accounts of all providers: what a file lacks is named, and a rehearsal reaches no vendor."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from angelia.delivery.channels import PROVIDERS, open_provider
from angelia.delivery.channels.base import ChannelConfig
from angelia.delivery.worker.senders import PROVIDER_HOSTS
from angelia.errors import InvalidInput

WITH_ACCOUNT = sorted(set(PROVIDERS) - {"apns", "fcm_v1", "smtp", "webhook"})


@pytest.mark.parametrize("provider", WITH_ACCOUNT)
def test_an_account_that_lacks_something_is_named(provider: str, tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    path.write_text("{}")
    with pytest.raises(InvalidInput, match="ANGELIA_SECOND_CREDENTIALS: the file lacks"):
        open_provider(ChannelConfig("second", provider, 60.0, credentials=path))


def test_no_vendor_is_reached_by_a_rehearsal() -> None:
    for provider in sorted(set(WITH_ACCOUNT) - {"inbox", "ses_v2", "sns_push", "sns_sms", "webpush"}):
        host = import_module(PROVIDERS[provider].__module__).BASE_URL.removeprefix("https://")
        assert any(f".{host}".endswith(f".{name}") for name in PROVIDER_HOSTS), host
