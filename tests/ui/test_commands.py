"""The one table of commands: what is generated from it is whole and consistent."""

import pytest

from meshchat.errors import UsageError
from meshchat.ui import bindings, commands
from meshchat.ui.commands import BY_NAME, COMMANDS
from meshchat.ui.deeds import Deeds
from meshchat.ui.glyphs import PLAIN, UNICODE
from meshchat.ui.helptext import help_lines


def test_every_command_has_its_deed() -> None:
    """No row of the table leads nowhere, and no deed is without a row."""
    deeds = {name.removeprefix("do_") for name in dir(Deeds) if name.startswith("do_")}
    assert deeds == set(BY_NAME)


def test_no_word_or_key_means_two_things() -> None:
    """Names, aliases and keys are unique, twins included; so are the keys of a chosen message."""
    words = [word for c in COMMANDS for word in (c.name, *c.aliases)]
    keys = [key for c in COMMANDS for key in commands.with_twins(c.keys).split(",") if key]
    picks = [key for c in COMMANDS for key in commands.with_twins(c.pick).split(",") if key]
    for found in (words, keys, picks):
        assert len(found) == len(set(found))
    assert not {"ctrl+i", "ctrl+m", "ctrl+["} & set(keys)  # the same bytes as Tab, Enter, Esc


@pytest.mark.parametrize("width", [30, 70, 100])
@pytest.mark.parametrize("place", ["write", "list", "message", "find"])
def test_help_names_everything(place: str, width: int) -> None:
    """Wherever F1 is pressed, every command is in it, and what applies here comes first."""
    text = help_lines(place, width, UNICODE, {"mesh": "f8"})
    for command in COMMANDS:
        assert command.usage in text and command.title in text
    assert "F8" in text and text.index("Esc") < text.index("/help")


def test_the_page_of_keys_names_every_key() -> None:
    """``/keys`` shows what is bound, also what our user chose."""
    text = help_lines("keys", 80, PLAIN, {"mesh": "f8"})
    assert "F8" in text and "F3" not in text
    assert all(commands.key_label(c.keys) in text for c in COMMANDS if c.keys and c.name != "mesh")


def test_parsing_knows_names_and_aliases() -> None:
    """Any case, any blanks; nothing else is a command."""
    assert commands.parse("/JOIN  #yard ") == (BY_NAME["join"], "#yard")
    assert commands.parse("/status") == (BY_NAME["radios"], "")
    assert commands.parse("/qiut")[0] is None and commands.parse("/")[0] is None
    assert commands.is_command("/x") and not commands.is_command("//x")
    assert not commands.is_command(" /x")


def test_own_keys_are_checked() -> None:
    """A key for two commands, or for none, is told with both names."""
    assert bindings.keymap({"mesh": "f8"}) == {"mesh": "f8"}
    assert "ctrl+п" in bindings.keymap({"find": "ctrl+g"})["find"]
    with pytest.raises(UsageError, match="Ctrl\\+K is given to both chat and mesh"):
        bindings.keymap({"mesh": "ctrl+k"})
    with pytest.raises(UsageError, match="which is no command"):
        bindings.keymap({"dance": "f8"})
