"""What all adapters share: verdicts that can be stored, limits, and an account's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.delivery.channels.base import (
    ChannelConfig,
    MessageRejected,
    Verdict,
    header_value,
    load_credentials,
    require_single_address,
    require_size,
)
from angelia.errors import InvalidInput


def test_whatever_an_answer_holds_a_verdict_can_be_stored() -> None:
    verdict = Verdict("rejected", "a\x00b\n" + "x" * 100, "\ud800" + "y" * 300)
    assert verdict.reason == "a?b?" + "x" * 60
    assert verdict.provider_id == "?" + "y" * 255
    assert Verdict("accepted", None, "é" * 300).provider_id == "é" * 256
    assert Verdict("rejected", 7).reason == "7"  # type: ignore[arg-type]
    assert Verdict("accepted") == Verdict("accepted", None, None, None)


@pytest.mark.parametrize(
    ("moment", "kept"),
    [
        (0, 0),
        (1_700_000_000_000_000, 1_700_000_000_000_000),
        (-1, None),
        (4_102_444_800_000_000, None),
        ("1", None),
    ],
)
def test_an_instant_of_a_mistaken_unit_is_forgotten(moment: object, kept: int | None) -> None:
    assert Verdict("gone", "x", None, moment).gone_us == kept  # type: ignore[arg-type]


def test_a_limit_is_the_last_size_that_is_taken() -> None:
    require_size(4096, 4096)
    with pytest.raises(MessageRejected) as refused:
        require_size(4097, 4096, "characters")
    assert (refused.value.reason, refused.value.n_bytes, refused.value.limit) == (
        "payload_too_large",
        4097,
        4096,
    )
    assert refused.value.unit == "characters"


@pytest.mark.parametrize("address", ["", " ", "a,b", ","])
def test_an_address_is_one(address: str) -> None:
    require_single_address("a b")
    with pytest.raises(MessageRejected, match="bad_address"):
        require_single_address(address)


@pytest.mark.parametrize("text", ["", "a\r\nb", "é", "x" * 513, "a\x7f"])
def test_no_text_ends_a_header(text: str) -> None:
    assert header_value("order 7~") == b"order 7~"
    with pytest.raises(MessageRejected, match="control_character:header"):
        header_value(text)


def config(path: Path | None) -> ChannelConfig:
    return ChannelConfig("second", "xiaomi", 60.0, credentials=path)


def test_an_accounts_file_is_named_by_its_variable(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has no credentials") as caught:
        load_credentials(config(None), ("app_id", "app_secret"))
    assert "ANGELIA_SECOND_CREDENTIALS" in caught.value.one_line()
    assert "app_id, app_secret" in caught.value.one_line()
    with pytest.raises(InvalidInput, match="names no readable JSON file"):
        load_credentials(config(tmp_path / "absent.json"), ("app_id",))


@pytest.mark.parametrize("text", ["CANARY", '["CANARY"]', "\xff"])
def test_a_file_that_is_no_account_is_not_shown(text: str, tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInput, match="names no readable JSON file") as caught:
        load_credentials(config(path), ("app_id",))
    assert "CANARY" not in caught.value.one_line()


def test_what_a_file_lacks_is_named_and_an_empty_value_lacks(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    path.write_text('{"app_id": "a", "app_secret": "", "more": 1}')
    with pytest.raises(InvalidInput, match=r"the file lacks app_secret, region$"):
        load_credentials(config(path), ("app_id", "app_secret", "region"))
    assert load_credentials(config(path), ("app_id",)) == {"app_id": "a", "app_secret": "", "more": 1}
