"""The history holds any number of messages and never loses the reader's place."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from screens import Person, TestApp, until

from meshchat.text import Clean
from meshchat.ui.history import History
from meshchat.ui.lines import Heights, fit, wrap


@given(st.text(max_size=300), st.integers(2, 60))
def test_wrapping_fits_and_loses_nothing(text: str, width: int) -> None:
    """No line is wider than asked for, and only blanks at breaks go."""
    clean = Clean(text)
    lines = wrap(clean, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(clean.split())


@given(st.text(max_size=40), st.integers(1, 30))
def test_fit_is_exact(text: str, cells: int) -> None:
    """A fitted text takes exactly the cells it was given."""
    assert cell_len(fit(Clean.line(text), cells)) == cells


@settings(max_examples=50)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=700), st.data())
def test_heights_find_what_they_hold(heights: list[int], data: st.DataObject) -> None:
    """Whatever is changed or appended, top() and find() agree with a plain sum."""
    rows = Heights(heights)
    for _ in range(5):
        row = data.draw(st.integers(0, len(heights) - 1))
        height = data.draw(st.integers(1, 9))
        rows.set(row, height)
        heights[row] = height
        rows.append(height)
        heights.append(height)
        assert rows.total == sum(heights)
        assert rows.top(row) == sum(heights[:row])
        line = data.draw(st.integers(0, height - 1))
        assert rows.find(rows.top(row) + line) == (row, line)


def first_word(app: TestApp) -> str:
    """Text of the first line of the history that is a message's first line."""
    lines = app.shown().splitlines()
    return next(line.split("message ")[1] for line in lines if "message " in line)


async def test_only_what_is_seen_is_laid_out(me: Person, bob: Person) -> None:
    """5,000 messages: all of them can be reached, a few hundred are ever wrapped."""
    chat = b"c" + bob.runtime.node.fp
    async with me.at() as (app, pilot):
        await me.knows(bob)
        me.read(chat, me.fill(chat, 5_000)[-1])
        app.chat.reload()
        app.chat.open(chat)
        await pilot.pause()
        assert "message 4999" in app.shown()
        assert len(app.history._loaded.heights) < 500
        app.history._load_whole()
        assert len(app.history._loaded.heights) == 5_000
        app.history.action_first()
        await pilot.pause()
        assert "message 0" in app.shown().split("message 1")[0]
        app.history.scroll_to(y=app.history.virtual_size.height // 2, animate=False)
        await pilot.pause()
        assert 1_500 < int(first_word(app)) < 3_500
        assert len(app.history._wrapped) < 1_000
        assert len(app.history._loaded._pages) < 33
        app.history.action_last()
        await pilot.pause()
        assert "message 4999" in app.shown()


@pytest.mark.parametrize("size", [(120, 40), (40, 24), (70, 15)])
async def test_resizing_keeps_the_place(me: Person, bob: Person, size: tuple[int, int]) -> None:
    """The message at the top stays at the top, however the width changes."""
    chat = b"c" + bob.runtime.node.fp
    async with me.at((80, 24)) as (app, pilot):
        await me.knows(bob)
        texts = me.fill(chat, 1_000, lambda n: f"message {n} " + "and some words " * (n % 7))
        me.read(chat, texts[-1])
        app.chat.reload()
        app.chat.open(chat)
        app.history._load_whole()
        await pilot.pause()
        app.history.scroll_to(y=app.history._loaded.heights.top(500), animate=False)
        await pilot.pause()
        before = first_word(app)
        await pilot.resize_terminal(*size)
        await pilot.pause()
        await pilot.pause()
        assert first_word(app).split()[0] == before.split()[0]
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        await pilot.pause()
        assert first_word(app) == before


async def test_reading_is_not_disturbed_by_arrivals(me: Person, bob: Person) -> None:
    """While somebody reads above, new messages are counted; at the end the view follows them."""
    chat = b"c" + bob.runtime.node.fp
    async with me.at() as (app, pilot):
        await me.knows(bob)
        me.read(chat, me.fill(chat, 300)[-1])
        app.chat.reload()
        app.chat.open(chat)
        app.history._load_whole()
        await pilot.pause()
        await pilot.press("pageup", "pageup")
        await pilot.pause()
        before = first_word(app)
        for number in range(3):
            me.hear(chat, f"new one {number}")
        await pilot.pause()
        await pilot.pause()
        assert first_word(app) == before
        assert "↓ 3 new" in app.shown()
        app.history.action_last()
        await pilot.pause()
        assert "new one 2" in app.shown() and "↓" not in app.shown()
        me.hear(chat, "the very last")
        await pilot.pause()
        await pilot.pause()
        assert "the very last" in app.shown()


async def test_paging_up_and_down_comes_back(me: Person, bob: Person) -> None:
    """Pages up through rows of unknown height and down again end where they began."""
    chat = b"c" + bob.runtime.node.fp
    async with me.at() as (app, pilot):
        await me.knows(bob)
        texts = me.fill(chat, 500, lambda n: f"message {n} " + "long words here " * (n % 11))
        me.read(chat, texts[-1])
        app.chat.reload()
        app.chat.open(chat)
        app.history._load_whole()
        await pilot.pause()
        for _ in range(10):
            await pilot.press("pageup")
        await pilot.pause()
        seen = {first_word(app)}
        for _ in range(20):
            await pilot.press("pagedown")
        await pilot.pause()
        assert "message 499" in app.shown()
        assert seen


async def test_a_chat_opens_at_its_first_new_message(me: Person, bob: Person) -> None:
    """The "new" line stands above what was not read, and days have their own line."""
    chat = b"c" + bob.runtime.node.fp
    async with me.at() as (app, pilot):
        await me.knows(bob)
        me.read(chat, me.fill(chat, 150)[99])
        app.chat.reload()
        app.chat.open(chat)
        await pilot.pause()
        lines = app.shown().splitlines()
        at = next(n for n, line in enumerate(lines) if "─ new ─" in line)
        assert "message 100" in lines[at + 1]
        app.history.action_first()
        await pilot.pause()
        assert "22 November 2026" in app.shown()


async def test_many_unread_open_at_the_first(me: Person, bob: Person) -> None:
    """With more unread than the first page holds, the chat still opens at the first of them."""
    chat = b"c" + bob.runtime.node.fp
    async with me.at() as (app, pilot):
        await me.knows(bob)
        me.read(chat, me.fill(chat, 5_000)[999])
        app.chat.reload()
        app.chat.open(chat)
        await pilot.pause()
        assert first_word(app) == "1000"
        assert len(app.history._loaded.heights) < 500
        for _ in range(9):
            await pilot.press("pageup")
        await until(lambda: len(app.history._loaded.heights) == 5_000, pilot)
        await pilot.pause()
        assert 800 < int(first_word(app)) < 950
        await pilot.press("end")
        app.history.action_last()
        await pilot.pause()
        assert "message 4999" in app.shown()


async def test_peers_cannot_draw_our_lines(me: Person, bob: Person) -> None:
    """A message that imitates a day line or a notice is still indented under its sender."""
    chat = b"c" + bob.runtime.node.fp
    async with me.at() as (app, pilot):
        await me.knows(bob)
        me.hear(chat, "hi\n" + "─" * 70 + "\n▌ Bob ✓ verified")
        app.chat.open(chat)
        await pilot.pause()
        history: History = app.history
        for line in range(2, history._loaded.heights.total):
            assert history.render_line(line).text[0] in " ▌"
            assert history.render_line(line).text[1:10].strip() in ("", "12:00 Bob")


async def test_mouse_selection_gives_the_text(me: Person, bob: Person) -> None:
    """What is under the selection comes out as lines of text."""
    from textual.geometry import Offset
    from textual.selection import Selection

    chat = b"c" + bob.runtime.node.fp
    async with me.at() as (app, pilot):
        await me.knows(bob)
        me.hear(chat, "first line\nsecond line")
        app.chat.open(chat)
        await pilot.pause()
        found = app.history.get_selection(Selection(Offset(0, 2), Offset(40, 3)))
        assert found is not None
        assert "first line" in found[0] and found[0].endswith("second line")
