"""Which new links we talk on at all: bounds on links and handshakes, in total and by origin."""

from collections import deque
from collections.abc import Sequence

from meshchat.core.events import LinkUp
from meshchat.core.limits import HANDSHAKE_WINDOW_S, Limits
from meshchat.core.link import Link
from meshchat.core.model import Now


class Admission:
    """Judges for one node."""

    def __init__(self, limits: Limits, now: Now) -> None:
        self._limits = limits
        self._handshakes: dict[bytes, deque[float]] = {}  # by origin
        self._sweep_at = now.mono

    def refusal(self, up: LinkUp, links: Sequence[Link], now: Now) -> str:
        """Reason not to talk on a new link, or empty; ``links`` are those there are."""
        if len(links) >= self._limits.links_max:
            return "links_full"
        if up.outbound:
            return ""
        inbound = [link for link in links if not link.outbound]
        if len(inbound) >= self._limits.inbound_max:
            return "inbound_full"
        if sum(link.origin == up.origin for link in inbound) >= self._limits.links_per_origin:
            return "origin_full"
        if sum(not link.is_open for link in links) >= self._limits.half_open_max:
            return "half_open_full"
        since = now.mono - HANDSHAKE_WINDOW_S
        if now.mono >= self._sweep_at:  # not each time: addresses are free to an attacker
            self._sweep_at = now.mono + HANDSHAKE_WINDOW_S
            for origin in [origin for origin, at in self._handshakes.items() if at[-1] < since]:
                del self._handshakes[origin]
        recent = self._handshakes.setdefault(up.origin, deque())
        while recent and recent[0] < since:
            recent.popleft()
        if len(recent) >= self._limits.handshakes_per_window:
            return "handshake_rate"
        recent.append(now.mono)
        return ""
