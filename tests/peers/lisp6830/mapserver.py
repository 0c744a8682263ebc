"""Map-Server and Map-Resolver in one (RFC 6833, sections 4.2 to 4.4)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .address import Eid, Ip
from .control import Arrival, Control
from .events import Journal
from .loop import Loop
from .table import Table, hole
from .wire import (MAP_NOTIFY, MAP_REGISTER, MAP_REQUEST, NATIVELY_FORWARD, Authenticated, MapReply, MapRequest, Record,
                   encapsulated)

UNKNOWN_TTL = 15
UNREGISTERED_TTL = 1


@dataclass
class Site:
    """Prefixes that one key may register, and anything inside them, in any instance."""

    key: bytes
    prefixes: list[Eid]


@dataclass
class Options:
    """What the server is told. `lifetime` is how long a registration stands, in seconds (RFC 6833: three minutes).

    `tell_old` sends a Map-Notify to the ETR that loses a prefix to another one: not in the RFC, but what IOS
    does for hosts that move.
    """

    sites: list[Site]
    listen: list[Ip]
    port: int = 4342
    lifetime: float = 180.0
    proxy: bool = False
    tell_old: bool = False


@dataclass
class Registration:
    """A mapping as its ETR registered it."""

    record: Record
    site: Site
    etr: Ip
    port: int
    proxy: bool
    ends: float


class MapServer:
    """Registrations in, mappings out."""

    def __init__(self, loop: Loop, journal: Journal, options: Options):
        self._loop, self._journal, self._options = loop, journal, options
        self._registered: Table[Registration] = Table()
        self._control = Control(loop, journal, options.listen, options.port, self._arrived)
        journal.tell("ready", role="map-server", listen=[str(one) for one in options.listen],
                     prefixes=[str(eid.net) for site in options.sites for eid in site.prefixes])
        self._sweep()

    def _sweep(self) -> None:
        now = time.monotonic()
        for eid in self._registered:
            if self._registered.get(eid).ends <= now:
                self._registered.pop(eid)
                self._journal.tell("expired", eid=eid)
        self._loop.after(min(1.0, self._options.lifetime / 4), self._sweep)

    def _arrived(self, kind: int, arrival: Arrival) -> None:
        if kind == MAP_REGISTER and not arrival.encapsulated:
            self._register(Authenticated.decode(arrival.data), arrival)
        elif kind == MAP_REQUEST and arrival.encapsulated:
            self._request(MapRequest.decode(arrival.data), arrival)
        else:
            self._journal.drop("unexpected-type", type=kind, encapsulated=arrival.encapsulated, sender=arrival.sender)

    # Registration.

    def _site(self, eid: Eid) -> tuple[Site, Eid] | None:
        """The site whose prefix covers an EID most specifically, whatever the instance."""
        bare = Eid(0, eid.net)
        fitting = [(one.net.prefixlen, site, one) for site in self._options.sites for one in site.prefixes
                   if one.covers(bare)]
        return max(fitting, key=lambda row: row[0])[1:] if fitting else None

    def _register(self, register: Authenticated, arrival: Arrival) -> None:
        sites = [self._site(record.eid) for record in register.records]
        if not sites or None in sites:
            self._reject(register, arrival, "no site has this prefix")
            return
        site = sites[0][0]
        if any(one[0] is not site for one in sites):
            self._reject(register, arrival, "prefixes of several sites")
            return
        if not register.signed_with(site.key):
            self._reject(register, arrival, "not authentic")
            return
        for record in register.records:
            self._take(record, register, arrival, site)
        if register.want_notify:
            notify = Authenticated(MAP_NOTIFY, register.nonce, register.records, auth_length=register.auth_length)
            self._control.send(notify.encode(site.key), arrival.sender, arrival.port)
            self._journal.tell("notify-sent", to=arrival.sender, nonce=register.nonce)

    def _reject(self, register: Authenticated, arrival: Arrival, reason: str) -> None:
        self._journal.tell("registration-rejected", reason=reason, etr=arrival.sender, key_id=register.key_id,
                           eids=[str(record.eid) for record in register.records])

    def _take(self, record: Record, register: Authenticated, arrival: Arrival, site: Site) -> None:
        old = self._registered.get(record.eid)
        if record.ttl == 0:
            if old is not None and old.etr == arrival.sender:
                self._registered.pop(record.eid)
            self._journal.tell("deregistered", eid=record.eid, etr=arrival.sender)
            return
        ends = time.monotonic() + self._options.lifetime
        self._registered[record.eid] = Registration(record, site, arrival.sender, arrival.port, register.proxy, ends)
        moved = old is not None and old.record.locators != record.locators
        self._journal.tell("registration", eid=record.eid, etr=arrival.sender, nonce=register.nonce,
                           new=old is None, moved=moved, proxy=register.proxy, ttl=record.ttl,
                           locators=[str(locator) for locator in record.locators])
        if moved and self._options.tell_old and old.etr != arrival.sender:
            notify = Authenticated(MAP_NOTIFY, register.nonce, (record,), auth_length=register.auth_length)
            self._control.send(notify.encode(site.key), old.etr, old.port)
            self._journal.tell("old-etr-notified", eid=record.eid, to=old.etr)

    # Requests.

    def _request(self, request: MapRequest, arrival: Arrival) -> None:
        for eid in request.eids:
            found = self._registered.longest(eid)
            if found is None:
                self._negative(eid, request, arrival)
            elif found[1].proxy or self._options.proxy:
                self._proxied(eid, found[1], request, arrival)
            else:
                self._forward(eid, found[1], arrival)

    def _forward(self, eid: Eid, registration: Registration, arrival: Arrival) -> None:
        """Hands the request on as it came, in an Encapsulated Control Message of its own, to the ETR."""
        places = tuple(locator.address for locator in registration.record.locators if locator.priority != 255)
        etr = self._control.reachable(places) or registration.etr
        self._control.send(encapsulated(arrival.whole[4:]), etr, self._options.port)
        self._journal.tell("forwarded", eid=eid, etr=etr)

    def _proxied(self, eid: Eid, registration: Registration, request: MapRequest, arrival: Arrival) -> None:
        record = registration.record
        locators = tuple(locator._replace(local=False, probed=False) for locator in record.locators)
        record = record._replace(locators=locators, authoritative=False)
        inside = [self._registered.get(one).record._replace(authoritative=False) for one in self._registered
                  if one != record.eid and eid.covers(one)]
        self._reply(request, arrival, (record, *inside))
        self._journal.tell("proxy-reply", eid=eid, prefix=record.eid)

    def _negative(self, eid: Eid, request: MapRequest, arrival: Arrival) -> None:
        site = self._site(eid)
        if site is not None:
            within = Eid(eid.iid, site[1].net)
            prefix, ttl = hole(eid, self._registered, within), UNREGISTERED_TTL
        else:
            configured: Table[bool] = Table()
            for one in self._options.sites:
                for known in one.prefixes:
                    configured[Eid(eid.iid, known.net)] = True
            prefix, ttl = hole(eid, configured), UNKNOWN_TTL
        self._reply(request, arrival, (Record(prefix, (), ttl, NATIVELY_FORWARD),))
        self._journal.tell("negative-reply", eid=eid, prefix=prefix, ttl=ttl)

    def _reply(self, request: MapRequest, arrival: Arrival, records: tuple[Record, ...]) -> None:
        to = self._control.reachable(request.itr_rlocs)
        if to is None:
            self._journal.drop("no-usable-itr-rloc", sender=arrival.sender)
            return
        self._control.send(MapReply(request.nonce, records).encode(), to, arrival.port)
