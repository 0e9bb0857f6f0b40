"""``Clean``: the only way from a peer's bytes to a screen, log, title, file name or notice."""

import re
import unicodedata
from typing import Self

TEXT_MAX_CHARS = 8_000  # above the 7,000 bytes a message may have; a display path never gets more
NAME_MAX_CHARS = 48  # a card's name is at most 48 bytes
MARKS_MAX_PER_BASE = 4  # "zalgo" text grows over neighbouring lines above this

_PLAIN = re.compile(
    r"[\n\x20-\x7e\u0400-\u0482\u048a-\u04ff]*\Z"
)  # ASCII and Cyrillic: nothing to do
_JOINERS = "\u200c\u200d"  # meaningful between letters and inside emoji only


class Clean(str):
    """Text that can be shown: no control, format, bidi or private characters.

    Keeps newlines; NFC; at most four combining marks on a base; at most
    ``TEXT_MAX_CHARS`` characters. Cleaning twice changes nothing.
    """

    __slots__ = ()

    def __new__(cls, text: str = "") -> Self:
        if isinstance(text, cls):
            return text
        return super().__new__(cls, _clean(text[:TEXT_MAX_CHARS]))

    @classmethod
    def line(cls, text: str, limit: int = NAME_MAX_CHARS) -> "Clean":
        """One line of at most ``limit`` characters: names, titles, status."""
        words = " ".join(cls(text).split())
        return cls(words[:limit].rstrip())


def _clean(text: str) -> str:
    if _PLAIN.match(text):
        return text
    out: list[str] = []
    marks = 0
    normal = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    for at, char in enumerate(normal):
        category = unicodedata.category(char)
        if category[0] == "M":
            marks += 1
            if marks > MARKS_MAX_PER_BASE or not out:
                continue
        elif char in _JOINERS:
            follows = normal[at + 1 : at + 2]
            if not out or out[-1].isspace() or not follows or follows.isspace():
                continue
            if unicodedata.category(follows)[0] == "C" or out[-1] in _JOINERS:
                continue
        elif char == "\n":
            marks = 0
        elif category[0] == "C" or category in ("Zl", "Zp"):
            if char == "\t" or category in ("Zl", "Zp"):
                out.append(" ")
            continue
        else:
            marks = 0
        out.append(char)
    return "".join(out)
