"""ONE table of verbs: what the control socket, the command line and the screens can ask for.

A verb takes a session and named arguments and returns plain data for JSON
(docs/reference/control-socket.md describes each shape). The running node, and
a command that opens the store by itself, use the same functions.
"""

import asyncio
import difflib
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from meshchat import __version__
from meshchat.core.content import count_reactions
from meshchat.core.events import (
    Accept,
    AddContact,
    AddMember,
    AnswerCheck,
    Block,
    CancelCheck,
    ChatChanged,
    CheckEnded,
    CheckShown,
    Command,
    ContactChanged,
    ContactTyping,
    CreateGroup,
    CustodyChanged,
    Delete,
    Edit,
    FileComplete,
    GiveRevocation,
    GroupChanged,
    Introduce,
    JoinRoom,
    LeaveGroup,
    LeaveRoom,
    MakeAdmin,
    MarkInRoom,
    MarkRead,
    MessageAdded,
    MessageChanged,
    MessagesGone,
    NeighbourDown,
    NeighbourUp,
    Notice,
    React,
    ReleaseRevocation,
    RemoveMember,
    Rename,
    RenameGroup,
    ReportSeized,
    Retract,
    RoomChanged,
    RoomMarksChanged,
    Send,
    SetChat,
    SetName,
    SetPrivacy,
    SetTimer,
    StartCheck,
    Verify,
    WatchSilence,
)
from meshchat.core.identity import (
    key_tag,
    name_skeleton,
    private_room_key,
    public_room_key,
    room_name,
    utf8,
)
from meshchat.core.model import (
    ChatId,
    ChatOptions,
    Contact,
    Group,
    GroupMember,
    Mark,
    Membership,
    Message,
    Neighbour,
    Notify,
    Room,
)
from meshchat.core.signs import SIGNS
from meshchat.core.words import Query
from meshchat.errors import UsageError
from meshchat.i18n import N_
from meshchat.net.runtime import News, Runtime
from meshchat.net.transport import TransportStatus
from meshchat.profile import Profile
from meshchat.text import Clean

Json = dict[str, object]

KINDS = {b"c": "contact", b"r": "room", b"g": "group"}
READ_MAX = 1_000  # messages of one answer: at 7 kB each still a line that fits in memory
READ_DEFAULT = 50
FP_PREFIX_MIN = 6  # hex digits: fewer are more likely a name or a typing error
NEAREST_MAX = 3
CHECK_WAIT_S = 20.0  # the other node answers by itself, or its time is over in the core
GROUP_PREFIX = "group:"  # a group has the name an admin gave it: never mistaken for a person
NAMES_LOOK_MAX = 500  # messages looked through for what a member calls themselves
STOP_AFTER_S = 0.1  # time for the answer to "stop" to leave


@dataclass(frozen=True, slots=True)
class Session:
    """What verbs work on: a running node and the profile it belongs to."""

    runtime: Runtime
    profile: Profile
    serving: bool = False
    """A node is running, rather than one command by itself."""

    def own_name(self) -> Clean:
        """What we call ourselves."""
        return Clean.line(self.runtime.node.name)


@dataclass(frozen=True, slots=True)
class Verb:
    """A row of the table."""

    run: Callable[[Session, "Args"], Awaitable[Json]]
    needs: Mapping[str, type]
    """Arguments that must be there, with their types."""
    takes: Mapping[str, type]
    """Arguments that may be there."""


class Args:
    """Arguments of one call, their names and types checked."""

    def __init__(self, verb: Verb, given: Mapping[str, object]) -> None:
        allowed = {**verb.needs, **verb.takes}
        for name in verb.needs:
            if given.get(name) is None:
                raise UsageError("missing_argument", f"The argument {name!r} is missing.")
        for name, value in given.items():
            if name not in allowed:
                shown = Clean.line(name)
                raise UsageError("unknown_argument", f"There is no argument {shown!r} here.")
            if value is not None and type(value) is not allowed[name]:
                wanted = {
                    str: "text",
                    int: "a whole number",
                    bool: "true or false",
                    list: "a list of texts",
                }[allowed[name]]
                raise UsageError("bad_argument", f"The argument {name!r} must be {wanted}.")
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str):
                    utf8(text)
                elif value is not text:
                    raise UsageError("bad_argument", f"The argument {name!r} must be texts only.")
        self._given = given

    def text(self, name: str) -> str:
        """The text, or an empty one."""
        value = self._given.get(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> list[str]:
        """The list of texts, or an empty one."""
        value = self._given.get(name)
        return [str(text) for text in value] if isinstance(value, list) else []

    def number(self, name: str, default: int) -> int:
        value = self._given.get(name)
        return value if isinstance(value, int) else default

    def has(self, name: str) -> bool:
        """Whether it was given."""
        return self._given.get(name) is not None

    def flag(self, name: str, default: bool) -> bool:
        value = self._given.get(name)
        return value if isinstance(value, bool) else default


async def call(session: Session, verb: str, args: Mapping[str, object]) -> Json:
    """Carry out one verb.

    Raises:
        UsageError: The verb, an argument or the wish itself is impossible.
        StoreError: It could not be stored.
    """
    row = VERBS.get(verb)
    if row is None:
        raise UsageError("unknown_verb", f"There is no verb {Clean.line(verb)!r}.")
    return await row.run(session, Args(row, args))


# --- what people are called -------------------------------------------------------------------


def resolve_contact(session: Session, name: str) -> Contact:
    """The contact meant by a petname (exact, then look-alike, then prefix) or fingerprint prefix.

    Raises:
        UsageError: Nobody, or more than one, is meant; the message names the nearest.
    """
    contacts = session.runtime.store.contacts()
    wanted = name.strip()
    digits = wanted.lower()
    skeleton = name_skeleton(wanted[: 4 * 48])
    is_fp = len(digits) >= FP_PREFIX_MIN and not digits.strip("0123456789abcdef")
    tests: list[Callable[[Contact], bool]] = [
        lambda c: c.petname == wanted,
        lambda c: bool(skeleton) and name_skeleton(c.petname) == skeleton,
        lambda c: is_fp and c.fp.hex().startswith(digits),
        lambda c: bool(wanted) and c.petname.casefold().startswith(wanted.casefold()),
    ]
    for test in tests:
        found = [contact for contact in contacts if test(contact)]
        if len(found) == 1:
            return found[0]
        if found:
            names = _listed(f"{c.petname} ({c.fp.hex()[:8]})" for c in found)
            raise UsageError("ambiguous_contact", f"More than one contact is meant: {names}.")
    raise UsageError(
        "unknown_contact",
        f"No contact is called {Clean.line(wanted)!r}; {_nearest(wanted, contacts)}",
    )


def resolve_room(session: Session, name: str) -> Room:
    """The room meant by ``#name``, ``name`` or the start of its id.

    Raises:
        UsageError: We are in no such room, or in several.
    """
    rooms = session.runtime.store.rooms()
    bare = name.strip().lstrip("#").strip()
    wanted = room_name(bare)
    found = [room for room in rooms if room.name == wanted]
    if not found and len(bare) >= FP_PREFIX_MIN:
        found = [room for room in rooms if room.rid.hex().startswith(bare.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        ids = _listed(f"#{room.rid.hex()[:8]}" for room in found)
        raise UsageError("ambiguous_room", f"More than one room is meant: {ids}.")
    joined = _listed(f"#{room.name}" for room in rooms[:NEAREST_MAX])
    hint = N_(f"you are in {joined}.") if rooms else N_("join one with: meshchat room join NAME")
    raise UsageError("unknown_room", f"You are in no room #{wanted}; {hint}")


def resolve_group(session: Session, name: str) -> Group:
    """The group meant by its name, ``group:NAME``, or the start of its id.

    Raises:
        UsageError: We are in no such group, or in several.
    """
    groups = session.runtime.store.groups()
    groups = [group for group in groups if group.membership is not Membership.LEFT]
    wanted = name.strip().removeprefix(GROUP_PREFIX).strip()
    skeleton, digits = name_skeleton(wanted[: 4 * 48]), wanted.lower()
    tests: list[Callable[[Group], bool]] = [
        lambda group: group.name == wanted,
        lambda group: bool(skeleton) and name_skeleton(group.name) == skeleton,
        lambda group: len(digits) >= FP_PREFIX_MIN and group.gid.hex().startswith(digits),
    ]
    for test in tests:
        found = [group for group in groups if test(group)]
        if len(found) == 1:
            return found[0]
        if found:
            ids = _listed(f"{group.gid.hex()[:8]}" for group in found)
            raise UsageError(
                "ambiguous_group", f"More than one group is meant; give the start of an id: {ids}."
            )
    joined = _listed(group.name for group in groups[:NEAREST_MAX])
    hint = N_(f"you are in {joined}.") if groups else N_("make one with: meshchat group new NAME")
    raise UsageError("unknown_group", f"You are in no group {Clean.line(wanted)!r}; {hint}")


def resolve_member(session: Session, group: Group, name: str) -> GroupMember:
    """The member meant by a contact's name, ``~TAG``, or the start of a fingerprint.

    Raises:
        UsageError: Nobody in the group, or more than one, is meant.
    """
    members, wanted = session.runtime.node.members(group.gid), name.strip()
    digits = wanted.lower()
    found = [
        member
        for member in members
        if wanted.upper() == f"~{key_tag(member.fp)}"
        or (len(digits) >= FP_PREFIX_MIN and member.fp.hex().startswith(digits[:32]))
    ]
    if not found:
        fp = resolve_contact(session, wanted).fp
        found = [member for member in members if fp.startswith(member.fp)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            "ambiguous_member", "More than one member is meant; give the start of a fingerprint."
        )
    raise UsageError(
        "no_member",
        f"{Clean.line(wanted)} is not in {group.name}; see: meshchat group members NAME",
    )


def resolve(session: Session, to: str) -> ChatId:
    """The conversation meant by a contact's name, ``#room`` or ``group:NAME``."""
    if to.strip().startswith("#"):
        return b"r" + resolve_room(session, to).rid
    if to.strip().startswith(GROUP_PREFIX):
        return b"g" + resolve_group(session, to).gid
    return b"c" + resolve_contact(session, to).fp


def resolve_message(session: Session, mid: str) -> Message:
    """The message with this id. Raises ``UsageError`` if there is none."""
    digits = mid.strip().lower()
    message = None
    if len(digits) == 16 and not digits.strip("0123456789abcdef"):
        message = session.runtime.store.message(bytes.fromhex(digits))
    if message is None:
        raise UsageError(
            "unknown_message", "There is no message with this id; an id has 16 hex digits."
        )
    return message


def _nearest(wanted: str, contacts: list[Contact]) -> str:
    if not contacts:
        return N_("add one with: meshchat contact add CARD")
    names = {contact.petname.casefold(): contact.petname for contact in contacts}
    near = difflib.get_close_matches(wanted.casefold()[:64], list(names), NEAREST_MAX, 0.5)
    if not near:
        return N_("see: meshchat contact list")
    return N_(f"nearest: {', '.join(names[name] for name in near)}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


# --- plain data -------------------------------------------------------------------------------


def when(name: str, wall: float) -> Json:
    """A time twice: ISO 8601 in UTC, and seconds since 1970; both null if there is none."""
    if not 0 < wall < 253_402_300_800:  # up to the year 9999
        return {name: None, f"{name}_s": None}
    text = datetime.fromtimestamp(wall, UTC).isoformat(timespec="seconds")
    return {name: text.replace("+00:00", "Z"), f"{name}_s": int(wall)}


def contact_json(session: Session, contact: Contact) -> Json:
    introducer = session.runtime.store.contact(contact.introduced_by)
    return {
        "fp": contact.fp.hex(),
        "tag": key_tag(contact.fp),
        "name": contact.petname,
        "claimed": contact.claimed,
        "trust": contact.trust.value,
        "blocked": contact.blocked,
        "request": contact.request,
        "introduced_by": introducer.petname if introducer else None,
        **when("added_at", contact.added_at),
        **when("heard_at", contact.heard_at),
        "silent_days": contact.silent_days,
        "silent": contact.is_silent(session.runtime.now().wall),
    }


def room_json(room: Room) -> Json:
    return {
        "rid": room.rid.hex(),
        "name": f"#{room.name}",
        "private": room.private,
        **when("joined_at", room.joined_at),
    }


def group_json(session: Session, group: Group) -> Json:
    members = session.runtime.node.members(group.gid)
    own = session.runtime.node.fp
    return {
        "gid": group.gid.hex(),
        "name": group.name,
        "membership": group.membership.value,
        "admin": any(member.admin and own.startswith(member.fp) for member in members),
        "members": len(members),
        **when("joined_at", group.joined_at),
    }


def member_json(session: Session, group: Group, member: GroupMember) -> Json:
    """With our own name for a contact; of others what they call themselves, and the key tag."""
    contact = _begins(session, member.fp)
    own = session.runtime.node.fp.startswith(member.fp)
    claimed = Clean()
    if contact is None and not own:
        messages = session.runtime.store.messages(b"g" + group.gid, limit=NAMES_LOOK_MAX)
        names = (one.author_name for one in reversed(messages) if one.author == member.fp)
        claimed = next(names, claimed)
    shown = contact.petname if contact else session.own_name() if own else None
    return {
        "fp": member.fp.hex(),
        "tag": key_tag(member.fp),
        "name": shown or _stranger(claimed, member.fp),
        "claimed": claimed or None,
        "trust": "own" if own else contact.trust.value if contact else "stranger",
        "admin": member.admin,
        "key_known": bool(member.key),
    }


def _begins(session: Session, start: bytes) -> Contact | None:
    """The contact whose fingerprint begins so."""
    contacts = session.runtime.store.contacts()
    return next((contact for contact in contacts if contact.fp.startswith(start)), None)


def _stranger(name: str, key: bytes) -> Clean:
    return Clean.line(f"{name or 'somebody'}~{key_tag(key)}", 60)


def chat_json(session: Session, chat: ChatId) -> Json:
    """Which conversation: kind, id and name."""
    store = session.runtime.store
    if chat[:1] == b"c":
        peer = store.contact(chat[1:])
        to = peer.petname if peer else key_tag(chat[1:])
        return {"kind": "contact", "id": chat[1:].hex(), "name": to}
    if chat[:1] == b"g":
        found = (group.name for group in store.groups() if group.gid == chat[1:])
        return {"kind": "group", "id": chat[1:].hex(), "name": next(found, Clean("?"))}
    to = next((f"#{r.name}" for r in store.rooms() if r.rid == chat[1:]), "#left")
    return {"kind": "room", "id": chat[1:].hex(), "name": to}


def options_json(options: ChatOptions) -> Json:
    return {
        "notify": options.notify.value,
        "pinned": options.pinned,
        "archived": options.archived,
        "keep_days": options.keep_days,
        "timer_s": options.timer_s,
    }


def message_json(session: Session, message: Message) -> Json:
    """With the author's name as we know it and how far their key has been checked."""
    store = session.runtime.store
    author = None if message.outgoing else store.contact(message.author)
    if message.chat[:1] == b"g" and author is None and not message.outgoing:
        author = _begins(session, message.author)  # became a contact since
    if message.outgoing:
        name, trust = session.own_name(), "own"
    elif author is not None:
        name = author.petname
        trust = "stranger" if author.request else author.trust.value
    else:
        name = _stranger(message.author_name, message.author)
        trust = "stranger"
    return {
        "id": message.id.hex(),
        "seq": message.seq,
        "chat": chat_json(session, message.chat),
        "author": message.author.hex(),
        "author_name": name,
        "trust": trust,
        "outgoing": message.outgoing,
        "text": message.text,
        **when("sent_at", message.sent_at),
        **when("received_at", message.received_at),
        "state": message.state.value,
        "carriers": message.carriers,
        **when("delivered_at", message.delivered_at),
        **when("expires_at", message.expires_at),
        "reason": message.reason or None,
        "envelope": message.eid.hex() or None,
        "hidden": session.runtime.node.is_hidden(message),
        "note": message.note or None,
        "reply_to": message.reply_to.hex() or None,
        "mention": message.mention,
        **when("edited_at", message.edited),
        **when("retracted_at", message.retracted),
        **when("read_at", message.read_at),
        "timer_s": message.vanish_s,
        **when("disappears_at", message.vanish_at),
        "reactions": [
            {"emoji": emoji, "count": count, "own": own}
            for emoji, count, own in count_reactions(store.reactions([message.id]))
        ],
    }


def neighbour_json(session: Session, neighbour: Neighbour) -> Json:
    contact = session.runtime.store.contact(neighbour.contact) if neighbour.contact else None
    return {
        "link": neighbour.link,
        "transport": neighbour.transport,
        "tag": neighbour.tag,
        "contact": contact.petname if contact else None,
        "outbound": neighbour.outbound,
        **when("since", neighbour.since),
        "sent_bytes": neighbour.sent_bytes,
        "received_bytes": neighbour.received_bytes,
    }


def transport_json(status: TransportStatus) -> Json:
    return {
        "name": status.name,
        "on": status.on,
        "reason": status.reason or None,
        "remedy": status.remedy or None,
        "detail": dict(status.detail),
    }


def event_json(session: Session, news: News) -> Json:
    """One event of the stream, with its name under ``event``."""
    match news:
        case MessageAdded(message):
            return {"event": "message", "message": message_json(session, message)}
        case MessageChanged(message):
            return {"event": "message_changed", "message": message_json(session, message)}
        case MessagesGone(chat, mids):
            return {
                "event": "messages_gone",
                "chat": chat_json(session, chat),
                "ids": [mid.hex() for mid in mids],
            }
        case ChatChanged(chat, options):
            named = chat_json(session, chat)
            return {"event": "chat_changed", "chat": named, "options": options_json(options)}
        case ContactTyping(fp, until):
            peer = session.runtime.store.contact(fp)
            name = peer.petname if peer else None
            return {"event": "typing", "contact": name, **when("until", until)}
        case FileComplete(message, size):
            shown = message_json(session, message)
            return {"event": "file_complete", "message": shown, "size_bytes": size}
        case ContactChanged(contact):
            return {"event": "contact", "contact": contact_json(session, contact)}
        case RoomChanged(room, joined):
            return {"event": "room", "room": room_json(room), "joined": joined}
        case RoomMarksChanged(rid):
            return {"event": "room_marks", "rid": rid.hex()}
        case CheckShown(fp, signs):
            return {"event": "check", **_check_json(session, fp, signs)}
        case CheckEnded(fp, reason):
            return {"event": "check_ended", "reason": reason, **_check_json(session, fp, ())}
        case GroupChanged(group):
            return {"event": "group", "group": group_json(session, group)}
        case NeighbourUp(neighbour):
            return {"event": "neighbour_up", "neighbour": neighbour_json(session, neighbour)}
        case NeighbourDown(link, transport, reason):
            return {
                "event": "neighbour_down",
                "link": link,
                "transport": transport,
                "reason": reason,
            }
        case CustodyChanged(stored, dropped):
            return {"event": "custody", "stored": stored, "dropped": dropped}
        case Notice(code, detail):
            return {"event": "notice", "code": code, "detail": Clean.line(detail, 300)}
        case TransportStatus():
            return {"event": "transport", "transport": transport_json(news)}


# --- the verbs --------------------------------------------------------------------------------


async def _contact_command(session: Session, command: Command) -> Json:
    """Carry out a command whose result is a contact."""
    result = await session.runtime.command(command)
    fp = result.fp if isinstance(result, Contact) else getattr(command, "fp", b"")
    contact = session.runtime.store.contact(fp)
    return {"contact": contact_json(session, contact) if contact else None}


async def _card(session: Session, _: Args) -> Json:
    node = session.runtime.node
    fp = node.fp
    text = node.card_text()
    return {"fp": fp.hex(), "tag": key_tag(fp), "name": session.own_name(), "card": text}


async def _name(session: Session, args: Args) -> Json:
    if args.text("new"):
        await session.runtime.command(SetName(args.text("new")))
    return {"name": session.own_name()}


async def _words(session: Session, args: Args) -> Json:
    contact = resolve_contact(session, args.text("name"))
    words = session.runtime.node.safety_words(contact.fp)
    return {"contact": contact_json(session, contact), "words": list(words)}


async def _backup(session: Session, args: Args) -> Json:
    from meshchat import keyfile

    path, passphrase = session.profile.key_path, args.text("passphrase")
    await asyncio.to_thread(keyfile.unlock, path, passphrase)  # raises if it is the wrong one
    return {"words": list(session.runtime.node.seed_words())}


async def _contact_add(session: Session, args: Args) -> Json:
    replaces = args.text("replaces")
    old = resolve_contact(session, replaces).fp if replaces else b""
    return await _contact_command(session, AddContact(args.text("card"), args.text("as"), old))


async def _contact_list(session: Session, _: Args) -> Json:
    store = session.runtime.store
    unread = {row.chat: row.unread for row in store.chats()}
    return {
        "contacts": [
            {**contact_json(session, contact), "unread": unread.get(b"c" + contact.fp, 0)}
            for contact in store.contacts()
        ]
    }


async def _contact_verify(session: Session, args: Args) -> Json:
    fp = resolve_contact(session, args.text("name")).fp
    return await _contact_command(session, Verify(fp, args.flag("verified", True)))


def _check_json(session: Session, fp: bytes, signs: tuple[int, ...]) -> Json:
    contact = session.runtime.store.contact(fp)
    shown = [{"sign": SIGNS[number][0], "word": SIGNS[number][1]} for number in signs]
    return {"contact": contact_json(session, contact) if contact else None, "signs": shown}


async def _contact_check(session: Session, args: Args) -> Json:
    """Begin a check, or answer the one that is shown."""
    if not session.serving:
        raise UsageError("no_node", "A live check needs a running node: meshchat node, or meshchat")
    fp, answer = resolve_contact(session, args.text("name")).fp, args.text("answer")
    runtime = session.runtime
    if answer == "cancel":
        await runtime.command(CancelCheck(fp))
    elif answer:
        if answer not in ("same", "different"):
            raise UsageError("bad_answer", "Answer same, different or cancel.")
        await runtime.command(AnswerCheck(fp, answer == "same"))
    elif not runtime.node.signs_shown(fp):
        found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def hear(news: News) -> None:
            if isinstance(news, CheckShown | CheckEnded) and news.fp == fp and not found.done():
                found.set_result(news.reason if isinstance(news, CheckEnded) else "")

        unsubscribe = runtime.subscribe(hear)
        try:
            await runtime.command(StartCheck(fp))
            reason = await asyncio.wait_for(found, CHECK_WAIT_S)
        finally:
            unsubscribe()
        if reason:
            raise UsageError("check_ended", f"The check ended ({reason}): try again in a moment.")
    return _check_json(session, fp, runtime.node.signs_shown(fp))


async def _contact_silent(session: Session, args: Args) -> Json:
    fp = resolve_contact(session, args.text("name")).fp
    return await _contact_command(session, WatchSilence(fp, args.number("days", 0)))


async def _revocation_give(session: Session, args: Args) -> Json:
    fp = resolve_contact(session, args.text("name")).fp
    message = await session.runtime.command(GiveRevocation(fp))
    assert isinstance(message, Message)
    return {"message": message_json(session, message)}


async def _revocation_list(session: Session, _: Args) -> Json:
    contact = session.runtime.store.contact
    kept = [contact(fp) for fp in session.runtime.node.revocations_kept()]
    return {"contacts": [contact_json(session, one) for one in kept if one is not None]}


async def _revocation_release(session: Session, args: Args) -> Json:
    if bool(args.text("name")) is args.flag("own", False):
        raise UsageError("bad_arguments", "Name a contact, or say that your own key is meant.")
    if args.flag("own", False):
        await session.runtime.command(ReleaseRevocation(session.runtime.node.fp))
        return {"contact": None}
    fp = resolve_contact(session, args.text("name")).fp
    return await _contact_command(session, ReleaseRevocation(fp))


def _room_mark(mark: Mark, undone: Mark) -> Callable[[Session, Args], Awaitable[Json]]:
    """A verb that marks a post or its author, both named by the id of a post."""

    async def run(session: Session, args: Args) -> Json:
        message = resolve_message(session, args.text("id"))
        if message.chat[:1] != b"r":
            raise UsageError("not_in_a_room", "This message is not in a room; see: contact block.")
        given = undone if args.flag("undo", False) else mark
        person = args.flag("author", False) or mark is not Mark.HIDDEN
        target = message.author if person else message.id
        publish = args.flag("publish", False)
        await session.runtime.command(MarkInRoom(message.chat[1:], target, given, publish))
        return {"message": message_json(session, message), "mark": given.name.lower()}

    return run


async def _contact_rename(session: Session, args: Args) -> Json:
    fp = resolve_contact(session, args.text("old")).fp
    return await _contact_command(session, Rename(fp, args.text("new")))


async def _contact_block(session: Session, args: Args) -> Json:
    fp = resolve_contact(session, args.text("name")).fp
    return await _contact_command(session, Block(fp))


async def _contact_unblock(session: Session, args: Args) -> Json:
    fp = resolve_contact(session, args.text("name")).fp
    return await _contact_command(session, Block(fp, blocked=False))


async def _contact_accept(session: Session, args: Args) -> Json:
    fp = resolve_contact(session, args.text("name")).fp
    return await _contact_command(session, Accept(fp, args.text("as")))


async def _contact_introduce(session: Session, args: Args) -> Json:
    one, other = (resolve_contact(session, args.text(name)).fp for name in ("one", "other"))
    if one == other:
        raise UsageError("same_contact", "Name two different contacts to introduce.")
    result = await session.runtime.command(Introduce(one, other))
    sent = result if isinstance(result, tuple | list) else ()
    return {"messages": [message_json(session, message) for message in sent]}


async def _room_join(session: Session, args: Args) -> Json:
    name, passphrase = room_name(args.text("name")), args.text("passphrase")
    if passphrase:  # slow on purpose, so not on the loop
        key = await asyncio.to_thread(private_room_key, name, passphrase)
    else:
        key = public_room_key(name)
    room = await session.runtime.command(JoinRoom(name, key, bool(passphrase)))
    assert isinstance(room, Room)
    return {"room": room_json(room)}


async def _room_list(session: Session, _: Args) -> Json:
    store = session.runtime.store
    unread = {row.chat: row.unread for row in store.chats()}
    return {
        "rooms": [
            {**room_json(room), "unread": unread.get(b"r" + room.rid, 0)} for room in store.rooms()
        ]
    }


async def _room_leave(session: Session, args: Args) -> Json:
    room = resolve_room(session, args.text("name"))
    await session.runtime.command(LeaveRoom(room.rid))
    return {"room": room_json(room)}


async def _group_command(session: Session, command: Command) -> Json:
    """Carry out a command whose result is a group."""
    group = await session.runtime.command(command)
    assert isinstance(group, Group)
    return {"group": group_json(session, group)}


async def _group_new(session: Session, args: Args) -> Json:
    fps = tuple(resolve_contact(session, name).fp for name in args.texts("members"))
    return await _group_command(session, CreateGroup(args.text("name"), fps))


async def _group_add(session: Session, args: Args) -> Json:
    group = resolve_group(session, args.text("group"))
    fp = resolve_contact(session, args.text("member")).fp
    return await _group_command(session, AddMember(group.gid, fp))


async def _group_remove(session: Session, args: Args) -> Json:
    group = resolve_group(session, args.text("group"))
    member = resolve_member(session, group, args.text("member"))
    return await _group_command(session, RemoveMember(group.gid, member.fp))


async def _group_admin(session: Session, args: Args) -> Json:
    group = resolve_group(session, args.text("group"))
    member = resolve_member(session, group, args.text("member"))
    return await _group_command(session, MakeAdmin(group.gid, member.fp))


async def _group_rename(session: Session, args: Args) -> Json:
    group = resolve_group(session, args.text("group"))
    return await _group_command(session, RenameGroup(group.gid, args.text("new")))


async def _group_leave(session: Session, args: Args) -> Json:
    return await _group_command(session, LeaveGroup(resolve_group(session, args.text("group")).gid))


async def _group_list(session: Session, _: Args) -> Json:
    store = session.runtime.store
    unread = {row.chat: row.unread for row in store.chats()}
    return {
        "groups": [
            {**group_json(session, group), "unread": unread.get(b"g" + group.gid, 0)}
            for group in store.groups()
            if group.membership is not Membership.LEFT
        ]
    }


async def _group_members(session: Session, args: Args) -> Json:
    group = resolve_group(session, args.text("group"))
    members = session.runtime.node.members(group.gid)
    return {
        "group": group_json(session, group),
        "members": [member_json(session, group, member) for member in members],
    }


async def _group_seized(session: Session, args: Args) -> Json:
    try:
        fp = resolve_contact(session, args.text("member")).fp
    except UsageError:  # no contact of ours, but perhaps in a group with us
        groups = session.runtime.store.groups()
        fps = (member.fp for group in groups for member in session.runtime.node.members(group.gid))
        digits = args.text("member").strip().lower()
        found = next((fp for fp in fps if len(digits) >= 8 and fp.hex().startswith(digits)), None)
        if found is None:
            raise
        fp = found
    result = await session.runtime.command(ReportSeized(fp, args.flag("seized", True)))
    assert isinstance(result, list)
    return {"groups": [group_json(session, group) for group in result]}


async def _resolve(session: Session, args: Args) -> Json:
    chat = resolve(session, args.text("to"))
    return {"kind": KINDS[chat[:1]], "id": chat[1:].hex()}


async def _send(session: Session, args: Args) -> Json:
    chat = resolve(session, args.text("to"))
    reply = resolve_message(session, args.text("reply")).id if args.text("reply") else b""
    return await _message_command(session, Send(chat, args.text("text"), reply_to=reply))


async def _message_command(session: Session, command: Command) -> Json:
    """Carry out a command whose result is a message."""
    message = await session.runtime.command(command)
    assert isinstance(message, Message)
    now = session.runtime.store.message(message.id)
    return {"message": message_json(session, now or message)}


async def _react(session: Session, args: Args) -> Json:
    mid = resolve_message(session, args.text("id")).id
    return await _message_command(session, React(mid, args.text("emoji")))


async def _edit(session: Session, args: Args) -> Json:
    mid = resolve_message(session, args.text("id")).id
    return await _message_command(session, Edit(mid, args.text("text")))


async def _delete(session: Session, args: Args) -> Json:
    mid = resolve_message(session, args.text("id")).id
    if args.flag("everywhere", False):
        return await _message_command(session, Retract(mid))
    await session.runtime.command(Delete(mid))
    return {"message": None}


async def _search(session: Session, args: Args) -> Json:
    limit = args.number("limit", READ_DEFAULT)
    if not 1 <= limit <= READ_MAX:
        raise UsageError("bad_limit", f"The limit must be from 1 to {READ_MAX}.")
    if not Query.parse(args.text("text")).starts:
        raise UsageError("no_words", "Give at least one word or number to look for.")
    chat = resolve(session, args.text("to")) if args.text("to") else None
    before = resolve_message(session, args.text("before")).seq if args.text("before") else None
    found = session.runtime.store.search(
        args.text("text"), chat=chat, limit=limit + 1, before=before
    )
    shown = [message_json(session, message) for message in found[:limit]]
    return {"messages": shown, "more": len(found) > limit}


async def _privacy(session: Session, args: Args) -> Json:
    names = ("read_receipts", "typing", "retractions")
    given = {name: args.flag(name, False) for name in names if args.has(name)}
    if given:
        await session.runtime.command(SetPrivacy(**given))
    return asdict(session.runtime.node.privacy)


async def _chat(session: Session, args: Args) -> Json:
    chat = resolve(session, args.text("to"))
    try:
        notify = Notify(args.text("notify")) if args.has("notify") else None
    except ValueError:
        raise UsageError("bad_notify", "Notify is all, mentions or none.") from None
    command = SetChat(
        chat,
        notify,
        args.flag("pinned", False) if args.has("pinned") else None,
        args.flag("archived", False) if args.has("archived") else None,
        args.number("keep_days", 0) if args.has("keep_days") else None,
    )
    if command != SetChat(chat):
        await session.runtime.command(command)
    if args.has("timer_s"):
        await session.runtime.command(SetTimer(chat, args.number("timer_s", 0)))
    options = options_json(session.runtime.store.chat_options(chat))
    return {"chat": chat_json(session, chat), "options": options}


async def _read(session: Session, args: Args) -> Json:
    store, limit = session.runtime.store, args.number("limit", READ_DEFAULT)
    if not 1 <= limit <= READ_MAX:
        raise UsageError("bad_limit", f"The limit must be from 1 to {READ_MAX}.")
    after = resolve_message(session, args.text("since")).seq if args.text("since") else None
    if args.text("to"):
        chats = [resolve(session, args.text("to"))]
    else:
        chats = [row.chat for row in store.chats()]
    found: list[Message] = []
    for chat in chats:
        found += store.messages(chat, after=after, limit=limit)
    if not args.flag("hidden", False):
        found = [message for message in found if not session.runtime.node.is_hidden(message)]
    found.sort(key=lambda message: message.seq)
    more = len(found) > limit
    found = found[-limit:] if after is None else found[:limit]
    if args.flag("mark", True):
        seen = {row.chat: row.read_seq for row in store.chats()}
        oldest = {message.chat: message.seq for message in reversed(found)}
        newest = {message.chat: message.seq for message in found}
        for chat, seq in newest.items():
            unread = store.messages(chat, after=seen.get(chat, 0), limit=1)
            if unread and unread[0].seq < oldest[chat]:
                continue  # something new was left out: it stays new
            await session.runtime.command(MarkRead(chat, seq))
    return {"messages": [message_json(session, message) for message in found], "more": more}


async def _message(session: Session, args: Args) -> Json:
    message = resolve_message(session, args.text("id"))
    journey = session.runtime.store.journey(message.id)
    versions = session.runtime.store.versions(message.id)
    return {
        "message": message_json(session, message),
        "journey": [
            {**when("at", step.at), "what": step.what, "detail": step.detail or None}
            for step in journey
        ],
        "versions": [
            {**when("sent_at", each.sent or message.sent_at), "text": each.text}
            for each in versions
        ],
    }


async def _status(session: Session, _: Args) -> Json:
    return status_json(session)


def status_json(session: Session) -> Json:
    """Everything ``meshchat status`` tells."""
    status = session.runtime.status()
    node, trouble = status.node, status.trouble
    return {
        "version": __version__,
        "pid": os.getpid(),
        "running": session.serving,
        "fp": node.fp.hex(),
        "tag": key_tag(node.fp),
        "name": node.name,
        "home": str(session.profile.home),
        "transports": [transport_json(one) for one in _transports(session, status.transports)],
        "neighbours": [neighbour_json(session, one) for one in node.neighbours],
        "custody": asdict(node.custody),
        "queued": node.queued,
        "carried": node.carried,
        "counters": dict(node.counters),
        "trouble": {"reason": trouble.reason, "message": str(trouble)} if trouble else None,
    }


def _transports(
    session: Session, running: tuple[TransportStatus, ...]
) -> tuple[TransportStatus, ...]:
    """Every way there is to reach others: what does not run says why."""
    here = {one.name for one in running}
    off = []
    for name in ("lan", "ble"):
        if name in here:
            continue
        if session.serving:
            remedy = N_(f"Start without --no-{name}, and with [{name}] enabled in the settings.")
            off.append(TransportStatus(name, False, "switched_off", remedy))
        else:
            off.append(
                TransportStatus(name, False, "no_node", N_("Start meshchat, or: meshchat node"))
            )
    return (*running, *off)


async def _stop(session: Session, _: Args) -> Json:
    # after the answer has left: the loop runs this once the connection has been served
    asyncio.get_running_loop().call_later(STOP_AFTER_S, session.runtime.stop)
    return {"pid": os.getpid()}


VERBS: dict[str, Verb] = {
    "card": Verb(_card, {}, {}),
    "name": Verb(_name, {}, {"new": str}),
    "words": Verb(_words, {"name": str}, {}),
    "backup": Verb(_backup, {"passphrase": str}, {}),
    "contact.add": Verb(_contact_add, {"card": str}, {"as": str, "replaces": str}),
    "contact.list": Verb(_contact_list, {}, {}),
    "contact.verify": Verb(_contact_verify, {"name": str}, {"verified": bool}),
    "contact.check": Verb(_contact_check, {"name": str}, {"answer": str}),
    "contact.silent": Verb(_contact_silent, {"name": str, "days": int}, {}),
    "revocation.give": Verb(_revocation_give, {"name": str}, {}),
    "revocation.list": Verb(_revocation_list, {}, {}),
    "revocation.release": Verb(_revocation_release, {}, {"name": str, "own": bool}),
    "room.hide": Verb(
        _room_mark(Mark.HIDDEN, Mark.SHOWN),
        {"id": str},
        {"author": bool, "publish": bool, "undo": bool},
    ),
    "room.block": Verb(_room_mark(Mark.BLOCKED, Mark.SHOWN), {"id": str}, {"undo": bool}),
    "room.moderator": Verb(_room_mark(Mark.MODERATOR, Mark.SHOWN), {"id": str}, {"undo": bool}),
    "contact.rename": Verb(_contact_rename, {"old": str, "new": str}, {}),
    "contact.block": Verb(_contact_block, {"name": str}, {}),
    "contact.unblock": Verb(_contact_unblock, {"name": str}, {}),
    "contact.accept": Verb(_contact_accept, {"name": str}, {"as": str}),
    "contact.introduce": Verb(_contact_introduce, {"one": str, "other": str}, {}),
    "room.join": Verb(_room_join, {"name": str}, {"passphrase": str}),
    "room.list": Verb(_room_list, {}, {}),
    "room.leave": Verb(_room_leave, {"name": str}, {}),
    "group.new": Verb(_group_new, {"name": str}, {"members": list}),
    "group.add": Verb(_group_add, {"group": str, "member": str}, {}),
    "group.remove": Verb(_group_remove, {"group": str, "member": str}, {}),
    "group.admin": Verb(_group_admin, {"group": str, "member": str}, {}),
    "group.rename": Verb(_group_rename, {"group": str, "new": str}, {}),
    "group.leave": Verb(_group_leave, {"group": str}, {}),
    "group.list": Verb(_group_list, {}, {}),
    "group.members": Verb(_group_members, {"group": str}, {}),
    "group.seized": Verb(_group_seized, {"member": str}, {"seized": bool}),
    "resolve": Verb(_resolve, {"to": str}, {}),
    "send": Verb(_send, {"to": str, "text": str}, {"reply": str}),
    "react": Verb(_react, {"id": str}, {"emoji": str}),
    "edit": Verb(_edit, {"id": str, "text": str}, {}),
    "delete": Verb(_delete, {"id": str}, {"everywhere": bool}),
    "search": Verb(_search, {"text": str}, {"to": str, "limit": int, "before": str}),
    "privacy": Verb(_privacy, {}, dict.fromkeys(("read_receipts", "typing", "retractions"), bool)),
    "chat": Verb(
        _chat,
        {"to": str},
        {"notify": str, "pinned": bool, "archived": bool, "keep_days": int, "timer_s": int},
    ),
    "read": Verb(_read, {}, {"to": str, "since": str, "limit": int, "mark": bool, "hidden": bool}),
    "message": Verb(_message, {"id": str}, {}),
    "status": Verb(_status, {}, {}),
    "stop": Verb(_stop, {}, {}),
}
