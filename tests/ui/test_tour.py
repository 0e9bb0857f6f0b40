"""Two real programs in tmux, from nothing: verified, delivered, cut off, killed, restarted."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform == "win32" or not shutil.which("tmux"):
    pytest.skip("needs tmux", allow_module_level=True)

from tmux import Person, free_ports, tour


@pytest.fixture
def people(tmp_path: Path) -> Iterator[list[Person]]:
    """Two who have verified each other and exchanged a message."""
    found = tour(tmp_path, lambda _pane, _name: None, free_ports())
    try:
        yield found
    finally:
        for person in found:
            person.pane.close()


@pytest.mark.timeout(300)
def test_a_stranger_to_it_is_at_home(people: list[Person]) -> None:
    """The tour itself, and then: one is killed in mid-word; nothing is lost, nothing lies."""
    one, two = people
    two.pane.type("half of a thou")
    time.sleep(1.5)  # the pause after which a draft is stored, in a real program
    os.kill(two.pane.pid(), signal.SIGKILL)
    one.pane.wait("lan ● 0")
    one.pane.type("are you there?")
    one.pane.press("Enter")
    one.pane.wait("are you there? ·", "queue 1")
    two.start()
    two.unlock()
    two.pane.wait("are you there?", "half of a thou")
    one.pane.wait("are you there? ✓", "queue 0")
    shown = two.pane.wait("bring the battery ✓", "✓")
    assert "who is on the LAN" in shown
    two.pane.press("Enter")
    one.pane.wait("half of a thou")
    one.pane.press("C-x", "C-x", "C-x")  # and away with all of it
    for _ in range(200):
        if not (one.home / "key").exists():
            break
        time.sleep(0.05)
    assert not (one.home / "key").exists()
