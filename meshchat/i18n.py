"""The words our user sees, in their language.

English is written in the code and needs no catalogue; each other language is one file,
``locale/LANGUAGE/LC_MESSAGES/meshchat.po``, read when it is chosen (docs/adr/0022). Calls are
literal, so that every string can be found: ``_("…")``, ``ngettext("…", "…", n)``, and ``N_("…")``
for what is looked up when it is shown.

Below the screens, sentences stay English: errors, remedies, what JSON carries. ``said`` puts such
a finished sentence into our user's language where it is shown, by the form it was made of.
"""

import gettext
import os
import re
from functools import cache, cached_property
from pathlib import Path

LOCALES = Path(__file__).with_name("locale")
SAID_MAX_CHARS = 2_000  # of a sentence that is looked up; ours are far shorter
FORMS_MAX = 6  # of a plural: Arabic has the most
SAID_DEPTH_MAX = 3  # of a sentence within a sentence
_VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
_ESCAPED = re.compile(r"\\(.)")
_FIELD = re.compile(r"\{\d\}")


class _Catalogue(gettext.GNUTranslations):
    """The words of one language, from the text of a .po file."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._catalog: dict[str | tuple[str, int], str] = {}
        found: dict[str, str] = {}
        fuzzy = False
        for line in [*text.replace('"\n"', "").split("\n"), ""]:
            if not line:
                if not fuzzy:
                    self._take(found)
                found, fuzzy = {}, False
            elif line[0] == "#":
                fuzzy = fuzzy or (line[1:2] == "," and "fuzzy" in line)
            else:
                name, _space, quoted = line.partition(" ")
                text = quoted[1:-1]
                found[name] = _ESCAPED.sub(_character, text) if "\\" in text else text

    @cached_property
    def sentences(self) -> list[tuple[list[str], str]]:
        """The pieces between the values of each sentence and its translation, the longest first."""
        forms = [
            (_FIELD.split(key), text)
            for key, text in self._catalog.items()
            if isinstance(key, str) and _FIELD.search(key)
        ]
        return sorted(forms, key=lambda form: -sum(map(len, form[0])))

    def _take(self, found: dict[str, str]) -> None:
        key = found.get("msgid")
        if key is None:
            return
        if key == "":
            rule = re.search(r"plural=(.*?);?$", found.get("msgstr", ""), re.M)
            if rule:
                self.plural = gettext.c2py(rule[1])
            return
        if "msgctxt" in found:
            key = f"{found['msgctxt']}\x04{key}"
        if found.get("msgstr"):
            self._catalog[key] = found["msgstr"]
        for number in range(FORMS_MAX if "msgid_plural" in found else 0):
            form = found.get(f"msgstr[{number}]")
            if form:
                self._catalog[key, number] = form


def _character(escaped: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t"}.get(escaped[1], escaped[1])


_words: gettext.NullTranslations = gettext.NullTranslations()
_language = "en"


def choose(setting: str = "") -> str:
    """Speak the language of a setting, else of the environment; English if we have no other.

    Args:
        setting: A language such as ``kk``, ``ru`` or ``en``; empty: what the environment wants.

    Returns:
        The language spoken from now on.
    """
    global _words, _language
    for name in _wanted(setting):
        if name in ("en", "c", "posix"):
            break
        try:
            _words = _catalogue(name)
        except (OSError, ValueError):  # no such catalogue, or one that cannot be read
            continue
        _language = name
        return name
    _words = gettext.NullTranslations()
    _language = "en"
    return "en"


def language() -> str:
    """The language spoken now."""
    return _language


@cache
def _catalogue(name: str) -> _Catalogue:
    path = LOCALES / name / "LC_MESSAGES" / "meshchat.po"
    return _Catalogue(path.read_text("utf-8"))


_OTHER_ENCODING = re.compile(r"\.(?!utf-?8)", re.IGNORECASE)


def _wanted(setting: str) -> list[str]:
    """Two-letter languages in order of preference."""
    found = setting
    for variable in () if setting else _VARIABLES:
        value = os.environ.get(variable, "")
        if _OTHER_ENCODING.search(value):
            return []  # a terminal that says it cannot show our letters
        found = found or value
    names = [re.split(r"[._@-]", part)[0].lower() for part in found.split(":")]
    return [name for name in names if name.isascii() and name.isalpha()]


def _(text: str) -> str:
    """The text in the language chosen."""
    return _words.gettext(text)


def ngettext(one: str, many: str, count: int) -> str:
    """The form of a text that fits ``count``; put the number in with ``format``."""
    return _words.ngettext(one, many, count)


def N_(text: str) -> str:
    """Mark a text that is looked up later, when it is shown."""
    return text


def local_words(command: str) -> tuple[str, ...]:
    """What else a command may be called in the language chosen."""
    found = _words.pgettext("command", command)
    return () if found == command else tuple(found.split())


def said(sentence: object) -> str:
    """A finished English sentence, such as an error, in the language chosen.

    What it was made of is found by its form; the values in it stay as they are. One without a
    translation stays English.
    """
    return _said(str(sentence), SAID_DEPTH_MAX)


def _said(text: str, depth: int) -> str:
    if not isinstance(_words, _Catalogue) or len(text) > SAID_MAX_CHARS:
        return text
    if not depth or (depth < SAID_DEPTH_MAX and " " not in text):  # a name, a number
        return text
    whole = _words.gettext(text)
    if whole != text:
        return whole
    for pieces, translation in _words.sentences:
        values = _values(pieces, text)
        if values is not None:
            return translation.format(*(_said(v, depth - 1) for v in values))
    return text


def _values(pieces: list[str], text: str) -> list[str] | None:
    """What stands between the pieces of a form, or None if the text is not of that form."""
    first, *middle, last = pieces
    if not text.startswith(first) or not text.endswith(last):
        return None
    end = len(text) - len(last)
    at = len(first)
    values = []
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return None
        values.append(text[at:found])
        at = found + len(piece)
    if at > end:
        return None
    return [*values, text[at:end]]
