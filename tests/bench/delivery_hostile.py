"""Attacks on delivery, with the limits that ship: ``python -m tests.bench.delivery --hostile``.

The first two days of hosp10, text, and files for the flood; a store of 5 MB with its shares, so
that a flood can fill it. Each attack is set beside a calm run of the same nodes.

* **Holes.** Half of all nodes take custody of everything, say STORED, and offer nothing but
  their own mail. Bar: 0.85 of what the honest half could do alone, which a flood over the trace
  tells in which black holes pass nothing on.
* **Flood.** One more node, wherever node 0 is, writes a hundred times what a person writes, to
  somebody who does not exist.
* **Faces.** 500 identities on one radio, wherever node 0 is. All of them are black holes, dial
  everybody, and write junk.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from msgspec.structs import replace

from meshchat.core.events import AddContact, Send, SendFile
from meshchat.core.limits import Limits
from meshchat.core.model import Kind
from meshchat.core.neighbours import Neighbours
from meshchat.errors import MeshchatError
from meshchat.sim import oracle, person
from meshchat.sim.chance import Chance
from meshchat.sim.links import Radio
from meshchat.sim.memory import MemoryStore
from meshchat.sim.person import Person
from meshchat.sim.traces import read_contacts, read_workload
from meshchat.sim.ways import Contact, Wanted, changes
from meshchat.sim.world import World
from tests.bench.delivery_runs import BUFFER_BYTES, RATE, ROOT, TRACES, WORKLOADS, Kept
from tests.bench.table import Figure

HOURS = 48.0
FACES = 500
FACE_JUNK = 4
JUNK_TIMES = 100
JUNK_TEXT_BYTES = 7_000  # the largest text
JUNK_FILE_BYTES = 125_000  # as files are in the mean
HOLES_SHARE = 0.5


class Attack(NamedTuple):
    """What is run."""

    kind: str
    """``calm``, ``holes``, ``flood`` or ``faces``."""
    condition: str = "T"
    trace: str = "hosp10"
    seed: int = 0
    hours: float = HOURS


class Sink(MemoryStore):
    """The store of a black hole that still writes: of what it holds it gives only its own mail."""

    def owns(self, eid: bytes) -> bool:
        """Whether its user has written this."""
        held = self.envelope(eid)
        return held is not None and held.kind is Kind.OWN

    def offered(self, now_h: int) -> list[tuple[bytes, int]]:
        return [pair for pair in super().offered(now_h) if self.owns(pair[0])]

    def released(self, wall: float) -> list[bytes]:
        return []


def _let_sinks_be() -> None:
    """Black holes of this process are ``Sink``."""
    offer = Neighbours.offer

    def own_only(self: Neighbours, eid: bytes, hint: int) -> None:
        store = self._store
        if not isinstance(store, Sink) or store.owns(eid):
            offer(self, eid, hint)

    Neighbours.offer = own_only  # type: ignore[method-assign]
    person.Hole = Sink  # type: ignore[misc, assignment]


def alone(
    contacts: Sequence[Contact], wishes: Sequence[Wanted], nodes: int, holes: set[int]
) -> int:
    """How many deliveries are possible if black holes pass nothing on."""
    own, home, held = [0] * nodes, [0] * nodes, [0] * nodes
    lives: list[tuple[float, int, int, int]] = []
    for which, wish in enumerate(wishes):
        own[wish.src] |= 1 << which
        home[wish.dst] |= 1 << which
        lives.append((wish.created, 2, wish.src, 1 << which))
        lives.append((wish.created + wish.ttl, 3, 0, 1 << which))
    for start, end, a, b in contacts:
        lives += [(end, 0, a, b), (start, 1, a, b)]
    near: list[set[int]] = [set() for _ in range(nodes)]
    alive = done = 0
    for _, what, a, b in sorted(lives):
        todo: list[tuple[int, int]] = []
        if what == 0:
            near[a].discard(b)
            near[b].discard(a)
        elif what == 1:
            near[a].add(b)
            near[b].add(a)
            for one, other in ((a, b), (b, a)):
                gives = held[one] & own[one] if one in holes else held[one]
                todo.append((other, gives))
        elif what == 2:
            alive |= b
            todo.append((a, b))
        else:
            alive &= ~b
        while todo:
            node, flags = todo.pop()
            flags &= alive & ~held[node]
            if flags:
                held[node] |= flags
                done |= flags & home[node]
                gives = flags & own[node] if node in holes else flags
                todo += [(other, gives) for other in near[node]]
    return done.bit_count()


def do(attack: Attack) -> Kept:
    """Run it here."""
    _let_sinks_be()
    end = attack.hours * 3600
    trace = read_contacts(TRACES / f"{attack.trace}.csv.gz")
    workload = TRACES / f"{attack.trace}.{WORKLOADS[attack.condition]}.csv"
    wishes = [wish for wish in read_workload(workload, trace) if wish.created + wish.ttl <= end]
    contacts = [c._replace(end=min(c.end, end)) for c in trace.contacts if c.start < end]
    nodes = trace.nodes
    chance = Chance(attack.seed, "hostile")
    limits = Limits(store_bytes=BUFFER_BYTES)
    world = World(seed=attack.seed, radios={"sim": Radio(rate=RATE)}, limits=limits, fast=True)
    holes: set[int] = set()
    if attack.kind == "holes":
        holes = set(chance.sample(range(nodes), round(nodes * HOLES_SHARE)))
    for n in range(nodes):
        world.person(conduct="black_hole" if n in holes else "honest")
    for wish in wishes:
        world.send(wish)
    if attack.kind == "flood":
        junk = JUNK_TIMES * len(wishes) // nodes
        contacts = _beside(contacts, [_flooder(world, limits, junk, end, attack.condition, chance)])
    elif attack.kind == "faces":
        faces = [
            _flooder(world, limits, FACE_JUNK, end, "T", chance, sink=True) for _ in range(FACES)
        ]
        for n in faces:
            world.people[n].origin = world.people[faces[0]].origin
        contacts = _beside(contacts, faces)
    world.follow(changes(contacts))
    world.run(until=end)
    measure = world.measure
    measure.finish()
    figures = oracle.figures(
        measure.delivered_at, wishes, measure.hops, round(measure.transmissions)
    )
    return {
        "delivered": figures["delivered"],
        "created": len(wishes),
        "wait_h": figures["mean_wait_s"] / 3600,
        "alone": alone(contacts, wishes, nodes, holes) if attack.kind in ("calm", "holes") else 0,
    }


def _flooder(
    world: World,
    limits: Limits,
    junk: int,
    end: float,
    condition: str,
    chance: Chance,
    sink: bool = False,
) -> int:
    """One more node, which writes so much to nobody; its own store has room for all of it."""
    ghost = World(seed=len(world.people) + 1_000_000, fast=True).person("ghost")
    bad = world.person(
        limits=replace(limits, store_bytes=1 << 30, own_share=1.0),
        conduct="black_hole" if sink else "honest",
    )
    bad.do(AddContact(ghost.node.card_text(), petname="ghost"))
    chat = b"c" + ghost.fp
    command: Send | SendFile = Send(chat, "x" * JUNK_TEXT_BYTES)
    if condition == "M":
        command = SendFile(chat, "x.bin", bytes(JUNK_FILE_BYTES))
    for _ in range(junk):
        world.at(chance.uniform(0, end), lambda: _write(bad, command))
    return bad.number


def _write(bad: Person, command: Send | SendFile) -> None:
    with suppress(MeshchatError):
        bad.do(command)


def _beside(contacts: Sequence[Contact], more: Sequence[int]) -> list[Contact]:
    """With these nodes wherever node 0 is, in the middle of everybody it meets."""
    found = list(contacts)
    for c in contacts:
        if c.a == 0:
            found += [Contact(c.start, c.end, c.b, n) for n in more]
    return sorted(found)


def get(attack: Attack) -> Kept:
    """Its figures, from a process of its own."""
    print(f"running {' '.join(map(str, attack))}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "tests.bench.delivery", "--one-hostile", json.dumps(attack)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found: Kept = json.loads(done.stdout)
    return found


def one(text: str) -> int:
    """The other side of ``get``."""
    print(json.dumps(do(Attack(*json.loads(text)))))
    return 0


def figures(trace: str = "hosp10") -> list[Figure]:
    """Deliveries under attack, as parts of those in peace."""
    calm = {condition: get(Attack("calm", condition, trace)) for condition in ("T", "M")}
    found: list[Figure] = [
        (f"{trace} {condition} calm: delivered / limit", run["delivered"] / run["alone"], "")
        for condition, run in calm.items()
    ]
    holes = get(Attack("holes", "T", trace))
    found += [
        ("half black holes, T: delivered / honest limit", holes["delivered"] / holes["alone"], ""),
        ("half black holes, T: delivered / calm", holes["delivered"] / calm["T"]["delivered"], ""),
        ("half black holes, T: mean wait / calm", holes["wait_h"] / calm["T"]["wait_h"], ""),
    ]
    found[2] = (*found[2][:2], ">= 0.85")
    for kind, condition, said in (
        ("flood", "T", "flood of junk, T"),
        ("flood", "M", "flood of junk, M"),
        ("faces", "T", f"{FACES} false identities, T"),
    ):
        run, peace = get(Attack(kind, condition, trace)), calm[condition]
        found += [
            (f"{said}: delivered / calm", run["delivered"] / peace["delivered"], ">= 0.9"),
            (f"{said}: mean wait / calm", run["wait_h"] / peace["wait_h"], ""),
        ]
    return found
