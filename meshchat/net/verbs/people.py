"""Ourselves and our contacts: cards, names, trust, live checks, revocations."""

import asyncio

from meshchat.core.events import (
    Accept,
    AddContact,
    AnswerCheck,
    Block,
    CancelCheck,
    CheckEnded,
    CheckShown,
    Command,
    GiveRevocation,
    Introduce,
    ReleaseRevocation,
    Rename,
    SetName,
    StartCheck,
    Verify,
    WatchSilence,
)
from meshchat.core.identity import key_tag
from meshchat.core.model import Contact, Message
from meshchat.errors import UsageError
from meshchat.net.runtime import News
from meshchat.net.verbs.forms import check_json, contact_json, message_json
from meshchat.net.verbs.names import resolve_contact
from meshchat.net.verbs.session import Args, Json, Session, Verb

CHECK_WAIT_S = 20.0  # the other node answers by itself, or its time is over in the core


async def _contact_command(session: Session, command: Command) -> Json:
    """Carry out a command whose result is a contact."""
    result = await session.runtime.command(command)
    fp = result.fp if isinstance(result, Contact) else getattr(command, "fp", b"")
    contact = session.runtime.store.contact(fp)
    return {"contact": contact_json(session, contact) if contact else None}


async def _card(session: Session, _: Args) -> Json:
    node = session.runtime.node
    fp = node.fp
    text = node.card_text()
    return {"fp": fp.hex(), "tag": key_tag(fp), "name": session.own_name(), "card": text}


async def _name(session: Session, args: Args) -> Json:
    if args.text("new"):
        await session.runtime.command(SetName(args.text("new")))
    return {"name": session.own_name()}


async def _words(session: Session, args: Args) -> Json:
    contact = resolve_contact(session, args.text("name"))
    words = session.runtime.node.safety_words(contact.fp)
    return {"contact": contact_json(session, contact), "words": list(words)}


async def _contact_add(session: Session, args: Args) -> Json:
    replaces = args.text("replaces")
    old = resolve_contact(session, replaces).fp if replaces else b""
    return await _contact_command(session, AddContact(args.text("card"), args.text("as"), old))


async def _contact_list(session: Session, _: Args) -> Json:
    store = session.runtime.store
    unread = {row.chat: row.unread for row in store.chats()}
    return {
        "contacts": [
            {**contact_json(session, contact), "unread": unread.get(b"c" + contact.fp, 0)}
            for contact in store.contacts()
        ]
    }


async def _contact_verify(session: Session, args: Args) -> Json:
    fp = resolve_contact(session, args.text("name")).fp
    return await _contact_command(session, Verify(fp, args.flag("verified", True)))


async def _contact_check(session: Session, args: Args) -> Json:
    """Begin a check, or answer the one that is shown."""
    if not session.serving:
        raise UsageError("no_node", "A live check needs a running node: meshchat node, or meshchat")
    fp, answer = resolve_contact(session, args.text("name")).fp, args.text("answer")
    runtime = session.runtime
    if answer == "cancel":
        await runtime.command(CancelCheck(fp))
    elif answer:
        if answer not in ("same", "different"):
            raise UsageError("bad_answer", "Answer same, different or cancel.")
        await runtime.command(AnswerCheck(fp, answer == "same"))
    elif not runtime.node.signs_shown(fp):
        found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def hear(news: News) -> None:
            if isinstance(news, CheckShown | CheckEnded) and news.fp == fp and not found.done():
                found.set_result(news.reason if isinstance(news, CheckEnded) else "")

        unsubscribe = runtime.subscribe(hear)
        try:
            await runtime.command(StartCheck(fp))
            reason = await asyncio.wait_for(found, CHECK_WAIT_S)
        finally:
            unsubscribe()
        if reason:
            raise UsageError("check_ended", f"The check ended ({reason}): try again in a moment.")
    return check_json(session, fp, runtime.node.signs_shown(fp))


async def _contact_silent(session: Session, args: Args) -> Json:
    fp = resolve_contact(session, args.text("name")).fp
    return await _contact_command(session, WatchSilence(fp, args.number("days", 0)))


async def _contact_rename(session: Session, args: Args) -> Json:
    fp = resolve_contact(session, args.text("old")).fp
    return await _contact_command(session, Rename(fp, args.text("new")))


async def _contact_block(session: Session, args: Args) -> Json:
    fp = resolve_contact(session, args.text("name")).fp
    return await _contact_command(session, Block(fp))


async def _contact_unblock(session: Session, args: Args) -> Json:
    fp = resolve_contact(session, args.text("name")).fp
    return await _contact_command(session, Block(fp, blocked=False))


async def _contact_accept(session: Session, args: Args) -> Json:
    fp = resolve_contact(session, args.text("name")).fp
    return await _contact_command(session, Accept(fp, args.text("as")))


async def _contact_introduce(session: Session, args: Args) -> Json:
    one, other = (resolve_contact(session, args.text(name)).fp for name in ("one", "other"))
    if one == other:
        raise UsageError("same_contact", "Name two different contacts to introduce.")
    result = await session.runtime.command(Introduce(one, other))
    sent = result if isinstance(result, tuple | list) else ()
    return {"messages": [message_json(session, message) for message in sent]}


async def _revocation_give(session: Session, args: Args) -> Json:
    fp = resolve_contact(session, args.text("name")).fp
    message = await session.runtime.command(GiveRevocation(fp))
    assert isinstance(message, Message)
    return {"message": message_json(session, message)}


async def _revocation_list(session: Session, _: Args) -> Json:
    contact = session.runtime.store.contact
    kept = [contact(fp) for fp in session.runtime.node.revocations_kept()]
    return {"contacts": [contact_json(session, one) for one in kept if one is not None]}


async def _revocation_release(session: Session, args: Args) -> Json:
    if bool(args.text("name")) is args.flag("own", False):
        raise UsageError("bad_arguments", "Name a contact, or say that your own key is meant.")
    if args.flag("own", False):
        await session.runtime.command(ReleaseRevocation(session.runtime.node.fp))
        return {"contact": None}
    fp = resolve_contact(session, args.text("name")).fp
    return await _contact_command(session, ReleaseRevocation(fp))


VERBS: dict[str, Verb] = {
    "card": Verb(_card, {}, {}),
    "name": Verb(_name, {}, {"new": str}),
    "words": Verb(_words, {"name": str}, {}),
    "contact.add": Verb(_contact_add, {"card": str}, {"as": str, "replaces": str}),
    "contact.list": Verb(_contact_list, {}, {}),
    "contact.verify": Verb(_contact_verify, {"name": str}, {"verified": bool}),
    "contact.check": Verb(_contact_check, {"name": str}, {"answer": str}),
    "contact.silent": Verb(_contact_silent, {"name": str, "days": int}, {}),
    "contact.rename": Verb(_contact_rename, {"old": str, "new": str}, {}),
    "contact.block": Verb(_contact_block, {"name": str}, {}),
    "contact.unblock": Verb(_contact_unblock, {"name": str}, {}),
    "contact.accept": Verb(_contact_accept, {"name": str}, {"as": str}),
    "contact.introduce": Verb(_contact_introduce, {"one": str, "other": str}, {}),
    "revocation.give": Verb(_revocation_give, {"name": str}, {}),
    "revocation.list": Verb(_revocation_list, {}, {}),
    "revocation.release": Verb(_revocation_release, {}, {"name": str, "own": bool}),
}
