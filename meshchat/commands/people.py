"""Ourselves and our contacts: cards, names, trust, live checks, revocations."""

import argparse
import sys
from pathlib import Path

from meshchat import plain
from meshchat.commands.console import Command, Json, answer_to, ask, is_no, is_yes, read_text, show
from meshchat.errors import TrustError, UsageError
from meshchat.i18n import N_, said


def _card(args: argparse.Namespace) -> int:
    result = ask(args, "card")
    card = str(result.get("card"))
    if args.out:
        try:
            with Path(args.out).open("x", encoding="ascii") as file:
                try:
                    file.write(card + "\n")
                    file.flush()
                except OSError:  # a full disk: half a card would be in the way of the next try
                    Path(args.out).unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise UsageError(
                "unwritable", f"{args.out} cannot be written: {error.strerror}."
            ) from None
        return show(args, {**result, "file": args.out}, [said(f"Your card is in {args.out}.")])
    if args.qr and not args.json:
        import segno

        segno.make(card.upper(), error="l", micro=False).terminal(sys.stdout, compact=True)
        return 0
    return show(args, result, [card])


def _name(args: argparse.Namespace) -> int:
    result = ask(args, "name", new=args.new)
    return show(args, result, [str(result.get("name"))])


def _contact_add(args: argparse.Namespace) -> int:
    card = args.card
    if not card.strip().lower().startswith("meshchat:"):
        try:
            card = read_text(card, N_("The card"))
        except UsageError as error:
            if error.reason != "unreadable" or card == "-":
                raise
            raise UsageError(
                "no_card", 'A card starts with "meshchat:"; this is no card and no file to read.'
            ) from None
    given = {"as": args.petname, "replaces": args.replaces}
    return _one_contact(args, ask(args, "contact.add", card=card, **given))


def _one_contact(args: argparse.Namespace, result: Json) -> int:
    return show(args, result, [plain.contact_line(plain.part(result, "contact"))])


def _contact_list(args: argparse.Namespace) -> int:
    result = ask(args, "contact.list")
    return show(args, result, [plain.contact_line(row) for row in plain.rows(result, "contacts")])


def _contact_verify(args: argparse.Namespace) -> int:
    asks = sys.stdin.isatty() and not (args.yes or args.undo or args.json)
    if args.words or asks:
        result = ask(args, "words", name=args.name)
        words = result.get("words")
        shown = " ".join(words) if isinstance(words, list) else ""
        show(args, result, [said(f"Both screens must show these words, in this order:\n{shown}")])
        if args.words:
            return 0
        if not is_yes(answer_to(said("Are they the same on both? Type yes: "))):
            raise UsageError("not_confirmed", "Nothing was changed.")
    verified = not args.undo
    return _one_contact(args, ask(args, "contact.verify", name=args.name, verified=verified))


def _contact_check(args: argparse.Namespace) -> int:
    """On a terminal: show the signs, ask, record the answer."""
    answer = "same" if args.same else "different" if args.different else None
    result = ask(args, "contact.check", name=args.name, answer=answer)
    if answer or args.json:
        return _one_contact(args, result)
    words = [f"{row.get('sign')}  {row.get('word')}" for row in plain.rows(result, "signs")]
    show(args, result, [said("Read these aloud to each other. Both must see all seven, in order:")])
    show(args, result, [f"  {number}. {word}" for number, word in enumerate(words, 1)])
    if not sys.stdin.isatty():
        return 0
    heard = answer_to(said("Are they the same on both? Type yes or no: "))
    if not is_yes(heard) and not is_no(heard):
        ask(args, "contact.check", name=args.name, answer="cancel")
        raise UsageError("not_confirmed", "The check was cancelled; nothing was changed.")
    answer = "same" if is_yes(heard) else "different"
    result = ask(args, "contact.check", name=args.name, answer=answer)
    _one_contact(args, result)
    if answer == "different":
        raise TrustError(
            "check_different",
            "DIFFERENT: somebody may stand between you. Send nothing secret; exchange cards anew, "
            "in person.",
        )
    return 0


def _contact_silent(args: argparse.Namespace) -> int:
    return _one_contact(args, ask(args, "contact.silent", name=args.name, days=args.days))


def _contact_block(args: argparse.Namespace) -> int:
    return _one_contact(args, ask(args, "contact.block", name=args.name))


def _contact_unblock(args: argparse.Namespace) -> int:
    return _one_contact(args, ask(args, "contact.unblock", name=args.name))


def _contact_rename(args: argparse.Namespace) -> int:
    return _one_contact(args, ask(args, "contact.rename", old=args.old, new=args.new))


def _contact_accept(args: argparse.Namespace) -> int:
    given = {"as": args.petname}
    return _one_contact(args, ask(args, "contact.accept", name=args.name, **given))


def _contact_introduce(args: argparse.Namespace) -> int:
    result = ask(args, "contact.introduce", one=args.one, other=args.other)
    return show(args, result, [str(row.get("id")) for row in plain.rows(result, "messages")])


def _revocation_give(args: argparse.Namespace) -> int:
    result = ask(args, "revocation.give", name=args.name)
    return show(args, result, [str(plain.part(result, "message").get("id"))])


def _revocation_list(args: argparse.Namespace) -> int:
    result = ask(args, "revocation.list")
    return show(args, result, [plain.contact_line(row) for row in plain.rows(result, "contacts")])


def _revocation_release(args: argparse.Namespace) -> int:
    if bool(args.name) is args.own:
        raise UsageError("bad_arguments", "Name a contact, or give --own; not both.")
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError("not_confirmed", "There is no terminal to confirm on; give --yes.")
        asked = said(
            f'This ends the key of {args.name} for all contacts, for good. Type "revoke": '
        )
        if args.own:
            asked = said('This ends your own key for all your contacts, for good. Type "revoke": ')
        if answer_to(asked) != "revoke":
            raise UsageError("not_confirmed", "Nothing was changed.")
    result = ask(args, "revocation.release", name=args.name, own=args.own or None)
    return show(args, result, [said("It is on its way to all their contacts.")])


COMMANDS: dict[str, Command] = {
    "card": _card,
    "name": _name,
    "contact.add": _contact_add,
    "contact.list": _contact_list,
    "contact.verify": _contact_verify,
    "contact.check": _contact_check,
    "contact.silent": _contact_silent,
    "contact.block": _contact_block,
    "contact.unblock": _contact_unblock,
    "contact.rename": _contact_rename,
    "contact.accept": _contact_accept,
    "contact.introduce": _contact_introduce,
    "revocation.give": _revocation_give,
    "revocation.list": _revocation_list,
    "revocation.release": _revocation_release,
}
