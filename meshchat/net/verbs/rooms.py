"""Rooms: joining and leaving them, and what is hidden in them."""

import asyncio
from collections.abc import Awaitable, Callable

from meshchat.core.events import JoinRoom, LeaveRoom, MarkInRoom
from meshchat.core.identity import private_room_key, public_room_key, room_name
from meshchat.core.model import Mark, Room
from meshchat.errors import UsageError
from meshchat.net.verbs.forms import message_json, room_json
from meshchat.net.verbs.names import resolve_message, resolve_room
from meshchat.net.verbs.session import Args, Json, Session, Verb


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


VERBS: dict[str, Verb] = {
    "room.join": Verb(_room_join, {"name": str}, {"passphrase": str}),
    "room.list": Verb(_room_list, {}, {}),
    "room.leave": Verb(_room_leave, {"name": str}, {}),
    "room.hide": Verb(
        _room_mark(Mark.HIDDEN, Mark.SHOWN),
        {"id": str},
        {"author": bool, "publish": bool, "undo": bool},
    ),
    "room.block": Verb(_room_mark(Mark.BLOCKED, Mark.SHOWN), {"id": str}, {"undo": bool}),
    "room.moderator": Verb(_room_mark(Mark.MODERATOR, Mark.SHOWN), {"id": str}, {"undo": bool}),
}
