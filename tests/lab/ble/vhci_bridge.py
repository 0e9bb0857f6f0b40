"""Inside the guest: joins every virtio-serial port named hciN to a fresh /dev/vhci.

Keeps the boundaries of H4 packets on both sides. Standard library only, so it starts quickly
under emulation. A port whose other end goes away is an adapter that was pulled out.
"""

import os
import select
import selectors
from collections.abc import Iterator
from pathlib import Path

LOOK_S = 0.5  # for ports that were connected again
HEADS = {1: (3, 1), 2: (4, 2), 4: (2, 1), 5: (4, 2)}  # type: bytes of the head, of the length


def packets(held: bytearray) -> Iterator[bytes]:
    """Whole H4 packets at the start of what is held; they are taken out."""
    while held:
        head, size = HEADS[held[0]]
        if len(held) < 1 + head:
            return
        length = int.from_bytes(held[1 + head - size : 1 + head], "little")
        total = 1 + head + (length & 0x3FFF if held[0] == 5 else length)
        if len(held) < total:
            return
        packet = bytes(held[:total])
        del held[:total]
        yield packet


class Bridge:
    """One adapter, for as long as its port is connected outside."""

    def __init__(self, selector: selectors.BaseSelector, port: str) -> None:
        self.selector = selector
        # Blocking: Linux 6.1 loses what is written to such a port without waiting.
        self.serial = os.open(port, os.O_RDWR)
        self.vhci = -1
        self.held = bytearray()

    def poll(self) -> None:
        """Plug the adapter in or pull it out, as the port outside was."""
        poll = select.poll()
        poll.register(self.serial, select.POLLIN)
        there = not any(event & select.POLLHUP for _, event in poll.poll(0))
        if there and self.vhci < 0:
            self.vhci = os.open("/dev/vhci", os.O_RDWR)
            os.write(self.vhci, b"\xff\x00")  # a primary controller, please
            self.selector.register(self.serial, selectors.EVENT_READ, self.from_host)
            self.selector.register(self.vhci, selectors.EVENT_READ, self.from_kernel)
        elif not there and self.vhci >= 0:
            self.selector.unregister(self.serial)
            self.selector.unregister(self.vhci)
            os.close(self.vhci)
            self.vhci = -1
            self.held.clear()

    def from_host(self) -> None:
        data = os.read(self.serial, 65_536)
        if not data:
            self.poll()
        self.held += data
        for packet in packets(self.held):
            os.write(self.vhci, packet)

    def from_kernel(self) -> None:
        packet = os.read(self.vhci, 4_096)
        if packet[:1] == b"\xff":  # the answer to the wish above
            return
        view = memoryview(packet)
        while view:
            view = view[os.write(self.serial, view) :]


def main() -> None:
    named = {}
    for file in Path("/sys/class/virtio-ports").glob("*/name"):
        name = file.read_text().strip()
        if name.startswith("hci"):
            named[int(name[3:])] = f"/dev/{file.parent.name}"
    selector = selectors.DefaultSelector()
    bridges = [Bridge(selector, named[number]) for number in sorted(named)]
    while True:
        for bridge in bridges:
            bridge.poll()
        for key, _ in selector.select(LOOK_S):
            if key.fd in selector.get_map():
                key.data()


main()
