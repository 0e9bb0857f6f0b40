"""Cards that our user gives as text or as a file."""

from pathlib import Path

from meshchat.errors import UsageError
from meshchat.i18n import _

CARD_FILE_MAX_BYTES = 4_096  # a card has at most 409 characters


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
