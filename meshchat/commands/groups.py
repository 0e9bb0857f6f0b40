"""Private groups: their members, admins and names."""

import argparse

from meshchat import plain
from meshchat.commands.console import Command, ask, show


def _group(args: argparse.Namespace) -> int:
    """A verb that changes one group."""
    names = ("name", "members", "group", "member", "new")
    given = {name: getattr(args, name) for name in names if hasattr(args, name)}
    result = ask(args, args.verb, **given)
    return show(args, result, [plain.group_line(plain.part(result, "group"))])


def _group_list(args: argparse.Namespace) -> int:
    result = ask(args, "group.list")
    return show(args, result, [plain.group_line(row) for row in plain.rows(result, "groups")])


def _group_members(args: argparse.Namespace) -> int:
    result = ask(args, "group.members", group=args.group)
    return show(args, result, [plain.member_line(row) for row in plain.rows(result, "members")])


def _group_seized(args: argparse.Namespace) -> int:
    result = ask(args, "group.seized", member=args.member, seized=not args.undo)
    return show(args, result, [plain.group_line(row) for row in plain.rows(result, "groups")])


COMMANDS: dict[str, Command] = {
    **dict.fromkeys(
        (f"group.{what}" for what in ("new", "add", "remove", "admin", "rename", "leave")), _group
    ),
    "group.list": _group_list,
    "group.members": _group_members,
    "group.seized": _group_seized,
}
