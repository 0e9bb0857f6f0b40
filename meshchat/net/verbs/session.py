"""What a verb is, and what it works on."""

from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct, field

from meshchat.core.identity import utf8
from meshchat.errors import UsageError
from meshchat.i18n import N_
from meshchat.net.runtime import Runtime
from meshchat.profile import Profile
from meshchat.text import Clean

Json = dict[str, object]


class Session(Struct, frozen=True):
    """What verbs work on: a running node and the profile it belongs to."""

    runtime: Runtime
    profile: Profile
    serving: bool = False
    """A node is running, rather than one command by itself."""
    uploads: dict[str, bytes] = field(default_factory=dict)
    """Files that are being handed over in parts, the one that waits longest first."""

    def own_name(self) -> Clean:
        """What we call ourselves."""
        return Clean.line(self.runtime.node.name)


class Verb(Struct, frozen=True):
    """A row of the table."""

    run: Callable[[Session, "Args"], Awaitable[Json]]
    needs: Mapping[str, type]
    """Arguments that must be there, with their types."""
    takes: Mapping[str, type]
    """Arguments that may be there."""


class Args:
    """Arguments of one call, their names and types checked."""

    def __init__(self, verb: Verb, given: Mapping[str, object]) -> None:
        allowed = {**verb.needs, **verb.takes}
        for name in verb.needs:
            if given.get(name) is None:
                raise UsageError("missing_argument", f"The argument {name!r} is missing.")
        for name, value in given.items():
            if name not in allowed:
                shown = Clean.line(name)
                raise UsageError("unknown_argument", f"There is no argument {shown!r} here.")
            if value is not None and type(value) is not allowed[name]:
                wanted = {
                    str: "text",
                    int: N_("a whole number"),
                    bool: N_("true or false"),
                    list: N_("a list of texts"),
                }[allowed[name]]
                raise UsageError("bad_argument", f"The argument {name!r} must be {wanted}.")
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str):
                    utf8(text)
                elif value is not text:
                    raise UsageError("bad_argument", f"The argument {name!r} must be texts only.")
        self._given = given

    def text(self, name: str) -> str:
        """The text, or an empty one."""
        value = self._given.get(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> list[str]:
        """The list of texts, or an empty one."""
        value = self._given.get(name)
        return [str(text) for text in value] if isinstance(value, list) else []

    def number(self, name: str, default: int) -> int:
        value = self._given.get(name)
        return value if isinstance(value, int) else default

    def has(self, name: str) -> bool:
        """Whether it was given."""
        return self._given.get(name) is not None

    def flag(self, name: str, default: bool) -> bool:
        value = self._given.get(name)
        return value if isinstance(value, bool) else default
