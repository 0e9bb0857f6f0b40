"""Results of verbs as lines for people, in their language.

What is printed passes the ``Clean`` gate once more. The words of JSON stay what they are there
and are looked up here.
"""

from collections.abc import Mapping

from meshchat.i18n import N_, _, ngettext, said

WORDS = (  # of JSON: trust, membership, state and steps of a message, marks of rooms
    *(N_("own"), N_("unverified"), N_("introduced"), N_("verified"), N_("changed")),
    *(N_("revoked"), N_("stranger"), N_("member"), N_("left"), N_("removed")),
    *(N_("received"), N_("queued"), N_("carried"), N_("delivered"), N_("read"), N_("failed")),
    *(N_("written"), N_("sealed"), N_("handed"), N_("expired"), N_("complete"), N_("edited")),
    *(N_("edit_delivered"), N_("retracted"), N_("retract_delivered")),
    *(N_("shown"), N_("hidden"), N_("blocked"), N_("moderator")),
)


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


def word(code: object) -> str:
    """A word of JSON in our user's language."""
    return _(str(code))


def _reason(code: object) -> str:
    """Why, in words, and the code that docs/howto/when-things-go-wrong.md explains."""
    from meshchat.ui.glyphs import reason_words

    code = str(code)
    words = _("no node") if code == "no_node" else reason_words(code)
    return code if words == code.replace("_", " ") else f"{words} ({code})"


def _unread(row: Mapping[str, object]) -> str:
    count = row.get("unread")
    if not isinstance(count, int) or not count:
        return ""
    return ", " + ngettext("{count} new", "{count} new", count).format(count=count)


def contact_line(contact: Mapping[str, object]) -> str:
    marks = [word(contact.get("trust"))]
    if contact.get("request"):
        marks = [_("wants to be a contact")]
    if contact.get("introduced_by"):
        marks.append(_("introduced by {name}").format(name=contact["introduced_by"]))
    if contact.get("blocked"):
        marks.append(_("blocked"))
    fp = str(contact.get("fp"))[:16]
    return f"{contact.get('name')}  [{', '.join(marks)}]  {fp}{_unread(contact)}"


def message_lines(message: Mapping[str, object]) -> list[str]:
    chat = part(message, "chat")
    own = bool(message.get("outgoing"))
    if own:
        who = _("me ({state})").format(state=word(message.get("state")))
    else:
        who = f"{message.get('author_name')} [{word(message.get('trust'))}]"
    where = f"{chat.get('name')}: " if own or chat.get("kind") != "contact" else ""
    first, *rest = _text(message).split("\n") or [""]
    if message.get("reply_to"):
        first = _("(to {id}) {text}").format(id=message["reply_to"], text=first)
    head = f"{message.get('id')}  {clock(message.get('received_at_s'))}  {where}{who}: {first}"
    lines = [head, *(f"    {line}" for line in rest)]
    reactions = [f"{each.get('emoji')} {each.get('count')}" for each in rows(message, "reactions")]
    return [*lines, "    " + "  ".join(reactions)] if reactions else lines


def _text(message: Mapping[str, object]) -> str:
    """What a message says; of what is not written by people, our words for it."""
    text, note = str(message.get("text")), message.get("note")
    if message.get("retracted_at"):
        own = message.get("outgoing")
        return _("[you asked to delete this]") if own else _("[deleted by its author]")
    if note == "revocation":
        return _("[my revocation, for you to keep]")
    if note == "timer":
        return _timer(message.get("timer_s"))
    if note == "file" and text.startswith("[file "):
        return _("[file {what}").format(what=text.removeprefix("[file "))
    return f"{text} {_('(edited)')}" if message.get("edited_at") else text


def _timer(seconds: object) -> str:
    from meshchat.ui.reports import span

    if not isinstance(seconds, int) or not seconds:
        return _("[messages stay from now on]")
    return _("[messages disappear {span} after they were read]").format(span=span(seconds))


def chat_lines(result: Mapping[str, object]) -> list[str]:
    """What is set for a chat."""
    options = part(result, "options")
    rings = {
        "all": _("notifications: all"),
        "mentions": _("notifications: mentions"),
        "none": _("notifications: none"),
    }
    words = [rings.get(str(options.get("notify")), "")]
    days, timer = options.get("keep_days"), options.get("timer_s")
    if isinstance(days, int) and days:
        kept = ngettext(
            "messages are kept here for {count} day",
            "messages are kept here for {count} days",
            days,
        )
        words.append(kept.format(count=days))
    else:
        words.append(_("messages are kept here"))
    if isinstance(timer, int) and timer:
        from meshchat.ui.reports import span

        gone = _("new ones disappear {span} after being read")
        words[-1] += ", " + gone.format(span=span(timer))
    words += [_("pinned")] if options.get("pinned") else []
    words += [_("archived")] if options.get("archived") else []
    return [f"{part(result, 'chat').get('name')}  {'; '.join(filter(None, words))}"]


def room_line(room: Mapping[str, object]) -> str:
    kind = _("passphrase") if room.get("private") else _("public")
    return f"{room.get('name')}  [{kind}]  {str(room.get('rid'))[:16]}{_unread(room)}"


def group_line(group: Mapping[str, object]) -> str:
    marks = [_("admin")] if group.get("admin") else []
    if group.get("membership") != "member":
        marks.append(word(group.get("membership")))
    marks.append(_("members: {count}").format(count=group.get("members")))
    gid = str(group.get("gid"))[:16]
    return f"{group.get('name')}  [{', '.join(marks)}]  {gid}{_unread(group)}"


def member_line(member: Mapping[str, object]) -> str:
    marks = [word(member.get("trust"))]
    if member.get("admin"):
        marks.append(_("admin"))
    if not member.get("key_known"):
        marks.append(_("has not answered yet"))
    return f"{member.get('name')}  [{', '.join(marks)}]  {str(member.get('fp'))[:16]}"


def journey_lines(result: Mapping[str, object]) -> list[str]:
    """A message, its state, and each step it took."""
    message = part(result, "message")
    lines = message_lines(message)
    state = _("state: {state}, carried by {count}")
    lines.append(state.format(state=word(message.get("state")), count=message.get("carriers")))
    if message.get("reason"):
        lines.append(_("reason: {why}").format(why=_reason(message["reason"])))
    lines.append(_("expires: {when}").format(when=clock(message.get("expires_at_s"))))
    for version in rows(result, "versions"):
        text = _("text: {text}").format(text=version.get("text"))
        lines.append(f"{clock(version.get('sent_at_s'))}  {text}")
    for step in rows(result, "journey"):
        detail = f" ({_reason(step['detail'])})" if step.get("detail") else ""
        lines.append(f"{clock(step.get('at_s'))}  {word(step.get('what'))}{detail}")
    return lines


def status_lines(result: Mapping[str, object]) -> list[str]:
    """What ``meshchat status`` shows."""
    lines = [
        f"{result.get('name')}  {str(result.get('fp'))[:16]}  meshchat {result.get('version')}",
        _("the node is running") if result.get("running") else _("no node is running"),
    ]
    trouble = part(result, "trouble")
    if trouble:
        lines.append(_("trouble: {what}").format(what=said(trouble.get("message"))))
    lines += [_transport_line(row) for row in rows(result, "transports")]
    for one in rows(result, "neighbours"):
        who = one.get("contact") or _("stranger {tag}").format(tag=one.get("tag"))
        near = _("neighbour {who} over {transport}")
        lines.append(near.format(who=who, transport=one.get("transport")))
    waiting = _("waiting {queued}, on their way {carried}")
    lines.append(waiting.format(queued=result.get("queued"), carried=result.get("carried")))
    held = _(
        "custody: {own} own, {mine} for me, {carried} for others; "
        "{size_bytes} of {quota_bytes} bytes"
    )
    names = ("own", "mine", "carried", "size_bytes", "quota_bytes")
    custody = part(result, "custody")
    lines.append(held.format(**{name: custody.get(name) for name in names}))
    counters = part(result, "counters")
    if counters:
        listed = ", ".join(f"{k} {v}" for k, v in sorted(counters.items()))
        lines.append(_("counters: {listed}").format(listed=listed))
    return lines


def _transport_line(transport: Mapping[str, object]) -> str:
    state = _("on") if transport.get("on") else _("off")
    why = f": {_reason(transport['reason'])}" if transport.get("reason") else ""
    remedy = f". {said(transport['remedy'])}" if transport.get("remedy") else ""
    return f"{transport.get('name')}  {state}{why}{remedy}"


def check_lines(checks: list[tuple[str, str, str]]) -> list[str]:
    """What ``meshchat doctor`` found: level, name and sentence of each check, in columns."""
    found = [(word(level), word(name), said(says)) for level, name, says in checks]
    wide = [max(map(len, column)) for column in zip(*found, strict=True)][:2]
    return [f"{level:<{wide[0]}}  {name:<{wide[1]}} {says}" for level, name, says in found]
