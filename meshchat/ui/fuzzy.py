"""Finding a name by some of its letters."""

_START, _WORD, _RUN = 8, 5, 3  # a hit at the start, at a word's start, next to the one before


def score(typed: str, name: str) -> int:
    """How well the letters typed fit a name; 0 if they do not occur in it in this order.

    Letters that look the same count as the same, so a name can be found in either alphabet.
    """
    from meshchat.core.identity import name_skeleton  # with all of nacl: not for the first frame

    wanted = [letter for letter in typed.casefold() if not letter.isspace()]
    if not wanted:
        return 1
    return max(
        _walk(wanted, name.casefold()),
        _walk(list(name_skeleton("".join(wanted))), name_skeleton(name)),
    )


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
