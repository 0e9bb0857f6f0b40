"""Which language is spoken, and what happens to a catalogue that is broken or new."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from meshchat import cli, commands, i18n
from meshchat.arguments import make_parser
from meshchat.commands.console import is_no, is_yes
from meshchat.i18n import choose, ngettext, said
from meshchat.plain import check_lines, message_lines
from meshchat.ui.reports import span
from meshchat.ui.rows import day_name


@pytest.mark.parametrize(
    ("environ", "setting", "spoken"),
    [
        ({"LANG": "kk_KZ.UTF-8"}, "", "kk"),
        ({"LANG": "ru_RU"}, "", "ru"),
        ({"LANG": "ru_KZ.UTF-8", "LC_ALL": "kk_KZ.UTF-8"}, "", "kk"),
        ({"LANG": "kk_KZ.UTF-8", "LC_ALL": "C"}, "", "en"),
        ({"LANG": "C"}, "", "en"),
        ({"LANG": "POSIX"}, "", "en"),
        ({"LANG": "de_DE.UTF-8"}, "", "en"),
        ({"LANG": "en_GB.UTF-8", "LANGUAGE": "tr:ru:en"}, "", "ru"),
        ({"LANG": "kk@latin"}, "", "kk"),
        ({"LANG": "../../x"}, "", "en"),
        ({"LANG": "\udcff\0ru"}, "", "en"),
        ({"LANG": "ru_RU.UTF-8"}, "kk", "kk"),
        ({"LANG": "ru_RU.UTF-8"}, "en", "en"),
        ({"LANG": "ru_RU.UTF-8"}, "xx", "en"),
        ({}, "", "en"),
    ],
)
def test_by_setting_else_by_locale(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], setting: str, spoken: str
) -> None:
    """The setting wins, then the variables in the order of gettext; English for all else."""
    monkeypatch.setattr(os, "environ", environ)
    assert choose(setting) == spoken


def test_plurals_and_dates() -> None:
    """One day, three days, eleven days; and the day itself."""
    day = 86_400
    from datetime import date

    the_day = date(2026, 11, 22)
    assert [span(n * day) for n in (3, 11, 21)] == ["3 days", "11 days", "21 days"]
    assert day_name(the_day) == "22 November 2026"
    choose("ru")
    assert [span(n * day) for n in (3, 11, 21)] == ["3 дня", "11 дней", "21 день"]
    assert day_name(the_day) == "22 ноября 2026"
    choose("kk")
    assert [span(n * day) for n in (3, 11, 21)] == ["3 күн", "11 күн", "21 күн"]
    assert day_name(the_day) == "2026 ж. 22 қараша"


def test_values_of_a_sentence_are_not_looked_into() -> None:
    """A name with braces, and one that looks like a part of the sentence, stay as they are."""
    choose("ru")
    assert said("There is no argument {0} {x!r} here.") == "Аргумента {0} {x!r} здесь нет."
    assert said("There is no argument new here.") == "Аргумента new здесь нет."
    assert said("nobody has written this sentence") == "nobody has written this sentence"
    assert said("x" * 1_000_000) == "x" * 1_000_000


def test_a_sentence_within_a_sentence() -> None:
    """What an error says at its end is put into the language too."""
    choose("ru")
    text = "No contact is called 'x'; see: meshchat contact list"
    assert said(text) == "Нет контакта с именем 'x'; смотрите: meshchat contact list"


CATALOGUE = r"""
msgid ""
msgstr "Plural-Forms: nplurals=2; plural=(n > 1);\n"

#: meshchat/ui/statusbar.py
#, fuzzy
msgid "F1 help"
msgstr "guessed"

#, python-brace-format
msgid "Esc back"
msgstr ""
"a\\b \"c\"\n"
"d"

msgid "Esc write"
msgstr ""

msgid "{count} day"
msgid_plural "{count} days"
msgstr[0] "{count} jour"
msgstr[1] "{count} jours"
"""


def test_a_language_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in a folder of its name; guesses and gaps are English."""
    monkeypatch.setattr(i18n, "LOCALES", tmp_path)
    path = tmp_path / "fr" / "LC_MESSAGES" / "meshchat.po"
    path.parent.mkdir(parents=True)
    path.write_text(CATALOGUE, "utf-8")
    assert choose("fr") == "fr"
    assert (i18n._("F1 help"), i18n._("Esc write")) == ("F1 help", "Esc write")
    assert i18n._("Esc back") == 'a\\b "c"\nd'
    assert [ngettext("{count} day", "{count} days", n) for n in (0, 1, 2)] == [
        *("{count} jour", "{count} jour", "{count} jours")
    ]


@pytest.mark.parametrize(
    "damaged", [b"\xff\xfe", b'msgid ""\nmsgstr "plural=__import__(1);\\n"\n', None]
)
def test_a_broken_catalogue_leaves_english(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bytes | None
) -> None:
    """Not UTF-8, a rule that is none, a folder in its place: the program speaks English."""
    monkeypatch.setattr(i18n, "LOCALES", tmp_path)
    path = tmp_path / "xa" / "LC_MESSAGES" / "meshchat.po"
    path.parent.mkdir(parents=True)
    if damaged is None:
        path.mkdir()
    else:
        path.write_bytes(damaged)
    assert choose("xa") == "en"
    assert i18n._("F1 help") == "F1 help"


COMMANDS = [name for table in commands.tables() for name in table]
NAMES = {part for name in COMMANDS for part in re.split(r"[.-]", name)} | {"scenario", "meshchat"}
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Carry out a command under a locale, in an empty home; what it printed."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the command line sets its own
    monkeypatch.setenv("COLUMNS", "100")

    def run(*argv: str, lang: str) -> str:
        monkeypatch.setenv("LANG", lang)
        with suppress(SystemExit):  # --help ends so
            cli.main([*argv, "--home", str(tmp_path)])
        return "".join(capsys.readouterr())

    return run


def test_the_command_line_speaks_too(run: Run, tmp_path: Path) -> None:
    """Errors and what cannot be protected, by locale and by setting; JSON stays English."""
    assert "нет профиля" in run("name", lang="ru_RU.UTF-8")
    assert "профиль жоқ" in run("name", lang="kk_KZ.UTF-8")
    assert "There is no profile" in run("name", "--json", lang="kk_KZ.UTF-8")
    assert "Бөлмелер құпия емес" in run("threat", "rooms", lang="kk_KZ.UTF-8")
    assert "Rooms are not private" in run("threat", "--json", lang="kk_KZ.UTF-8")
    (tmp_path / "config.toml").write_text('[ui]\nlanguage = "ru"\n')
    assert "Комнаты — не тайна" in run("threat", "rooms", lang="C")
    assert "состояние и путь сообщения" in run("message", "--help", lang="C")
    assert "нужны аргументы: id" in run("message", lang="C")


@pytest.mark.parametrize("lang", ["ru_RU.UTF-8", "kk_KZ.UTF-8"])
@pytest.mark.parametrize(
    "argv",
    [
        ("message",),
        ("no-such-command",),
        ("read", "--limit", "x"),
        ("demo", "--speed", "x"),
        ("send", "A", "b", "--reply"),
        ("read", "--follow=x"),
        ("read", "--no-such"),
        ("sim", "sweep", "a", "--se", "1"),
    ],
)
def test_usage_errors_are_said(run: Run, argv: tuple[str, ...], lang: str) -> None:
    """Each thing argparse refuses has a sentence in each language, with the way to its help."""
    english, said = run(*argv, lang="C").strip(), run(*argv, lang=lang).strip()
    assert english.endswith(" --help") and said.endswith(" --help")
    where = english.rpartition("; see: ")[2]
    assert said.endswith(f": {where}")
    left = said.removeprefix("meshchat: ").removesuffix(where)
    words = set(re.findall(r"[a-z]{4,}", left)) & set(re.findall(r"[a-z]{4,}", english))
    assert words <= {"limit", "speed", "reply", "follow", "such", "command", "seeds", *NAMES}


def test_yes_and_no_are_said_in_either_language() -> None:
    """The word of the language, or the English one; no part of a word."""
    choose("kk")
    assert is_yes("иә") and is_yes("YES") and is_no("жоқ") and is_no("no")
    assert not any(is_yes(word) or is_no(word) for word in ("", "y", "да", "жо"))


def test_an_answer_of_doctor_has_columns() -> None:
    """Levels and names are padded to the longest; a sentence with a path in it is translated."""
    choose("ru")
    checks = [
        ("ok", "udp port", "UDP port 47474 is free."),
        ("fail", "home", "Others can look into /x; run: chmod 700 /x"),
    ]
    lines = check_lines(checks)
    assert lines == [
        "хорошо  порт UDP Порт UDP 47474 свободен.",
        "плохо   профиль  Другие могут заглянуть в /x; выполните: chmod 700 /x",
    ]


def test_a_message_of_a_peer_is_never_translated() -> None:
    """Only what is not written by people has words of ours, even if a text looks like ours."""
    choose("ru")
    message = {"author_name": "Bob", "trust": "verified", "text": "[messages stay from now on]"}
    assert message_lines(message)[0].endswith("Bob [проверен]: [messages stay from now on]")
    timer = {**message, "note": "timer", "timer_s": 60}
    assert message_lines(timer)[0].endswith("[сообщения исчезают после прочтения через 1 мин]")
    file = {**message, "note": "file", "text": '[file "Permission denied", 2 kB]'}
    assert message_lines(file)[0].endswith('[файл "Permission denied", 2 kB]')


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """It and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from parsers(each)


@pytest.mark.parametrize("language", ["ru", "kk"])
def test_help_is_in_the_language(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The help of every command has no English line, and the commands and options of English."""
    monkeypatch.setenv("COLUMNS", "100")
    names = re.compile(r"(?<![\w-])--?[a-z][a-z-]*|(?<![\w-])[A-Z]{2,}\b")
    found = list(parsers(make_parser()))
    assert len(found) >= len(COMMANDS)
    for parser in found:
        choose("en")
        english = parser.format_help()
        choose(language)
        said = parser.format_help()
        assert set(names.findall(english)) <= set(names.findall(said)) | {"OR"}
        for line in said.splitlines()[1:]:
            assert not re.search(r"(?<![\w.:/=~#|-])[a-z]{3,} [a-z]{2,}", line), line
