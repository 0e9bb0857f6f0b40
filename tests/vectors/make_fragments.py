"""Makes ``fragments.json``: a greeting, a frame with a hole, its repair, and the end of a link.

Run by hand when the layout changes (a new version); the tests only read what it wrote.
"""

import json
from pathlib import Path

from meshchat.net.ble.framing import Framer

ROOM = 20
FRAME = bytes(range(100))


def transcript() -> list[list[str]]:
    """``[who, fragment]`` in order; ``lost`` before a fragment that does not arrive."""
    told: list[list[str]] = []
    dialler = Framer.dialler(ROOM, bytes.fromhex("0a0b0c0d0e0f"), 0.0)
    dialled = Framer.dialled(ROOM, bytes.fromhex("1a1b1c1d1e1f"), 0x42, 0.0)
    now = 0.0

    def say(who: str, lost: tuple[int, ...] = ()) -> list[bytes]:
        sender, receiver = (dialler, dialled) if who == "dialler" else (dialled, dialler)
        frames: list[bytes] = []
        for at, fragment in enumerate(sender.to_send(now, 100)):
            told.append([f"{who} lost" if at in lost else who, fragment.hex()])
            if at not in lost:
                frames += receiver.received(fragment, now)
        return frames

    say("dialler")
    say("dialled")
    dialler.send(FRAME, now)
    assert say("dialler", lost=(2, 3, 6)) == []
    now = 1.0
    say("dialled")
    now = 2.0
    assert say("dialler") == []  # the hole, and a POLL: is what comes after it lost, or late?
    say("dialled")
    now = 2.5
    assert say("dialler") == [FRAME]
    say("dialled")
    now = 3.0
    dialled.send(b"\1", now)
    assert say("dialled") == [b"\1"]
    now = 4.0
    say("dialler")
    now = 70.0
    say("dialler")
    say("dialled")
    dialled.bye(turned_away=True)
    say("dialled")
    assert dialler.over == "turned_away"
    return told


if __name__ == "__main__":
    path = Path(__file__).with_name("fragments.json")
    made = {"room": ROOM, "frame": FRAME.hex(), "transcript": transcript()}
    path.write_text(json.dumps(made, indent=1) + "\n")
