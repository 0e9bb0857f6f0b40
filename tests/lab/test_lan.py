"""LAN discovery and links on real (virtual) networks: docs of the lab tool in ``labtool``.

Bounds are generous because machines are busy; run with ``-s`` for the figures.
"""

import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from labtool import NEEDS_LAB, Event, Lab, Program, lab, measured

pytestmark = [pytest.mark.lab, NEEDS_LAB, pytest.mark.timeout(180)]

HERD = 20


def to(host_ip: str) -> dict[str, str]:
    """The origins a link with this host may have: IPv4 or the IPv6 made from its MAC."""
    number = int(host_ip.rsplit(".", 1)[1])
    return {"v4": f"lan:{host_ip}", "v6": f"lan:fe80::4e:4cff:fe00:{number:x}"}


def linked(node: Program, host_ip: str, since: float = 0.0, timeout: float = 15.0) -> Event:
    """Wait for a link of ``node`` with a host."""
    origins = to(host_ip).values()
    return node.until("up", lambda e: e["origin"] in origins, since=since, timeout=timeout)


@pytest.fixture(scope="module")
def herd() -> Iterator[tuple[Lab, list[Program], float]]:
    """Twenty nodes on one LAN, begun together; one more host is free."""
    with lab("lanherd", HERD + 1) as made:
        nodes = made.nodes([f"h{n}" for n in range(1, HERD + 1)])
        begun = max(node.of("start")[0]["t"] for node in nodes if node.until("start"))
        yield made, nodes, begun


def test_twenty_start_together(herd: tuple[Lab, list[Program], float]) -> None:
    """All know all by beacon soon after the start, and most are linked."""
    _, nodes, begun = herd
    full = max(node.until("known", count=HERD - 1)["t"] for node in nodes)
    measured(f"{HERD} nodes know all after, s", full - begun)
    assert full - begun < 10
    for node in nodes:
        node.until("up", count=5)


def test_joiner_is_found_and_missed_after_kill(herd: tuple[Lab, list[Program], float]) -> None:
    """A newcomer knows all and is known by all at once; killed, it is gone within 20 s."""
    made, nodes, _ = herd
    for node in nodes:
        node.until("known", count=HERD - 1)
    before = time.monotonic()
    (joiner,) = made.nodes(["h21"])
    start = joiner.until("start")["t"]
    knows = joiner.until("known", count=HERD)["t"]
    known = max(node.until("known", since=before)["t"] for node in nodes)
    measured("joiner knows all after, s", knows - start)
    measured("all know the joiner after, s", known - start)
    assert max(knows, known) - start < 10
    joiner.until("up")
    joiner.kill()
    killed = time.monotonic()
    gone = max(node.until("gone", since=before, timeout=30)["t"] for node in nodes)
    measured("killed joiner is gone for all after, s", gone - killed)
    assert gone - killed < 25


def test_move_to_another_lan() -> None:
    """Links of the old place end at once and those of the new one stand within 5 s."""
    with lab("lanmove", 4, "--lans", "2", "--blocks") as made:
        h1, _, h3, _ = made.nodes(["h1", "h2", "h3", "h4"])
        linked(h1, "10.101.0.2")
        linked(h3, "10.102.0.4")
        moved = time.monotonic()
        made.run("join", "h1", "lan2")
        h1.until("down", lambda e: e["reason"] == "address_gone")
        new = linked(h1, "10.102.0.3", since=moved)
        measured("linked in the new LAN after, s", new["t"] - moved)
        assert new["t"] - moved < 5
        frame = h1.until("frame", since=new["t"]) if new["outbound"] else None
        assert frame is None or frame["size"] == 5


def test_silent_roam_to_a_twin_network() -> None:
    """Same addresses, no carrier loss, another LAN: found by beacons all the same."""
    with lab("lanroam", 3, "--lans", "2", "--blocks") as made:
        made.run("renumber", "h3", "10.101.0.3/16")
        h1, h2, _ = made.nodes(["h1", "h2", "h3"])
        linked(h1, "10.101.0.2")
        moved = time.monotonic()
        made.run("join", "h1", "lan2", "--keep-ip", "--no-flap")
        new = linked(h1, "10.101.0.3", since=moved)
        heard = h1.until("known", since=moved)  # mDNS may have been quicker: it is young here
        measured("linked after a silent roam, s", new["t"] - moved)
        measured("beacon heard after a silent roam, s", heard["t"] - moved)
        assert max(new["t"], heard["t"]) - moved < 12
        gone = h2.until("gone", timeout=30)
        measured("old neighbour gone after, s", gone["t"] - moved)


def test_silent_cut_is_noticed() -> None:
    """A neighbour whose frames no longer arrive is gone within 20 s."""
    with lab("lancut", 2) as made:
        h1, h2 = made.nodes(["h1", "h2"])
        linked(h1, "10.101.0.2")
        cut = time.monotonic()
        made.run("cut", "h2", "--silent")
        gone = max(node.until("gone", timeout=30)["t"] for node in (h1, h2))
        measured("silent cut noticed after, s", gone - cut)
        assert gone - cut < 25
        # h1 still hears itself, so this is the network and not our own firewall
        hint = h1.until("status", lambda e: e["own_beacon_heard"] == "yes")
        assert hint["reason"] in ("", "isolated")


def test_found_by_broadcast_without_multicast() -> None:
    """A network that drops multicast, and with it mDNS and IPv6, still lets us meet."""
    with lab("lanbcast", 2) as made:
        made.run("mcast", "lan1", "off")
        h1, h2 = made.nodes(["h1", "h2"])
        begun = h2.until("start")["t"]
        up = linked(h1, "10.101.0.2")
        measured("linked by broadcast alone after, s", up["t"] - begun)
        assert up["origin"] == to("10.101.0.2")["v4"]


def test_client_isolation_is_explained() -> None:
    """Kept apart, a node says so within 20 s; a wired host the network excepts is found."""
    with lab("laniso", 3) as made:
        made.run("clients-isolated", "lan1", "on", "--except", "h3")
        h1, h2 = made.nodes(["h1", "h2"])
        begun = h1.until("start")["t"]
        for node in (h1, h2):
            hint = node.until("status", lambda e: e["reason"] == "alone", timeout=30)
            measured("isolation hint after, s", hint["t"] - begun)
            assert hint["t"] - begun < 25
            assert "keeps devices apart" in hint["remedy"]
            assert not node.of("known")
        before = time.monotonic()
        (h3,) = made.nodes(["h3"])
        linked(h1, "10.101.0.3")
        linked(h2, "10.101.0.3")
        h3.until("known", count=2)
        h1.until("status", lambda e: e["reason"] == "", since=before)


def test_ipv6_only() -> None:
    """Link-local IPv6 is enough; the origin has no scope."""
    with lab("lansix", 2, "--no-ipv4") as made:
        h1, _ = made.nodes(["h1", "h2"])
        up = linked(h1, "10.101.0.2")
        assert up["origin"] == to("10.101.0.2")["v6"]


def test_host_on_two_lans() -> None:
    """It is linked on both sides; an interface that comes later is used at once."""
    with lab("lanboth", 3, "--lans", "2", "--blocks") as made:  # h1, h2 on lan1; h3 on lan2
        h1, h2, h3 = made.nodes(["h1", "h2", "h3"])
        first = linked(h1, "10.101.0.2")
        plugged = time.monotonic()
        made.run("join", "h1", "lan2", "--nic", "1")
        origins = ("lan:10.102.0.1", "lan:fe80::4e:4cff:fe01:1")
        up = h3.until("up", lambda e: e["origin"] in origins, timeout=15)
        measured("linked through a new interface after, s", up["t"] - plugged)
        linked(h1, "10.102.0.3", since=plugged)
        # the old link goes on, and its neighbour is not dialled again under the new session id
        h2.until("known", count=2, since=0.0)
        time.sleep(3)  # longer than the greater session id waits before it dials
        assert not [e for e in h1.of("down") if e["link"] == first["link"]]
        assert len([e for e in h1.of("up") if e["origin"] in to("10.101.0.2").values()]) == 1


def test_floods_and_forgeries_stay_bounded() -> None:
    """5000 forged names and beacons, a forged goodbye and an evil twin leave links untouched."""
    with lab("lanevil", 3) as made:
        h1, _ = made.nodes(["h1", "h2"])
        linked(h1, "10.101.0.2")
        h2_sid = h1.until("known")["sid"]
        time.sleep(2)  # mDNS settles
        before = rss(h1)
        evil = made.start("h3", "attacker.py", "10.101.0.3", h2_sid)
        evil.until("done", timeout=60)
        time.sleep(6)  # one more beacon of ours reports the status
        grown = rss(h1) - before
        measured("memory grown under the flood, MiB", grown / 1024)
        last = h1.of("status")[-1]
        measured("candidates after the flood", last["candidates"])
        assert last["candidates"] <= 256
        assert grown < 20 * 1024
        honest = to("10.101.0.2").values()
        first = next(e["link"] for e in h1.of("up") if e["origin"] in honest)
        assert first not in [e["link"] for e in h1.of("down")]
        assert h1.stop()["kind"] == "end"


def rss(node: Program) -> int:
    """Resident memory of a running program in KiB."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def test_capture_of_a_fresh_start_tells_no_name(tmp_path: Path) -> None:
    """Start to farewell on the wire: no host, user or home name; mDNS says goodbye."""
    from zeroconf import DNSIncoming

    with lab("lanpcap", 2) as made:
        (h2,) = made.nodes(["h2"])
        pcap = tmp_path / "h1.pcap"
        seconds = 12
        capture = threading.Thread(
            target=made.run, args=("capture", "h1", pcap, "--seconds", seconds)
        )
        capture.start()
        time.sleep(0.5)
        (h1,) = made.nodes(["h1"], "hostname=laptop-of-asel")
        linked(h1, "10.101.0.2")
        time.sleep(4)
        h1.stop()
        capture.join()
        raw = pcap.read_bytes()
        for secret in (b"laptop-of-asel", b"asel", b"h1.local", b"/root", b"python"):
            assert secret not in raw.lower()
        assert b"_meshchat" in raw
        sid = h2.of("known")[-1]["sid"]
        texts, goodbyes = set(), set()
        for payload in mdns(raw, "10.101.0.1"):
            for record in DNSIncoming(payload).answers():
                if sid in str(record.name) or sid in str(getattr(record, "alias", "")):
                    texts.add(getattr(record, "text", b""))
                    goodbyes.add(record.ttl == 0)
        assert texts <= {b"", b"\x03v=1"}
        assert True in goodbyes


def mdns(pcap: bytes, source: str) -> Iterator[bytes]:
    """Payloads of IPv4 mDNS datagrams from one address in a capture."""
    at = 24
    own = bytes(map(int, source.split(".")))
    while at < len(pcap):
        size = struct.unpack_from("=8xI", pcap, at)[0]
        frame = pcap[at + 16 : at + 16 + size]
        at += 16 + size
        if frame[12:14] == b"\x08\x00" and frame[23] == 17 and frame[26:30] == own:
            udp = frame[14 + 4 * (frame[14] & 15) :]
            if udp[2:4] == struct.pack(">H", 5353):
                yield udp[8:]
