"""Fragments of one link: what arrives, what is sent again, and what a hostile peer can do."""

from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshchat.net.ble.fragments import DATA, KIND, LAST, NOW, POLL
from meshchat.net.ble.framing import Framer
from meshchat.net.ble.limits import (
    ACK_DELAY_S,
    CHUNK_MIN_BYTES,
    FRAME_MAX_BYTES,
    OPEN_S,
    POLL_S,
    PROBE_S,
    QUIET_S,
    SILENT_S,
    STALL_S,
    UNSENT_MAX_BYTES,
    WINDOW_BYTES,
    WINDOW_FRAMES,
)

ALICE, BOB = b"alice!", b"bobbob"
TAG = 7


class Pair:
    """A dialler and a dialled side, and the way between them."""

    def __init__(self, room: int = 244, loss: float = 0.0, seed: int = 1, *, shuffle: int = 1):
        self.now = 100.0
        self.a = Framer.dialler(room, ALICE, self.now)
        self.b = Framer.dialled(room, BOB, TAG, self.now)
        self.got: dict[Framer, list[bytes]] = {self.a: [], self.b: []}
        self.sent = 0
        self.bytes = 0
        self.random = Random(seed)
        self.loss, self.shuffle = loss, shuffle
        self.again = 0.0

    def other(self, end: Framer) -> Framer:
        return self.b if end is self.a else self.a

    def move(self) -> bool:
        """What both have to say now goes over; whether there was anything."""
        moved = False
        for end in (self.a, self.b):
            while batch := end.to_send(self.now, self.shuffle):
                moved = True
                self.sent += len(batch)
                self.bytes += sum(map(len, batch))
                self.random.shuffle(batch)
                for fragment in batch:
                    assert len(fragment) <= end.room
                    if self.random.random() < self.loss:
                        continue
                    copies = 1 + (self.random.random() < self.again)
                    for _ in range(copies):
                        other = self.other(end)
                        self.got[other] += other.received(fragment, self.now)
        return moved

    def run(self, seconds: float) -> None:
        """So long, with all timers."""
        end = self.now + seconds
        while True:
            while self.move():
                pass
            due = [t for f in (self.a, self.b) if (t := f.next_wakeup()) is not None]
            if not due or min(due) > end:
                self.now = end
                return
            self.now = max(self.now, min(due))

    def opened(self) -> "Pair":
        self.run(0.01)
        assert self.a.is_open and self.b.is_open
        self.sent = self.bytes = 0
        return self


class Slow:
    """A system that takes fragments into a queue before a slow radio, which pauses at times."""

    def __init__(self, room: int, per_s: float, queue: int, pause_s: float) -> None:
        self.now, self.random = 100.0, Random(1)
        self.a = Framer.dialler(room, ALICE, self.now)
        self.b = Framer.dialled(room, BOB, TAG, self.now)
        self.gap_s, self.queue, self.pause_s = 1 / per_s, queue, pause_s
        self.got: list[bytes] = []
        self.lines: dict[Framer, list[bytes]] = {self.a: [], self.b: []}
        self.free = {self.a: self.now, self.b: self.now}

    def run(self, until: float) -> None:
        """Move what moves, one fragment or timer after the other."""
        while self.now < until and not self.a.over and not self.b.over:
            due = []
            for end, other in ((self.a, self.b), (self.b, self.a)):
                line = self.lines[end]
                if line and self.now >= self.free[end]:
                    self.got += other.received(line.pop(0), self.now)
                    pause = self.pause_s * self.random.random() ** 8
                    self.free[end] = self.now + self.gap_s + pause
                line += end.to_send(self.now, max(0, self.queue - len(line)))
                if line:
                    due.append(self.free[end])
                elif (wake := end.next_wakeup()) is not None:
                    due.append(wake)
            self.now = max(self.now + 0.001, min(due, default=until))


def frame(size: int, seed: int = 0) -> bytes:
    return Random(seed).randbytes(size)


# --- well-behaved peers --------------------------------------------------------------------------


def test_greeting_tells_both_tokens_and_the_tag_in_twenty_bytes() -> None:
    """At ATT MTU 23 already, both know whom they reached, and bind their handshake to it."""
    pair = Pair(20).opened()
    assert (pair.a.peer_token, pair.b.peer_token) == (BOB, ALICE)
    assert pair.a.tag == pair.b.tag == TAG
    assert pair.a.prologue == pair.b.prologue == b"meshchat/1\x02" + ALICE + BOB


def test_frames_wait_for_the_greeting() -> None:
    pair = Pair()
    pair.a.send(b"x" * 48, pair.now)
    assert not pair.a.writable
    pair.run(1)
    assert pair.got[pair.b] == [b"x" * 48]


@pytest.mark.parametrize("room", [20, 244, 489, 510])
def test_every_size_of_frame_at_every_size_of_fragment(room: int) -> None:
    """Also the largest frame in the smallest fragments, of which it takes 344."""
    pair = Pair(room).opened()
    sizes = [1, 15, 16, 17, 48, 96, 64, 256, 485, 486, FRAME_MAX_BYTES - 1, FRAME_MAX_BYTES]
    frames = [frame(size, size) for size in sizes]
    for each in frames:
        pair.a.send(each, pair.now)
    pair.run(1)
    assert pair.got[pair.b] == frames
    assert pair.a.backlog == 0 and pair.a.writable
    assert pair.a.repeated == pair.b.repeated == 0


def test_fragments_and_acks_cost_little() -> None:
    """At MTU 247 a megabyte costs less than 2.5 % more; an ack comes for half a window."""
    pair = Pair(244).opened()
    for n in range(128):
        pair.a.send(frame(FRAME_MAX_BYTES, n), pair.now)
        pair.run(0.01)
    pair.run(1)
    assert pair.got[pair.b] == [frame(FRAME_MAX_BYTES, n) for n in range(128)]
    assert pair.bytes < 1.025 * 128 * FRAME_MAX_BYTES
    assert pair.sent - 128 * -(-FRAME_MAX_BYTES // 240) <= 128 // 3


def test_a_lone_frame_is_acknowledged_once_and_then_nobody_wakes() -> None:
    pair = Pair().opened()
    pair.a.send(frame(256), pair.now)
    pair.run(ACK_DELAY_S + 0.01)
    assert (pair.sent, pair.a.backlog) == (3, 0)
    pair.run(PROBE_S - 1)
    assert pair.sent == 3


def test_an_idle_link_is_asked_once_a_minute() -> None:
    """One question and one answer: thirty hours cost nothing else, and the link lives."""
    pair = Pair().opened()
    pair.run(3_600)
    assert not pair.a.over and not pair.b.over
    assert pair.sent <= 2 * 60


def test_window_shuts_and_opens_again() -> None:
    """Without acks no more than a window leaves; ``writable`` says so."""
    pair = Pair(489).opened()
    for n in range(40):
        pair.a.send(frame(FRAME_MAX_BYTES, n), pair.now)
    assert not pair.a.writable
    left = []
    while batch := pair.a.to_send(pair.now):
        left += batch
    assert WINDOW_BYTES - FRAME_MAX_BYTES < sum(len(f) - 4 for f in left) <= WINDOW_BYTES
    frames = [f for fragment in left for f in pair.b.received(fragment, pair.now)]
    assert len(frames) == WINDOW_BYTES // FRAME_MAX_BYTES
    pair.run(2)
    assert frames + pair.got[pair.b] == [frame(FRAME_MAX_BYTES, n) for n in range(40)]
    assert pair.a.repeated == 0 and pair.a.writable


def test_small_frames_shut_the_window_too() -> None:
    pair = Pair().opened()
    for n in range(100):
        pair.a.send(bytes((n,)), pair.now)
    left = pair.a.to_send(pair.now, 1_000)
    assert len(left) == WINDOW_FRAMES


def test_only_what_was_lost_is_sent_again() -> None:
    """Two fragments of a frame are lost: these two leave once more, and nothing else."""
    pair = Pair(244).opened()
    pair.a.send(frame(FRAME_MAX_BYTES), pair.now)
    left = pair.a.to_send(pair.now, 100)
    for n, fragment in enumerate(left):
        if n not in (3, len(left) - 1):
            assert pair.b.received(fragment, pair.now) == []
    pair.run(1)
    assert pair.got[pair.b] == [frame(FRAME_MAX_BYTES)]
    assert pair.a.repeated == 2


def test_a_frame_lost_whole_is_asked_for_by_the_sender() -> None:
    pair = Pair().opened()
    pair.a.send(frame(100), pair.now)
    assert len(pair.a.to_send(pair.now)) == 1
    pair.run(POLL_S + 0.5)
    assert pair.got[pair.b] == [frame(100)]
    assert pair.a.repeated == 1


def test_a_hole_before_later_frames_is_mended_at_once() -> None:
    """No timer of the sender is waited for when a later frame shows the hole."""
    pair = Pair(244).opened()
    for n in range(3):
        pair.a.send(frame(1_000, n), pair.now)
    for fragment in pair.a.to_send(pair.now, 100)[1:]:
        pair.b.received(fragment, pair.now)
    pair.run(0.25)
    assert pair.got[pair.b] == [frame(1_000, n) for n in range(3)]
    assert pair.a.repeated == 1
    assert pair.a.backlog == 0  # what was mended is acknowledged at once


@pytest.mark.parametrize("queue", [4, 32, 250])
@pytest.mark.parametrize("pause_s", [0.0, 1.0, 10.0])
def test_late_is_not_lost(queue: int, pause_s: float) -> None:
    """At ATT MTU 23 a busy system holds seconds of fragments, and a minute is not enough for one
    frame: nothing is sent twice for that, and the link goes on. What was taken for lost went out
    again and again, until the link ended as stalled."""
    slow = Slow(20, per_s=50, queue=queue, pause_s=pause_s)
    slow.run(101)
    frames = [frame(FRAME_MAX_BYTES, n) for n in range(2)]
    for each in frames:
        slow.a.send(each, slow.now)
    slow.run(2_000)
    assert (slow.a.over, slow.b.over) == ("", "")
    assert slow.got == frames
    assert slow.a.repeated == 0


def test_tag_of_another_link_is_dropped() -> None:
    """Where notifications reach every subscriber, each takes its own only."""
    mine, others = Pair(), Pair()
    others.b = Framer.dialled(244, b"third.", 9, others.now)
    others.got[others.b] = []
    mine.opened()
    accept = b""
    others.a = Framer.dialler(244, b"carol!", others.now)
    for fragment in others.a.to_send(others.now):
        others.b.received(fragment, others.now)
    (accept,) = others.b.to_send(others.now)
    assert mine.a.received(accept, mine.now) == [] and mine.a.tag == TAG
    others.a.received(accept, others.now)
    others.b.send(b"z" * 300, others.now)
    for fragment in others.b.to_send(others.now):
        assert mine.a.received(fragment, mine.now) == []
    assert mine.a.dropped["tag"] == 3 and mine.a.is_open


def test_bye_ends_the_other_side() -> None:
    pair = Pair().opened()
    pair.b.bye()
    pair.run(0.1)
    assert pair.a.over == "closed_by_peer" and pair.a.next_wakeup() is None


# --- silence -------------------------------------------------------------------------------------


def test_nobody_greets() -> None:
    """A peer that accepts links and says nothing is let go after five seconds, on both sides."""
    pair = Pair(loss=1.0)
    pair.run(OPEN_S + 0.1)
    assert pair.a.over == pair.b.over == "no_greeting"


def test_dead_application_behind_a_live_radio() -> None:
    """An idle link: the dialler asks and gives up; the dialled side hears no question any more."""
    pair = Pair().opened()
    pair.loss = 1.0
    pair.run(SILENT_S + 1)
    assert pair.a.over == pair.b.over == "silent"


def test_unacknowledged_frames_end_the_link_within_the_time_of_bluez() -> None:
    pair = Pair().opened()
    pair.loss = 1.0
    pair.a.send(frame(300), pair.now)
    pair.run(40)
    assert pair.a.over == "unacknowledged"


def test_acks_without_progress_end_the_link() -> None:
    """A peer that always says it got nothing holds a window of ours for a minute."""
    pair = Pair().opened()
    pair.a.send(frame(300), pair.now)
    at = pair.now
    while not pair.a.over and pair.now < at + 2 * STALL_S:
        pair.a.to_send(pair.now, 100)
        pair.a.received(bytes((TAG, 1, 0, 0, 0, 0, 0, 255, 7)), pair.now)
        pair.now += 1
    assert pair.a.over == "stalled"


def test_a_peer_that_never_reads_is_cut_off() -> None:
    pair = Pair().opened()
    for _ in range(UNSENT_MAX_BYTES // FRAME_MAX_BYTES + 1):
        pair.a.send(bytes(FRAME_MAX_BYTES), pair.now)
    assert pair.a.over == "not_reading" and pair.a.backlog == 0


def test_another_version_is_refused() -> None:
    pair = Pair()
    pair.b.received(bytes((0, 3, 0, 0, 2)) + ALICE, pair.now)
    assert pair.b.over == "version"


# --- hostile peers -------------------------------------------------------------------------------


def data(number: int, index: int, body: bytes, flags: int = 0) -> bytes:
    return bytes((TAG, DATA | flags | (index >> 5) & 0x38, number, index & 0xFF)) + body


def held(framer: Framer) -> int:
    """Bytes of others' chunks in memory."""
    incoming = framer._in
    return sum(entry.size for entry in incoming._open.values()) + sum(
        map(len, incoming._whole.values())
    )


def test_frames_left_open_are_bounded_and_the_honest_link_stays() -> None:
    """All 256 numbers begun and none finished: a window of them is held, the rest dropped."""
    pair = Pair(489).opened()
    honest = Pair(489).opened()
    for number in range(256):
        for index in range(256):
            pair.b.received(data(number, index, bytes(485)), pair.now)
    assert held(pair.b) == pair.b._in._held <= WINDOW_BYTES
    assert len(pair.b._in._open) <= WINDOW_FRAMES
    assert pair.b.dropped["over_cap"] and pair.b.dropped["window"]
    assert not pair.b.over
    honest.a.send(frame(999), honest.now)
    honest.run(1)
    assert honest.got[honest.b] == [frame(999)]


@pytest.mark.parametrize(
    ("fragments", "why"),
    [
        ([data(0, 0, bytes(16)), data(0, 0, b"y" * 16)], "repeated"),
        ([data(0, 3, bytes(9), LAST), data(0, 4, bytes(16))], "overlap"),
        ([data(0, 3, bytes(9), LAST), data(0, 5, bytes(9), LAST)], "overlap"),
        ([data(0, 5, bytes(16)), data(0, 3, bytes(9), LAST)], "overlap"),
        ([data(0, 1, bytes(15))], "chunk"),
        ([data(0, 1, b"")], "chunk"),
        ([data(32, 0, bytes(16))], "window"),
        ([data(0, n, bytes(485)) for n in range(12)], "over_cap"),
        ([bytes((TAG + 1, 0, 0, 0)) + bytes(16)], "tag"),
        ([bytes((0, 0, 0, 0)) + bytes(16)], "tag"),
        ([bytes((TAG, 6, 0, 0))], "kind"),
        ([bytes((TAG, 2, 0, 0, 0))], "kind"),
        ([b"abc"], "size"),
        ([bytes(490)], "size"),
        ([bytes((TAG, 1, 200, 0))], "ack"),
        ([bytes((TAG, 1, 0, 0, 1))], "ack"),
        ([bytes((TAG, 2, 100, 0))], "window"),
        ([bytes((0, 3, 0, 0, 1)) + b"mallet"], "greeting"),
    ],
)
def test_nonsense_is_dropped_and_counted(fragments: list[bytes], why: str) -> None:
    pair = Pair(489).opened()
    for fragment in fragments:
        assert pair.b.received(fragment, pair.now) == []
    assert pair.b.dropped == {why: 1}
    assert not pair.b.over


def test_acks_cannot_be_drawn_without_end() -> None:
    """A thousand fragments that ask for an ack at once draw one in fifty milliseconds."""
    pair = Pair().opened()
    answers = 0
    for _ in range(1_000):
        pair.b.received(data(0, 1, bytes(16), NOW), pair.now)
        answers += len(pair.b.to_send(pair.now))
        pair.now += 0.001
    assert answers <= 21


def test_tiny_chunks_are_bounded_too() -> None:
    """Sixteen bytes each, as many as there are indexes: no more objects than a window has bytes."""
    pair = Pair(489).opened()
    for number in range(WINDOW_FRAMES):
        for index in range(2_048):
            pair.b.received(data(number, index, bytes(CHUNK_MIN_BYTES)), pair.now)
    assert sum(len(entry.chunks) for entry in pair.b._in._open.values()) <= WINDOW_BYTES // 16
    assert not pair.b.over


def test_a_lost_question_is_asked_again() -> None:
    """The end of a frame is lost, and so is the POLL about it, while ACKs go on coming."""
    pair = Pair().opened()
    pair.b.send(frame(600), pair.now)
    *before, _lost = pair.b.to_send(pair.now, 10)
    for fragment in before:
        pair.a.received(fragment, pair.now)
    pair.now += QUIET_S
    for ack in pair.a.to_send(pair.now):
        pair.b.received(ack, pair.now)
    (question,) = pair.b.to_send(pair.now)
    assert question[1] & KIND == POLL
    pair.run(2 * POLL_S)
    assert pair.got[pair.a] == [frame(600)]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=60))
def test_arbitrary_bytes_never_raise(values: list[bytes]) -> None:
    pair = Pair(489).opened()
    pair.b.send(frame(3_000), pair.now)
    pair.b.to_send(pair.now, 3)
    for value in values:
        for end in (pair.a, pair.b):
            end.received(value, pair.now)
            end.received(bytes((TAG,)) + value, pair.now)
            end.to_send(pair.now, 100)
        pair.now += 0.3
    assert held(pair.b) == pair.b._in._held <= WINDOW_BYTES


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    room=st.sampled_from([20, 23, 100, 244, 489]),
    loss=st.sampled_from([0.0, 0.02, 0.3]),
    again=st.sampled_from([0.0, 0.5]),
    shuffle=st.sampled_from([1, 4, 64]),
    sizes=st.lists(st.integers(1, FRAME_MAX_BYTES), max_size=60),
    back=st.lists(st.integers(1, FRAME_MAX_BYTES), max_size=20),
)
@example(2_102_785, 244, 0.02, 0.0, 1, [], [1_201, 1_921, 1_921])  # end and POLL lost
def test_all_frames_arrive_once_and_in_order(
    seed: int,
    room: int,
    loss: float,
    again: float,
    shuffle: int,
    sizes: list[int],
    back: list[int],
) -> None:
    """Under loss, repetition and disorder in both directions; or the link says that it is over."""
    pair = Pair(room, seed=seed, shuffle=shuffle).opened()
    pair.loss, pair.again = loss, again
    for n, size in enumerate(sizes):
        pair.a.send(frame(size, n), pair.now)
    for n, size in enumerate(back):
        pair.b.send(frame(size, n), pair.now)
    for _ in range(6):  # 19 bytes a fragment and a third of them lost took 230 s
        pair.run(100)
        if not pair.a.backlog and not pair.b.backlog:
            break
    there, here = ([frame(size, n) for n, size in enumerate(each)] for each in (sizes, back))
    if loss == 0.3 and (pair.a.over or pair.b.over):  # five questions or answers lost in a row
        assert pair.got[pair.b] == there[: len(pair.got[pair.b])]
        assert pair.got[pair.a] == here[: len(pair.got[pair.a])]
        return
    assert (pair.got[pair.b], pair.got[pair.a]) == (there, here)
    assert pair.a.backlog == pair.b.backlog == 0
    if not loss and not again:
        assert not pair.a.repeated and not pair.b.repeated
