"""The proof of the whole: real processes on real (small) networks, every one killed once.

Hosts h1 (Aida) and h2 (Carrier) start on lan1, h3 (Bolat) is on lan2; Aida and Bolat never
share a LAN. Everything goes through the installed command, as a person or a script would use it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
NETLAB = Path(os.environ.get("MESHCHAT_NETLAB", REPO.parent / "shared" / "lab" / "netlab"))
LAB = "mccarry"
PASSPHRASE = "correct horse battery staple"

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not NETLAB.exists(), reason="the shared lab tool is not here"),
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(shutil.which("bridge") is None, reason="iproute2 is not installed"),
]


def netlab(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, str(NETLAB), "--lab", LAB, *arguments],
        check=True,
        capture_output=True,
        timeout=60,
    )


class Person:
    """A profile that lives on one lab host."""

    def __init__(self, name: str, host: str, folder: Path) -> None:
        self.name, self.host = name, host
        self.home = folder / name
        self.log = folder / f"{name}.jsonl"
        self.passphrase = folder / "passphrase"
        self.passphrase.write_text(PASSPHRASE + "\n")
        self.process: subprocess.Popen[bytes] | None = None
        self.run("init", "--name", name, "--small")

    def run(self, *arguments: str, code: int = 0) -> dict[str, object]:
        """A command line; its answer as JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "meshchat", "--json", "--home", str(self.home),
             "--passphrase-file", str(self.passphrase), *arguments],
            capture_output=True, text=True, timeout=60, cwd=REPO, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{arguments}: {done.stdout} {done.stderr}"
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def lines(self, *arguments: str) -> list[dict[str, str]]:
        """A command that answers with one JSON object a line."""
        done = subprocess.run(
            [sys.executable, "-m", "meshchat", "--json", "--home", str(self.home),
             "--passphrase-file", str(self.passphrase), *arguments],
            capture_output=True, text=True, timeout=60, cwd=REPO, check=True,
        )  # fmt: skip
        return [json.loads(line) for line in done.stdout.splitlines()]

    def start(self) -> None:
        """Run the node on the lab host."""
        log = self.log.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, str(NETLAB), "--lab", LAB, "exec", self.host, "--",
             sys.executable, "-m", "meshchat", "--home", str(self.home),
             "--passphrase-file", str(self.passphrase), "node", "--json"],
            stdout=log, stderr=subprocess.STDOUT, cwd=REPO, start_new_session=True,
        )  # fmt: skip
        log.close()
        socket = self.home / "node.sock"
        socket.unlink(missing_ok=True)  # of a killed one
        wait_for(socket.exists, f"{self.name} starts", 20)
        assert self.run("status")["running"]

    def kill(self) -> None:
        """kill -9 of everything this node is."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        for pid in subprocess.run(
            ["pgrep", "-f", f"--home {self.home} "], capture_output=True, text=True, check=False
        ).stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        self.process = None

    def texts(self, chat: str) -> list[str]:
        return [message["text"] for message in self.messages(chat)]

    def messages(self, chat: str) -> list[dict[str, str]]:
        return self.lines("read", chat)

    def state(self, mid: str) -> str:
        return str(self.run("message", mid)["message"]["state"])  # type: ignore[index]


def wait_for(check: object, what: str, seconds: float) -> float:
    """Poll until true; returns the seconds it took."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if check():  # type: ignore[operator]
            return time.monotonic() - started
        time.sleep(0.25)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


@pytest.fixture
def people(tmp_path: Path) -> Iterator[tuple[Person, Person, Person]]:
    netlab("down")
    netlab("up", "--hosts", "3", "--lans", "2")
    netlab("join", "h1", "lan1")
    netlab("join", "h2", "lan1")
    netlab("join", "h3", "lan2")
    made = (
        Person("Aida", "h1", tmp_path),
        Person("Carrier", "h2", tmp_path),
        Person("Bolat", "h3", tmp_path),
    )
    try:
        yield made
    finally:
        for person in made:
            if person.process is not None:
                person.kill()
        netlab("down")


def test_a_stranger_carries_mail_between_two_lans(people: tuple[Person, Person, Person]) -> None:
    """Queued, carried, delivered; each node killed -9 on the way; nothing lost, nothing twice."""
    aida, carrier, bolat = people
    aida.run("contact", "add", str(bolat.run("card")["card"]))
    bolat.run("contact", "add", str(aida.run("card")["card"]))
    bolat.run("contact", "verify", "Aida")

    aida.start()
    mid = str(aida.run("send", "Bolat", "сәлем through a stranger")["message"]["id"])  # type: ignore[index]
    assert aida.state(mid) == "queued"
    aida.kill()
    aida.start()
    assert aida.state(mid) == "queued"

    carrier.start()
    took = wait_for(lambda: aida.state(mid) == "carried", "the stranger takes it", 30)
    print(f"carried after {took:.1f} s")
    carrier.kill()

    netlab("join", "h2", "lan2")
    carrier.start()
    bolat.start()
    took = wait_for(lambda: bolat.texts("Aida"), "Bolat reads it", 30)
    print(f"read after {took:.1f} s")
    bolat.kill()
    bolat.start()
    [message] = bolat.messages("Aida")
    assert message["text"] == "сәлем through a stranger"
    assert bolat.run("contact", "list")["contacts"][0]["trust"] == "verified"  # type: ignore[index]
    assert aida.state(mid) == "carried"
    # the receipt leaves Bolat 5 to 60 s after reading: wait until the stranger holds it
    wait_for(lambda: carrier.run("status")["custody"]["proofs"], "the receipt leaves", 90)  # type: ignore[index]

    netlab("join", "h2", "lan1")
    took = wait_for(lambda: aida.state(mid) == "delivered", "the receipt comes home", 30)
    print(f"delivered {took:.1f} s after the stranger came back")
    assert aida.texts("Bolat") == ["сәлем through a stranger"]
    assert bolat.texts("Aida") == ["сәлем through a stranger"]
    assert carrier.lines("read") == []


def test_three_on_one_lan_talk_in_a_room(people: tuple[Person, Person, Person]) -> None:
    """A public room: each reads all three, once, also after one was killed and came back."""
    netlab("join", "h3", "lan1")
    for person in people:
        person.run("room", "join", "#courtyard")
        person.start()
    for person in people:
        wait_for(
            lambda who=person: len(who.run("status")["neighbours"]) == 2,  # type: ignore[misc,arg-type]
            f"{person.name} has two neighbours",
            30,
        )
    for person in people:
        person.run("send", "#courtyard", f"I am {person.name}")
    said = sorted(f"I am {person.name}" for person in people)
    for person in people:
        wait_for(lambda who=person: sorted(who.texts("#courtyard")) == said, "all is read", 20)  # type: ignore[misc]
    people[1].kill()
    people[0].run("send", "#courtyard", "while you were gone")
    people[1].start()
    wait_for(
        lambda: sorted(people[1].texts("#courtyard")) == sorted([*said, "while you were gone"]),
        "the one that was gone catches up",
        30,
    )
