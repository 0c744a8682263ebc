"""Solicit-Map-Requests to others (RFC 6830, section 6.6.2)."""

from __future__ import annotations

import time

from .address import Eid, Field, Ip
from .control import Control, new_nonce
from .events import Journal
from .wire import MapRequest

TALKED_WITHIN = 60.0
PAUSE = 1.0


class Solicitor:
    """Tells other sites' routers that a mapping of this site changed.

    Told at once are those with whom data or requests were exchanged in the last minute; later, whoever still
    sends packets for an EID that is gone, at most once in PAUSE seconds each.
    """

    def __init__(self, journal: Journal, control: Control):
        self._journal, self._control = journal, control
        self._talked: dict[Ip, float] = {}
        self._sent: dict[tuple[Eid, Ip], float] = {}

    def talked(self, rloc: Ip) -> None:
        """Something was exchanged with this locator."""
        self._talked[rloc] = time.monotonic()

    def changed(self, eid: Eid, source: Field) -> None:
        """The mapping of `eid` is another one now."""
        since = time.monotonic() - TALKED_WITHIN
        self._talked = {rloc: when for rloc, when in self._talked.items() if when > since}
        for rloc in list(self._talked):
            if rloc not in self._control.addresses:
                self._send(eid, source, rloc)

    def stale(self, eid: Eid, source: Field, rloc: Ip) -> None:
        """This locator sent data for an EID that is not here."""
        if time.monotonic() - self._sent.get((eid, rloc), float("-inf")) >= PAUSE:
            self._send(eid, source, rloc)

    def _send(self, eid: Eid, source: Field, rloc: Ip) -> None:
        self._sent[(eid, rloc)] = time.monotonic()
        own = tuple(self._control.addresses)
        request = MapRequest(new_nonce(), source, own, (eid,), smr=True)
        if self._control.send(request.encode(), rloc):
            self._journal.tell("smr", direction="sent", eid=eid, to=rloc)
