"""Finding a name by some of its letters."""

from functools import lru_cache

_WHOLE = 100_000  # as it was typed: before whatever has the letters somewhere
_START, _WORD, _RUN = 8, 5, 3  # a hit at the start, at a word's start, next to the one before


@lru_cache(maxsize=8_192)  # of the 3,600 emoji too: each key asks for all of them again
def _skeleton(name: str) -> str:
    from meshchat.core.identity import name_skeleton  # with all of nacl: not for the first frame

    return name_skeleton(name)


def score(typed: str, name: str) -> int:
    """How well the letters typed fit a name; 0 if they do not occur in it in this order.

    Letters that look the same count as the same, so a name can be found in either alphabet.
    """
    wanted = [letter for letter in typed.casefold() if not letter.isspace()]
    if not wanted:
        return 1
    found = max(
        _walk(wanted, name.casefold()),
        _walk(list(_skeleton("".join(wanted))), _skeleton(name)),
    )
    return found + _WHOLE if typed.strip().casefold() in name.casefold() else found


def _walk(wanted: list[str], name: str) -> int:
    best = 0
    for begin, letter in enumerate(name):
        if wanted and letter == wanted[0]:
            best = max(best, _from(wanted, name, begin))
    return best


def _from(wanted: list[str], name: str, begin: int) -> int:
    total, at, last = 1, begin, begin - 1
    for letter in wanted:
        found = name.find(letter, at)
        if found < 0:
            return 0
        if found == 0:
            total += _START
        elif not name[found - 1].isalnum():
            total += _WORD
        elif found == last + 1:
            total += _RUN
        last, at = found, found + 1
    return total * 100 - len(name)


def rank(typed: str, names: list[str]) -> list[int]:
    """Indexes of the names that fit, best first; equal ones stay in order."""
    scores = [score(typed, name) for name in names]
    return sorted((at for at, points in enumerate(scores) if points), key=lambda at: -scores[at])
