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
from meshchat.core.signs import SIGNS
from meshchat.errors import MeshchatError
from meshchat.i18n import N_, _
from meshchat.text import Clean
from meshchat.ui.dialogs import Closing, Line
from meshchat.ui.glyphs import PLAIN, Glyphs

if TYPE_CHECKING:
    from meshchat.core.model import Contact
    from meshchat.net.runtime import News
    from meshchat.ui.backend import Backend

LOUD = ("different", "denied", "cheated")
"""Ends after which somebody may stand between the two."""

WORDS = (
    *(N_("dog"), N_("cat"), N_("horse"), N_("cow")),
    *(N_("camel"), N_("elephant"), N_("bear"), N_("frog")),
    *(N_("hen"), N_("owl"), N_("fish"), N_("turtle")),
    *(N_("snake"), N_("bee"), N_("butterfly"), N_("snail")),
    *(N_("tree"), N_("cactus"), N_("tulip"), N_("mushroom")),
    *(N_("corn"), N_("apple"), N_("lemon"), N_("grapes")),
    *(N_("melon"), N_("strawberry"), N_("carrot"), N_("bread")),
    *(N_("cheese"), N_("egg"), N_("cake"), N_("honey")),
    *(N_("moon"), N_("star"), N_("fire"), N_("rainbow")),
    *(N_("snowman"), N_("wave"), N_("boat"), N_("bicycle")),
    *(N_("train"), N_("rocket"), N_("balloon"), N_("house")),
    *(N_("tent"), N_("key"), N_("lock"), N_("bell")),
    *(N_("hammer"), N_("bucket"), N_("magnet"), N_("camera")),
    *(N_("books"), N_("pin"), N_("glasses"), N_("hat")),
    *(N_("crown"), N_("boot"), N_("umbrella"), N_("guitar")),
    *(N_("drum"), N_("football"), N_("clock"), N_("gift")),
)
"""The words of ``signs.SIGNS`` once more, so that they can be translated."""


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
        if not self.is_mounted:
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
            self.call_later(self.dismiss, news.reason)

    async def _command(self, wish: core.Command) -> None:
        try:
            await self._backend.command(wish)
        except MeshchatError as error:
            if self.is_current:
                self.query_one("#signs", Line).show(Clean(str(error)))
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


def check_title(name: Clean) -> Clean:
    """Above the signs."""
    return Clean.line(_("Compare seven signs with {name}").format(name=name), 100)


def check_wish(name: Clean) -> str:
    """A contact began a check."""
    text = _("{name} wants to compare seven signs with you, now: /check in the chat with {name}.")
    return text.format(name=name)


def sign_lines(signs: tuple[int, ...], glyphs: Glyphs) -> list[str]:
    """The signs, one a line: the word first, because terminals draw the picture differently."""
    lines = []
    for number, sign in enumerate(signs, 1):
        picture = "" if glyphs.name == PLAIN.name else f"  {SIGNS[sign][0]}"
        lines.append(f" {number}. {_(WORDS[sign]):<12}{picture}".rstrip())
    return lines


def ended_words(reason: str, name: Clean) -> str:
    """How a check ended, in a sentence or more."""
    danger = _(
        "Somebody may stand between you. Send nothing secret. Exchange cards again in person; "
        "until then {name} is not verified."
    )
    known = {
        "same": _("The signs agreed: {name} is verified."),
        "different": _("You said that the signs differ.") + " " + danger,
        "denied": _("{name} says that the signs differ.") + " " + danger,
        "cheated": _("The device of {name} broke the rules of the check.") + " " + danger,
        "cancelled": _("The check was put off; nothing has changed."),
        "ended": _("{name} put the check off; nothing has changed."),
        "timeout": _("Nobody answered in time; nothing has changed."),
        "link_lost": _("The direct link to {name} is gone: come near and try again."),
        "busy": _("{name} is busy with another check: try again in a moment."),
    }
    return known.get(reason, reason.replace("_", " ")).format(name=name)
