"""Scenario files: TOML in, a checked ``Scenario`` out, or one sentence that says what is wrong.

The sentence names the file, the line and the key, and what is allowed there
(docs/reference/scenario.md).
"""

import contextlib
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path as FilePath
from typing import Any

import msgspec

from meshchat.errors import UsageError
from meshchat.sim.checks import check
from meshchat.sim.convert import NAME_PATTERN, Wrong, close_to, converted, listed
from meshchat.sim.describe import describe as describe
from meshchat.sim.locate import Path, line_of, lines
from meshchat.sim.plan import File
from meshchat.sim.plan import Scenario as Scenario

FILE_MAX_BYTES = 256 * 1024  # written by hand: the shipped ones have 3 to 6 kB

_TOML_AT = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")


def names() -> list[str]:
    """The scenarios that come with meshchat, in order of the alphabet."""
    folder = resources.files("meshchat.sim") / "scenarios"
    found = [item.name for item in folder.iterdir() if item.name.endswith(".toml")]
    return sorted(name.removesuffix(".toml") for name in found)


def load(source: str | FilePath, settings: Mapping[str, object] | None = None) -> Scenario:
    """The scenario of this name, or in the file at this path.

    ``settings`` changes single keys, as ``--set`` does: ``people.walkers.adoption`` or
    ``radios.ble.range_m``; tables of a list are named by their ``name`` or counted from 1.

    Raises:
        UsageError: the file cannot be read or something in it is wrong.
    """
    name = str(source)
    if name in names():
        folder = resources.files("meshchat.sim") / "scenarios"
        return parse((folder / f"{name}.toml").read_text("utf-8"), name, str(folder), settings)
    path = FilePath(source)
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_MAX_BYTES + 1)
    except FileNotFoundError:
        hint = close_to(name, names())
        what = f'There is no scenario and no file "{name}".{hint} Shipped: {", ".join(names())}.'
        raise UsageError("no_scenario", what) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no file can have this name"
        raise UsageError("no_scenario", f"{name} cannot be read: {why}.") from None
    if len(raw) > FILE_MAX_BYTES:
        what = f"{name} has more than {FILE_MAX_BYTES // 1024} kB: a scenario is a small file."
        raise UsageError("scenario_too_large", what)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _bad(name, line, "this is not UTF-8 text") from None
    return parse(text, path.name.removesuffix(".toml"), str(path.parent), settings, name)


def parse(
    text: str,
    name: str = "scenario",
    folder: str = ".",
    settings: Mapping[str, object] | None = None,
    shown: str = "",
) -> Scenario:
    """A scenario from its text; ``shown`` is what error messages call the file."""
    shown = shown or f"{name}.toml"
    try:
        raw = tomllib.loads(text)
        found = lines(text)
    except RecursionError:
        raise UsageError("bad_scenario", f"{shown}: tables are nested too deeply.") from None
    except ValueError as error:
        what = str(error)
        at = _TOML_AT.search(what)
        line = int(at[1]) if at and at[1] else text.count("\n") + 1
        what = _TOML_AT.sub("", what)
        raise _bad(shown, line, f"this is not TOML: {what[:1].lower()}{what[1:]}") from None
    changed: list[Path] = []
    try:
        for key, value in (settings or {}).items():
            changed.append(_set(raw, key, value))
        file = converted(raw)
        check(file)
    except Wrong as wrong:
        key = _key(wrong.path, raw)
        if any(wrong.path[: len(path)] == path for path in changed):
            raise UsageError("bad_setting", f"--set {key}: {wrong.what}.") from None
        raise _bad(shown, line_of(found, wrong.path), wrong.what, key) from None
    parts = {field.name: getattr(file, field.name) for field in msgspec.structs.fields(File)}
    return Scenario(**parts, name=name, folder=folder)


def _bad(shown: str, line: int, what: str, key: str = "") -> UsageError:
    told = f"{key}: {what}" if key else what
    end = "" if told.endswith("?") else "."
    return UsageError("bad_scenario", f"{shown}, line {line}: {told}{end}")


def _key(path: Path, raw: object) -> str:
    """A path for people; tables of a list go by their name, or are counted from 1."""
    parts: list[str] = []
    for step in path:
        inner = _inside(raw, step)
        if isinstance(step, str):
            parts.append(step)
        else:
            named = inner.get("name") if isinstance(inner, dict) else None
            known = isinstance(named, str) and re.fullmatch(NAME_PATTERN, named)
            parts.append(str(named) if known else str(step + 1))
        raw = inner
    return ".".join(parts)


def _inside(raw: object, step: str | int) -> object:
    if isinstance(raw, dict):
        return raw.get(step)
    if isinstance(raw, list) and isinstance(step, int) and step < len(raw):
        return raw[step]
    return None


# --- single keys set from outside ---------------------------------------------------------------


def _set(raw: dict[str, Any], key: str, value: object) -> Path:
    """Change one key of the file; text is read as TOML if it is TOML. Returns the path."""
    *parents, last = key.split(".")
    where: Any = raw
    path: Path = ()
    for part in parents:
        if isinstance(where, dict):
            step: str | int = part
            if part not in where and len(path) == 1 and path[0] == "radios":
                raise UsageError("bad_setting", f'--set {key}: there is no "{part}" here.')
            where = where.setdefault(part, {})
        else:
            step = _place(where, part, key)
            where = where[step]
        path = (*path, step)
    if not isinstance(where, dict) or not last:
        what = f"--set {key}: name one value, such as scenario.duration or people.NAME.adoption."
        raise UsageError("bad_setting", what)
    where[last] = value
    with contextlib.suppress(ValueError, RecursionError):
        where[last] = (
            tomllib.loads(f"value = {value}")["value"] if isinstance(value, str) else value
        )
    return (*path, last)


def _place(where: object, part: str, key: str) -> int:
    if isinstance(where, list):
        for at, item in enumerate(where):
            if isinstance(item, dict) and item.get("name") == part:
                return at
        if part.isdecimal() and 1 <= int(part) <= len(where):
            return int(part) - 1
        known = [str(item["name"]) for item in where if isinstance(item, dict) and "name" in item]
        there = listed(known) or f"1 to {len(where)}"
        raise UsageError("bad_setting", f'--set {key}: there is no "{part}" here, only {there}.')
    raise UsageError("bad_setting", f'--set {key}: "{part}" is inside a single value.')
