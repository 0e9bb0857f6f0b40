"""What being found costs in each profile: ``python -m tests.bench.ble_energy``.

Twenty people walk about an office for a working day in the simulator, whose radios run the
product's own policy. Then one radio is alone for an hour, in silence and under a storm of made-up
adverts (attack 47). Virtual time: the figures do not depend on this machine.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "net" / "ble")]

from radios import Room  # noqa: E402

from meshchat.net.ble.duty import Profile  # noqa: E402
from meshchat.sim.runs import run_scenario  # noqa: E402
from tests.bench.table import Figure, show  # noqa: E402

OFFICE = """
[scenario]
title = "An office for a working day"
duration = "8h"
area = [200, 200]
[[people]]
name = "staff"
count = 20
move = { model = "random_waypoint", speed = [0.5, 1.5], pause = ["2min", "20min"] }
[radios.ble]
range_m = 30
rate = 20_000
setup_s = 1
failure = 0.1
mtu = 5501
profile = "normal"
[[workload]]
name = "notes"
per_day = 20
size = [20, 200]
ttl = "2h"
"""
BARS = {  # share of the time listening, wake-ups an hour, seconds to a link (median)
    "always": ("<= 0.6", "", "<= 3"),
    "normal": ("<= 0.12", "<= 600", "<= 15"),
    "saver": ("<= 0.05", "<= 200", "<= 300"),
}
STORM_PER_S = 300
STORM_BAR = 3.0


def office(profile: str) -> dict[str, Any]:
    """The result of the day."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "office.toml"
        path.write_text(OFFICE)
        return dict(run_scenario(str(path), fast=True, sets={"radios.ble.profile": profile}))


def storm(profile: Profile) -> tuple[float, float]:
    """Wake-ups, and seconds of listening, under attack as multiples of those in silence."""
    found = []
    for tokens in (0, STORM_PER_S // 10):
        room = Room(seed=1)
        radio = room.add(profile)
        for _ in range(36_000):
            room.storm(radio, tokens)
            room.run(0.1)
        found.append((radio.wakes + radio.switches, radio.scan_s + radio.dial_s))
    (quiet_wakes, quiet_s), (wakes, seconds) = found
    return wakes / quiet_wakes, seconds / quiet_s


def figures() -> list[Figure]:
    """The three profiles, and the storm."""
    found: list[Figure] = []
    for profile, (duty, wakeups, link) in BARS.items():
        run = office(profile)
        radio = run["discovery"]["ble"]
        found += [
            (f"BLE {profile}: share of time listening", radio["scan_duty"], duty),
            (f"BLE {profile}: wake-ups an hour", radio["wakeups_per_h"], wakeups),
            (f"BLE {profile}: seconds to a link, median", radio["first_link_p50_s"], link),
            (f"BLE {profile}: the same, 90 %", radio["first_link_p90_s"], ""),
            (f"BLE {profile}: joules of the radio in 8 h", run["energy_j"]["mean"], ""),
            (f"BLE {profile}: delivery ratio", run["delivery_ratio"], ""),
            (f"BLE {profile}: of the limit", run["ratio"]["limit"], ""),
        ]
    wakes, seconds = storm(Profile.NORMAL)
    found += [
        ("BLE normal, advert storm: wake-ups, times idle", wakes, f"<= {STORM_BAR}"),
        ("BLE normal, advert storm: listening, times idle", seconds, f"<= {STORM_BAR}"),
    ]
    return found


if __name__ == "__main__":
    sys.exit(bool(show(figures())))
