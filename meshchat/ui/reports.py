"""What can be read about a message's way, the mesh and the radios, as plain lines of text.

The screens and the linear mode show the same lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from textwrap import wrap
from typing import TYPE_CHECKING

from meshchat.core.custody import TRUSTED_SHIFT
from meshchat.core.identity import key_tag
from meshchat.core.model import NOTE_FILE, Contact, Message, State, Step, Version
from meshchat.core.ports import Store
from meshchat.core.sealed import piece_sizes
from meshchat.i18n import _, ngettext, said
from meshchat.text import Clean
from meshchat.ui.glyphs import Glyphs, is_read, reason_words, trust_sign

if TYPE_CHECKING:
    from meshchat.net.runtime import RuntimeStatus
    from meshchat.net.transport import TransportStatus

QUOTE_CHARS = 200  # of a message, above its journey
PATH_WIDE_CELLS = 72  # from here on the way of a message is drawn in one line
CARRIED_READ_MAX = 5_000  # of what we carry, to tell whose it is; more is said to be more
BAR_CELLS = 20
TABLE_WIDE_CELLS = 60
PEER_CELLS = 28  # a neighbour in the graph, before how long and how much


def journey_text(
    message: Message,
    steps: Sequence[Step],
    versions: Sequence[Version],
    glyphs: Glyphs,
    now: float,
    width: int,
    author: str,
    progress: str = "",
) -> str:
    """Where a message is, how it got there, and how long it still lives, as far as we know.

    Args:
        message: It.
        steps: Its journey from the store.
        versions: Its texts, oldest first, if it was edited.
        glyphs: To draw with.
        now: Seconds since 1970.
        width: Cells of a line.
        author: Who wrote it, in our words.
        progress: How much of its file is there, if it has one under way.
    """
    first = Clean.line(message.text, QUOTE_CHARS)
    lines = [f"{author}: {first}", ""]
    if message.outgoing:
        lines += [_path(message, glyphs, width), ""]
    rows = [(_("state"), state_words(message))]
    if progress:
        rows.append((_("file"), progress))
    if message.outgoing and message.chat[:1] == b"g":
        rows.append((_("group"), _("at most carried: nobody can prove that all have it")))
    handed = [step.at for step in steps if step.what == "handed"]
    if message.state is State.CARRIED and handed:
        rows.append((_("since"), _ago(handed[0], now)))
    if message.delivered_at:
        rows.append((_("delivered"), _ago(message.delivered_at, now)))
    if message.read_at:
        rows.append((_("read"), _ago(message.read_at, now)))
    if message.edited:
        rows.append((_("edited"), _ago(message.edited, now)))
    if message.vanish_s:
        after = _("{span} after being read").format(span=span(message.vanish_s))
        gone = _ahead(message.vanish_at, now) if message.vanish_at else after
        rows.append((_("disappears"), gone))
    rows.append((_("written"), f"{moment(message.sent_at)}  {_('(the author’s clock)')}"))
    if not message.outgoing:
        rows.append((_("received"), moment(message.received_at)))
    if message.expires_at and message.state in (State.QUEUED, State.CARRIED):
        left = message.expires_at - now
        until = moment(message.expires_at)
        life = _("{span} more, to {until}").format(span=span(left), until=until)
        rows.append((_("lives"), life if left > 0 else _("its time is over")))
    rows.append((_("id"), message.id.hex()))
    wide = max(len(name) for name, _what in rows)
    lines += [f"{name:<{wide}}  {what}" for name, what in rows]
    lines += ["", _("Its way, as far as we know:")]
    lines += [f"  {moment(step.at)}  {_step(step)}" for step in steps]
    if versions:
        lines += ["", _("What it said before:")]
        old = versions[:-1]
        lines += [f"  {moment(v.sent)}  {Clean.line(v.text, QUOTE_CHARS)}" for v in old]
    if not steps:
        lines.append("  " + _("nothing is known of it"))
    return "\n".join(lines)


def _path(message: Message, glyphs: Glyphs, width: int) -> str:
    """The stations of one of our messages, those it has passed marked."""
    failed = message.state is State.FAILED
    carried = message.carriers > 0 or message.state is State.CARRIED
    delivered = message.state in (State.DELIVERED, State.READ)
    carriers = _("carried by {count}").format(count=message.carriers) if carried else _("carried")
    stations = [
        (True, _("written")),
        (bool(message.eid) or carried or delivered, _("sealed")),
    ]
    if carried or not delivered:  # handed to its reader at once, nobody carried it
        stations.append((carried, carriers))
    if message.chat[:1] == b"c":
        stations += [(delivered, _("delivered")), (is_read(message), _("read"))]
    on, off = ("[x]", "[ ]") if glyphs.is_plain else (glyphs.on, glyphs.off)
    parts = [f"{on if done else off} {name}" for done, name in stations]
    if failed:
        parts.append(f"{glyphs.failed} {_('failed')}")
    joint = f" {glyphs.rule * 2} "
    return joint.join(parts) if width >= PATH_WIDE_CELLS else "\n".join(parts)


def state_words(message: Message) -> str:
    """The state of a message in one sentence."""
    count = message.carriers
    if message.state is State.CARRIED:
        text = ngettext(
            "carried: {count} neighbour keeps a copy and passes it on",
            "carried: {count} neighbours keep a copy and pass it on",
            count,
        )
        return text.format(count=count)
    if message.state is State.FAILED:
        return _("failed: {why}").format(why=reason_words(message.reason))
    if message.state is State.QUEUED:
        taken = _("only a part of it was taken") if count else _("nobody has taken it yet")
        waits = f" ({reason_words(message.reason)})" if message.reason else ""
        return _("queued: {what}").format(what=taken) + waits
    if message.state is State.READ:
        return _("read: the reader's device says so")
    if message.state is State.DELIVERED:
        return _("delivered: proven by the recipient's device")
    return _("received")


def file_progress(store: Store, message: Message) -> str:
    """How many pieces of a file that is under way have left us, or are here; empty: none is."""
    if message.note != NOTE_FILE:
        return ""
    waits = message.state is State.QUEUED if message.outgoing else message.reason == "file_open"
    file = next((f for f in store.open_files() if f.mid == message.id), None) if waits else None
    if file is None:
        return ""
    total, count = len(piece_sizes(file.manifest.size)), file.marks.bit_count()
    text = _("{count} of {total} pieces out") if file.outgoing else _("{count} of {total} pieces")
    return text.format(count=count, total=total)


def revocation_note(message: Message) -> str:
    """What is said where somebody gave a revocation to keep."""
    if message.outgoing:
        return _("You gave your revocation to keep: it can end your key.")
    return _("Gave you a revocation to keep. If they are taken: /revocation release")


def silent_words(contact: Contact) -> str:
    """That nothing was heard of a contact for longer than our user set."""
    days = contact.silent_days
    return ngettext("silent {count} day", "silent {count} days", days).format(count=days)


def notice_words(code: str, detail: str) -> str:
    """Something the node wants a person to know, in our user's language."""
    known = {
        "contact_silent": _("Nothing was heard of {who} for longer than you set."),
        "restored": _("{who} came back from a backup: what you sent last may be lost to them."),
        "same_name": _(
            "A stranger calls themselves {who}, like your contact: a new key, or a trick. "
            "Ask {who} in person. /requests"
        ),
        "revoked": _("The key of {who} was revoked for good: nothing is sent to it any more."),
        "seizure_reported": _("A device was taken (first name: whose; second: who says so): {who}"),
        "seizure_removed": _("Removed from groups, the device was taken: {who}"),
        "used_elsewhere": _(
            "Another device uses your key: a copy of this profile, or a thief. "
            "If it is not yours, /revocation own ends the key."
        ),
        "store_full": _("The store is full: nothing more is carried for others."),
        "store_writable": _("The store can be written again."),
        "clock_wrong": _("The clock of this device seems wrong: set it, or messages may be late."),
    }
    if code in known:
        return known[code].format(who=Clean.line(detail, 80))
    return said(detail) if detail else code.replace("_", " ")


def _step(step: Step) -> str:
    words = {
        "written": _("written on this device"),
        "sealed": _("sealed: only the reader can open it"),
        "handed": _("a neighbour has stored a whole copy"),
        "expired": _("its envelope ended; sealed anew if there is time"),
        "delivered": _("the proof of delivery reached us"),
        "received": _("received and opened"),
        "complete": _("all pieces are here"),
        "read": _("the reader has seen it"),
        "edited": _("edited"),
        "edit_delivered": _("the edit has reached the reader"),
        "retracted": _("asked to be deleted"),
        "retract_delivered": _("the wish to delete it has reached the reader"),
        "failed": _("failed"),
    }
    what = words.get(step.what) or step.what.replace("_", " ")
    return f"{what} ({reason_words(step.detail)})" if step.detail else what


def radios_text(
    status: RuntimeStatus,
    transports: Sequence[TransportStatus],
    contacts: Mapping[bytes, Contact],
    width: int,
) -> str:
    """What is on, what is off and why, and what to do about it; ``width`` in cells."""
    node = status.node
    lines = [_("you: {name} · key {tag}").format(name=node.name, tag=key_tag(node.fp)), ""]
    lines += transport_lines(transports, status, width, detail=True)
    if not transports:
        lines += [_("There is no radio and no network here: messages wait in the queue."), ""]
    lines += neighbour_lines(status, contacts)
    if status.trouble is not None:
        lines += ["", _("trouble: {what}").format(what=said(status.trouble))]
    return "\n".join(lines)


def transport_lines(
    transports: Sequence[TransportStatus],
    status: RuntimeStatus,
    width: int,
    *,
    detail: bool = False,
) -> list[str]:
    """Each transport: on, or off and why, and what to do; an empty line after each."""
    lines: list[str] = []
    for transport in transports:
        links = sum(peer.transport == transport.name for peer in status.node.neighbours)
        lines.append(f"{transport_title(transport.name)}: {transport_words(transport, links)}")
        if transport.remedy:
            room = max(20, width)  # a window of fewer cells breaks the rest itself
            lines += wrap(said(transport.remedy), room, initial_indent="  ", subsequent_indent="  ")
        if detail:
            lines += [
                f"  {key.replace('_', ' ')}: {value}"
                for key, value in transport.detail.items()
                if value != ""
            ]
        lines.append("")
    return lines


def transport_title(name: str) -> str:
    """A transport as people call it, and as the line at the bottom does."""
    titles = {"lan": _("local network (lan)"), "ble": _("Bluetooth (ble)")}
    return titles.get(name, name)


def transport_words(transport: TransportStatus, links: int) -> str:
    """One transport in a few words."""
    if not transport.on:
        why = reason_words(transport.reason)
        return _("off: {why}").format(why=why) if why else _("off")
    text = ngettext("on, {count} neighbour", "on, {count} neighbours", links).format(count=links)
    return f"{text} ({reason_words(transport.reason)})" if transport.reason else text


def neighbour_lines(status: RuntimeStatus, contacts: Mapping[bytes, Contact]) -> list[str]:
    """Who is near, one a line."""
    peers = status.node.neighbours
    count = len(peers)
    lines = [ngettext("{count} neighbour", "{count} neighbours", count).format(count=count)]
    for peer in peers:
        contact = contacts.get(peer.contact)
        who = contact.petname if contact else _("stranger {tag}").format(tag=peer.tag)
        line = f"  {who}  {peer.transport}  {_('since {when}').format(when=moment(peer.since))}"
        lines.append(line)
    return lines


def mesh_text(
    status: RuntimeStatus,
    store: Store,
    contacts: Mapping[bytes, Contact],
    glyphs: Glyphs,
    now: float,
    width: int,
) -> str:
    """Neighbours as a small graph, what we carry and for whom, queue and quotas."""
    node, custody = status.node, status.node.custody
    lines = [*graph_lines(status, contacts, glyphs, now, width), ""]
    lines.append(_("What this device holds"))
    brought, total = carried_for_contacts(store)
    more = "+" if total >= CARRIED_READ_MAX else ""
    rows = [
        (_("of yours, waiting or on the way"), str(custody.own)),
        (_("for you and your rooms"), str(custody.mine)),
        (_("for others, brought by contacts"), f"{brought}{more}"),
        (_("for others, brought by strangers"), f"{max(0, custody.carried - brought)}{more}"),
        (_("proofs of delivery to pass on"), str(custody.proofs)),
    ]
    if custody.untried:
        rows.append((_("not looked at yet"), str(custody.untried)))
    wide = max(len(name) for name, _what in rows)
    if width < TABLE_WIDE_CELLS:
        lines += [f"  {what} {name}" for name, what in rows]
    else:
        lines += [f"  {name:<{wide}}  {what:>6}" for name, what in rows]
    lines += ["", _quota(custody.size_bytes, custody.quota_bytes, glyphs), ""]
    lines.append(_("Your messages"))
    lines.append("  " + _("{count} waiting for a neighbour").format(count=node.queued))
    lines.append("  " + _("{count} on their way").format(count=node.carried))
    if status.trouble is not None:
        lines += ["", _("trouble: {what}").format(what=said(status.trouble))]
    shown = {name: count for name, count in sorted(node.counters.items()) if count}
    if shown:
        lines += ["", _("Counted since the start")]
        lines += [f"  {name.replace('_', ' ')}  {count}" for name, count in shown.items()]
    return "\n".join(lines)


def graph_lines(
    status: RuntimeStatus,
    contacts: Mapping[bytes, Contact],
    glyphs: Glyphs,
    now: float,
    width: int,
) -> list[str]:
    """Us, and each neighbour on a branch of its own; then contacts that are out of reach."""
    peers = sorted(status.node.neighbours, key=lambda peer: (not peer.contact, peer.transport))
    lines = [_("you ({name})").format(name=status.node.name)]
    for number, peer in enumerate(peers):
        contact = contacts.get(peer.contact)
        joint = glyphs.corner if number == len(peers) - 1 else glyphs.tee
        who = _("stranger {tag}").format(tag=peer.tag)
        if contact is not None:
            who = f"{contact.petname} {trust_sign(glyphs, contact)}"
        line = f" {joint}{glyphs.rule} {peer.transport:<4}{glyphs.rule} {who}"
        if width >= TABLE_WIDE_CELLS:
            moved = _("for {span}, {got} in, {sent} out").format(
                span=span(now - peer.since),
                got=size_words(peer.received_bytes),
                sent=size_words(peer.sent_bytes),
            )
            wide_line = f"{line:<{PEER_CELLS}}{moved}"
            line = wide_line if len(wide_line) <= width else line
        lines.append(line)
    if not peers:
        lines.append("  " + _("nobody is near; what you write waits here. /radios says why"))
    near = {peer.contact for peer in peers}
    away = [c for c in contacts.values() if c.fp not in near and not (c.blocked or c.request)]
    if away:
        lines += ["", _("Contacts out of reach")]
        for contact in sorted(away, key=lambda c: -c.heard_at):
            heard = _("heard {span} ago").format(span=span(now - contact.heard_at))
            when = heard if contact.heard_at else _("never heard")
            lines.append(f"  {contact.petname} {trust_sign(glyphs, contact)}  {when}")
    return lines


def carried_for_contacts(store: Store) -> tuple[int, int]:
    """Of what we carry: how many envelopes a contact brought us, and how many were looked at."""
    rows = store.evictable(origin=None, size_classes=(0, 1, 2, 3), limit=CARRIED_READ_MAX)
    return sum(bool(stamp >> TRUSTED_SHIFT) for _id, _class, _exp, stamp in rows), len(rows)


def _quota(used: int, quota: int, glyphs: Glyphs) -> str:
    full = min(BAR_CELLS, -(-BAR_CELLS * used // max(1, quota))) if used else 0
    on, off = ("#", ".") if glyphs.is_plain else ("█", "░")
    words = _("{used} of {quota} used").format(used=size_words(used), quota=size_words(quota))
    return f"  {on * full}{off * (BAR_CELLS - full)}  {words}"


def size_words(count: int) -> str:
    """Bytes for people."""
    if count < 10_240:
        return _("{count} B").format(count=count)
    if count < 10 * 1024**2:
        return _("{count} KiB").format(count=count // 1024)
    return _("{count} MiB").format(count=count // 1024**2)


def span(seconds: float) -> str:
    """A time for people: the largest unit of which there are two, or minutes."""
    minutes = max(0, int(seconds // 60))
    if 0 < seconds < 60:
        left = int(seconds)
        return ngettext("{count} second", "{count} seconds", left).format(count=left)
    if minutes < 120:
        return ngettext("{count} minute", "{count} minutes", minutes).format(count=minutes)
    hours = minutes // 60
    if hours < 48:
        return ngettext("{count} hour", "{count} hours", hours).format(count=hours)
    return ngettext("{count} day", "{count} days", hours // 24).format(count=hours // 24)


def _ago(at: float, now: float) -> str:
    return _("{moment}, {span} ago").format(moment=moment(at), span=span(now - at))


def _ahead(at: float, now: float) -> str:
    return _("in {span}, {moment}").format(moment=moment(at), span=span(at - now))


def moment(at: float) -> str:
    """A time of this device, to the second."""
    return f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M:%S}"
