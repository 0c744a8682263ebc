"""RLOC probing (RFC 6830, section 6.3.2)."""

from __future__ import annotations

from .address import Eid, Field, Ip
from .cache import MapCache
from .control import Control, new_nonce
from .events import Journal
from .loop import Loop
from .wire import MapReply, MapRequest

MISSES = 3


class Prober:
    """Asks every locator in the map-cache in turn; three answers missing in a row mean that it is down."""

    def __init__(self, loop: Loop, journal: Journal, control: Control, cache: MapCache, interval: float):
        self._loop, self._journal, self._control, self._cache = loop, journal, control, cache
        self._interval = interval
        self._open: dict[tuple[Eid, Ip], int] = {}
        self._missed: dict[tuple[Eid, Ip], int] = {}
        if interval > 0:
            loop.after(interval, self._round)

    def _round(self) -> None:
        current = {(eid, locator.address): entry for eid, entry in self._cache for locator in entry.record.locators}
        self._missed = {pair: count for pair, count in self._missed.items() if pair in current}
        for pair in self._open.keys() & current.keys():
            self._missed[pair] = self._missed.get(pair, 0) + 1
            if self._missed[pair] == MISSES:
                current[pair].down.add(pair[1])
                self._journal.tell("locator-down", eid=pair[0], locator=pair[1])
        self._open.clear()
        for eid, rloc in current:
            nonce = new_nonce()
            request = MapRequest(nonce, Field(0, None), tuple(self._control.addresses), (eid,), probe=True)
            if self._control.local(rloc.version) is not None:
                self._open[(eid, rloc)] = nonce
                self._control.send(request.encode(), rloc)
        self._loop.after(self._interval, self._round)

    def answered(self, reply: MapReply, sender: Ip) -> None:
        """A Map-Reply with the probe bit."""
        pair = next((pair for pair, nonce in self._open.items() if nonce == reply.nonce), None)
        if pair is None:
            self._journal.drop("probe-not-asked-for", sender=sender)
            return
        del self._open[pair]
        self._missed.pop(pair, None)
        self._journal.tell("probed", eid=pair[0], locator=pair[1])
        for eid, entry in self._cache:
            if eid == pair[0] and pair[1] in entry.down:
                entry.down.discard(pair[1])
                self._journal.tell("locator-up", eid=eid, locator=pair[1])
