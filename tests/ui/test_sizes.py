"""Any size, any colours, any signs; right to left; wide and joined letters."""

import pytest
from rich.cells import cell_len
from screens import Person, until

from meshchat.config import RuntimeOptions
from meshchat.core.events import JoinRoom, MessageChanged, Send
from meshchat.core.identity import public_room_key
from meshchat.core.model import State
from meshchat.ui import themes
from meshchat.ui.glyphs import PLAIN, UNICODE, choose
from meshchat.ui.rows import right_to_left

SIZES = [(200, 60), (130, 30), (80, 24), (40, 24), (30, 8), (12, 4), (3, 2), (1, 1)]


async def test_every_size_is_survived(me: Person, bob: Person) -> None:
    """From two hundred columns to one cell and back, then with each screen on top."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        me.fill(chat, 50, "line {} with some words, сәлем 👩‍👩‍👧‍👦 ".format)
        app.chat.reload()
        app.chat.open(chat)

        def fits(cells: int) -> bool:
            return all(cell_len(line) <= cells for line in app.shown().splitlines())

        for keys in ((), ("f1",), ("f2",), ("f3",), ("f4",), ("f5",), ("ctrl+k",), ("ctrl+f",)):
            await pilot.press(*keys)
            await pilot.pause()
            for size in (*SIZES[::2], (1, 1)) if keys else (*SIZES, *SIZES[::-1]):
                await pilot.resize_terminal(*size)
                await until(lambda cells=size[0]: fits(cells), pilot)
            await pilot.resize_terminal(80, 24)
            await pilot.press("escape")
            await pilot.pause()
        app.history.action_last()
        await until(lambda: "line 49" in app.shown(), pilot)


async def test_resizing_keeps_the_place(me: Person, bob: Person) -> None:
    """The message at the top stays at the top, whatever the width."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        words = "these words need more lines where it is narrow, and fewer where it is wide"
        me.read(chat, me.fill(chat, 500, lambda n: f"<{n}> {words}")[-1])
        app.chat.reload()
        app.chat.open(chat)
        app.history.action_first()
        await pilot.pause()
        app.history.scroll_to(y=400, animate=False)
        await pilot.pause()
        seq = app.history._place[0]
        for size in ((40, 24), (200, 60), (60, 10), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert app.history._place[0] == seq


@pytest.mark.parametrize("theme", list(themes.NAMES))
async def test_each_theme_can_be_read(me: Person, bob: Person, theme: str) -> None:
    """/theme takes it, and no line is drawn in the colour of its background."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        me.hear(chat, "hello")
        await pilot.pause()
        app.chat.open(chat)
        await pilot.press(*f"/theme {theme}", "enter")
        await until(lambda: app.theme == themes.NAMES[theme], pilot)
        await pilot.pause()
        for strip in app.screen._compositor.render_strips():
            for segment in strip:
                style = segment.style
                if segment.text.strip() and style and style.color and style.bgcolor:
                    assert style.color.is_default or style.color != style.bgcolor, segment
        assert "To keep them" in app.shown()


def test_the_theme_fits_the_terminal() -> None:
    """Sixteen colours where there are no more, light where the terminal says so."""
    assert themes.find("", {"TERM": "xterm-256color"}) == "textual-dark"
    assert themes.find("", {"TERM": "linux"}) == "ansi-dark"
    light = {"TERM": "xterm", "COLORTERM": "truecolor", "COLORFGBG": "0;15"}
    assert themes.find("", light) == "textual-light"
    assert themes.find("contrast", {}) == themes.CONTRAST.name


async def test_without_colours_signs_and_weight_remain(
    monkeypatch: pytest.MonkeyPatch, bob: Person
) -> None:
    """NO_COLOR: unread, chosen, failed and the open chat still differ."""
    monkeypatch.setenv("NO_COLOR", "1")
    me, carol = Person("Me"), Person("Carol")
    async with me.at() as (app, pilot):
        chat, other = await me.knows(bob), await me.knows(carol)
        me.hear(other, "news")
        await pilot.pause()
        app.chat.open(chat)
        sent = await me.do(Send(chat, "lost"))
        with me.store.transaction():
            failed = me.store.change_message(sent.id, state=State.FAILED, reason="expired")
        me.runtime._tell(MessageChanged(failed))
        await until(lambda: "! its time is over" in app.shown(), pilot)
        await pilot.press("up")
        await pilot.pause()
        shown = app.shown()
        assert "▌Bob" in shown and "? 1" in shown and "│▌" in shown
        app.screen._compositor.render_strips()


async def test_plain_signs_are_words(bob: Person) -> None:
    """Without such letters everything is ASCII, and states are words."""
    me = Person("Me", options=RuntimeOptions(lan=False, ble=False, glyphs="plain"))
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        await me.do(Send(chat, "hi"))
        await until(lambda: "hi (queued)" in app.shown(), pilot)
        await pilot.press("f3")
        await pilot.pause()
        await pilot.press("escape", "f1")
        await pilot.pause()
        shown = app.shown()
        assert "While writing" in shown
        await pilot.press("escape")
        await pilot.pause()
        text = app.shown().replace("…", "").replace("·", "")  # our words, not signs
        assert text.isascii(), [line for line in text.splitlines() if not line.isascii()]


@pytest.mark.parametrize(
    ("environ", "glyphs"),
    [
        ({"LANG": "C.UTF-8", "TERM": "xterm"}, UNICODE),
        ({"LANG": "ru_RU.utf8", "TERM": "tmux-256color"}, UNICODE),
        ({"LC_ALL": "C", "LANG": "C.UTF-8", "TERM": "xterm"}, PLAIN),
        ({"LANG": "ru_RU.KOI8-R", "TERM": "xterm"}, PLAIN),
        ({"LANG": "no such locale", "TERM": "xterm"}, PLAIN),
        ({"LANG": "C.UTF-8", "TERM": "linux"}, PLAIN),
        ({}, PLAIN),
    ],
)
def test_signs_by_locale_and_terminal(environ: dict[str, str], glyphs: object) -> None:
    """A broken locale or a console of few glyphs gets plain signs; a setting overrules."""
    assert choose("", environ) is glyphs
    assert choose("unicode", environ) is UNICODE and choose("plain", environ) is PLAIN


async def test_right_to_left_text_stands_on_the_right(me: Person, bob: Person) -> None:
    """Order of letters is the terminal's; the side is ours, by the first letter that has one."""
    assert right_to_left("1) שלום") and not right_to_left("ok שלום") and not right_to_left("123")
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        me.hear(chat, "שלום לכולם")
        await pilot.pause()
        app.chat.open(chat)
        await pilot.pause()
        line = next(line for line in app.shown().splitlines() if "שלום" in line)
        assert cell_len(line) >= 76 and line.index("Bob") < line.index("שלום")


async def test_wide_and_joined_letters_keep_the_columns(me: Person) -> None:
    """A family, a flag, Chinese and a tower of marks: no line is longer than the screen."""
    async with me.at((60, 24)) as (app, pilot):
        room = await me.do(JoinRoom("yard", public_room_key("yard"), False))
        chat = b"r" + room.rid
        for number, text in enumerate(
            ("👩‍👩‍👧‍👦" * 40, "🇰🇿" * 40, "家" * 90, "e" + "\u0301" * 200)
        ):
            me.hear(chat, text, number, author_name="á̈̂̃" * 12)
        await pilot.pause()
        app.chat.open(chat)
        await pilot.pause()
        assert all(cell_len(line) <= 60 for line in app.shown().splitlines())
