"""Words by which people leave a channel, by language.

Sources: help.twilio.com "Twilio support for opt-out keywords" (English, read 2026-11-28), CTIA Messaging
Principles 5.1.3; the others are the words that carriers and senders print in each language's texts. Surprise:
a text counts only if it is such a word and nothing else but marks: "please do not stop" stops nothing. `STOP`
holds in every language, since texts everywhere print it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

WORDS: dict[str, tuple[str, ...]] = {
    "en": (
        "stop", "stopall", "stop all", "unsubscribe", "cancel", "end", "quit", "optout", "opt out", "revoke",
    ),
    "ar": ("إيقاف", "الغاء", "إلغاء", "توقف"),
    "cs": ("stop", "zrušit", "odhlásit"),
    "da": ("stop", "afmeld", "frameld"),
    "de": ("stopp", "stop", "abmelden", "abbestellen", "austragen"),
    "el": ("στοπ", "διακοπη", "διακοπή"),
    "es": ("baja", "alto", "parar", "cancelar", "detener", "no mas", "no más"),
    "fi": ("stop", "lopeta", "peru"),
    "fr": ("stop", "arret", "arrêt", "arreter", "arrêter", "desabonner", "désabonner"),
    "he": ("הסר", "הסרה", "עצור"),
    "hi": ("रोकें", "बंद करें"),
    "hu": ("stop", "leiratkozás", "leiratkozas"),
    "id": ("stop", "berhenti", "unreg"),
    "it": ("stop", "basta", "ferma", "cancella", "annulla"),
    "ja": ("停止", "配信停止", "解除", "ストップ"),
    "ko": ("수신거부", "거부", "중지", "해지"),
    "nl": ("stop", "afmelden", "stoppen"),
    "no": ("stopp", "avmeld"),
    "pl": ("stop", "wypisz", "rezygnuję", "rezygnuje"),
    "pt": ("parar", "sair", "cancelar", "pare", "remover"),
    "ro": ("stop", "dezabonare", "anulare"),
    "ru": ("стоп", "отписка", "отписаться", "отмена"),
    "sv": ("stopp", "avsluta", "avregistrera"),
    "th": ("หยุด", "ยกเลิก"),
    "tr": ("dur", "iptal", "ret", "red"),
    "uk": ("стоп", "відписатися", "відписка"),
    "vi": ("dung", "dừng", "huy", "hủy", "tu choi", "từ chối"),
    "zh": ("td", "t", "退订", "退訂", "停止", "取消"),
}  # fmt: skip
_ALWAYS = frozenset({"stop"})


def normal(text: str) -> str:
    """Return a text in one case and width, without marks around its words."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(
        " " if unicodedata.category(mark)[0] in "PSZC" else mark
        for mark in unicodedata.normalize("NFC", folded)
    )
    return " ".join(kept.split())


_NORMAL = {language: frozenset(map(normal, words)) for language, words in WORDS.items()}


def says_stop(text: str, languages: Iterable[str] | None = None) -> bool:
    """Say whether a text is a word that ends a channel, in these languages or (None) any."""
    word = normal(text[:200])
    chosen = _NORMAL if languages is None else [name for name in languages if name in _NORMAL]
    return word in _ALWAYS or any(word in _NORMAL[name] for name in chosen)
