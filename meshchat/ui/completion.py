"""What Tab may finish: commands, names, rooms, ``:emoji:`` and paths."""

import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from meshchat.core.model import ChatId, Message
from meshchat.ui import commands
from meshchat.ui.names import Names

FOUND_MAX = 40  # more than anybody looks through; typing a letter narrows it
PATHS_READ_MAX = 2_000  # of one folder
AUTHORS_MAX = 50  # people of a room, the last to speak first

_EMOJI = re.compile(r"(?:^|(?<=\s)):([a-z+-][a-z0-9_+-]{1,29})$")
_WORD = re.compile(r"(?:^|(?<=\s))([@#]?[^\s@#]*)$")


class Found(Struct, frozen=True):
    """One way to finish what is being typed."""

    start: int
    """The text from here up to the cursor is replaced ..."""
    text: str
    """... by this."""
    shown: str
    """What is shown of it in a list."""


def completions(
    before: str, names: Names, authors: list[str], choices: dict[str, list[str]]
) -> list[Found]:
    """Ways to finish a line.

    Args:
        before: What stands before the cursor.
        names: Everybody we know.
        authors: Names in the open chat, the last to speak first.
        choices: Words for commands that take one of a few, by ``Command.completes``.
    """
    if commands.is_command(before):
        _word, space, rest = before.partition(" ")
        if not space:
            return [
                Found(0, f"/{c.name} " if c.takes else f"/{c.name}", f"{c.usage:<20} {c.title}")
                for c in commands.complete(before)
            ][:FOUND_MAX]
        command, _rest = commands.parse(before)
        if command is not None and command.completes:
            start = len(before) - len(rest.lstrip())
            return _argument(start, rest.lstrip(), command.completes, names, choices)
    if (emoji := _EMOJI.search(before)) is not None:
        return _emoji(emoji.start(), emoji.group(1))
    word_match = _WORD.search(before)
    if word_match is None or not word_match.group(1):
        return []
    start, word = word_match.start(1), word_match.group(1)
    if word.startswith("#"):
        return _of(start, word, [f"#{room.name}" for room in names.rooms.values()], " ")
    people = authors or [str(c.petname) for c in names.contacts.values() if not c.blocked]
    if word.startswith("@"):
        return _of(start, word, [f"@{name}" for name in people], " ")
    return _of(start, word, people, ": " if start == 0 else " ") if len(word) >= 2 else []


def _argument(
    start: int, typed: str, kind: commands.Completes, names: Names, choices: dict[str, list[str]]
) -> list[Found]:
    if kind == "path":
        return paths(start, typed)
    if kind == "emoji":
        return _emoji(start, typed.strip(":")) if len(typed) > 1 else []
    if kind == "command":
        return [Found(start, c.name, c.usage) for c in commands.complete(typed)][:FOUND_MAX]
    if kind == "chat":
        words = [str(names.of_chat(row.chat)) for row in names.unread_first()]
    elif kind == "person":
        words = [str(c.petname) for c in names.contacts.values()]
    elif kind == "member":
        words = choices.get(kind, [])
    elif kind == "room":
        words = [f"#{room.name}" for room in names.rooms.values()]
    elif kind == "revocation":
        words = ["give", "release", "own"]
    elif kind == "hide":
        words = ["post", "author", "block", "post everyone", "author everyone"]
    elif kind == "show":
        words = ["post", "author"]
    elif kind == "switch":
        words = ["on", "off"]
    else:
        words = choices.get(kind, [])
    return _of(start, typed, words, "")


def _of(start: int, typed: str, words: list[str], after: str) -> list[Found]:
    wanted = typed.casefold()
    found = dict.fromkeys(word for word in words if word.casefold().startswith(wanted))
    return [Found(start, word + after, word) for word in found][:FOUND_MAX]


def _emoji(start: int, typed: str) -> list[Found]:
    from rich._emoji_codes import EMOJI  # 3,600 names, loaded when somebody asks

    begin = [name for name in EMOJI if name.startswith(typed)]
    inside = [name for name in EMOJI if typed in name and not name.startswith(typed)]
    names = sorted(begin, key=len) + sorted(inside, key=len)
    return [Found(start, EMOJI[name], f"{EMOJI[name]} :{name}:") for name in names[:FOUND_MAX]]


def paths(start: int, typed: str) -> list[Found]:
    """Names in the folder typed so far; none if it cannot be read."""
    folder, _slash, begin = typed.rpartition("/")
    place = Path(f"{folder}/" if "/" in typed else ".").expanduser()
    found: list[Found] = []
    try:
        for number, path in enumerate(place.iterdir()):
            if number >= PATHS_READ_MAX:
                break
            hidden = path.name.startswith(".") and not begin.startswith(".")
            if path.name.startswith(begin) and not hidden and path.name.isprintable():
                end = "/" if path.is_dir() else ""
                prefix = f"{folder}/" if "/" in typed else ""
                found.append(Found(start, f"{prefix}{path.name}{end}", f"{path.name}{end}"))
    except (OSError, ValueError, RuntimeError):
        return []
    return sorted(found, key=lambda one: one.text)[:FOUND_MAX]


def common(found: list[Found]) -> str:
    """What all of them begin with."""
    first, *rest = [one.text for one in found] or [""]
    for text in rest:
        while not text.casefold().startswith(first.casefold()):
            first = first[:-1]
    return first


def authors_of(names: Names, chat: ChatId, messages: Sequence[Message]) -> list[str]:
    """People of a room, the last to speak first."""
    found: dict[str, None] = {}
    for message in reversed(messages):
        if not message.outgoing:
            known = chat[:1] == b"g" and names.member(message.author) is not None
            name = names.of_author(message) if known else message.author_name
            found.setdefault(str(name or names.of_author(message)), None)
    return list(found)[:AUTHORS_MAX] if chat[:1] in (b"r", b"g") else []
