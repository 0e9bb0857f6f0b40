"""The gate between peers' text and everything that shows it."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshchat.text import LINES_MAX, MARKS_MAX_PER_BASE, NAME_MAX_CHARS, TEXT_MAX_CHARS, Clean

CORPUS = json.loads((Path(__file__).parent / "vectors" / "hostile_text.json").read_text("ascii"))
JOINERS = "\u200c\u200d"

# Text made of what has to be handled, so that Hypothesis meets it together and not once a year.
nasty = st.text(
    st.one_of(
        st.sampled_from(
            "\x1b\x00\r\n\t \u0301\u0327\u1100\u1161\u11a8\u09c7\u09be\u200c\u200d\ufe0f"
            "\ufe00\u202e\u00ad\u034f\u0628\u0640\u0915\u094d\u0958\ufb1d\U0001d160\U0001f468\U0001f3fb"
            "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e007f\ue000\u0378\u2028\u3164aй"
        ),
        st.characters(),
    ),
    max_size=60,
)


def harmless(text: str) -> bool:
    """Whether no character can steer, hide or reorder (the written rules, not the code's)."""
    tags = 0
    for at, char in enumerate(text):
        if char == "\n":
            continue
        category = unicodedata.category(char)
        if category in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp"):
            return False
        if category == "Cf" and char not in JOINERS:
            tags += 1
            if not (
                "\U000e0030" <= char <= "\U000e007f" and "\U0001f3f4" in text[max(0, at - 8) : at]
            ):
                return False
    return tags == 0 or "\U000e007f" in text


def longest_pile(text: str) -> int:
    """Most combining marks on one base."""
    longest = marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.category(char)[0] == "M" else 0
        longest = max(longest, marks)
    return longest


def test_corpus_is_large_enough() -> None:
    """The corpus that other tests run through every display path has at least 150 strings."""
    assert len({entry["text"] for entry in CORPUS}) >= 150


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: entry["group"])
def test_corpus_becomes_harmless(entry: dict[str, str]) -> None:
    """No hostile string keeps a character that steers a terminal."""
    clean = Clean(entry["text"])
    assert harmless(clean)
    assert longest_pile(clean) <= MARKS_MAX_PER_BASE
    assert "\n" not in Clean.line(entry["text"])


@given(nasty)
def test_clean_holds_its_promises(text: str) -> None:
    """Whatever comes in: harmless, NFC, capped, few marks, and the same when cleaned again."""
    clean = Clean(text)
    assert harmless(clean)
    assert unicodedata.is_normalized("NFC", clean)
    assert longest_pile(clean) <= MARKS_MAX_PER_BASE
    assert Clean(str(clean)) == clean
    assert Clean.line(text) == Clean.line(Clean.line(text))
    assert len(Clean.line(text)) <= NAME_MAX_CHARS


@given(st.text(st.sampled_from("\u0958\ufb1d\U0001d160a\n\u200d"), max_size=40), st.integers(1, 20))
def test_a_cap_holds_when_normalising_lengthens(text: str, limit: int) -> None:
    """Characters that NFC writes as several never push text over its cap."""
    assert len(Clean.line(text, limit)) <= limit
    assert len(Clean(text * 1_000)) <= TEXT_MAX_CHARS


def test_lines_are_capped_without_losing_words() -> None:
    """Line breaks beyond the cap become spaces."""
    clean = Clean("a\n" * (LINES_MAX * 3))
    assert clean.count("\n") == LINES_MAX - 1
    assert clean.count("a") == LINES_MAX * 3
    assert Clean(str(clean)) == clean


@given(st.text(st.sampled_from("abc XYZ,.!?[]/@=-'\"\nабвгдежзийёұқңғүөәіһ—«»…é"), max_size=80))
def test_ordinary_text_is_untouched(text: str) -> None:
    """Latin, Russian and Kazakh text passes unchanged."""
    assert Clean(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "👨‍👩‍👧‍👦",
        "👩🏽‍🚀 👍🏿",
        "🏳️‍🌈 ❤️‍🔥 ⚠️ 1️⃣",
        "🇰🇿",
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "क्‍ष",
        "می‌خواهم",
        "ไทยกำลัง",
    ],
)
def test_joined_emoji_and_scripts_survive(text: str) -> None:
    """Joiners, selectors and tags stay where they make a difference to the eye."""
    assert Clean(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ai\u200dda", "Aida"),
        ("Аи\u200cда", "Аида"),
        ("a\u034fb\u3164", "ab"),
        ("a\ufe0f\ufe0fb", "a\ufe0fb"),
        ("\ufe0fa", "a"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("a\tb\u2028c", "a b c"),
        ("\U0001f3f4\U000e0067x", "\U0001f3f4x"),
        ("e\x1b\u0301", "é"),
        (" \u0301x", " x"),
    ],
)
def test_what_cannot_be_seen_goes(text: str, shown: str) -> None:
    """Invisible characters that could make two names look alike are dropped."""
    assert Clean(text) == shown


def test_parts_are_not_clean_by_themselves() -> None:
    """A slice is a plain string again, so that a type checker asks for it to be cleaned."""
    clean = Clean("👨‍👩‍👧")
    assert type(clean[:2]) is str
    assert Clean(clean[:2]) == "👨"
    assert Clean(clean) is clean
