"""What meshchat cannot protect its user from, in plain words: text only, in sections.

The long form is docs/explain/threat-model.md. Keep both true.
"""

import textwrap

from msgspec import Struct

from meshchat.errors import UsageError
from meshchat.i18n import N_, _

WIDTH = 76  # fits 80 columns with a margin


class Section(Struct, frozen=True):
    """One topic."""

    name: str
    """What is typed to see it alone."""
    title: str
    says: tuple[str, ...]
    """One point each."""

    def lines(self) -> list[str]:
        """For a terminal."""
        found = [_(self.title)]
        for point in self.says:
            found += textwrap.wrap(_(point), WIDTH, initial_indent="- ", subsequent_indent="  ")
        return found


SECTIONS = (
    Section(
        "review",
        N_("Nobody outside has checked meshchat yet"),
        (
            N_(
                "The parts are published ones, their assembly is new. If your life depends on it, "
                "assume that there are mistakes."
            ),
        ),
    ),
    Section(
        "presence",
        N_("Others can see that you use it, and where"),
        (
            N_("Anybody near can see that meshchat runs here, and roughly how much it sends."),
            N_(
                "Who stands near you all the time can see when you write, because you are among "
                "the first to offer it. A delay of some seconds blurs that, no more."
            ),
            N_("A network card can have an address of its own that never changes."),
            N_("Sealed mail does not show who wrote it, to whom, or what it says."),
        ),
    ),
    Section(
        "people",
        N_("You must check who people are"),
        (
            N_(
                "A contact that is not verified may be somebody else. Compare the twelve words or "
                "the seven signs, in person or by voice."
            ),
            N_("An introduction says who brought you together. It proves nothing."),
            N_("A new key under an old name is another person until you have asked your friend."),
            N_(
                "Signs that differ mean that somebody stands between you. Send nothing secret then."
            ),
            N_("Who has your keys can write to you in anybody's name."),
        ),
    ),
    Section(
        "device",
        N_("A device that is taken"),
        (
            N_(
                "Switched off: it tells nothing without the passphrase. Five or more random words "
                "are good; a short one can be guessed."
            ),
            N_("Switched on and open: it shows everything you have not deleted."),
            N_(
                "Locked with Ctrl+L: hidden from eyes, but the keys are in memory. With "
                "idle_minutes in the settings the program forgets them by itself."
            ),
            N_("Swap, sleep and hibernation can write memory to the disk. See: meshchat doctor"),
            N_(
                "Messages that were captured on the air do not open with it once they were read "
                "here and both of you have written. First messages without an answer do, for nine "
                "days."
            ),
            N_(
                "A file you saved with meshchat save lies on the disk in the clear, also behind a "
                "decoy, until you remove it or wipe."
            ),
            N_("Flash memory can keep old blocks of what was overwritten."),
            N_("What your friends and rooms have, you cannot delete."),
        ),
    ),
    Section(
        "decoy",
        N_("What a decoy cannot hide"),
        (
            N_(
                "That every profile has room for one is public. Whoever doubts you can demand a "
                "second passphrase although there is none."
            ),
            N_(
                "Sizes: beside the decoy lies a large file that it does not explain. Every profile "
                "has such a file, of 256 KiB to 16 MiB at first; yours may be larger."
            ),
            N_("Two pictures of the disk at different times show which file is in use."),
            N_(
                "After a crash or a cut power the log beside a store shows which one was open. End "
                "the program properly, or open and end it once more."
            ),
            N_("A decoy that was never used looks like one."),
            N_("The memory of a running computer, shell history, friends who know better."),
            N_("If destroying data is itself punished where you are, do not use --destroy."),
        ),
    ),
    Section(
        "seizure",
        N_("After somebody has your keys"),
        (
            N_("Until your friends know, the thief is you to them."),
            N_(
                "Give a revocation to a few friends while all is well: meshchat revocation give "
                "NAME. Each of them alone can then end your key, for good, also by mistake or in "
                "anger."
            ),
            N_(
                "It reaches your contacts like any mail: in minutes or days, and some of them "
                "never."
            ),
            N_("Let a friend's silence be told: meshchat contact silent NAME N."),
        ),
    ),
    Section(
        "rooms",
        N_("Rooms are not private"),
        (
            N_("Everybody with the name (and the passphrase) can read all of it, also later."),
            N_(
                "Hiding and blocking change what you see. Nobody can be thrown out of a room, and "
                "whoever is blocked can come back under a new name."
            ),
        ),
    ),
    Section(
        "delivery",
        N_("Messages may not arrive"),
        (
            N_(
                "Nothing is promised without a network. Carried means that others have a copy, "
                "only delivered means that it is there."
            ),
        ),
    ),
)


def sections(topic: str | None) -> tuple[Section, ...]:
    """All, or the one that is named.

    Raises:
        UsageError: There is no such topic.
    """
    found = tuple(section for section in SECTIONS if topic in (None, section.name))
    if not found:
        names = ", ".join(section.name for section in SECTIONS)
        raise UsageError("unknown_topic", f"There is no such topic; there are: {names}.")
    return found
