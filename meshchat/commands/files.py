"""Files: sending one, saving one that came."""

import argparse
from pathlib import Path

from meshchat import plain
from meshchat.commands.console import Command, ask, profile_of, read_bytes, show
from meshchat.errors import UsageError
from meshchat.i18n import N_

READ_MAX_BYTES = 2 * 1024 * 1024  # the node knows the limit to the byte; more is never read


def _send_file(args: argparse.Namespace) -> int:
    """Read here, with the rights of whoever gave the command; the node gets bytes."""
    name = args.name or Path(args.path).name
    if args.path == "-" and not args.name:
        raise UsageError("no_file_name", "A file from standard input needs --name NAME.")
    data = read_bytes(args.path, N_("The file"), READ_MAX_BYTES)
    result = ask(args, "send_file", to=args.to, name=name, data=data)
    return show(args, result, [str(plain.part(result, "message").get("id"))])


def _save(args: argparse.Namespace) -> int:
    import base64

    from meshchat.downloads import save

    result = ask(args, "read_file", id=args.id)
    data = base64.b64decode(str(result.pop("data")))
    folder = Path(args.folder) if args.folder else profile_of(args).make_downloads()
    path = save(str(result.get("name")), data, folder)
    return show(args, {**result, "file": str(path)}, [str(path)])


COMMANDS: dict[str, Command] = {
    "send-file": _send_file,
    "save": _save,
}
