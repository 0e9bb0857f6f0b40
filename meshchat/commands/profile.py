"""The profile: its birth, backup, passphrase, decoy and end."""

import argparse
import contextlib
import sys

from meshchat.commands.console import (
    Command,
    Json,
    answer_to,
    ask_passphrase,
    by_itself,
    profile_of,
    read_text,
    say,
    show,
)
from meshchat.errors import MeshchatError, StoreError, UsageError
from meshchat.i18n import N_, said

STOP_WAIT_S = 15.0  # for a node asked to end before a wipe


def _init(args: argparse.Namespace) -> int:
    from meshchat.core.contacts import check_name

    profile = profile_of(args)
    check_name(args.name, "Your name")
    if profile.exists():
        raise UsageError("profile_exists", f"There is a profile in {profile.home} already.")
    seed = None
    if args.restore:
        from meshchat.core.identity import words_to_seed

        if sys.stdin.isatty():
            words = answer_to(said("The 24 words: "))
        else:
            words = read_text("-", N_("The backup"))
        seed = words_to_seed(words)
    passphrase = ask_passphrase(args.passphrase_file, said("Choose a passphrase: "), twice=True)
    profile.init(args.name, passphrase, seed, args.small)
    result: Json = {"home": str(profile.home), "name": args.name, "restored": bool(seed)}
    return show(args, result, [said(f"The profile is in {profile.home}. Start it with: meshchat")])


def _backup(args: argparse.Namespace) -> int:
    from meshchat.net.client import Client

    profile = profile_of(args)
    profile.require()
    passphrase = ask_passphrase(args.passphrase_file)
    given: Json = {"passphrase": passphrase}
    client = Client.connect(profile)
    if client is not None:
        with client:
            result = client.call("backup", given)
    else:
        result = by_itself(profile, passphrase, "backup", given)
    words = result.get("words")
    listed = words if isinstance(words, list) else []
    rows = [f"{number:2}. {word}" for number, word in enumerate(listed, 1)]
    return show(args, result, [said("Write these down on paper, in order:"), *rows])


def _change_passphrase(args: argparse.Namespace) -> int:
    """Works beside a running node too: that has the key already."""
    from meshchat import keyfile
    from meshchat.profile import check_passphrase

    profile = profile_of(args)
    profile.require()
    old = ask_passphrase(args.passphrase_file, said("The passphrase now: "))
    keyfile.unlock(profile.key_path, old)  # a wrong one is told before the new one is asked for
    new = ask_passphrase(args.new_file, said("The new passphrase: "), twice=True)
    check_passphrase(new)
    keyfile.change_passphrase(profile.key_path, old, new, small=args.small)
    return show(args, {"changed": True}, [said("The passphrase is changed.")])


def _decoy(args: argparse.Namespace) -> int:
    profile = profile_of(args)
    profile.require()
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError("not_confirmed", "There is no terminal to confirm on; give --yes.")
        say(
            said(
                "If what you have open is itself a decoy, the real profile behind it will be "
                "lost.\nRead what a decoy cannot hide: meshchat threat decoy"
            )
        )
        if answer_to(said('Type "decoy" to go on: ')) != "decoy":
            raise UsageError("not_confirmed", "Nothing was changed.")
    real = ask_passphrase(args.passphrase_file, said("The passphrase now: "))
    decoy = ask_passphrase(args.decoy_file, said("A passphrase for the decoy: "), twice=True)
    profile.add_decoy(real, decoy, args.name, args.destroy)
    result: Json = {"decoy": True, "destroys": bool(args.destroy)}
    return show(args, result, [said("The decoy is made. Use it now and then, or it looks unused.")])


def _wipe(args: argparse.Namespace) -> int:
    profile = profile_of(args)
    if not profile.has_home():
        raise StoreError("no_profile", f"There is no profile in {profile.home}.")
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError("not_confirmed", "There is no terminal to confirm on; give --yes.")
        if answer_to(said(f'This destroys everything in {profile.home}. Type "wipe": ')) != "wipe":
            raise UsageError("not_confirmed", "Nothing was destroyed.")
    from meshchat.net.client import Client

    client = Client.connect(profile)
    if profile.exists():  # first of all, also while a node runs: the rest can take seconds
        from meshchat import keyfile

        keyfile.destroy(profile.key_path)
    if client is not None:
        # One that hangs or hears nobody is told of below, by the lock it holds.
        with client, contextlib.suppress(MeshchatError, OSError):
            client.patience(STOP_WAIT_S)
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
    return show(args, result, [said("The profile is destroyed.")])


COMMANDS: dict[str, Command] = {
    "init": _init,
    "backup": _backup,
    "passphrase": _change_passphrase,
    "decoy": _decoy,
    "wipe": _wipe,
}
