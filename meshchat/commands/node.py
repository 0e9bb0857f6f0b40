"""What runs here: the screens, the node without one, and reports on it and this device."""

import argparse
import gc
import os
from typing import TYPE_CHECKING

from msgspec.structs import replace

from meshchat import plain
from meshchat.commands.console import (
    Command,
    Json,
    ask,
    ask_passphrase,
    need_terminal,
    profile_of,
    say,
    show,
)
from meshchat.i18n import said

if TYPE_CHECKING:
    from meshchat.config import RuntimeOptions
    from meshchat.profile import Profile

FAILED_EXIT = 1


def _screens(args: argparse.Namespace) -> int:
    if args.linear:
        return _linear(args)
    need_terminal()
    gc.disable()  # what a start makes stays: ``MeshApp`` looks for garbage once it is over
    profile = profile_of(args)
    options = runtime_options(args, profile)
    from meshchat.ui.app import AGAIN, run_app

    locked = os.environ.pop(AGAIN, "")
    passphrase = None
    if args.passphrase_file and not locked:
        passphrase = ask_passphrase(args.passphrase_file)

    return run_app(profile, options, passphrase)


def _linear(args: argparse.Namespace) -> int:
    profile = profile_of(args)
    options = runtime_options(args, profile)
    profile.require()
    passphrase = ask_passphrase(args.passphrase_file)
    from meshchat.linear import run_linear

    return run_linear(profile, options, passphrase)


def _node(args: argparse.Namespace) -> int:
    import asyncio

    from meshchat.net import verbs
    from meshchat.net.control import open_session, serve
    from meshchat.net.lines import LineFeed

    profile = profile_of(args)
    profile.require()
    options = runtime_options(args, profile)
    passphrase = ask_passphrase(args.passphrase_file)
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
                    say(said(f"meshchat runs as {session.own_name()}; Ctrl+C ends it."))

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


def runtime_options(args: argparse.Namespace, profile: "Profile") -> "RuntimeOptions":
    """The settings file, overruled by the command line."""
    from meshchat.config import read_options, split_address

    options = read_options(profile.config_path)
    for address in [*(args.peer or ()), *([args.listen] if args.listen else ())]:
        split_address(address)
    return replace(
        options,
        lan=options.lan and not args.no_lan,
        ble=options.ble and not args.no_ble,
        listen=args.listen or options.listen,
        peers=(*options.peers, *(args.peer or ())),
    )


def _status(args: argparse.Namespace) -> int:
    result = ask(args, "status")
    return show(args, result, plain.status_lines(result))


def _doctor(args: argparse.Namespace) -> int:
    from meshchat.doctor import examine

    checks = examine(profile_of(args))
    failed = any(check.level == "fail" for check in checks)
    result: Json = {
        "ok": not failed,
        "checks": [{"name": c.name, "level": c.level, "says": c.says} for c in checks],
    }
    show(args, result, plain.check_lines([(c.level, c.name, c.says) for c in checks]))
    return FAILED_EXIT if failed else 0


def _threat(args: argparse.Namespace) -> int:
    from meshchat.threat import sections

    profile_of(args)  # for the language of its settings
    found = sections(args.topic)
    result: Json = {"sections": [{"name": s.name, "title": s.title, "says": s.says} for s in found]}
    lines = [line for section in found for line in (*section.lines(), "")]
    return show(args, result, lines[:-1])


COMMANDS: dict[str, Command] = {
    "": _screens,
    "node": _node,
    "status": _status,
    "doctor": _doctor,
    "threat": _threat,
}
