"""The first run: a name, a passphrase, and then the card to hand to a friend.

Also brings an identity back from its 24 words.
"""

import secrets
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message as UiMessage
from textual.screen import Screen

from meshchat import i18n
from meshchat.errors import UsageError
from meshchat.i18n import _, said
from meshchat.text import Clean
from meshchat.ui.parts import Field, Line

SUGGESTED_WORDS = 6  # 66 bits: with our hash out of reach for whoever has the disk
SHORT_PASSPHRASE_CHARS = 16  # about four words; below this a seized disk is opened by guessing


def suggested() -> str:
    """A passphrase of words by chance, in letters that our user types."""
    from mnemonic import Mnemonic  # its lists: 2,048 words each, none like another

    words = Mnemonic("russian" if i18n.language() in ("kk", "ru") else "english").wordlist
    return Clean.line(" ".join(secrets.choice(words) for _word in range(SUGGESTED_WORDS)), 200)


class Step(Vertical):
    """What is asked at once: ``name``, ``words`` or ``passphrase``."""

    def __init__(self, name: str) -> None:
        super().__init__(classes="box", id=f"step-{name}")
        self._step = name

    def compose(self) -> ComposeResult:
        if self._step == "name":
            welcome = _("Welcome to meshchat")
            yield Line((Clean(welcome), "bold"), Clean(_("   1 of 4")), classes="title")
            yield Line(
                Clean(
                    _(
                        "Messages go from device to device: no account, no number, no server.\n\n"
                        "What should others call you?"
                    )
                )
            )
            yield Field(id="name", placeholder=_("name"), max_length=48, compact=True)
            yield Line(Clean(_("\nEnter go on   Ctrl+R restore from 24 words   Ctrl+Q quit")))
        elif self._step == "words":
            restore = _("Restore: type or paste the 24 words of your backup.")
            yield Line((Clean(restore), "bold"), classes="title")
            yield Field(id="words", placeholder=_("word word word…"), compact=True)
            yield Line(Clean(_("\nEnter go on   Esc back")))
        else:
            passphrase = _("A passphrase")
            yield Line((Clean(passphrase), "bold"), Clean(_("   2 of 4")), classes="title")
            yield Line(
                Clean(
                    _(
                        "It locks what is stored on this device. Five or more words that do not "
                        "belong together are good. Nobody can recover it."
                    )
                )
            )
            yield Field(id="passphrase", placeholder=_("passphrase"), password=True, compact=True)
            yield Field(id="again", placeholder=_("the same again"), password=True, compact=True)
            yield Line(Clean(_("\nEnter go on   Ctrl+G suggest words   Esc back")))


class SetupScreen(Screen[None]):
    """Asks for what a profile needs; the app makes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r,ctrl+к", "restore", "Restore from words", show=False, priority=True),
        Binding("ctrl+g,ctrl+п", "suggest", "Suggest a passphrase", show=False, priority=True),
        Binding("escape", "back", "Back", show=False),
    ]

    class Ready(UiMessage):
        """Everything is known."""

        def __init__(self, name: str, passphrase: str, seed: bytes | None) -> None:
            super().__init__()
            self.name = name
            self.passphrase = passphrase
            self.seed = seed

    def __init__(self) -> None:
        super().__init__()
        self._nick = ""
        self._seed: bytes | None = None
        self._warned = ""
        self._making = False

    def compose(self) -> ComposeResult:
        yield Step("name")
        yield Line(classes="answer")

    def on_mount(self) -> None:
        self.query_one("#name").focus()

    async def _step(self, name: str) -> None:
        """Show another step, made when it is first come to: the first frame needs one only."""
        if not self.query(f"#step-{name}"):
            await self.mount(Step(name), before=".answer")
        for step in self.query(Step):
            step.display = step.id == f"step-{name}"
        self.say("")
        self.query_one(f"#{name}").focus()

    def say(self, text: str) -> None:
        """Tell our user one sentence."""
        self.query_one(".answer", Line).show(Clean(text))

    def refuse(self, why: str) -> None:
        """The profile could not be made."""
        self._make(False)
        self.query_one("#passphrase").focus()
        self._warned = ""
        self.say(why)

    def _make(self, making: bool) -> None:
        """While the profile is being made nothing can be typed, sent again or left."""
        self._making = making
        for field in self.query(Field):
            field.disabled = making

    async def action_restore(self) -> None:
        if not self._making:
            await self._step("words")

    async def action_back(self) -> None:
        if not self._making:
            await self._step("name")

    def action_suggest(self) -> None:
        """Words by chance, to be typed by whoever wants them: typing is half of remembering."""
        if not self._making and self.query("#passphrase"):
            text = _("Six words by chance: {words}. Keep them in your head. Ctrl+G: others.")
            self.say(text.format(words=suggested()))

    @on(Field.Submitted, "#name")
    async def _named(self, event: Field.Submitted) -> None:
        name = Clean.line(event.value)
        if not name:
            self.say(_("Type a name; it can be anything and can be changed later."))
            return
        from meshchat.core.contacts import check_name  # not before the first frame

        try:
            self._nick = check_name(name, _("Your name"))
        except UsageError as error:
            self.say(said(error))
            return
        await self._step("passphrase")

    @on(Field.Submitted, "#words")
    async def _worded(self, event: Field.Submitted) -> None:
        from meshchat.core.identity import words_to_seed  # loads the word lists

        try:
            self._seed = words_to_seed(event.value)
        except UsageError as error:
            self.say(said(error))
            return
        event.input.clear()
        await self._step("name")
        self.say(_("The words are right. Now the rest."))

    @on(Field.Submitted, "#passphrase")
    def _to_again(self) -> None:
        self.query_one("#again").focus()

    @on(Field.Submitted, "#again")
    def _passphrase(self, event: Field.Submitted) -> None:
        if self._making:  # a second Enter that was under way already
            return
        passphrase = self.query_one("#passphrase", Field).value
        if passphrase != event.value:
            event.input.clear()
            self.say(_("The two are not the same; type the second again."))
            return
        if not passphrase:
            self.say(_("Type a passphrase; five or more random words are good."))
            return
        if len(passphrase) < SHORT_PASSPHRASE_CHARS and self._warned != passphrase:
            self._warned = passphrase
            self.say(_("This is short: whoever gets the device can guess it. Enter again: use it."))
            return
        self._make(True)
        self.say(_("One moment…"))
        self.post_message(self.Ready(self._nick, passphrase, self._seed))
