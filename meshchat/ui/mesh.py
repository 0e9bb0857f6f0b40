"""Screens that show the mesh as it is now: neighbours and custody (F3), radios (F4)."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.timer import Timer

from meshchat.i18n import N_, _
from meshchat.net.transport import TransportStatus
from meshchat.text import Clean
from meshchat.ui.backend import Backend
from meshchat.ui.dialogs import Closing
from meshchat.ui.glyphs import Glyphs
from meshchat.ui.parts import Line
from meshchat.ui.reports import mesh_text, radios_text, transport_lines

AGAIN_S = (
    2.0  # looked at again so often while something happens; nothing is drawn if it is the same
)


class LiveScreen(Closing[None]):
    """A page of text that follows what happens."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,й", "dismiss", "Back", show=False),
        Binding("f3", "other('mesh')", show=False),
        Binding("f4", "other('radios')", show=False),
    ]
    title_words = ""

    def __init__(self, backend: Backend, glyphs: Glyphs) -> None:
        super().__init__()
        self.backend = backend
        self.glyphs = glyphs
        self._timer: Timer | None = None
        self._end = backend.subscribe(lambda _news: self._later())

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Line((Clean(self.heading()), "bold"), classes="title")
            with VerticalScroll(classes="body"):
                yield Line(id="page")
            yield Line(Clean(self.hint()), classes="hint")

    def ready(self) -> None:
        self.query_one(VerticalScroll).focus()
        self._show()

    def on_unmount(self) -> None:
        self._end()

    def on_resize(self, _event: events.Resize) -> None:
        self.call_later(self._show)

    def _later(self) -> None:
        if self._timer is None and self.is_mounted:
            self._timer = self.set_timer(AGAIN_S, self._show)

    def _show(self) -> None:
        self._timer = None
        if self.is_current:
            self.query_one("#page", Line).show(Clean(self.page(self.size.width - 4)))

    def hint(self) -> str:
        """Keys, in the last line."""
        return _("F3 mesh  F4 radios  PgDn  Esc back")

    def heading(self) -> str:
        """The title."""
        raise NotImplementedError

    def page(self, width: int) -> str:
        """What is shown."""
        raise NotImplementedError

    def action_other(self, name: str) -> None:
        """To the other page, or away from this one."""
        kind = MeshScreen if name == "mesh" else RadiosScreen
        if isinstance(self, kind):
            self.dismiss(None)
        else:
            self.app.switch_screen(kind(self.backend, self.glyphs))


class MeshScreen(LiveScreen):
    """Who is near, what we hold and for whom."""

    def heading(self) -> str:
        return _("The mesh around you")

    def page(self, width: int) -> str:
        store, backend = self.backend.store, self.backend
        contacts = {contact.fp: contact for contact in store.contacts()}
        return mesh_text(
            *(backend.status(), store, contacts, self.glyphs), backend.now().wall, width
        )


class RadiosScreen(LiveScreen):
    """Each way to reach others: on, or off and why, and what to do about it."""

    def heading(self) -> str:
        return _("Radios and networks")

    def page(self, width: int) -> str:
        status = self.backend.status()
        contacts = {contact.fp: contact for contact in self.backend.store.contacts()}
        return radios_text(status, all_transports(status.transports), contacts, width)


class FirstRadios(RadiosScreen):
    """The step of the first run that says what is on, and what to do about what is not."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "dismiss", "Go on", show=False, priority=True),
        Binding("f3", "nothing", show=False),
        Binding("f4", "nothing", show=False),
    ]

    def heading(self) -> str:
        return _("Radios and networks   3 of 4")

    def hint(self) -> str:
        return _("Enter go on   PgDn more   later: F4")

    def page(self, width: int) -> str:
        status = self.backend.status()
        first = _(
            "Messages go over these, to whoever is near. Without any they wait. Nothing here "
            "has to be done now."
        )
        rows = transport_lines(all_transports(status.transports), status, width)
        return "\n".join([first, "", *rows])

    def action_nothing(self) -> None:
        """The mesh has its time later."""


def all_transports(running: tuple[TransportStatus, ...]) -> tuple[TransportStatus, ...]:
    """Those that run, and the others with the reason why they do not."""
    here = {one.name for one in running}
    off = []
    for name in ("lan", "ble"):
        remedy = N_(f"Start without --no-{name}, and with [{name}] enabled in the settings.")
        if name not in here:
            off.append(TransportStatus(name, False, "switched_off", remedy))
    return (*running, *off)
