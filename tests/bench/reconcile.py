"""What finding the difference of two sets costs: ``python -m tests.bench.reconcile [rounds] [n]``.

Both sides in one process, CPU time of both. Half of the differences is on each side. Bytes are
those of bodies both ways: digest and count, symbols as the decoder asks for them (2 bytes each
time), marks and digest of the answer. "with offers" adds 8 bytes for each id that only the
decoding side holds. The 64-bit bound is the least for naming all differences by 8-byte ids.
"""

import random
import statistics
import sys
import time
from math import lgamma, log

from meshchat.core import riblt
from meshchat.core.riblt import Decoder, Sketch, Verdict, read_symbols
from tests.bench.table import Figure, show

SIZES = (1_000, 10_000, 100_000)
DIFFERENCES = (0, 1, 10, 100, 1_000)
ROUNDS = 10
FEW, FEW_ROUNDS = 10, 6  # so few differences are cheap, and their bytes vary by a sixth
BYTES_BARS = {0: "<= 16", 10: "<= 300", 100: "<= 2200", 1_000: "<= 20000"}
CPU_BAR = "<= 20"  # ms, at 100,000 ids and up to 100 differences
DIGEST_BYTES = 16  # with the count
ASK_BYTES = 2
KEY = bytes(range(32))


def bound(differences: int) -> float:
    """Bytes to name so many of 2^64 ids, in any order."""
    return (64 * differences - lgamma(differences + 1) / log(2)) / 8


def one(a: Sketch, b: Sketch) -> tuple[int, int, int, int, float]:
    """Bytes, those of offers, symbols, asks and CPU ms of one comparison; ``b`` streams."""
    started = time.process_time()
    spent, asks = DIGEST_BYTES, 0
    if a.digest(KEY) == b.digest(KEY):
        return spent, 0, 0, 0, 1e3 * (time.process_time() - started)
    view, decoder = b.view(), Decoder(a.view())
    want = riblt.first_symbols(abs(len(a) - len(b)))
    while True:
        for first in range(decoder.received, decoder.received + want, riblt.SYMBOLS_BODY_MAX):
            last = min(first + riblt.SYMBOLS_BODY_MAX, decoder.received + want)
            body = view.symbols(first, last)
            spent += len(body)
            want -= last - first
            decoder.feed(read_symbols(body))
        if decoder.verdict is not Verdict.MORE:
            break
        want = decoder.more()
        asks += 1
        spent += ASK_BYTES
    common, marks = decoder.answer(KEY)
    found = view.read(KEY, common, marks)
    took = 1e3 * (time.process_time() - started)
    if found is None:
        raise SystemExit("a miss")
    spent += len(common) + len(riblt.write_marks(marks))
    return spent, riblt.SHORT_BYTES * len(decoder.ours), decoder.received, asks, took


def needed(a: Sketch, b: Sketch) -> int:
    """Symbols until decoded, if the stream could be stopped at once."""
    view, decoder = b.view(), Decoder(a.view())
    while decoder.verdict is Verdict.MORE:
        decoder.feed(read_symbols(view.symbols(decoder.received, decoder.received + 1)))
    return decoder.received


def figures(rounds: int = ROUNDS, most: int = SIZES[-1]) -> list[Figure]:
    """All sizes up to ``most``, each difference ``rounds`` times, few of them more often."""
    found: list[Figure] = []
    for size in SIZES:
        if size > most:
            continue
        draw = random.Random(size)
        ids = [draw.randbytes(16) for _ in range(size)]
        started = time.process_time()
        a = Sketch(b"day", ids)
        built = time.process_time() - started
        b = Sketch(b"day", ids)
        adding = 0.0
        added = 0
        for differences in DIFFERENCES:
            runs, stops = [], []
            for _ in range(rounds * FEW_ROUNDS if differences <= FEW else rounds):
                new = [draw.randbytes(16) for _ in range(differences)]
                started = time.process_time()
                for number, eid in enumerate(new):
                    (b, a)[number % 2].add(eid)
                adding += time.process_time() - started
                added += differences
                runs.append(one(a, b))
                stops.append(needed(a, b) if differences else 0)
                for eid in new:
                    a.remove(eid)
                    b.remove(eid)
            spent, offers, symbols, asks, took = zip(*runs, strict=True)
            name = f"{size:,} ids, {differences:,} differ:"
            least = bound(differences)
            found += [
                (f"{name} bytes", statistics.mean(spent), BYTES_BARS.get(differences, "")),
                (f"{name} bytes, worst", max(spent), ""),
            ]
            if differences:
                both = statistics.mean(map(sum, zip(spent, offers, strict=True)))
                found += [
                    (f"{name} bytes with offers", both, ""),
                    (f"{name} that to the 64-bit bound of {least:,.0f}", both / least, ""),
                    (f"{name} symbols", statistics.mean(symbols), ""),
                    (f"{name} symbols needed", statistics.mean(stops), ""),
                    (f"{name} symbols needed, worst", max(stops), ""),
                    (f"{name} asked for more, times", statistics.mean(asks), ""),
                ]
            bar = CPU_BAR if differences <= 100 and size == SIZES[-1] else ""
            found += [
                (f"{name} CPU ms", statistics.mean(took), bar),
                (f"{name} CPU ms, worst", max(took), ""),
            ]
        found += [
            (f"{size:,} ids: CPU us for each added", 1e6 * adding / added, ""),
            (f"{size:,} ids: CPU ms to make anew", 1e3 * built, ""),
        ]
    return found


if __name__ == "__main__":
    sys.exit(bool(show(figures(*map(int, sys.argv[1:3])))))
