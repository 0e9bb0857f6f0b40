"""Frames on a byte stream: the same frames however the stream is cut up."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshchat.net.frames import BUFFER_BYTES, FRAME_MAX_BYTES, UNSENT_MAX_BYTES, FrameProtocol


class Wire(asyncio.Transport):
    """Keeps what is written; a peer that reads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.data = bytearray()
        self.ended = ""

    def write(self, data: bytes) -> None:
        self.data += data

    def get_write_buffer_size(self) -> int:
        return len(self.data)

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"


class End(FrameProtocol):
    """Collects what comes in."""

    def __init__(self, greeting: int = 0, accept: bool = True) -> None:
        self.greeting_bytes = greeting
        super().__init__()
        self.greeting = b""
        self.accept = accept
        self.batches: list[tuple[bytes, ...]] = []
        self.reason = ""
        self.wire = Wire()
        self.connection_made(self.wire)

    def greeted(self, greeting: bytes) -> bool:
        self.greeting = greeting
        return self.accept

    def received(self, frames: tuple[bytes, ...]) -> None:
        assert frames
        self.batches.append(frames)

    def ended(self, reason: str) -> None:
        self.reason = reason

    @property
    def frames(self) -> list[bytes]:
        return [frame for batch in self.batches for frame in batch]

    def feed(self, data: bytes) -> None:
        """Give it bytes the way the event loop does."""
        while data:
            room = self.get_buffer(-1)
            part = data[: len(room)]
            assert part
            room[: len(part)] = part
            self.buffer_updated(len(part))
            data = data[len(part) :]

    def die(self) -> str:
        """The loop reports the end."""
        self.connection_lost(None)
        return self.reason


def pack(*frames: bytes) -> bytes:
    """Frames as they are on the wire, written by the code under test."""
    end = End()
    end.send(frames)
    return bytes(end.wire.data)


sizes = st.one_of(st.integers(1, 600), st.sampled_from([255, 256, 257, 16_639, 16_640]))


@given(st.lists(sizes, max_size=12), st.data())
def test_any_split_gives_the_same_frames(lengths: list[int], data: st.DataObject) -> None:
    """However the stream is cut, the frames and their order are those sent, greeting included."""
    frames = [bytes([n % 251]) * size for n, size in enumerate(lengths)]
    stream = b"G" * 35 + pack(*frames)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20).map(sorted))
    end = End(greeting=35)
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        end.feed(stream[start:stop])
    assert end.greeting == b"G" * 35
    assert end.frames == frames
    assert end.wire.ended == ""


@given(st.binary(max_size=3000), st.integers(1, 40))
def test_hostile_bytes_never_raise_and_stay_bounded(data: bytes, step: int) -> None:
    """Arbitrary bytes give frames within the limit or the end of the connection."""
    end = End()
    for at in range(0, len(data), step):
        end.feed(data[at : at + step])
        assert len(end.get_buffer(-1)) >= BUFFER_BYTES - FRAME_MAX_BYTES - 2 - step
    assert all(1 <= len(frame) <= FRAME_MAX_BYTES for frame in end.frames)


@pytest.mark.parametrize("length", [0, FRAME_MAX_BYTES + 1, 65_535])
def test_wrong_length_ends_the_connection(length: int) -> None:
    """Zero and oversize lengths end the link; frames before them were good and count."""
    end = End()
    end.feed(pack(b"good") + length.to_bytes(2, "little"))
    assert (end.frames, end.wire.ended, end.die()) == ([b"good"], "aborted", "protocol_error")
    end.feed(pack(b"late"))
    assert end.frames == [b"good"]


def test_slow_half_frame_waits_without_cost() -> None:
    """Byte by byte, nothing is handed over before the frame is whole."""
    end = End()
    stream = pack(b"x" * 300)
    for byte in stream[:-1]:
        end.feed(bytes([byte]))
    assert end.frames == []
    end.feed(stream[-1:])
    assert end.frames == [b"x" * 300]


def test_one_read_is_one_batch() -> None:
    """All whole frames of one read come as one tuple, so they share one commit."""
    end = End()
    end.feed(pack(*[bytes([n]) for n in range(1, 200)]))
    assert [len(batch) for batch in end.batches] == [199]


def test_refused_greeting_is_silent() -> None:
    """A wrong greeting ends the connection and nothing is answered."""
    end = End(greeting=35, accept=False)
    end.feed(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n" + pack(b"frame"))
    assert (bytes(end.wire.data), end.wire.ended, end.frames) == (b"", "aborted", [])
    assert end.die() == "refused"


def test_peer_that_never_reads_is_cut_off() -> None:
    """What waits to be sent is bounded."""
    end = End()
    frame = bytes(FRAME_MAX_BYTES)
    for _ in range(UNSENT_MAX_BYTES // FRAME_MAX_BYTES + 1):
        end.send((frame,))
    assert end.wire.ended == "aborted"
    before = len(end.wire.data)
    end.send((frame,))
    assert len(end.wire.data) == before


@pytest.mark.parametrize("frame", [b"", bytes(FRAME_MAX_BYTES + 1)])
def test_own_frames_must_fit(frame: bytes) -> None:
    """Our own side never makes a frame the other must refuse."""
    with pytest.raises(ValueError, match="frame of"):
        End().send((frame,))
