"""Mapping files as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.errors import InvalidInput
from angelia.importing.loading import load_mapping

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


@pytest.mark.parametrize("name", ["kuairand", "online_retail"])
def test_the_examples_are_mappings(name: str) -> None:
    assert load_mapping(EXAMPLES / name / "mapping.yaml").outputs


def test_a_mapping_in_another_encoding_is_told_which(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_bytes("name: m\ndescription: Köln\n".encode("cp1252"))
    with pytest.raises(InvalidInput, match="line 2 is no UTF-8 text, it reads as windows-1252"):
        load_mapping(path)
