"""The application: which screen is shown when, and the node behind them.

Nothing here imports the node, the store or a radio before the first frame: they
come with the right passphrase. No line is ever written to stderr while the
screen is up, because Textual paints there.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from textual import on
from textual.await_complete import AwaitComplete
from textual.screen import Screen

from meshchat import i18n
from meshchat.config import RuntimeOptions
from meshchat.errors import MeshchatError, StoreError, TransportError
from meshchat.i18n import _, said
from meshchat.logfile import start_log
from meshchat.profile import Profile, wait_after
from meshchat.system import harden
from meshchat.ui import bindings
from meshchat.ui.base import BaseApp, quiet_stderr
from meshchat.ui.lock import LockScreen
from meshchat.ui.parts import Field

if TYPE_CHECKING:
    from meshchat.net.runtime import Runtime
    from meshchat.net.settings import NodeSettings
    from meshchat.net.transport import Transport
    from meshchat.store import SqlStore
    from meshchat.ui.setup import SetupScreen


WIPE_WAIT_S = 5.0  # until the node has let go of the profile
IDLE_LOOK_S = 5.0  # between two looks at the clock
PAINTED_MAX_S = 1.0  # a frame takes a tenth of that
PREPARE_AFTER_S = 0.1  # behind the first frame: its last bytes are under way
AGAIN = "MESHCHAT_LOCKED"
"""Set for the process that follows a lock: it asks, also where a file holds the passphrase."""


def start_again() -> NoReturn:
    """Replace this process by a fresh one with the same arguments: no key outlives that.

    The kernel gives all memory back. Where there is no exec the program ends instead.
    """
    sys.stdout.flush()
    if sys.platform == "win32":
        raise SystemExit(0)
    os.execve(
        sys.executable,
        [sys.executable, "-m", "meshchat", *sys.argv[1:]],
        {**os.environ, AGAIN: "1"},
    )


def _prepare(options: RuntimeOptions) -> None:
    """Import the node, its store and the radios that are on; half a second on a small machine."""
    import meshchat.net.runtime
    import meshchat.net.settings
    import meshchat.ui.chat

    if options.lan:
        import meshchat.net.lan  # zeroconf
    if options.ble:
        import meshchat.net.ble.transport  # noqa: F401


async def _painted(screen: Screen[None]) -> None:
    """Wait until a screen was shown; not for ever, because another may lie on it already."""
    shown = asyncio.Event()
    screen.call_after_refresh(shown.set)
    with suppress(TimeoutError):
        await asyncio.wait_for(shown.wait(), PAINTED_MAX_S)


def _collect_from_now_on() -> None:
    """Look for garbage again, but not through the 75,000 objects that the start has made."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


class MeshApp(BaseApp):
    """meshchat in a terminal."""

    def __init__(self, profile: Profile, options: RuntimeOptions, passphrase: str | None) -> None:
        super().__init__(options)
        self._profile = profile
        self._options = options
        self.wiped = False
        """The key is destroyed; the caller removes the rest."""
        self._given = passphrase
        self.held = ExitStack()
        self._store: SqlStore | None = None
        self._slot = 0
        self._wrong = 0  # passphrases in a row
        self.forget = False
        """Idle for too long: the process is to be replaced by one that knows nothing."""
        self._settings: NodeSettings | None = None
        self._runtime: Runtime | None = None
        self._preparing: asyncio.Future[None] | None = None

    @property
    def backend(self) -> Runtime | None:
        return self._runtime

    # --- which screen ------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[None]:
        """What the first frame shows."""
        if not self._profile.exists():
            from meshchat.ui.setup import SetupScreen

            return SetupScreen()
        return LockScreen(_("One moment…") if self._given is not None else "")

    def on_mount(self) -> None:
        super().on_mount()
        if self._options.idle_minutes:
            self.set_interval(IDLE_LOOK_S, self._look_idle)
        if self._runtime is not None:
            return
        if self._given is not None:
            self.call_after_refresh(self._begin_unlock, self._given)
        self.call_after_refresh(self.set_timer, PREPARE_AFTER_S, self._prepared)

    def _prepared(self) -> asyncio.Future[None]:
        """Done when everything is imported that the first frame did without.

        It begins while our user types a passphrase, so that nobody waits for it.
        """
        if self._preparing is None:
            self._preparing = asyncio.ensure_future(asyncio.to_thread(_prepare, self._options))
        return self._preparing

    def on_setup_screen_ready(self, event: SetupScreen.Ready) -> None:
        setup = cast("SetupScreen", self.screen)
        self.run_worker(self._create(setup, event.name, event.passphrase, event.seed))

    async def _create(
        self, setup: SetupScreen, name: str, passphrase: str, seed: bytes | None
    ) -> None:
        try:
            await asyncio.to_thread(self._profile.init, name, passphrase, seed)
            self.held.enter_context(self._profile.locked())
            await self._unlock(passphrase)
        except MeshchatError as error:
            setup.refuse(said(error))
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
            if error.reason == "wrong_passphrase":
                self._wrong += 1
                await asyncio.sleep(wait_after(self._wrong))
            if isinstance(lock, LockScreen):
                lock.refuse(said(error))
            return
        self._wrong = 0
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

        The hash is slow and runs in a thread; the store belongs to the loop's thread.
        """
        slot, key = await asyncio.to_thread(self._profile.find_key, passphrase)
        await self._prepared()
        if self._store is None:
            from meshchat.net.settings import NodeSettings

            self._settings = NodeSettings.of(self._options)
            start_log(self._profile.log_path, self._options.log_level)
            self._store, self._slot = self._profile.open_slot(slot, key), slot
            self.held.callback(self._store.close)
        elif slot != self._slot:  # the words of the other store do not uncover this one
            raise StoreError("wrong_passphrase", "The passphrase is wrong. Try again.")

    async def _show_chats(self, first: bool = False) -> None:
        from meshchat.net.settings import transports
        from meshchat.ui.chat import ChatScreen

        runtime = self._runtime = self._make(transports(self._options))
        screen = ChatScreen(runtime, self)
        await self.push_screen(screen)
        await _painted(screen)
        _collect_from_now_on()
        self._run(runtime)
        if first:
            from meshchat.ui.people import CardScreen

            card = runtime.node.card_text()
            await self.push_screen(CardScreen(card, _("Your card   4 of 4"), first=True))
            from meshchat.ui.mesh import FirstRadios

            await self.push_screen(FirstRadios(runtime, self.glyphs))

    # --- the node ----------------------------------------------------------------------------

    def _make(self, ways: Sequence[Transport]) -> Runtime:
        from meshchat.net.runtime import Runtime

        store, settings = self._store, self._settings
        assert store is not None and settings is not None
        return Runtime(store, settings.builder(store), ways)

    def _run(self, runtime: Runtime) -> None:
        self.run_worker(self._drive(runtime), exit_on_error=True)

    async def _drive(self, runtime: Runtime) -> None:
        from meshchat.net.control import ControlServer
        from meshchat.net.verbs import Session

        try:
            await runtime.run(ControlServer(Session(runtime, self._profile, serving=True)).run)
        except TransportError as error:
            self._without_network(said(error))
        except StoreError as error:
            self.trouble = error
            self.exit(return_code=error.exit_code)
        else:
            if not self._leaving:  # the control socket's "stop"
                await self.action_quit()

    def _without_network(self, why: str) -> None:
        """A transport needs something mended: go on reading and writing without it."""
        from meshchat.ui.chat import ChatScreen

        runtime = self._runtime = self._make(())
        self._run(runtime)
        self._leave_screens()  # they hold the runtime that ended

        def go_on(chat: ChatScreen) -> None:
            chat.use(runtime)
            chat.say(_("No network: {why}").format(why=why))

        for screen in self.screen_stack:
            if isinstance(screen, ChatScreen):
                screen.call_later(go_on, screen)  # once it is mounted

    # --- lock --------------------------------------------------------------------------------

    async def _look_idle(self) -> None:
        """Nobody was here for long: close everything, and let ``run_app`` begin anew.

        Python cannot wipe a key from its memory, but a process can be replaced.
        """
        idle = time.monotonic() - self._touched > self._options.idle_minutes * 60
        if idle and self._store is not None:
            self.forget = True
            await self.action_quit()

    def lock(self) -> None:
        """Hide everything behind the passphrase; afterwards the chats are shown."""
        if self._runtime is not None and not self._locked:
            self._leave_screens()
            self.push_screen(LockScreen())
            self._show_title()

    async def wipe(self) -> None:
        """Destroy the key at once, which is enough; the files go when the screens have ended."""
        from meshchat import keyfile

        self._leaving = self.wiped = True
        if self._profile.exists():
            await asyncio.to_thread(keyfile.destroy, self._profile.key_path)
        if self._runtime is not None:
            self._runtime.stop()
        self.exit()

    def downloads(self) -> Path:
        return self._profile.make_downloads()

    @property
    def _locked(self) -> bool:
        """Whether the lock lies on the chats; the first passphrase screen lies on nothing."""
        stack = self.screen_stack
        return len(stack) > 1 and isinstance(stack[-1], LockScreen)

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
    quiet_stderr()
    i18n.choose(options.language)
    bindings.keymap(dict(options.keys))  # wrong ones are told before the screens start
    app = MeshApp(profile, options, passphrase)
    with app.held:
        if profile.exists():
            app.held.enter_context(profile.locked())
        app.run(mouse=options.mouse)
    if app.wiped and profile.has_home():
        profile.wipe(WIPE_WAIT_S)
    if app.trouble is not None:
        raise app.trouble
    if app.forget:
        start_again()
    return app.return_code or 0
