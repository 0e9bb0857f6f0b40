"""Key bindings of the screens, made from the one table of commands."""

from collections.abc import Mapping

from textual.binding import Binding, BindingType

from meshchat.errors import UsageError
from meshchat.i18n import _
from meshchat.ui.commands import BY_NAME, CHAT_KEYS, COMMANDS, key_label, with_twins

APP_KEYS = ("quit", "palette", "lock")
"""Commands whose keys work on every screen."""


def chat_bindings() -> list[BindingType]:
    """Of the chat screen; they win over what a focused input binds."""
    found: list[BindingType] = [
        Binding(
            *(with_twins(c.keys), f"command('{c.name}')", c.label),
            show=False,
            priority=True,
            id=c.name,
        )
        for c in COMMANDS
        if c.keys and c.name not in APP_KEYS
    ]
    found.append(Binding("escape", "back", "Back to the chats", show=False))
    for number in range(1, CHAT_KEYS + 1):
        keys = f"alt+{number}"
        found.append(Binding(keys, f"nth({number})", f"Chat {number}", show=False, priority=True))
    return found


def app_bindings() -> list[BindingType]:
    """Of every screen."""
    actions = {"palette": "command_palette", "quit": "quit", "lock": "lock"}
    found: list[BindingType] = [
        Binding(
            *(with_twins(BY_NAME[name].keys), actions[name], BY_NAME[name].label),
            show=False,
            priority=True,
            id=name,
        )
        for name in APP_KEYS
    ]
    found.append(Binding(with_twins("ctrl+x"), "panic", "Destroy", show=False, priority=True))
    return found


def pick_bindings() -> list[BindingType]:
    """Of a chosen message."""
    return [
        Binding(with_twins(c.pick), f"pick('{c.name}')", c.label, show=False)
        for c in COMMANDS
        if c.pick
    ]


def keymap(chosen: Mapping[str, str]) -> dict[str, str]:
    """Keys our user chose in the settings, checked, with their Cyrillic twins.

    Raises:
        UsageError: A command that is none or has no key of its own, or one key for two.
    """
    found = {command.name: command.keys for command in COMMANDS if command.keys}
    for name, keys in chosen.items():
        if name not in BY_NAME:
            text = _("[keys] in the settings names {name}, which is no command.")
            raise UsageError("unknown_command", text.format(name=name))
        found[name] = keys.replace(" ", "").lower()
    owners: dict[str, str] = {}
    for name, keys in found.items():
        for key in filter(None, keys.split(",")):
            if owners.setdefault(key, name) != name:
                text = _("The key {key} is given to both {one} and {other} in the settings.")
                shown = text.format(key=key_label(key), one=owners[key], other=name)
                raise UsageError("key_taken", shown)
    return {name: with_twins(found[name]) for name in chosen}
