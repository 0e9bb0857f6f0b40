"""People of a lab: each a profile of their own, driven as a script or a front end would."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from labtool import NETLAB, ROOT, Lab, lab

from meshchat.errors import StoreError
from meshchat.net.client import Client
from meshchat.profile import Profile

PASSPHRASE = "correct horse battery staple"
READ_MAX = 1_000  # what one answer of the node holds

T = TypeVar("T")


class Person:
    """A profile that lives on one lab host."""

    def __init__(self, place: Lab, name: str, host: str, folder: Path) -> None:
        self.lab, self.name, self.host = place, name, host
        self.home = folder / name
        self.log = folder / f"{name}.jsonl"
        self.passphrase = folder / f"{name}.passphrase"
        self.passphrase.write_text(PASSPHRASE + "\n")
        self.profile = Profile(self.home)
        self.process: subprocess.Popen[bytes] | None = None
        self.heard: list[tuple[float, dict[str, Any]]] = []
        """Messages from others as they were announced, with the monotonic second."""
        self._listener: threading.Thread | None = None
        self.run("init", "--name", name, "--small")
        # These tests time the network: what waits on purpose is tested in core/test_shape.py.
        self.profile.config_path.write_text("[privacy]\nhandover = false\n", "utf-8")

    # --- the command line --------------------------------------------------------------------

    def _ask(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "meshchat", "--json", "--home", str(self.home),
             "--passphrase-file", str(self.passphrase), *arguments],
            capture_output=True, text=True, timeout=60, cwd=ROOT, check=False,
        )  # fmt: skip

    def run(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """A command line; its answer as JSON."""
        done = self._ask(*arguments)
        assert done.returncode == code, f"{arguments}: {done.stdout} {done.stderr}"
        assert "Traceback" not in done.stderr
        answer: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
        return answer

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        """A command that answers with one JSON object a line."""
        done = self._ask(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout} {done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    # --- the node ----------------------------------------------------------------------------

    def start(self, before: str = "", **environment: str) -> None:
        """Run the node on the lab host. ``before``: shell commands to carry out there first."""
        node = [sys.executable, "-m", "meshchat", "--home", str(self.home),
                "--passphrase-file", str(self.passphrase), "node", "--no-ble",
                "--json"]  # fmt: skip
        if before:
            node = ["sh", "-c", f'{before}; exec "$@"', "sh", *node]
        self.profile.socket_path.unlink(missing_ok=True)  # of a killed one
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(NETLAB), "--lab", self.lab.name, "exec", self.host, "--",
                 *node],
                stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True,
                env=os.environ | environment,
            )  # fmt: skip
        wait_for(self._answers, f"{self.name} starts", 30, pause=0.02)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended: {self.log.read_text()[-500:]}"
        client = Client.connect(self.profile)
        if client is not None:
            with client:
                return bool(client.call("status")["running"])
        return False

    def call(self, verb: str, **arguments: object) -> dict[str, Any]:
        """Ask the running node, as every front end does. Raises ``StoreError`` if it is gone."""
        client = Client.connect(self.profile)
        if client is None:
            raise StoreError("node_gone", f"{self.name} is not running.")
        with client:
            answer: dict[str, Any] = client.call(verb, arguments)
            return answer

    def kill(self) -> None:
        """kill -9. The lab tool has become the node, so there is no other process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None
        if self._listener is not None:
            self._listener.join(10)
            self._listener = None

    def listen(self) -> None:
        """Note from now on when each message arrives, in ``heard``."""
        client = Client.connect(self.profile)
        assert client is not None
        client.call("events")

        def work() -> None:
            with client:
                for event in client.events():
                    if event["event"] == "message" and not event["message"]["outgoing"]:  # type: ignore[index]
                        self.heard.append((time.monotonic(), event["message"]))  # type: ignore[arg-type]

        self._listener = threading.Thread(target=work, daemon=True)
        self._listener.start()

    # --- what a person does ------------------------------------------------------------------

    def befriend(self, other: "Person", **names: str) -> None:
        """Both add the other's card; both nodes must run. ``names``: ``ours``, ``theirs``."""
        self.call("contact.add", card=other.call("card")["card"], **_named(names.get("theirs")))
        other.call("contact.add", card=self.call("card")["card"], **_named(names.get("ours")))

    def send(self, to: str, text: str) -> str:
        """Write a message through the running node; returns its id once it is accepted."""
        return str(self.call("send", to=to, text=text)["message"]["id"])

    def messages(self, chat: str) -> list[dict[str, Any]]:
        """All messages of a conversation, oldest first; at most what one answer holds."""
        if self.process is None:
            return self.lines("read", chat, "--limit", str(READ_MAX))
        answer = self.call("read", to=chat, limit=READ_MAX, mark=False)
        assert not answer["more"], "more than one answer holds"
        return list(answer["messages"])

    def texts(self, chat: str) -> list[str]:
        return [str(message["text"]) for message in self.messages(chat)]

    def state(self, mid: str) -> str:
        return str(self.run("message", mid)["message"]["state"])

    def neighbours(self) -> int:
        """How many there are now."""
        return len(self.call("status")["neighbours"])

    def transport(self) -> dict[str, Any]:
        """Facts of the LAN transport."""
        detail: dict[str, Any] = self.call("status")["transports"][0]["detail"]
        return detail


def _named(name: str | None) -> dict[str, str]:
    return {"as": name} if name else {}


def wait_for(
    check: Callable[[], object], what: str, seconds: float, *, pause: float = 0.25
) -> float:
    """Poll until true; returns the seconds it took."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if check():
            return time.monotonic() - started
        time.sleep(pause)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


def together(work: Callable[[T], object], items: Iterable[T]) -> None:
    """Do something for all at once; the first error is raised when all have ended."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, items))


@contextmanager
def crew(
    name: str, names: str, folder: Path, *words: str, start: bool = True
) -> Iterator[tuple[Lab, list[Person]]]:
    """A lab with a person on each host, ``h1`` for the first of ``names``; torn down always."""
    everybody: list[Person] = []
    with lab(name, len(names.split()), *words) as place:
        try:
            hosts = enumerate(names.split(), 1)
            with ThreadPoolExecutor(4) as pool:
                everybody += pool.map(lambda h: Person(place, h[1], f"h{h[0]}", folder), hosts)
            if start:
                together(Person.start, everybody)
            yield place, everybody
        finally:
            for person in everybody:
                person.kill()
