"""The control sockets (UDP 4342), one a local address, and what arrives at them."""

from __future__ import annotations

import ipaddress
import random
import socket
from typing import Callable, NamedTuple

from .address import Ip, Malformed
from .events import Journal
from .loop import Loop
from .packet import read_udp, udp_packet
from .wire import ENCAPSULATED, MapRequest, encapsulated, kind_of

LARGEST = 65535


class Arrival(NamedTuple):
    """A control message and how it came. For an encapsulated one `port` is that of the inner UDP header,
    which is where the answer goes (RFC 6830, section 6.1.8)."""

    data: bytes
    sender: Ip
    port: int
    local: Ip
    encapsulated: bool
    whole: bytes


class Control:
    """Sends and receives control messages."""

    def __init__(self, loop: Loop, journal: Journal, listen: list[Ip], port: int, take: Callable[[int, Arrival], None]):
        self.port = port
        self.addresses = listen
        self._journal = journal
        self._take = take
        self._sockets = {}
        for address in listen:
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            bound = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            bound.bind((str(address), port))
            self._sockets[address] = bound
            loop.readable(bound, lambda bound=bound, address=address: self._receive(bound, address))

    def local(self, version: int) -> Ip | None:
        """The first local address of a family."""
        return next((address for address in self.addresses if address.version == version), None)

    def reachable(self, places: tuple[Ip, ...]) -> Ip | None:
        """The first of several addresses whose family is spoken here (RFC 6830, section 6.1.2: ITR-RLOCs)."""
        return next((place for place in places if self.local(place.version) is not None), None)

    def send(self, data: bytes, to: Ip, port: int | None = None, source: Ip | None = None) -> bool:
        """Sends a message from `source`, or from the first local address of the family."""
        bound = self._sockets.get(source or self.local(to.version))
        if bound is None:
            self._journal.drop("no-local-address", to=to)
            return False
        try:
            bound.sendto(data, (str(to), port or self.port))
            return True
        except OSError as cause:
            self._journal.drop("control-send-failed", to=to, cause=cause)
            return False

    def send_encapsulated(self, request: MapRequest, to: Ip, port: int) -> bool:
        """Sends a Map-Request to a Map-Resolver. The inner packet goes from the source EID, or from an own
        address where none fits the family, to the EID asked for."""
        target = request.eids[0].net.network_address
        source = request.source.ip
        if source is None or source.version != target.version:
            source = self.local(target.version) or ipaddress.ip_address("0.0.0.0" if target.version == 4 else "::")
        return self.send(encapsulated(udp_packet(source, self.port, target, 4342, request.encode())), to, port)

    def _receive(self, bound: socket.socket, local: Ip) -> None:
        for _ in range(64):
            try:
                data, origin = bound.recvfrom(LARGEST)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of an earlier datagram
            sender = ipaddress.ip_address(origin[0])
            try:
                arrival = Arrival(data, sender, origin[1], local, False, data)
                if kind_of(data) == ENCAPSULATED:
                    _, port, _, message = read_udp(data[4:])
                    arrival = arrival._replace(data=message, port=port, encapsulated=True)
                self._take(kind_of(arrival.data), arrival)
            except Malformed as cause:
                self._journal.drop("malformed", sender=sender, cause=cause)


def new_nonce() -> int:
    """A nonce for one Map-Request; never 0."""
    return random.getrandbits(64) or 1

