"""The one table of what a person can tell the client to do.

Slash commands, palette entries, key bindings and the help screen are generated
from it. A command named ``x`` is carried out by the chat screen's ``do_x``.
"""

from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType

SLASH_MAX_CHARS = 4_000  # a pasted card is at most 409; nothing longer is a command
CHAT_KEYS = 9
HELP_WIDE_CELLS = 76  # from here on one line for each command

Where = Literal["any", "chat", "contact", "room", "request"]

# The same key in the Russian layout, for terminals that send it (kitty keyboard protocol).
_CYRILLIC = dict(zip("qwertyuiopasdfghjklzxcvbnm", "йцукенгшщзфывапролдячсмить", strict=True))


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that can be done."""

    name: str
    """The word after the slash, and the end of the method's name."""
    title: str
    """What it does, in a few words."""
    keys: str = ""
    """Comma-separated, as Textual names them."""
    takes: str = ""
    """What follows the word, empty if nothing may."""
    where: Where = "any"
    """The kind of open chat it needs."""
    footer: str = ""
    """Short label if the key is worth a place in the status bar."""

    @property
    def method(self) -> str:
        """Name of the chat screen's method."""
        return f"do_{self.name}"

    @property
    def usage(self) -> str:
        """How it is typed."""
        return f"/{self.name} {self.takes}".rstrip()


COMMANDS: tuple[Command, ...] = (
    Command("help", "Keys and commands", "f1", footer="help"),
    Command("chat", "Go to a chat, new ones first", "ctrl+k", takes="[NAME]"),
    Command("next", "Next chat", "alt+down"),
    Command("previous", "Previous chat", "alt+up"),
    Command("unread", "Next chat with something new", "alt+a"),
    Command("card", "Your own card, as text and as a QR code"),
    Command("add", "Add a contact by card", takes="[CARD or FILE]"),
    Command("contact", "About this contact: words to compare, card, block", "f2", where="contact"),
    Command("verify", "Compare safety words with this contact", where="contact"),
    Command("rename", "Give this contact another name", takes="NAME", where="contact"),
    Command("accept", "Let this stranger write to you", takes="[NAME]", where="request"),
    Command("block", "Hear nothing more from this contact", where="contact"),
    Command("unblock", "Hear a blocked contact again", takes="NAME"),
    Command("join", "Join a public room: anyone may read it", takes="#ROOM"),
    Command("private", "Join a room that has a passphrase", takes="#ROOM"),
    Command("leave", "Leave this room", where="room"),
    Command("info", "Where the last (or chosen) message is", where="chat"),
    Command("status", "What is on, what is off and why", "f4"),
    Command("lock", "Hide everything behind the passphrase", "ctrl+l"),
    Command("quit", "End meshchat", "ctrl+q"),
)
BY_NAME = {command.name: command for command in COMMANDS}

# Keys that belong to one pane; here for the help screen only, the panes bind them.
PANE_KEYS = (
    ("Enter", "send"),
    ("Ctrl+J", "new line"),
    ("Up (nothing typed)", "choose a message; then i journey, y copy, Esc back"),
    ("PgUp PgDn", "scroll the history"),
    ("Alt+1 … Alt+9", "go to that chat"),
    ("Esc", "back; from a chat to the list of chats"),
    ("Tab", "between the list and the message"),
    ("Ctrl+P", "palette: every command by name"),
)


def with_twins(keys: str) -> str:
    """The keys, each ``ctrl+letter`` also as the same key gives it in a Cyrillic layout."""
    spelled: list[str] = []
    for key in filter(None, keys.split(",")):
        spelled.append(key)
        modifier, _, letter = key.rpartition("+")
        if modifier and letter in _CYRILLIC:
            spelled.append(f"{modifier}+{_CYRILLIC[letter]}")
    return ",".join(spelled)


def bindings() -> list[BindingType]:
    """Key bindings of the chat screen; they win over what a focused input binds."""
    found: list[BindingType] = [
        Binding(with_twins(c.keys), f"command('{c.name}')", c.title, show=False, priority=True)
        for c in COMMANDS
        if c.keys
    ]
    found.append(Binding("escape", "back", "Back to the chats", show=False))
    for number in range(1, CHAT_KEYS + 1):
        keys = f"alt+{number}"
        found.append(Binding(keys, f"nth({number})", f"Chat {number}", show=False, priority=True))
    return found


def parse(typed: str) -> tuple[Command | None, str]:
    """What a line that starts with one slash asks for: the command, or None, and what follows."""
    word, _, rest = typed[1:SLASH_MAX_CHARS].partition(" ")
    return BY_NAME.get(word.strip().lower()), rest.strip()


def complete(start: str) -> list[Command]:
    """Commands that begin like this, for Tab and for hints."""
    word = start.removeprefix("/").lower()
    return [command for command in COMMANDS if command.name.startswith(word)]


def key_label(keys: str) -> str:
    """``ctrl+k`` as people write it: ``Ctrl+K``."""
    first = keys.split(",")[0]
    return "+".join(part.capitalize() for part in first.split("+"))


def help_text(width: int) -> str:
    """The help screen for a terminal of this many columns."""

    def row(first: str, second: str, what: str) -> str:
        if width >= HELP_WIDE_CELLS:
            return f"{first:<20}{second:<10}{what}"
        return f"{first}   {second}".rstrip() + f"\n   {what}"

    lines = ["Type a command, choose it with Ctrl+P, or press its key.", ""]
    lines += [row(c.usage, key_label(c.keys), c.title) for c in COMMANDS]
    lines += ["", "Start a message with // to send it with a slash.", "", "Keys"]
    lines += [row(key, "", what) for key, what in PANE_KEYS]
    lines += ["", "Signs behind your messages", *_SIGNS]
    return "\n".join(lines)


_SIGNS = (
    "·   only here: nobody has taken it yet",
    "↑2  carried: two neighbours keep a copy and pass it on",
    "✓   delivered: proven by the recipient's device",
    "!   failed; the reason stands behind it",
)
