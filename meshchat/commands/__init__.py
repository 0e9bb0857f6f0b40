"""What ``cli`` carries out for each verb of ``arguments``.

Each module here has the commands of one area, with a table of its own. Importing one costs next
to nothing: what is heavy is imported inside the functions.
"""

from collections.abc import Iterator
from importlib import import_module

from meshchat.commands.console import Command

AREAS = ("node", "chats", "people", "rooms", "groups", "profile", "files", "simulator")


def tables() -> Iterator[dict[str, Command]]:
    """The commands of each area, imported as far as somebody looks."""
    for area in AREAS:
        yield import_module(f"meshchat.commands.{area}").COMMANDS


def find(verb: str) -> Command:
    """What carries out a verb that ``arguments`` knows."""
    return next(table[verb] for table in tables() if verb in table)
