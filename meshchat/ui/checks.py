"""Live checks as the main screen tells of them: wishes, ends, an alarm that waits to be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshchat.core import events as core
from meshchat.i18n import _
from meshchat.text import Clean
from meshchat.ui.signs import LOUD, check_wish, ended_words

if TYPE_CHECKING:
    from meshchat.core.model import Contact
    from meshchat.ui.base import BaseApp
    from meshchat.ui.chat import ChatScreen


class Checks:
    """What has to be said of live checks with contacts. A contact's wish never takes the keys."""

    def __init__(self, front: ChatScreen, app: BaseApp) -> None:
        self._front = front
        self._app = app
        self._shown = b""  # whose check has a screen of its own now
        self._alarm = ""

    def hear(self, news: core.CheckShown | core.CheckEnded) -> None:
        """Signs to compare, or the end of that."""
        contact = self._front.names.contacts.get(news.fp)
        name = contact.petname if contact is not None else Clean("?")
        if news.fp == self._shown:  # its screen tells
            if isinstance(news, core.CheckEnded):
                self._shown = b""
        elif isinstance(news, core.CheckShown):
            self._front.say(check_wish(name))
            self._app.announce(loud=True)
        elif news.reason != "same":
            self._ended(news.reason, name)

    async def make(self, contact: Contact) -> None:
        """Compare signs with a contact, on a screen of its own."""
        from meshchat.ui.check import CheckScreen

        self._shown = contact.fp
        screen = CheckScreen(self._front.runtime, contact, self._front.glyphs)
        reason = await self._app.push_screen_wait(screen)
        if reason:
            self._ended(reason, contact.petname)
        else:
            self._shown = b""

    def _ended(self, reason: str, name: Clean) -> None:
        if reason in LOUD:
            self._alarm = ended_words(reason, name)
            self.show_alarm()
        else:
            self._front.say(ended_words(reason, name))

    def show_alarm(self) -> None:
        """Until it was seen: it waits behind the lock."""
        if self._alarm and not self._app.is_hidden_now:
            self._front.reading(_("DIFFERENT"), self._alarm)
            self._alarm = ""
