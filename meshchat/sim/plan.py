"""What a scenario file can say: its tables as structs (docs/reference/scenario.md).

Only types and bounds of single values are here; what has to fit together is in ``checks``.
Distances are metres, sizes bytes, rates bytes a second, times seconds.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from meshchat.core.link import FRAME_MAX_BYTES, FRAME_MIN_BYTES
from meshchat.net.ble.duty import Profile
from meshchat.sim.links import Radio
from meshchat.sim.times import (
    Amounts,
    Clock,
    Moment,
    Offsets,
    Rate,
    Span,
    Spans,
    Speeds,
    Threshold,
)

PEOPLE_MAX = 100_000  # of one group; more nodes than any machine of ours can run
LIST_MAX = 1_000  # places, groups, states, points of a route: files are written by hand
FAR_M = 1_000_000.0  # the map is a city, not a continent

Share = Annotated[float, Meta(ge=0, le=1)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
Text = Annotated[str, Meta(max_length=2_000)]
Metres = Annotated[float, Meta(ge=-FAR_M, le=FAR_M)]
Width = Annotated[float, Meta(ge=0, le=FAR_M)]
Speed = Annotated[float, Meta(gt=0, le=100)]
Point = tuple[Metres, Metres]
Route = Annotated[tuple[Point, ...], Meta(min_length=1, max_length=LIST_MAX)]
Names = Annotated[tuple[Name, ...], Meta(max_length=LIST_MAX)]
Texts = Annotated[tuple[Text, ...], Meta(max_length=100)]


class Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file."""


class About(Table, frozen=True, kw_only=True):
    """``[scenario]``."""

    title: Annotated[str, Meta(min_length=1, max_length=100)]
    purpose: Text = ""
    facts: Texts = ()
    assumptions: Texts = ()
    sources: Texts = ()
    start: datetime = datetime(2026, 6, 1, tzinfo=UTC)
    duration: Span
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 1
    people: Annotated[int, Meta(ge=1, le=PEOPLE_MAX)] | None = None
    area: tuple[Annotated[float, Meta(gt=0, le=FAR_M)], Annotated[float, Meta(gt=0, le=FAR_M)]] = (
        1_000.0,
        1_000.0,
    )


class Place(Table, frozen=True, kw_only=True):
    """``[[places]]``: a named disc."""

    name: Name
    x: Metres
    y: Metres
    radius: Width = 10.0
    about: Text = ""


# --- people -------------------------------------------------------------------------------------


class Standing(Table, frozen=True, kw_only=True, tag_field="model", tag="standing"):
    """Does not move."""

    at: Name | None = None


class RandomWaypoint(Table, frozen=True, kw_only=True, tag_field="model", tag="random_waypoint"):
    """Walks from one chance point to the next."""

    at: Name | None = None
    speed: Speeds = Speeds((0.5, 1.5))
    pause: Spans = Spans((0.0, 120.0))


class Commuter(Table, frozen=True, kw_only=True, tag_field="model", tag="commuter"):
    """Lives in a town with a grid of streets: home, work, an evening on a square or at a shop."""

    homes: Name | None = None
    work: Name | None = None
    squares: Names = ()
    employed: Share = 0.7
    evening: Share = 0.4
    speed: Speeds = Speeds((1.1, 1.6))
    block: Annotated[float, Meta(gt=0, le=10_000)] = 100.0


class Courier(Table, frozen=True, kw_only=True, tag_field="model", tag="courier"):
    """Once a day, or oftener, from the first of its stops to all others and back."""

    stops: Annotated[tuple[Name, ...], Meta(min_length=2, max_length=LIST_MAX)]
    departs: Clock = Clock(9 * 3_600.0)
    every: Span = Span(86_400.0)
    jitter: Span = Span(600.0)
    pause: Spans = Spans((60.0, 180.0))
    speed: Speeds = Speeds((3.0, 5.0))
    block: Annotated[float, Meta(ge=0, le=10_000)] = 0.0


class Dispersal(Table, frozen=True, kw_only=True, tag_field="model", tag="dispersal"):
    """In the crowd at a place until a moment, then everybody away in all directions."""

    at: Name
    when: Moment
    far: tuple[Width, Width] = (500.0, 2_000.0)
    spread: Span = Span(120.0)
    speed: Speeds = Speeds((1.4, 3.0))


class Positions(Table, frozen=True, kw_only=True, tag_field="model", tag="positions"):
    """Where everybody was, from a file beside the scenario."""

    file: Annotated[str, Meta(min_length=1, max_length=1_000)]


Base = Standing | RandomWaypoint | Commuter | Courier


class March(Table, frozen=True, kw_only=True, tag_field="model", tag="march"):
    """Walks in a column along a route; before and after does what ``base`` says."""

    route: Route
    starts: Moment = Moment(0.0)
    speed: Speed = 1.2
    length: Width | None = None
    width: Width = 16.0
    base: Base | None = None


class Gathering(Table, frozen=True, kw_only=True, tag_field="model", tag="gathering"):
    """Is in the crowd at a place for a while, once or every day; else does what ``base`` says."""

    at: Name
    since: Moment = field(name="from")
    until: Moment
    daily: bool = False
    spread: Span = Span(900.0)
    speed: Speeds = Speeds((1.1, 1.6))
    base: Base = Standing()


Move = Standing | RandomWaypoint | Commuter | March | Gathering | Courier | Dispersal | Positions


class Off(Table, frozen=True, kw_only=True):
    """Devices that are off now and then: which share at any time, and for how long."""

    share: Annotated[float, Meta(ge=0, lt=1)]
    mean: Span


class Hostile(Table, frozen=True, kw_only=True):
    """Devices that carry nothing for others, or take everything and pass on nothing."""

    share: Share
    conduct: Literal["selfish", "black_hole"]


class Group(Table, frozen=True, kw_only=True):
    """``[[people]]``."""

    name: Name
    count: Annotated[int, Meta(ge=1, le=PEOPLE_MAX)] | None = None
    share: Share | None = None
    adoption: Share = 1.0
    fixed: bool = False
    move: Move = Standing()
    off: Off | None = None
    seized_per_day: Share = 0.0
    hostile: Hostile | None = None
    store_bytes: Annotated[int, Meta(ge=65_536, le=2**50)] | None = None


class Friends(Table, frozen=True, kw_only=True):
    """``[friends]``: who has whose card from the start."""

    each: Annotated[int, Meta(ge=0, le=1_000)] = 8
    near: Share = 0.5


# --- radios and networks ------------------------------------------------------------------------

Chances = Annotated[float, Meta(ge=0, lt=1)]
Watts = Annotated[float, Meta(ge=0, le=1_000)]


class Air(Table, frozen=True, kw_only=True):
    """``[radios.NAME]``: a ``Radio``, and how far it reaches."""

    range_m: Width = 0.0
    duty: Annotated[float, Meta(gt=0, le=1)] | None = None
    rate: Rate = Rate(12_000.0)
    latency_s: Span = Span(0.0)
    mtu: Annotated[int, Meta(ge=FRAME_MIN_BYTES, le=FRAME_MAX_BYTES)] = FRAME_MAX_BYTES
    discovery_s: Spans | None = None
    setup_s: Span = Span(0.0)
    failure: Chances = 0.0
    retry_s: Span = Span(10.0)
    loss: Chances = 0.0
    packet: Annotated[int, Meta(ge=20, le=65_535)] = 244
    links_max: Annotated[int, Meta(ge=0, le=10_000)] = 0
    shared: bool = False
    supervised: bool = True
    idle_w: Watts = 0.0
    scan_w: Watts = 0.06
    scan_duty: Share | None = None
    send_w: Watts = 0.06
    receive_w: Watts = 0.06
    profile: Literal["always", "normal", "saver"] | None = None

    def radio(self, rate: float | None = None, loss: float | None = None) -> Radio:
        """As the world wants it; ``rate`` and ``loss`` are those of a throttled network."""
        duty = 0.1 if self.duty is None else self.duty
        seen = (0.0, 0.0) if self.duty is None else (1.0 / duty, 3.0 / duty)
        found = seen if self.discovery_s is None else (self.discovery_s.low, self.discovery_s.high)
        return Radio(
            rate=float(self.rate if rate is None else rate),
            latency_s=float(self.latency_s),
            mtu=self.mtu,
            discovery_s=found,
            setup_s=float(self.setup_s),
            failure=self.failure,
            retry_s=float(self.retry_s),
            loss=self.loss if loss is None else loss,
            packet=self.packet,
            links_max=self.links_max,
            shared=self.shared,
            supervised=self.supervised,
            idle_w=self.idle_w,
            scan_w=self.scan_w,
            scan_duty=duty if self.scan_duty is None else self.scan_duty,
            send_w=self.send_w,
            receive_w=self.receive_w,
            profile=None if self.profile is None else Profile(self.profile),
        )


class Daily(Table, frozen=True, kw_only=True):
    """A part of every day, on the local clock; past midnight when it ends before it begins."""

    since: Clock = field(name="from")
    until: Clock


class State(Table, frozen=True, kw_only=True):
    """What a network does from one moment to another; a later state covers an earlier one."""

    state: Literal["off", "on", "throttled", "windows"]
    since: Moment = field(name="from", default=Moment(0.0))
    until: Moment | None = None
    daily: Daily | None = None
    rate: Rate | None = None
    loss: Chances | None = None
    per_day: Amounts | None = None
    count: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    length: Spans | None = None


class Network(Table, frozen=True, kw_only=True):
    """``[[networks]]``: a LAN, a hotspot, or a way over the internet."""

    name: Name
    radio: Name
    kind: Literal["lan", "hotspot", "internet"] = "lan"
    members: Names = ()
    share: Share = 1.0
    at: Name | None = None
    shape: Literal["mesh", "star", "contacts"] | None = None
    hubs: Name | None = None
    split: Annotated[int, Meta(ge=2, le=10_000)] | None = None
    timeline: Annotated[tuple[State, ...], Meta(max_length=LIST_MAX)] = ()

    @property
    def form(self) -> str:
        """The shape, also where none was given: mesh, star or contacts."""
        if self.shape is not None:
            return self.shape
        return "contacts" if self.kind == "internet" else "star" if self.hubs else "mesh"


class Jam(Table, frozen=True, kw_only=True):
    """``[[jam]]``: a disc in which radios hear nothing."""

    name: Name = "jam"
    ways: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=LIST_MAX)]
    radius: Annotated[float, Meta(gt=0, le=FAR_M)]
    since: Moment = field(name="from", default=Moment(0.0))
    until: Moment | None = None
    path: Route | None = None
    at: Name | None = None
    follow: Name | None = None
    speed: Speed = 1.2


# --- what they write, what goes wrong, what is asked for ----------------------------------------


class Room(Table, frozen=True, kw_only=True):
    """``[[rooms]]``."""

    name: Name
    members: Names = ()
    share: Share = 1.0


class Load(Table, frozen=True, kw_only=True):
    """``[[workload]]``: one kind of message."""

    name: Name
    kind: Literal["dm", "room", "file"] = "dm"
    writers: Names = field(name="from", default=())
    to: Name = "contacts"
    room: Name | None = None
    per_day: Annotated[float, Meta(gt=0, le=100_000)] | None = None
    count: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None
    size: Amounts
    ttl: Span
    begins: Moment = Moment(0.0)
    ends: Moment | None = None
    between: Daily | None = None


class Crash(Table, frozen=True, kw_only=True, tag_field="kind", tag="crash"):
    """Nodes die and come back from their store."""

    who: Names = ()
    per_day: Annotated[float, Meta(gt=0, le=10_000)] | None = None
    at: Annotated[tuple[Moment, ...], Meta(max_length=LIST_MAX)] = ()
    share: Share = 1.0


class DiskFull(Table, frozen=True, kw_only=True, tag_field="kind", tag="disk_full"):
    """Nodes that cannot store anything for a while."""

    who: Names = ()
    share: Share = 1.0
    since: Moment = field(name="from", default=Moment(0.0))
    until: Moment | None = None


class WrongClock(Table, frozen=True, kw_only=True, tag_field="kind", tag="clock"):
    """Nodes whose clock is wrong."""

    who: Names = ()
    share: Share
    offset: Offsets
    at: Moment = Moment(0.0)


class Partition(Table, frozen=True, kw_only=True, tag_field="kind", tag="partition"):
    """Two sides that cannot hear each other."""

    x: Metres | None = None
    since: Moment = field(name="from", default=Moment(0.0))
    until: Moment | None = None


Fault = Crash | DiskFull | WrongClock | Partition


class Mark(Table, frozen=True, kw_only=True):
    """``[[marks]]``: a figure that makes the run fail when it is missed."""

    figure: Annotated[str, Meta(min_length=1, max_length=100)]
    of: Name | None = None
    at_least: Threshold | None = None
    at_most: Threshold | None = None

    @property
    def rule(self) -> str:
        """``at_least`` or ``at_most``."""
        return "at_least" if self.at_least is not None else "at_most"

    @property
    def value(self) -> float:
        """What is asked for; seconds for times."""
        asked = self.at_least if self.at_least is not None else self.at_most
        return 0.0 if asked is None else float(asked)


class File(Table, frozen=True, kw_only=True):
    """A whole file."""

    about: About = field(name="scenario")
    people: Annotated[tuple[Group, ...], Meta(min_length=1, max_length=LIST_MAX)]
    friends: Friends = Friends()
    places: Annotated[tuple[Place, ...], Meta(max_length=LIST_MAX)] = ()
    radios: dict[Name, Air]
    networks: Annotated[tuple[Network, ...], Meta(max_length=LIST_MAX)] = ()
    jam: Annotated[tuple[Jam, ...], Meta(max_length=LIST_MAX)] = ()
    rooms: Annotated[tuple[Room, ...], Meta(max_length=LIST_MAX)] = ()
    workload: Annotated[tuple[Load, ...], Meta(max_length=LIST_MAX)] = ()
    faults: Annotated[tuple[Fault, ...], Meta(max_length=LIST_MAX)] = ()
    marks: Annotated[tuple[Mark, ...], Meta(max_length=LIST_MAX)] = ()


class Scenario(File, frozen=True, kw_only=True):
    """A file that has been read and checked."""

    name: str
    """The file's, without its ending."""
    folder: str
    """Where it lies: the files it names are beside it."""

    @property
    def title(self) -> str:
        """One line about it."""
        return self.about.title

    @property
    def horizon(self) -> float:
        """When it ends, in seconds."""
        return float(self.about.duration)

    def place(self, name: str) -> Place:
        """The place of this name; checks have seen that there is one."""
        return next(place for place in self.places if place.name == name)

    def group(self, name: str) -> Group:
        """The group of this name."""
        return next(group for group in self.people if group.name == name)
