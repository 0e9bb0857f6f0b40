"""Results of verbs as lines for people. What is printed passes the ``Clean`` gate once more."""

from collections.abc import Mapping


def part(result: Mapping[str, object], name: str) -> dict[str, object]:
    """The object under a name; empty if there is none."""
    found = result.get(name)
    return found if isinstance(found, dict) else {}


def rows(result: Mapping[str, object], name: str) -> list[dict[str, object]]:
    """The list of objects under a name."""
    found = result.get(name)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def clock(seconds: object) -> str:
    """Seconds since 1970 as local time."""
    from datetime import datetime

    if not isinstance(seconds, int):
        return "-"
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def contact_line(contact: Mapping[str, object]) -> str:
    marks = [str(contact.get("trust"))]
    if contact.get("request"):
        marks = ["wants to be a contact"]
    if contact.get("introduced_by"):
        marks.append(f"introduced by {contact['introduced_by']}")
    if contact.get("blocked"):
        marks.append("blocked")
    unread = f", {contact['unread']} new" if contact.get("unread") else ""
    return f"{contact.get('name')}  [{', '.join(marks)}]  {str(contact.get('fp'))[:16]}{unread}"


def message_lines(message: Mapping[str, object]) -> list[str]:
    chat = part(message, "chat")
    own = bool(message.get("outgoing"))
    who = f"me ({message.get('state')})" if own else f"{message.get('author_name')} "
    if not own:
        who += f"[{message.get('trust')}]"
    where = f"{chat.get('name')}: " if own or chat.get("kind") != "contact" else ""
    text = str(message.get("text"))
    if message.get("retracted_at"):
        text = "[you asked to delete this]" if own else "[deleted by its author]"
    elif message.get("edited_at"):
        text += " (edited)"
    first, *rest = text.split("\n") or [""]
    if message.get("reply_to"):
        first = f"(to {message['reply_to']}) {first}"
    head = f"{message.get('id')}  {clock(message.get('received_at_s'))}  {where}{who}: {first}"
    lines = [head, *(f"    {line}" for line in rest)]
    reactions = [f"{each.get('emoji')} {each.get('count')}" for each in rows(message, "reactions")]
    return [*lines, "    " + "  ".join(reactions)] if reactions else lines


def chat_lines(result: Mapping[str, object]) -> list[str]:
    """What is set for a chat."""
    options = part(result, "options")
    timer, days = options.get("timer_s"), options.get("keep_days")
    kept = f"kept here for {days} days" if days else "kept here"
    if timer:
        kept += f", new ones disappear {timer} seconds after being read"
    marks = [mark for mark in ("pinned", "archived") if options.get(mark)]
    words = [f"notifications: {options.get('notify')}", f"messages are {kept}", *marks]
    return [f"{part(result, 'chat').get('name')}  {'; '.join(words)}"]


def room_line(room: Mapping[str, object]) -> str:
    kind = "passphrase" if room.get("private") else "public"
    unread = f", {room['unread']} new" if room.get("unread") else ""
    return f"{room.get('name')}  [{kind}]  {str(room.get('rid'))[:16]}{unread}"


def group_line(group: Mapping[str, object]) -> str:
    marks = ["admin"] if group.get("admin") else []
    if group.get("membership") != "member":
        marks.append(str(group.get("membership")))
    marks.append(f"members: {group.get('members')}")
    unread = f", {group['unread']} new" if group.get("unread") else ""
    return f"{group.get('name')}  [{', '.join(marks)}]  {str(group.get('gid'))[:16]}{unread}"


def member_line(member: Mapping[str, object]) -> str:
    marks = [str(member.get("trust"))]
    if member.get("admin"):
        marks.append("admin")
    if not member.get("key_known"):
        marks.append("has not answered yet")
    return f"{member.get('name')}  [{', '.join(marks)}]  {str(member.get('fp'))[:16]}"


def journey_lines(result: Mapping[str, object]) -> list[str]:
    """A message, its state, and each step it took."""
    message = part(result, "message")
    lines = message_lines(message)
    lines.append(f"state: {message.get('state')}, carried by {message.get('carriers')}")
    if message.get("reason"):
        lines.append(f"reason: {message['reason']}")
    lines.append(f"expires: {clock(message.get('expires_at_s'))}")
    for version in rows(result, "versions"):
        lines.append(f"{clock(version.get('sent_at_s'))}  text: {version.get('text')}")
    for step in rows(result, "journey"):
        detail = f" ({step['detail']})" if step.get("detail") else ""
        lines.append(f"{clock(step.get('at_s'))}  {step.get('what')}{detail}")
    return lines


def status_lines(result: Mapping[str, object]) -> list[str]:
    """What ``meshchat status`` shows."""
    custody = part(result, "custody")
    lines = [
        f"{result.get('name')}  {str(result.get('fp'))[:16]}  meshchat {result.get('version')}",
        "the node is running" if result.get("running") else "no node is running",
    ]
    trouble = part(result, "trouble")
    if trouble:
        lines.append(f"trouble: {trouble.get('message')}")
    for transport in rows(result, "transports"):
        state = "on" if transport.get("on") else "off"
        why = f": {transport['reason']}" if transport.get("reason") else ""
        remedy = f". {transport['remedy']}" if transport.get("remedy") else ""
        lines.append(f"{transport.get('name')}  {state}{why}{remedy}")
    for one in rows(result, "neighbours"):
        who = one.get("contact") or f"stranger {one.get('tag')}"
        lines.append(f"neighbour {who} over {one.get('transport')}")
    lines += [
        f"waiting {result.get('queued')}, on their way {result.get('carried')}",
        f"custody: {custody.get('own')} own, {custody.get('mine')} for me, "
        f"{custody.get('carried')} for others; "
        f"{custody.get('size_bytes')} of {custody.get('quota_bytes')} bytes",
    ]
    counters = part(result, "counters")
    if counters:
        lines.append("counters: " + ", ".join(f"{k} {v}" for k, v in sorted(counters.items())))
    return lines
