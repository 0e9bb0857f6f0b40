"""Two chatting processes are killed again and again: nothing confirmed is lost or shown twice.

``MESHCHAT_KILLS=200`` is the gate of a release; fewer by default keep the suite short.
"""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from meshchat.core.model import Message, State
from meshchat.store import SqlStore

KILLS = int(os.environ.get("MESHCHAT_KILLS", "30"))
KEY = bytes(range(32))
LIFE_S = 0.25  # the longest
REST_S = 60.0  # only reached when something is broken

pytestmark = pytest.mark.skipif(os.name != "posix", reason="fork and SIGKILL are POSIX")


class Pair:
    """Both processes, by their forking parent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parent = subprocess.Popen(
            [sys.executable, "-m", "tests.net.chatter", folder],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer("made")

    def _answer(self, wanted: str) -> None:
        assert self.parent.stdout is not None
        assert self.parent.stdout.readline() == wanted + "\n"

    def tell(self, what: str, name: str) -> None:
        assert self.parent.stdin is not None
        self.parent.stdin.write(f"{what} {name}\n")
        self.parent.stdin.flush()
        self._answer("done")

    def told(self, name: str) -> Counter[tuple[str, ...]]:
        path = self.folder / f"{name}.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return Counter(tuple(line.split()) for line in lines)

    def ids(self, name: str, what: str) -> set[str]:
        return {entry[1] for entry in self.told(name) if entry[0] == what}

    def until(self, test: str, name: str, count: int) -> None:
        """Wait for so many lines of a kind."""
        end = time.monotonic() + REST_S
        while sum(n for entry, n in self.told(name).items() if entry[0] == test) < count:
            assert time.monotonic() < end, (self.folder / f"{name}.err").read_text()[-2_000:]
            time.sleep(0.01)

    def messages(self, name: str) -> dict[str, Message]:
        store = SqlStore.open(self.folder / f"{name}.db", KEY)
        assert store.problems() == []
        (other,) = store.contacts()
        found = store.messages(b"c" + other.fp, limit=1_000_000)
        store.close()
        assert len({message.text for message in found if message.outgoing}) == sum(
            message.outgoing for message in found
        )
        return {message.id.hex(): message for message in found}


@pytest.mark.timeout(60 + 5 * KILLS)
def test_killed_while_chatting(tmp_path: Path) -> None:
    """``sent`` stays sent, ``delivered`` is there, each message is shown once, in order."""
    chance = random.Random(11)
    pair = Pair(tmp_path)
    try:
        lives = {"a": 1, "b": 1}
        for name in lives:
            pair.tell("start", name)
        for _ in range(KILLS):
            name = chance.choice("ab")
            time.sleep(chance.random() * LIFE_S)
            if chance.random() < 0.7:  # else it may die while it is still opening its store
                pair.until("up", name, lives[name])
            pair.tell("kill", name)
            lives[name] = sum(n for entry, n in pair.told(name).items() if entry[0] == "up") + 1
            pair.tell("start", name)
        (tmp_path / "quiet").touch()
        for count in (1, 10):  # what is stored over there is opened within a few of these
            for name in "ab":
                pair.until("idle", name, pair.told(name)["idle",] + count)
        for name in "ab":
            pair.tell("kill", name)
    finally:
        assert pair.parent.stdin is not None
        pair.parent.stdin.close()
        pair.parent.wait(30)
        assert pair.parent.stdout is not None
        pair.parent.stdout.close()
    stores = {name: pair.messages(name) for name in "ab"}
    total = 0
    for name, other in ("ab", "ba"):
        sent, mine, theirs = pair.ids(name, "sent"), stores[name], stores[other]
        assert sent <= mine.keys(), "an accepted message is gone from its author's store"
        assert sent <= theirs.keys(), "an accepted message never arrived"
        done = [mid for mid, m in mine.items() if m.state is State.DELIVERED]
        assert set(done) <= theirs.keys(), "delivered, but not there"
        assert pair.ids(name, "delivered") <= set(done), "a confirmation was forgotten"
        shown = {entry: n for entry, n in pair.told(other).items() if entry[0] == "got"}
        assert max(shown.values(), default=1) == 1, "a message was shown twice"
        order = [int(m.text.split()[1]) for m in mine.values() if m.outgoing]
        there = [int(m.text.split()[1]) for m in theirs.values() if not m.outgoing]
        assert order == sorted(order) and set(there) <= set(order)
        total += len(sent)
    assert total > KILLS  # they were really chatting
    print(f"{KILLS} kills, {total} messages")
