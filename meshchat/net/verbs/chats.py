"""Messages and conversations: writing, reading, searching, changing, and what is set for a chat."""

from msgspec.structs import asdict

from meshchat.core.events import (
    Command,
    Delete,
    Edit,
    MarkRead,
    React,
    Retract,
    Send,
    SetChat,
    SetPrivacy,
    SetTimer,
)
from meshchat.core.model import Message, Notify
from meshchat.core.words import Query
from meshchat.errors import UsageError
from meshchat.net.verbs.forms import chat_json, message_json, options_json, when
from meshchat.net.verbs.names import resolve, resolve_message
from meshchat.net.verbs.session import Args, Json, Session, Verb

KINDS = {b"c": "contact", b"r": "room", b"g": "group"}
READ_MAX = 1_000  # messages of one answer: at 7 kB each still a line that fits in memory
READ_DEFAULT = 50


async def _resolve(session: Session, args: Args) -> Json:
    chat = resolve(session, args.text("to"))
    return {"kind": KINDS[chat[:1]], "id": chat[1:].hex()}


async def _send(session: Session, args: Args) -> Json:
    chat = resolve(session, args.text("to"), whole=True)
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


VERBS: dict[str, Verb] = {
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
}
