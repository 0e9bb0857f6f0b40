"""meshchat beside Reticulum's lxmf: ``python -m tests.bench.lxmf [texts carrier files chain ...]``.

Both run as real processes on this machine, joined by TCP over loopback; nothing else is on the
way. A text of ours counts when it is committed with ``synchronous=FULL`` on both sides and its
proof is back; one of lxmf when its proof is back, which says that it is in memory. lxmf is
taken at its best setting, with the stamps it asks for by default.
"""

import importlib.util
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from meshchat.core.limits import Limits
from tests.bench.peers import Peer, Peers, every, free_ports
from tests.bench.table import Figure, show

TEXTS = 1_000
TEXT_BYTES = 200
FLYING = (1, 8, 64)
STAMPED = 2  # texts that lxmf leaves at a carrier: each costs seconds of hashing
FILES = [2_000_000] * 5
CHAIN = 10
CROWD, LINKS = 50, 75
ENVELOPES = 10_000
ROUNDS = 3
IN_TIME_S = 120.0
MISSING = (
    "lxmf is not installed: pip install 'meshchat[bench]' (or rns and lxmf) to compare with it."
)

Made = tuple[Peer, bytes, str, int]
"""A node of ours, not running yet: its fingerprint, card and port."""


# --- ours ------------------------------------------------------------------------------------


def made(peers: list[Peer], edges: list[tuple[int, int]]) -> list[Made]:
    """Nodes that will dial each other along ``edges``, the later one the earlier."""
    ports = free_ports(len(peers))
    for n, peer in enumerate(peers):
        dialled = [ports[min(edge)] for edge in edges if max(edge) == n]
        peer.ask("build", ports[n], dialled)
    return [(peer, *peer.answer(), port) for peer, port in zip(peers, ports, strict=True)]


def acquaint(one: Made, other: Made) -> None:
    """Make them contacts of each other."""
    one[0].call("know", [other[2]])
    other[0].call("know", [one[2]])


def our_texts(folder: Path, flying: int, answered: bool = True) -> float:
    """Texts a second to a neighbour, delivered.

    ``answered``: each has written to the other before, as lxmf has its link. Until then every text
    brings the card of its author, and travels in 2,048 bytes instead of 512.
    """
    with Peers("ours", folder, 2) as peers:
        a, b = made(peers, [(0, 1)])
        acquaint(a, b)
        every(peers, "run")
        every(peers, "linked", 1)
        if answered:
            a[0].call("texts", b[1], 1, TEXT_BYTES, 1)
            b[0].call("texts", a[1], 1, TEXT_BYTES, 1)
        b[0].ask("got", TEXTS + answered)
        began, ended = a[0].call("texts", b[1], TEXTS, TEXT_BYTES, flying)
        assert b[0].answer() <= ended
    return float(TEXTS / (ended - began))


def our_carrier(folder: Path) -> tuple[float, float, int]:
    """Seconds to leave texts at a carrier, seconds to fetch them, and how many are missing."""
    with Peers("ours", folder, 3) as peers:
        _, author, reader = made(peers, [(0, 1), (0, 2)])
        acquaint(author, reader)
        every(peers[:2], "run")
        peers[1].call("linked", 1)
        began, left = peers[1].call("texts", reader[1], TEXTS, TEXT_BYTES, TEXTS, "carried")
        peers[1].stop()
        peers[1].end()
        started = time.monotonic()
        peers[2].call("run")
        fetched = peers[2].call("got", TEXTS)
        missing = TEXTS - peers[2].call("received_now")
    return left - began, fetched - started, missing


def our_files(folder: Path) -> float:
    """Megabytes a second until the reader has every file, whole and committed."""
    with Peers("ours", folder, 2) as peers:
        a, b = made(peers, [(0, 1)])
        acquaint(a, b)
        every(peers, "run")
        every(peers, "linked", 1)
        b[0].ask("got_files", len(FILES))
        began = a[0].call("send_files", b[1], FILES)
        ended = b[0].answer()
    return float(sum(FILES) / 1e6 / (ended - began))


def our_chain(folder: Path) -> float:
    """Seconds from the last link of a chain to the first text at its other end."""
    with Peers("ours", folder, CHAIN) as peers:
        nodes = made(peers, [(n - 1, n) for n in range(1, CHAIN)])
        acquaint(nodes[0], nodes[-1])
        every(peers[:-1], "run")
        every(peers[1:-2], "linked", 2)
        peers[-1].ask("run")
        peers[-1].ask("linked", 1)
        peers[-2].ask("linked", 2)
        peers[-1].answer()
        up = max(peers[-1].answer(), peers[-2].answer())
        peers[-1].ask("got", 1)
        peers[0].ask("texts", nodes[-1][1], 1, TEXT_BYTES, 1, "carried")
        came = peers[-1].answer()
        peers[0].answer()
    return float(came - up)


def random_links(count: int, links: int, seed: int) -> list[tuple[int, int]]:
    """That many links among the nodes, at random, but so that nobody is left out.

    The later one dials. Nobody is dialled by more than a node of ours takes from one address,
    which here is the address of all.
    """
    chance = random.Random(seed)
    most = Limits().links_per_origin
    edges: set[tuple[int, int]] = set()
    inbound: Counter[int] = Counter()
    while len(edges) < links:
        other = len(edges) + 1 if len(edges) + 1 < count else chance.randrange(1, count)
        one = chance.randrange(other)
        if inbound[one] < most and (one, other) not in edges:
            inbound[one] += 1
            edges.add((one, other))
    return sorted(edges)


def our_crowd(folder: Path, seed: int) -> tuple[float, float]:
    """Seconds from the start until all hold what each had to say, and of news on standing links.

    What each says is its newest card and name, sealed for whoever holds its card.
    """
    others = CROWD - 1
    with Peers("ours", folder, CROWD) as peers:
        made(peers, random_links(CROWD, LINKS, seed))
        every(peers, "rename_before", "my name")
        began = time.monotonic()
        for peer in peers:
            peer.ask("run")
            peer.ask("stored_until", others, IN_TIME_S)
        known = 0.0
        for peer in peers:
            peer.answer()
            known = max(known, peer.answer())
        time.sleep(2.0)
        told = min(every(peers, "rename", "another name"))
        heard = max(every(peers, "stored_until", 2 * others + 1, IN_TIME_S))
    return known - began, heard - told


def our_exchange(folder: Path, both: bool) -> float:
    """Envelopes a second that come to be in the other's store, from the moment of the link."""
    from tests.bench.node import envelopes

    held = envelopes(ENVELOPES, time.time())
    with Peers("ours", folder, 2) as peers:
        halves = [held[::2], held[1::2]] if both else [held, []]
        a, b = made(peers, [(0, 1)])
        acquaint(a, b)
        for peer, part in zip(peers, halves, strict=True):
            if part:  # after that: for a new contact a node looks at all it carries again
                peer.call("carry", part)
        waiting = [(peers[1], len(halves[0])), (peers[0], len(halves[1]))]
        peers[0].call("run")
        peers[1].call("run")
        up = max(every(peers, "linked", 1))
        for peer, count in waiting:
            peer.ask("stored_until", count, IN_TIME_S)
        ended = max(peer.answer() for peer, _ in waiting)
    return float(ENVELOPES / (ended - up))


# --- lxmf ------------------------------------------------------------------------------------


def started(peers: list[Peer], edges: list[tuple[int, int]], transport: bool) -> list[bytes]:
    """Reticulum nodes, linked; the hashes of their destinations."""
    ports = free_ports(len(peers))
    for n, peer in enumerate(peers):
        listens = ports[n] if any(min(edge) == n for edge in edges) else 0
        dialled = [ports[min(edge)] for edge in edges if max(edge) == n]
        peer.call("build", listens, dialled, transport)
    found = []
    for peer in peers:  # in turn, so that each finds whom it dials
        found.append(peer.call("run"))
        peer.call("online")
    return found


def their_texts(folder: Path, method: str, flying: int, count: int) -> float:
    """Texts a second to a neighbour, with their proofs."""
    with Peers("lxmf", folder, 2) as peers:
        _, b = started(peers, [(0, 1)], transport=False)
        time.sleep(0.5)
        peers[1].call("announce")
        peers[0].call("path", b, 60.0)
        peers[0].call("texts", b, 1, TEXT_BYTES, 1, method)  # makes the link
        began, ended = peers[0].call("texts", b, count, TEXT_BYTES, flying, method)
    return float(count / (ended - began))


def their_carrier(folder: Path) -> tuple[float, float]:
    """Seconds to leave some texts at a propagation node, and to fetch them."""
    with Peers("lxmf", folder, 3) as peers:
        found = started(peers, [(0, 1), (0, 2)], transport=True)
        carrier = peers[0].call("carry")
        peers[0].call("announce_carrier")
        peers[2].call("announce")
        for peer in peers[1:]:
            peer.call("use_carrier", carrier)
        peers[1].call("path", found[2], 60.0)
        began, left = peers[1].call("texts", found[2], STAMPED, TEXT_BYTES, STAMPED, "PROPAGATED")
        asked, fetched = peers[2].call("fetch", STAMPED)
    return left - began, fetched - asked


def their_bulk(folder: Path, compress: bool) -> float:
    """Megabytes a second of one resource."""
    with Peers("lxmf", folder, 2) as peers:
        started(peers, [(0, 1)], transport=False)
        time.sleep(0.5)
        bulk = peers[1].call("open_bulk")
        began, ended = peers[0].call("move", bulk, sum(FILES), compress)
    return float(sum(FILES) / 1e6 / (ended - began))


def their_chain(folder: Path) -> float:
    """Seconds from the last link of a chain to the first text at its other end."""
    with Peers("lxmf", folder, CHAIN) as peers:
        last = started(peers, [(n - 1, n) for n in range(1, CHAIN)], transport=True)[-1]
        up = peers[-1].call("announce")
        if peers[0].call("path", last, IN_TIME_S) == float("inf"):
            return float("inf")
        peers[-1].ask("got", 1)
        peers[0].call("texts", last, 1, TEXT_BYTES, 1, "OPPORTUNISTIC")
        return float(peers[-1].answer() - up)


def their_crowd(folder: Path, seed: int) -> float:
    """Seconds until everybody has a path to everybody, once all links stand."""
    with Peers("lxmf", folder, CROWD) as peers:
        found = started(peers, random_links(CROWD, LINKS, seed), transport=True)
        time.sleep(2.0)
        told = min(every(peers, "announce"))
        return float(max(every(peers, "paths", found, IN_TIME_S)) - told)


# --- the table -------------------------------------------------------------------------------


class Place:
    """Gives every run a folder of its own, and the median of several runs."""

    def __init__(self, root: Path, rounds: int) -> None:
        self.root, self.rounds, self.runs = root, rounds, 0

    def __call__(self, run: Callable[..., float], *args: object) -> float:
        self.runs += 1
        found = run(self.root / f"{run.__name__}{self.runs}", *args)
        print(f"  {run.__name__} {args}: {found}", file=sys.stderr, flush=True)
        return found

    def median(self, run: Callable[..., float], *args: object) -> float:
        return statistics.median(self(run, *args) for _ in range(self.rounds))


def texts(place: Place, theirs: bool) -> list[Figure]:
    """One hop away."""
    ours = {f"{n} in flight": place.median(our_texts, n) for n in (*FLYING, TEXTS)}
    fresh = place.median(our_texts, TEXTS, False)
    found: list[Figure] = [(f"texts, {name}, /s", rate, "") for name, rate in ours.items()]
    found.append((f"texts, {TEXTS} in flight, nobody has answered yet, /s", fresh, ""))
    if theirs:
        other = {
            "OPPORTUNISTIC, 1": place.median(their_texts, "OPPORTUNISTIC", 1, TEXTS),
            "DIRECT, 1": place.median(their_texts, "DIRECT", 1, TEXTS),
            "OPPORTUNISTIC, 8": place(their_texts, "OPPORTUNISTIC", 8, TEXTS // 10),
            "DIRECT, 8": place(their_texts, "DIRECT", 8, TEXTS // 10),
        }
        found += [(f"texts, lxmf {name} in flight, /s", rate, "") for name, rate in other.items()]
        ratio = max(ours.values()) / max(other.values())
        found.append(("texts, ours to lxmf, each at its best", ratio, ">= 2"))
        first = fresh / max(other.values())
        found.append(("texts, ours to lxmf, nobody has answered yet", first, ">= 2"))
    return found


def carrier(place: Place, theirs: bool) -> list[Figure]:
    """Left while the recipient is off, fetched later."""
    leave, fetch, missing = place(our_carrier)  # type: ignore[misc]
    rate = TEXTS / (leave + fetch)
    found: list[Figure] = [
        ("texts left at a carrier, /s", TEXTS / leave, ""),
        ("texts fetched from it, /s", TEXTS / fetch, ""),
        ("texts missing", float(missing), "<= 0"),
    ]
    if theirs:
        leave, fetch = place(their_carrier)  # type: ignore[misc]
        other = STAMPED / (leave + fetch)
        found += [
            ("texts left at a propagation node with stamps, /s", STAMPED / leave, ""),
            ("texts fetched from it, lxmf, /s", STAMPED / fetch, ""),
            ("texts by a carrier, ours to lxmf", rate / other, ">= 20"),
        ]
    return found


def files(place: Place, theirs: bool) -> list[Figure]:
    """Ten megabytes."""
    ours = place.median(our_files)
    found: list[Figure] = [("10 MB as five files, MB/s", ours, "")]
    if theirs:
        other = max(place.median(their_bulk, compress) for compress in (False, True))
        found += [
            ("10 MB as a resource of Reticulum, MB/s", other, ""),
            ("10 MB, ours to Reticulum", ours / other, ">= 4"),
        ]
    return found


def chain(place: Place, theirs: bool) -> list[Figure]:
    """A line of nodes."""
    found: list[Figure] = [
        (f"chain of {CHAIN}, first text after the last link, s", place.median(our_chain), "<= 1")
    ]
    if theirs:
        found.append((f"chain of {CHAIN}, the same with lxmf, s", place(their_chain), ""))
    return found


def crowd(place: Place, theirs: bool) -> list[Figure]:
    """Many nodes with few links each."""
    start, news = place(our_crowd, 1)  # type: ignore[misc]
    found: list[Figure] = [
        (
            f"{CROWD} nodes, {LINKS} links: from the start to all cards everywhere, s",
            start,
            "<= 10",
        ),
        (f"{CROWD} nodes, {LINKS} links: news of all everywhere, s", news, "<= 10"),
    ]
    if theirs:
        found.append(
            (f"{CROWD} nodes, {LINKS} links: lxmf, all paths everywhere, s",
             place(their_crowd, 1), "")
        )  # fmt: skip
    return found


def exchange(place: Place, theirs: bool) -> list[Figure]:
    """Ten thousand envelopes over one link, beside the raw link and the raw store."""
    from tests.bench.link import raw_rate
    from tests.bench.node import envelopes
    from tests.bench.store import KEY, bare_insert

    held = envelopes(ENVELOPES)
    times: dict[str, list[float]] = {"link": [], "store": [], "one way": [], "both ways": []}
    for turn in range(place.rounds):
        times["link"].append(raw_rate(len(held[0].data), ENVELOPES))
        took = bare_insert(place.root / f"bare{turn}.db", KEY, held)
        times["store"].append(ENVELOPES / took)
        times["one way"].append(place(our_exchange, False))
        times["both ways"].append(place(our_exchange, True))
    rates = {name: statistics.median(found) for name, found in times.items()}
    slower = min(rates["link"], rates["store"])
    return [
        ("raw link, 512 B, /s", rates["link"], ""),
        ("raw store, 512 B, /s", rates["store"], ""),
        ("10,000 envelopes, one way, /s", rates["one way"], ""),
        ("10,000 envelopes, half each way, /s", rates["both ways"], ""),
        ("one way to the slower raw one", rates["one way"] / slower, ">= 0.6"),
        ("both ways to the slower raw one", rates["both ways"] / slower, ""),
    ]


PARTS = {
    "texts": texts,
    "carrier": carrier,
    "files": files,
    "chain": chain,
    "crowd": crowd,
    "exchange": exchange,
}


def figures(*chosen: str, rounds: int = ROUNDS) -> list[Figure]:
    """All parts or those chosen; ``ours`` among them leaves lxmf out."""
    theirs = "ours" not in chosen
    if theirs and importlib.util.find_spec("LXMF") is None:
        print(MISSING, file=sys.stderr)
        theirs = False
    found: list[Figure] = []
    names = [name for name in chosen if name in PARTS] or list(PARTS)
    with tempfile.TemporaryDirectory() as root:
        place = Place(Path(root), rounds)
        for name in names:
            found += PARTS[name](place, theirs)
    return found


if __name__ == "__main__":
    sys.exit(bool(show(figures(*sys.argv[1:]))))
