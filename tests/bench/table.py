"""What every benchmark hands over, and how it is shown."""

import operator

Figure = tuple[str, float, str]
"""What was measured with its unit, the value, and the bar as ``>= 0.5``, or empty."""

_TESTS = {">=": operator.ge, "<=": operator.le}


def holds(value: float, bar: str) -> bool:
    """Whether the value keeps its bar; without one it does."""
    if not bar:
        return True
    sign, limit = bar.split()
    return bool(_TESTS[sign](value, float(limit)))


def show(figures: list[Figure]) -> int:
    """Print ``what | measured | bar | ok``; returns how many bars are missed."""
    width = max((len(what) for what, _, _ in figures), default=0)
    print(f"{'what':<{width}} | {'measured':>11} | {'bar':>8} | ok")
    missed = 0
    for what, value, bar in figures:
        ok = holds(value, bar)
        missed += not ok
        digits = 0 if abs(value) >= 1_000 else 3 if abs(value) < 1 else 2
        said = "" if not bar else "yes" if ok else "NO"
        print(f"{what:<{width}} | {value:>11,.{digits}f} | {bar:>8} | {said}".rstrip())
    return missed
