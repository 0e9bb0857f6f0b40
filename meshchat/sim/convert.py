"""From what ``tomllib`` read to structs, and from msgspec's errors to sentences."""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeGuard, TypeVar

import msgspec
from msgspec import inspect

from meshchat.sim import times
from meshchat.sim.locate import Path
from meshchat.sim.plan import About, Air, File

SHOWN_MAX_CHARS = 40  # of a wrong value
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}"
NAME_HELP = "a name: letters, digits, - and _, at most 40, no space"

T = TypeVar("T")
Hook = Callable[[type, object], object]

_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]")
_AT = " - at `$"
_FIELD = re.compile(r"`(.*)`", re.DOTALL)
_HELP: dict[type, str] = {
    times.Span: times.SPAN_HELP,
    times.Moment: times.MOMENT_HELP,
    times.Clock: times.CLOCK_HELP,
    times.Rate: times.RATE_HELP,
}
_PAIRS: dict[type[times.Pair], tuple[Callable[[object], float], str]] = {
    times.Spans: (times.span, times.SPAN_HELP),
    times.Offsets: (times.offset, 'a length of time, such as "90s" or "-2h"'),
    times.Amounts: (times.amount, "a whole number"),
    times.Speeds: (times.speed, "metres a second, more than 0 and at most 100"),
}


class Wrong(ValueError):
    """A sentence without its beginning, and the path of the key it is about."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(what)
        self.path = path
        self.what = what


def close_to(word: str, known: Iterable[str]) -> str:
    """`` Did you mean "x"?`` for a slip of the finger, else nothing."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f' Did you mean "{near[0]}"?' if near else ""


def listed(names: Iterable[str]) -> str:
    """Names in quotation marks."""
    return ", ".join(f'"{name}"' for name in names)


def flat(types: Sequence[object]) -> Iterator[inspect.Type]:
    """The types inside annotations and unions, without None."""
    for kind in types:
        info = kind if isinstance(kind, inspect.Type) else inspect.type_info(kind)
        if isinstance(info, inspect.Metadata):
            yield from flat([info.type])
        elif isinstance(info, inspect.UnionType):
            yield from flat(info.types)
        elif not isinstance(info, inspect.NoneType):
            yield info


def converted(raw: dict[str, Any]) -> File:
    """The tables of a file as structs; raises ``Wrong``."""
    _finite(raw, ())
    begins = _start(raw.get("scenario"))
    if isinstance(raw.get("scenario"), dict):
        raw = {**raw, "scenario": {**raw["scenario"], "start": begins}}

    def hook(kind: type, value: object) -> object:
        return times.moment(value, begins) if kind is times.Moment else _custom(kind, value)

    # One by one, for msgspec does not tell under which key of a mapping it was.
    airs: dict[str, Air] = {}
    radios = raw.get("radios")
    if isinstance(radios, dict):
        for name, table in radios.items():
            if not re.fullmatch(NAME_PATTERN, name):
                raise Wrong(("radios", name), f"must be {NAME_HELP}")
            airs[name] = _one(table, Air, ("radios", name), hook)
        raw = {**raw, "radios": {}}
    return msgspec.structs.replace(_one(raw, File, (), hook), radios=airs)


def _finite(value: object, path: Path) -> None:
    """No infinity and no not-a-number anywhere."""
    if isinstance(value, float) and not math.isfinite(value):
        raise Wrong(path, "must be a finite number")
    inner: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for step, item in inner:
        _finite(item, (*path, step))


def _start(about: object) -> datetime:
    if isinstance(about, dict) and "start" in about:
        try:
            return times.began(about["start"])
        except ValueError as error:
            raise Wrong(("scenario", "start"), _told(str(error), about["start"])) from None
    start = next(f.default for f in msgspec.structs.fields(About) if f.name == "start")
    assert isinstance(start, datetime)
    return start


def _custom(kind: type, value: object) -> object:
    """Our own types of values; raises ValueError with what is allowed."""
    simple: dict[type, Callable[[object], float]] = {
        times.Span: times.span,
        times.Clock: times.clock,
        times.Rate: times.rate,
        times.Threshold: times.threshold,
    }
    if kind in simple:
        return simple[kind](value)
    reader, allowed = _PAIRS[kind]
    values = value if isinstance(value, list) else [value, value]
    if len(values) != 2:
        raise ValueError(f"must be {allowed}, or two of them in brackets, the lower first")
    try:
        low, high = (reader(one) for one in values)
    except ValueError as error:
        if isinstance(value, list):
            raise ValueError(f"must be {allowed}, or two of them in brackets") from None
        raise ValueError(str(error)) from None
    if high < low:
        raise ValueError("must have the lower value first")
    return kind((low, high))


def _one(raw: object, kind: type[T], before: Path, hook: Hook) -> T:
    try:
        return msgspec.convert(raw, kind, dec_hook=hook)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(_AT)
        path: Path = tuple(
            name if name else int(number) for name, number in _STEP.findall(place.rstrip("`"))
        )
        raise _explained(text, path, raw, kind, before) from None


def _explained(text: str, path: Path, raw: object, kind: type, before: Path) -> Wrong:
    """What msgspec found at ``path`` of ``raw``, as a sentence for the person who wrote it."""
    info, value = _at(kind, raw, path)
    field = found[1] if (found := _FIELD.search(text)) else ""
    if text.startswith("Object contains unknown field"):
        known = [f.encode_name for f in info.fields] if isinstance(info, inspect.StructType) else []
        if isinstance(info, inspect.StructType) and info.tag_field:
            known = [info.tag_field, *known]
        hint = close_to(field, known) or f" There are: {', '.join(known)}"
        return Wrong((*before, *path, field), f"is no key of this table.{hint}")
    if text.startswith("Object missing required field"):
        if field in ("people", "radios") and not path:
            table = "[[people]]" if field == "people" else "a table such as [radios.ble]"
            return Wrong(before, f"needs {table}")
        kinds = _allowed(_at(kind, raw, (*path, field))[0])
        return Wrong((*before, *path), f'needs the key "{field}": {kinds}')
    if not text.startswith(("Expected", "Invalid")):  # of one of our own types
        return Wrong((*before, *path), _told(text, value))
    return Wrong((*before, *path), _told(f"must be {_allowed(info)}", value))


def _told(what: str, value: object) -> str:
    if isinstance(value, dict | list):
        return (
            f"{what}, not a {'table' if isinstance(value, dict) else 'list'}"
            if (
                what.startswith("must be")
                and "brackets" not in what
                and "lower" not in what
                and "list" not in what
            )
            else what
        )
    shown = f'"{value}"' if isinstance(value, str) else str(value).lower()
    if len(shown) > SHOWN_MAX_CHARS:
        shown = shown[: SHOWN_MAX_CHARS - 1] + "…"
    return f"{what}; it is {shown}" if what.startswith("must") else f"{shown} {what}"


def _at(kind: type, raw: object, path: Path) -> tuple[inspect.Type, object]:
    """The type that is wanted at ``path``, and the value that is there."""
    info = inspect.type_info(kind)
    for step in path:
        info = _choice(info, raw)
        if isinstance(info, inspect.StructType):
            tags = [info.tag] if step == info.tag_field else None
            found = next((f.type for f in info.fields if f.encode_name == step), None)
            info = inspect.LiteralType(tuple(tags)) if tags else found or inspect.AnyType()
        elif isinstance(info, inspect.UnionType):
            info = inspect.LiteralType(tuple(t.tag for t in flat([info]) if _tagged(t)))
        elif isinstance(info, inspect.VarTupleType):
            info = info.item_type
        elif isinstance(info, inspect.TupleType) and isinstance(step, int):
            info = info.item_types[step]
        raw = _inner(raw, step)
    return _choice(info, raw), raw


def _inner(raw: object, step: str | int) -> object:
    if isinstance(raw, dict):
        return raw.get(step)
    return raw[step] if isinstance(raw, list) and isinstance(step, int) else None


def _tagged(info: inspect.Type) -> TypeGuard[inspect.StructType]:
    return isinstance(info, inspect.StructType) and info.tag is not None


def _choice(info: inspect.Type, raw: object) -> inspect.Type:
    """Of several types the one that ``raw`` says it is."""
    kinds = list(flat([info]))
    if len(kinds) == 1:
        return kinds[0]
    for one in kinds:
        tag = raw.get(one.tag_field) if _tagged(one) and isinstance(raw, dict) else None
        if _tagged(one) and tag == one.tag:
            return one
    return info


def _allowed(info: inspect.Type) -> str:
    """What may stand there, for a person."""
    kinds = list(flat([info]))
    if len(kinds) > 1:
        tags = [str(one.tag) for one in kinds if isinstance(one, inspect.StructType)]
        field = next((o.tag_field for o in kinds if isinstance(o, inspect.StructType)), "")
        return f"a table with {field} = one of {listed(tags)}"
    info = kinds[0]
    match info:
        case inspect.IntType():
            return "a whole number" + _bounds(info)
        case inspect.FloatType():
            return "a number" + _bounds(info)
        case inspect.StrType():
            if info.pattern:
                return NAME_HELP
            return f"text of at most {info.max_length} characters" if info.max_length else "text"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType():
            known = [str(value) for value in info.values]
            return listed(known) if len(known) == 1 else f"one of {listed(known)}"
        case inspect.VarTupleType():
            return f"a list{_lengths(info)} of: {_allowed(info.item_type)}"
        case inspect.TupleType():
            return f"a list of {len(info.item_types)} numbers"
        case inspect.CustomType():
            return _help(info.cls)
        case _:
            return "a table"


def _help(kind: type) -> str:
    return _PAIRS[kind][1] if kind in _PAIRS else _HELP.get(kind, "a number or a length of time")


def _bounds(info: inspect.IntType | inspect.FloatType) -> str:
    if info.ge is not None and info.le is not None:
        return f" from {info.ge:,} to {info.le:,}"
    if info.gt is not None and info.le is not None:
        return f" above {info.gt:,}, at most {info.le:,}"
    if info.ge is not None and info.lt is not None:
        return f" from {info.ge:,} to just below {info.lt:,}"
    return ""


def _lengths(info: inspect.VarTupleType) -> str:
    if info.min_length:
        return f" with {info.min_length} or more" + (
            f" (at most {info.max_length:,})" if info.max_length else ""
        )
    return f" (at most {info.max_length:,})" if info.max_length else ""
