"""Each catalogue is complete, says nothing that is not asked, and keeps the values in place."""

import re
from functools import cache
from pathlib import Path

import catalogue
import pytest
from catalogue import WORDS, Found
from rich.cells import cell_len

from meshchat import i18n
from meshchat.doctor import LEVELS, NAMES
from meshchat.parser import REFUSALS
from meshchat.text import Clean
from meshchat.ui.commands import BY_NAME, COMMANDS, complete, parse
from meshchat.ui.signs import WORDS as WORDS_OF_SIGNS

LANGUAGES = sorted(path.name for path in i18n.LOCALES.iterdir() if path.is_dir())
FORMS = {"ru": 3, "kk": 2}
STRINGS = catalogue.strings()
FIELD = re.compile(r"\{\w*\}")
KEY = re.compile(r"\b(?:Enter|Esc|Tab|PgDn|PgUp|F\d+|(?:Ctrl|Alt)\+\w+)\b")
SLASH = re.compile(r"(?<![\w/])/[a-z]+\b|--[a-z-]+")

read = cache(catalogue.read)

pytestmark = pytest.mark.parametrize("language", LANGUAGES)


def forms(found: Found, language: str) -> list[str]:
    """The translations of a string, one for each form of a plural."""
    message = read(language).get(found.id, context=found.context or None)
    assert message is not None, found
    return list(message.string) if isinstance(message.string, tuple) else [message.string]


def test_every_string_is_translated_and_none_is_left_over(language: str) -> None:
    """What the code says and what the catalogue says are the same strings."""
    known = read(language)
    ids = {(m.context or "", m.id[0] if isinstance(m.id, tuple) else m.id) for m in known if m.id}
    assert ids == set(STRINGS)
    missing = [
        found.text
        for found in STRINGS.values()
        if found.context != WORDS and not all(forms(found, language))
    ]
    assert not missing


def test_values_keys_and_commands_stay(language: str) -> None:
    """The same fields in each form, the same keys, the same commands and options."""
    known = read(language)
    for found in STRINGS.values():
        message = known.get(found.id, context=found.context or None)
        assert message is not None
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        for text in filter(None, texts):
            for pattern in (FIELD, KEY, SLASH):
                assert sorted(set(pattern.findall(text))) == sorted(
                    set(pattern.findall(found.text)) | set(pattern.findall(found.many))
                ), text


def test_plurals_have_the_forms_of_the_language(language: str) -> None:
    """As many as the language needs, none of them empty."""
    known = read(language)
    assert known.num_plurals == FORMS.get(language, known.num_plurals)
    for found in STRINGS.values():
        if found.many:
            assert len(forms(found, language)) == known.num_plurals


PLACES = {  # how many cells there are for what does not wrap, on a screen of 40 columns
    12: (*WORDS_OF_SIGNS, "F1 help", "Esc chats", "Esc write"),  # a column; the end of the bar
    8: LEVELS,
    11: NAMES,  # of checks, before a sentence
    20: ("requests",),  # a title in the list of chats
    26: (  # behind "‹ &" and a name of eight letters
        *("only you · /invite NAME", "group · you were removed", "group · you left"),
        *("public: anyone may read", "private room"),
        *("verified", "not verified", "key changed", "key revoked"),
    ),
    38: ("F3 mesh  F4 radios  PgDn  Esc back", "PgDn more   Esc back", "Enter go   Esc back"),
}


def test_nothing_is_longer_than_its_place(language: str) -> None:
    """Where a line is cut and not wrapped, the words fit."""
    i18n.choose(language)
    for cells, texts in PLACES.items():
        assert {text: i18n._(text) for text in texts if cell_len(i18n._(text)) > cells} == {}


def test_a_sentence_ends_as_ours(language: str) -> None:
    """A question stays one; a dot, a colon and three dots stay where they are."""
    for found in STRINGS.values():
        for text in forms(found, language):
            ends = [each.strip()[-1:] for each in (found.text, text) if text]
            assert len({end if end in ".?!:…" else "" for end in ends}) <= 1, text


def test_no_word_is_left_in_one_form(language: str) -> None:
    """Where words have three forms, none stands behind a number in an entry without forms."""
    if read(language).num_plurals > 2:
        for found in STRINGS.values():
            if not found.many:
                assert not re.search(r"\{count\} (?!из\b)[^\W\d_A-ZА-Я]", forms(found, language)[0])


def test_nothing_in_it_can_harm_a_terminal(language: str) -> None:
    """Each text passes the gate for foreign text unchanged, and has the line breaks of ours."""
    for message in read(language):
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        for text in texts if message.id else ():
            assert Clean(text) == text
            original = message.id[0] if isinstance(message.id, tuple) else message.id
            assert not text or text.count("\n") == original.count("\n"), text
            edges = [each.partition(each.strip())[::2] for each in (original, text) if each.strip()]
            assert len(set(edges)) <= 1, text


def test_ours_reads_a_catalogue_as_another_program_does(language: str) -> None:
    """Every string and every form, compared with Babel's reader."""
    assert i18n.choose(language) == language
    known = read(language)
    for message in known:
        if isinstance(message.id, tuple):
            for count in (0, 1, 2, 3, 4, 5, 10, 11, 12, 14, 20, 21, 22, 25, 100, 101, 111, 112):
                form = i18n._words.plural(count)
                assert i18n.ngettext(*message.id, count) == message.string[form]
        elif message.id and not message.context:
            assert i18n._(message.id) == message.string
        elif message.context == WORDS:
            assert i18n.local_words(message.id) == tuple(message.string.split())


def test_each_sentence_of_the_core_is_said(language: str) -> None:
    """A sentence with values in it comes out whole: translated, the values as they were."""
    i18n.choose(language)
    values = ("Ayan", "7", "3x9")
    for found in STRINGS.values():
        if re.search(r"\{\d\}", found.text):
            count = len(FIELD.findall(found.text))
            whole = found.text.format(*values[:count])
            wanted = forms(found, language)[0].format(*values[:count])
            if "{0}{1}" not in found.text:  # two beside each other cannot be told apart
                assert i18n.said(whole) == wanted
            assert i18n.said(whole) != whole


def test_a_refusal_ends_as_ours(language: str) -> None:
    """What argparse refuses stands before the way to the help: a value at its end stays there."""
    i18n.choose(language)
    for sentence in REFUSALS:
        if sentence.endswith("}"):
            assert i18n._(sentence).endswith(sentence[-3:])


def test_local_words_of_commands_are_clear(language: str) -> None:
    """Each belongs to one command and none is an English one; Tab finds it."""
    i18n.choose(language)
    taken = {word for command in COMMANDS for word in (command.name, *command.aliases)}
    for command in COMMANDS:
        for word in i18n.local_words(command.name):
            assert word not in taken and word == word.lower()
            taken.add(word)
            assert parse(f"/{word} #a b") == (command, "#a b")
            assert command in complete(word)
    assert parse("/help") == (BY_NAME["help"], "")


def test_the_tool_writes_what_is_there(language: str, tmp_path: Path) -> None:
    """A catalogue that is up to date does not change, so that a translator sees only changes."""
    again = tmp_path / "new" / "meshchat.po"
    assert catalogue.update(language, again) == 0
    assert again.read_text("utf-8") == catalogue.path_of(language).read_text("utf-8")
