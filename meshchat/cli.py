"""The command line: parses arguments, asks the running node or opens the store, prints.

docs/reference/cli.md is the contract, exit codes included. Heavy modules are
imported where they are needed, so that ``--help`` costs next to nothing.
"""

import argparse
import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from meshchat import __version__
from meshchat.errors import MeshchatError, StoreError, UsageError

if TYPE_CHECKING:
    from meshchat.net.client import Client
    from meshchat.profile import Profile, RuntimeOptions

Json = dict[str, object]

EXIT_INTERRUPTED = 130  # as a shell has it for Ctrl+C
EXIT_PIPE = 141  # and for a reader that went away
LOCK_WAIT_S = 3.0  # another command of ours holds the profile for a moment only
STOP_WAIT_S = 15.0  # for a node asked to end before a wipe
FILE_MAX_BYTES = 8 * 1024  # a card has 409 characters, a message 7,000 bytes
PASSPHRASE_MAX_CHARS = 1_024
FAILED_EXIT = 1

EXIT_CODES = """exit codes: 0 done, 1 something unexpected, or a failed check of doctor, 2 wrong
usage, 3 a person has to decide about trust first, 4 profile or store, 5 network, 130 interrupted"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows ASCII only
    try:
        args = _parser().parse_args(argv)
        sys.excepthook = _crashed(args.home)
        code: int = args.run(args)
        sys.stdout.flush()
    except MeshchatError as error:
        return _explain(error, "--json" in (sys.argv if argv is None else argv))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter's own flush complains
        return EXIT_PIPE
    return code


def _explain(error: MeshchatError, as_json: bool) -> int:
    from meshchat.net.lines import MESSAGE_MAX_CHARS, dumps, error_json
    from meshchat.text import Clean

    if as_json:
        print(dumps(error_json(error)), file=sys.stderr)
    else:
        print(f"meshchat: {Clean.line(str(error), MESSAGE_MAX_CHARS)}", file=sys.stderr)
    return error.exit_code


def _crashed(
    home: str | None,
) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """What to do with a bug: its place goes to the log, one sentence to the screen."""

    def hook(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
        import logging

        from meshchat.profile import Profile

        parts: list[BaseException] = [error]
        where: list[str] = []
        while parts:  # texts of exceptions and locals may hold what people wrote: left out
            part = parts.pop(0)
            frames = traceback.extract_tb(part.__traceback__)
            places = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
            where.append(f"{type(part).__name__} at {places}")
            if isinstance(part, BaseExceptionGroup):
                parts += part.exceptions
        profile = Profile(home)
        if profile.exists():
            profile.start_log()
            logging.getLogger("meshchat").error("bug: %s", "; ".join(where))
        print(
            f"meshchat: internal error ({kind.__name__}); please report {where[-1][:300]}",
            file=sys.stderr,
        )

    return hook


# --- arguments ----------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Wrong arguments become a ``UsageError``: one sentence, like any other."""

    def error(self, message: str) -> NoReturn:
        raise UsageError("bad_arguments", f"{message}; see: {self.prog} --help")


def _options(network: bool, top: bool) -> argparse.ArgumentParser:
    """Options that may stand before and after the verb; only the first sets defaults."""
    parser = argparse.ArgumentParser(add_help=False)

    def add(*names: str, default: object = None, **rest: object) -> None:
        given = default if top else argparse.SUPPRESS
        parser.add_argument(*names, default=given, **rest)  # type: ignore[arg-type]

    add("--home", metavar="DIR", help="directory of the profile (or MESHCHAT_HOME)")
    add("--json", action="store_true", default=False, help="print JSON, for scripts")
    add("--passphrase-file", metavar="F", help="read the passphrase from the first line of F")
    if network:
        add("--listen", metavar="A:P", help="accept links on this address and port")
        add("--peer", metavar="H:P", action="append", help="dial this node too; may be repeated")
        add("--no-lan", action="store_true", default=False, help="do not use the local network")
    return parser


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="meshchat",
        description="A messenger that needs no internet. Without a command: the terminal screens.",
        epilog=EXIT_CODES,
        parents=[_options(network=True, top=True)],
    )
    parser.add_argument("--version", action="version", version=f"meshchat {__version__}")
    parser.set_defaults(run=_screens)
    common, network = _options(network=False, top=False), _options(network=True, top=False)
    verbs = parser.add_subparsers(metavar="COMMAND", parser_class=_Parser)

    def verb(
        group: "argparse._SubParsersAction[_Parser]",
        name: str,
        run: Callable[[argparse.Namespace], int] | None,
        what: str,
        *arguments: tuple[str, dict[str, Any]],
        parent: argparse.ArgumentParser = common,
    ) -> _Parser:
        made = group.add_parser(name, help=what, description=what, parents=[parent])
        for names, rest in arguments:
            made.add_argument(*names.split(), **rest)
        made.set_defaults(run=run)
        return made

    yes = ("--yes", {"action": "store_true", "help": "do not ask"})
    named = ("name", {"metavar": "NAME"})
    alias = ("--as", {"metavar": "NAME", "dest": "petname", "help": "your name for them"})
    secret = ("--passphrase-file", {"metavar": "F", "dest": "room_file", "help": "its passphrase"})

    verb(
        verbs,
        "init",
        _init,
        "make a profile",
        ("--name", {"required": True, "help": "what others may call you"}),
        ("--restore", {"action": "store_true", "help": "from the 24 words of a backup"}),
        ("--small", {"action": "store_true", "help": "less memory to unlock, for small boards"}),
    )
    verb(verbs, "node", _node, "run without a screen until stopped", parent=network)
    verb(
        verbs,
        "card",
        _card,
        "show your card, which others add you by",
        ("--qr", {"action": "store_true", "help": "as a QR code"}),
        ("--out", {"metavar": "FILE", "help": "write it to a new file"}),
    )
    verb(verbs, "backup", _backup, "show the 24 words that restore your identity")
    verb(verbs, "name", _name, "show or change your own name", ("new", {"nargs": "?"}))

    contact = verb(verbs, "contact", None, "people")
    people = contact.add_subparsers(metavar="WHAT", required=True, parser_class=_Parser)
    verb(
        people,
        "add",
        _contact_add,
        "add a person by card",
        ("card", {"metavar": "CARD", "help": "card text, a file with it, or -"}),
        alias,
        ("--replaces", {"metavar": "NAME", "help": "the contact whose new key this is"}),
    )
    verb(people, "list", _contact_list, "everybody you know")
    verb(
        people,
        "verify",
        _contact_verify,
        "record that you compared the safety words",
        named,
        ("--words", {"action": "store_true", "help": "only show the words"}),
        ("--undo", {"action": "store_true", "help": "take the mark back"}),
        yes,
    )
    verb(people, "block", _contact_block, "hear nothing of them any more", named)
    verb(people, "unblock", _contact_unblock, "undo block", named)
    verb(
        people,
        "rename",
        _contact_rename,
        "change your name for them",
        ("old", {"metavar": "OLD"}),
        ("new", {"metavar": "NEW"}),
    )
    verb(people, "accept", _contact_accept, "make a stranger who wrote a contact", named, alias)
    verb(
        people,
        "introduce",
        _contact_introduce,
        "send two contacts each other's card",
        ("one", {"metavar": "A"}),
        ("other", {"metavar": "B"}),
    )

    room = verb(verbs, "room", None, "rooms anybody with the name can read and write")
    rooms = room.add_subparsers(metavar="WHAT", required=True, parser_class=_Parser)
    # here the passphrase is the room's; that of the profile goes before the verb
    joins = argparse.ArgumentParser(add_help=False)
    joins.add_argument("--home", metavar="DIR", default=argparse.SUPPRESS)
    joins.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    verb(rooms, "join", _room_join, "join or make a room", named, secret, parent=joins)
    verb(rooms, "list", _room_list, "rooms you are in")
    verb(rooms, "leave", _room_leave, "leave a room", named)

    verb(
        verbs,
        "send",
        _send,
        "write a message; prints its id",
        ("to", {"metavar": "TO", "help": "a contact or #room"}),
        ("text", {"metavar": "TEXT", "help": "the message, or - to read it from standard input"}),
    )
    verb(
        verbs,
        "read",
        _read,
        "show messages",
        ("to", {"metavar": "TO", "nargs": "?", "help": "a contact or #room; default: all"}),
        ("--follow", {"action": "store_true", "help": "go on with new ones"}),
        ("--since", {"metavar": "ID", "help": "only those after this message"}),
        ("--limit", {"type": int, "default": 50, "help": "at most so many (default 50)"}),
        ("--keep-unread", {"action": "store_true", "help": "do not mark them as read"}),
    )
    verb(verbs, "message", _message, "the state and journey of a message", ("id", {}))
    verb(verbs, "status", _status, "identity, transports, neighbours, custody, queue")
    verb(verbs, "doctor", _doctor, "check this device and say what to do")
    verb(verbs, "wipe", _wipe, "destroy the profile", yes)
    return parser


# --- asking -------------------------------------------------------------------------------------


def _profile(args: argparse.Namespace) -> "Profile":
    from meshchat.profile import Profile

    return Profile(args.home)


def _read_file(path: str, what: str, limit: int = FILE_MAX_BYTES) -> str:
    """The text of a file, or of standard input for ``-``. Raises ``UsageError``."""
    try:
        if path == "-":
            raw = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(path).open("rb") as file:
                raw = file.read(limit + 1)
        if len(raw) > limit:
            raise UsageError("too_long", f"{what} is over {limit} bytes; give a shorter one.")
        return raw.decode()
    except OSError as error:
        raise UsageError("unreadable", f"{what} {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError("unreadable", f"{what} is not UTF-8 text.") from None


def _passphrase(file: str | None, prompt: str = "Passphrase: ", twice: bool = False) -> str:
    """From a file's first line, else from the terminal. Raises ``UsageError`` without either."""
    if file is not None:
        return _read_file(file, "The passphrase file").split("\n", 1)[0].rstrip("\r")
    if not sys.stdin.isatty():
        raise UsageError(
            "no_passphrase", "There is no terminal to ask on; give --passphrase-file FILE."
        )
    import getpass

    with contextlib.suppress(EOFError):
        found = getpass.getpass(prompt)
        if twice and getpass.getpass("The same again: ") != found:
            raise UsageError("passphrase_differs", "The two passphrases differ; start again.")
        if len(found) > PASSPHRASE_MAX_CHARS:
            raise UsageError("passphrase_too_long", "The passphrase is over 1,024 characters.")
        return found
    raise UsageError("no_passphrase", "No passphrase was given.")


def _ask(args: argparse.Namespace, verb: str, **given: object) -> Json:
    """One verb: by the running node, else on the store under its lock."""
    from meshchat.net.client import Client

    profile = _profile(args)
    wanted = {name: value for name, value in given.items() if value is not None}
    client = Client.connect(profile)
    if client is not None:
        with client:
            return client.call(verb, wanted)
    profile.require()
    passphrase = _passphrase(args.passphrase_file)
    import asyncio

    from meshchat.net.control import once, open_session

    with open_session(profile, passphrase, None, wait_s=LOCK_WAIT_S) as session:
        return asyncio.run(once(session, verb, wanted))


# --- printing -----------------------------------------------------------------------------------


def _print(args: argparse.Namespace, result: Json, lines: Iterable[str]) -> int:
    """The result as JSON or as lines for people; the latter pass the gate once more."""
    from meshchat.net.lines import dumps

    if args.json:
        print(dumps(result))
    else:
        for line in lines:
            _say(line)
    return 0


def _say(text: object) -> None:
    from meshchat.text import Clean

    print(Clean(str(text)), flush=True)


def _part(result: Mapping[str, object], name: str) -> dict[str, object]:
    found = result.get(name)
    return found if isinstance(found, dict) else {}


def _rows(result: Mapping[str, object], name: str) -> list[dict[str, object]]:
    found = result.get(name)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _clock(seconds: object) -> str:
    from datetime import datetime

    if not isinstance(seconds, int):
        return "-"
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def _contact_line(contact: Mapping[str, object]) -> str:
    marks = [str(contact.get("trust"))]
    if contact.get("request"):
        marks = ["wants to be a contact"]
    if contact.get("introduced_by"):
        marks.append(f"introduced by {contact['introduced_by']}")
    if contact.get("blocked"):
        marks.append("blocked")
    unread = f", {contact['unread']} new" if contact.get("unread") else ""
    return f"{contact.get('name')}  [{', '.join(marks)}]  {str(contact.get('fp'))[:16]}{unread}"


def _message_lines(message: Mapping[str, object]) -> list[str]:
    chat = _part(message, "chat")
    own = bool(message.get("outgoing"))
    who = f"me ({message.get('state')})" if own else f"{message.get('author_name')} "
    if not own:
        who += f"[{message.get('trust')}]"
    where = f"{chat.get('name')}: " if own or chat.get("kind") == "room" else ""
    first, *rest = str(message.get("text")).split("\n") or [""]
    head = f"{message.get('id')}  {_clock(message.get('received_at_s'))}  {where}{who}: {first}"
    return [head, *(f"    {line}" for line in rest)]


# --- the profile --------------------------------------------------------------------------------


def _screens(args: argparse.Namespace) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "no_terminal", "The screens need a terminal; for scripts see: meshchat --help"
        )
    profile = _profile(args)
    options = _runtime_options(args, profile)
    passphrase = _passphrase(args.passphrase_file) if args.passphrase_file else None
    from meshchat.ui.app import run_app

    return run_app(profile, options, passphrase)


def _runtime_options(args: argparse.Namespace, profile: "Profile") -> "RuntimeOptions":
    """The settings file, overruled by the command line."""
    from meshchat.profile import split_address

    options = profile.options()
    for address in [*(args.peer or ()), *([args.listen] if args.listen else ())]:
        split_address(address)
    return replace(
        options,
        lan=options.lan and not args.no_lan,
        listen=args.listen or options.listen,
        peers=(*options.peers, *(args.peer or ())),
    )


def _init(args: argparse.Namespace) -> int:
    from meshchat.profile import check_name

    profile = _profile(args)
    check_name(args.name)
    if profile.exists():
        raise UsageError("profile_exists", f"There is a profile in {profile.home} already.")
    seed = None
    if args.restore:
        from meshchat.core.identity import words_to_seed

        if sys.stdin.isatty():
            words = input("The 24 words: ")
        else:
            words = _read_file("-", "The backup")
        seed = words_to_seed(words)
    passphrase = _passphrase(args.passphrase_file, "Choose a passphrase: ", twice=True)
    profile.init(args.name, passphrase, seed, args.small)
    result: Json = {"home": str(profile.home), "name": args.name, "restored": bool(seed)}
    return _print(args, result, [f"The profile is in {profile.home}. Start it with: meshchat"])


def _backup(args: argparse.Namespace) -> int:
    _profile(args).require()
    passphrase = _passphrase(args.passphrase_file)
    from meshchat.net.client import Client

    client = Client.connect(_profile(args))
    if client is not None:
        with client:
            result = client.call("backup", {"passphrase": passphrase})
    else:
        import asyncio

        from meshchat.net.control import once, open_session

        with open_session(_profile(args), passphrase, None, LOCK_WAIT_S) as session:
            result = asyncio.run(once(session, "backup", {"passphrase": passphrase}))
    words = result.get("words")
    listed = words if isinstance(words, list) else []
    rows = [f"{number:2}. {word}" for number, word in enumerate(listed, 1)]
    return _print(args, result, ["Write these down on paper, in order:", *rows])


def _wipe(args: argparse.Namespace) -> int:
    profile = _profile(args)
    if not profile.home.exists():
        raise StoreError("no_profile", f"There is no profile in {profile.home}.")
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError("not_confirmed", "There is no terminal to confirm on; give --yes.")
        if input(f'This destroys everything in {profile.home}. Type "wipe": ').strip() != "wipe":
            raise UsageError("not_confirmed", "Nothing was destroyed.")
    from meshchat.net.client import Client

    client = Client.connect(profile)
    if client is not None:
        with client:
            client.call("stop")
            for _ in client.events():
                pass  # until it has ended
    profile.wipe(wait_s=STOP_WAIT_S)
    result: Json = {"home": str(profile.home), "wiped": True}
    return _print(args, result, ["The profile is destroyed."])


def _doctor(args: argparse.Namespace) -> int:
    from meshchat.doctor import examine

    checks = examine(_profile(args))
    failed = any(check.level == "fail" for check in checks)
    result: Json = {
        "ok": not failed,
        "checks": [{"name": c.name, "level": c.level, "says": c.says} for c in checks],
    }
    _print(args, result, [f"{c.level:4}  {c.name:10} {c.says}" for c in checks])
    return FAILED_EXIT if failed else 0


# --- the node -----------------------------------------------------------------------------------


def _node(args: argparse.Namespace) -> int:
    import asyncio

    from meshchat.net import verbs
    from meshchat.net.control import open_session, serve
    from meshchat.net.lines import dumps
    from meshchat.net.runtime import News

    profile = _profile(args)
    profile.require()
    options = _runtime_options(args, profile)
    passphrase = _passphrase(args.passphrase_file)
    with open_session(profile, passphrase, options) as session:
        runtime = session.runtime

        def tell(news: News) -> None:
            print(dumps(verbs.event_json(session, news)), flush=True)

        async def start() -> None:
            runtime.stop_on_signals()
            if args.json:
                runtime.subscribe(tell)
            status = await verbs.call(session, "status", {})
            lines = [f"meshchat runs as {session.own_name()}; Ctrl+C ends it."]
            _print(args, {"event": "ready", "status": status}, lines)

        asyncio.run(serve(session, start))
    return 0


# --- verbs --------------------------------------------------------------------------------------


def _card(args: argparse.Namespace) -> int:
    result = _ask(args, "card")
    card = str(result.get("card"))
    if args.out:
        try:
            with Path(args.out).open("x", encoding="ascii") as file:
                file.write(card + "\n")
        except OSError as error:
            raise UsageError(
                "unwritable", f"{args.out} cannot be written: {error.strerror}."
            ) from None
        return _print(args, {**result, "file": args.out}, [f"Your card is in {args.out}."])
    if args.qr and not args.json:
        import segno

        segno.make(card.upper(), error="l", micro=False).terminal(sys.stdout, compact=True)
        return 0
    return _print(args, result, [card])


def _name(args: argparse.Namespace) -> int:
    result = _ask(args, "name", new=args.new)
    return _print(args, result, [str(result.get("name"))])


def _contact_add(args: argparse.Namespace) -> int:
    card = args.card
    if not card.strip().lower().startswith("meshchat:"):
        if card != "-" and not Path(card).is_file():
            raise UsageError(
                "no_card", 'A card starts with "meshchat:"; this is neither a card nor a file.'
            )
        card = _read_file(card, "The card")
    given = {"as": args.petname, "replaces": args.replaces}
    return _one_contact(args, _ask(args, "contact.add", card=card, **given))


def _one_contact(args: argparse.Namespace, result: Json) -> int:
    return _print(args, result, [_contact_line(_part(result, "contact"))])


def _contact_list(args: argparse.Namespace) -> int:
    result = _ask(args, "contact.list")
    return _print(args, result, [_contact_line(row) for row in _rows(result, "contacts")])


def _contact_verify(args: argparse.Namespace) -> int:
    asks = sys.stdin.isatty() and not (args.yes or args.undo or args.json)
    if args.words or asks:
        result = _ask(args, "words", name=args.name)
        words = result.get("words")
        shown = " ".join(words) if isinstance(words, list) else ""
        _print(args, result, [f"Both screens must show these words, in this order:\n{shown}"])
        if args.words:
            return 0
        if input("Are they the same on both? Type yes: ").strip().lower() != "yes":
            raise UsageError("not_confirmed", "Nothing was changed.")
    verified = not args.undo
    return _one_contact(args, _ask(args, "contact.verify", name=args.name, verified=verified))


def _contact_block(args: argparse.Namespace) -> int:
    return _one_contact(args, _ask(args, "contact.block", name=args.name))


def _contact_unblock(args: argparse.Namespace) -> int:
    return _one_contact(args, _ask(args, "contact.unblock", name=args.name))


def _contact_rename(args: argparse.Namespace) -> int:
    return _one_contact(args, _ask(args, "contact.rename", old=args.old, new=args.new))


def _contact_accept(args: argparse.Namespace) -> int:
    given = {"as": args.petname}
    return _one_contact(args, _ask(args, "contact.accept", name=args.name, **given))


def _contact_introduce(args: argparse.Namespace) -> int:
    result = _ask(args, "contact.introduce", one=args.one, other=args.other)
    return _print(args, result, [str(row.get("id")) for row in _rows(result, "messages")])


def _room_join(args: argparse.Namespace) -> int:
    secret = None
    if args.room_file:
        secret = _read_file(args.room_file, "The passphrase file").split("\n", 1)[0].rstrip("\r")
        if not secret:
            raise UsageError("passphrase_empty", "The room's passphrase is empty.")
    return _one_room(args, _ask(args, "room.join", name=args.name, passphrase=secret))


def _one_room(args: argparse.Namespace, result: Json) -> int:
    return _print(args, result, [_room_line(_part(result, "room"))])


def _room_line(room: Mapping[str, object]) -> str:
    kind = "passphrase" if room.get("private") else "public"
    unread = f", {room['unread']} new" if room.get("unread") else ""
    return f"{room.get('name')}  [{kind}]  {str(room.get('rid'))[:16]}{unread}"


def _room_list(args: argparse.Namespace) -> int:
    result = _ask(args, "room.list")
    return _print(args, result, [_room_line(row) for row in _rows(result, "rooms")])


def _room_leave(args: argparse.Namespace) -> int:
    return _one_room(args, _ask(args, "room.leave", name=args.name))


def _send(args: argparse.Namespace) -> int:
    text = args.text
    if text == "-":
        text = _read_file("-", "The message")
        text = text[:-1] if text.endswith("\n") else text
    result = _ask(args, "send", to=args.to, text=text)
    return _print(args, result, [str(_part(result, "message").get("id"))])


def _read(args: argparse.Namespace) -> int:
    given = {"to": args.to, "since": args.since, "limit": args.limit, "mark": not args.keep_unread}
    if not args.follow:
        for message in _rows(_ask(args, "read", **given), "messages"):
            _print(args, message, _message_lines(message))
        return 0
    from meshchat.net.client import Client

    client = Client.connect(_profile(args))
    if client is None:
        raise UsageError(
            "no_node", "Nothing arrives while no node runs; start one with: meshchat node"
        )
    with client:
        return _follow(args, client, given)


def _follow(args: argparse.Namespace, client: "Client", given: Mapping[str, object]) -> int:
    """What there is, then what comes; a message in both is shown once."""
    client.call("events")
    wanted = {name: value for name, value in given.items() if value is not None}
    messages = _rows(client.call("read", wanted), "messages")
    chats = {_part(message, "chat").get("id") for message in messages}
    if args.to and not chats:
        chats = {client.call("resolve", {"to": args.to}).get("id")}
    shown = {message.get("id") for message in messages}
    for message in messages:
        _print(args, message, _message_lines(message))
    for event in client.events():
        message = _part(event, "message")
        if event.get("event") != "message" or message.get("id") in shown:
            continue
        if not args.to or _part(message, "chat").get("id") in chats:
            _print(args, message, _message_lines(message))
    return 0


def _message(args: argparse.Namespace) -> int:
    result = _ask(args, "message", id=args.id)
    message = _part(result, "message")
    lines = _message_lines(message)
    lines.append(f"state: {message.get('state')}, carried by {message.get('carriers')}")
    if message.get("reason"):
        lines.append(f"reason: {message['reason']}")
    lines.append(f"expires: {_clock(message.get('expires_at_s'))}")
    for step in _rows(result, "journey"):
        detail = f" ({step['detail']})" if step.get("detail") else ""
        lines.append(f"{_clock(step.get('at_s'))}  {step.get('what')}{detail}")
    return _print(args, result, lines)


def _status(args: argparse.Namespace) -> int:
    result = _ask(args, "status")
    custody = _part(result, "custody")
    lines = [
        f"{result.get('name')}  {str(result.get('fp'))[:16]}  meshchat {result.get('version')}",
        "the node is running" if result.get("running") else "no node is running",
    ]
    trouble = _part(result, "trouble")
    if trouble:
        lines.append(f"trouble: {trouble.get('message')}")
    for transport in _rows(result, "transports"):
        state = "on" if transport.get("on") else "off"
        why = f": {transport['reason']}" if transport.get("reason") else ""
        remedy = f". {transport['remedy']}" if transport.get("remedy") else ""
        lines.append(f"{transport.get('name')}  {state}{why}{remedy}")
    for one in _rows(result, "neighbours"):
        who = one.get("contact") or f"stranger {one.get('tag')}"
        lines.append(f"neighbour {who} over {one.get('transport')}")
    lines += [
        f"waiting {result.get('queued')}, on their way {result.get('carried')}",
        f"custody: {custody.get('own')} own, {custody.get('mine')} for me, "
        f"{custody.get('carried')} for others; "
        f"{custody.get('size_bytes')} of {custody.get('quota_bytes')} bytes",
    ]
    counters = _part(result, "counters")
    if counters:
        lines.append("counters: " + ", ".join(f"{k} {v}" for k, v in sorted(counters.items())))
    return _print(args, result, lines)
