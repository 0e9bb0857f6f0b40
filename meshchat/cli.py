"""The command line: parses arguments, asks the running node or opens the store, prints.

docs/reference/cli.md is the contract, exit codes included. Heavy modules are
imported where they are needed, so that ``--help`` costs next to nothing.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from meshchat import i18n, plain
from meshchat.arguments import make_parser
from meshchat.errors import MeshchatError, StoreError, TrustError, UsageError

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


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows ASCII only
    i18n.choose()
    try:
        args = make_parser().parse_args(argv)
        sys.excepthook = _crashed(args.home)
        code = _COMMANDS[args.verb](args)
        sys.stdout.flush()
    except MeshchatError as error:
        words = sys.argv[1:] if argv is None else argv
        return _explain(error, "--json" in words and next(iter(words), "") != "sim")
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
        print(f"meshchat: {Clean.line(i18n.said(error), MESSAGE_MAX_CHARS)}", file=sys.stderr)
    return error.exit_code


def _crashed(
    home: str | None,
) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """What to do with a bug: its place goes to the log, one sentence to the screen."""

    def hook(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
        import logging

        from meshchat.profile import Profile, where

        place = where(error)
        with contextlib.suppress(MeshchatError):
            profile = Profile(home)
            if profile.exists():
                profile.start_log()
                logging.getLogger("meshchat").error("bug: %s", place)
        shown = f"internal error ({kind.__name__}); please report: {place[:300]}"
        print(f"meshchat: {shown}", file=sys.stderr)

    return hook


# --- asking -------------------------------------------------------------------------------------


def _profile(args: argparse.Namespace) -> "Profile":
    from meshchat.profile import Profile

    profile = Profile(args.home)
    with contextlib.suppress(UsageError):  # told where the settings are needed
        i18n.choose(profile.options().language)
    return profile


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


def _answer(question: str) -> str:
    """A line from the terminal; empty if it was closed (Ctrl+D) or is not text."""
    try:
        return input(question).strip()
    except (EOFError, UnicodeDecodeError):
        return ""


def _passphrase(file: str | None, prompt: str = "Passphrase: ", twice: bool = False) -> str:
    """From a file's first line, else from the terminal. Raises ``UsageError`` without either."""
    from meshchat.profile import harden

    harden()  # before there is anything to be found in a core dump
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
    if client is None:
        profile.require()
        passphrase = _passphrase(args.passphrase_file)
        try:
            return _by_itself(profile, passphrase, verb, wanted)
        except StoreError as error:
            client = Client.connect(profile) if error.reason == "in_use" else None
            if client is None:  # else it was a node that was just starting
                raise
    with client:
        return client.call(verb, wanted)


def _by_itself(profile: "Profile", passphrase: str, verb: str, given: Json) -> Json:
    """One verb on the store, which no node has open."""
    import asyncio

    from meshchat.net.control import once, open_session

    with open_session(profile, passphrase, None, wait_s=LOCK_WAIT_S) as session:
        return asyncio.run(once(session, verb, given))


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


# --- the profile --------------------------------------------------------------------------------


def _need_terminal() -> None:
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError(
            "no_terminal",
            "The screens need a terminal, standard error too; for scripts and pipes: "
            "meshchat --linear",
        )


def _screens(args: argparse.Namespace) -> int:
    if args.linear:
        return _linear(args)
    _need_terminal()
    profile = _profile(args)
    options = _runtime_options(args, profile)
    from meshchat.ui.app import AGAIN, run_app

    locked = os.environ.pop(AGAIN, "")
    passphrase = None
    if args.passphrase_file and not locked:
        passphrase = _passphrase(args.passphrase_file)

    return run_app(profile, options, passphrase)


def _linear(args: argparse.Namespace) -> int:
    profile = _profile(args)
    options = _runtime_options(args, profile)
    profile.require()
    passphrase = _passphrase(args.passphrase_file)
    from meshchat.linear import run_linear

    return run_linear(profile, options, passphrase)


def _runtime_options(args: argparse.Namespace, profile: "Profile") -> "RuntimeOptions":
    """The settings file, overruled by the command line."""
    from meshchat.profile import split_address

    options = profile.options()
    for address in [*(args.peer or ()), *([args.listen] if args.listen else ())]:
        split_address(address)
    return replace(
        options,
        lan=options.lan and not args.no_lan,
        ble=options.ble and not args.no_ble,
        listen=args.listen or options.listen,
        peers=(*options.peers, *(args.peer or ())),
    )


def _init(args: argparse.Namespace) -> int:
    from meshchat.core.contacts import check_name

    profile = _profile(args)
    check_name(args.name, "Your name")
    if profile.exists():
        raise UsageError("profile_exists", f"There is a profile in {profile.home} already.")
    seed = None
    if args.restore:
        from meshchat.core.identity import words_to_seed

        if sys.stdin.isatty():
            words = _answer("The 24 words: ")
        else:
            words = _read_file("-", "The backup")
        seed = words_to_seed(words)
    passphrase = _passphrase(args.passphrase_file, "Choose a passphrase: ", twice=True)
    profile.init(args.name, passphrase, seed, args.small)
    result: Json = {"home": str(profile.home), "name": args.name, "restored": bool(seed)}
    return _print(args, result, [f"The profile is in {profile.home}. Start it with: meshchat"])


def _backup(args: argparse.Namespace) -> int:
    from meshchat.net.client import Client

    profile = _profile(args)
    profile.require()
    passphrase = _passphrase(args.passphrase_file)
    given: Json = {"passphrase": passphrase}
    client = Client.connect(profile)
    if client is not None:
        with client:
            result = client.call("backup", given)
    else:
        result = _by_itself(profile, passphrase, "backup", given)
    words = result.get("words")
    listed = words if isinstance(words, list) else []
    rows = [f"{number:2}. {word}" for number, word in enumerate(listed, 1)]
    return _print(args, result, ["Write these down on paper, in order:", *rows])


def _change_passphrase(args: argparse.Namespace) -> int:
    """Works beside a running node too: that has the key already."""
    from meshchat import keyfile
    from meshchat.profile import check_passphrase

    profile = _profile(args)
    profile.require()
    old = _passphrase(args.passphrase_file, "The passphrase now: ")
    keyfile.unlock(profile.key_path, old)  # a wrong one is told before the new one is asked for
    new = _passphrase(args.new_file, "The new passphrase: ", twice=True)
    check_passphrase(new)
    keyfile.change_passphrase(profile.key_path, old, new, small=args.small)
    return _print(args, {"changed": True}, ["The passphrase is changed."])


def _wipe(args: argparse.Namespace) -> int:
    profile = _profile(args)
    if not profile.has_home():
        raise StoreError("no_profile", f"There is no profile in {profile.home}.")
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError("not_confirmed", "There is no terminal to confirm on; give --yes.")
        if _answer(f'This destroys everything in {profile.home}. Type "wipe": ') != "wipe":
            raise UsageError("not_confirmed", "Nothing was destroyed.")
    from meshchat.net.client import Client

    client = Client.connect(profile)
    if profile.exists():  # first of all, also while a node runs: the rest can take seconds
        from meshchat import keyfile

        keyfile.destroy(profile.key_path)
    if client is not None:
        with client:
            client.call("stop")
            for _ in client.events():
                pass  # until it has ended
    try:
        profile.wipe(wait_s=STOP_WAIT_S)
    except StoreError as error:
        if error.reason != "in_use":
            raise
        raise StoreError(
            "wipe_incomplete", f"The key is destroyed; the unreadable rest stays: {error}"
        ) from None
    result: Json = {"home": str(profile.home), "wiped": True}
    return _print(args, result, ["The profile is destroyed."])


def _decoy(args: argparse.Namespace) -> int:
    profile = _profile(args)
    profile.require()
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError("not_confirmed", "There is no terminal to confirm on; give --yes.")
        _say(
            "If what you have open is itself a decoy, the real profile behind it will be lost.\n"
            "Read what a decoy cannot hide: meshchat threat decoy"
        )
        if _answer('Type "decoy" to go on: ') != "decoy":
            raise UsageError("not_confirmed", "Nothing was changed.")
    real = _passphrase(args.passphrase_file, "The passphrase now: ")
    decoy = _passphrase(args.decoy_file, "A passphrase for the decoy: ", twice=True)
    profile.add_decoy(real, decoy, args.name, args.destroy)
    result: Json = {"decoy": True, "destroys": bool(args.destroy)}
    return _print(args, result, ["The decoy is made. Use it now and then, or it looks unused."])


def _threat(args: argparse.Namespace) -> int:
    from meshchat.threat import sections

    _profile(args)  # for the language of its settings
    found = sections(args.topic)
    result: Json = {"sections": [{"name": s.name, "title": s.title, "says": s.says} for s in found]}
    lines = [line for section in found for line in (*section.lines(), "")]
    return _print(args, result, lines[:-1])


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
    from meshchat.net.lines import LineFeed

    profile = _profile(args)
    profile.require()
    options = _runtime_options(args, profile)
    passphrase = _passphrase(args.passphrase_file)
    gone: list[OSError] = []
    with open_session(profile, passphrase, options) as session:

        async def run() -> None:
            loop = asyncio.get_running_loop()

            def nobody_reads(error: OSError) -> None:  # end as on a signal
                gone.append(error)
                loop.call_soon_threadsafe(session.runtime.stop)

            feed = LineFeed(lambda line: print(line, flush=True), nobody_reads)

            def started() -> None:
                if args.json:
                    feed.put({"event": "ready", "status": verbs.status_json(session)})
                else:
                    _say(f"meshchat runs as {session.own_name()}; Ctrl+C ends it.")

            session.runtime.stop_on_signals()
            if args.json:
                session.runtime.subscribe(lambda news: feed.put(verbs.event_json(session, news)))
            try:
                await serve(session, started)
            finally:
                feed.close()

        asyncio.run(run())
    if gone:
        raise gone[0]
    return 0


def _sim(args: argparse.Namespace) -> int:
    from meshchat.sim import command

    verb = args.verb.removeprefix("sim.")
    if verb == "run" and args.attach:
        from meshchat.ui.simulated import run_attached

        _need_terminal()
        return command.attach(args, run_attached)
    return command.run(verb, args)


def _demo(args: argparse.Namespace) -> int:
    from meshchat.ui.simulation import DEMO_SPEED

    speed = DEMO_SPEED if args.speed is None else args.speed
    if args.linear:
        from meshchat.linear import run_linear_demo

        return run_linear_demo(speed, args.seed)
    if args.browser is not None:
        from meshchat.ui.browser import serve_demo

        return serve_demo(args.browser, speed, args.seed)
    from meshchat.ui.simulated import run_demo

    if "TEXTUAL_DRIVER" not in os.environ:  # set for each visitor by ``--browser``
        _need_terminal()
    return run_demo(speed, args.seed)


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
        try:
            card = _read_file(card, "The card")
        except UsageError as error:
            if error.reason != "unreadable" or card == "-":
                raise
            raise UsageError(
                "no_card", 'A card starts with "meshchat:"; this is no card and no file to read.'
            ) from None
    given = {"as": args.petname, "replaces": args.replaces}
    return _one_contact(args, _ask(args, "contact.add", card=card, **given))


def _one_contact(args: argparse.Namespace, result: Json) -> int:
    return _print(args, result, [plain.contact_line(plain.part(result, "contact"))])


def _contact_list(args: argparse.Namespace) -> int:
    result = _ask(args, "contact.list")
    return _print(args, result, [plain.contact_line(row) for row in plain.rows(result, "contacts")])


def _contact_verify(args: argparse.Namespace) -> int:
    asks = sys.stdin.isatty() and not (args.yes or args.undo or args.json)
    if args.words or asks:
        result = _ask(args, "words", name=args.name)
        words = result.get("words")
        shown = " ".join(words) if isinstance(words, list) else ""
        _print(args, result, [f"Both screens must show these words, in this order:\n{shown}"])
        if args.words:
            return 0
        if _answer("Are they the same on both? Type yes: ").lower() != "yes":
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


def _contact_check(args: argparse.Namespace) -> int:
    """On a terminal: show the signs, ask, record the answer."""
    answer = "same" if args.same else "different" if args.different else None
    result = _ask(args, "contact.check", name=args.name, answer=answer)
    if answer or args.json:
        return _one_contact(args, result)
    words = [f"{row.get('sign')}  {row.get('word')}" for row in plain.rows(result, "signs")]
    _print(args, result, ["Read these aloud to each other. Both must see all seven, in order:"])
    _print(args, result, [f"  {number}. {word}" for number, word in enumerate(words, 1)])
    if not sys.stdin.isatty():
        return 0
    said = _answer("Are they the same on both? Type yes or no: ").lower()
    if said not in ("yes", "no"):
        _ask(args, "contact.check", name=args.name, answer="cancel")
        raise UsageError("not_confirmed", "The check was cancelled; nothing was changed.")
    answer = "same" if said == "yes" else "different"
    result = _ask(args, "contact.check", name=args.name, answer=answer)
    _one_contact(args, result)
    if answer == "different":
        raise TrustError(
            "check_different",
            "DIFFERENT: somebody may stand between you. Send nothing secret; exchange cards anew, "
            "in person.",
        )
    return 0


def _contact_silent(args: argparse.Namespace) -> int:
    return _one_contact(args, _ask(args, "contact.silent", name=args.name, days=args.days))


def _revocation_give(args: argparse.Namespace) -> int:
    result = _ask(args, "revocation.give", name=args.name)
    return _print(args, result, [str(plain.part(result, "message").get("id"))])


def _revocation_list(args: argparse.Namespace) -> int:
    result = _ask(args, "revocation.list")
    return _print(args, result, [plain.contact_line(row) for row in plain.rows(result, "contacts")])


def _revocation_release(args: argparse.Namespace) -> int:
    if bool(args.name) is args.own:
        raise UsageError("bad_arguments", "Name a contact, or give --own; not both.")
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError("not_confirmed", "There is no terminal to confirm on; give --yes.")
        whose = "your own key" if args.own else f"the key of {args.name}"
        if _answer(f'This ends {whose} for all their contacts, for good. Type "revoke": ') != (
            "revoke"
        ):
            raise UsageError("not_confirmed", "Nothing was changed.")
    result = _ask(args, "revocation.release", name=args.name, own=args.own or None)
    return _print(args, result, ["It is on its way to all their contacts."])


def _room_mark(args: argparse.Namespace) -> int:
    given = {name: getattr(args, name, None) or None for name in ("author", "publish", "undo")}
    result = _ask(args, args.verb, id=args.id, **given)
    return _print(args, result, [f"{result.get('mark')}: {args.id}"])


def _contact_introduce(args: argparse.Namespace) -> int:
    result = _ask(args, "contact.introduce", one=args.one, other=args.other)
    return _print(args, result, [str(row.get("id")) for row in plain.rows(result, "messages")])


def _room_join(args: argparse.Namespace) -> int:
    secret = None
    if args.room_file:
        secret = _read_file(args.room_file, "The passphrase file").split("\n", 1)[0].rstrip("\r")
        if not secret:
            raise UsageError("passphrase_empty", "The room's passphrase is empty.")
    return _one_room(args, _ask(args, "room.join", name=args.name, passphrase=secret))


def _one_room(args: argparse.Namespace, result: Json) -> int:
    return _print(args, result, [plain.room_line(plain.part(result, "room"))])


def _room_list(args: argparse.Namespace) -> int:
    result = _ask(args, "room.list")
    return _print(args, result, [plain.room_line(row) for row in plain.rows(result, "rooms")])


def _room_leave(args: argparse.Namespace) -> int:
    return _one_room(args, _ask(args, "room.leave", name=args.name))


def _send(args: argparse.Namespace) -> int:
    result = _ask(args, "send", to=args.to, text=_text(args.text), reply=args.reply)
    return _print(args, result, [str(plain.part(result, "message").get("id"))])


def _text(given: str) -> str:
    """What was written, or standard input for ``-``."""
    if given != "-":
        return given
    text = _read_file("-", "The message")
    return text[:-1] if text.endswith("\n") else text


def _one_message(args: argparse.Namespace, result: Json) -> int:
    return _print(args, result, plain.message_lines(plain.part(result, "message")))


def _react(args: argparse.Namespace) -> int:
    return _one_message(args, _ask(args, "react", id=args.id, emoji=args.emoji or ""))


def _edit(args: argparse.Namespace) -> int:
    return _one_message(args, _ask(args, "edit", id=args.id, text=_text(args.text)))


def _delete(args: argparse.Namespace) -> int:
    result = _ask(args, "delete", id=args.id, everywhere=args.everywhere)
    said = "Deleted here. Copies elsewhere stay."
    if args.everywhere:
        said = "Deleted here, and its readers are asked to delete it; nobody can promise that."
    return _print(args, result, [said])


def _search(args: argparse.Namespace) -> int:
    given = {"to": args.to, "limit": args.limit, "before": args.before}
    result = _ask(args, "search", text=args.text, **given)
    if args.json:
        return _print(args, result, ())
    for message in plain.rows(result, "messages"):
        _print(args, message, plain.message_lines(message))
    return 0


def _privacy(args: argparse.Namespace) -> int:
    name = args.verb.replace("-", "_")
    on = None if args.on is None else args.on == "on"
    result = _ask(args, "privacy", **{name: on})
    return _print(args, result, [f"{args.verb}: {'on' if result.get(name) else 'off'}"])


def _chat(args: argparse.Namespace) -> int:
    given: Json = {}
    if args.verb == "disappear":
        given["timer_s"] = None if args.time is None else _seconds(args.time)
    elif args.verb == "retain":
        given["keep_days"] = None if args.days is None else _days(args.days)
    elif args.verb == "mute":
        given["notify"] = "all" if args.undo else "mentions" if args.mentions else "none"
    else:
        given[{"pin": "pinned", "archive": "archived"}[args.verb]] = not args.undo
    result = _ask(args, "chat", to=args.to, **given)
    return _print(args, result, plain.chat_lines(result))


def _seconds(text: str) -> int:
    """Seconds of a time such as ``8h``; 0 for ``off``."""
    units = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
    count, unit = text[:-1], text[-1:]
    if text == "off":
        return 0
    if unit not in units or not (count.isascii() and count.isdigit() and len(count) < 10):
        raise UsageError("bad_time", "A time is a number and a unit, such as 30s, 5m, 8h, 1d, 4w.")
    return int(count) * units[unit]


def _days(text: str) -> int:
    if text == "off":
        return 0
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
        raise UsageError("bad_days", "Give a number of days, or: off")
    return int(text)


def _read(args: argparse.Namespace) -> int:
    given = {
        "to": args.to,
        "since": args.since,
        "limit": args.limit,
        "mark": not args.keep_unread,
        "hidden": args.hidden or None,
    }
    if not args.follow:
        for message in plain.rows(_ask(args, "read", **given), "messages"):
            _print(args, message, plain.message_lines(message))
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
    messages = plain.rows(client.call("read", wanted), "messages")
    chats = {plain.part(message, "chat").get("id") for message in messages}
    if args.to and not chats:
        chats = {client.call("resolve", {"to": args.to}).get("id")}
    shown = {message.get("id") for message in messages}
    for message in messages:
        _print(args, message, plain.message_lines(message))
    for event in client.events():
        message = plain.part(event, "message")
        if event.get("event") != "message" or message.get("id") in shown:
            continue
        if message.get("hidden") and not args.hidden:
            continue
        if not args.to or plain.part(message, "chat").get("id") in chats:
            _print(args, message, plain.message_lines(message))
    return 0


def _group(args: argparse.Namespace) -> int:
    """A verb that changes one group."""
    names = ("name", "members", "group", "member", "new")
    given = {name: getattr(args, name) for name in names if hasattr(args, name)}
    result = _ask(args, args.verb, **given)
    return _print(args, result, [plain.group_line(plain.part(result, "group"))])


def _group_list(args: argparse.Namespace) -> int:
    result = _ask(args, "group.list")
    return _print(args, result, [plain.group_line(row) for row in plain.rows(result, "groups")])


def _group_members(args: argparse.Namespace) -> int:
    result = _ask(args, "group.members", group=args.group)
    return _print(args, result, [plain.member_line(row) for row in plain.rows(result, "members")])


def _group_seized(args: argparse.Namespace) -> int:
    result = _ask(args, "group.seized", member=args.member, seized=not args.undo)
    return _print(args, result, [plain.group_line(row) for row in plain.rows(result, "groups")])


def _message(args: argparse.Namespace) -> int:
    result = _ask(args, "message", id=args.id)
    return _print(args, result, plain.journey_lines(result))


def _status(args: argparse.Namespace) -> int:
    result = _ask(args, "status")
    return _print(args, result, plain.status_lines(result))


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "": _screens,
    "init": _init,
    "node": _node,
    "card": _card,
    "backup": _backup,
    "passphrase": _change_passphrase,
    "name": _name,
    "send": _send,
    "react": _react,
    "edit": _edit,
    "delete": _delete,
    "search": _search,
    **dict.fromkeys(("read-receipts", "typing"), _privacy),
    **dict.fromkeys(("disappear", "retain", "mute", "pin", "archive"), _chat),
    "read": _read,
    "message": _message,
    "status": _status,
    "doctor": _doctor,
    "wipe": _wipe,
    "decoy": _decoy,
    "threat": _threat,
    "contact.check": _contact_check,
    "contact.silent": _contact_silent,
    "revocation.give": _revocation_give,
    "revocation.list": _revocation_list,
    "revocation.release": _revocation_release,
    **dict.fromkeys(("room.hide", "room.block", "room.moderator"), _room_mark),
    "contact.add": _contact_add,
    "contact.list": _contact_list,
    "contact.verify": _contact_verify,
    "contact.block": _contact_block,
    "contact.unblock": _contact_unblock,
    "contact.rename": _contact_rename,
    "contact.accept": _contact_accept,
    "contact.introduce": _contact_introduce,
    "room.join": _room_join,
    "room.list": _room_list,
    "room.leave": _room_leave,
    **dict.fromkeys(
        (f"group.{what}" for what in ("new", "add", "remove", "admin", "rename", "leave")), _group
    ),
    "group.list": _group_list,
    "group.members": _group_members,
    "group.seized": _group_seized,
    "demo": _demo,
    **dict.fromkeys(
        (f"sim.{what}" for what in ("list", "describe", "run", "trace", "sweep", "compare")), _sim
    ),
}
