"""What commands ask of the main screen that concerns no chat: screens over it, and the app."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from textual.screen import Screen

from meshchat.i18n import _
from meshchat.text import Clean

if TYPE_CHECKING:
    from meshchat.ui.backend import Backend
    from meshchat.ui.base import BaseApp

T = TypeVar("T")


class ChatFront(Screen[None]):
    """Part of ``ChatScreen``, which implements ``front.Front``."""

    def __init__(self, runtime: Backend, app: BaseApp, classes: str) -> None:
        super().__init__(classes=classes)
        self.runtime = runtime
        self.glyphs = app.glyphs
        self._folder: Path | None = None
        """Where our user last looked for a file."""

    @property
    def _app(self) -> BaseApp:
        return cast("BaseApp", self.app)

    def say(self, text: str) -> None:
        """Tell our user one sentence."""
        raise NotImplementedError

    def reading(self, title: str, text: str) -> None:
        from meshchat.ui.dialogs import TextScreen

        self.app.push_screen(TextScreen(title, text))

    async def ask(self, question: str) -> bool:
        from meshchat.ui.dialogs import Ask

        screen: Screen[bool] = Ask(Clean(question))
        answer = await self.app.push_screen_wait(screen)
        return bool(answer)

    async def fill(self, title: str, hint: str = "", *, secret: bool = False) -> str | None:
        from meshchat.ui.dialogs import Prompt

        return await self.app.push_screen_wait(Prompt(title, hint, password=secret))

    async def pick(self, title: str, rows: Sequence[tuple[Clean, T]]) -> T | None:
        from meshchat.ui.dialogs import Choose

        return await self.app.push_screen_wait(Choose(title, rows))

    async def choose_file(self, title: str) -> str | None:
        from meshchat.ui.filepicker import FileScreen, start_folder

        folder = self._folder or start_folder()
        chosen = await self.app.push_screen_wait(FileScreen(title, folder))
        if chosen is None:
            return None
        self._folder = chosen.parent
        return str(chosen)

    def downloads(self) -> Path:
        return self._app.downloads()

    def copy(self, text: str) -> None:
        self.app.copy_to_clipboard(text)
        self.say(_("Copied, if this terminal allows it."))

    def show_card(self, card: str, title: str) -> None:
        from meshchat.ui.people import CardScreen

        self.app.push_screen(CardScreen(card, title))

    def show_mesh(self) -> None:
        from meshchat.ui.mesh import MeshScreen

        self.app.push_screen(MeshScreen(self.runtime, self.glyphs))

    def show_radios(self) -> None:
        from meshchat.ui.mesh import RadiosScreen

        self.app.push_screen(RadiosScreen(self.runtime, self.glyphs))

    def palette(self) -> None:
        self.app.action_command_palette()

    def theme(self, name: str) -> None:
        self.say(self._app.choose_theme(name))

    def lock_up(self) -> None:
        self._app.lock()

    async def wipe(self) -> None:
        await self._app.wipe()

    async def quit(self) -> None:
        await self.app.action_quit()
