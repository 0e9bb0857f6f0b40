"""The settings in ``config.toml`` (docs/reference/config.md): written by the user, never by us."""

from pathlib import Path
from typing import Any, NoReturn

from msgspec import Struct

from meshchat.errors import UsageError
from meshchat.i18n import N_
from meshchat.text import Clean

STORE_MIN_MB = 8  # a few thousand messages; less would refuse the first picture
STORE_MAX_MB = 65_536  # the size of a large card
IDLE_MAX_MINUTES = 1_440  # a day; longer is never
CONFIG_MAX_BYTES = 64 * 1024  # ours has ten lines; anything larger is a mistake


class RuntimeOptions(Struct, frozen=True):
    """What ``config.toml`` and the command line may set."""

    lan: bool = True
    """Use the local network at all."""
    listen: str = ""
    """``ADDR:PORT`` to accept links on; empty: every interface, a port the system picks."""
    peers: tuple[str, ...] = ()
    """``HOST:PORT`` of nodes to dial although they cannot be discovered."""
    discover: bool = True
    """Announce ourselves to the network and look for others."""
    interfaces: tuple[str, ...] = ()
    """Names of the interfaces to discover on; empty: all but tunnels."""
    ble: bool = True
    """Use Bluetooth LE where there is an adapter."""
    ble_profile: str = "normal"
    """What to spend on it: ``always``, ``normal`` or ``saver``."""
    ble_adapter: str = ""
    """Name of the adapter; empty: the first that is on."""
    mesh_passphrase: str = ""
    """Link only with nodes that have the same; empty: the open mesh."""
    receipts: bool = True
    """Let contacts learn that their messages reached us."""
    idle_minutes: int = 0
    """The screens close the store and forget its key after so long without a key; 0: never."""
    handover: bool = True
    """Offer our own mail to carriers only after a random while, as if it were somebody else's."""
    cover: bool = False
    """Make envelopes for nobody now and then."""
    store_megabytes: int = 256
    """Room for our own mail and what we carry for others."""
    log_level: str = "warning"
    language: str = ""
    """Of the screens: ``en``, ``ru`` …; empty: the system's."""
    theme: str = ""
    """``dark``, ``light``, ``ansi-dark``, ``ansi-light``, ``contrast``; empty: by terminal."""
    glyphs: str = ""
    """``unicode`` or ``plain``; empty: by locale and terminal."""
    emoji: str = ""
    """``simple``: only those whose width every terminal agrees on; empty: as written."""
    notify: str = "bell"
    """How to tell of news while the window is not looked at: ``off``, ``bell`` or an OSC code."""
    hide_minutes: int = 15
    """Without a key pressed, until the screens ask for the passphrase; 0: never."""
    mouse: bool = True
    """Take the mouse; false leaves it to the terminal."""
    keys: tuple[tuple[str, str], ...] = ()
    """Other keys for commands: ``(command, keys)``."""


_BLE_PROFILES = ("always", "normal", "saver")
_LEVELS = ("error", "warning", "info", "debug")
_KEYS: dict[str, dict[str, tuple[str, type]]] = {
    "lan": {
        "enabled": ("lan", bool),
        "listen": ("listen", str),
        "peers": ("peers", list),
        "discover": ("discover", bool),
        "interfaces": ("interfaces", list),
    },
    "ble": {
        "enabled": ("ble", bool),
        "profile": ("ble_profile", str),
        "adapter": ("ble_adapter", str),
    },
    "mesh": {"passphrase": ("mesh_passphrase", str)},
    "receipts": {"send": ("receipts", bool)},
    "lock": {"hide_minutes": ("hide_minutes", int), "idle_minutes": ("idle_minutes", int)},
    "privacy": {"handover": ("handover", bool), "cover": ("cover", bool)},
    "store": {"megabytes": ("store_megabytes", int)},
    "log": {"level": ("log_level", str)},
    "ui": {
        "language": ("language", str),
        "theme": ("theme", str),
        "glyphs": ("glyphs", str),
        "emoji": ("emoji", str),
        "notify": ("notify", str),
        "mouse": ("mouse", bool),
    },
}
_WORDS = {
    "log_level": _LEVELS,
    "ble_profile": _BLE_PROFILES,
    "theme": ("", "dark", "light", "ansi-dark", "ansi-light", "contrast"),
    "glyphs": ("", "unicode", "plain"),
    "emoji": ("", "simple"),
    "notify": ("off", "bell", "osc9", "osc777", "osc99"),
}
_TYPES = {
    bool: N_("true or false"),
    int: N_("a whole number"),
    str: N_("a text in quotes"),
    list: N_('a list such as ["a", "b"]'),
}


def read_options(path: Path) -> RuntimeOptions:
    """The settings in a file; defaults for what it does not name, and if there is none.

    Raises:
        UsageError: It cannot be read, or has a key or value that means nothing. The message
            names the file, the line and the key.
    """
    return _File(path).options()


class _File:
    """A settings file, and complaints about it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = ""

    def options(self) -> RuntimeOptions:
        found: dict[str, bool | int | str | tuple[str, ...] | tuple[tuple[str, str], ...]] = {}
        for section, values in self._parse().items():
            if section == "keys" and isinstance(values, dict):
                found["keys"] = self._own_keys(values)
                continue
            if section not in _KEYS or not isinstance(values, dict):
                self._bad_config(self._line_of(section), f"has an unknown key {section!r}")
            for key, value in values.items():
                where = self._line_of(key, section)
                if key not in _KEYS[section]:
                    self._bad_config(where, f"has an unknown key {key!r} in [{section}]")
                field, wanted = _KEYS[section][key]
                if not _fits(value, wanted):
                    self._bad_config(where, f"needs {_TYPES[wanted]} for {key!r} in [{section}]")
                self._check(where, key, field, value)
                found[field] = tuple(value) if isinstance(value, list) else value
        return RuntimeOptions(**found)  # type: ignore[arg-type]  # each was checked above

    def _parse(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                raw = file.read(CONFIG_MAX_BYTES + 1)
            import tomllib  # most people have no settings

            self._text = raw.decode()
            if len(raw) > CONFIG_MAX_BYTES:
                self._bad_config("", f"is over {CONFIG_MAX_BYTES} bytes")
            return tomllib.loads(self._text)
        except FileNotFoundError:
            return {}
        except OSError as error:
            self._bad_config("", f"cannot be read: {error.strerror}")
        except UnicodeDecodeError:
            self._bad_config("", "is not UTF-8 text")
        except tomllib.TOMLDecodeError as error:
            self._bad_config("", f"is not valid TOML: {error}")
        except RecursionError:
            self._bad_config("", "is nested too deeply")

    def _check(self, where: str, key: str, field: str, value: Any) -> None:
        """A value of the right type, found in this line."""
        if field in _WORDS and value not in _WORDS[field]:
            words = ", ".join(filter(None, _WORDS[field]))
            self._bad_config(where, f"needs one of {words} for {key!r}")
        if field == "store_megabytes" and not STORE_MIN_MB <= value <= STORE_MAX_MB:
            self._bad_config(where, f"needs {STORE_MIN_MB} to {STORE_MAX_MB} for 'megabytes'")
        if key.endswith("_minutes") and not 0 <= value <= IDLE_MAX_MINUTES:
            self._bad_config(where, f"needs 0 (never) to {IDLE_MAX_MINUTES} for {key!r}")
        try:
            if field == "listen" and value:
                split_address(value)
            for peer in value if field == "peers" else ():
                split_address(peer)
        except UsageError as error:
            self._bad_config(where, f"has a bad value for {key!r}: {error}")

    def _own_keys(self, values: dict[str, object]) -> tuple[tuple[str, str], ...]:
        for name, keys in values.items():
            if not isinstance(keys, str):
                where = self._line_of(name, "keys")
                self._bad_config(where, f"needs a key in quotes for {name!r} in [keys]")
        return tuple((name, str(keys)) for name, keys in values.items())

    def _bad_config(self, line: str, problem: str) -> NoReturn:
        path = self._path
        if line:
            raise UsageError("bad_config", f"The settings file {path}, line {line}, {problem}.")
        raise UsageError("bad_config", f"The settings file {path} {problem}.")

    def _line_of(self, key: str, section: str = "") -> str:
        """The number of the line, or nothing if the key cannot be found by sight."""
        inside = not section
        for number, line in enumerate(self._text.splitlines(), 1):
            stripped = line.strip()
            if stripped.startswith("["):
                title = stripped.strip("[] ")
                if not section and title == key:
                    return str(number)
                inside = title == section
            elif inside and stripped.split("=")[0].strip().strip("\"'") == key:
                return str(number)
        return ""


def split_address(text: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``[IPV6]:PORT`` as a pair.

    Raises:
        UsageError: It is not of that form.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise UsageError(
            "bad_address",
            f"{Clean.line(text, 60)!r} is not HOST:PORT (an IPv6 address goes in []).",
        )
    return host, int(port)


def _fits(value: object, wanted: type) -> bool:
    if isinstance(value, list):
        return wanted is list and all(isinstance(item, str) for item in value)
    return type(value) is wanted
