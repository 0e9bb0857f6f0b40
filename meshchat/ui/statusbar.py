"""The line at the bottom: each radio and why it is off, what waits, and the next keys."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from rich.cells import cell_len

from meshchat.i18n import _
from meshchat.text import Clean
from meshchat.ui.glyphs import Glyphs, reason_words
from meshchat.ui.parts import Line

if TYPE_CHECKING:
    from meshchat.net.runtime import RuntimeStatus

HINTS_MAX = 4


class StatusBar(Line):
    """Quiet when all is well."""

    def __init__(self, glyphs: Glyphs, id: str) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs

    def show_status(self, status: RuntimeStatus, place: str) -> None:
        """Show a picture of this moment, and keys for where our user is."""
        left = "  ".join(self._words(status, brief=False))
        first = _hints(place, self._narrow)[0]
        if cell_len(left) + cell_len(first) + 4 > self.screen.size.width:
            left = " ".join(self._words(status, brief=True))
        self._show(left, place)

    def show_moment(self, at: float, place: str) -> None:
        """Show when the chosen message was written or came, to the second: rows say hours only."""
        self._show(f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M:%S}", place)

    @property
    def _narrow(self) -> bool:
        return self.screen.has_class("-narrow")

    def _show(self, left: str, place: str) -> None:
        width, hints = self.screen.size.width, _hints(place, self._narrow)
        shown = hints[0]
        for hint in hints[1:HINTS_MAX]:
            if cell_len(left) + cell_len(shown) + cell_len(hint) + 6 <= width:
                shown = f"{hint}  {shown}"
        gap = width - cell_len(left) - cell_len(shown) - 2
        if gap < 1:
            self.show(Clean(f" {left}"))
        else:
            self.show(Clean(f" {left}{' ' * gap}{shown}"))

    def _words(self, status: RuntimeStatus, *, brief: bool) -> list[str]:
        on, off = self._glyphs.on, self._glyphs.off
        parts: list[str] = []
        for transport in status.transports:
            links = sum(n.transport == transport.name for n in status.node.neighbours)
            if transport.on and brief:
                parts.append(f"{transport.name} {links}")
            elif transport.on:
                sign = "" if self._glyphs.is_plain else f"{on} "
                parts.append(f"{transport.name} {sign}{links}")
            else:
                why = reason_words(transport.reason) or _("off")
                parts.append(
                    f"{transport.name} {off}" if brief else f"{transport.name} {off} {why}: F4"
                )
        if not status.transports:
            parts.append(_("no network"))
        if status.trouble is not None:
            parts.append(f"! {reason_words(status.trouble.reason)}")
        if brief:
            parts.append(f"q{status.node.queued}")
        else:
            parts.append(_("carry {count}").format(count=status.node.custody.carried))
            parts.append(_("queue {count}").format(count=status.node.queued))
        return parts


def _hints(place: str, narrow: bool) -> list[str]:
    """Keys for this place, the most wanted first."""
    if place == "list":
        return [_("F1 help"), _("Enter open"), _("Esc write")]
    if place == "message":
        return [_("Esc write"), _("i way"), _("r reply"), _("+ react")]
    if place == "find":
        return [_("Esc write"), _("Up older"), _("Down newer")]
    if narrow:
        return [_("Esc chats")]
    return [_("F1 help"), _("F3 mesh"), _("Ctrl+K go"), _("Ctrl+P all")]
