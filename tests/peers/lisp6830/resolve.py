"""Map-Requests of an ITR until they are answered or given up (RFC 6830, sections 4.1 and 6.6.2)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .address import Eid, Field, Ip
from .cache import MapCache
from .control import Control, new_nonce
from .events import Journal
from .loop import Loop, Timer
from .wire import ACTIONS, MapReply, MapRequest

ATTEMPTS = 4
SMR_PAUSE = 0.2


@dataclass
class _Pending:
    eid: Eid
    source: Field
    invoked: bool
    nonces: set[int]
    began: float
    timer: Timer | None = None


class Resolver:
    """Asks the Map-Resolvers in turn; an answer goes into the map-cache."""

    def __init__(self, loop: Loop, journal: Journal, control: Control, cache: MapCache, resolvers: list[Ip],
                 port: int, retry: float):
        self._loop, self._journal, self._control, self._cache = loop, journal, control, cache
        self._resolvers, self._port, self._retry = resolvers, port, retry
        self._pending: dict[Eid, _Pending] = {}
        self._solicited: dict[Eid, float] = {}
        self._waiting: set[Eid] = set()

    def ask(self, eid: Eid, source: Field, invoked: bool = False) -> None:
        """Starts to resolve, unless that is under way. `invoked`: an SMR caused it."""
        if eid in self._pending or not self._resolvers:
            return
        pending = self._pending[eid] = _Pending(eid, source, invoked, set(), time.monotonic())
        self._send(pending)

    def solicited(self, eid: Eid, source: Field, sender: Ip) -> None:
        """An SMR came: what is cached may be old, so the mapping system is asked, at most once in SMR_PAUSE seconds.

        One that comes sooner, or while the question is under way, may know of a later change than the answer:
        it is obeyed when the pause is over.
        """
        if not self._cache.concerned(eid):
            self._journal.drop("smr-not-cached", eid=eid, sender=sender)
            return
        self._journal.tell("smr", direction="received", eid=eid, sender=sender)
        if eid in self._waiting:
            return
        wait = self._solicited.get(eid, float("-inf")) + SMR_PAUSE - time.monotonic()
        if wait <= 0 and eid not in self._pending:
            self._solicited[eid] = time.monotonic()
            self.ask(eid, source, invoked=True)
            return
        self._waiting.add(eid)
        self._loop.after(max(wait, SMR_PAUSE), lambda: self._later(eid, source))

    def _later(self, eid: Eid, source: Field) -> None:
        self._waiting.discard(eid)
        self._solicited[eid] = time.monotonic()
        self.ask(eid, source, invoked=True)

    def _send(self, pending: _Pending) -> None:
        attempt = len(pending.nonces)
        if attempt == ATTEMPTS:
            del self._pending[pending.eid]
            self._journal.tell("unresolved", eid=pending.eid, attempts=attempt)
            return
        nonce = new_nonce()
        pending.nonces.add(nonce)
        request = MapRequest(nonce, pending.source, tuple(self._control.addresses), (pending.eid,),
                             invoked=pending.invoked)
        resolver = self._resolvers[attempt % len(self._resolvers)]
        self._control.send_encapsulated(request, resolver, self._port)
        pending.timer = self._loop.after(self._retry * 2 ** attempt, lambda: self._send(pending))

    def answered(self, reply: MapReply, sender: Ip) -> None:
        """A Map-Reply that is no answer to a probe; without the nonce of a request it is not believed."""
        pending = next((one for one in self._pending.values() if reply.nonce in one.nonces), None)
        if pending is None:
            self._journal.drop("reply-not-asked-for", sender=sender)
            return
        if not any(record.eid.overlaps(pending.eid) for record in reply.records):
            self._journal.drop("reply-for-another-eid", sender=sender, eid=pending.eid)
            return
        pending.timer.cancel()
        del self._pending[pending.eid]
        for record in reply.records:
            self._cache.install(pending.eid, record)
            self._journal.tell("resolved", eid=pending.eid, prefix=record.eid, ttl=record.ttl,
                               locators=[str(locator) for locator in record.locators],
                               action=ACTIONS[record.action] if record.action < len(ACTIONS) else str(record.action),
                               authoritative=record.authoritative, invoked=pending.invoked, sender=sender,
                               seconds=round(time.monotonic() - pending.began, 4))
