"""The screens in each language, wide and narrow: nothing that matters is cut."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from screens import Person, until
from textual.pilot import Pilot

from meshchat.config import RuntimeOptions
from meshchat.core.events import JoinRoom, Send, Verify
from meshchat.core.identity import public_room_key
from meshchat.i18n import LOCALES, _, choose
from meshchat.profile import Profile
from meshchat.ui.app import MeshApp
from meshchat.ui.composer import Composer
from meshchat.ui.setup import SetupScreen

LANGUAGES = sorted(path.name for path in LOCALES.iterdir() if path.is_dir())
SIZES = [(80, 24), (40, 24)]
Compare = Callable[..., bool]


@pytest.fixture
def spoken(request: pytest.FixtureRequest) -> Iterator[str]:
    """The language of a test."""
    choose(request.param)
    yield request.param
    choose("en")


async def talk(me: Person, bob: Person, pilot: Pilot[None]) -> bytes:
    """A verified friend who wrote, a room, and an answer that waits."""
    chat = await me.knows(bob)
    await me.do(Verify(chat[1:]))
    await me.do(JoinRoom("courtyard", public_room_key("courtyard"), False))
    me.hear(chat, "сәлем, бәріне!", 1)
    await me.do(Send(chat, "он минуттан кейін"))
    await pilot.pause()
    me.app.chat.open(chat)
    await until(lambda: "кейін" in me.app.shown(), pilot)
    await pilot.pause()
    return chat


@pytest.mark.parametrize("spoken", LANGUAGES, indirect=True)
async def test_bars_and_footers_fit(spoken: str, me: Person, bob: Person) -> None:
    """The first key of each place is whole at the bottom, what waits too; no line is too long."""
    places = {
        ("up",): (_("Esc write"),),
        ("ctrl+f",): (_("Esc write"),),
        ("f1",): tuple(_("PgDn more   Esc back").split("   ")),
        ("f2",): (_("Esc back"), _("v not verified")),
        ("f3",): tuple(_("F3 mesh  F4 radios  PgDn  Esc back").split("  ")),
        ("f4",): tuple(_("F3 mesh  F4 radios  PgDn  Esc back").split("  ")),
        ("f5",): tuple(_("PgDn more   Esc back").split("   ")),
        ("ctrl+k",): tuple(_("Enter go   Esc back").split("   ")),
        ("escape",): (_("F1 help"),),
    }
    async with me.at(SIZES[0]) as (app, pilot):
        chat = await talk(me, bob, pilot)

        def fits(width: int, *wanted: str) -> bool:
            lines = app.shown().rstrip().splitlines()
            bottom = " ".join(" ".join(lines[-3:]).replace("│", " ").split())
            has = all(" ".join(words.split()) in bottom for words in wanted)
            return has and all(cell_len(line) <= width for line in lines)

        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
            last = _("Esc chats") if width == 40 else _("F1 help")
            bar = (last, _("queue {count}").format(count=1), _("no network"))
            await until(lambda: fits(width, *bar), pilot)  # noqa: B023  # awaited at once
            assert app.shown().rstrip().endswith(last)
            assert _("not verified") not in app.shown()
            for keys, wanted in places.items():
                app.chat.open(chat)
                await pilot.press(*keys)
                await until(lambda: fits(width, *wanted), pilot)  # noqa: B023
                await pilot.press("escape")
                await pilot.pause()


@pytest.mark.parametrize("spoken", LANGUAGES, indirect=True)
@pytest.mark.parametrize("size", SIZES, ids=["80x24", "40x24"])
async def test_the_first_run_fits(spoken: str, size: tuple[int, int], tmp_path: Path) -> None:
    """The keys of the three first screens are whole, and what is lacking is said."""
    app = MeshApp(Profile(str(tmp_path)), RuntimeOptions(lan=False, ble=False), None)
    async with app.run_test(size=size) as pilot:
        await until(lambda: isinstance(app.screen, SetupScreen), pilot)

        def shown() -> str:
            strips = app.screen._compositor.render_strips()
            text = " ".join("".join(part.text for part in line) for line in strips)
            return " ".join(text.replace("│", " ").split())

        def has(text: str) -> bool:
            return " ".join(text.split()) in shown()

        hint = _("\nEnter go on   Ctrl+R restore from 24 words   Ctrl+Q quit")
        await until(lambda: has(hint), pilot)
        await pilot.press("enter")
        await until(
            lambda: has(_("Type a name; it can be anything and can be changed later.")), pilot
        )
        await pilot.press(*"Aida", "enter")
        await until(lambda: has(_("\nEnter go on   Ctrl+G suggest words   Esc back")), pilot)
        await pilot.press(*"abc", "enter", *"abd", "enter")
        await until(lambda: has(_("The two are not the same; type the second again.")), pilot)


@pytest.mark.parametrize("spoken", LANGUAGES, indirect=True)
async def test_a_local_word_is_a_command(spoken: str, me: Person) -> None:
    """The most used commands have names of the language; an error is said in it."""
    word = {"ru": "помощь", "kk": "көмек"}.get(spoken, "help")
    async with me.at() as (app, pilot):
        await pilot.press(*f"/{word}", "enter")
        await until(lambda: _("While writing") in app.shown(), pilot)
        await pilot.press("escape")
        app.chat.query_one(Composer).put("/name " + "ж" * 25)
        await pilot.press("enter")
        await until(lambda: "48" in app.shown() and "give a shorter" not in app.shown(), pilot)


@pytest.mark.parametrize(
    ("spoken", "size"),
    [("ru", (80, 24)), ("kk", (80, 24)), ("kk", (40, 24))],
    ids=["ru-80x24", "kk-80x24", "kk-40x24"],
    indirect=["spoken"],
)
def test_chat(
    snap_compare: Compare, spoken: str, me: Person, bob: Person, size: tuple[int, int]
) -> None:
    """A chat with a verified friend."""

    async def prepare(pilot: Pilot[None]) -> None:
        await talk(me, bob, pilot)

    run: Callable[[Pilot[None]], Awaitable[None]] = prepare
    assert snap_compare(me.app, terminal_size=size, run_before=run)
