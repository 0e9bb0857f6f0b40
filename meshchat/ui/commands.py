"""The one table of what a person can tell the client to do.

Slash commands, palette entries, key bindings, completion, help and the commands of the
linear mode are generated from it. A command named ``x`` is carried out by ``Deeds.do_x``.
Nothing here knows Textual.
"""

from typing import Literal

from msgspec import Struct

from meshchat.i18n import N_, _, local_words

SLASH_MAX_CHARS = 4_000  # a pasted card is at most 409; nothing longer is a command
CHAT_KEYS = 9
HELP_WIDE_CELLS = 70  # from here on one line for each command

Where = (
    Literal["any", "chat", "contact", "room", "request", "message"]
    | Literal["group", "named", "joined", "post"]
)
"""``named``: a contact or a group; ``joined``: a room or a group."""
Completes = (
    Literal["", "chat", "person", "command", "path", "emoji", "theme", "mute", "room", "switch"]
    | Literal["member", "revocation", "hide", "show"]
)

# The same key in the Russian layout, for terminals that send it (kitty keyboard protocol).
_CYRILLIC = dict(zip("qwertyuiopasdfghjklzxcvbnm", "йцукенгшщзфывапролдячсмить", strict=True))


class Command(Struct, frozen=True):
    """One thing that can be done."""

    name: str
    """The word after the slash, and the end of the method's name."""
    label: str
    """What it does, in a few words of English; ``title`` is what is shown."""
    keys: str = ""
    """Comma-separated, as Textual names them."""
    takes: str = ""
    """What follows the word, empty if nothing may; in brackets what may be left out."""
    where: Where = "any"
    """What has to be open for it."""
    aliases: tuple[str, ...] = ()
    """Other words for it after the slash."""
    pick: str = ""
    """Its keys while a message is chosen."""
    completes: Completes = ""
    """What Tab offers after the word."""

    @property
    def title(self) -> str:
        """What it does, in our user's language."""
        return _(self.label)

    @property
    def method(self) -> str:
        """Name of the method of ``Deeds``."""
        return f"do_{self.name}"

    @property
    def usage(self) -> str:
        """How it is typed."""
        return f"/{self.name} {_(self.takes) if self.takes else ''}".rstrip()

    @property
    def needs_words(self) -> bool:
        """Whether something must follow the word."""
        return bool(self.takes) and not self.takes.startswith("[")


COMMANDS: tuple[Command, ...] = (
    Command(
        *("help", N_("Keys and commands, for the place you are in"), "f1"),
        takes="[COMMAND]",
        aliases=("h", "?"),
        completes="command",
    ),
    Command("palette", N_("Every command by name"), "ctrl+p"),
    # chats
    Command(
        *("chat", N_("Go to a chat, new ones first"), "ctrl+k"),
        takes="[NAME]",
        aliases=("go", "c"),
        completes="chat",
    ),
    Command("chats", N_("The list of chats"), aliases=("list",)),
    Command("next", N_("Next chat"), "alt+down,ctrl+tab"),
    Command("previous", N_("Previous chat"), "alt+up,ctrl+shift+tab", aliases=("prev",)),
    Command("unread", N_("Next chat with something new"), "alt+a"),
    Command("requests", N_("Strangers who wrote to you")),
    Command("read", N_("The last messages of this chat"), takes="[N]", where="chat"),
    # messages
    Command("find", N_("Find words in this chat"), "ctrl+f", takes="[WORDS]", where="chat"),
    Command("search", N_("Find words in all chats"), takes="WORDS"),
    Command(
        *("info", N_("Where the last (or chosen) message is, and its whole way"), "f5"),
        takes="[N]",
        where="message",
        aliases=("journey",),
        pick="i,enter",
    ),
    Command(
        *("reply", N_("Answer the last (or chosen) message")),
        takes="[TEXT]",
        where="message",
        pick="r",
    ),
    Command(
        *("react", N_("Answer the last (or chosen) message with one emoji; - takes it back")),
        takes="[EMOJI]",
        where="message",
        aliases=("+",),
        pick="plus",
        completes="emoji",
    ),
    Command(
        *("edit", N_("Change the last (or chosen) message of yours")),
        takes="[TEXT]",
        where="message",
        pick="e",
    ),
    Command("copy", N_("Copy the last (or chosen) message"), where="message", pick="y"),
    Command(
        *("delete", N_("Delete the last (or chosen) message here, for you only")),
        where="message",
        pick="d",
    ),
    Command(
        *("retract", N_("Delete your message and ask the others to do the same")),
        where="message",
        pick="D",
    ),
    Command(
        *("file", N_("Send a file, 2 MiB at most"), "ctrl+o"),
        takes="[PATH]",
        where="contact",
        completes="path",
    ),
    Command(
        *("save", N_("Save the file of the last (or chosen) message")),
        takes="[FOLDER]",
        where="message",
        pick="s",
        completes="path",
    ),
    Command(
        *("emoji", N_("An emoji, by some letters of its name, into what you write")),
        takes="[NAME]",
        where="chat",
        completes="emoji",
    ),
    # this chat
    Command(
        *("mute", N_("What this chat may ring for: all, mentions or none")),
        takes="[WHAT]",
        where="chat",
        completes="mute",
    ),
    Command("pin", N_("Keep this chat on top, or not any more"), where="chat"),
    Command("archive", N_("Put this chat at the end of the list, or back"), where="chat"),
    Command(
        *("disappear", N_("Let new messages of both sides disappear after being read")),
        takes="[TIME or off]",
        where="contact",
    ),
    Command(
        *("retain", N_("Destroy messages here after so many days")),
        takes="[DAYS or off]",
        where="chat",
    ),
    # people
    Command("card", N_("Your own card, as text and as a QR code")),
    Command("add", N_("Add a contact by card"), takes="[CARD or FILE]", completes="path"),
    Command(
        "contact", N_("About this contact: words to compare, card, block"), "f2", "", "contact"
    ),
    Command("verify", N_("Compare safety words with this contact"), where="contact"),
    Command("check", N_("Compare seven signs with this contact, who is near now"), where="contact"),
    Command("rename", N_("Give this contact or group another name"), takes="NAME", where="named"),
    Command(
        *("introduce", N_("Send this contact the card of another, and the other way round")),
        takes="NAME",
        where="contact",
        completes="person",
    ),
    Command("accept", N_("Let this stranger write to you"), takes="[NAME]", where="request"),
    Command("block", N_("Hear nothing more from this contact"), where="contact"),
    Command("unblock", N_("Hear a blocked contact again"), takes="NAME", completes="person"),
    Command(
        *("silent", N_("Be told when nothing was heard of this contact for so many days")),
        takes="[DAYS or off]",
        where="contact",
    ),
    Command(
        *("revocation", N_("Let friends end your key if you are taken; give, release or own")),
        takes="[WHAT]",
        completes="revocation",
    ),
    Command(
        *("seized", N_("Whose device was taken: out of all your groups; - before it: a mistake")),
        takes="NAME",
        completes="person",
    ),
    # groups
    Command("group", N_("Make a private group"), takes="NAME"),
    Command("members", N_("Who is in this group"), where="group", aliases=("who",)),
    Command(
        *("invite", N_("Add a contact to this group")),
        takes="NAME",
        where="group",
        completes="person",
    ),
    Command(
        *("remove", N_("Remove a member from this group")),
        takes="NAME",
        where="group",
        aliases=("kick",),
        completes="member",
    ),
    Command(
        *("admin", N_("Let a member of this group add and remove others")),
        takes="NAME",
        where="group",
        completes="member",
    ),
    # rooms
    Command(
        *("join", N_("Join a public room: anyone may read it")), takes="#ROOM", completes="room"
    ),
    Command("private", N_("Join a room that has a passphrase"), takes="#ROOM", completes="room"),
    Command("leave", N_("Leave this room or group"), where="joined", aliases=("part",)),
    Command(
        *("hide", N_("Hide the last (or chosen) post: post, author or block, and everyone")),
        takes="[WHAT]",
        where="post",
        pick="h",
        completes="hide",
    ),
    Command(
        *("show", N_("Show a hidden post, or all of its author, again")),
        takes="[WHAT]",
        where="post",
        pick="v",
        completes="show",
    ),
    Command(
        *("moderator", N_("What this post's author hides is hidden here too, or not any more")),
        where="post",
    ),
    # the mesh
    Command("mesh", N_("Neighbours, what you carry and for whom"), "f3"),
    Command(*("radios", N_("What is on, what is off and why"), "f4"), aliases=("status", "radio")),
    # this client
    Command("name", N_("What you call yourself"), takes="[NEW]", aliases=("nick",)),
    Command(
        *("receipts", N_("Whether others learn that you have read their messages")),
        takes="[on or off]",
        completes="switch",
    ),
    Command(
        *("typing", N_("Whether neighbours you know see that you are writing")),
        takes="[on or off]",
        completes="switch",
    ),
    Command("theme", N_("Other colours"), takes="[THEME]", completes="theme"),
    Command("keys", N_("Every key, and how to choose others")),
    Command("lock", N_("Hide everything behind the passphrase"), "ctrl+l"),
    Command("wipe", N_("Destroy this profile: keys first, then all data")),
    Command("quit", N_("End meshchat"), "ctrl+q", aliases=("exit", "q")),
)
BY_NAME = {command.name: command for command in COMMANDS}
OPENING = frozenset(
    ("chat", "next", "previous", "unread", "requests", "search", "add", "group", "join", "private")
)
"""Those that go to another chat: what is written after them is for that one, and no other."""
_BY_WORD = {**{word: c for c in COMMANDS for word in c.aliases}, **BY_NAME}

# Keys that belong to one pane; here for the help screen only, the panes bind them.
PANE_KEYS = (
    ("Enter", N_("send")),
    ("Ctrl+J", N_("new line")),
    ("Tab", N_("complete a name, command, #room, :emoji: or path")),
    ("Ctrl+Up Ctrl+Down", N_("what you sent before")),
    (N_("Up (nothing typed)"), N_("choose a message")),
    ("PgUp PgDn", N_("scroll the history")),
    ("Home End", N_("its first, its last message, if nothing is typed")),
    ("Alt+1 … Alt+9", N_("go to that chat")),
    ("Esc", N_("back; from a chat to the list of chats")),
    (N_("Ctrl+X three times"), N_("destroy this profile at once, without a question")),
)
LIST_KEYS = (
    ("Enter", N_("open")),
    ("Up Down", N_("move")),
    ("?", N_("help")),
    ("Tab", N_("to the message")),
    ("Esc", N_("to the message")),
)


def with_twins(keys: str) -> str:
    """The keys, each letter also as the same key gives it in a Cyrillic layout."""
    spelled: list[str] = []
    for key in filter(None, keys.split(",")):
        spelled.append(key)
        modifier, _plus, letter = key.rpartition("+")
        if letter in _CYRILLIC:
            spelled.append(f"{modifier}+{_CYRILLIC[letter]}" if modifier else _CYRILLIC[letter])
    return ",".join(spelled)


def parse(typed: str) -> tuple[Command | None, str]:
    """What a line that starts with one slash asks for: the command, or None, and what follows."""
    word, _space, rest = typed[1:SLASH_MAX_CHARS].partition(" ")
    word = word.strip().lower()
    local = (c for c in COMMANDS if word in local_words(c.name))
    return _BY_WORD.get(word) or next(local, None), rest.strip()


def is_command(typed: str) -> bool:
    """Whether a line is for us and not for others: one slash, not two."""
    return typed.startswith("/") and not typed.startswith("//")


def complete(start: str) -> list[Command]:
    """Commands that begin like this, for Tab and for hints."""
    word = start.removeprefix("/").lower()
    found = [command for command in COMMANDS if command.name.startswith(word)]
    also = [
        c
        for c in COMMANDS
        if c not in found and any(a.startswith(word) for a in (*c.aliases, *local_words(c.name)))
    ]
    return found or also


def key_label(keys: str) -> str:
    """``ctrl+k`` as people write it: ``Ctrl+K``."""
    first = keys.split(",")[0]
    names = {"plus": "+", "question_mark": "?"}
    parts = first.split("+")
    shown = [
        names.get(part) or (part if len(parts) == 1 and len(part) == 1 else part.capitalize())
        for part in parts
    ]
    return "+".join(shown)


def command_help(command: Command) -> str:
    """What is said about one command."""
    lines = [command.usage, f"  {command.title}"]
    if command.keys:
        lines.append(_("  key: {keys}").format(keys=key_label(command.keys)))
    if command.pick:
        lines.append(_("  while a message is chosen: {keys}").format(keys=key_label(command.pick)))
    also = (*local_words(command.name), *command.aliases)
    if also:
        words = ", ".join(f"/{word}" for word in also)
        lines.append(_("  also: {words}").format(words=words))
    if WHERE[command.where]:
        lines.append("  " + _(WHERE[command.where]))
    return "\n".join(lines)


WHERE: dict[Where, str] = {
    "any": "",
    "chat": N_("Open a chat first."),
    "contact": N_("This works in the chat with a contact."),
    "room": N_("This works in a room."),
    "request": N_("This works in the chat with a stranger who asks to write."),
    "message": N_("Open a chat with a message first."),
    "group": N_("This works in a group."),
    "named": N_("This works in the chat with a contact or in a group."),
    "joined": N_("This works in a room or a group."),
    "post": N_("This works in a room with a post of somebody else."),
}
"""What to say when a command does not apply."""


def row(width: int, command: Command, keys: str) -> str:
    """A command in the help of a terminal of this many columns."""
    label = key_label(keys)
    if width >= HELP_WIDE_CELLS:
        return f"{command.usage:<22}{label:<10}{command.title}"
    return f"{command.usage}   {label}".rstrip() + f"\n   {command.title}"
