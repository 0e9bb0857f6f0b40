"""What every meshchat application in a terminal shares, whatever drives its node."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, cast, runtime_checkable

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.app import App
from textual.binding import Binding, BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.worker import WorkerFailed

from meshchat.errors import MeshchatError
from meshchat.text import Clean
from meshchat.ui.commands import CHAT_KEYS, COMMANDS, Command, key_label, with_twins
from meshchat.ui.lock import LockScreen

if TYPE_CHECKING:
    from meshchat.core.events import Command as Wish
    from meshchat.core.node import Node
    from meshchat.core.ports import Store
    from meshchat.net.runtime import News, RuntimeStatus

log = logging.getLogger(__name__)

# Textual reads ESC 1 … ESC 9 as the signs one Mac terminal types with Option. Without these
# entries they arrive as alt+1 … alt+9, and a typed § or £ stays a letter.
for _digit in range(1, CHAT_KEYS + 1):
    cast("dict[str, object]", ANSI_SEQUENCES_KEYS).pop(f"\x1b{_digit}", None)


class Backend(Protocol):
    """What the screens need of whatever drives a node: ``net.runtime.Runtime`` or a simulation."""

    @property
    def store(self) -> Store: ...

    @property
    def node(self) -> Node: ...

    async def command(self, command: Wish) -> object:
        """Carry out a wish of our user; returns what the command's docstring promises."""
        ...

    def subscribe(self, callback: Callable[[News], None]) -> Callable[[], None]:
        """Call ``callback`` with every event from now on; returns what ends that."""
        ...

    def status(self) -> RuntimeStatus:
        """A picture of this moment."""
        ...

    def stop(self) -> None:
        """End soon. May be called again."""
        ...


class Palette(Provider):
    """Every command by name, from the one table. Shown as content, so no brackets are markup."""

    def _hit(self, command: Command) -> tuple[Content, Callable[[], None]]:
        screen = self.screen

        def run() -> None:
            if isinstance(screen, CommandScreen):
                screen.action_command(command.name)

        return Content(f"{command.title}  {command.usage}"), run

    async def discover(self) -> Hits:
        for command in COMMANDS:
            text, run = self._hit(command)
            yield DiscoveryHit(text, run, text.plain, key_label(command.keys))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in COMMANDS:
            text, run = self._hit(command)
            if (score := matcher.match(text.plain)) > 0:
                yield Hit(score, text, run, text.plain, key_label(command.keys))


@runtime_checkable
class CommandScreen(Protocol):
    """A screen that carries out commands of the table."""

    def action_command(self, name: str) -> None: ...

    async def flush(self) -> None: ...


class BaseApp(App[None]):
    """Title, palette, and the way out. What is shown, and what locking means, others say."""

    TITLE = "meshchat"
    CSS_PATH = Path(__file__).with_name("meshchat.tcss")
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Palette}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(with_twins("ctrl+q"), "quit", "Quit", show=False, priority=True),
        Binding(with_twins("ctrl+p"), "command_palette", "Palette", show=False, priority=True),
        Binding(with_twins("ctrl+l"), "lock", "Lock", show=False, priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.animation_level = "none"
        self.trouble: BaseException | None = None
        """Why the app had to end, for the caller to raise again."""
        self._unread = 0
        self._title_shown = ""
        self._leaving = False

    @property
    def backend(self) -> Backend | None:
        """What drives the node, once there is one."""
        return None

    def on_mount(self) -> None:
        if sys.platform != "win32" and not self.is_headless:
            loop = asyncio.get_running_loop()
            for name in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(name, lambda: self.call_later(self.action_quit))

    # --- title -------------------------------------------------------------------------------

    def show_unread(self, count: int) -> None:
        """Put the number of unread messages into the window's title."""
        self._unread = count
        self._show_title()

    def _show_title(self) -> None:
        locked = isinstance(self.screen, LockScreen)
        count = 0 if locked else self._unread
        title = Clean.line(f"({count}) {self.TITLE}" if count else f"{self.TITLE}")
        if title != self._title_shown and self._driver is not None and not self.is_headless:
            self._title_shown = title
            self._driver.write(f"\x1b]2;{title}\x07")

    # --- keys of every screen ----------------------------------------------------------------

    def lock(self) -> None:
        """Hide everything, as far as that is possible here."""
        raise NotImplementedError

    def action_lock(self) -> None:
        """From every screen."""
        self.lock()

    def action_command_palette(self) -> None:
        """Only where commands can be carried out."""
        if isinstance(self.screen, CommandScreen):
            super().action_command_palette()

    # --- the way out -------------------------------------------------------------------------

    def _leave_screens(self) -> None:
        """Close what lies on the chats; whoever waits for an answer gets none."""
        while len(self.screen_stack) > 1 and not isinstance(
            self.screen, CommandScreen | LockScreen
        ):
            self.screen.dismiss(None)

    async def action_quit(self) -> None:
        """Store what is being written, end the links, leave."""
        if self._leaving:
            return
        self._leaving = True
        if (backend := self.backend) is not None:
            for screen in self.screen_stack:
                if isinstance(screen, CommandScreen):
                    try:
                        await screen.flush()
                    except MeshchatError as error:
                        log.warning("the draft could not be stored (%s)", error.reason)
            backend.stop()
        self.exit()

    def _fatal_error(self) -> None:
        """A bug: leave without a traceback on the screen, which could show what people wrote."""
        if self.is_headless:
            super()._fatal_error()
        else:
            error = self._exception
            self.trouble = error.error if isinstance(error, WorkerFailed) else error
            self._close_messages_no_wait()


def quiet_stderr() -> None:
    """Textual paints on stderr: nothing else may be written there from now on."""
    logging.captureWarnings(True)
    logging.getLogger().addHandler(logging.NullHandler())
