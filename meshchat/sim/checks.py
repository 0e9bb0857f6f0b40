"""What has to fit together in a scenario, beyond the types of single values."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import msgspec
from msgspec import inspect

from meshchat.core.body import TEXT_MAX_BYTES
from meshchat.core.sealed import FILE_MAX_BYTES
from meshchat.sim.convert import Wrong, close_to, flat, listed
from meshchat.sim.document import Result, Workload
from meshchat.sim.locate import Path
from meshchat.sim.plan import (
    Air,
    Courier,
    Crash,
    Dispersal,
    File,
    Gathering,
    Jam,
    Load,
    March,
    Mark,
    Network,
    Partition,
    State,
    Table,
)
from meshchat.sim.times import DAY_S, Moment

RESERVED = ("contacts", "anyone", "everybody")  # words of `to`, never a group
EVERY_MIN_S = 60.0  # a round more often than that is a slip of the pen
BY_PROFILE = ("duty", "discovery_s", "retry_s", "links_max", "scan_duty")
SUM_SLACK = 1e-9  # 0.1 + 0.2 + 0.7 may be a little over 1


@cache
def figures(part: bool) -> tuple[str, ...]:
    """Every figure a pass mark can name: of the whole run, or of one part of the workload."""
    return tuple(_leaves(Workload if part else Result, ()))


def check(file: File) -> None:
    """Raises ``Wrong`` for the first thing that does not fit."""
    _people(file)
    _unique([place.name for place in file.places], "places", "place")
    _radios(file)
    for at, network in enumerate(file.networks):
        _network(file, network, ("networks", at))
    for at, jam in enumerate(file.jam):
        _jam(file, jam, ("jam", at))
    _unique([room.name for room in file.rooms], "rooms", "room")
    for at, room in enumerate(file.rooms):
        _groups(file, room.members, ("rooms", at, "members"))
    _unique([load.name for load in file.workload], "workload", "workload")
    for at, load in enumerate(file.workload):
        _load(file, load, ("workload", at))
    _faults(file)
    for at, mark in enumerate(file.marks):
        _mark(file, mark, ("marks", at))


def _people(file: File) -> None:
    _unique([group.name for group in file.people], "people", "group")
    total = 0.0
    for at, group in enumerate(file.people):
        path: Path = ("people", at)
        if group.name in RESERVED:
            raise Wrong((*path, "name"), f"must not be one of the words {listed(RESERVED)}")
        if (group.count is None) == (group.share is None):
            raise Wrong(path, 'needs exactly one of "count" and "share"')
        if group.share is not None:
            if file.about.people is None:
                what = 'is a share of "people" in [scenario], which is not given'
                raise Wrong((*path, "share"), what)
            total += group.share
            if total > 1 + SUM_SLACK:
                what = f"brings all shares together to {total:.3g}: at most 1 is there"
                raise Wrong((*path, "share"), what)
        if group.adoption <= 0:
            raise Wrong((*path, "adoption"), "must be above 0: without meshchat nobody is a node")
        _move(file, group.move, (*path, "move"))


def _move(file: File, move: Table, path: Path) -> None:
    known = [place.name for place in file.places]
    for key, value in _fields(move):
        if key in ("at", "homes", "work") and isinstance(value, str):
            _known(value, known, (*path, key), "place")
        elif key in ("stops", "squares") and isinstance(value, tuple):
            for at, name in enumerate(value):
                _known(name, known, (*path, key, at), "place")
        elif key == "base" and isinstance(value, Table):
            _move(file, value, (*path, key))
    if isinstance(move, March) and all(point == move.route[0] for point in move.route):
        raise Wrong((*path, "route"), "needs two different points")
    if isinstance(move, Courier) and move.every < EVERY_MIN_S:
        raise Wrong((*path, "every"), f"must be {EVERY_MIN_S:.0f} seconds or more")
    if isinstance(move, Dispersal) and not 0 <= move.far[0] < move.far[1]:
        raise Wrong((*path, "far"), "must have the lower value first, the higher above it")
    if isinstance(move, Gathering) and move.daily and move.until - move.since >= DAY_S:
        raise Wrong((*path, "until"), 'is a day or more after "from", and "daily" is true')
    _order(move, path)


def _radios(file: File) -> None:
    if not file.radios:
        raise Wrong(("radios",), "needs at least one radio, such as [radios.ble]")
    for name, air in file.radios.items():
        if air.profile is None:
            continue
        for at, network in enumerate(file.networks):
            if network.radio == name:
                what = f'is "{name}", whose "profile" finds who is near; networks need another'
                raise Wrong(("networks", at, "radio"), what)
        for key in BY_PROFILE:
            if getattr(air, key) != getattr(Air(), key):
                what = 'is decided by "profile" of the same radio; leave one of the two out'
                raise Wrong(("radios", name, key), what)


def _network(file: File, network: Network, path: Path) -> None:
    names = [other.name for other in file.networks]
    _unique(names, "networks", "network")
    _known(network.radio, file.radios, (*path, "radio"), "radio")
    if (same := file.radios.get(network.name)) and same.range_m > 0:
        what = "is also a radio with a range: give the network another name"
        raise Wrong((*path, "name"), what)
    _groups(file, network.members, (*path, "members"))
    if network.at is not None:
        _known(network.at, [p.name for p in file.places], (*path, "at"), "place")
    if network.hubs is not None:
        _groups(file, (network.hubs,), path, "hubs")
        if network.shape not in (None, "star"):
            raise Wrong((*path, "hubs"), 'goes with shape = "star" only')
    elif network.shape == "star":
        raise Wrong((*path, "shape"), 'is "star", which needs "hubs", the group in its middle')
    if network.split is not None and (network.at is not None or network.hubs is not None):
        raise Wrong((*path, "split"), 'does not go with "at" or "hubs"')
    if network.form == "contacts":
        if network.at is not None or network.split is not None:
            raise Wrong(path, 'reaches contacts wherever they are: "at" and "split" mean nothing')
        if not file.friends.each:
            raise Wrong(path, 'connects contacts, and "each" in [friends] is 0')
    for at, state in enumerate(network.timeline):
        _state(state, (*path, "timeline", at))


def _state(state: State, path: Path) -> None:
    _order(state, path)
    windows = state.state == "windows"
    if state.state == "throttled" and not state.rate:
        raise Wrong(path, 'is "throttled" and needs "rate", such as "64 kbit/s"')
    if state.state == "off" and (state.rate is not None or state.loss is not None):
        raise Wrong(path, 'is "off": "rate" and "loss" mean nothing')
    if windows and (state.length is None or (state.per_day is None) == (state.count is None)):
        raise Wrong(path, 'has windows and needs "length" and one of "per_day" and "count"')
    if windows and state.length is not None and state.length.low <= 0:
        raise Wrong((*path, "length"), "must be more than 0")
    if not windows:
        for key in ("length", "per_day", "count"):
            if getattr(state, key) is not None:
                raise Wrong((*path, key), 'goes with state = "windows" only')
    elif state.daily is not None:
        raise Wrong((*path, "daily"), 'does not go with state = "windows"')


def _jam(file: File, jam: Jam, path: Path) -> None:
    for at, way in enumerate(jam.ways):
        _known(way, file.radios, (*path, "ways", at), "radio")
    if sum(where is not None for where in (jam.path, jam.at, jam.follow)) != 1:
        raise Wrong(path, 'needs exactly one of "at", "path" and "follow"')
    if jam.at is not None:
        _known(jam.at, [p.name for p in file.places], (*path, "at"), "place")
    if jam.follow is not None:
        _groups(file, (jam.follow,), path, "follow")
        group = next(group for group in file.people if group.name == jam.follow)
        if not isinstance(group.move, March):
            raise Wrong((*path, "follow"), f'must be a group that marches; "{group.name}" does not')
    _order(jam, path)


def _load(file: File, load: Load, path: Path) -> None:
    _groups(file, load.writers, (*path, "from"))
    if (load.per_day is None) == (load.count is None):
        raise Wrong(path, 'needs exactly one of "per_day" and "count"')
    if load.kind == "room":
        if load.room is None:
            raise Wrong(path, 'needs "room", the name of one of [[rooms]]')
        _known(load.room, [room.name for room in file.rooms], (*path, "room"), "room")
    elif load.room is not None:
        raise Wrong((*path, "room"), 'goes with kind = "room" only')
    elif load.to == "contacts":
        if not file.friends.each:
            raise Wrong(path, 'goes to contacts, and "each" in [friends] is 0')
    elif load.to != "anyone":
        names = [group.name for group in file.people]
        _known(load.to, ["contacts", "anyone", *names], (*path, "to"), "group")
    low, high = load.size
    if load.kind == "file":
        if low <= TEXT_MAX_BYTES or high > FILE_MAX_BYTES:
            what = f"must be from {TEXT_MAX_BYTES + 1} to {FILE_MAX_BYTES} bytes for a file"
            raise Wrong((*path, "size"), what)
    elif low < 1 or high > TEXT_MAX_BYTES:
        hint = '; for more use kind = "file"' if load.kind == "dm" else ""
        raise Wrong((*path, "size"), f"must be from 1 to {TEXT_MAX_BYTES} bytes of text{hint}")
    if load.ttl <= 0:
        raise Wrong((*path, "ttl"), "must be more than 0")
    if load.ends is not None and load.ends <= load.begins:
        raise Wrong((*path, "ends"), 'is not after "begins"')
    if load.begins >= file.about.duration:
        raise Wrong((*path, "begins"), "is after the end of the scenario")


def _faults(file: File) -> None:
    for at, fault in enumerate(file.faults):
        path: Path = ("faults", at)
        if isinstance(fault, Crash) and (fault.per_day is None) == (not fault.at):
            raise Wrong(path, 'needs exactly one of "per_day" and "at"')
        if not isinstance(fault, Partition):
            _groups(file, fault.who, (*path, "who"))
        _order(fault, path)


def _mark(file: File, mark: Mark, path: Path) -> None:
    if (mark.at_least is None) == (mark.at_most is None):
        raise Wrong(path, 'needs exactly one of "at_least" and "at_most"')
    if mark.of is not None:
        _known(mark.of, [load.name for load in file.workload], (*path, "of"), "workload")
    known = figures(mark.of is not None)
    if mark.figure not in known:
        what = f'is "{mark.figure}", which is no figure of '
        what += "a run." if mark.of is None else "one part of the workload."
        what += close_to(mark.figure, known) or f" There are: {', '.join(known)}"
        raise Wrong((*path, "figure"), what)
    if not file.workload and mark.figure.split(".")[0] in _leaf_heads():
        what = "cannot be computed: there is no [[workload]], so nothing is written"
        raise Wrong((*path, "figure"), what)
    if mark.figure.endswith("delivery_ratio") and not 0 <= mark.value <= 1:
        raise Wrong((*path, mark.rule), f"must be from 0 to 1: {mark.figure} is a share")


@cache
def _leaf_heads() -> frozenset[str]:
    """Figures about messages: those one part of a workload has, and what is made of them."""
    own = {name.split(".")[0] for name in figures(True)}
    return frozenset(own | {"hops", "overhead_ratio", "bytes_per_delivery", "limit", "ratio"})


def _leaves(struct: type, before: tuple[str, ...]) -> Iterator[str]:
    """Dotted names of the numbers in a document."""
    for field in msgspec.structs.fields(struct):
        for kind in flat([field.type]):
            if isinstance(kind, inspect.StructType) and field.name != "map":
                yield from _leaves(kind.cls, (*before, field.name))
            elif isinstance(kind, inspect.IntType | inspect.FloatType):
                if (*before, field.name) not in (("seed",), ("nodes",)):
                    yield ".".join((*before, field.name))
                break


def _fields(table: Table) -> Iterator[tuple[str, object]]:
    for field in msgspec.structs.fields(type(table)):
        yield field.encode_name, getattr(table, field.name)


def _order(table: Table, path: Path) -> None:
    """``until`` comes after ``from``, where a table has both as moments."""
    since, until = getattr(table, "since", None), getattr(table, "until", None)
    if isinstance(since, Moment) and isinstance(until, Moment) and until <= since:
        raise Wrong((*path, "until"), 'is not after "from"')


def _groups(file: File, names: Sequence[str], path: Path, key: str = "") -> None:
    known = [group.name for group in file.people]
    for at, name in enumerate(names):
        _known(name, known, (*path, key) if key else (*path, at), "group")


def _known(name: str, known: Iterable[str], path: Path, what: str) -> None:
    names = list(known)
    if name not in names:
        there = f"There are: {listed(names)}" if names else "There is none at all"
        hint = close_to(name, names) or f" {there}"
        raise Wrong(path, f'is "{name}", and there is no {what} of that name.{hint}')


def _unique(names: Sequence[str], table: str, what: str) -> None:
    for at, name in enumerate(names):
        if name in names[:at]:
            raise Wrong((table, at, "name"), f'is "{name}", as another {what} already is')
