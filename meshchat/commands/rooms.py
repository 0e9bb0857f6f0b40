"""Rooms: joining and leaving them, and what is hidden in them."""

import argparse

from meshchat import plain
from meshchat.commands.console import Command, Json, ask, read_text, show
from meshchat.errors import UsageError
from meshchat.i18n import N_


def _room_join(args: argparse.Namespace) -> int:
    secret = None
    if args.room_file:
        secret = read_text(args.room_file, N_("The passphrase file")).split("\n", 1)[0].rstrip("\r")
        if not secret:
            raise UsageError("passphrase_empty", "The room's passphrase is empty.")
    return _one_room(args, ask(args, "room.join", name=args.name, passphrase=secret))


def _one_room(args: argparse.Namespace, result: Json) -> int:
    return show(args, result, [plain.room_line(plain.part(result, "room"))])


def _room_list(args: argparse.Namespace) -> int:
    result = ask(args, "room.list")
    return show(args, result, [plain.room_line(row) for row in plain.rows(result, "rooms")])


def _room_leave(args: argparse.Namespace) -> int:
    return _one_room(args, ask(args, "room.leave", name=args.name))


def _room_mark(args: argparse.Namespace) -> int:
    given = {name: getattr(args, name, None) or None for name in ("author", "publish", "undo")}
    result = ask(args, args.verb, id=args.id, **given)
    return show(args, result, [f"{plain.word(result.get('mark'))}: {args.id}"])


COMMANDS: dict[str, Command] = {
    "room.join": _room_join,
    "room.list": _room_list,
    "room.leave": _room_leave,
    **dict.fromkeys(("room.hide", "room.block", "room.moderator"), _room_mark),
}
