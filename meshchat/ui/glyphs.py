"""The signs of the screens in two sets: Unicode, and plain ASCII words for what has no such signs.

No set needs a special font. Meaning is never in a sign's colour.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from meshchat.i18n import _

if TYPE_CHECKING:  # the lock screen needs the signs and nothing of the core
    from meshchat.core.model import Contact, Message

_PLAIN_TERMS = ("linux", "dumb", "vt", "ansi", "cons")  # consoles with 256 glyphs or fewer

_PICTURE = "\u2190-\u2bff\U0001f000-\U0001faff"
_JOINED = re.compile(
    f"\u200d[{_PICTURE}]|[\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]"
)
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]")


class Glyphs(Struct, frozen=True):
    """One set of signs."""

    name: str
    queued: str
    carried: str
    delivered: str
    read: str
    failed: str
    on: str
    off: str
    here: str
    """Beside the open chat and the chosen message."""
    rule: str
    back: str
    below: str
    verified: str
    unverified: str
    changed: str
    more: str
    """In place of what was cut off."""
    quote: str
    tee: str
    corner: str
    silent: str
    """Beside somebody of whom nothing was heard for too long."""
    simple_emoji: bool = False
    """Draw only emoji of one code point, whose width every terminal agrees on."""

    @property
    def is_plain(self) -> bool:
        """No letters beyond ASCII: words in place of signs."""
        return self.name == "plain"

    def draw(self, text: str) -> str:
        """A text as this terminal can draw it without losing the columns."""
        return simple_emoji(text) if self.simple_emoji else text


UNICODE = Glyphs(
    "unicode",
    "·",
    "↑",
    "✓",
    "✓✓",
    "!",
    "●",
    "○",
    "▌",
    "─",
    "‹",
    "↓",
    "✓",
    "?",
    "!",
    "…",
    "│",
    "├",
    "└",
    "◌",
)
PLAIN = Glyphs(
    "plain",
    "",
    "",
    "",
    "",
    "!",
    "on",
    "off",
    ">",
    "-",
    "<",
    "v",
    "+",
    "?",
    "!",
    "~",
    "|",
    "+",
    "`",
    "z",
    simple_emoji=True,
)


def choose(setting: str, environ: Mapping[str, str] = os.environ, *, emoji: str = "") -> Glyphs:
    """``unicode``, ``plain``, or by locale and terminal for anything else.

    Args:
        setting: Of our user.
        environ: Where locale and terminal are named.
        emoji: ``simple``, or anything else for whatever people write.
    """
    found = _choose(setting, environ)
    return replace(found, simple_emoji=True) if emoji == "simple" else found


def simple_emoji(text: str) -> str:
    """Joined emoji as their first part, flags as letters, no skin tones or variants."""
    text = _JOINED.sub("", text)
    return _FLAG.sub(lambda found: chr(ord(found.group()) - 0x1F1E6 + ord("A")), text)


def _choose(setting: str, environ: Mapping[str, str]) -> Glyphs:
    if setting in ("unicode", "plain"):
        return PLAIN if setting == "plain" else UNICODE
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    utf8 = locale.lower().replace("-", "").endswith("utf8")
    plain = environ.get("TERM", "").startswith(_PLAIN_TERMS)
    return UNICODE if utf8 and not plain else PLAIN


def trust_sign(glyphs: Glyphs, contact: Contact) -> str:
    """The sign beside a contact's name."""
    from meshchat.core.model import Trust

    if contact.frozen:
        return glyphs.changed
    return glyphs.verified if contact.trust is Trust.VERIFIED else glyphs.unverified


def state_mark(glyphs: Glyphs, message: Message) -> str:
    """What stands behind one of our messages."""
    if not message.outgoing:
        return ""
    from meshchat.core.model import State

    if message.state is State.FAILED:
        why = reason_words(message.reason)
        return f"{glyphs.failed} {why}" if not glyphs.is_plain else f"({_('failed')}: {why})"
    if glyphs.is_plain:
        words = {
            State.QUEUED: _("queued"),
            State.CARRIED: _("carried {count}").format(count=message.carriers),
            State.DELIVERED: _("delivered"),
            State.READ: _("read"),
        }
        word = words.get(message.state, "")
        return f"({word})" if word else ""
    signs = {
        State.QUEUED: glyphs.queued,
        State.CARRIED: glyphs.carried,
        State.DELIVERED: glyphs.delivered,
        State.READ: glyphs.read,
    }
    count = str(message.carriers) if message.state is State.CARRIED and message.carriers > 1 else ""
    return signs.get(message.state, "") + count


def is_read(message: Message) -> bool:
    """Whether the reader told us that they have seen it."""
    from meshchat.core.model import State

    return message.state is State.READ


def reason_words(code: str) -> str:
    """A stable code of the core in words for people."""
    known = {
        "expired": _("its time is over"),
        "ended": _("its time is over"),
        "key_changed": _("the key was replaced"),
        "revoked": _("the key was revoked"),
        "not_member": _("you are not a member any more"),
        "no_key": _("waits for a key of theirs"),
        "no_interface": _("no network"),
        "firewall": _("a firewall is in the way"),
        "cannot_send": _("the system does not let us send"),
        "isolated": _("this network keeps devices apart"),
        "alone": _("nobody else here"),
        "beacon_port": _("another program has the port"),
        "switched_off": _("by your settings"),
        "file_open": _("pieces are missing"),
        "file_damaged": _("damaged"),
        "file_ended": _("its time is over"),
        "jammed": _("jammed"),
        "off": _("off"),
        "blocked": _("blocked"),
        "no_bluetooth": _("no Bluetooth"),
        "no_adapter": _("no adapter"),
        "no_permission": _("not allowed"),
        "no_peripheral": _("cannot be found by others"),
        "no_central": _("cannot look for others"),
        "stuck": _("does not answer"),
        "other": _("refused"),
        "fixed_address": _("its address never changes"),
    }
    return known.get(code) or _(code.replace("_", " "))


def legend(glyphs: Glyphs) -> list[str]:
    """What the signs behind our messages mean, one a line."""
    if glyphs.is_plain:
        rows = [
            (_("queued"), _("only here: nobody has taken it yet")),
            (_("carried 2"), _("two neighbours keep a copy and pass it on")),
            (_("delivered"), _("proven by the recipient's device")),
            (_("read"), _("the reader's device says so")),
            (_("failed"), _("the reason stands behind it")),
        ]
    else:
        rows = [
            (glyphs.queued, _("only here: nobody has taken it yet")),
            (f"{glyphs.carried}2", _("carried: two neighbours keep a copy and pass it on")),
            (glyphs.delivered, _("delivered: proven by the recipient's device")),
            (glyphs.read, _("read: the reader's device says so")),
            (glyphs.failed, _("failed; the reason stands behind it")),
        ]
    return [f"{sign:<3} {what}" for sign, what in rows]
