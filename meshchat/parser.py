"""``argparse`` in our user's language: its headings, the help of an option, and what it refuses.

``arguments`` gives English; it is put into the language where it is printed, so that a start
looks nothing up.
"""

import argparse
from collections.abc import Iterable
from typing import Any, NoReturn

from meshchat.errors import UsageError
from meshchat.i18n import N_, _

OWN_WORDS = (  # of argparse in its help
    *(N_("positional arguments"), N_("options")),
    *(N_("show this help message and exit"), N_("show program's version number and exit")),
)
REFUSALS = (  # the sentences of argparse for mistakes that are possible with our arguments
    N_("the following arguments are required: {0}"),
    N_("argument {0}: invalid choice: {1} (choose from {2})"),
    N_("argument {0}: invalid int value: {1}"),
    N_("argument {0}: invalid float value: {1}"),
    N_("argument {0}: expected one argument"),
    N_("argument {0}: ignored explicit argument {1}"),
    N_("unrecognized arguments: {0}"),
    N_("ambiguous option: {0} could match {1}"),
)


class Parser(argparse.ArgumentParser):
    """Wrong arguments become a ``UsageError``: one sentence, like any other."""

    def __init__(self, **rest: Any) -> None:
        super().__init__(formatter_class=_Help, **rest)

    def error(self, message: str) -> NoReturn:
        raise UsageError("bad_arguments", f"{message}; see: {self.prog} --help")


class _Help(argparse.HelpFormatter):
    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None = None,
    ) -> None:
        super().add_usage(usage, actions, groups, _("usage: ") if prefix is None else prefix)

    def start_section(self, heading: str | None) -> None:
        super().start_section(_(heading) if heading else heading)

    def add_text(self, text: str | None) -> None:
        super().add_text(_(text) if text else text)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return _(action.help) if action.help else action.help


def home_of(words: list[str]) -> str | None:
    """The profile's directory, if it is named in words of a command line that is not understood."""
    for word, after in zip(words, [*words[1:], None], strict=True):
        if word.startswith("--home="):
            return word.partition("=")[2]
        if word == "--home":
            return after
    return None
