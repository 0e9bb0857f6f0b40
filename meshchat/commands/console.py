"""What every command needs: the passphrase, the running node or the store, a place to print."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from meshchat import i18n
from meshchat.errors import StoreError, UsageError
from meshchat.i18n import N_, _

if TYPE_CHECKING:
    from meshchat.profile import Profile

Json = dict[str, object]
Command = Callable[[argparse.Namespace], int]
"""Carries out one command and returns its exit code."""

LOCK_WAIT_S = 3.0  # another command of ours holds the profile for a moment only
FILE_MAX_BYTES = 8 * 1024  # a card has 409 characters, a message 7,000 bytes
PASSPHRASE_MAX_CHARS = 1_024
SYSTEM = (  # what the operating system says of files, as the last words of a sentence of ours
    *(N_("No such file or directory"), N_("Permission denied"), N_("Is a directory")),
    *(N_("Not a directory"), N_("File exists"), N_("File name too long")),
    *(N_("No space left on device"), N_("Read-only file system"), N_("Input/output error")),
)


def profile_of(args: argparse.Namespace) -> "Profile":
    from meshchat.config import read_options
    from meshchat.profile import Profile

    profile = Profile(args.home)
    with contextlib.suppress(UsageError):  # told where the settings are needed
        i18n.choose(read_options(profile.config_path).language)
    return profile


def read_bytes(path: str, what: str, limit: int) -> bytes:
    """What is in a file, or comes on standard input for ``-``. Raises ``UsageError``."""
    try:
        if path == "-":
            raw = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(path).open("rb") as file:
                raw = file.read(limit + 1)
    except OSError as error:
        raise UsageError("unreadable", f"{what} {path} cannot be read: {error.strerror}.") from None
    if len(raw) > limit:
        raise UsageError("too_long", f"{what} is over {limit} bytes; give a shorter one.")
    return raw


def read_text(path: str, what: str) -> str:
    """The same as text. Raises ``UsageError``."""
    try:
        return read_bytes(path, what, FILE_MAX_BYTES).decode()
    except UnicodeDecodeError:
        raise UsageError("unreadable", f"{what} is not UTF-8 text.") from None


def answer_to(question: str) -> str:
    """A line from the terminal; empty if it was closed (Ctrl+D) or is not text."""
    try:
        return input(question).strip()
    except (EOFError, UnicodeDecodeError):
        return ""


def is_yes(answer: str) -> bool:
    """Whether it is the whole word, in English or in the language chosen."""
    return answer.lower() in ("yes", _("yes"))


def is_no(answer: str) -> bool:
    return answer.lower() in ("no", _("no"))


def ask_passphrase(file: str | None, prompt: str = "", twice: bool = False) -> str:
    """From a file's first line, else from the terminal. Raises ``UsageError`` without either."""
    from meshchat.system import harden

    harden()  # before there is anything to be found in a core dump
    if file is not None:
        return read_text(file, N_("The passphrase file")).split("\n", 1)[0].rstrip("\r")
    if not sys.stdin.isatty():
        raise UsageError(
            "no_passphrase", "There is no terminal to ask on; give --passphrase-file FILE."
        )
    import getpass

    with contextlib.suppress(EOFError):
        found = getpass.getpass(prompt or _("Passphrase: "))
        if twice and getpass.getpass(_("The same again: ")) != found:
            raise UsageError("passphrase_differs", "The two passphrases differ; start again.")
        if len(found) > PASSPHRASE_MAX_CHARS:
            raise UsageError("passphrase_too_long", "The passphrase is over 1,024 characters.")
        return found
    raise UsageError("no_passphrase", "No passphrase was given.")


def need_terminal() -> None:
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError(
            "no_terminal",
            "The screens need a terminal, standard error too; for scripts and pipes: "
            "meshchat --linear",
        )


def ask(args: argparse.Namespace, verb: str, **given: object) -> Json:
    """One verb: by the running node, else on the store under its lock."""
    from meshchat.net.client import Client

    profile = profile_of(args)
    wanted = {name: value for name, value in given.items() if value is not None}
    client = Client.connect(profile)
    if client is None:
        profile.require()
        passphrase = ask_passphrase(args.passphrase_file)
        try:
            return by_itself(profile, passphrase, verb, wanted)
        except StoreError as error:
            client = Client.connect(profile) if error.reason == "in_use" else None
            if client is None:  # else it was a node that was just starting
                raise
    with client:
        return client.call(verb, wanted)


def by_itself(profile: "Profile", passphrase: str, verb: str, given: Json) -> Json:
    """One verb on the store, which no node has open."""
    import asyncio
    import base64

    from meshchat.net.control import once, open_session

    data = given.get("data")
    if isinstance(data, bytes):  # at once: in one process no line is too long
        given = {**given, "data": base64.b64encode(data).decode("ascii")}
    with open_session(profile, passphrase, None, wait_s=LOCK_WAIT_S) as session:
        return asyncio.run(once(session, verb, given))


def show(args: argparse.Namespace, result: Json, lines: Iterable[str]) -> int:
    """The result as JSON or as lines for people; the latter pass the gate once more."""
    from meshchat.net.lines import dumps

    if args.json:
        print(dumps(result))
    else:
        for line in lines:
            say(line)
    return 0


def say(text: object) -> None:
    from meshchat.text import Clean

    print(Clean(str(text)), flush=True)
