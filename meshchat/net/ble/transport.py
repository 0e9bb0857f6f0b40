"""The Bluetooth transport: carries out what ``policy`` decides, by the system's radio.

Owns the radio, its links and their tasks. While the radio is not to be used, for whatever
reason, that is a status with its remedy, and the next try follows by itself.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from random import SystemRandom

from meshchat.core.events import (
    LinkDown,
    LinkUp,
    NeighbourDown,
    NeighbourUp,
    NewFace,
    Received,
)
from meshchat.core.model import Now
from meshchat.net.ble.actions import Action, Advertise, CancelDial, Close, Dial, Rotate, Scan
from meshchat.net.ble.battery import BATTERY_EVERY_S, battery
from meshchat.net.ble.duty import Profile
from meshchat.net.ble.framing import Framer
from meshchat.net.ble.limits import DIAL_S, FRAME_MAX_BYTES
from meshchat.net.ble.link import DRAIN_S, BleLink
from meshchat.net.ble.policy import Policy
from meshchat.net.ble.radio import (
    LIMITS,
    REMEDIES,
    Adapter,
    Central,
    Peripheral,
    Pipe,
    PipeLost,
    Radio,
    RadioTrouble,
    Sighting,
)
from meshchat.net.ble.system import SystemRadio
from meshchat.net.transport import Host, TransportStatus
from meshchat.system import system_now

RETRY_FIRST_S = 2.0  # after trouble; doubles. News of the adapter ends the wait
RETRY_MAX_S = 60.0
CANCEL_AGAIN_S = 0.5
CALL_TRIES = 5  # of one wish to the radio: BlueZ is busy now and then ...
CALL_AGAIN_S = 1.0
PASSING = ("other", "stuck")  # ... and says so in many ways
ORIGIN_MAX_BYTES = 64  # what the core takes
_COUNTERS = ("turned_away", "in_reach")

log = logging.getLogger(__name__)


class BleTransport:
    """Links with devices in radio reach.

    Args:
        profile: What the person chose to spend: ``always``, ``normal`` or ``saver``.
        adapter: Name of the adapter; empty: the first that is on.
        radio: For tests; None: the system's.
        clock: Both clocks; the monotonic one is the loop's.
    """

    name = "ble"

    def __init__(
        self,
        profile: str = "normal",
        adapter: str = "",
        radio: Radio | None = None,
        clock: Callable[[], Now] = system_now,
    ) -> None:
        self._radio = radio or SystemRadio(adapter)
        self._now = clock
        self.policy = Policy(SystemRandom(), self._now(), Profile(profile), battery())
        self._host: Host
        self._peripheral: Peripheral | None = None
        self._central: Central | None = None
        self._adapter: Adapter | None = None
        self._trouble = RadioTrouble("starting", "")
        self._ended = asyncio.Event()
        self._group: asyncio.TaskGroup
        self._tasks: set[asyncio.Task[None]] = set()
        self._links: dict[int, BleLink] = {}
        self._pipes: dict[Pipe, BleLink] = {}
        self._timer: asyncio.TimerHandle | None = None
        # What the policy wants of the radio, and what the radio does.
        self._wish = asyncio.Event()
        self._advert = self._advert_now = Advertise(None)
        self._scan = self._scan_now = self._scan_anew = False
        self._dial: Dial | None = None
        self._dialling: asyncio.Task[Pipe] | None = None
        self._told: TransportStatus | None = None

    # --- Transport ---------------------------------------------------------------------------

    async def run(self, host: Host) -> None:
        """Find peers and carry frames until cancelled. Trouble with Bluetooth is a status."""
        self._host = host
        self._report()
        forget = host.subscribe(self._news)
        loop = asyncio.get_running_loop()
        retry_s = RETRY_FIRST_S
        try:
            while True:
                begun = loop.time()
                try:
                    await self._use()
                except RadioTrouble as trouble:
                    log.info("Bluetooth cannot be used: %s", trouble.reason)
                    self._trouble, self._adapter = trouble, None
                self._report()
                if loop.time() - begun > RETRY_MAX_S:
                    retry_s = RETRY_FIRST_S
                with suppress(TimeoutError):
                    async with asyncio.timeout(retry_s):
                        await self._changed()
                retry_s = min(2 * retry_s, RETRY_MAX_S)
        finally:
            forget()
            if self._peripheral is not None:
                await self._peripheral.close()

    def send(self, link: int, frames: tuple[bytes, ...]) -> None:
        """Queue frames; unknown or closed links are ignored."""
        if (found := self._links.get(link)) is not None:
            found.send(frames)

    def close(self, link: int, reason: str, kept: int = 0) -> None:
        """End a link after flushing; no ``LinkDown`` is posted for it."""
        if (found := self._links.pop(link, None)) is not None:
            found.leave()
            self._do(self.policy.link_down(link, reason, self._now(), kept))

    def status(self) -> TransportStatus:
        """Facts, and why not more."""
        adapter, policy = self._adapter, self.policy
        if adapter is None:
            trouble = self._trouble
            return TransportStatus(
                "ble", False, trouble.reason, REMEDIES.get(trouble.reason, ""), {}
            )
        detail: dict[str, str | int] = {
            "adapter": adapter.name,
            "address": adapter.address,
            "links": sum(link.told for link in self._links.values()),
            "in_reach": policy.in_reach,
            "profile": policy.spends.value,
            "awake": "yes" if policy.awake(self._now()) else "no",
            "turned_away": policy.turned_away,
        }
        return TransportStatus("ble", True, adapter.limit, LIMITS.get(adapter.limit, ""), detail)

    # --- the radio ---------------------------------------------------------------------------

    async def _use(self) -> None:
        """Use the radio for as long as it works.

        Raises:
            RadioTrouble: Why it does not.
        """
        if self._peripheral is None:
            self._peripheral = await asyncio.to_thread(self._radio.peripheral)
        peripheral = self._peripheral
        self._ended.clear()
        adapter = await peripheral.open(self)
        try:
            self._central = await asyncio.to_thread(self._radio.central, self, adapter.name)
            self._adapter = adapter
            async with asyncio.TaskGroup() as self._group:
                helpers = [
                    self._group.create_task(self._work()),
                    self._group.create_task(self._watch_battery()),
                ]
                try:
                    self._act(
                        lambda now: self.policy.adapter(True, now, peripheral=adapter.findable)
                    )
                    await self._ended.wait()
                finally:
                    await _end(helpers)
                    await self._finish()
        finally:
            self._adapter = None
            if self._central is not None:
                await self._central.close()
                self._central = None
            self._advert = self._advert_now = Advertise(None)
            self._scan = self._scan_now = False
            self._dial = self._dialling = None
        raise self._trouble

    async def _finish(self) -> None:
        """The radio is given up: let last frames leave if they can."""
        self.policy.adapter(False, self._now())
        if self._timer is not None:
            self._timer.cancel()
        for link in list(self._links.values()):
            self._gone(link, "done")
            link.leave()
        if self._tasks and not self._ended.is_set():
            await asyncio.wait(self._tasks, timeout=DRAIN_S)
        await _end(self._tasks)

    async def _changed(self) -> None:
        if self._peripheral is None:
            await asyncio.get_running_loop().create_future()
        else:
            await self._peripheral.changed()

    async def _work(self) -> None:
        """Make the radio do what the policy wants, one call at a time."""
        central, peripheral = self._central, self._peripheral
        assert central is not None and peripheral is not None
        while True:
            await self._wish.wait()
            self._wish.clear()
            if self._scan_now and (not self._scan or self._scan_anew):
                self._scan_now = False
                await self._call(partial(central.scan, False))
            if (advert := self._advert) != self._advert_now:
                self._advert_now = advert
                await self._call(partial(peripheral.advertise, advert.token, advert.every_s))
            self._scan_anew = False
            if self._scan and not self._scan_now:
                self._scan_now = True
                await self._call(partial(central.scan, True))
            if self._dial is not None:
                await self._dial_out(central, self._dial)

    async def _call(self, call: Callable[[], Awaitable[None]]) -> None:
        for attempt in range(1, CALL_TRIES + 1):
            try:
                await call()
                return
            except RadioTrouble as trouble:
                if trouble.reason not in PASSING or attempt == CALL_TRIES:
                    self.trouble(trouble)
                    return
            await asyncio.sleep(CALL_AGAIN_S)

    async def _dial_out(self, central: Central, dial: Dial) -> None:
        device = str(dial.address)
        self._dial = None
        if any(pipe.device == device for pipe in self._pipes):
            self._act(self.policy.dial_failed)  # it has just dialled us, and will greet
            return
        loop = asyncio.get_running_loop()
        self._dialling = task = loop.create_task(central.dial(device, 2 * DIAL_S))
        try:
            await asyncio.wait([task])
        finally:
            self._dialling = None
            if not task.done():  # we are ending
                task.cancel()
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            pipe = task.result()
            link = self._link(pipe, Framer.dialler)
            self._act(lambda now: self.policy.dialled(link.number, now))
        elif isinstance(error, PipeLost):
            self._act(self.policy.dial_failed)
        elif isinstance(error, RadioTrouble):
            self._act(self.policy.dial_failed)
            if error.reason not in PASSING:
                self.trouble(error)
        else:
            raise error

    async def _watch_battery(self) -> None:
        while True:
            level = battery()
            self._act(lambda now, level=level: self.policy.power(level, now))
            await asyncio.sleep(BATTERY_EVERY_S)

    # --- what the policy wants ---------------------------------------------------------------

    def _act(self, tell: Callable[..., list[Action]]) -> None:
        """Tell the policy something, and carry out what it answers."""
        self._do(tell(self._now()))

    def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Close):
                if (link := self._links.get(action.link)) is not None:
                    self._gone(link, action.reason)
                    link.leave(turned_away=action.reason == "turned_away")
            elif isinstance(action, Rotate):
                self._host.post(NewFace())
                self._scan_anew = True  # after a suspension the system may have forgotten it
            elif isinstance(action, Advertise):
                self._advert = action
            elif isinstance(action, Scan):
                self._scan = action.on
            elif isinstance(action, Dial):
                self._dial = action
            elif isinstance(action, CancelDial):
                self._dial = None
                if self._dialling is not None:
                    self._dialling.cancel()
        self._wish.set()
        self._arm()
        self._report()

    def _arm(self) -> None:
        due = self.policy.next_wakeup(self._now())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(due, self._act, self.policy.wake)

    # --- Ear ---------------------------------------------------------------------------------

    def sighted(self, sighting: Sighting) -> None:
        """See ``radio.Ear``."""
        now = self._now()
        actions = self.policy.seen(sighting.token, sighting.device, sighting.rssi, now)
        if actions:
            self._do(actions)
        else:  # as with nearly every advert
            self._arm()

    def opened(self, pipe: Pipe) -> None:
        """See ``radio.Ear``."""
        taken = {link.framer.tag for link in self._pipes.values() if not link.framer.outbound}
        tag = next(tag for tag in range(1, 256) if tag not in taken)
        link = self._link(pipe, lambda room, token, now: Framer.dialled(room, token, tag, now))
        self._act(lambda now: self.policy.inbound(link.number, now))

    def received(self, pipe: Pipe, packet: bytes) -> None:
        """See ``radio.Ear``."""
        link = self._pipes.get(pipe)
        if link is None:
            return
        frames = link.received(packet)
        if link.framer.is_open and not link.told and link.number in self._links:
            self._open(link)
        if frames and link.number in self._links:
            self._host.post(Received(link.number, tuple(frames)))
            if link.mail:
                self.policy.brought(link.number, link.mail, self._now())
                link.mail = 0

    def lost(self, pipe: Pipe, reason: str) -> None:
        """See ``radio.Ear``."""
        if (link := self._pipes.get(pipe)) is not None:
            link.lost(reason)

    def trouble(self, trouble: RadioTrouble) -> None:
        """See ``radio.Ear``."""
        if self._ended.is_set():
            return
        self._trouble = trouble
        self._ended.set()
        self.policy.adapter(False, self._now())
        for link in list(self._links.values()):
            link.lost(trouble.reason)
            self._gone(link, trouble.reason)

    # --- links -------------------------------------------------------------------------------

    def _link(self, pipe: Pipe, framer: Callable[[int, bytes, float], Framer]) -> BleLink:
        made = framer(pipe.payload, self.policy.token, self._now().mono)
        link = BleLink(self._host.new_link(), pipe, made)
        self._links[link.number] = self._pipes[pipe] = link
        task = self._group.create_task(self._carry(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return link

    async def _carry(self, link: BleLink) -> None:
        """A link's life after its first moment."""
        try:
            reason = await link.run()
            if link.number in self._links:
                self._gone(link, reason)
                self._do(self.policy.link_down(link.number, reason, self._now()))
        finally:
            self._pipes.pop(link.pipe, None)
            if not self._ended.is_set():
                await link.pipe.close()

    def _open(self, link: BleLink) -> None:
        """Both sides have greeted: now it is a link."""
        link.told = True
        framer = link.framer
        self._host.post(
            LinkUp(
                link.number,
                transport="ble",
                outbound=framer.outbound,
                mtu=FRAME_MAX_BYTES,
                prologue=framer.prologue,
                origin=(b"ble:" + link.pipe.device.encode())[:ORIGIN_MAX_BYTES],
                supervised=True,
            )
        )
        self._act(lambda now: self.policy.greeted(link.number, framer.peer_token, now))

    def _gone(self, link: BleLink, reason: str) -> None:
        """It is no link of ours any more; tell the core if it knew."""
        if self._links.pop(link.number, None) is not None and link.told:
            self._host.post(LinkDown(link.number, reason))

    def _news(self, news: object) -> None:
        if isinstance(news, NeighbourDown) and news.transport != self.name:
            self._act(lambda now: self.policy.other_down(news.link, now))
        elif isinstance(news, NeighbourUp) and news.neighbour.contact:
            number = news.neighbour.link
            if number in self._links:
                self._act(lambda now: self.policy.recognised(number, now))

    def _report(self) -> None:
        """Tell the host if the status changed in more than a counter."""
        status = self.status()
        for counter in _COUNTERS:
            status.detail.pop(counter, None)
        if status != self._told:
            self._told = status
            self._host.changed(self.status())


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel, and again if need be: somewhere below a radio's library may swallow it."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)
