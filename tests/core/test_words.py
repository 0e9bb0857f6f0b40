"""Folding, queries, mentions, and what one emoji is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshchat.core.words import Query, fold, is_emoji, mentions, places, words
from meshchat.text import Clean


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ЁЛКА ёлка", "елка елка"),
        ("ӘӨҮҰҚҒҢҺІ әөүұқғңһі", "аоуукгнхи аоуукгнхи"),
        ("Мой мои", "мой мои"),
        ("Café NAÏVE", "cafe naive"),
        ("STRASSE straße", "strasse strasse"),
        ("ﬁle", "file"),
        ("ПрИвЕт", "привет"),
    ],
)
def test_folding(text: str, folded: str) -> None:
    """Case, accents, ё and the Kazakh letters; й is a letter of its own."""
    assert fold(text) == folded


@given(st.text(max_size=60))
def test_folding_twice_changes_nothing(text: str) -> None:
    """And a text is found by each of its own words, and by their beginnings."""
    clean = Clean(text)
    for word in words(clean)[:8]:
        assert words(word) == [word]
        assert Query.parse(word).fits(clean)
        assert Query.parse(word[:2]).fits(clean)


@pytest.mark.parametrize(
    ("query", "text", "fits"),
    [
        ("кала", "Менің қалам", True),
        ("қала", "кала", True),
        ('"қала"', "кала", False),
        ('"қала"', "Қала", True),
        ('"red fox"', "a red  fox", False),
        ('"red fox" b', "bob saw a Red Fox", True),
        ("fo re", "red fox", True),
        ("ed", "red", False),
        ("", "anything", False),
        ('"', "anything", False),
        ("*", "anything", False),
        ("елка", "Ёлка", True),
        ('un"closed', "un closed", True),
        ("NEAR AND OR", "near and or", True),
    ],
)
def test_queries(query: str, text: str, fits: bool) -> None:
    """Beginnings of words, folded; what is in quotes as it stands."""
    assert Query.parse(query).fits(text) is fits


@pytest.mark.parametrize(
    ("text", "name", "called"),
    [
        ("@Aida come", "aida", True),
        ("come, @АЙГЕРІМ!", "Айгерим", True),
        ("@Aida Bek: hi", "Aida Bek", True),
        ("@aida: hi", "Aida Bek", True),
        ("mail@aida", "Aida", False),
        ("@aidana", "Aida", False),
        ("Aida", "Aida", False),
        ("@", "", False),
        ("@a.b", "a.b", True),
        ("@axb", "a.b", False),
    ],
)
def test_mentions(text: str, name: str, called: bool) -> None:
    """Only with the sign, only whole, whichever letters the name is written in."""
    assert mentions(text, name) is called


def test_places() -> None:
    """Where a history marks what was looked for."""
    assert list(places("Сәлем, қалайсың қала", "кала")) == [(7, 15), (16, 20)]
    assert list(places("abc", "")) == []


@pytest.mark.parametrize(
    "sign",
    ["👍", "👍🏽", "❤️", "❤", "👨\u200d👩\u200d👧", "🇰🇿", "1️⃣", "☺", "🏳️\u200d🌈", "✔", "⭐", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"],
)
def test_one_emoji(sign: str) -> None:
    """Joined, toned, flags and keycaps too."""
    assert is_emoji(sign)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "1",
        "👍👍",
        "👍 ",
        "ok",
        "\x1b",
        "+",
        "👍\u200d",
        "🇰",
        "👨\u200d" * 5 + "👩",
        "\u202e",
    ],
)
def test_no_emoji(text: str) -> None:
    """Nothing that moves a cursor, fills a line or is a text."""
    assert not is_emoji(text)


@given(st.text(max_size=12))
def test_an_emoji_is_short_and_clean(text: str) -> None:
    """Whatever passes can be shown in a row of counts."""
    if is_emoji(text):
        assert Clean.line(text) == text and len(text.encode()) <= 32 and " " not in text
