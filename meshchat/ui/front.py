"""What the commands need of a front end: the screens, or the linear mode."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from meshchat.core.model import ChatId, Message
from meshchat.text import Clean
from meshchat.ui.backend import Backend
from meshchat.ui.glyphs import Glyphs
from meshchat.ui.names import Names

T = TypeVar("T")


class Front(Protocol):
    """Something a person sits at."""

    names: Names
    glyphs: Glyphs

    @property
    def backend(self) -> Backend: ...

    @property
    def chat(self) -> ChatId:
        """The open chat, empty if there is none."""
        ...

    @property
    def width(self) -> int:
        """Cells of a line."""
        ...

    def say(self, text: str) -> None:
        """Tell our user one sentence."""
        ...

    def reading(self, title: str, text: str) -> None:
        """Show something longer."""
        ...

    async def ask(self, question: str) -> bool:
        """A question with yes and no."""
        ...

    async def fill(self, title: str, hint: str = "", *, secret: bool = False) -> str | None:
        """One line to fill in; None: our user did not want to."""
        ...

    async def pick(self, title: str, rows: Sequence[tuple[Clean, T]]) -> T | None:
        """One of a list."""
        ...

    async def choose_file(self, title: str) -> str | None:
        """Path of a file of our user; None: none."""
        ...

    def downloads(self) -> Path:
        """The folder for files that came. Raises ``MeshchatError``: there is none."""
        ...

    def write(self, text: str) -> None:
        """Put this where our user writes, at the cursor."""
        ...

    def open(self, chat: ChatId) -> None:
        """Show a chat and write to it."""
        ...

    def close_chat(self) -> None:
        """The open chat is gone: show another."""
        ...

    def reload(self) -> None:
        """Read the names again."""
        ...

    def chosen(self, number: int = 0) -> Message | None:
        """The chosen message, else the last of our own, else the last; ``number`` counts back."""
        ...

    @property
    def is_choosing(self) -> bool:
        """Whether our user has chosen a message."""
        ...

    def open_at(self, message: Message) -> None:
        """Show a message in its chat."""
        ...

    def begin_reply(self, message: Message) -> None:
        """What is written next answers this message."""
        ...

    def begin_edit(self, message: Message) -> None:
        """What is written next takes this message's place."""
        ...

    def copy(self, text: str) -> None:
        """Put a text on the clipboard, as far as that is possible here."""
        ...

    def show_help(self, text: str) -> None:
        """What applies where our user is, then all."""
        ...

    def show_card(self, card: str, title: str) -> None:
        """A card to hand over."""
        ...

    async def add_contact(self, card: str) -> None:
        """Add somebody by card, asking for what is missing."""
        ...

    async def show_contact(self) -> None:
        """Everything about the contact of the open chat; words to compare."""
        ...

    async def check_signs(self) -> None:
        """A live check with the contact of the open chat."""
        ...

    def show_mesh(self) -> None:
        """Neighbours and custody."""
        ...

    def show_radios(self) -> None:
        """Transports."""
        ...

    def find(self, words: str) -> None:
        """Look for words in the open chat."""
        ...

    def show_last(self, count: int) -> None:
        """The last messages."""
        ...

    def list_chats(self) -> None:
        """Every chat, to choose from."""
        ...

    def palette(self) -> None:
        """Every command by name."""
        ...

    def theme(self, name: str) -> None:
        """Other colours; the next ones for an empty name."""
        ...

    def lock_up(self) -> None:
        """Hide everything behind the passphrase."""
        ...

    async def wipe(self) -> None:
        """Destroy the profile now."""
        ...

    async def quit(self) -> None:
        """Store what is being written, and end."""
        ...
