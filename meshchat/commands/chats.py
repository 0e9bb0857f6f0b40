"""Messages and conversations: writing, reading, searching, changing, and what is set for a chat."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from meshchat import plain
from meshchat.commands.console import Command, Json, ask, profile_of, read_text, show
from meshchat.errors import UsageError
from meshchat.i18n import N_, _

if TYPE_CHECKING:
    from meshchat.net.client import Client


def _send(args: argparse.Namespace) -> int:
    result = ask(args, "send", to=args.to, text=_text(args.text), reply=args.reply)
    return show(args, result, [str(plain.part(result, "message").get("id"))])


def _text(given: str) -> str:
    """What was written, or standard input for ``-``."""
    if given != "-":
        return given
    text = read_text("-", N_("The message"))
    return text[:-1] if text.endswith("\n") else text


def _one_message(args: argparse.Namespace, result: Json) -> int:
    return show(args, result, plain.message_lines(plain.part(result, "message")))


def _react(args: argparse.Namespace) -> int:
    return _one_message(args, ask(args, "react", id=args.id, emoji=args.emoji or ""))


def _edit(args: argparse.Namespace) -> int:
    return _one_message(args, ask(args, "edit", id=args.id, text=_text(args.text)))


def _delete(args: argparse.Namespace) -> int:
    result = ask(args, "delete", id=args.id, everywhere=args.everywhere)
    done = _("Deleted here. Copies elsewhere stay.")
    if args.everywhere:
        done = _("Deleted here, and its readers are asked to delete it; nobody can promise that.")
    return show(args, result, [done])


def _search(args: argparse.Namespace) -> int:
    given = {"to": args.to, "limit": args.limit, "before": args.before}
    result = ask(args, "search", text=args.text, **given)
    if args.json:
        return show(args, result, ())
    for message in plain.rows(result, "messages"):
        show(args, message, plain.message_lines(message))
    return 0


def _privacy(args: argparse.Namespace) -> int:
    name = args.verb.replace("-", "_")
    on = None if args.on is None else args.on == "on"
    result = ask(args, "privacy", **{name: on})
    state = _("on") if result.get(name) else _("off")
    return show(args, result, [f"{args.verb}: {state}"])


def _chat(args: argparse.Namespace) -> int:
    given: Json = {}
    if args.verb == "disappear":
        given["timer_s"] = None if args.time is None else _seconds(args.time)
    elif args.verb == "retain":
        given["keep_days"] = None if args.days is None else _days(args.days)
    elif args.verb == "mute":
        given["notify"] = "all" if args.undo else "mentions" if args.mentions else "none"
    else:
        given[{"pin": "pinned", "archive": "archived"}[args.verb]] = not args.undo
    result = ask(args, "chat", to=args.to, **given)
    return show(args, result, plain.chat_lines(result))


def _seconds(text: str) -> int:
    """Seconds of a time such as ``8h``; 0 for ``off``."""
    units = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
    count, unit = text[:-1], text[-1:]
    if text == "off":
        return 0
    if unit not in units or not (count.isascii() and count.isdigit() and len(count) < 10):
        raise UsageError("bad_time", "A time is a number and a unit, such as 30s, 5m, 8h, 1d, 4w.")
    return int(count) * units[unit]


def _days(text: str) -> int:
    if text == "off":
        return 0
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
        raise UsageError("bad_days", "Give a number of days, or: off")
    return int(text)


def _read(args: argparse.Namespace) -> int:
    given = {
        "to": args.to,
        "since": args.since,
        "limit": args.limit,
        "mark": not args.keep_unread,
        "hidden": args.hidden or None,
    }
    if not args.follow:
        for message in plain.rows(ask(args, "read", **given), "messages"):
            show(args, message, plain.message_lines(message))
        return 0
    from meshchat.net.client import Client

    client = Client.connect(profile_of(args))
    if client is None:
        raise UsageError(
            "no_node", "Nothing arrives while no node runs; start one with: meshchat node"
        )
    with client:
        return _follow(args, client, given)


def _follow(args: argparse.Namespace, client: "Client", given: Mapping[str, object]) -> int:
    """What there is, then what comes; a message in both is shown once."""
    client.call("events")
    wanted = {name: value for name, value in given.items() if value is not None}
    messages = plain.rows(client.call("read", wanted), "messages")
    chats = {plain.part(message, "chat").get("id") for message in messages}
    if args.to and not chats:
        chats = {client.call("resolve", {"to": args.to}).get("id")}
    shown = {message.get("id") for message in messages}
    for message in messages:
        show(args, message, plain.message_lines(message))
    for event in client.events():
        message = plain.part(event, "message")
        if event.get("event") != "message" or message.get("id") in shown:
            continue
        if message.get("hidden") and not args.hidden:
            continue
        if not args.to or plain.part(message, "chat").get("id") in chats:
            show(args, message, plain.message_lines(message))
    return 0


def _message(args: argparse.Namespace) -> int:
    result = ask(args, "message", id=args.id)
    return show(args, result, plain.journey_lines(result))


COMMANDS: dict[str, Command] = {
    "send": _send,
    "react": _react,
    "edit": _edit,
    "delete": _delete,
    "search": _search,
    **dict.fromkeys(("read-receipts", "typing"), _privacy),
    **dict.fromkeys(("disappear", "retain", "mute", "pin", "archive"), _chat),
    "read": _read,
    "message": _message,
}
