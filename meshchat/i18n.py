"""The words our user sees, in their language: gettext of the standard library.

English is written in the code and needs no catalogue. Calls are literal, so that the usual
tools find every string: ``_("…")``, ``ngettext("…", "…", n)``, and ``N_("…")`` for what is in
a table made at import, which is looked up when it is shown.
"""

import gettext
import os
from pathlib import Path

DOMAIN = "meshchat"
LOCALES = Path(__file__).with_name("locale")
_VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")

_words: gettext.NullTranslations = gettext.NullTranslations()


def choose(setting: str = "") -> str:
    """Speak the language of a setting, else of the environment; English if we have no other.

    Args:
        setting: A language such as ``kk``, ``ru`` or ``en``; empty: what the environment wants.

    Returns:
        The language spoken from now on.
    """
    global _words
    for name in _wanted(setting):
        if name in ("en", "c", "posix"):
            break
        try:
            _words = gettext.translation(DOMAIN, LOCALES, [name])
        except OSError:  # no such catalogue, or one that cannot be read
            continue
        return name
    _words = gettext.NullTranslations()
    return "en"


def _wanted(setting: str) -> list[str]:
    """Two-letter languages in order of preference."""
    found = setting
    for variable in _VARIABLES:
        found = found or os.environ.get(variable, "")
    names = [part.partition(".")[0].partition("_")[0].lower() for part in found.split(":")]
    return [name for name in names if name.isalpha()]


def _(text: str) -> str:
    """The text in the language chosen."""
    return _words.gettext(text)


def ngettext(one: str, many: str, count: int) -> str:
    """The form of a text that fits ``count``; put the number in with ``format``."""
    return _words.ngettext(one, many, count)


def N_(text: str) -> str:
    """Mark a text that is looked up later, when it is shown."""
    return text
