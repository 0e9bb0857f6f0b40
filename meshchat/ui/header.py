"""What stands around the history: a line above, a pane beside, and words where it is empty.

Whether a chat is safe is said here, always, and in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshchat.core.identity import key_tag
from meshchat.core.model import Contact, Room, Trust
from meshchat.i18n import _
from meshchat.text import Clean
from meshchat.ui.group_deeds import header_words, member_name
from meshchat.ui.reports import moment, silent_words

if TYPE_CHECKING:
    from meshchat.ui.front import Front
    from meshchat.ui.glyphs import Glyphs
    from meshchat.ui.parts import Part


def header_parts(front: Front, brief: bool, writes: bool) -> tuple[Part, ...]:
    """The open chat: its name, and whether it is safe.

    Args:
        front: Knows which chat is open.
        brief: There is little room.
        writes: The contact is writing now.
    """
    names, chat, node = front.names, front.chat, front.backend.node
    contact, room, group = names.contact(chat), names.room(chat), names.group(chat)
    name = (names.of_chat(chat), "bold")
    if contact is not None:
        parts: list[Part] = [name, *state_parts(contact, front.glyphs, brief)]
        if contact.fp in names.silent:
            parts.append((Clean(f"  {silent_words(contact)}"), "bold"))
        if node.signs_shown(contact.fp):
            parts.append((Clean("  " + _("compare signs now: /check")), "bold"))
        if writes:
            parts.append(Clean("  " + _("is writing")))
        return tuple(parts)
    if room is not None:
        kind = _("private room") if room.private else _("public: anyone may read")
        return name, Clean(f"  {kind}")
    if group is not None:
        return name, Clean(f"  {header_words(front, group)}")
    return (Clean("meshchat"),)


def about_text(front: Front) -> Clean:
    """The pane that is there when the window is wide."""
    names, chat = front.names, front.chat
    group = names.group(chat)
    if group is None:
        return Clean("\n".join(about_lines(names.contact(chat), names.room(chat))))
    members = front.backend.node.members(group.gid)
    rows = [str(member_name(front, chat, member)) for member in members]
    return Clean("\n".join([str(names.of_chat(chat)), "", *rows]))


def nothing_words(front: Front) -> Clean:
    """What an empty pane says: the next key."""
    names, chat = front.names, front.chat
    contact = names.contact(chat)
    if contact is not None and contact.request:
        return Clean(_("A stranger. /accept lets them write to you, /block ends it."))
    if chat[:1] == b"g":
        text = _("Nothing here yet. /invite NAME adds a contact, /members shows who is here.")
        return Clean(text)
    if chat:
        return Clean(_("Nothing here yet. Write something and press Enter."))
    if names.requests and not names.chats:
        text = _("Somebody you do not know has written to you. Esc shows who, Enter opens it.")
        return Clean(text)
    text = _(
        "No chats yet.\n\n"
        "/card        show your card and its QR code to a friend\n"
        "/add         add a friend by card\n"
        "/join #name  join a room\n"
        "/group name  make a private group\n\n"
        "F1 help"
    )
    return Clean(text)


def state_parts(contact: Contact, glyphs: Glyphs, brief: bool = False) -> tuple[Part, ...]:
    """What the header says about a contact's key, in signs and words."""
    tag = key_tag(contact.fp)
    if contact.blocked:
        return (Clean(f"  {_('blocked')}"),)
    if contact.request:
        rest = "" if brief else " · " + _("key {tag} · /accept  /block").format(tag=tag)
        return (Clean(f"  {_('stranger')}{rest}"),)
    if contact.trust is Trust.VERIFIED:
        return (Clean(f"  {glyphs.verified}" + ("" if brief else f" {_('verified')}")),)
    if contact.trust is Trust.CHANGED:
        warning = _("key changed") if brief else _("key changed: nothing is sent to this one")
        return ((Clean(f"  {glyphs.changed} {warning}"), "bold"),)
    if contact.trust is Trust.REVOKED:
        for_good = _("key revoked for good: somebody else may have it")
        warning = _("key revoked") if brief else for_good
        return ((Clean(f"  {glyphs.changed} {warning}"), "bold"),)
    state = _("introduced") if contact.trust is Trust.INTRODUCED else _("not verified")
    return (Clean(f"  {glyphs.unverified} {state} · {tag}" + ("" if brief else " · F2")),)


def about_lines(contact: Contact | None, room: Room | None) -> list[str]:
    """The pane that is there when the window is wide."""
    if contact is not None:
        lines = [contact.petname, "", _("calls itself “{name}”").format(name=contact.claimed)]
        lines.append(_("key {tag}").format(tag=key_tag(contact.fp)))
        if contact.heard_at:
            lines.append(_("heard {moment}").format(moment=moment(contact.heard_at)))
        return [*lines, "", _("F2 words to compare")]
    if room is not None:
        kind = _("Who has the passphrase reads it.") if room.private else _("Anyone may read it.")
        return [
            f"#{room.name}",
            "",
            kind,
            _("joined {moment}").format(moment=moment(room.joined_at)),
        ]
    return []
