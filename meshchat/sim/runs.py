"""Whole runs: a contact trace or a scenario in, the JSON document of the run out."""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from meshchat import __version__
from meshchat.core.limits import Limits
from meshchat.sim import oracle, scenario
from meshchat.sim.document import FORMAT
from meshchat.sim.links import Radio
from meshchat.sim.measure import KINDS, Measure, Sample
from meshchat.sim.person import Person
from meshchat.sim.town import Town, build
from meshchat.sim.traces import Trace, read_contacts, read_workload
from meshchat.sim.ways import Contact, Wanted, changes
from meshchat.sim.world import World

SAMPLES = 200  # points of a series
DELAYS_MAX = 2_000  # in the document
PEOPLE_MAX = 2_000
EDGES_MAX = 3_000
TRACE_RATE = 12_000.0  # bytes a second: conditions T and M of the design study
DAY_S = 86_400.0
IDLE_MAX_S = 7 * DAY_S  # before anything happens; in seconds since 1970 it would be 40 years
NO_LIMIT_LINKS = 100_000  # a trace says who can talk; it knows no limit of links

Document = dict[str, Any]
Look = Callable[[float, float, Measure], bool]
"""Called now and then with the time, the horizon and the counts; True ends the run."""


def open_limits(buffer: int | None) -> Limits:
    """What nodes lend in a trace run: all of the buffer, to anybody.

    Shares against floods would make a small buffer smaller still, and nobody floods here; links
    are those of the trace.
    """
    limits = Limits(
        small_reserve=0.0,
        bulk_share=1.0,
        origin_share=1.0,
        contact_share=1.0,
        own_share=1.0,
        links_max=NO_LIMIT_LINKS,
        inbound_max=NO_LIMIT_LINKS,
        half_open_max=NO_LIMIT_LINKS,
        links_per_origin=NO_LIMIT_LINKS,
        handshakes_per_window=NO_LIMIT_LINKS,
    )
    return limits if buffer is None else replace(limits, store_bytes=buffer)


def run_trace(
    contacts: Path,
    workload: Path,
    *,
    rate: float = TRACE_RATE,
    buffer: int | None = None,
    seed: int = 0,
    fast: bool = False,
    radio: Radio | None = None,
    look: Look | None = None,
) -> Document:
    """Real nodes on a recorded trace.

    Args:
        contacts: Who can talk to whom, and when (see ``traces.read_contacts``).
        workload: Who writes to whom.
        rate: Bytes a second of each contact, both directions together.
        buffer: Bytes a node has for mail; None: as shipped.
        seed: Of keys and jitter.
        fast: Without cryptography.
        radio: Everything else about links; its ``rate`` is not used.
        look: Watches the run, and may end it.
    """
    began = time.process_time()
    trace = read_contacts(contacts)
    wishes = read_workload(workload, trace)
    trace, wishes, moved = _moved(trace, wishes)
    nodes = max([trace.nodes, *(1 + max(wish.src, wish.dst) for wish in wishes)])
    horizon = max([trace.duration, *(wish.created + wish.ttl for wish in wishes)])
    radio = replace(radio or Radio(), rate=rate)
    world = World(seed=seed, radios={"sim": radio}, limits=open_limits(buffer), fast=fast)
    names = trace.names if len(trace.names) == nodes else tuple(map(str, range(nodes)))
    for name in names:
        world.person(name)
    for wish in wishes:
        world.send(wish)
    world.follow(changes(trace.contacts))
    complete = drive(world, horizon, look)
    settings = {
        "contacts": contacts.name,
        "workload": workload.name,
        "rate": rate,
        "buffer": buffer,
        **({"moved_s": moved} if moved else {}),
    }
    return document(
        world,
        kind="trace",
        name=contacts.name.split(".")[0],
        title=f"{contacts.name} with {workload.name}",
        settings=settings,
        horizon=horizon,
        complete=complete,
        began=began,
        buffer=buffer,
        contacts=trace.contacts if complete else None,
    )


def _moved(trace: Trace, wishes: list[Wanted]) -> tuple[Trace, list[Wanted], float]:
    """A trace that begins long after its zero, as in seconds since 1970, moved by whole days."""
    first = min(trace.contacts[0].start, wishes[0].created)
    if first <= IDLE_MAX_S:
        return trace, wishes, 0.0
    by = first - first % DAY_S
    contacts = [Contact(c.start - by, c.end - by, c.a, c.b) for c in trace.contacts]
    wishes = [wish._replace(created=wish.created - by) for wish in wishes]
    return replace(trace, contacts=contacts, duration=trace.duration - by), wishes, by


def run_scenario(
    name: str,
    *,
    seed: int | None = None,
    peers: int | None = None,
    fast: bool = False,
    sets: Mapping[str, Any] | None = None,
    look: Look | None = None,
) -> Document:
    """A scenario, by name or path.

    Args:
        name: Of a shipped scenario, or a TOML file.
        seed: Instead of the file's.
        peers: How many people, instead of the file's numbers.
        fast: Without cryptography.
        sets: Values that replace those of the file, by dotted key.
        look: Watches the run, and may end it.
    """
    began = time.process_time()
    plan = scenario.load(name, sets or {})
    town = build(plan, seed=seed, peers=peers, fast=fast)
    complete = drive(town.world, town.horizon, look)
    settings = {"peers": len(town.world.people), **(sets or {})}
    result = document(
        town.world,
        kind="scenario",
        name=plan.name,
        title=plan.title,
        settings=settings,
        horizon=town.horizon,
        complete=complete,
        began=began,
        buffer=None,
        town=town,
    )
    result["marks"] = town.marks(result)
    return result


def run_job(job: Mapping[str, Any]) -> Document:
    """One run of a sweep: ``scenario``, ``seed``, ``peers``, ``fast`` and ``sets``."""
    return run_scenario(
        job["scenario"],
        seed=job.get("seed"),
        peers=job.get("peers"),
        fast=bool(job.get("fast")),
        sets=job.get("sets"),
    )


def drive(world: World, horizon: float, look: Look | None) -> bool:
    """Run a world to its horizon, noting how things stand on the way. False if it was ended."""
    for number in range(SAMPLES + 1):
        world.at(horizon * number / SAMPLES, world.measure.sample)
    watch = None
    if look is not None:

        def watch() -> bool:
            return look(world.now, horizon, world.measure)

    return world.run(until=horizon, look=watch)


def document(
    world: World,
    *,
    kind: str,
    name: str,
    title: str,
    settings: Mapping[str, Any],
    horizon: float,
    complete: bool,
    began: float,
    buffer: int | None,
    contacts: list[Contact] | None = None,
    town: Town | None = None,
) -> Document:
    """The document of a run (docs/reference/sim-json.md).

    Args:
        world: As the run left it.
        kind: ``trace`` or ``scenario``.
        name: Short.
        title: For people.
        settings: What was asked for.
        horizon: When the run was to end, seconds.
        complete: Whether it did.
        began: CPU time when it began.
        buffer: What the clairvoyant schedule may hold at a node; None: no limit.
        contacts: For the limits; None: those the world saw.
        town: Of a scenario.
    """
    measure = world.measure
    cpu = time.process_time() - began
    measure.finish()
    measure.sample()
    nodes = len(world.people)
    wishes = measure.wishes[:]
    due = list(range(len(wishes)))
    if not complete:  # what was not due yet is no failure of the nodes; the world has this order
        due = sorted(sorted(due, key=lambda i: wishes[i].created)[: measure.created])
    wishes = [wishes[i] for i in due]
    arrived = [measure.delivered_at[i] for i in due]
    hops = [measure.hops[i] for i in due]
    figures = oracle.figures(arrived, wishes, hops, round(measure.transmissions))
    if contacts is None:
        order = sorted(range(len(measure.contacts)), key=lambda i: measure.contacts[i])
        contacts = [measure.contacts[i] for i in order]
        rates = [measure.rates[i] for i in order]
    else:
        rates = [next(iter(world.radios.values())).rate] * len(contacts)
    bound = oracle.limit(contacts, wishes, nodes)
    schedule = oracle.clairvoyant(contacts, wishes, nodes, rates, buffer)
    limit = _bound(bound, wishes)
    clairvoyant = _bound(schedule, wishes)
    samples = measure.samples
    lost, false = measure.untrue()
    total = dict(zip(KINDS, measure.bytes, strict=True))
    total["total"] = sum(measure.bytes)
    delivered = figures["delivered"]
    energies = _energy(world)
    delays = sorted(_delays(arrived, wishes))
    counters = {
        "frames": measure.frames,
        "late": measure.late,
        "false_delivered": false,
        "commits_failed": measure.commits_failed,
        **{f"refused_{reason}": count for reason, count in sorted(measure.refused.items())},
    }
    return {
        "format": FORMAT,
        "meshchat": __version__,
        "kind": kind,
        "name": name,
        "title": title,
        "seed": world.seed,
        "fast": world.fast,
        "complete": complete,
        "stopped_at_s": world.now,
        "duration_s": horizon,
        "nodes": nodes,
        "settings": dict(settings),
        "created": measure.created,
        "refused": sum(measure.refused.values()),
        "delivered": delivered,
        "delivery_ratio": figures["delivery_ratio"],
        "delay_s": figures["delay_s"],
        "mean_wait_s": figures["mean_wait_s"],
        "hops": {"mean": figures["hops_mean"], "max": figures["hops_max"]},
        "transmissions": figures["transmissions"],
        "overhead_ratio": figures["overhead_ratio"],
        "duplicates_shown": measure.duplicates_shown,
        "lost_after_accept": lost,
        "bytes": total,
        "bytes_per_delivery": {
            each: count / delivered if delivered else None for each, count in total.items()
        },
        "contacts": {
            "count": len(contacts),
            "seconds": sum(contact.end - contact.start for contact in contacts),
            "linked": measure.linked,
            "failed": measure.failed,
        },
        "storage_bytes": {
            "mean": sum(sample.held_mean for sample in samples) / len(samples),
            "max": max(sample.held_max for sample in samples),
            "end": samples[-1].held_mean,
        },
        "events": world.events,
        "cpu_s": cpu,
        "cpu_s_per_node": cpu / max(1, nodes),
        "peak_rss_bytes": peak_rss(),
        "energy_j": (
            {"mean": sum(energies) / nodes, "max": max(energies)} if any(energies) else None
        ),
        "limit": limit,
        "clairvoyant": clairvoyant,
        "ratio": {
            "limit": _ratio(delivered, limit["delivered"]),
            "clairvoyant": _ratio(delivered, clairvoyant["delivered"]),
        },
        "by_workload": _by_workload(measure, due, bound.arrived),
        "marks": [],
        "counters": counters,
        "series": _series(samples, bound.arrived, schedule.arrived),
        "delays_s": _thin(delays),
        "limit_delays_s": _thin(sorted(_delays(bound.arrived, wishes))),
        "people": _people(world, energies),
        "contact_graph": {
            "edges": [
                [a, b, seconds]
                for (a, b), seconds in sorted(
                    measure.pair_s.items(), key=lambda item: (-item[1], item[0])
                )[:EDGES_MAX]
            ]
        },
        "map": town.map() if town is not None else None,
        "trace_hash": world.trace_hash,
        "discovery": _discovery(world),
    }


def peak_rss() -> int:
    """The most memory this process has had, bytes; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _bound(outcome: oracle.Outcome, wishes: list[Wanted]) -> Document:
    return oracle.figures(outcome.arrived, wishes, outcome.hops, outcome.transmissions)


def _ratio(ours: int, theirs: int) -> float | None:
    return ours / theirs if theirs else None


def _delays(arrived: list[float | None], wishes: list[Wanted]) -> list[float]:
    pairs = zip(arrived, wishes, strict=True)
    return [at - wish.created for at, wish in pairs if at is not None]


def _thin(values: list[float]) -> list[float]:
    """Evenly spread ones of a long list, first and last kept."""
    if len(values) <= DELAYS_MAX:
        return values
    last = len(values) - 1
    return [values[last * i // (DELAYS_MAX - 1)] for i in range(DELAYS_MAX)]


def _energy(world: World) -> list[float]:
    """Joules each node used by the radio model."""
    measure = world.measure
    idle = sum(
        radio.idle_w + (0.0 if radio.profile else radio.scan_w * radio.scan_duty)
        for radio in world.radios.values()
    )
    return [
        measure.radio_j[number] + measure.on_seconds(number) * idle + _listening(world, person)
        for number, person in enumerate(world.people)
    ]


def _listening(world: World, person: Person) -> float:
    """Joules that listening took, as the policy had it."""
    adapters = person.adapters.items()
    return sum(world.radios[name].scan_w * adapter.scan_s for name, adapter in adapters)


def _discovery(world: World) -> Document:
    """How nodes found each other over radios with a profile."""
    found: Document = {}
    for name, radio in world.radios.items():
        if radio.profile is None:
            continue
        adapters = [person.adapters[name] for person in world.people]
        for adapter in adapters:
            adapter.finish()
        waits = sorted(wait for adapter in adapters for wait in adapter.alone_s)
        on_s = sum(adapter.on_s for adapter in adapters)
        hours = on_s / 3_600
        timers = sum(adapter.wakes for adapter in adapters)
        wakeups = timers + sum(adapter.sightings + adapter.arrivals for adapter in adapters)
        last = len(waits) - 1
        p50, p90, most = (
            (waits[round(last * part)] if waits else None) for part in (0.5, 0.9, 1.0)
        )
        found[name] = {
            "profile": radio.profile.value,
            "first_link_p50_s": p50,
            "first_link_p90_s": p90,
            "first_link_max_s": most,
            "found": len(waits),
            "missed": sum(adapter.missed for adapter in adapters),
            "scan_duty": min(1.0, sum(a.scan_s for a in adapters) / on_s) if on_s else 0.0,
            "wakeups_per_h": wakeups / hours if hours else 0.0,
            "timers_per_h": timers / hours if hours else 0.0,
            "dials_per_h": sum(a.dials for a in adapters) / hours if hours else 0.0,
        }
    return found


def _by_workload(measure: Measure, due: list[int], limit: list[float | None]) -> Document:
    found: Document = {}
    for of in dict.fromkeys(measure.of[i] for i in due):
        if not of:
            continue
        mine = [(place, i) for place, i in enumerate(due) if measure.of[i] == of]
        wishes = [measure.wishes[i] for _, i in mine]
        figures = oracle.figures(
            [measure.delivered_at[i] for _, i in mine], wishes, [None] * len(mine), 0
        )
        reached = sum(limit[place] is not None for place, _ in mine)
        found[of] = {
            "created": len(mine),
            "delivered": figures["delivered"],
            "delivery_ratio": figures["delivery_ratio"],
            "delay_s": figures["delay_s"],
            "mean_wait_s": figures["mean_wait_s"],
            "limit_delivery_ratio": reached / len(mine),
        }
    return found


def _series(
    samples: list[Sample],
    limit: list[float | None],
    clairvoyant: list[float | None],
) -> Document:
    def so_far(arrived: list[float | None]) -> list[int]:
        times = sorted(at for at in arrived if at is not None)
        counts, done = [], 0
        for sample in samples:
            while done < len(times) and times[done] <= sample.at:
                done += 1
            counts.append(done)
        return counts

    return {
        "at_s": [sample.at for sample in samples],
        "created": [sample.created for sample in samples],
        "delivered": [sample.delivered for sample in samples],
        "limit": so_far(limit),
        "clairvoyant": so_far(clairvoyant),
        "bytes": {
            kind: [sample.bytes[place] for sample in samples] for place, kind in enumerate(KINDS)
        },
        "held_bytes": [sample.held_mean for sample in samples],
        "neighbours": [sample.neighbours for sample in samples],
        "on": [sample.on for sample in samples],
    }


def _people(world: World, energies: list[float]) -> list[Document]:
    measure = world.measure
    reached = [0] * len(world.people)
    for wish, at in zip(measure.wishes, measure.delivered_at, strict=True):
        reached[wish.dst] += at is not None
    return [
        {
            "name": person.name,
            "sent_bytes": measure.sent[number],
            "received_bytes": measure.received[number],
            "carried": measure.carried[number],
            "delivered_to": reached[number],
            "energy_j": energies[number],
        }
        for number, person in enumerate(world.people[:PEOPLE_MAX])
    ]
