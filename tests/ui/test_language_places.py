"""Groups, the live check and revocations in each language, wide and narrow: nothing is cut."""

import re
from collections.abc import Iterator, Sequence

import pytest
from rich.cells import cell_len
from screens import until
from test_group_screens import Table, chat, group_of, say, shown, told
from textual.pilot import Pilot

from meshchat.core.events import AddMember, AnswerCheck
from meshchat.i18n import LOCALES, _, choose, ngettext
from meshchat.ui.check import CheckScreen
from meshchat.ui.dialogs import Ask, Prompt, TextScreen
from meshchat.ui.people_deeds import REVOKE_WORD
from meshchat.ui.signs import check_title, ended_words
from meshchat.ui.simulated import SimulatedApp

LANGUAGES = sorted(path.name for path in LOCALES.iterdir() if path.is_dir())
SIZES = ((80, 24), (40, 24))


@pytest.fixture(params=LANGUAGES, autouse=True)
def spoken(request: pytest.FixtureRequest) -> Iterator[None]:
    choose(request.param)
    yield
    choose("en")


def flat(text: str) -> str:
    """Words with one blank between them, whatever lines and frames they stand in."""
    return " ".join(re.sub("[─-▟|]", " ", text).split())


class Desk:
    """Ann's screen, looked at in both sizes."""

    def __init__(self, app: SimulatedApp, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    async def shows(self, *texts: str, sizes: Sequence[tuple[int, int]] = SIZES) -> None:
        """All of it is there at each size."""
        app, wanted = self.app, [flat(text) for text in texts]
        for size in sorted(sizes, key=lambda size: size != app.size):  # fewer resizes
            if size != app.size:
                await self.pilot.resize_terminal(*size)

            def fits(width: int = size[0]) -> bool:
                text = shown(app)
                wide = max(map(cell_len, text.splitlines()))
                return wide <= width and all(each in flat(text) for each in wanted)

            try:
                await until(fits, self.pilot)
            except AssertionError:
                pytest.fail(f"at {size} not all of {wanted} is in\n{shown(app)}")

    async def hears(self, *texts: str) -> None:
        """Lines in the chat and its header: where they have room, they have it on a wide one."""
        await self.shows(*texts, sizes=SIZES[-1:])

    async def says(self, command: str, *texts: str) -> None:
        """After a command of our user."""
        await say(self.app, self.pilot, command)
        await self.hears(*texts)

    async def asks(self, command: str, question: str, key: str = "y") -> None:
        await say(self.app, self.pilot, command)
        await until(lambda: isinstance(self.app.screen, Ask), self.pilot)
        await self.shows(question, _("y yes   n no"))
        await self.pilot.press(key)

    async def reads(self, *texts: str) -> None:
        """A screen to read; what does not fit into a small one is a few pages below."""
        await until(lambda: isinstance(self.app.screen, TextScreen), self.pilot)
        hint = _("PgDn more   Esc back")
        await self.shows(texts[0], hint)
        if self.app.size != SIZES[-1]:
            await self.pilot.resize_terminal(*SIZES[-1])
        pages = flat(shown(self.app))
        for _page in range(3):
            await self.pilot.press("pagedown")
            await self.pilot.pause(0.05)
            pages += flat(shown(self.app))
            assert flat(hint) in flat(shown(self.app))
        for text in texts:
            for part in flat(text).split(". "):
                assert part in pages, text
        await self.pilot.press("escape")
        await until(lambda: not isinstance(self.app.screen, TextScreen), self.pilot)


def members(count: int) -> str:
    one, many = "group · {count} member", "group · {count} members"
    return ngettext(one, many, count).format(count=count)


async def test_groups() -> None:
    """Made, invited, its message, its members, an admin, a seized device, removed, left."""
    table = Table()
    world, ann, ben, cat = table.world, table.ann, table.ben, table.cat
    async with table.at(ann) as (app, pilot):
        desk = Desk(app, pilot)
        await desk.says(
            "/group подъезд",
            _("only you · /invite NAME"),
            _("You are alone in it: /invite NAME adds a contact."),
        )
        added = _("{name} is added, and reads what is written from now on.")
        await desk.says("/invite Ben", members(2), added.format(name="Ben"))
        ann.do(AddMember(group_of(ann)[1:], cat.fp))
        told(world, lambda: len(cat.store.groups()) == len(ben.store.groups()) == 1)
        await desk.hears(members(3))
        await say(app, pilot, "сахар")
        await until(lambda: bool(ann.store.messages(group_of(ann))), pilot)
        await pilot.press("f5")
        await desk.reads(
            _("Journey of the message"),
            _("at most carried: nobody can prove that all have it"),
        )
        await say(app, pilot, "/members")
        await desk.reads(
            "подъезд",
            _("A message here is at most carried: nobody can prove that all have it."),
            _("Who is removed reads nothing of what is written afterwards."),
        )
        let = _("Let {name} add and remove others? This cannot be taken back.")
        await desk.asks("/admin Ben", let.format(name="Ben"))
        await desk.hears(_("{name} is an admin.").format(name="Ben"))
        await desk.asks("/remove Cat", _("Remove {name} from this group?").format(name="Cat"))
        gone = _("{name} is removed, and reads nothing of what is written from now on.")
        await desk.hears(gone.format(name="Cat"), members(2))
        taken = _("Is the device of {name} in wrong hands? Out of all groups, without a word.")
        await desk.asks("/seized Ben", taken.format(name="Ben"))
        done = ngettext("Done in {count} group.", "Done in {count} groups.", 1).format(count=1)
        await desk.hears(done)
        await desk.says("/invite Zoe", _("You know nobody of that name."))
        await desk.says("/remove Zoe", _("Nobody here has that name: /members shows all."))
        await desk.asks("/leave", _("Leave {name}?").format(name="&подъезд"), key="n")


async def test_the_live_check() -> None:
    """Asked for, shown with seven words, and both ends of it."""
    table = Table()
    world, ann, ben = table.world, table.ann, table.ben
    async with table.at(ann) as (app, pilot):
        desk = Desk(app, pilot)
        chat(app).open(b"c" + ben.fp)
        for same in (True, False):
            await say(app, pilot, "/check")
            await until(lambda: isinstance(app.screen, CheckScreen), pilot)
            asking = _("Asking the device of {name}…").format(name="Ben")
            if not ann.node.signs_shown(ben.fp):
                await desk.hears(check_title("Ben"), asking, _("Esc not now"))
            told(world, lambda: bool(ann.node.signs_shown(ben.fp) and ben.node.signs_shown(ann.fp)))
            keys = _("s the same   d different   Esc not now")
            await desk.shows(
                check_title("Ben"),
                *(f"{number}." for number in range(1, 8)),
                _(
                    "Read them to each other, side by side or by a voice you know. "
                    "Are all seven the same on both screens, in this order?"
                ),
                keys,
            )
            ben.do(AnswerCheck(ann.fp, True))
            await pilot.press("s" if same else "d")
            await pilot.pause(0.05)
            world.run(5.0)
            if same:
                await desk.hears(ended_words("same", "Ben"))
            else:
                await desk.reads(_("DIFFERENT"), ended_words("different", "Ben"))


async def test_revocations() -> None:
    """What it is, giving one, ending a key; the word to type is in the question."""
    table = Table()
    async with table.at(table.ann) as (app, pilot):
        desk = Desk(app, pilot)
        chat(app).open(b"c" + table.ben.fp)
        await say(app, pilot, "/revocation")
        await desk.reads(
            _("Revocation"),
            _("A revocation is a signed word that ends a key for good, for all contacts."),
            _("/revocation give  here: this friend keeps yours, and can release it alone."),
            _("/revocation release  here: this contact lost the device or was taken."),
            _("/revocation own  ends your own key, if somebody else may have it."),
            _("You keep those of: {names}").format(names=_("nobody")),
        )
        give = _("Give {name} your revocation? They can end your key with it, alone, for good.")
        await desk.asks("/revocation give", give.format(name="Ben"))
        await desk.hears(_("On its way. Two or three friends should keep it."))
        none = _("{name} has given you no revocation to keep.")
        await desk.says("/revocation release", none.format(name="Ben"))
        await say(app, pilot, "/revocation own")
        await until(lambda: isinstance(app.screen, Prompt), pilot)
        ends = _('This ends the key of {name} for all contacts, for good. Type "{word}" to do it.')
        keys = _("Enter go on   Esc back")
        await desk.shows(
            _("Release the revocation"),
            ends.format(name=_("yourself"), word=REVOKE_WORD),
            keys,
        )
        await pilot.press("escape")
        await desk.hears(_("Nothing was changed."))
