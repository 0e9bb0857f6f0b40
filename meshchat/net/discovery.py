"""Being found by mDNS (``_meshchat._tcp``): what reaches us where beacons are filtered.

zeroconf is imported here only, and late. Its events are hints; presence comes
from beacons and links. A new session with fresh random names is made for each
session id, because zeroconf itself never notices that a network changed and
would offer the old network's peers again. If it cannot run, beacons go on.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING

from meshchat.net.candidates import Address
from meshchat.net.interfaces import Network

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

SERVICE = "_meshchat._tcp.local."
BROWSE_S = 60.0  # a browser that found nobody never asks again, so it is made anew
BROWSE_HEARD_S = 300.0  # where beacons work too: 20 nodes asking each minute cost 60 ms CPU each
RESOLVE_MS = 3_000
RESOLVERS = 4  # names asked for at once
NAMES_WAITING_MAX = 256  # of a flood of forged names only the newest are looked at
ADDRESSES_MAX = 16  # told to others
GOODBYE_S = 1.0  # for the farewell at the end

log = logging.getLogger(__name__)


class Names:
    """Announces our session id by mDNS and resolves those of others.

    Args:
        found: Called with a session id and the on-link addresses told for it.
        gone: Called when a name was taken back (or somebody forged that).
        known: Whether a session id need not be resolved.
        heard: Whether beacons of others arrive, so that mDNS matters less.
    """

    def __init__(
        self,
        found: Callable[[bytes, Iterable[Address]], None],
        gone: Callable[[bytes], None],
        known: Callable[[bytes], bool],
        heard: Callable[[], bool],
    ) -> None:
        self.trouble = ""
        """Why mDNS does not run at the moment, or empty."""
        self._found, self._gone, self._known, self._heard = found, gone, known, heard
        self._sid, self._port, self._network = bytes(16), 0, Network()
        self._changed = asyncio.Event()
        self._waiting: dict[str, None] = {}  # names to resolve, oldest first
        self._work = asyncio.Event()

    def restart(self, sid: bytes, port: int, network: Network) -> None:
        """Go on as ``sid`` on these interfaces."""
        self._sid, self._port, self._network = sid, port, network
        self._changed.set()

    async def run(self) -> None:
        """Announce and browse until cancelled; then say goodbye."""
        # In a thread: the import takes longer than a beacon's answer should.
        error = await asyncio.to_thread(_load)
        while True:
            self._changed.clear()
            if not self._network.used:
                await self._changed.wait()
                continue
            try:
                await self._session()
            except* (OSError, RuntimeError, error) as group:  # RuntimeError: no interface
                self.trouble = _why(group)
                log.info("mDNS does not run: %s", self.trouble)
            if self.trouble:
                await self._wait(BROWSE_S)

    async def _session(self) -> None:
        """One life of zeroconf, until the network changes."""
        from zeroconf import IPVersion
        from zeroconf.asyncio import AsyncZeroconf

        nics = self._network.used
        v4 = [str(own.ip) for nic in nics for own in nic.v4]
        v6 = [nic.index for nic in nics if nic.v6]
        version = IPVersion.All if v4 and v6 else IPVersion.V4Only if v4 else IPVersion.V6Only
        service = AsyncZeroconf(interfaces=[*v4, *v6], ip_version=version)
        try:
            await service.async_register_service(
                self._info(),
                cooperating_responders=True,  # a random name needs no 1.2 s of probing
            )
            self.trouble = ""
            await self._browse(service)
        finally:
            try:
                async with asyncio.timeout(GOODBYE_S):
                    await service.async_close()
            except TimeoutError:
                log.info("mDNS goodbye took too long")

    def _info(self) -> "AsyncServiceInfo":
        from zeroconf.asyncio import AsyncServiceInfo

        nics = self._network.used
        addresses = [own.packed for nic in nics for own in nic.v4]
        addresses += [own.packed for nic in nics for own in nic.v6]
        return AsyncServiceInfo(
            SERVICE,
            f"{self._sid.hex()}.{SERVICE}",
            port=self._port,
            addresses=addresses[:ADDRESSES_MAX],
            properties={"v": "1"},
            server=f"{secrets.token_hex(10)}.local.",  # never the hostname
        )

    async def _browse(self, service: "AsyncZeroconf") -> None:
        from zeroconf.asyncio import AsyncServiceBrowser

        self._waiting.clear()
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._resolve(service)) for _ in range(RESOLVERS)]
            while not self._changed.is_set():
                browser = AsyncServiceBrowser(service.zeroconf, SERVICE, handlers=[self._event])
                await self._wait(BROWSE_S)
                if self._heard():
                    await self._wait(BROWSE_HEARD_S - BROWSE_S)
                await browser.async_cancel()
            for worker in workers:
                worker.cancel()

    def _event(
        self,
        zeroconf: "Zeroconf",  # noqa: ARG002  zeroconf passes all four by name
        service_type: str,  # noqa: ARG002
        name: str,
        state_change: "ServiceStateChange",
    ) -> None:
        sid = _sid_of(name)
        if sid is None:
            return
        if state_change.name == "Removed":
            self._waiting.pop(name, None)
            self._gone(sid)
        elif not self._known(sid):
            if len(self._waiting) >= NAMES_WAITING_MAX:
                del self._waiting[next(iter(self._waiting))]
            self._waiting[name] = None
            self._work.set()

    async def _resolve(self, service: "AsyncZeroconf") -> None:
        from zeroconf.asyncio import AsyncServiceInfo

        while True:
            while not self._waiting:
                self._work.clear()
                await self._work.wait()
            name, _ = self._waiting.popitem()  # newest first
            sid = _sid_of(name)
            if sid is None or self._known(sid):
                continue
            info = AsyncServiceInfo(SERVICE, name)
            if await info.async_request(service.zeroconf, RESOLVE_MS) and info.port:
                addresses = (_address(text, info.port) for text in info.parsed_scoped_addresses())
                self._found(sid, [a for a in addresses if self._network.on_link(a.host, a.scope)])

    async def _wait(self, seconds: float) -> None:
        """Until the network changes, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return


def _why(group: BaseExceptionGroup[BaseException]) -> str:
    """The text of one of the errors inside."""
    first = group.exceptions[0]
    if isinstance(first, BaseExceptionGroup):
        return _why(first)
    return str(first) or type(first).__name__


def _load() -> type[Exception]:
    """Import zeroconf, silence it, and return the root of its exceptions."""
    import zeroconf
    import zeroconf.asyncio

    # It warns of every dead interface again and again; our status says it once.
    logging.getLogger("zeroconf").setLevel(logging.CRITICAL)
    return zeroconf.Error


def _sid_of(name: str) -> bytes | None:
    label = name.removesuffix(f".{SERVICE}")
    try:
        return bytes.fromhex(label) if len(label) == 32 else None
    except ValueError:
        return None


def _address(text: str, port: int) -> Address:
    host, _, zone = text.partition("%")
    link_local = zone.isdecimal() and ip_address(host).is_link_local
    return Address(host, port, int(zone) if link_local else 0)
