"""What the commands about private groups do, and how their members are called."""

from __future__ import annotations

from meshchat.core import events as core
from meshchat.core.identity import key_tag, name_skeleton
from meshchat.core.model import ChatId, Group, GroupMember, Membership, Trust
from meshchat.errors import UsageError
from meshchat.i18n import _, ngettext
from meshchat.text import Clean
from meshchat.ui.front import Front

CLAIMS_LOOKED = (
    500  # newest messages in which the names that members give themselves are looked for
)
MISTAKE = "-"


class GroupDeeds:
    """Commands of the table about groups; part of ``Deeds``."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def _do(self, wish: core.Command) -> object:
        return await self._front.backend.command(wish)

    async def do_group(self, rest: str) -> None:
        made = await self._do(core.CreateGroup(rest))
        assert isinstance(made, Group)
        self._front.reload()
        self._front.open(b"g" + made.gid)
        self._front.say(_("You are alone in it: /invite NAME adds a contact."))

    async def do_members(self, _rest: str) -> None:
        front = self._front
        lines = []
        for member in front.backend.node.members(front.chat[1:]):
            contact = front.names.member(member.fp)
            marks = [_("admin")] if member.admin else []
            if contact is None and not is_own(front, member):
                marks.append(_("not a contact of yours"))
            elif contact is not None and contact.trust is Trust.VERIFIED:
                marks.append(_("verified"))
            if not member.key:
                marks.append(_("has not answered yet"))
            name = member_name(front, front.chat, member)
            lines.append(f"{name}  {', '.join(marks)}".rstrip())
        if out := membership_words(front.names.groups[front.chat[1:]]):
            lines.append(out)
        lines += ["", _("A message here is at most carried: nobody can prove that all have it.")]
        lines += [_("Who is removed reads nothing of what is written afterwards.")]
        front.reading(front.names.of_chat(front.chat), "\n".join(lines).strip())

    async def do_invite(self, rest: str) -> None:
        contact = self._front.names.person(rest)
        if contact is None:
            raise UsageError("unknown_contact", _("You know nobody of that name."))
        await self._do(core.AddMember(self._front.chat[1:], contact.fp))
        text = _("{name} is added, and reads what is written from now on.")
        self._front.say(text.format(name=contact.petname))

    def _member(self, typed: str) -> tuple[GroupMember, Clean]:
        front = self._front
        wanted = typed.strip().removeprefix("@")
        members = front.backend.node.members(front.chat[1:])
        named = [(member, member_name(front, front.chat, member)) for member in members]
        for same in (str.casefold, name_skeleton, _tag):
            found = [one for one in named if same(one[1]) and same(one[1]) == same(wanted)]
            if len(found) == 1:
                return found[0]
        raise UsageError("no_member", _("Nobody here has that name: /members shows all."))

    async def do_remove(self, rest: str) -> None:
        member, name = self._member(rest)
        if await self._front.ask(_("Remove {name} from this group?").format(name=name)):
            await self._do(core.RemoveMember(self._front.chat[1:], member.fp))
            text = _("{name} is removed, and reads nothing of what is written from now on.")
            self._front.say(text.format(name=name))

    async def do_admin(self, rest: str) -> None:
        member, name = self._member(rest)
        question = _("Let {name} add and remove others? This cannot be taken back.")
        if await self._front.ask(question.format(name=name)):
            await self._do(core.MakeAdmin(self._front.chat[1:], member.fp))
            self._front.say(_("{name} is an admin.").format(name=name))

    async def do_seized(self, rest: str) -> None:
        front, mistake = self._front, rest.startswith(MISTAKE)
        typed = rest.removeprefix(MISTAKE).strip()
        contact = front.names.person(typed)
        if contact is not None:
            fp, name = contact.fp, contact.petname
        else:
            member, name = self._member(typed)
            fp = member.fp
        question = _("Is the device of {name} in wrong hands? Out of all groups, without a word.")
        if mistake or await front.ask(question.format(name=name)):
            done = await self._do(core.ReportSeized(fp, not mistake))
            count = len(done) if isinstance(done, list) else 0
            text = ngettext("Done in {count} group.", "Done in {count} groups.", count)
            front.say(text.format(count=count))


def _tag(name: str) -> str:
    """The key tag at the end of a name, if there is one."""
    return name.rpartition("~")[2].upper() if "~" in name else ""


def is_own(front: Front, member: GroupMember) -> bool:
    """Whether this member is our user."""
    return front.backend.node.fp.startswith(member.fp)


def member_name(front: Front, chat: ChatId, member: GroupMember) -> Clean:
    """Our name for a contact; of others what they call themselves, and the key tag."""
    if is_own(front, member):
        return Clean(_("you"))
    contact = front.names.member(member.fp)
    if contact is not None:
        return contact.petname
    said = front.backend.store.messages(chat, limit=CLAIMS_LOOKED)
    claimed = next((m.author_name for m in reversed(said) if m.author == member.fp), Clean())
    return Clean.line(f"{claimed[:20] or _('someone')}~{key_tag(member.fp)}")


def member_names(front: Front) -> list[str]:
    """Of the open group, for Tab; without our user."""
    if front.chat[:1] != b"g":
        return []
    members = front.backend.node.members(front.chat[1:])
    return [str(member_name(front, front.chat, m)) for m in members if not is_own(front, m)]


def membership_words(group: Group) -> str:
    """How we stand to a group, if not as a member."""
    if group.membership is Membership.REMOVED:
        return _("You were removed from this group: you can only read it.")
    if group.membership is Membership.LEFT:
        return _("You left this group.")
    return ""


def header_words(front: Front, group: Group) -> str:
    """What stands behind a group's name."""
    if group.membership is not Membership.MEMBER:
        removed = group.membership is Membership.REMOVED
        return _("group · you were removed") if removed else _("group · you left")
    count = len(front.backend.node.members(group.gid))
    if count == 1:
        return _("only you · /invite NAME")
    text = ngettext("group · {count} member", "group · {count} members", count)
    return text.format(count=count)
