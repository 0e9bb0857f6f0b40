"""Looks at this device and says what to do: one sentence per check, nothing is changed.

The sentences are English, as JSON has them; ``plain`` puts them into the language chosen. Works
 without a profile, without a passphrase, and beside a running node.
"""

import asyncio
import os
import shutil
import socket
import stat
import sys
import time
from pathlib import Path
from typing import Literal

from msgspec import Struct

from meshchat.errors import StoreError
from meshchat.i18n import N_
from meshchat.net.beacon import BEACON_PORT
from meshchat.net.ble.radio import LIMITS, REMEDIES, Adapter, Radio, RadioTrouble
from meshchat.net.ble.system import SystemRadio
from meshchat.net.interfaces import scan
from meshchat.profile import Profile

DISK_LOW_BYTES = 512 * 1024 * 1024  # the store may take 256 MiB, and SQLite needs room to work
DISK_NONE_BYTES = 16 * 1024 * 1024  # below this a start may fail
CLOCK_FLOOR_S = 1_767_225_600  # 2026-01-01: this program is not older
CLOCK_CEILING_S = CLOCK_FLOOR_S + 20 * 365 * 86_400
ECHO_WAIT_S = 1.0  # our own datagram comes back within milliseconds, or never
BLUETOOTH_S = 10.0  # to answer who is there
LOCK_NEED_BYTES = 8 * 1024 * 1024
_GROUP = "224.0.0.167"  # that of our beacon; another port, so a running node is not disturbed

_SWAPS = Path("/proc/swaps")
_BLOCKS = Path("/sys/block")


LEVELS = (N_("ok"), N_("warn"), N_("fail"))
NAMES = (
    *(N_("home"), N_("disk"), N_("clock"), N_("interfaces"), N_("multicast"), N_("udp port")),
    *(N_("bluetooth"), N_("swap"), N_("memory")),
)


class Check(Struct, frozen=True):
    """The outcome of looking at one thing."""

    name: str
    level: Literal["ok", "warn", "fail"]
    says: str
    """What is so, and what to do if it is not well."""


def examine(profile: Profile) -> list[Check]:
    """Make every check, in the order of a start. Takes up to some seconds."""
    return [
        _home(profile),
        _disk(profile),
        _clock(time.time()),
        *_network(),
        _port(profile),
        _bluetooth(SystemRadio()),
        _swap(_SWAPS),
        _memory(),
    ]


def _home(profile: Profile) -> Check:
    home = profile.home
    try:
        there = profile.has_home()
    except StoreError as error:
        return Check("home", "fail", str(error))
    if not there:
        return Check("home", "warn", f"There is no profile in {home}; make one: meshchat init.")
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Check("home", "fail", f"{home} cannot be read and written; mend its owner or mode.")
    mode = stat.S_IMODE(home.stat().st_mode)
    if sys.platform != "win32" and mode & 0o077:
        return Check("home", "fail", f"Others can look into {home}; run: chmod 700 {home}")
    if not profile.exists():
        return Check("home", "warn", f"There is no profile in {home}; make one: meshchat init.")
    return Check("home", "ok", f"{home} is private and writable.")


def _disk(profile: Profile) -> Check:
    place = next(place for place in (profile.home, *profile.home.parents) if place.is_dir())
    free = shutil.disk_usage(place).free
    if free < DISK_NONE_BYTES:
        return Check("disk", "fail", f"Only {free >> 20} MiB are free at {place}; make room.")
    if free < DISK_LOW_BYTES:
        return Check(
            "disk", "warn", f"Only {free >> 20} MiB are free; 512 MiB let mail be carried."
        )
    return Check("disk", "ok", f"{free >> 20} MiB are free.")


def _clock(now: float) -> Check:
    shown = time.strftime("%Y-%m-%d %H:%M", time.localtime(now))
    if not CLOCK_FLOOR_S <= now <= CLOCK_CEILING_S:
        return Check(
            "clock", "fail", f"The clock says {shown}; set it, or messages expire at once or never."
        )
    return Check("clock", "ok", f"It is {shown}; more than a day off would cost messages.")


def _network() -> list[Check]:
    used = scan().used
    if not used:
        says = N_(
            "No network is connected; join a Wi-Fi or plug in a cable, no internet is needed."
        )
        return [Check("interfaces", "fail", says)]
    names = ", ".join(nic.name for nic in used)
    checks = [Check("interfaces", "ok", f"Neighbours can be found on: {names}.")]
    for nic in used:
        for address in nic.v4[:1]:
            checks.append(_echo(nic.name, str(address.ip), nic.broadcasts[:1]))
    return checks


def _echo(name: str, address: str, broadcasts: tuple[str, ...]) -> Check:
    """Send a datagram to the beacon's group and the broadcast address; does it come back?"""
    ways = [("multicast", _GROUP), *(("broadcast", to) for to in broadcasts)]
    deaf = [kind for kind, to in ways if not _comes_back(address, to)]
    if not deaf:
        return Check("multicast", "ok", f"Datagrams to everybody work on {name}.")
    port = BEACON_PORT
    if len(deaf) == 2:
        says = N_(
            f"No multicast and no broadcast on {name}; allow UDP port {port} in the firewall."
        )
    elif deaf == ["multicast"]:
        says = N_(f"No multicast on {name}; allow UDP port {port} in the firewall.")
    else:
        says = N_(f"No broadcast on {name}; allow UDP port {port} in the firewall.")
    return Check("multicast", "warn" if len(deaf) < len(ways) else "fail", says)


def _comes_back(address: str, to: str) -> bool:
    mark = os.urandom(16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        try:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sender.bind(("", 0))
            port = sender.getsockname()[1]
            if to == _GROUP:
                own = socket.inet_aton(address)
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
                group = socket.inet_aton(_GROUP) + own
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            sender.sendto(mark, (to, port))
            until = time.monotonic() + ECHO_WAIT_S
            while (left := until - time.monotonic()) > 0:
                sender.settimeout(left)
                if sender.recv(64) == mark:
                    return True
        except OSError:  # refused or nothing came: both mean that it does not work
            return False
    return False


def _port(profile: Profile) -> Check:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", BEACON_PORT))
        except OSError:
            if profile.socket_path.exists():
                return Check("udp port", "ok", f"UDP port {BEACON_PORT} is used by a node.")
            says = N_(
                f"UDP port {BEACON_PORT} is in use; end the other program if it is not meshchat."
            )
            return Check("udp port", "warn", says)
    return Check("udp port", "ok", f"UDP port {BEACON_PORT} is free.")


def _bluetooth(radio: Radio) -> Check:
    async def look() -> Adapter:
        async with asyncio.timeout(BLUETOOTH_S):
            return await radio.peripheral().look()

    try:
        adapter = asyncio.run(look())
    except RadioTrouble as trouble:
        return Check("bluetooth", "warn", REMEDIES[trouble.reason])
    except TimeoutError:
        return Check("bluetooth", "warn", REMEDIES["stuck"])
    limit = adapter.limit
    if limit:
        return Check("bluetooth", "warn", LIMITS[limit])
    if adapter.address == "changes":
        says = N_(
            f"Others can be found and find us by {adapter.name}. It changes its address by a clock"
            f" of its own: who never stops listening here can follow it from one name to the next."
        )
    else:
        says = N_(f"Others can be found and find us by {adapter.name}.")
    return Check("bluetooth", "ok", says)


def _swap(place: Path) -> Check:
    if not place.exists():
        return Check("swap", "ok", "This system does not tell about swap.")
    rows = [line.split()[0] for line in place.read_text("utf-8").splitlines()[1:] if line.strip()]
    clear = [row for row in rows if not _keeps_no_clear_text(row)]
    if clear:
        says = N_(
            f"Swap on {clear[0]} is not known to be encrypted and may keep keys and messages for "
            f"good; encrypt it, or turn it off: swapoff -a"
        )
        return Check("swap", "warn", says)
    return Check("swap", "ok", "No unencrypted swap is in use.")


def _keeps_no_clear_text(device: str) -> bool:
    """Whether what is swapped to a device is encrypted, or stays in memory."""
    name = Path(device).resolve().name
    if name.startswith("zram"):
        return True
    try:  # LVM is a device mapper too, and encrypts nothing
        return (_BLOCKS / name / "dm" / "uuid").read_text("ascii").startswith("CRYPT-")
    except OSError:
        return False


def _memory() -> Check:
    if sys.platform == "win32":
        return Check("memory", "ok", "This system has no limit on locked memory.")
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft != resource.RLIM_INFINITY and soft < LOCK_NEED_BYTES:
        says = N_(
            f"Only {soft >> 10} KiB may be locked; keys may reach swap, so keep swap encrypted."
        )
        return Check("memory", "warn", says)
    return Check("memory", "ok", "Enough memory may be locked.")
