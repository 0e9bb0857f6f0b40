"""Private groups: their members, admins and names."""

from meshchat.core.events import (
    AddMember,
    Command,
    CreateGroup,
    LeaveGroup,
    MakeAdmin,
    RemoveMember,
    RenameGroup,
    ReportSeized,
)
from meshchat.core.model import Group, Membership
from meshchat.errors import UsageError
from meshchat.net.verbs.forms import group_json, member_json
from meshchat.net.verbs.names import resolve_contact, resolve_group, resolve_member
from meshchat.net.verbs.session import Args, Json, Session, Verb


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


VERBS: dict[str, Verb] = {
    "group.new": Verb(_group_new, {"name": str}, {"members": list}),
    "group.add": Verb(_group_add, {"group": str, "member": str}, {}),
    "group.remove": Verb(_group_remove, {"group": str, "member": str}, {}),
    "group.admin": Verb(_group_admin, {"group": str, "member": str}, {}),
    "group.rename": Verb(_group_rename, {"group": str, "new": str}, {}),
    "group.leave": Verb(_group_leave, {"group": str}, {}),
    "group.list": Verb(_group_list, {}, {}),
    "group.members": Verb(_group_members, {"group": str}, {}),
    "group.seized": Verb(_group_seized, {"member": str}, {"seized": bool}),
}
