"""``Clean``: the only way from a peer's bytes to a screen, log, title, file name or notice.

A terminal obeys what is written to it. So text of others is reduced to what can
only be *read*: no control, format, bidi, private or unassigned characters, no
blanks that look like nothing, no towers of combining marks.
"""

import re
import unicodedata
from typing import Self

TEXT_MAX_CHARS = 8_000  # above the 7,000 bytes a message may have; a display path never gets more
LINES_MAX = 400  # 7,000 line breaks would push everything else out of a history
NAME_MAX_CHARS = 48  # a card's name is at most 48 bytes
MARKS_MAX_PER_BASE = 4  # "zalgo" text grows over neighbouring lines above this

# Printable ASCII, Latin without the soft hyphen, Cyrillic without combining marks, dashes and
# quotes: already in NFC, nothing to do. It is nearly all text, so it is worth one regex.
_PLAIN = re.compile(
    "[\n\x20-\x7e\u00a1-\u00ac\u00ae-\u024f\u0400-\u0482\u048a-\u052f\u2010-\u2027\u2030-\u205e]*"
)
_ZWNJ, _ZWJ, _EMOJI_STYLE = "\u200c", "\u200d", "\ufe0f"
_SELECTORS = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
_SKIN_TONES = frozenset("\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")
# Letters and marks by category that show as nothing: two names could look the same.
_BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_SPACES = frozenset("\t\u2028\u2029")  # dropping these would glue two words together
_DROPPED = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
# England, Scotland, Wales and their like: a black flag, tag letters, the end tag.
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")


class Clean(str):
    """Text that can be shown: no control, format, bidi or private characters.

    Keeps newlines (at most ``LINES_MAX``); NFC; at most four combining marks on a
    base; at most ``TEXT_MAX_CHARS`` characters. Cleaning twice changes nothing.
    Every ``str`` method gives back a plain ``str``, so a piece has to be cleaned again.
    """

    __slots__ = ()

    def __new__(cls, text: str = "") -> Self:
        if isinstance(text, cls):
            return text
        return super().__new__(cls, _clean(text, TEXT_MAX_CHARS))

    @classmethod
    def line(cls, text: str, limit: int = NAME_MAX_CHARS) -> "Clean":
        """One line of at most ``limit`` characters: names, titles, status."""
        words = " ".join(cls(text).split())
        return cls(_clean(words, limit).rstrip())


def _clean(text: str, limit: int) -> str:
    """``text`` reduced to what may be shown, at most ``limit`` characters."""
    text = text[:limit]
    if not _PLAIN.fullmatch(text):
        # Dropping can join what composes, composing can lengthen, cutting can leave a joiner
        # behind: go round until nothing changes, which is the second round but for odd input.
        before = ""
        while text != before:
            before, text = text, _filter(unicodedata.normalize("NFC", text))[:limit]
    if text.count("\n") >= LINES_MAX:
        *lines, rest = text.split("\n", LINES_MAX - 1)
        text = "\n".join([*lines, rest.replace("\n", " ")])
    return text


def _filter(text: str) -> str:
    """One pass over NFC text."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    flags = {flag.start(): flag.end() for flag in _FLAG.finditer(text)}
    out: list[str] = []
    base = ""  # what a mark, selector or joiner would act on: the last visible base, or nothing
    marks = 0
    skip_to = 0
    for at, char in enumerate(text):
        if at < skip_to:
            continue
        if at in flags:
            skip_to = flags[at]
            out.append(text[at:skip_to])
            base, marks = char, 0
            continue
        category = unicodedata.category(char)
        if char in _BLANKS:
            continue
        if char in _SELECTORS:
            # once, right behind its base
            if not base or marks or out[-1] != base:
                continue
            marks += 1
        elif category[0] == "M":
            if not base or marks >= MARKS_MAX_PER_BASE:
                continue
            marks += 1
        elif char in (_ZWJ, _ZWNJ):
            if not base or out[-1] in (_ZWJ, _ZWNJ):
                continue
            if not _joins(char, base, text[at + 1 : at + 2]):
                continue
        elif char == "\n":
            base, marks = "", 0
        elif category in _DROPPED:
            if char not in _SPACES:
                continue
            char, base, marks = " ", "", 0
        elif char in _SKIN_TONES and base and _is_emoji(base):
            pass  # belongs to the emoji before it; a joiner after it acts on that one
        else:
            base, marks = ("" if category[0] == "Z" else char), 0
        out.append(char)
    return "".join(out)


def _joins(joiner: str, before: str, after: str) -> bool:
    """Whether an invisible joiner between these two changes how they look.

    In Latin, Greek and Cyrillic it never does, so there it could only make two names look alike.
    """
    if not after or after in _BLANKS:
        return False
    if joiner == _ZWJ and _is_emoji(before):
        return _is_emoji(after)
    return _is_joining_letter(before) and _is_joining_letter(after)


def _is_emoji(char: str) -> bool:
    return (
        unicodedata.category(char) == "So" or char in "\u2194\u2195\u27a1"
    )  # arrows in joined heads


def _is_joining_letter(char: str) -> bool:
    joining = "\u0600" <= char < "\u1e00" or "\ua800" <= char < "\uac00" or char >= "\ufb50"
    return joining and unicodedata.category(char)[0] == "L"
