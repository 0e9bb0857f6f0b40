"""Values of the core and events as plain data for JSON."""

from datetime import UTC, datetime

from meshchat.core.content import count_reactions
from meshchat.core.events import (
    ChatChanged,
    CheckEnded,
    CheckShown,
    ContactChanged,
    ContactTyping,
    CustodyChanged,
    FileComplete,
    GroupChanged,
    MessageAdded,
    MessageChanged,
    MessagesGone,
    NeighbourDown,
    NeighbourUp,
    Notice,
    RoomChanged,
    RoomMarksChanged,
)
from meshchat.core.identity import key_tag
from meshchat.core.model import (
    ChatId,
    ChatOptions,
    Contact,
    Group,
    GroupMember,
    Message,
    Neighbour,
    Room,
)
from meshchat.core.signs import SIGNS
from meshchat.net.runtime import News
from meshchat.net.transport import TransportStatus
from meshchat.net.verbs.session import Json, Session
from meshchat.text import Clean

NAMES_LOOK_MAX = 500  # messages looked through for what a member calls themselves


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


def check_json(session: Session, fp: bytes, signs: tuple[int, ...]) -> Json:
    contact = session.runtime.store.contact(fp)
    shown = [{"sign": SIGNS[number][0], "word": SIGNS[number][1]} for number in signs]
    return {"contact": contact_json(session, contact) if contact else None, "signs": shown}


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
            return {"event": "check", **check_json(session, fp, signs)}
        case CheckEnded(fp, reason):
            return {"event": "check_ended", "reason": reason, **check_json(session, fp, ())}
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
