"""One shape of an address for the import and the adapters."""

from __future__ import annotations

import pytest

from angelia.contracts import dataset
from angelia.transport.addresses import MAIL_CHARS, ascii_address


@pytest.mark.parametrize("name", ["user_endpoints", "dispatch_manifest", "dispatch_fallover"])
def test_datasets_share_the_pattern_of_an_address(name: str) -> None:
    assert dataset(name)["address"].pattern is dataset("user_endpoints")["address"].pattern


def test_a_mail_address_is_measured_as_it_is_sent() -> None:
    domain = ".".join(["a" * 62] * 3)
    fits = "x" * (MAIL_CHARS - len(f"@{domain}.de")) + f"@{domain}.de"
    assert ascii_address(fits) == fits
    assert ascii_address("xx" + fits) is None
    assert ascii_address("ann@MÜLLER.example") == "ann@xn--mller-kva.example"
    assert ascii_address("ann@people.example\n") is None
