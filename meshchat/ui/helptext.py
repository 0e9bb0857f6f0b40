"""Help for the place our user is in: its keys first, then everything."""

from collections.abc import Mapping

from meshchat.i18n import N_, _
from meshchat.ui import commands
from meshchat.ui.commands import COMMANDS, key_label
from meshchat.ui.glyphs import Glyphs, legend

FIND_KEYS = (
    ("Enter Up", N_("an older one")),
    ("Down", N_("a newer one")),
    ("Esc", N_("back to writing; the place stays")),
)
MESSAGE_KEYS = (
    ("Up Down", N_("an older or newer message")),
    ("Home End", N_("the first, the last")),
    ("g", N_("go to the message that this one answers")),
    ("Esc", N_("back to writing")),
)
_TITLES = {
    "list": N_("In the list of chats"),
    "message": N_("While a message is chosen"),
    "find": N_("While looking for words"),
    "write": N_("While writing"),
}
REBIND = N_(
    "To choose other keys, write them into the settings file, by command:\n"
    '  [keys]\n  mesh = "f8"\n  find = "ctrl+g"'
)


def help_lines(place: str, width: int, glyphs: Glyphs, chosen: Mapping[str, str]) -> str:
    """The help screen.

    Args:
        place: ``ChatScreen.place``, or ``keys`` for every key.
        width: Cells of a line.
        glyphs: Explained at the end.
        chosen: Keys of the settings, by command.
    """
    lines: list[str] = []
    if place == "keys":
        for c in COMMANDS:
            keys = chosen.get(c.name, c.keys)
            if keys:
                shown = " ".join(key_label(key) for key in keys.split(","))
                lines.append(_row(width, shown, c.title))
        lines += ["", *(_row(width, _(key), _(what)) for key, what in commands.PANE_KEYS)]
        return "\n".join([*lines, "", _(REBIND)])
    lines.append(_(_TITLES[place]))
    rows = {
        "list": commands.LIST_KEYS,
        "message": MESSAGE_KEYS,
        "find": FIND_KEYS,
        "write": commands.PANE_KEYS,
    }[place]
    if place == "message":
        lines += [_row(width, key_label(c.pick), c.title) for c in COMMANDS if c.pick]
    lines += [_row(width, _(key), _(what)) for key, what in rows]
    lines += ["", _("Commands"), _("Type one, choose it with Ctrl+P, or press its key."), ""]
    lines += [commands.row(width, c, chosen.get(c.name, c.keys)) for c in COMMANDS]
    lines += ["", _("Start a message with // to send it with a slash.")]
    bottom = _(
        "At the bottom: each radio with its neighbours, what you carry for others, and how many "
        "messages of yours nobody has taken yet (queue, or q where it is narrow)."
    )
    lines += ["", bottom]
    lines += ["", _("Signs behind your messages"), *legend(glyphs)]
    return "\n".join(lines)


def _row(width: int, keys: str, what: str) -> str:
    if width < commands.HELP_WIDE_CELLS:
        return f"{keys}\n   {what}"
    return f"  {keys:<20} {what}" if len(keys) <= 20 else f"  {keys}\n{'':23}{what}"
