"""Two people at the shipped screens, joined by virtual radios alone.

    python tests/net/ble/two_screens.py            # shows what both see, step by step
    python tests/net/ble/two_screens.py --stay     # then leaves both open in tmux

Each sits in a process of their own, as at home: this one owns the air, each program is the
shipped one on a Bumble device whose controller is reached through a socket. Nothing of it is in
the product: the child puts the radio in the place of the system's, and then runs ``meshchat``.
"""

import asyncio
import shutil
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "ui")]

from air import Air, Radio, make_radio  # noqa: E402
from bumble.device import Device, DeviceConfiguration  # noqa: E402
from bumble.hci import Address  # noqa: E402
from bumble.transport import open_transport  # noqa: E402
from bumble.transport.common import PacketParser  # noqa: E402
from nodes import VirtualRadio  # noqa: E402
from tmux import Person  # noqa: E402
from virtual import VirtualDevice, VirtualPeripheral  # noqa: E402

from meshchat.net.ble.radio import Adapter, Ear  # noqa: E402

SETTINGS = '[lan]\nenabled = false\n[ble]\nprofile = "always"'


# --- a program on a radio that is elsewhere ------------------------------------------------------


class FarDevice(VirtualDevice):
    """A device whose controller is behind a socket. It gets power when it is first opened."""

    def __init__(self, index: int, path: str) -> None:
        super().__init__(Air(), index)
        self.peripheral = FarPeripheral(self)
        self._path = path

    async def power_on(self) -> None:
        self._hci = await open_transport(f"unix:{self._path}")
        self.device = Device.from_config_with_hci(
            DeviceConfiguration(
                name="",
                address=Address(self.address),
                gap_service_enabled=False,
                gatt_service_enabled=False,
            ),
            self._hci.source,
            self._hci.sink,
        )
        self.device.gatt_server.max_mtu = self.mtu
        self.peripheral.serve(self.device)
        await self.device.power_on()
        self.powered = True


class FarPeripheral(VirtualPeripheral):
    async def open(self, ear: Ear) -> Adapter:
        if not self._owner.powered:
            await self._owner.power_on()
        return await super().open(ear)


def sit_down(path: str, argv: list[str]) -> int:
    """Run ``meshchat`` on the radio behind a socket."""
    from meshchat.cli import main
    from meshchat.net.ble import transport

    radio = VirtualRadio(FarDevice(int(path[-1]), path))
    transport.SystemRadio = lambda adapter="": radio  # type: ignore[assignment,misc]
    sys.argv = ["meshchat", *argv]
    return main()


# --- the air -------------------------------------------------------------------------------------


class _Sink:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def on_packet(self, packet: bytes) -> None:
        self._writer.write(packet)


async def air_at(folder: Path, radios: int, ready: threading.Event) -> None:
    """Controllers behind sockets ``radio0``, ``radio1`` ... that hear each other."""
    air = Air()

    async def plugged(
        number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        radio: Radio = make_radio(number, air, sink=_Sink(writer))
        parser = PacketParser(radio)
        while data := await reader.read(65_536):
            parser.feed_data(data)
        air.remove(radio)
        writer.close()

    for number in range(radios):
        await asyncio.start_unix_server(
            lambda reader, writer, n=number: plugged(n, reader, writer),  # type: ignore[misc]
            folder / f"radio{number}",
        )
    ready.set()
    await asyncio.Event().wait()


def show(title: str, *people: Person) -> None:
    for person in people:
        lines = person.pane.shown().rstrip().split("\n")
        print(f"--- {title}: {person.name}", *lines, sep="\n", flush=True)


def chat(folder: Path) -> list[Person]:
    """From nothing to a delivered message each way, by radio."""
    people = [
        Person(
            folder,
            name,
            (80, 24),
            through=(sys.executable, __file__, "--radio", str(folder / f"radio{number}")),
            settings=SETTINGS,
        )
        for number, name in enumerate(("Aigerim", "Bolat"))
    ]
    one, two = people
    for person in people:
        person.first_run()
    cards = [person.save_card() for person in people]
    one.add(cards[1], "Bolat")
    two.add(cards[0], "Aigerim")
    for person in people:
        person.pane.wait("ble ● 1")
    one.pane.type("сәлем, Bolat! no network here at all")
    one.pane.press("Enter")
    two.pane.wait("no network here")
    two.pane.type("and yet I read you")
    two.pane.press("Enter")
    one.pane.wait("and yet I read you")
    show("the chat", *people)
    one.pane.press("F3")
    one.pane.wait("The mesh around you")
    show("the mesh", one)
    one.pane.press("Escape")
    return people


def main() -> int:
    """The person's own program, or the air and two of those."""
    if sys.argv[1:2] == ["--radio"]:
        path, *rest = sys.argv[2:]
        return sit_down(path, rest[rest.index("meshchat") + 1 :])
    folder = Path(tempfile.mkdtemp(prefix="mc-"))
    ready = threading.Event()
    air = air_at(folder, 2, ready)
    threading.Thread(target=lambda: asyncio.run(air), daemon=True).start()
    ready.wait(10)
    try:
        people = chat(folder)
        if "--stay" in sys.argv:
            ways = (" ".join((*person.pane._tmux, "attach")) for person in people)
            print("Both are open:", *ways, sep="\n")
            input("Enter ends them. ")
        for person in people:
            person.pane.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
