"""What is said about a live check, and the seven signs as lines; the linear mode says the same."""

from __future__ import annotations

from meshchat.core.signs import SIGNS
from meshchat.i18n import N_, _
from meshchat.text import Clean
from meshchat.ui.glyphs import Glyphs

LOUD = ("different", "denied", "cheated")
"""Ends after which somebody may stand between the two."""

WORDS = (
    *(N_("dog"), N_("cat"), N_("horse"), N_("cow")),
    *(N_("camel"), N_("elephant"), N_("bear"), N_("frog")),
    *(N_("hen"), N_("owl"), N_("fish"), N_("turtle")),
    *(N_("snake"), N_("bee"), N_("butterfly"), N_("snail")),
    *(N_("tree"), N_("cactus"), N_("tulip"), N_("mushroom")),
    *(N_("corn"), N_("apple"), N_("lemon"), N_("grapes")),
    *(N_("melon"), N_("strawberry"), N_("carrot"), N_("bread")),
    *(N_("cheese"), N_("egg"), N_("cake"), N_("honey")),
    *(N_("moon"), N_("star"), N_("fire"), N_("rainbow")),
    *(N_("snowman"), N_("wave"), N_("boat"), N_("bicycle")),
    *(N_("train"), N_("rocket"), N_("balloon"), N_("house")),
    *(N_("tent"), N_("key"), N_("lock"), N_("bell")),
    *(N_("hammer"), N_("bucket"), N_("magnet"), N_("camera")),
    *(N_("books"), N_("pin"), N_("glasses"), N_("hat")),
    *(N_("crown"), N_("boot"), N_("umbrella"), N_("guitar")),
    *(N_("drum"), N_("football"), N_("clock"), N_("gift")),
)
"""The words of ``signs.SIGNS`` once more, so that they can be translated."""


def check_title(name: Clean) -> Clean:
    """Above the signs."""
    return Clean.line(_("Compare seven signs with {name}").format(name=name), 100)


def check_wish(name: Clean) -> str:
    """A contact began a check."""
    text = _("{name} wants to compare seven signs with you, now: /check in the chat with {name}.")
    return text.format(name=name)


def sign_lines(signs: tuple[int, ...], glyphs: Glyphs) -> list[str]:
    """The signs, one a line: the word first, because terminals draw the picture differently."""
    lines = []
    for number, sign in enumerate(signs, 1):
        picture = "" if glyphs.is_plain else f"  {SIGNS[sign][0]}"
        lines.append(f" {number}. {_(WORDS[sign]):<12}{picture}".rstrip())
    return lines


def ended_words(reason: str, name: Clean) -> str:
    """How a check ended, in a sentence or more."""
    danger = _(
        "Somebody may stand between you. Send nothing secret. Exchange cards again in person; "
        "until then {name} is not verified."
    )
    known = {
        "same": _("The signs agreed: {name} is verified."),
        "different": _("You said that the signs differ.") + " " + danger,
        "denied": _("{name} says that the signs differ.") + " " + danger,
        "cheated": _("The device of {name} broke the rules of the check.") + " " + danger,
        "cancelled": _("The check was put off; nothing has changed."),
        "ended": _("{name} put the check off; nothing has changed."),
        "timeout": _("Nobody answered in time; nothing has changed."),
        "link_lost": _("The direct link to {name} is gone: come near and try again."),
        "busy": _("{name} is busy with another check: try again in a moment."),
    }
    return known.get(reason, reason.replace("_", " ")).format(name=name)
