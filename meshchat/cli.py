"""The command line: parses arguments, carries the command out, explains what went wrong.

docs/reference/cli.md is the contract, exit codes included. What each command does is in
``commands``, which asks the running node or opens the store.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from types import TracebackType

from meshchat import __version__, i18n
from meshchat.errors import MeshchatError

EXIT_INTERRUPTED = 130  # as a shell has it for Ctrl+C
EXIT_PIPE = 141  # and for a reader that went away


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows ASCII only
    args = None
    try:
        if words == ["--version"]:  # before anything is imported for it
            print(f"meshchat {__version__}", flush=True)
            return 0
        i18n.choose()
        if "--help" in words or "-h" in words:
            _speak(words)
        from meshchat.arguments import parse

        args = parse(words)
        sys.excepthook = _crashed(args.home)
        from meshchat import commands

        code = commands.find(args.verb)(args)
        sys.stdout.flush()
    except MeshchatError as error:
        if args is None:
            _speak(words)
        return _explain(error, "--json" in words and next(iter(words), "") != "sim")
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter's own flush complains
        return EXIT_PIPE
    return code


def _speak(words: list[str]) -> None:
    """Take the language of the settings before the arguments are understood."""
    from meshchat.parser import home_of
    from meshchat.places import settings_path

    with contextlib.suppress(MeshchatError, OSError, RuntimeError):
        path = settings_path(home_of(words))
        if path.exists():
            from meshchat.config import read_options

            i18n.choose(read_options(path).language)


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

        from meshchat.logfile import start_log, where
        from meshchat.profile import Profile

        place = where(error)
        with contextlib.suppress(MeshchatError):
            profile = Profile(home)
            if profile.exists():
                start_log(profile.log_path)
                logging.getLogger("meshchat").error("bug: %s", place)
        shown = i18n.said(f"internal error ({kind.__name__}); please report: {place[:300]}")
        print(f"meshchat: {shown}", file=sys.stderr)

    return hook
