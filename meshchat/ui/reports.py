"""What can be read about a message's way and about the node, as plain lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from meshchat.core.identity import key_tag
from meshchat.core.model import Contact, Message, State, Step

if TYPE_CHECKING:
    from meshchat.net.runtime import RuntimeStatus


def journey_text(message: Message, steps: Sequence[Step]) -> str:
    """Where a message is and how it got there, as far as we know."""
    lines = [f"id         {message.id.hex()}", f"state      {_state(message)}"]
    lines.append(f"written    {_moment(message.sent_at)}  (the author's clock)")
    if not message.outgoing:
        lines.append(f"received   {_moment(message.received_at)}")
    if message.delivered_at:
        lines.append(f"delivered  {_moment(message.delivered_at)}")
    if message.expires_at:
        lines.append(f"lives to   {_moment(message.expires_at)}")
    lines += ["", "Its way, as far as we know:"]
    lines += [
        f"  {_moment(step.at)}  {step.what}  {_spaced(step.detail)}".rstrip() for step in steps
    ]
    return "\n".join(lines)


def status_text(status: RuntimeStatus, contacts: Mapping[bytes, Contact]) -> str:
    """What is on, what is off and why, who is near, what we hold."""
    node, custody = status.node, status.node.custody
    lines = [f"you     {node.name} · key {key_tag(node.fp)}"]
    for transport in status.transports:
        state = "on" if transport.on else f"off: {_spaced(transport.reason)}"
        lines.append(f"{transport.name:<7} {state}  {transport.remedy}".rstrip())
        lines += [f"        {_spaced(key)}: {value}" for key, value in transport.detail.items()]
    lines.append(f"links   {len(node.neighbours)}")
    for peer in node.neighbours:
        contact = contacts.get(peer.contact)
        who = contact.petname if contact else f"stranger {peer.tag}"
        lines.append(f"        {peer.transport} {who}, since {_moment(peer.since)}")
    lines.append(f"carry   {custody.carried} for others, {custody.own} own, {custody.mine} for you")
    lines.append(f"        {custody.size_bytes // 1024} of {custody.quota_bytes // 1024} KiB")
    lines.append(f"queue   {node.queued} waiting, {node.carried} on their way")
    if status.trouble is not None:
        lines.append(f"trouble {status.trouble}")
    return "\n".join(lines)


def _state(message: Message) -> str:
    taken = "only a part of it was taken" if message.carriers else "nobody has taken it yet"
    words = {
        State.RECEIVED: "received",
        State.QUEUED: f"queued: {taken}",
        State.CARRIED: f"carried: {message.carriers} neighbours keep a copy and pass it on",
        State.DELIVERED: "delivered: proven by the recipient's device",
        State.READ: "read: the recipient's device showed it",
        State.FAILED: f"failed: {_spaced(message.reason)}",
    }
    waits = message.state is State.QUEUED and message.reason
    return words[message.state] + (f" ({_spaced(message.reason)})" if waits else "")


def _spaced(code: str) -> str:
    return code.replace("_", " ")


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M:%S}"
