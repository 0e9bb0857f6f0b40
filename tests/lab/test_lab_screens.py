"""Two people at real screens on a real (small) network: cut off, killed, restarted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from labtool import NEEDS_LAB, NETLAB, ROOT, Lab, lab

sys.path.append(str(ROOT / "tests" / "ui"))
from tmux import Person

pytestmark = [pytest.mark.lab, NEEDS_LAB, pytest.mark.timeout(280)]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Lab, Person, Person]]:
    """Aigerim at h1 and Bolat at h2, on one LAN, each with a profile made on the screens."""
    with lab("mcscreen", 2) as place:
        sizes = ((80, 24), (40, 24))
        people = []
        try:
            for name, host, size in zip(("Aigerim", "Bolat"), ("h1", "h2"), sizes, strict=True):
                inside = (str(NETLAB), "--lab", place.name, "exec", host, "--")
                people.append(Person(tmp_path, name, size, through=inside))
            for person in people:
                person.first_run()
            one, two = people
            cards = [person.save_card() for person in people]
            one.add(cards[1], "Bolat")
            two.add(cards[0], "Aigerim")
            yield place, one, two
        finally:
            for person in people:
                person.pane.close()


def kill(person: Person) -> None:
    """As a power cut would, but for the kernel: the program, not the tool that started it."""
    found = subprocess.run(
        ["pgrep", "-f", f"meshchat --home {person.home}"], capture_output=True, text=True
    )
    for pid in found.stdout.split():
        if int(pid) != os.getpid():
            os.kill(int(pid), signal.SIGKILL)


def test_screens_through_cut_kill_and_restart(pair: tuple[Lab, Person, Person]) -> None:
    """Drafts, history and states are right at every step, and nobody had to type an address."""
    lab, one, two = pair
    one.pane.wait("lan ● 1")
    one.pane.type("сәлем over a real wire")
    one.pane.press("Enter")
    two.pane.wait("сәлем over a real wire")
    one.pane.wait("real wire ✓")

    lab.run("cut", "h2")
    one.pane.wait("lan ● 0")
    one.pane.type("you cannot hear this yet")
    one.pane.press("Enter")
    one.pane.wait("hear this yet ·", "queue 1")
    two.pane.type("half of an ans")
    time.sleep(1.5)  # the pause after which a draft is stored, in a real program
    kill(two)
    kill(one)  # with its message in the queue
    one.start()
    one.unlock()
    one.pane.wait("hear this yet ·", "queue 1")

    lab.run("join", "h2", "lan1")
    two.start()
    two.unlock()
    two.pane.wait("half of an ans", "you cannot hear this yet")
    one.pane.wait("hear this yet ✓", "queue 0")
    two.pane.type("wer")
    two.pane.press("Enter")
    one.pane.wait("half of an answer")
    assert one.pane.shown().count("сәлем over a real wire") == 1
