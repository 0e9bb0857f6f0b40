"""How full this device's battery is, where the system says so without asking anybody."""

from contextlib import suppress
from pathlib import Path

BATTERY_EVERY_S = 120.0  # between two looks: it takes many minutes to lose what matters
_SUPPLIES = Path("/sys/class/power_supply")


def battery(place: Path = _SUPPLIES) -> float | None:
    """From 0 to 1; None on mains, or where nothing is known of a battery."""
    level: float | None = None
    for supply in sorted(place.iterdir()) if place.is_dir() else ():
        with suppress(OSError, ValueError):
            kind = (supply / "type").read_text().strip()
            if kind in ("Mains", "USB") and (supply / "online").read_text().strip() == "1":
                return None
            scope = supply / "scope"  # a mouse has a battery too
            if kind == "Battery" and not (scope.exists() and "Device" in scope.read_text()):
                if (supply / "status").read_text().strip() == "Charging":
                    return None
                percent = int((supply / "capacity").read_text())
                level = min(max(percent / 100, 0.0), 1.0)
    return level
