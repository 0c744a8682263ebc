"""A tunnel router: ITR and ETR of one site (RFC 6830, sections 4, 5 and 6)."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from .address import Eid, Field, Ip, Malformed
from .cache import MapCache
from .control import Arrival, Control
from .data import Data, Outer, delivered
from .events import Journal
from .loop import Loop
from .packet import read_ip
from .probe import Prober
from .register import Registrar
from .resolve import Resolver
from .solicit import Solicitor
from .table import Table
from .tun import Tun
from .wire import (MAP_NOTIFY, MAP_REPLY, MAP_REQUEST, NO_ACTION, SEND_MAP_REQUEST, ACTIONS, Authenticated, DataHeader,
                   Locator, MapReply, MapRequest, Record)


@dataclass
class Options:
    """What a site's router is told; times in seconds, `ttl` of its records in minutes."""

    iid: int
    eids: list[Eid]
    rlocs: list[Locator]
    servers: list[Ip]
    resolvers: list[Ip]
    key: bytes
    tun: str | None
    mtu: int = 1444
    control_port: int = 4342
    data_port: int = 4341
    server_port: int = 4342
    register_interval: float = 60.0
    register_retry: float = 3.0
    request_retry: float = 1.0
    probe_interval: float = 0.0
    ttl: int = 1440
    proxy: bool = False
    want_notify: bool = True
    nonzero_nonce: bool = False
    auth_length: int = 20


class Xtr:
    """Ties the parts together. The EIDs it owns are rows of `site`; a row that is False is a part that moved away."""

    def __init__(self, loop: Loop, journal: Journal, options: Options):
        self._journal, self._options = journal, options
        addresses = [locator.address for locator in options.rlocs]
        self.site: Table[bool] = Table()
        self.cache = MapCache()
        for eid in options.eids:
            self.site[eid] = True
        self._control = Control(loop, journal, addresses, options.control_port, self._control_arrived)
        self._data = Data(loop, journal, addresses, options.data_port, self._data_arrived)
        self._resolver = Resolver(loop, journal, self._control, self.cache, options.resolvers, options.server_port,
                                  options.request_retry)
        self._solicitor = Solicitor(journal, self._control)
        self._prober = Prober(loop, journal, self._control, self.cache, options.probe_interval)
        self._registrar = Registrar(
            loop, journal, self._control, options.servers, options.server_port, options.key,
            lambda: [self.record(eid) for eid in self.site if self.site.get(eid)], lambda record: self.drop(record.eid),
            interval=options.register_interval, retry=options.register_retry, proxy=options.proxy,
            want_notify=options.want_notify, nonzero=options.nonzero_nonce, auth_length=options.auth_length)
        self._echo: dict[Ip, int] = {}
        self._tun = Tun(options.tun, options.mtu) if options.tun else None
        if self._tun:
            loop.readable(self._tun.descriptor, self._site_readable)
        journal.tell("ready", role="xtr", eids=[str(eid) for eid in self.site], tun=options.tun,
                     rlocs=[str(locator) for locator in options.rlocs])
        self._registrar.now()

    def record(self, eid: Eid) -> Record:
        """The mapping of an own prefix, as an ETR states it."""
        locators = tuple(locator._replace(local=True) for locator in self._options.rlocs)
        return Record(eid, locators, self._options.ttl, authoritative=True)

    def add(self, eid: Eid) -> None:
        """The prefix is here now: registered, and those it talks to are solicited."""
        self.site[eid] = True
        self._journal.tell("added", eid=eid)
        self._registrar.now()
        self._solicitor.changed(eid, self._source(eid))

    def drop(self, eid: Eid) -> None:
        """The prefix is elsewhere now: no longer registered; who still sends for it is solicited."""
        self.site.pop(eid)
        if self.site.longest(eid) is not None:
            self.site[eid] = False
        self._journal.tell("removed", eid=eid)
        self._solicitor.changed(eid, self._source(eid))

    def withdraw(self, eid: Eid) -> None:
        """As drop(), and the Map-Servers are told so."""
        self._registrar.withdraw(eid, self.record(eid))
        self.drop(eid)

    def resolve(self, eid: Eid) -> None:
        """Asks for a mapping though no packet needs it."""
        self._resolver.ask(eid, self._source(eid))

    def _source(self, eid: Eid) -> Field:
        """An own EID of the family of `eid`, to name as the source of a Map-Request."""
        own = next((one for one in self.site if self.site.get(one) and one.net.version == eid.net.version), None)
        return Field(own.iid, own.net.network_address) if own else Field(0, None)

    def _own(self, iid: int, address: Ip) -> Eid | None:
        found = self.site.at(iid, address)
        return found[0] if found is not None and found[1] else None

    # The site's packets out (ITR).

    def _site_readable(self) -> None:
        for _ in range(64):
            packet = self._tun.read()
            if packet is None:
                return
            try:
                self._outbound(packet)
            except Malformed as cause:
                self._journal.drop("malformed-inner", cause=cause)

    def _outbound(self, packet: bytes) -> None:
        inner, iid = read_ip(packet), self._options.iid
        if inner.target.is_multicast or inner.target.is_link_local or inner.source.is_link_local:
            self._journal.drop("not-routable", target=inner.target)
            return
        if self._own(iid, inner.source) is None:
            self._journal.drop("source-not-of-this-site", source=inner.source)
            return
        if self._own(iid, inner.target) is not None:
            self._journal.drop("target-of-this-site", target=inner.target)
            return
        entry = self.cache.find(iid, inner.target)
        if entry is None or (not entry.record.locators and entry.record.action == SEND_MAP_REQUEST):
            self._resolver.ask(Eid.host(iid, inner.target), Field(iid, inner.source))
            self._journal.drop("no-mapping", target=inner.target)
            return
        if not entry.record.locators:
            action = entry.record.action
            self._journal.drop("negative", target=inner.target,
                               action=ACTIONS[action] if NO_ACTION <= action < len(ACTIONS) else action)
            return
        locator = entry.choose(inner.flow, self._data.families())
        if locator is None:
            self._journal.drop("no-locator-up", target=inner.target)
            return
        header = DataHeader(nonce=self._echo.pop(locator.address, random.getrandbits(24)), iid=iid or None,
                            status=(1 << len(self._options.rlocs)) - 1)
        if self._data.send(packet, locator.address, header, inner.ttl, inner.tos, inner.flow):
            self._solicitor.talked(locator.address)

    # Packets to the site (ETR).

    def _data_arrived(self, packet: bytes, outer: Outer) -> None:
        iid = outer.header.iid or 0
        inner = read_ip(packet)
        if outer.header.echo:
            self._echo[outer.source] = outer.header.nonce
        if iid != self._options.iid:
            self._journal.drop("another-instance", sender=outer.source, iid=iid)
            return
        self._solicitor.talked(outer.source)
        if self._own(iid, inner.target) is None:
            self._journal.drop("target-not-here", sender=outer.source, target=inner.target)
            self._solicitor.stale(Eid.host(iid, inner.target), Field(iid, inner.target), outer.source)
            return
        fit = delivered(packet, outer)
        if fit is None:
            self._journal.drop("congestion-unmarkable", sender=outer.source)
        elif self._tun is None:
            self._journal.drop("no-tun", target=inner.target)
        else:
            try:
                self._tun.write(fit)
            except OSError as cause:
                self._journal.drop("tun-refused", cause=cause)

    # Control messages.

    def _control_arrived(self, kind: int, arrival: Arrival) -> None:
        if kind == MAP_REQUEST:
            self._asked(MapRequest.decode(arrival.data), arrival)
        elif kind == MAP_REPLY and not arrival.encapsulated:
            reply = MapReply.decode(arrival.data)
            if reply.probe:
                self._prober.answered(reply, arrival.sender)
            else:
                self._resolver.answered(reply, arrival.sender)
        elif kind == MAP_NOTIFY and not arrival.encapsulated:
            self._registrar.notified(Authenticated.decode(arrival.data), arrival.sender)
        else:
            self._journal.drop("unknown-type", type=kind, sender=arrival.sender)

    def _asked(self, request: MapRequest, arrival: Arrival) -> None:
        if request.smr:
            for eid in request.eids:
                self._resolver.solicited(eid, self._source(eid), arrival.sender)
            return
        records = []
        for eid in request.eids:
            found = self.site.longest(eid)
            inside = [one for one in self.site if self.site.get(one) and eid.covers(one)]
            if found is not None and found[1]:
                inside = [found[0]] + [one for one in inside if one != found[0]]
            records += [self.record(one) for one in inside]
        if not records:
            self._journal.drop("asked-for-another-eid", sender=arrival.sender,
                               eid=request.eids[0] if request.eids else None)
            return
        if request.probe:
            records = [record._replace(locators=tuple(
                locator._replace(probed=locator.address == arrival.local) for locator in record.locators))
                for record in records]
            to = arrival.sender
        else:
            to = self._control.reachable(request.itr_rlocs)
        if to is None:
            self._journal.drop("no-usable-itr-rloc", sender=arrival.sender)
            return
        for rloc in request.itr_rlocs:
            self._solicitor.talked(rloc)
        source = arrival.local if request.probe else None
        self._control.send(MapReply(request.nonce, tuple(records), request.probe).encode(), to, arrival.port, source)
        self._journal.tell("answered", eid=request.eids[0], to=to, probe=request.probe, invoked=request.invoked,
                           encapsulated=arrival.encapsulated)

    def show(self) -> None:
        """Tells what is cached."""
        now = time.monotonic()
        self._journal.tell("cache", entries=[
            {"prefix": str(eid), "locators": [str(locator) for locator in entry.record.locators],
             "down": [str(one) for one in entry.down], "seconds": round(entry.ends - now)}
            for eid, entry in self.cache if entry.ends > now])
