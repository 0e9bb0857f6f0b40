"""The live check on the screens: seven signs with words, a loud end, never by surprise."""

import asyncio

import pytest
from screens import Person, until, wires

from meshchat.core.events import AnswerCheck, CheckEnded, CheckShown, StartCheck
from meshchat.core.model import ChatId, Trust
from meshchat.core.signs import SIGNS
from meshchat.text import Clean
from meshchat.ui.app import MeshApp
from meshchat.ui.check import CheckScreen
from meshchat.ui.composer import Composer
from meshchat.ui.dialogs import TextScreen
from meshchat.ui.glyphs import PLAIN, UNICODE
from meshchat.ui.lock import LockScreen
from meshchat.ui.signs import WORDS, ended_words, sign_lines
from meshchat.ui.simulated import demo_app


class Friend:
    """Bob, linked to us, whose node runs without a screen."""

    def __init__(self) -> None:
        one, two = wires()
        self.me, self.bob = Person("Me", (one,)), Person("Bob", (two,))
        self._run: asyncio.Task[None] | None = None

    async def near(self, pilot: object) -> ChatId:
        """Each has the other's card and they are linked; returns our chat."""
        self._run = asyncio.ensure_future(self.bob.runtime.run())
        await self.bob.knows(self.me)
        chat = await self.me.knows(self.bob)
        node = self.me.runtime.node
        await until(lambda: node._neighbours.line(chat[1:]) is not None, pilot)  # type: ignore[arg-type]
        return chat

    def stop(self) -> None:
        self.bob.runtime.stop()

    def signs(self) -> tuple[int, ...]:
        return self.bob.runtime.node.signs_shown(self.me.runtime.node.fp)

    async def answers(self, same: bool) -> None:
        await self.bob.do(AnswerCheck(self.me.runtime.node.fp, same))


def test_the_words_are_those_of_the_core() -> None:
    """Each sign has its word, in order; they can be translated."""
    assert [word for _sign, word in SIGNS] == list(WORDS)
    assert sign_lines((0, 63), PLAIN) == [" 1. dog", " 2. gift"]
    assert sign_lines((0,), UNICODE) == [" 1. dog           🐶"]


@pytest.mark.parametrize("size", [(80, 24), (40, 24)])
async def test_the_same_signs_verify(size: tuple[int, int]) -> None:
    """``/check`` shows on both sides the same seven; ``s`` makes the contact verified."""
    friend = Friend()
    async with friend.me.at(size) as (app, pilot):
        chat = await friend.near(pilot)
        app.chat.open(chat)
        await pilot.press(*"/check", "enter")
        await until(lambda: "7." in app.shown(), pilot)
        assert isinstance(app.screen, CheckScreen)
        for place in friend.signs():
            assert SIGNS[place][1] in app.shown() and SIGNS[place][0] in app.shown()
        assert len(friend.signs()) == 7
        await friend.answers(True)
        await pilot.press("s")
        await until(lambda: app.screen is app.chat, pilot)
        contact = friend.me.store.contact(chat[1:])
        assert contact is not None and contact.trust is Trust.VERIFIED
        await until(lambda: "is verified" in app.shown(), pilot)
        friend.stop()


@pytest.mark.parametrize("ours", [True, False])
async def test_a_difference_is_loud(ours: bool) -> None:
    """Whoever says *different*: a screen of its own that stays until it was read."""
    friend = Friend()
    async with friend.me.at() as (app, pilot):
        chat = await friend.near(pilot)
        app.chat.open(chat)
        await pilot.press(*"/check", "enter")
        await until(lambda: "7." in app.shown(), pilot)
        if ours:
            await pilot.press("d")
        else:
            await pilot.press("s")
            await until(lambda: app.screen is app.chat, pilot)
            app.lock()
            await until(lambda: isinstance(app.screen, LockScreen), pilot)
            await friend.answers(False)
            await pilot.pause(0.2)
            assert "DIFFERENT" not in app.shown()
            super(MeshApp, app).pop_screen()
        await until(lambda: "DIFFERENT" in app.shown(), pilot)
        assert isinstance(app.screen, TextScreen)
        assert "stand between you" in app.shown()
        contact = friend.me.store.contact(chat[1:])
        assert contact is not None and (contact.trust is not Trust.VERIFIED or not ours)
        friend.stop()


async def test_a_contact_cannot_take_our_keys() -> None:
    """Somebody else begins: a line and the header say so, what is typed stays ours."""
    friend = Friend()
    async with friend.me.at((100, 24)) as (app, pilot):
        chat = await friend.near(pilot)
        app.chat.open(chat)
        await pilot.press(*"my s")
        await friend.bob.do(StartCheck(friend.me.runtime.node.fp))
        await until(lambda: "compare signs now: /check" in app.shown(), pilot)
        assert app.screen is app.chat and app.chat.query_one(Composer).text == "my s"
        app.chat.query_one(Composer).put("")
        await pilot.press(*"/check", "enter")
        await until(lambda: "7." in app.shown(), pilot)
        await pilot.press("escape")
        await until(lambda: app.screen is app.chat, pilot)
        await until(lambda: "compare signs now" not in app.shown(), pilot)
        friend.stop()


async def test_far_away_is_told(me: Person, bob: Person) -> None:
    """Without a direct link a sentence says what is needed, and Esc leads back."""
    async with me.at() as (app, pilot):
        app.chat.open(await me.knows(bob))
        await pilot.press(*"/check", "enter")
        await until(lambda: "is not linked directly" in app.shown(), pilot)
        await pilot.press("escape")
        await until(lambda: app.screen is app.chat, pilot)


def test_every_end_has_a_sentence() -> None:
    """No code of the core is shown as such."""
    for reason in ("same", "cancelled", "timeout", "link_lost", "busy", "ended", "denied"):
        assert ended_words(reason, Clean("{x}")) != reason
    assert CheckShown(b"", ()) and CheckEnded(b"", "same")


async def test_the_demo_compares_in_real_time() -> None:
    """Timur answers; while the signs are shown a second of the town is a second of ours."""
    app = demo_app(speed=20.0)
    async with app.run_test(size=(40, 24)) as pilot:
        await pilot.pause()
        await pilot.press(*"/check", "enter")
        await until(lambda: isinstance(app.screen, CheckScreen), pilot)
        shown = lambda: app.backend.node.signs_shown(app.backend.person.world.people[1].fp)  # noqa: E731
        await until(lambda: bool(shown()), pilot)
        assert app.backend.pace == 1.0
        await pilot.pause(0.2)
        await pilot.press("s")
        await until(lambda: not isinstance(app.screen, CheckScreen), pilot)
        assert app.backend.pace == 20.0
