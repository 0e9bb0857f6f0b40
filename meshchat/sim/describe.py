"""A scenario in plain text: what it is, who is in it, what happens, what is asked for."""

import textwrap
from collections.abc import Iterable, Iterator

from msgspec.structs import fields

from meshchat.sim.plan import (
    Crash,
    DiskFull,
    Group,
    Jam,
    Load,
    Network,
    Partition,
    Place,
    Scenario,
    State,
    Table,
    WrongClock,
)
from meshchat.sim.times import Clock, Moment, Pair, Span, Spans, calendar, written

WIDTH = 80


def describe(scenario: Scenario) -> str:
    """The whole scenario in lines of at most 80 columns."""
    about = scenario.about
    begins, ends = _when(scenario, 0.0), _when(scenario, scenario.horizon)
    head = [f"{scenario.name}: {about.title}", ""]
    if about.purpose:
        head += [*textwrap.wrap(" ".join(about.purpose.split()), WIDTH), ""]
    zone = f"{about.start:%z}"
    head.append(f"From {begins} to {ends} {about.start.year} (UTC{zone[:3]}:{zone[3:]}),")
    head.append(f"{written(scenario.horizon)} of simulated time; seed {about.seed}.")
    parts = (
        ("People", (_group(scenario, group) for group in scenario.people)),
        ("Friends", [_friends(scenario)]),
        ("Places", map(_place, scenario.places)),
        ("Radios", (_radio(scenario, name) for name in scenario.radios)),
        ("Timeline", _timeline(scenario)),
        ("Jamming", (_jam(scenario, jam) for jam in scenario.jam)),
        ("Workload", (_load(scenario, load) for load in scenario.workload)),
        ("Faults", (_fault(scenario, fault) for fault in scenario.faults)),
        ("Pass marks", (_mark(scenario, at) for at in range(len(scenario.marks)))),
        ("Facts", about.facts),
        ("Assumptions", about.assumptions),
        ("Sources", about.sources),
    )
    for title, items in parts:
        head += _part(title, items)
    return "\n".join(head) + "\n"


def _part(title: str, items: Iterable[str]) -> Iterator[str]:
    first = True
    for item in items:
        if first:
            yield from ("", title)
            first = False
        yield from textwrap.wrap(
            " ".join(item.split()), WIDTH, initial_indent="  - ", subsequent_indent="    "
        )


def _when(scenario: Scenario, at: float) -> str:
    return calendar(at, scenario.about.start)


def _time_of_day(clock: float) -> str:
    minutes = int(clock // 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _span_of(scenario: Scenario, since: float, until: float | None) -> str:
    if until is None:
        return "all the time" if since <= 0 else f"from {_when(scenario, since)}"
    return f"from {_when(scenario, since)} to {_when(scenario, until)}"


def _pair(pair: Pair) -> str:
    low, high = (written(v) if isinstance(pair, Spans) else f"{v:,g}" for v in pair)
    return low if low == high else f"{low} to {high}"


def _value(scenario: Scenario, value: object) -> str:
    if isinstance(value, Moment):
        return _when(scenario, value)
    if isinstance(value, Clock):
        return _time_of_day(value)
    if isinstance(value, Span):
        return written(value)
    if isinstance(value, Pair):
        return _pair(value)
    if isinstance(value, Table):
        return _model(scenario, value)
    if isinstance(value, tuple):
        return " ".join(_value(scenario, each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _model(scenario: Scenario, table: Table) -> str:
    """A movement model with what was given, not the defaults."""
    told = [
        field.encode_name
        if getattr(table, field.name) is True
        else f"{field.encode_name} {_value(scenario, getattr(table, field.name))}"
        for field in fields(type(table))
        if field.required or getattr(table, field.name) != field.default
    ]
    name = str(type(table).__struct_config__.tag).replace("_", " ")
    return name + (f" ({', '.join(told)})" if told else "")


def _group(scenario: Scenario, group: Group) -> str:
    if group.count is not None:
        many = f"{group.count:,} people"
    else:
        many = f"{group.share or 0:.0%} of {scenario.about.people or 0:,} people"
    told = [f"{group.name}: {many}"]
    if group.adoption < 1:
        told.append(f"{group.adoption:.0%} of them have meshchat")
    told.append(_model(scenario, group.move))
    if group.off:
        told.append(f"{group.off.share:.0%} of devices off, {written(group.off.mean)} at a time")
    if group.seized_per_day:
        told.append(f"{group.seized_per_day:.0%} seized a day")
    if group.hostile:
        conduct = group.hostile.conduct.replace("_", " ")
        told.append(f"{group.hostile.share:.0%} hostile ({conduct})")
    if group.store_bytes:
        told.append(f"room for {group.store_bytes:,} bytes")
    if group.fixed:
        told.append("as many whatever --peers says")
    return "; ".join(told)


def _friends(scenario: Scenario) -> str:
    friends = scenario.friends
    return (
        f"each person has about {friends.each} contacts, {friends.near:.0%} of them who live near"
    )


def _place(place: Place) -> str:
    told = f"{place.name}: ({place.x:g}, {place.y:g}), radius {place.radius:g} m"
    return f"{told}. {place.about}" if place.about else told


def _rate(rate: float) -> str:
    return f"{rate:,.0f} bytes/s" if rate else "no limit of rate"


def _radio(scenario: Scenario, name: str) -> str:
    air = scenario.radios[name]
    radio = air.radio()
    told = [f"{air.range_m:g} m"] if air.range_m else ["through networks only"]
    told.append(_rate(radio.rate))
    if air.profile:
        told.append(f"Bluetooth policy, profile {air.profile}")
    if radio.discovery_s[1]:
        told.append(f"found after {radio.discovery_s[0]:g} to {radio.discovery_s[1]:g} s")
    if radio.failure:
        told.append(f"{radio.failure:.0%} of connections fail")
    if radio.loss:
        told.append(f"{radio.loss:.0%} of packets lost")
    if radio.links_max:
        told.append(f"at most {radio.links_max} links")
    if radio.shared:
        told.append("links of a node share its air")
    return f"{name}: " + ", ".join(told)


def _timeline(scenario: Scenario) -> Iterator[str]:
    for network in scenario.networks:
        yield _network(network)
        for state in network.timeline:
            yield f"{network.name} {_state(scenario, state)}"


def _network(network: Network) -> str:
    who = ", ".join(network.members) or "everybody"
    if network.share < 1:
        who = f"{network.share:.0%} of {who}"
    where = f" at {network.at}" if network.at else ""
    split = f", {network.split} people each" if network.split else ""
    hubs = f" around {network.hubs}" if network.hubs else ""
    begins = "" if network.timeline else "; on all the time"
    return f"{network.name} ({network.kind}, {network.form}{hubs}{split}): {who}{where}{begins}"


def _state(scenario: Scenario, state: State) -> str:
    told: list[str] = [state.state]
    if state.rate is not None:
        told.append(_rate(state.rate))
    if state.loss is not None:
        told.append(f"{state.loss:.0%} loss")
    if state.length is not None:
        many = f"{state.count} in all" if state.per_day is None else f"{_pair(state.per_day)} a day"
        told.append(f"{_pair(state.length)} each, {many}")
    told.append(_span_of(scenario, state.since, state.until))
    if state.daily:
        told.append(f"daily {_time_of_day(state.daily.since)}-{_time_of_day(state.daily.until)}")
    return ", ".join(told)


def _jam(scenario: Scenario, jam: Jam) -> str:
    where = f"at {jam.at}" if jam.at else "along its path"
    if jam.follow:
        where = f"with {jam.follow}"
    span = _span_of(scenario, jam.since, jam.until)
    return f"{jam.name}: {', '.join(jam.ways)} within {jam.radius:g} m, {where}, {span}"


def _load(scenario: Scenario, load: Load) -> str:
    who = ", ".join(load.writers) or "everybody"
    to = f"room {load.room}" if load.room else load.to
    many = f"{load.count:,} in all" if load.per_day is None else f"{load.per_day:g} each a day"
    told = [f"{load.name}: {load.kind} from {who} to {to}", many, f"{_pair(load.size)} bytes"]
    told.append(f"lives {written(load.ttl)}")
    if load.begins or load.ends:
        told.append(_span_of(scenario, load.begins, load.ends))
    if load.between:
        between = load.between
        told.append(f"{_time_of_day(between.since)} to {_time_of_day(between.until)}")
    return ", ".join(told)


def _fault(scenario: Scenario, fault: Table) -> str:
    match fault:
        case Crash():
            times = ", ".join(_when(scenario, at) for at in fault.at)
            often = times or f"{fault.per_day:g} a node and day"
            return f"crash: {_who(fault.who, fault.share)}, {often}"
        case DiskFull():
            span = _span_of(scenario, fault.since, fault.until)
            return f"disk full: {_who(fault.who, fault.share)}, {span}"
        case WrongClock():
            return f"wrong clock: {_who(fault.who, fault.share)}, {_ahead(fault.offset)}"
        case Partition():
            sides = (
                "two halves by chance" if fault.x is None else f"east and west of x = {fault.x:g}"
            )
            return f"partition: {sides}, {_span_of(scenario, fault.since, fault.until)}"
        case _:
            return ""


def _ahead(offset: Pair) -> str:
    low, high = (("-" if v < 0 else "+") + written(abs(v)) for v in offset)
    return f"{low} to {high}"


def _who(who: tuple[str, ...], share: float) -> str:
    return ("" if share >= 1 else f"{share:.0%} of ") + (", ".join(who) or "everybody")


def _mark(scenario: Scenario, at: int) -> str:
    mark = scenario.marks[at]
    seconds = mark.figure.startswith("delay_s") or mark.figure.endswith("_s")
    value = written(mark.value) if seconds else f"{mark.value:g}"
    of = f" of {mark.of}" if mark.of else ""
    return f"{mark.figure}{of}: {mark.rule.replace('_', ' ')} {value}"
