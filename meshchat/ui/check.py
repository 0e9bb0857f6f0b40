"""The live check: seven signs, each with its word, that both people compare while they are near.

It opens only when our user asks: a contact's wish to compare shows a line and never takes the keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from meshchat.core import events as core
from meshchat.errors import MeshchatError
from meshchat.i18n import _, said
from meshchat.text import Clean
from meshchat.ui.dialogs import Closing
from meshchat.ui.glyphs import Glyphs
from meshchat.ui.parts import Line
from meshchat.ui.signs import check_title, sign_lines

if TYPE_CHECKING:
    from meshchat.core.model import Contact
    from meshchat.net.runtime import News
    from meshchat.ui.backend import Backend


class CheckScreen(ModalScreen[str], Closing[str]):
    """Asks the contact's device, shows the signs, takes the answer; gives the reason it ended."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s,ы", "answer(True)", "Same", show=False),
        Binding("d,в", "answer(False)", "Different", show=False),
        Binding("escape", "leave", "Not now", show=False),
    ]

    def __init__(self, backend: Backend, contact: Contact, glyphs: Glyphs) -> None:
        super().__init__()
        self._backend, self._contact, self._glyphs = backend, contact, glyphs
        self._signs: tuple[int, ...] = ()
        self._end = backend.subscribe(self._hear)

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Line((check_title(self._contact.petname), "bold"), classes="title")
            yield Line(id="signs")
            yield Line(id="advice")
            yield Line(classes="hint")

    def ready(self) -> None:
        self._show()
        if not self._signs:
            self.run_worker(self._command(core.StartCheck(self._contact.fp)))

    def on_unmount(self) -> None:
        self._end()

    def _show(self) -> None:
        if not self.is_attached:
            return
        self._signs = self._backend.node.signs_shown(self._contact.fp)
        shown = self.query_one("#signs", Line)
        advice = self.query_one("#advice", Line)
        if self._signs:
            shown.show((Clean("\n".join(sign_lines(self._signs, self._glyphs))), "bold"))
            advice.show(
                Clean(
                    "\n"
                    + _(
                        "Read them to each other, side by side or by a voice you know. "
                        "Are all seven the same on both screens, in this order?"
                    )
                )
            )
            self.query_one(".hint", Line).show(Clean(_("s the same   d different   Esc not now")))
        else:
            asking = _("Asking the device of {name}…").format(name=self._contact.petname)
            shown.show(Clean(asking))
            self.query_one(".hint", Line).show(Clean(_("Esc not now")))

    def _hear(self, news: News) -> None:
        if isinstance(news, core.CheckShown) and news.fp == self._contact.fp:
            self.call_later(self._show)
        elif isinstance(news, core.CheckEnded) and news.fp == self._contact.fp:
            self.call_later(self._over, news.reason)

    def _over(self, reason: str) -> None:
        self.dismiss(reason)

    async def _command(self, wish: core.Command) -> None:
        try:
            await self._backend.command(wish)
        except MeshchatError as error:
            if self.is_current:
                self.query_one("#signs", Line).show(Clean(said(error)))
                self.query_one("#advice", Line).show(Clean())
                self.query_one(".hint", Line).show(Clean(_("Esc back")))

    def action_answer(self, same: bool) -> None:
        if self._signs:
            self.run_worker(self._command(core.AnswerCheck(self._contact.fp, same)))

    def action_leave(self) -> None:
        """Not now: the other side is told, the mark stays as it is."""
        self.run_worker(self._cancel())

    async def _cancel(self) -> None:
        await self._command(core.CancelCheck(self._contact.fp))
        self.dismiss("")
