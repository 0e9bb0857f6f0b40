"""The JSON document of a run: every key, its unit, and the check of a document from outside.

The structs below are the one source: ``result.schema.json`` is made of them (``schema()``), and
``docs/reference/sim-json.md`` is tested against them.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from meshchat.errors import UsageError
from meshchat.text import Clean

FORMAT = "meshchat-sim/1"
KINDS = ("payload", "sync", "handshake", "proofs", "presence", "keepalive", "padding")
REASON_MAX_CHARS = 200  # of what is wrong in a document: one clause
DIALECT = "https://json-schema.org/draft/2020-12/schema"

Document = Mapping[str, Any]
"""A document as ``json`` gives it."""

Count = Annotated[int, Meta(ge=0)]
Amount = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Setting = str | int | float | bool | None
Spot = Annotated[tuple[float, float], Meta(description="x and y in metres, y upwards")]


class Delay(Struct):
    """Seconds from writing to arrival of the messages that arrived; null where none did."""

    p10: Amount | None
    p50: Amount | None
    p90: Amount | None
    p99: Amount | None


class Hops(Struct):
    """Links from writer to reader of the messages that arrived; null where none did."""

    mean: Amount | None
    max: Amount | None


class Contacts(Struct):
    """When two nodes could hear each other."""

    count: Annotated[int, Meta(ge=0, description="how many contacts there were")]
    seconds: Annotated[float, Meta(ge=0, description="all contacts together, in seconds")]
    linked: Annotated[int, Meta(ge=0, description="how many became a working link")]
    failed: Annotated[int, Meta(ge=0, description="attempts to connect that failed")]


class Storage(Struct):
    """Bytes held for oneself and for others, over all nodes."""

    mean: Annotated[float, Meta(ge=0, description="mean of all nodes over the whole run")]
    max: Annotated[float, Meta(ge=0, description="the most any node held at any time")]
    end: Annotated[float, Meta(ge=0, description="mean of all nodes at the end")]


class Energy(Struct):
    """Joules a node used by the radio model."""

    mean: Amount
    max: Amount


class Discovery(Struct):
    """How nodes found each other over one radio with a profile, and what listening cost."""

    profile: Literal["always", "normal", "saver"]
    first_link_p50_s: Annotated[
        Amount | None,
        Meta(description="seconds a node without a link had somebody in reach before it had one"),
    ]
    first_link_p90_s: Amount | None
    first_link_max_s: Amount | None
    found: Annotated[int, Meta(ge=0, description="times a node got a link after having none")]
    missed: Annotated[
        int, Meta(ge=0, description="times somebody came into reach and left without a link")
    ]
    scan_duty: Annotated[
        float, Meta(ge=0, le=1, description="share of the time on spent listening or connecting")
    ]
    wakeups_per_h: Annotated[
        float,
        Meta(ge=0, description="of a node that is on: timers, adverts heard, frames received"),
    ]
    timers_per_h: Annotated[float, Meta(ge=0, description="of these, timers of the policy")]
    dials_per_h: Annotated[float, Meta(ge=0, description="attempts to connect of a node")]


class Kinds(Struct):
    """Bytes on the air by what they were for; `total` is the sum of the others."""

    payload: Annotated[float, Meta(ge=0, description="messages and files")]
    sync: Annotated[float, Meta(ge=0, description="finding out who lacks what")]
    handshake: Annotated[float, Meta(ge=0, description="opening links")]
    proofs: Annotated[float, Meta(ge=0, description="receipts and proofs of delivery")]
    presence: Annotated[float, Meta(ge=0, description="who is near")]
    keepalive: Annotated[float, Meta(ge=0, description="finding out that a link is dead")]
    padding: Annotated[float, Meta(ge=0, description="filling up to fixed sizes")]
    total: Amount


class EachKind(Struct):
    """Bytes on the air for each message that was delivered, by what they were for."""

    payload: Amount | None
    sync: Amount | None
    handshake: Amount | None
    proofs: Amount | None
    presence: Amount | None
    keepalive: Amount | None
    padding: Amount | None
    total: Amount | None


class Bound(Struct):
    """What an oracle that knows the future delivers on the same contacts and wishes."""

    delivered: Count
    delivery_ratio: Share | None
    delay_s: Delay
    mean_wait_s: Amount | None
    hops_mean: Amount | None
    hops_max: Amount | None
    transmissions: Count
    overhead_ratio: float | None
    fewest_hops_mean: Annotated[
        Amount | None, Meta(description="hops of the shortest path in the time to live")
    ] = None


class Ratio(Struct):
    """Delivered divided by what each bound delivers; null where that is nothing."""

    limit: Amount | None
    clairvoyant: Amount | None


class Workload(Struct):
    """The figures of one part of the workload."""

    created: Count
    delivered: Count
    delivery_ratio: Share | None
    delay_s: Delay
    mean_wait_s: Amount | None
    limit_delivery_ratio: Share | None


class Mark(Struct):
    """A pass mark of the scenario."""

    figure: Annotated[str, Meta(description="which figure, as `delivery_ratio` or `delay_s.p90`")]
    of: Annotated[str | None, Meta(description="which part of the workload; null for the whole")]
    rule: Annotated[str, Meta(description="`at_least` or `at_most`, or another comparison")]
    value: Annotated[float, Meta(description="what is asked for")]
    got: Annotated[float | None, Meta(description="what came; null if it cannot be computed")]
    ok: bool


class Series(Struct):
    """The run over time: lists as long as `at_s`, about 200 points."""

    at_s: Annotated[list[Amount], Meta(description="seconds since the start, rising")]
    created: Annotated[list[Amount], Meta(description="messages created so far")]
    delivered: Annotated[list[Amount], Meta(description="messages delivered so far")]
    limit: Annotated[list[Amount], Meta(description="what the limit has delivered so far")]
    clairvoyant: Annotated[
        list[Amount] | None, Meta(description="what the clairvoyant schedule has delivered so far")
    ]
    bytes: Annotated[dict[str, list[Amount]], Meta(description="bytes sent so far, by kind")]
    held_bytes: Annotated[list[Amount], Meta(description="bytes held, mean of all nodes")]
    neighbours: Annotated[
        list[Amount], Meta(description="open links, mean of the nodes that are on")
    ]
    on: Annotated[list[Amount], Meta(description="nodes that are on")]

    def __post_init__(self) -> None:
        lists = [
            self.created,
            self.delivered,
            self.limit,
            self.held_bytes,
            self.neighbours,
            self.on,
        ]
        lists += [*self.bytes.values(), *([self.clairvoyant] if self.clairvoyant else [])]
        if any(len(one) != len(self.at_s) for one in lists):
            raise ValueError("the lists of `series` are not all as long as `at_s`")
        if any(one > other for one, other in pairwise(self.at_s)):
            raise ValueError("`series.at_s` does not rise")


class Human(Struct):
    """One simulated person."""

    name: str
    sent_bytes: Amount
    received_bytes: Amount
    carried: Annotated[
        int,
        Meta(
            ge=0, description="messages and pieces of files that came whole, to pass on or to read"
        ),
    ]
    delivered_to: Annotated[int, Meta(ge=0, description="messages that reached this person")]
    energy_j: Amount | None


class ContactGraph(Struct):
    """Who met whom."""

    edges: Annotated[
        list[tuple[Count, Count, Amount]],
        Meta(description="two node numbers and their seconds of contact; the longest 3,000"),
    ]


class Place(Struct):
    """A named disc of the map, in metres."""

    name: str
    x: float
    y: float
    radius: Amount


class Jam(Struct):
    """A disc in which radios hear nothing."""

    radius: Annotated[float, Meta(ge=0, description="metres")]
    xy: Annotated[list[Spot | None], Meta(description="its middle in each frame; null while off")]


class Frame(Struct):
    """Where everybody is at one time."""

    at_s: Amount
    xy: Annotated[list[Spot | None], Meta(description="by node number; null: not there")]


class Map(Struct):
    """Movement, about 60 frames; metres."""

    width: Amount
    height: Amount
    places: list[Place]
    jam: list[Jam]
    frames: list[Frame]


class Result(Struct):
    """One run of the simulator, finished or interrupted."""

    format: Annotated[Literal["meshchat-sim/1"], Meta(description="this format")]
    meshchat: Annotated[str, Meta(description="version of meshchat that ran")]
    kind: Literal["trace", "scenario"]
    name: Annotated[str, Meta(description="of the scenario or the trace")]
    title: Annotated[str, Meta(description="one line about it")]
    seed: int
    fast: Annotated[bool, Meta(description="true: same sizes, but without cryptography")]
    complete: Annotated[bool, Meta(description="false: stopped before its end")]
    stopped_at_s: Annotated[float, Meta(ge=0, description="simulated seconds that passed")]
    duration_s: Annotated[float, Meta(ge=0, description="simulated seconds that were planned")]
    nodes: Count
    settings: Annotated[dict[str, Setting], Meta(description="what was set, as `rate`, `buffer`")]
    created: Annotated[int, Meta(ge=0, description="wished deliveries")]
    refused: Annotated[int, Meta(ge=0, description="of these, not accepted by the writer's node")]
    delivered: Annotated[int, Meta(ge=0, description="arrived in their time to live")]
    delivery_ratio: Annotated[Share | None, Meta(description="delivered / created")]
    delay_s: Delay
    mean_wait_s: Annotated[
        Amount | None, Meta(description="seconds; an undelivered message counts as its full TTL")
    ]
    hops: Hops
    transmissions: Annotated[int, Meta(ge=0, description="messages handed over a link in full")]
    overhead_ratio: Annotated[
        float | None, Meta(description="(transmissions - delivered) / delivered")
    ]
    duplicates_shown: Annotated[int, Meta(ge=0, description="shown twice to a reader; must be 0")]
    lost_after_accept: Annotated[
        int, Meta(ge=0, description="gone although it was accepted and in its time; must be 0")
    ]
    bytes: Kinds
    bytes_per_delivery: Annotated[
        EachKind | None, Meta(description="`bytes` / `delivered`; null where nothing was delivered")
    ]
    contacts: Contacts
    storage_bytes: Storage
    events: Annotated[int, Meta(ge=0, description="events the simulator worked off")]
    cpu_s: Annotated[float, Meta(ge=0, description="processor seconds of the whole run")]
    cpu_s_per_node: Amount
    peak_rss_bytes: Annotated[int, Meta(ge=0, description="most memory the process had")]
    energy_j: Energy | None
    limit: Annotated[
        Bound, Meta(description="no bandwidth and no buffer limit: earliest arrival of each")
    ]
    clairvoyant: Annotated[
        Bound | None, Meta(description="a schedule that fits the bandwidth and buffer given")
    ]
    ratio: Ratio
    by_workload: dict[str, Workload]
    marks: list[Mark]
    counters: Annotated[dict[str, float], Meta(description="counters of all nodes, added up")]
    series: Series
    delays_s: Annotated[list[Amount], Meta(description="sorted; at most 2,000, evenly chosen")]
    limit_delays_s: Annotated[list[Amount], Meta(description="the same of the limit")]
    people: Annotated[list[Human], Meta(description="by node number; at most 2,000")]
    contact_graph: ContactGraph
    map: Map | None
    trace_hash: Annotated[
        str, Meta(description="hex; the same for the same run on every machine and Python")
    ]
    discovery: Annotated[
        dict[str, Discovery], Meta(description="by name of the radio; only those with a profile")
    ] = msgspec.field(default_factory=dict)


def checked(document: object) -> Result:
    """A document as a struct.

    Raises:
        UsageError: ``not_a_result``, naming the first key that is wrong.
    """
    if not isinstance(document, Mapping) or "format" not in document:
        raise UsageError("not_a_result", "this is not the result of a meshchat sim run")
    if document["format"] != FORMAT:
        shown = Clean.line(str(document["format"]))
        raise UsageError("other_format", f'its format is "{shown}"; this meshchat reads "{FORMAT}"')
    try:
        return msgspec.convert(document, Result)
    except msgspec.ValidationError as error:
        why = Clean.line(str(error).replace(" - at `$.", " at `"), REASON_MAX_CHARS)
        raise UsageError("not_a_result", f"it is no valid result: {why}") from None


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a document; ``result.schema.json`` holds it."""
    made = msgspec.json.schema(Result)
    title = "Result of a meshchat simulator run"
    return {"$schema": DIALECT, "$id": "urn:meshchat:sim:result:1", "title": title, **made}
