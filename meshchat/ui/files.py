"""Files that our user gives us or wants written."""

from pathlib import Path

from meshchat.errors import UsageError
from meshchat.i18n import _
from meshchat.text import Clean

CARD_FILE_MAX_BYTES = 4_096  # a card has at most 409 characters
FILE_READ_MAX_BYTES = 4 * 1024 * 1024  # the node refuses over 2 MiB and says so; never read more


def save_new(name: str, data: bytes) -> Clean:
    """Write a new file; returns its path.

    Raises:
        UsageError: It cannot be written, or is there already.
    """
    path = Path(name).expanduser().absolute()
    try:
        with path.open("xb") as file:
            file.write(data)
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or _("no such name is possible")
        text = _("Cannot write {name}: {why}.").format(name=Clean.line(name), why=why)
        raise UsageError("cannot_save", text) from error
    return Clean.line(str(path), 200)


def folder_named(name: str) -> Path:
    """A folder that our user typed, ``~`` included; whether it is there is not looked at."""
    try:
        return Path(name).expanduser()
    except RuntimeError as error:  # ~somebody who has no home
        text = _("Cannot write {name}: {why}.")
        shown = text.format(name=Clean.line(name), why=_("no such name is possible"))
        raise UsageError("cannot_save", shown) from error


def read_file(name: str) -> tuple[str, bytes]:
    """Name without its folder, and what is in it."""
    try:
        path = Path(name).expanduser()
        with path.open("rb") as file:
            return path.name, file.read(FILE_READ_MAX_BYTES)
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or _("no such name is possible")
        text = _("Cannot read {name}: {why}.").format(name=Clean.line(name, 100), why=why)
        raise UsageError("cannot_read", text) from error


def read_card(typed: str) -> str:
    """The card's text: what was typed, or what the file of that name holds.

    Raises:
        UsageError: It is neither.
    """
    text = typed.strip()
    if text.lower().startswith("meshchat:") or "\n" in text:
        return text
    try:
        with Path(text).expanduser().open("rb") as file:
            return file.read(CARD_FILE_MAX_BYTES).decode()
    except (OSError, ValueError):
        raise UsageError(
            "no_card", _("That is neither a card (meshchat:…) nor a file that can be read.")
        ) from None
