"""Times and rates as people write them in a scenario file.

A length of time is a number of seconds or text such as ``"90s"``, ``"2h"`` or ``"1d 6h 30min"``.
A moment is one of: seconds or a length of time after the start; a clock time of the first day
(``"19:40"``) or of a later one (``"1d 06:30"``); a date and a time (``"2022-01-06 19:40"``).
Clocks and dates are local: they have the UTC offset of the scenario's start. Every parser raises
``ValueError`` with a sentence for the person who wrote the file.
"""

import re
from datetime import UTC, date, datetime, time, timedelta, timezone

DAY_S = 86_400.0
SPAN_MAX_S = 400 * DAY_S  # longer is a slip of the pen
RATE_MAX = 1e10  # bytes/s: no radio of ours is that fast

_UNITS = {"w": 604_800.0, "d": DAY_S, "h": 3_600.0, "min": 60.0, "m": 60.0, "s": 1.0}
_DAYS, _MONTHS = "MonTueWedThuFriSatSun", "JanFebMarAprMayJunJulAugSepOctNovDec"
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,6})?"
_PART = re.compile(rf"({_NUMBER})\s*(w|d|h|min|m|s)(?![a-z])\s*")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_DAY_CLOCK = re.compile(r"(?:([0-9]{1,3})\s*d\s+)?([0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)")
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]+(.+))?")
_ZONE = re.compile(r"(.*?)\s*(?:([+-])([0-9]{2}):([0-9]{2})|Z)")
_RATE = re.compile(rf"({_NUMBER})\s*(k|M)?(bit|B)/s")

SPAN_HELP = 'a length of time, such as 90, "90s", "2h" or "1d 6h 30min"'
MOMENT_HELP = 'a moment, such as "2h", "19:40", "1d 06:30" or "2022-01-06 19:40"'
CLOCK_HELP = 'a time of day, such as "18:00"'
START_HELP = 'a date, a time and a UTC offset, such as "2022-01-06 19:40 +06:00"'
RATE_HELP = 'bytes a second, or text such as "64 kbit/s" or "12 kB/s"'


class Span(float):
    """A length of time in seconds."""


class Moment(float):
    """Seconds after the scenario's start."""


class Clock(float):
    """Seconds after local midnight."""


class Rate(float):
    """Bytes a second; 0 is without limit."""


class Threshold(float):
    """What a pass mark asks for; a length of time becomes seconds."""


class Pair(tuple[float, float]):
    """A lowest and a highest value; in the file one number, or two in brackets."""

    __slots__ = ()

    @property
    def low(self) -> float:
        """The first of the two."""
        return self[0]

    @property
    def high(self) -> float:
        """The second, not below the first."""
        return self[1]


class Spans(Pair):
    """Lengths of time, in seconds."""

    __slots__ = ()


class Offsets(Pair):
    """Seconds a clock is ahead; behind when below 0."""

    __slots__ = ()


class Amounts(Pair):
    """Whole numbers of something."""

    __slots__ = ()


class Speeds(Pair):
    """Metres a second."""

    __slots__ = ()


def span(value: object) -> Span:
    """A length of time in seconds."""
    seconds = _seconds(value)
    if seconds is None:
        raise ValueError(f"must be {SPAN_HELP}")
    if not 0 <= seconds <= SPAN_MAX_S:
        raise ValueError(f"must be from 0 to {SPAN_MAX_S / DAY_S:.0f} days")
    return Span(seconds)


def moment(value: object, start: datetime) -> Moment:
    """Seconds after ``start``, whose local clock the text means; never before it."""
    seconds = _seconds(value)
    if seconds is None:
        seconds = (_local(str(value).strip(), start) - start.replace(tzinfo=None)).total_seconds()
    if seconds < 0:
        hint = ' (for the next day write "1d" before it)' if ":" in str(value) else ""
        raise ValueError(f"is before the start, {start:%Y-%m-%d %H:%M}{hint}")
    if seconds > SPAN_MAX_S:
        raise ValueError(f"is more than {SPAN_MAX_S / DAY_S:.0f} days after the start")
    return Moment(seconds)


def clock(value: object) -> Clock:
    """Seconds after midnight; 24:00 is the end of the day."""
    seconds = _clock(str(value).strip()) if isinstance(value, str | time) else None
    if seconds is None:
        raise ValueError(f"must be {CLOCK_HELP}")
    return Clock(seconds)


def began(value: object) -> datetime:
    """When a scenario starts: a local date and time that knows its UTC offset."""
    text = str(value).strip()
    zone = _ZONE.fullmatch(text)
    if not isinstance(value, str | datetime) or zone is None:
        raise ValueError(f"must be {START_HELP}")
    rest, sign, hours, minutes = zone.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    if offset > timedelta(hours=14) or int(minutes or 0) > 59:
        raise ValueError("must have a UTC offset of at most 14 hours")
    naive = datetime(2000, 1, 1)
    if not (given := _DATE.fullmatch(rest)) or not given[2]:
        raise ValueError(f"must be {START_HELP}")
    zone_of = timezone(-offset if sign == "-" else offset) if offset else UTC
    return _local(rest, naive).replace(tzinfo=zone_of)


def rate(value: object) -> Rate:
    """Bytes a second from a number of them or from text with its unit."""
    if isinstance(value, str) and (found := _RATE.fullmatch(value.strip())):
        amount = float(found[1]) * {"k": 1e3, "M": 1e6, None: 1.0}[found[2]]
        speed = amount / 8 if found[3] == "bit" else amount
    elif isinstance(value, int | float) and not isinstance(value, bool):
        speed = float(value)
    else:
        raise ValueError(f"must be {RATE_HELP}")
    if not 0 <= speed <= RATE_MAX:
        raise ValueError(f"must be from 0 to {RATE_MAX:.0e} bytes a second")
    return Rate(speed)


def threshold(value: object) -> Threshold:
    """A figure or a length of time."""
    seconds = _seconds(value)
    if seconds is None or abs(seconds) > 1e18:
        raise ValueError(f"must be a number or {SPAN_HELP}")
    return Threshold(seconds)


def amount(value: object) -> float:
    """A whole number from 0 on."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 2**50:
        raise ValueError("must be a whole number from 0 on")
    return float(value)


def speed(value: object) -> float:
    """Metres a second."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 100:
        raise ValueError("must be metres a second, more than 0 and at most 100")
    return float(value)


def offset(value: object) -> float:
    """Seconds, below 0 with a minus sign in front: ``-2h``."""
    if isinstance(value, str) and value.strip()[:1] in ("-", "+"):
        seconds = span(value.strip()[1:])
        return -seconds if value.strip()[0] == "-" else float(seconds)
    if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
        return -span(-value)
    return float(span(value))


def written(seconds: float) -> str:
    """A length of time as the file would have it: ``1d 6h 30min``; exact."""
    parts: list[str] = []
    rest = seconds
    for unit in ("d", "h", "min"):
        whole = int(rest // _UNITS[unit])
        rest -= whole * _UNITS[unit]
        if whole:
            parts.append(f"{whole}{unit}")
    if rest or not parts:
        parts.append(f"{rest:.6f}".rstrip("0").rstrip(".") + "s")
    return " ".join(parts)


def calendar(seconds: float, start: datetime) -> str:
    """A moment on the local clock: ``Thu 6 Jan 19:40``."""
    then = start + timedelta(seconds=seconds)
    month = _MONTHS[3 * then.month - 3 : 3 * then.month]
    return f"{_DAYS[3 * then.weekday() :][:3]} {then.day} {month} {then:%H:%M}"


def midnight(start: datetime) -> float:
    """Seconds from the start back to the midnight before it (0 or less)."""
    return -(start.hour * 3_600.0 + start.minute * 60.0 + start.second)


def _seconds(value: object) -> float | None:
    """Seconds of a number or of text with units; None when it is neither."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < 1e300 else float("inf")
    if not isinstance(value, str) or not value.strip():
        return None
    text, at, total, last = value.strip(), 0, 0.0, float("inf")
    while at < len(text):
        part = _PART.match(text, at)
        if part is None or _UNITS[part[2]] >= last:
            return None
        last = _UNITS[part[2]]
        total += float(part[1]) * last
        at = part.end()
    return total


def _clock(text: str) -> float | None:
    found = _CLOCK.fullmatch(text)
    if found is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total = hours * 3_600.0 + minutes * 60.0 + seconds
    return total if minutes < 60 and seconds < 60 and total <= DAY_S else None


def _local(text: str, start: datetime) -> datetime:
    """The date and time on the local clock that ``text`` means; raises ValueError."""
    day: date = start.date()
    if by_date := _DATE.fullmatch(text):
        try:
            day = date.fromisoformat(by_date[1])
        except ValueError:
            raise ValueError(f"has no such date: {by_date[1]}") from None
        seconds = _clock(by_date[2] or "00:00")
    elif by_day := _DAY_CLOCK.fullmatch(text):
        day += timedelta(days=int(by_day[1] or 0))
        seconds = _clock(by_day[2])
    else:
        seconds = None
    if seconds is None:
        raise ValueError(f"must be {MOMENT_HELP}")
    return datetime(day.year, day.month, day.day) + timedelta(seconds=seconds)
