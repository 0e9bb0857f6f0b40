"""Colours: Textual's dark and light ones, those of a 16-colour terminal, and high contrast."""

import os
from collections.abc import Mapping

from textual.theme import Theme

CONTRAST = Theme(
    name="meshchat-contrast",
    primary="#ffff00",
    secondary="#00ffff",
    warning="#ffff00",
    error="#ff8080",
    success="#00ff00",
    accent="#ffff00",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    boost="#000000",
    dark=True,
    luminosity_spread=0.0,
    text_alpha=1.0,
    variables={
        "text-muted": "#ffffff",
        "text-disabled": "#ffffff",
        "panel-lighten-2": "#ffffff",  # lines between panes
    },
)
OWN = (CONTRAST,)
NAMES = {
    "dark": "textual-dark",
    "light": "textual-light",
    "ansi-dark": "ansi-dark",
    "ansi-light": "ansi-light",
    "contrast": CONTRAST.name,
}
"""What our user calls them, and what Textual does."""


def find(setting: str, environ: Mapping[str, str] = os.environ) -> str:
    """The theme of a setting; for an empty one what fits this terminal."""
    if setting in NAMES:
        return NAMES[setting]
    light = _is_light(environ.get("COLORFGBG", ""))
    many = "256" in environ.get("TERM", "") or environ.get("COLORTERM", "") in (
        "truecolor",
        "24bit",
    )
    if many:
        return NAMES["light" if light else "dark"]
    return NAMES["ansi-light" if light else "ansi-dark"]


def after(theme: str) -> str:
    """The one that follows."""
    every = list(NAMES.values())
    return every[(every.index(theme) + 1) % len(every)] if theme in every else every[0]


def _is_light(colours: str) -> bool:
    """Whether ``COLORFGBG`` (``foreground;background``) speaks of a light background."""
    background = colours.rpartition(";")[2]
    return background in ("7", "15")
