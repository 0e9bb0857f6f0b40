"""A program in tmux, as a person sits at it; its screen as text, and as a picture.

    python tests/ui/tmux.py FOLDER

writes the pictures of the documentation: from the first run to a delivered message, and the demo.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from copy import copy
from pathlib import Path

ROOT = Path(__file__).parents[2]
WAIT_S = 40.0  # for something to appear, also on a busy machine
PASSPHRASE = "blue horse river stone lamp"


class Pane:
    """One terminal of a tmux server of its own."""

    def __init__(self, socket: str, size: tuple[int, int], *argv: str) -> None:
        self._tmux = ("tmux", "-L", socket, "-f", "/dev/null")
        self._escaped = False
        self._run("kill-server", check=False)
        width, height = map(str, size)
        environ = (
            "env",
            "-u",
            "COLUMNS",
            "-u",
            "LINES",
            f"PYTHONPATH={ROOT}",
            "LANG=C.UTF-8",
            "TZ=UTC",
            "COLORTERM=truecolor",
        )
        self._run("new-session", "-d", "-x", width, "-y", height, *environ, *argv)
        self._run("set", "-g", "default-terminal", "tmux-256color")

    def _run(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            [*self._tmux, *words], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def shown(self) -> str:
        """What is on the screen."""
        return self._run("capture-pane", "-p", check=False)

    def press(self, *keys: str) -> None:
        """Keys by tmux's names."""
        for key in keys:
            time.sleep(0.3 if self._escaped else 0.1)  # ESC and a letter would be Alt and it
            self._escaped = key == "Escape"
            self._run("send-keys", key)

    def type(self, text: str) -> None:
        """Letters as they are."""
        self._run("send-keys", "-l", text)

    def wait(self, *texts: str) -> str:
        """Until all of these are shown; returns the screen."""
        return self.until(lambda shown: all(text in shown for text in texts), str(texts))

    def until(self, true: Callable[[str], bool], what: str) -> str:
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            shown = self.shown()
            if true(shown):
                return shown
            time.sleep(0.1)
        raise AssertionError(f"never saw {what} in:\n{self.shown()}")

    def pid(self) -> int:
        """Of the program in it."""
        return int(self._run("list-panes", "-F", "#{pane_pid}").split()[0])

    def close(self) -> None:
        self._run("kill-server", check=False)

    def picture(self, path: Path, title: str) -> None:
        """The screen as SVG."""
        from rich.color_triplet import ColorTriplet
        from rich.console import Console
        from rich.terminal_theme import SVG_EXPORT_THEME
        from rich.text import Text

        ansi = self._run("capture-pane", "-p", "-e", "-N")  # blanks at the end have a colour too
        lines = ansi.rstrip("\n").split("\n")
        width = int(self._run("display", "-p", "#{pane_width}"))
        theme = copy(SVG_EXPORT_THEME)
        theme.background_color = ColorTriplet(18, 18, 18)  # what is behind our dark screens
        with Path(os.devnull).open("w") as nothing:
            console = Console(record=True, width=width, file=nothing, force_terminal=True)
            for line in lines:
                console.print(Text.from_ansi(line), no_wrap=True, crop=True)
            svg = console.export_svg(title=title, theme=theme, unique_id="meshchat")
        # fonts are the reader's: a picture of ours asks no foreign server for one
        svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
        svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
        svg = _LEADING.sub(_moved, svg)
        path.write_text(svg.replace("Fira Code, monospace", "monospace"), "utf-8")


_LEADING = re.compile(
    r'x="([\d.]+)"( y="[\d.]+" )textLength="([\d.]+)"([^>]*>)((?:&#160;)++)(?=[^<])'
)
_CELL = 12.2  # of an SVG by rich


def _moved(found: re.Match[str]) -> str:
    """Text after blanks, moved by them: not every viewer counts blanks at the beginning."""
    x, y, length, rest, blanks = found.groups()
    gap = _CELL * (len(blanks) // len("&#160;"))
    return f'x="{float(x) + gap:g}"{y}textLength="{float(length) - gap:g}"{rest}'


class Person:
    """Somebody with a profile of their own, who sits at a terminal."""

    def __init__(
        self,
        folder: Path,
        name: str,
        size: tuple[int, int],
        *options: str,
        through: tuple[str, ...] = (),
        settings: str = "",
    ) -> None:
        """Sit down.

        Args:
            folder: Where the profile's folder is made.
            name: Of the person, and of that folder.
            size: Columns and lines of the terminal.
            options: Of the program.
            through: A command that runs the program elsewhere.
            settings: Lines of ``config.toml`` beside the colours.
        """
        self.home, self.name, self.size = folder / name, name, size
        self._program = (*through, sys.executable, "-m", "meshchat", "--home", str(self.home))
        self._program += options
        self._socket = f"meshchat-{os.getpid()}-{name}"
        self.home.mkdir(mode=0o700)
        radio = "" if "[ble]" in settings else "[ble]\nenabled = false"
        (self.home / "config.toml").write_text(f'{settings}\n{radio}\n[ui]\ntheme = "dark"\n')
        self.pane = self.start()

    def start(self) -> Pane:
        """Sit down again; a pane that was there is gone."""
        self.pane = Pane(self._socket, self.size, *self._program)
        return self.pane

    def first_run(self) -> None:
        """Name, passphrase, the card saved into a file."""
        self.pane.wait("Welcome to meshchat")
        self.pane.type(self.name)
        self.pane.press("Enter")
        self.pane.wait("A passphrase")
        for _ in range(2):
            time.sleep(0.5)  # the next field has to have the focus
            self.pane.type(PASSPHRASE)
            self.pane.press("Enter")
        self.pane.wait("3 of 4")
        self.pane.press("Enter")
        self.pane.wait("Your card")

    def save_card(self) -> Path:
        path = self.home / "card.meshchat"
        self.pane.press("s")
        self.pane.wait("Save the card as")
        self.pane.press("C-u")
        self.pane.type(str(path))
        self.pane.press("Enter")
        self.pane.wait("Saved as")
        self.pane.press("Escape")
        self.pane.wait("F1 help" if self.size[0] > 60 else "Esc")
        return path

    def add(self, card: Path, name: str) -> None:
        self.pane.type(f"/add {card}")
        self.pane.press("Enter")
        self.pane.wait("Add a contact")
        self.pane.press("Enter")
        self.pane.wait(name, "not verified")

    def words(self) -> list[str]:
        """The safety words on the contact's screen."""
        self.pane.press("F2")
        shown = self.pane.wait("12 ")
        rows = [line for line in shown.splitlines() if re.match(r"\s+\d+ [a-z]+", line)]
        return re.findall(r"\d+ ([a-z]+)", "\n".join(rows))

    def verify(self) -> None:
        self.pane.press("v")
        self.pane.wait("all twelve words")
        self.pane.press("y")
        self.pane.wait("verified")
        self.pane.press("Escape")
        self.pane.until(lambda shown: "twelve" not in shown and "key " not in shown, "the chat")

    def unlock(self) -> None:
        self.pane.wait("Passphrase")
        self.pane.type(PASSPHRASE)
        self.pane.press("Enter")


def tour(folder: Path, look: Callable[[Pane, str], None], ports: tuple[int, int]) -> list[Person]:
    """From nothing to a verified contact and a delivered message; ``look`` is shown each step."""
    quiet = "[lan]\ndiscover = false"
    listen = [("--listen", f"127.0.0.1:{port}") for port in ports]
    one = Person(folder, "Aigerim", (80, 24), *listen[0], settings=quiet)
    peer = ("--peer", f"127.0.0.1:{ports[0]}")
    two = Person(folder, "Bolat", (40, 24), *listen[1], *peer, settings=quiet)
    people = [one, two]
    one.pane.wait("Welcome")
    look(one.pane, "first-run")
    for person in people:
        person.first_run()
    look(one.pane, "card")
    cards = [person.save_card() for person in people]
    one.add(cards[1], "Bolat")
    two.add(cards[0], "Aigerim")
    words = [person.words() for person in people]
    look(one.pane, "verify")
    assert words[0] == words[1] and len(words[0]) == 12, words
    for person in people:
        person.verify()
    one.pane.wait("lan ● 1")
    one.pane.type("сәлем, Bolat! who is on the LAN tonight?")
    one.pane.press("Enter")
    two.pane.wait("who is on the LAN")
    one.pane.wait("tonight? ✓")
    two.pane.type("only us. bring the battery")
    two.pane.press("Enter")
    one.pane.wait("bring the battery")
    two.pane.wait("✓")
    for person, name in ((one, "chat-80x24"), (two, "chat-40x24")):
        person.pane.press("F5")
        person.pane.wait("delivered")
        if person is one:
            look(one.pane, "journey")
        person.pane.press("Escape")
        person.pane.wait("queue 0")
        look(person.pane, name)
    one.pane.press("F3")
    one.pane.wait("The mesh around you", "Bolat")
    look(one.pane, "mesh")
    one.pane.press("Escape")
    one.pane.wait("F1 help")
    return people


def demo(folder: Path) -> None:
    """The demo, wide and narrow, after somebody has written."""
    for size in ((80, 24), (40, 24)):
        pane = Pane(f"meshchat-{os.getpid()}", size, sys.executable, "-m", "meshchat", "demo")
        try:
            pane.wait("Timur")
            pane.type("Is there water today?")
            pane.press("Enter")
            pane.until(lambda shown: shown.count("Timur") >= 3 or "water today? ✓" in shown, "✓")
            time.sleep(4)
            pane.picture(folder / f"demo-{size[0]}x{size[1]}.svg", "meshchat demo")
        finally:
            pane.close()


def free_ports() -> tuple[int, int]:
    """Two that nobody has now."""
    import socket

    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    place = Path(tempfile.mkdtemp())
    try:
        for person in tour(
            place, lambda pane, name: pane.picture(target / f"{name}.svg", "meshchat"), free_ports()
        ):
            person.pane.close()
        demo(target)
    finally:
        shutil.rmtree(place)
