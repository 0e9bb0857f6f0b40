"""Who and what is meant: contacts, rooms, groups, members and messages by what people type."""

import difflib
from collections.abc import Callable, Iterable

from meshchat.core.identity import key_tag, name_skeleton, room_name
from meshchat.core.model import ChatId, Contact, Group, GroupMember, Membership, Message, Room
from meshchat.errors import UsageError
from meshchat.i18n import N_
from meshchat.net.verbs.session import Session
from meshchat.text import Clean

FP_PREFIX_MIN = 6  # hex digits: fewer are more likely a name or a typing error
NEAREST_MAX = 3
GROUP_PREFIX = "group:"  # a group has the name an admin gave it: never mistaken for a person


def resolve_contact(session: Session, name: str, *, whole: bool = False) -> Contact:
    """The contact meant by a petname (exact, then look-alike, then prefix) or fingerprint prefix.

    Args:
        session: Whose contacts.
        name: As typed.
        whole: The beginning of a petname is not enough: what is sent cannot be called back.

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
        lambda c: bool(wanted) and not whole and c.petname.casefold().startswith(wanted.casefold()),
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


def resolve(session: Session, to: str, *, whole: bool = False) -> ChatId:
    """The conversation meant by a contact's name (``whole``: all of it), ``#room`` or
    ``group:NAME``."""
    if to.strip().startswith("#"):
        return b"r" + resolve_room(session, to).rid
    if to.strip().startswith(GROUP_PREFIX):
        return b"g" + resolve_group(session, to).gid
    return b"c" + resolve_contact(session, to, whole=whole).fp


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
