"""Words of texts: how they are found again, whom they mention, and what one emoji is.

``fold`` makes one form of what people write in several: without case and accents, ё as е, and
the Kazakh letters as a Russian keyboard has them. Both stores search by it, so it decides alike.
"""

import re
import unicodedata
from collections.abc import Iterator

from msgspec import Struct

from meshchat.text import Clean

FOLDING = f"1/{unicodedata.unidata_version}"
"""Changes whenever ``fold`` may answer differently: an index made by another one is made anew."""
QUERY_WORDS_MAX = 8  # more narrow nothing down
FOLDED_MAX = 4_096  # characters remembered: more than any alphabet, less than all of Unicode
WORD_MAX_CHARS = 64  # longer ones are found by their start
EMOJI_MAX_BYTES = 32  # a family of four has 25, a flag of a region 28

_KAZAKH = str.maketrans("әөүұқғңһі", "аоуукгнхи")
_SHORT_I = "\u0439"  # й is no и with an accent: мой and мои are two words
_WORD = re.compile(r"[^\W_]+")
_QUOTED = re.compile(r'"([^"]*)"')
_SKIN_TONES = re.compile("[\U0001f3fb-\U0001f3ff]")
_KEYCAP = re.compile("[0-9#*]\ufe0f?\u20e3")
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]{2}")
_REGION = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
_SIGNS = frozenset("\u2194\u2195\u2934\u2935\u203c\u2049\u3030\u303d\u27a1\u2122\u00a9\u00ae")


def fold(text: str) -> str:
    """One form of a text for searching; same number of words, not of characters."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", text).casefold().translate(_FOLDED)


class _Folded(dict[int, str]):
    """What each character becomes, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if char != _SHORT_I and not char.isascii():
            parts = unicodedata.normalize("NFKD", char).casefold()
            bare = (part for part in parts if unicodedata.category(part)[0] != "M")
            char = "".join(bare).translate(_KAZAKH)
        if len(self) < FOLDED_MAX:
            self[code] = char
        return char


_FOLDED = _Folded()


def words(text: str) -> list[str]:
    """The folded words of a text, each once, in order."""
    return list(dict.fromkeys(word[:WORD_MAX_CHARS] for word in _WORD.findall(fold(text))))


class Query(Struct, frozen=True):
    """What somebody looks for."""

    starts: tuple[str, ...]
    """Folded; a text has for each a word that starts so."""
    exact: tuple[str, ...]
    """Case-folded; each stands in the text just so."""

    @classmethod
    def parse(cls, text: str) -> "Query":
        """Words, and "exact words" in quotes; a quote without its end is no quote."""
        clean = Clean(text)
        exact = tuple(part.strip().casefold() for part in _QUOTED.findall(clean) if part.strip())
        starts = words(_QUOTED.sub(r" \1 ", clean))
        return cls(tuple(starts[:QUERY_WORDS_MAX]), exact[:QUERY_WORDS_MAX])

    def fits(self, text: str) -> bool:
        """Whether a text is found by it."""
        there = words(text)
        return (
            bool(self.starts)
            and all(any(word.startswith(start) for word in there) for start in self.starts)
            and self.is_exact(text)
        )

    def is_exact(self, text: str) -> bool:
        """Whether what stands in quotes is in the text."""
        return not self.exact or all(part in text.casefold() for part in self.exact)


def places(text: str, query: str) -> Iterator[tuple[int, int]]:
    """``(start, end)`` of each word of ``text`` that a query finds."""
    starts = Query.parse(query).starts
    for match in re.finditer(r"\w+", text):
        if any(word.startswith(starts) for word in words(match[0])):
            yield match.span()


def mentions(text: str, name: str) -> bool:
    """Whether a text calls somebody by ``@name``, or by the first word of that name."""
    if "@" not in text or not name.strip():
        return False
    folded, whole = fold(text), fold(" ".join(name.split()))
    return any(
        re.search(rf"(?<!\w)@{re.escape(wanted)}(?!\w)", folded)
        for wanted in (whole, whole.split(" ", 1)[0])
    )


def is_emoji(text: str) -> bool:
    """Whether a text is one emoji that may be shown as it is, of at most ``EMOJI_MAX_BYTES``."""
    if not text or Clean(text) != text or len(text.encode()) > EMOJI_MAX_BYTES:
        return False
    if any(form.fullmatch(text) for form in (_KEYCAP, _FLAG, _REGION)):
        return True
    return all(_is_sign(part) for part in text.split("\u200d"))


def _is_sign(part: str) -> bool:
    bare = _SKIN_TONES.sub("", part.replace("\ufe0f", ""), 1)
    if len(bare) != 1 or _FLAG.fullmatch(2 * bare):  # half a flag
        return False
    return unicodedata.category(bare) == "So" or bare in _SIGNS
