"""The main figures of a run under flat names, as ``delay_s.p90``: for tables of many runs."""

from typing import Any

import msgspec

from meshchat.sim.document import Result

# In the order of a table. Whatever is not here is not comparable, or says the same again.
_PARTS = (
    *("created", "refused", "delivered", "delivery_ratio", "ratio", "delay_s", "mean_wait_s"),
    *("hops", "transmissions", "overhead_ratio", "duplicates_shown", "lost_after_accept"),
    *("bytes", "bytes_per_delivery", "storage_bytes", "energy_j", "contacts"),
    *("events", "cpu_s", "cpu_s_per_node", "peak_rss_bytes"),
)
_BOUND = ("delivered", "delivery_ratio", "mean_wait_s")

Figure = int | float | None


def figures(result: Result) -> dict[str, Figure]:
    """Every main figure; None where there is none."""
    whole = msgspec.to_builtins(result)
    found: dict[str, Figure] = {}
    for part in _PARTS:
        _flatten(part, whole[part], found)
    for bound in ("limit", "clairvoyant"):
        for name in _BOUND:
            found[f"{bound}.{name}"] = (whole[bound] or {}).get(name)
        found[f"{bound}.delay_s.p50"] = (whole[bound] or {}).get("delay_s", {}).get("p50")
    return found


def _flatten(name: str, value: Any, found: dict[str, Figure]) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            _flatten(f"{name}.{key}", part, found)
    elif value is not None or name not in ("energy_j", "bytes_per_delivery"):
        found[name] = value
