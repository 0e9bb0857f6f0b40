"""Small documents of runs, and the jobs of small sweeps."""

import os
import signal
import time
from typing import Any

from meshchat.sim.document import FORMAT, KINDS


def delay(*values: float | None) -> dict[str, float | None]:
    return dict(zip(("p10", "p50", "p90", "p99"), values or (None,) * 4, strict=True))


def bound(delivered: int, created: int) -> dict[str, Any]:
    return {
        "delivered": delivered,
        "delivery_ratio": delivered / created if created else None,
        "delay_s": delay(5.0, 60.0, 600.0, 900.0) if delivered else delay(),
        "mean_wait_s": 700.0 if created else None,
        "hops_mean": 2.5 if delivered else None,
        "hops_max": 4 if delivered else None,
        "fewest_hops_mean": 1.5 if delivered else None,
        "transmissions": 3 * delivered,
        "overhead_ratio": 2.0 if delivered else None,
    }


def document(*, seed: int = 1, delivered: int = 6, points: int = 5, **other: Any) -> dict[str, Any]:
    """A run of four people and ten messages; ``other`` replaces keys."""
    created = 10
    spent = dict(zip(KINDS, (60_000, 20_000, 5_000, 4_000, 3_000, 1_000, 7_000), strict=True))
    spent["total"] = sum(spent.values())
    at = [900.0 * k for k in range(points)]
    last = max(points - 1, 1)
    return {
        "format": FORMAT,
        "meshchat": "0.1.0",
        "kind": "scenario",
        "name": "village",
        "title": "Four people in a village",
        "seed": seed,
        "fast": False,
        "complete": True,
        "stopped_at_s": 3600.0,
        "duration_s": 3600.0,
        "nodes": 4,
        "settings": {"rate": 12_000, "buffer": None},
        "created": created,
        "refused": 1,
        "delivered": delivered,
        "delivery_ratio": delivered / created,
        "delay_s": delay(10.0, 120.0, 1_200.0, 1_500.0) if delivered else delay(),
        "mean_wait_s": 1_000.0,
        "hops": {"mean": 2.0 if delivered else None, "max": 3 if delivered else None},
        "transmissions": 40,
        "overhead_ratio": (40 - delivered) / delivered if delivered else None,
        "duplicates_shown": 0,
        "lost_after_accept": 0,
        "bytes": spent,
        "bytes_per_delivery": {
            kind: count / delivered if delivered else None for kind, count in spent.items()
        },
        "contacts": {"count": 12, "seconds": 4_000.0, "linked": 11, "failed": 2},
        "storage_bytes": {"mean": 10_000.0, "max": 90_000, "end": 5_000.0},
        "events": 4_321,
        "cpu_s": 0.5,
        "cpu_s_per_node": 0.125,
        "peak_rss_bytes": 60_000_000,
        "energy_j": {"mean": 100.0, "max": 150.0},
        "limit": bound(8, created),
        "clairvoyant": bound(7, created),
        "ratio": {"limit": delivered / 8, "clairvoyant": delivered / 7},
        "by_workload": {
            name: {
                "created": 5,
                "delivered": 3,
                "delivery_ratio": 0.6,
                "delay_s": delay(10.0, 100.0, 1_000.0, 1_100.0),
                "mean_wait_s": 900.0,
                "limit_delivery_ratio": 0.8,
            }
            for name in ("family", "square")
        },
        "marks": [
            {
                "figure": "delivery_ratio",
                "of": None,
                "rule": "at_least",
                "value": 0.5,
                "got": delivered / created,
                "ok": delivered >= 5,
            }
        ],
        "counters": {"frames": 400, "late": 0},
        "series": {
            "at_s": at,
            "created": [10 * k // last for k in range(points)],
            "delivered": [delivered * k // last for k in range(points)],
            "limit": [8 * k // last for k in range(points)],
            "clairvoyant": [7 * k // last for k in range(points)],
            "bytes": {kind: [spent[kind] * k // last for k in range(points)] for kind in KINDS},
            "held_bytes": [1_000.0 * k for k in range(points)],
            "neighbours": [1.0] * points,
            "on": [4] * points,
        },
        "delays_s": [10.0, 60.0, 120.0, 600.0, 1_200.0, 1_500.0][:delivered],
        "limit_delays_s": [0.0, 5.0, 60.0, 90.0, 100.0, 300.0, 600.0, 900.0],
        "people": [
            {
                "name": f"p{number}",
                "sent_bytes": 25_000,
                "received_bytes": 24_000,
                "carried": 3 * number,
                "delivered_to": 2,
                "energy_j": 100.0,
            }
            for number in range(4)
        ],
        "contact_graph": {"edges": [[0, 1, 900.0], [1, 2, 60.0], [2, 3, 5.0]]},
        "map": {
            "width": 500.0,
            "height": 300.0,
            "places": [{"name": "Well", "x": 100.0, "y": 100.0, "radius": 30.0}],
            "jam": [{"radius": 50.0, "xy": [None, [200.0, 100.0]]}],
            "frames": [
                {
                    "at_s": 1800.0 * k,
                    "xy": [[100.0 * n + 20 * k, 50.0 * n] for n in range(3)] + [None],
                }
                for k in range(2)
            ],
        },
        "trace_hash": f"{seed:064x}",
        **other,
    }


def nothing() -> dict[str, Any]:
    """A run in which nobody wrote, met, or sampled anything."""
    none = dict.fromkeys(("mean", "max"))
    return document(
        delivered=0,
        points=0,
        nodes=0,
        created=0,
        delivery_ratio=None,
        mean_wait_s=None,
        hops=none,
        bytes=dict.fromkeys((*KINDS, "total"), 0),
        bytes_per_delivery=None,
        energy_j=None,
        limit=bound(0, 0),
        clairvoyant=None,
        ratio={"limit": None, "clairvoyant": None},
        by_workload={},
        marks=[],
        counters={},
        settings={},
        limit_delays_s=[],
        people=[],
        contact_graph={"edges": []},
        map=None,
    )


def run_job(job: dict[str, Any]) -> dict[str, Any]:
    """As ``runs.run_job``: what it gives follows from the job alone."""
    how = job["sets"].get("how", "well")
    if how == "badly":
        raise ValueError("no such\nthing")
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "slow":
        time.sleep(600)  # never waited for: the sweep is interrupted
    if how == "nonsense":
        return {"format": FORMAT}
    delivered = int(job["sets"].get("delivered", 6))
    return document(seed=job["seed"], delivered=delivered, complete=how != "cut")
