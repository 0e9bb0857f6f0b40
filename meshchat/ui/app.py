"""The application: which screen is shown when, and the node behind them.

Nothing here imports the node, the store or a radio before the first frame: they
come with the right passphrase. No line is ever written to stderr while the
screen is up, because Textual paints there.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast, runtime_checkable

from textual import on
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.screen import Screen
from textual.worker import WorkerFailed

from meshchat.errors import MeshchatError, StoreError, TransportError
from meshchat.profile import Profile, RuntimeOptions, harden
from meshchat.text import Clean
from meshchat.ui.commands import CHAT_KEYS, COMMANDS, Command, key_label, with_twins
from meshchat.ui.dialogs import Field
from meshchat.ui.lock import LockScreen
from meshchat.ui.setup import SetupScreen

if TYPE_CHECKING:
    from meshchat.net.control import NodeSettings
    from meshchat.net.runtime import Runtime
    from meshchat.net.transport import Transport
    from meshchat.store import SqlStore

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


class MeshApp(App[None]):
    """meshchat in a terminal."""

    TITLE = "meshchat"
    CSS_PATH = Path(__file__).with_name("meshchat.tcss")
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Palette}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(with_twins("ctrl+q"), "quit", "Quit", show=False, priority=True),
        Binding(with_twins("ctrl+p"), "command_palette", "Palette", show=False, priority=True),
        Binding(with_twins("ctrl+l"), "lock", "Lock", show=False, priority=True),
    ]

    def __init__(self, profile: Profile, options: RuntimeOptions, passphrase: str | None) -> None:
        super().__init__()
        self.animation_level = "none"
        self._profile = profile
        self._options = options
        self._given = passphrase
        self.held = ExitStack()
        self._store: SqlStore | None = None
        self._settings: NodeSettings | None = None
        self._runtime: Runtime | None = None
        self.trouble: BaseException | None = None
        """Why the app had to end, for the caller to raise again."""
        self._unread = 0
        self._title_shown = ""
        self._leaving = False

    # --- which screen ------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[None]:
        """What the first frame shows."""
        if not self._profile.exists():
            return SetupScreen()
        return LockScreen("One moment…" if self._given is not None else "")

    def on_mount(self) -> None:
        if sys.platform != "win32" and not self.is_headless:
            loop = asyncio.get_running_loop()
            for name in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(name, lambda: self.call_later(self.action_quit))
        if self._given is not None and isinstance(self.screen, LockScreen):
            self.call_after_refresh(self._begin_unlock, self._given)

    @on(SetupScreen.Ready)
    def _set_up(self, event: SetupScreen.Ready) -> None:
        self.run_worker(self._create(event.name, event.passphrase, event.seed))

    async def _create(self, name: str, passphrase: str, seed: bytes | None) -> None:
        setup = self.screen
        try:
            await asyncio.to_thread(self._profile.init, name, passphrase, seed)
            self.held.enter_context(self._profile.locked())
            await self._unlock(passphrase)
        except MeshchatError as error:
            if isinstance(setup, SetupScreen):
                setup.refuse(str(error))
            return
        for field in setup.query(Field):  # this screen stays underneath
            field.value = ""
        await self._show_chats(first=True)

    @on(LockScreen.Entered)
    def _entered(self, event: LockScreen.Entered) -> None:
        self._begin_unlock(event.passphrase)

    def _begin_unlock(self, passphrase: str) -> None:
        self.run_worker(self._open(passphrase))

    async def _open(self, passphrase: str) -> None:
        lock = self.screen
        try:
            await self._unlock(passphrase)
        except MeshchatError as error:
            if isinstance(lock, LockScreen):
                lock.refuse(str(error))
            return
        if self._runtime is None:
            for field in lock.query(Field):
                field.value = ""
            await self._show_chats()
        else:
            if self.screen is lock:
                super().pop_screen()
            self._show_title()

    async def _unlock(self, passphrase: str) -> None:
        """Check the passphrase and, the first time, open the store.

        The hash is slow and runs in a thread, together with the imports that the
        first frame did without; the store belongs to the loop's thread.
        """

        def hashed() -> bytes:
            import meshchat.net.control
            import meshchat.ui.chat
            from meshchat import keyfile

            if self._options.lan:
                import meshchat.net.lan  # zeroconf, 60 ms
            key = keyfile.unlock(self._profile.key_path, passphrase)
            if self._settings is None:
                self._settings = meshchat.net.control.NodeSettings.of(self._options)
            return key

        key = await asyncio.to_thread(hashed)
        if self._store is None:
            from meshchat.store import SqlStore

            self._profile.start_log(self._options.log_level)
            self._store = SqlStore.open(self._profile.store_path, key)
            self.held.callback(self._store.close)

    async def _show_chats(self, first: bool = False) -> None:
        from meshchat.net.control import transports
        from meshchat.ui.chat import ChatScreen

        self._start(transports(self._options))
        assert self._runtime is not None
        await self.push_screen(ChatScreen(self._runtime))
        if first:
            from meshchat.ui.people import CardScreen

            card = self._runtime.node.card_text()
            await self.push_screen(CardScreen(card, "Your card   3 of 3", first=True))

    # --- the node ----------------------------------------------------------------------------

    def _start(self, ways: Sequence[Transport]) -> None:
        from meshchat.net.runtime import Runtime

        store, settings = self._store, self._settings
        assert store is not None and settings is not None
        self._runtime = Runtime(store, settings.builder(store), ways)
        self.run_worker(self._drive(self._runtime), exit_on_error=True)

    async def _drive(self, runtime: Runtime) -> None:
        from meshchat.net.control import ControlServer
        from meshchat.net.verbs import Session

        try:
            await runtime.run(ControlServer(Session(runtime, self._profile, serving=True)).run)
        except TransportError as error:
            self._without_network(str(error))
        except StoreError as error:
            self.trouble = error
            self.exit(return_code=error.exit_code)
        else:
            if not self._leaving:  # the control socket's "stop"
                await self.action_quit()

    def _without_network(self, why: str) -> None:
        """A transport needs something mended: go on reading and writing without it."""
        from meshchat.ui.chat import ChatScreen

        self._start(())
        runtime = self._runtime
        assert runtime is not None
        self._leave_screens()  # they hold the runtime that ended

        def go_on(chat: ChatScreen) -> None:
            chat.use(runtime)
            chat.say(f"No network: {why}")

        for screen in self.screen_stack:
            if isinstance(screen, ChatScreen):
                screen.call_later(go_on, screen)  # once it is mounted

    # --- title, lock and the way out ---------------------------------------------------------

    def show_unread(self, count: int) -> None:
        """Put the number of unread messages into the window's title."""
        self._unread = count
        self._show_title()

    def _show_title(self) -> None:
        locked = isinstance(self.screen, LockScreen)
        count = 0 if locked else self._unread
        title = Clean.line(f"({count}) meshchat" if count else "meshchat")
        if title != self._title_shown and self._driver is not None and not self.is_headless:
            self._title_shown = title
            self._driver.write(f"\x1b]2;{title}\x07")

    def lock(self) -> None:
        """Hide everything behind the passphrase; afterwards the chats are shown."""
        if self._runtime is not None and not self._locked:
            self._leave_screens()
            self.push_screen(LockScreen())
            self._show_title()

    def action_lock(self) -> None:
        """From every screen."""
        self.lock()

    @property
    def _locked(self) -> bool:
        """Whether the lock lies on the chats; the first passphrase screen lies on nothing."""
        stack = self.screen_stack
        return len(stack) > 1 and isinstance(stack[-1], LockScreen)

    def _leave_screens(self) -> None:
        """Close what lies on the chats; whoever waits for an answer gets none."""
        while len(self.screen_stack) > 1 and not isinstance(
            self.screen, CommandScreen | LockScreen
        ):
            self.screen.dismiss(None)

    def push_screen(self, screen: Any, *args: Any, **options: Any) -> Any:
        """Show a screen; while locked none, so what was under way shows nothing over the lock."""
        if not self._locked:
            return super().push_screen(screen, *args, **options)
        if not options.get("wait_for_dismiss"):
            return AwaitComplete()
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answer.set_result(None)
        return answer

    def pop_screen(self) -> AwaitComplete:
        """Leave a screen; while locked none, because only the passphrase opens the lock."""
        return AwaitComplete() if self._locked else super().pop_screen()

    def action_command_palette(self) -> None:
        """Only where commands can be carried out."""
        if isinstance(self.screen, CommandScreen):
            super().action_command_palette()

    async def action_quit(self) -> None:
        """Store what is being written, end the links, leave."""
        if self._leaving:
            return
        self._leaving = True
        if self._runtime is not None:
            for screen in self.screen_stack:
                if isinstance(screen, CommandScreen):
                    try:
                        await screen.flush()
                    except MeshchatError as error:
                        log.warning("the draft could not be stored (%s)", error.reason)
            self._runtime.stop()
        self.exit()

    def _fatal_error(self) -> None:
        """A bug: leave without a traceback on the screen, which could show what people wrote."""
        if self.is_headless:
            super()._fatal_error()
        else:
            error = self._exception
            self.trouble = error.error if isinstance(error, WorkerFailed) else error
            self._close_messages_no_wait()


def run_app(profile: Profile, options: RuntimeOptions, passphrase: str | None = None) -> int:
    """Show the screens until our user leaves; returns the exit code.

    Args:
        profile: Which one; if there is none yet, the first screens make it.
        options: What the node uses once it runs.
        passphrase: From a file; None: asked for on the screen.

    Raises:
        StoreError: Another process uses the profile, or its store failed beyond use.
    """
    harden()
    logging.captureWarnings(True)
    logging.getLogger().addHandler(logging.NullHandler())  # nothing may reach stderr
    app = MeshApp(profile, options, passphrase)
    with app.held:
        if profile.exists():
            app.held.enter_context(profile.locked())
        app.run()
    if app.trouble is not None:
        raise app.trouble
    return app.return_code or 0
