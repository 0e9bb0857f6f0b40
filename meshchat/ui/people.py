"""Cards and people: showing our own card, adding, checking and managing contacts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import ScrollableContainer, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from meshchat.core import events as core
from meshchat.core.identity import card_text, name_skeleton, safety_numbers
from meshchat.core.model import Contact, Trust
from meshchat.errors import MeshchatError, TrustError, UsageError
from meshchat.i18n import _, said
from meshchat.text import Clean
from meshchat.ui.dialogs import Ask, Closing, Prompt
from meshchat.ui.filepicker import FileScreen, start_folder
from meshchat.ui.files import read_card, save_new
from meshchat.ui.glyphs import Glyphs
from meshchat.ui.header import state_parts
from meshchat.ui.parts import Field, Line

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from meshchat.ui.backend import Backend

QR_STYLE = "#000000 on #ffffff"  # forced: cameras read dark on light only
QR_QUIET = 2  # modules of empty border; four are in the standard, two are enough for phones


def qr_content(text: str) -> Content:
    """A QR code in half blocks, dark on light whatever the theme. Upper case keeps it small."""
    import segno  # 40 ms, needed on this screen only

    rows = [list(row) for row in segno.make(text.upper(), error="l", micro=False).matrix]
    empty = [0] * (len(rows[0]) + 2 * QR_QUIET)
    side = [0] * QR_QUIET
    grid = [empty] * QR_QUIET + [side + row + side for row in rows] + [empty] * QR_QUIET
    if len(grid) % 2:
        grid.append(empty)
    blocks = " ▄▀█"
    lines = [
        "".join(blocks[2 * bool(top) + bool(low)] for top, low in zip(*pair, strict=True))
        for pair in zip(grid[::2], grid[1::2], strict=True)
    ]
    return Content.assemble(("\n".join(lines), QR_STYLE))


def number_rows(words: Sequence[str]) -> str:
    """Safety words as numbers, six a row, for people who share no language."""
    numbers = [f"{number:04}" for number in safety_numbers(words)]
    rows = [numbers[at : at + 6] for at in range(0, len(numbers), 6)]
    return "\n".join(f"   {' '.join(row)}" for row in rows)


class PeopleScreen(Closing[Contact | None]):
    """What these screens share: a line for answers, and commands that may be refused."""

    def say(self, text: str) -> None:
        """Tell our user one sentence."""
        self.query_one(".answer", Line).show(Clean(text))

    def work(self, coroutine: Coroutine[object, object, None]) -> None:
        """Run something that may be refused with a sentence."""

        async def guarded() -> None:
            try:
                await coroutine
            except MeshchatError as error:
                if self.is_current:
                    self.say(said(error))

        self.run_worker(guarded())


class CardScreen(PeopleScreen):
    """A card to hand over: text to copy, a file to save, a code to scan."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back", show=False),
        Binding("y,н", "copy", "Copy", show=False),
        Binding("s,ы", "save", "Save", show=False),
    ]

    def __init__(self, card: str, title: str = "", first: bool = False) -> None:
        super().__init__()
        self._card = Clean(card)
        self._title = Clean.line(title or _("Your card"), 80)
        self._first = first

    def compose(self) -> ComposeResult:
        yield Line((self._title, "bold"), classes="title")
        with ScrollableContainer(classes="body"):
            if self._first:
                text = _(
                    "This is all a friend needs to write to you. It is no secret: nobody can read "
                    "your messages with it. Hand it over in person, by file or by any messenger, "
                    "and ask for theirs. Then: Esc, and /add.\n"
                )
                yield Line(Clean(text))
            yield Line(self._card, classes="card")
            code = qr_content(self._card)
            scan = _("To scan it, make the window {count} lines high.")
            yield Line(Clean(scan.format(count=code.plain.count("\n") + 5)))
            yield Static(code, classes="qr", markup=False)
        yield Line(classes="answer")
        yield Line(Clean(_("y copy   s save to a file   PgDn code   Esc back")), classes="hint")

    def ready(self) -> None:
        self.query_one(ScrollableContainer).focus()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._card)
        self.say(_("Copied, if this terminal allows it; else select the text or save it."))

    def action_save(self) -> None:
        self.work(self._save())

    async def _save(self) -> None:
        name = await self.app.push_screen_wait(Prompt(_("Save the card as"), value="card.meshchat"))
        if not name:
            return
        path = await asyncio.to_thread(save_new, name, f"{self._card}\n".encode())
        self.say(_("Saved as {path}").format(path=path))


class AddScreen(PeopleScreen):
    """Add a contact by a pasted card or a file that holds one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back", show=False),
        Binding("ctrl+r,ctrl+к", "replace", "Replace", show=False),
        Binding("ctrl+o,ctrl+щ", "choose", "Choose a file", show=False),
    ]

    def __init__(self, runtime: Backend, card: str = "") -> None:
        super().__init__()
        self._runtime = runtime
        self._start = Clean.line(card, 2_000)
        self._namesake: Contact | None = None

    def compose(self) -> ComposeResult:
        yield Line((Clean(_("Add a contact")), "bold"), classes="title")
        with VerticalScroll(classes="body"):
            yield Line(Clean(_("Their card: paste the text, or the name of a file that holds it.")))
            yield Field(self._start, id="card", placeholder="meshchat:…", compact=True)
            yield Line(Clean(_("\nYour name for them; empty: the name the card suggests.")))
            yield Field(id="petname", placeholder=_("name"), compact=True, max_length=48)
        yield Line(classes="answer")
        yield Line(
            Clean(_("Enter add   Tab next field   Ctrl+O choose a file   Esc back")), classes="hint"
        )

    def ready(self) -> None:
        self.query_one("#petname" if self._start else "#card").focus()

    def on_input_submitted(self) -> None:
        self.work(self._add())

    def action_replace(self) -> None:
        if self._namesake is not None:
            self.work(self._add(self._namesake.fp))

    def action_choose(self) -> None:
        """The file with the card from a list, for whom paths are a riddle."""
        self.work(self._choose())

    async def _choose(self) -> None:
        screen = FileScreen(_("The file with their card"), start_folder())
        if (path := await self.app.push_screen_wait(screen)) is not None:
            self.query_one("#card", Field).value = str(path)
            self.query_one("#petname").focus()

    async def _add(self, replaces: bytes = b"") -> None:
        typed = self.query_one("#card", Field).value
        petname = self.query_one("#petname", Field).value.strip()
        if not typed.strip():
            self.query_one("#card").focus()
            self.say(_("Paste the card first; your friend sees it with /card."))
            return
        card = await asyncio.to_thread(read_card, typed)
        try:
            contact = await self._runtime.command(core.AddContact(card, petname, replaces))
        except TrustError as error:
            if self.is_current:
                self._taken(petname, error)
            return
        assert isinstance(contact, Contact)
        self.dismiss(contact)

    def _taken(self, petname: str, error: TrustError) -> None:
        """The name is in use: another name, or a new key for the same person."""
        wanted = name_skeleton(petname)
        known = self._runtime.store.contacts()
        if not petname:  # the card's own suggestion; the error names the contact
            known = [c for c in known if f" {c.petname} " in f" {error} "]
        else:
            known = [c for c in known if name_skeleton(c.petname) == wanted]
        self._namesake = known[0] if known else None
        if self._namesake is None:
            self.say(said(error))
            return
        name = self._namesake.petname
        self.query_one("#petname").focus()
        text = _(
            "You know {name} under another key. Type another name and press Enter; or, if {name} "
            "told you of a new key in person, press Ctrl+R: the old key is then frozen."
        )
        self.say(text.format(name=name))


class ContactScreen(PeopleScreen):
    """One person: how far their key has been checked, and what can be done about it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f2", "dismiss(None)", "Back", show=False),
        Binding("v,м", "verify", "Verified", show=False),
        Binding("r,к", "rename", "Rename", show=False),
        Binding("b,и", "block", "Block", show=False),
        Binding("a,ф", "accept", "Accept", show=False),
        Binding("c,с", "card", "Card", show=False),
    ]

    def __init__(self, runtime: Backend, fp: bytes, glyphs: Glyphs) -> None:
        super().__init__()
        self._runtime = runtime
        self._fp = fp
        self._glyphs = glyphs

    def compose(self) -> ComposeResult:
        yield Line(classes="title")
        with VerticalScroll(classes="body"):
            yield Line(id="who")
            yield Line(classes="words")
            yield Line(id="numbers")
            yield Line(id="advice")
            yield Line(classes="card")
            yield Static(id="code", classes="qr", markup=False)
        yield Line(classes="answer")
        yield Line(classes="hint")

    def ready(self) -> None:
        self._show()
        self.query_one(VerticalScroll).focus()

    def _contact(self) -> Contact:
        contact = self._runtime.store.contact(self._fp)
        if contact is None:
            raise UsageError("unknown_contact", _("This contact is gone."))
        return contact

    def _show(self) -> None:
        contact = self._contact()
        self.query_one(".title", Line).show(
            (contact.petname, "bold"), *state_parts(contact, self._glyphs)
        )
        key = self._fp.hex(" ", 4)
        said = contact.claimed or Clean(_("nothing"))
        self.query_one("#who", Line).show(
            Clean(_("calls itself “{name}”").format(name=said)),
            Clean(f"\n{_('key')}  {key[:35]}\n{' ' * len(_('key'))}  {key[36:]}\n"),
        )
        safety = self._runtime.node.safety_words(self._fp)
        words = [f"{number:>2} {word:<9}" for number, word in enumerate(safety, 1)]
        rows = ["".join(words[at : at + 3]).rstrip() for at in range(0, len(words), 3)]
        self.query_one(".words", Line).show((Clean("\n".join(rows)), "bold"))
        self.query_one("#numbers", Line).show(
            Clean(_("The same as numbers:")), (Clean(f"\n{number_rows(safety)}"), "bold")
        )
        advice = _("These are the same words on both screens, or somebody stands between you.")
        if contact.trust is not Trust.VERIFIED:
            more = _("Read them to each other in person or by voice; if all agree, press v.")
            advice += f"\n{more}"
        pass_on = _("Card, to pass on:")
        self.query_one("#advice", Line).show(Clean(f"\n{advice}\n\n{pass_on}"))
        card = card_text(contact.card, contact.claimed)
        self.query_one(".card", Line).show(Clean(card))
        self.query_one("#code", Static).update(qr_content(card))
        verb = _("v not verified") if contact.trust is Trust.VERIFIED else _("v verified")
        keys = [
            verb,
            _("r rename"),
            _("b unblock") if contact.blocked else _("b block"),
            _("c card"),
        ]
        if contact.request:
            keys.insert(0, _("a accept"))
        self.query_one(".hint", Line).show(Clean("   ".join([*keys, _("Esc back")])))

    def _change(self, command: core.Command, said: str) -> None:
        async def work() -> None:
            await self._runtime.command(command)
            if self.is_current:  # else it was left, or locked, meanwhile
                self._show()
                self.say(said)

        self.work(work())

    def action_verify(self) -> None:
        """Record that the words agree, or take the mark back."""
        if self._contact().trust is Trust.VERIFIED:
            self._change(core.Verify(self._fp, False), _("The mark is taken back."))
            return

        def answer(yes: bool | None) -> None:
            if yes:
                self._change(core.Verify(self._fp), _("Verified: the words agreed."))

        question = Clean(_("Did all twelve words agree, in person or by voice?"))
        self.app.push_screen(Ask(question), answer)

    def action_rename(self) -> None:
        def answer(name: str | None) -> None:
            if name:
                self._change(core.Rename(self._fp, name), _("Renamed."))

        self.app.push_screen(Prompt(_("Your name for them"), value=self._contact().petname), answer)

    def action_block(self) -> None:
        blocked = not self._contact().blocked
        said = _("Blocked: nothing from them is shown.") if blocked else _("Unblocked.")
        self._change(core.Block(self._fp, blocked), said)

    def action_accept(self) -> None:
        if self._contact().request:
            self._change(core.Accept(self._fp), _("Accepted: you can write to each other now."))

    def action_card(self) -> None:
        contact = self._contact()
        card = card_text(contact.card, contact.claimed)
        self.app.push_screen(CardScreen(card, _("Card of {name}").format(name=contact.petname)))
