"""How much mail fits through a Bluetooth radio: ``python -m tests.bench.ble_air``.

Two real nodes with real cryptography in virtual time. Their frames go through ``Framer`` on both
sides and then through an air that both directions share: 96 KiB/s of attribute values, which is
what a 1M radio with 251-byte packets carries at best, handed over 30 ms later, as a system with
its queue and its connection interval does. So the figures do not depend on this machine.
"""

import sys
from collections import deque
from typing import Any

from meshchat.core.events import FileComplete, LinkUp, MessageAdded, Received, SendFile
from meshchat.net.ble.framing import Framer
from meshchat.net.ble.limits import FRAME_MAX_BYTES
from meshchat.sim.links import Radio, Way
from meshchat.sim.person import Person
from meshchat.sim.world import World
from tests.bench.table import Figure, show

RATE = 96 * 1024
LATENCY_S = 0.03
QUEUE = 8  # fragments that a system takes before it says that it is busy
SIZES = ((247, 244), (517, 489))  # ATT MTU, bytes of a fragment
BAR_LARGE = 0.85
BAR_SMALL = 0.6
CHAT_BAR_S = 1.0
CUT_BAR = 8_192


class FramedWay(Way):
    """A way whose frames are cut into fragments, as on a real radio."""

    __slots__ = ("alarms", "by", "framers", "line", "loss", "on_air", "told", "values")

    def begin(self, dialler: Person, room: int, loss: float = 0.0) -> None:
        """They are connected; the greeting begins."""
        other = self.other(dialler)
        now = self.world.mono
        self.framers = {
            dialler: Framer.dialler(room, b"dialer", now),
            other: Framer.dialled(room, b"dialed", 1, now),
        }
        numbers = {end: end.take(self) for end in self.framers}
        self.links = numbers[self.a], numbers[self.b]
        self.by, self.loss = numbers, loss
        self.line: deque[tuple[Person, bytes]] = deque()
        self.on_air = False
        self.values = 0
        self.told = dict.fromkeys(self.framers, False)
        self.alarms = dict.fromkeys(self.framers, float("inf"))
        self.pump()

    def send(self, sender: Person, frames: tuple[bytes, ...], loads: Any) -> None:
        for frame in frames:
            self.framers[sender].send(frame, self.world.mono)
        self.pump()

    def pump(self) -> None:
        """Let what may leave join the queue of its system, and send the next."""
        for end, framer in self.framers.items():
            waiting = sum(who is end for who, _ in self.line)
            for value in framer.to_send(self.world.mono, max(0, QUEUE - waiting)):
                self.line.append((end, value))
            due = framer.next_wakeup()
            assert not framer.over, framer.over
            if due is not None and self.world.mono < due < self.alarms[end]:
                self.alarms[end] = due
                self.world.later(due - self.world.mono, self._alarm, (end, due))
        if self.line and not self.on_air:
            self.on_air = True
            self.world.later(len(self.line[0][1]) / RATE, self._left)

    def _alarm(self, what: tuple[Person, float]) -> None:
        end, due = what
        if self.alarms[end] == due:
            self.alarms[end] = float("inf")
            self.pump()

    def _left(self, _: object) -> None:
        self.on_air = False
        if not self.line:  # cut meanwhile
            return
        end, value = self.line.popleft()
        self.values += len(value)
        if self.world.air_chance.uniform() >= self.loss:
            self.world.later(LATENCY_S, self._came, (self.other(end), value))
        self.pump()

    def _came(self, what: tuple[Person, bytes]) -> None:
        end, value = what
        framer = self.framers[end]
        frames = framer.received(value, self.world.mono)
        if framer.is_open and not self.told[end]:
            self.told[end] = True
            up = LinkUp(
                self.by[end],
                "ble",
                framer.outbound,
                FRAME_MAX_BYTES,
                framer.prologue,
                b"other",
                True,
            )
            end.take_event(up)
        if frames:
            end.take_event(Received(self.by[end], tuple(frames)))
        self.pump()


def pair() -> tuple[World, FramedWay]:
    """Two acquainted people and the way between them, not linked yet."""
    made = World(seed=1, radios={"ble": Radio()})
    one, other = made.person("one"), made.person("other")
    made.acquaint(one, other)
    way = FramedWay(made, one, other, "ble")
    way.up = way.usable = True
    return made, way


def listen(made: World, kind: type) -> list[float]:
    """When the second person was told something of this kind, from now on."""
    found: list[float] = []

    def told(effect: object) -> None:
        if isinstance(effect, kind):
            found.append(made.now)

    made.people[1].told = told
    return found


def waiting_bytes(person: Person, size: int) -> int:
    """Bytes of the envelopes of this size that somebody offers."""
    offered = [eid for eid, _ in person.store.offered(int(person.clock.wall // 3_600))]
    held = [person.store.envelope(eid) for eid in offered]
    return sum(size for one in held if one is not None and len(one.data) == size)


def large(room: int, loss: float = 0.0) -> float:
    """Share of the air that 60 envelopes of 32 KiB get, a file of 1.9 MB."""
    made, way = pair()
    one, other = made.people
    one.do(SendFile(b"c" + other.fp, "data.bin", bytes(60 * 32_000)))
    total = waiting_bytes(one, 32_768)
    done = listen(made, FileComplete)
    start = made.now
    way.begin(one, room, loss)
    made.run(60)
    return total / (done[0] - start) / RATE


def small(room: int, count: int = 1_000) -> float:
    """Share of the air that a thousand envelopes of 512 bytes get."""
    made, way = pair()
    one, other = made.people
    for number in range(count):
        one.say(other, f"message {number}")
    total = waiting_bytes(one, 512)
    done = listen(made, MessageAdded)
    start = made.now
    way.begin(one, room)
    made.run(120)
    assert len(done) == count
    return total / (done[-1] - start) / RATE


def chat_behind_a_file(room: int) -> float:
    """Seconds until a line of chat is there that was written in the middle of a file."""
    made, way = pair()
    one, other = made.people
    one.do(SendFile(b"c" + other.fp, "data.bin", bytes(60 * 32_000)))
    done = listen(made, MessageAdded)
    way.begin(one, room)
    waits = []
    for _ in range(5):
        made.run(2)
        done.clear()
        start = made.now
        one.say(other, "in the middle of it")
        made.run(2)
        waits.append(done[0] - start)
    return max(waits)


def again_after_a_cut(room: int) -> float:
    """Bytes sent twice when the link is cut in the middle of an envelope, of its 32 KiB."""
    made, way = pair()
    one, other = made.people
    one.do(SendFile(b"c" + other.fp, "data.bin", bytes(8 * 32_000)))
    done = listen(made, FileComplete)

    def run(until_bytes: int) -> int:
        begun = way.values
        while not done and way.values - begun < until_bytes:
            made.run(0.005)
        return way.values - begun

    way.begin(one, room)
    whole = run(10**9)
    made, way = pair()
    one, other = made.people
    one.do(SendFile(b"c" + other.fp, "data.bin", bytes(8 * 32_000)))
    done = listen(made, FileComplete)
    way.begin(one, room)
    first = run(whole // 2)
    way.line.clear()
    way.cut(noticed=True)
    made.run(1)
    way.begin(one, room)
    second = run(10**9)
    return first + second - whole


def figures() -> list[Figure]:
    """All of it, at both usual sizes."""
    found: list[Figure] = []
    for mtu, room in SIZES:
        at = f"BLE, MTU {mtu}"
        found += [
            (f"{at}: 32 KiB envelopes, share of the air", large(room), f">= {BAR_LARGE}"),
            (f"{at}: 512 B envelopes, share of the air", small(room), f">= {BAR_SMALL}"),
            (f"{at}: 32 KiB envelopes, 2 % of fragments lost", large(room, 0.02), ""),
            (f"{at}: chat behind a file, s", chat_behind_a_file(room), f"<= {CHAT_BAR_S}"),
            (f"{at}: sent twice after a cut, bytes", again_after_a_cut(room), f"<= {CUT_BAR}"),
        ]
    return found


if __name__ == "__main__":
    sys.exit(bool(show(figures())))
