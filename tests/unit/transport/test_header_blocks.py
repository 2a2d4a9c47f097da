"""Header blocks remembered: the same bytes as hpack's own, whatever the table held before."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from angelia.transport.header_blocks import CachedDecoder, CachedEncoder, WireError, plain_block

HEADERS = st.lists(
    st.tuples(st.sampled_from([b"x-a", b"x-b", b"cookie"]), st.binary(max_size=8)), max_size=4
).map(tuple)


@given(st.lists(HEADERS, min_size=1, max_size=12))
def test_a_remembered_block_is_decoded_as_any_peer_would(
    blocks: list[tuple[tuple[bytes, bytes], ...]],
) -> None:
    encoder, peer = CachedEncoder(), Decoder()
    for headers in (*blocks, *blocks, *blocks):
        decoded = peer.decode(encoder.encode(headers), raw=True)
        assert tuple((bytes(name), bytes(value)) for name, value in decoded) == headers


@given(st.lists(HEADERS, min_size=1, max_size=12))
def test_remembered_bytes_mean_what_they_meant_to_hpack(
    blocks: list[tuple[tuple[bytes, bytes], ...]],
) -> None:
    peer, decoder = Encoder(), CachedDecoder()
    for headers in (*blocks, *blocks, *blocks):
        assert decoder.decode(bytes(peer.encode(headers))) == headers


def test_a_smaller_table_is_obeyed_at_once() -> None:
    encoder, peer = CachedEncoder(), Decoder()
    headers = ((b"x-a", b"1"),)
    for _ in range(3):
        assert peer.decode(encoder.encode(headers), raw=True)
    encoder.resize(0)
    peer.max_allowed_table_size = 0
    assert [tuple(pair) for pair in peer.decode(encoder.encode(headers), raw=True)] == list(headers)
    assert peer.header_table.maxsize == 0


@pytest.mark.parametrize("size", [0, 126, 127, 128, 254, 255, 16_384])
def test_a_literal_of_any_length_needs_no_table(size: int) -> None:
    headers = [(b"x-filler", b"x" * size), (b"y", b"z")]
    peer = Decoder()
    decoded = peer.decode(plain_block(headers), raw=True)
    assert [(bytes(name), bytes(value)) for name, value in decoded] == headers
    assert len(peer.header_table.dynamic_entries) == 0


def test_a_block_that_is_none_ends_the_connection() -> None:
    with pytest.raises(WireError) as broken:
        CachedDecoder().decode(b"\xff" * 7)
    assert broken.value.code == 9
