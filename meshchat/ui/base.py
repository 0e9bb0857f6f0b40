"""What every meshchat application in a terminal shares, whatever drives its node."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Protocol, cast, runtime_checkable

from textual import events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.app import App
from textual.binding import BindingType
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.driver import Driver
from textual.timer import Timer
from textual.worker import WorkerFailed

from meshchat.config import RuntimeOptions
from meshchat.errors import MeshchatError, UsageError
from meshchat.i18n import _
from meshchat.text import Clean
from meshchat.ui import bindings, glyphs, themes
from meshchat.ui.backend import Backend
from meshchat.ui.commands import CHAT_KEYS, COMMANDS, Command, key_label
from meshchat.ui.lock import LockScreen

PANIC_PRESSES, PANIC_S = 3, 2.0  # quick enough to be meant, slow enough for cold fingers

log = logging.getLogger(__name__)

# Textual reads ESC 1 … ESC 9 as the signs one Mac terminal types with Option. Without these
# entries they arrive as alt+1 … alt+9, and a typed § or £ stays a letter.
for _digit in range(1, CHAT_KEYS + 1):
    cast("dict[str, object]", ANSI_SEQUENCES_KEYS).pop(f"\x1b{_digit}", None)


class Palette(Provider):
    """Every command by name, from the one table. Shown as content, so no brackets are markup."""

    def _hit(self, command: Command) -> tuple[Content, Callable[[], None]]:
        screen = self.screen

        def run() -> None:
            if isinstance(screen, CommandScreen):
                screen.action_command(command.name)

        return Content(f"{command.title}  {command.usage}"), run

    def _keys(self, command: Command) -> str:
        app = cast("BaseApp", self.app)
        return key_label(app.chosen_keys.get(command.name, command.keys))

    async def discover(self) -> Hits:
        for command in COMMANDS:
            text, run = self._hit(command)
            yield DiscoveryHit(text, run, text.plain, self._keys(command))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in COMMANDS:
            text, run = self._hit(command)
            words = f"{text.plain} {' '.join(command.aliases)}"
            if (score := matcher.match(words)) > 0:
                yield Hit(score, text, run, text.plain, self._keys(command))


@runtime_checkable
class CommandScreen(Protocol):
    """A screen that carries out commands of the table."""

    def action_command(self, name: str) -> None: ...

    def say(self, text: str) -> None: ...

    async def flush(self) -> None: ...


class BaseApp(App[None]):
    """Title, palette, colours, bell, and the way out. What locking means, others say."""

    TITLE = "meshchat"
    CSS_PATH = Path(__file__).with_name("meshchat.tcss")
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Palette}
    BINDINGS: ClassVar[list[BindingType]] = bindings.app_bindings()

    def __init__(self, options: RuntimeOptions) -> None:
        super().__init__()
        self.animation_level = "none"
        self._disable_tooltips = True  # Textual's: a widget less on every screen; we have none
        self.options = options
        self.glyphs = glyphs.choose(options.glyphs, emoji=options.emoji)
        self.chosen_keys = dict(options.keys)
        self.trouble: BaseException | None = None
        """Why the app had to end, for the caller to raise again."""
        self._unread = 0
        self._title_shown = ""
        self._leaving = False
        self._touched = time.monotonic()
        self._idle: Timer | None = None
        self._panics: list[float] = []
        for theme in themes.OWN:
            self.register_theme(theme)
        if (wanted := themes.find(options.theme)) != self.theme:  # else every style is made twice
            self.theme = wanted
        self.set_class(self.glyphs.is_plain, "-plain")

    def get_driver_class(self) -> type[Driver]:
        chosen = super().get_driver_class()
        if chosen.__name__ == "LinuxDriver":  # not in a browser, nor on Windows
            from meshchat.ui.terminal import TerminalDriver

            return TerminalDriver
        return chosen

    @property
    def backend(self) -> Backend | None:
        """What drives the node, once there is one."""
        return None

    def on_mount(self) -> None:
        self.set_keymap(bindings.keymap(self.chosen_keys))
        if self.options.hide_minutes:
            self._idle = self.set_timer(60.0 * self.options.hide_minutes, self._hide_if_idle)
        if sys.platform != "win32" and not self.is_headless:
            loop = asyncio.get_running_loop()
            for name in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(name, lambda: self.call_later(self.action_quit))

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.InputEvent | events.Paste):
            self._touched = time.monotonic()
        await super().on_event(event)

    # --- title and bell ----------------------------------------------------------------------

    def show_unread(self, count: int) -> None:
        """Put the number of unread messages into the window's title."""
        self._unread = count
        self._show_title()

    def _show_title(self) -> None:
        locked = isinstance(self.screen, LockScreen)
        count = 0 if locked else self._unread
        title = Clean.line(f"({count}) {self.TITLE}" if count else f"{self.TITLE}")
        if title != self._title_shown:
            self._title_shown = title
            self._tell_terminal(f"\x1b]2;{title}\x07")

    def _tell_terminal(self, sequence: str) -> None:
        if self._driver is not None and not self.is_headless:
            self._driver.write(sequence)

    def announce(self, *, loud: bool) -> None:
        """Something new came: ring, as far as our user wants it, and never say what or from whom.

        Args:
            loud: It is for our user by name: ring twice.
        """
        if self.app_focus and not isinstance(self.screen, LockScreen):
            return
        wish, text = self.options.notify, Clean.line(_("meshchat: new message"))
        if wish == "bell":
            for _ring in range(2 if loud else 1):
                self.bell()
        elif wish == "osc9":
            self._tell_terminal(f"\x1b]9;{text}\x07")
        elif wish == "osc777":
            self._tell_terminal(f"\x1b]777;notify;meshchat;{text}\x07")
        elif wish == "osc99":
            self._tell_terminal(f"\x1b]99;i=meshchat;{text}\x1b\\")

    # --- colours -----------------------------------------------------------------------------

    def choose_theme(self, name: str) -> str:
        """Take other colours, the next ones if no name is given; returns what to say."""
        chosen = themes.after(self.theme) if not name else themes.NAMES.get(name, "")
        if not chosen:
            return _("There are: {names}").format(names=", ".join(themes.NAMES))
        self.theme = chosen
        word = next(word for word, theme in themes.NAMES.items() if theme == chosen)
        text = _('Colours: {name}. To keep them: theme = "{name}" under [ui] in the settings.')
        return text.format(name=word)

    def choices(self) -> dict[str, list[str]]:
        """Words that Tab offers behind commands that take one of a few."""
        return {"theme": list(themes.NAMES), "mute": ["all", "mentions", "none"]}

    # --- keys of every screen ----------------------------------------------------------------

    def lock(self) -> None:
        """Hide everything, as far as that is possible here."""
        raise NotImplementedError

    async def wipe(self) -> None:
        """Destroy everything, as far as there is something."""
        raise NotImplementedError

    def downloads(self) -> Path:
        """The folder for files that came, if this client keeps any.

        Raises:
            MeshchatError: It does not, or the folder cannot be made.
        """
        raise UsageError("no_folder", _("Say where: /save FOLDER"))

    @property
    def is_hidden_now(self) -> bool:
        """Whether the lock lies on everything."""
        return isinstance(self.screen, LockScreen)

    def action_lock(self) -> None:
        """From every screen."""
        self.lock()

    def _hide_if_idle(self) -> None:
        limit = 60.0 * self.options.hide_minutes
        left = self._touched + limit - time.monotonic()
        if left <= 0:
            self.lock()
            left = limit
        self._idle = self.set_timer(left, self._hide_if_idle)

    def action_panic(self) -> None:
        """Count; the third press in time destroys the profile, whatever is on the screen."""
        now = time.monotonic()
        self._panics = [at for at in self._panics if now - at < PANIC_S] + [now]
        if len(self._panics) >= PANIC_PRESSES:
            self._panics.clear()
            self.run_worker(self.wipe(), exit_on_error=True)
        elif isinstance(self.screen, CommandScreen):
            self.screen.say(_("Ctrl+X three times within two seconds destroys this profile."))

    def action_command_palette(self) -> None:
        """Only where commands can be carried out."""
        if isinstance(self.screen, CommandScreen):
            palette = CommandPalette(id="--command-palette", placeholder=_("search for a command"))
            self.push_screen(palette)

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
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
