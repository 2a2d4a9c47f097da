"""A text ends a channel only if it is a stop word and nothing else."""

from __future__ import annotations

import pytest

from angelia.receive.stop_words import WORDS, says_stop


@pytest.mark.parametrize(
    ("text", "languages", "is_stop"),
    [
        ("STOP", (), True), (" Stop. ", None, True), ("退订", None, True), ("ＴＤ", ("zh",), True),
        ("ARRÊT", ("fr",), True), ("arret", ("fr",), True), ("baja", ("de",), False), ("стоп!", None, True),
        ("stop it", None, False), ("", None, False), ("don't stop", None, False), ("बंद करें", None, True),
    ],
)  # fmt: skip
def test_stop_words(text: str, languages: tuple[str, ...] | None, is_stop: bool) -> None:
    assert says_stop(text, languages) is is_stop


def test_every_stop_word_is_its_language_s() -> None:
    assert all(says_stop(word, (language,)) for language, words in WORDS.items() for word in words)
