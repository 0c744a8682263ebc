"""The data sockets (UDP 4341): encapsulated packets in and out (RFC 6830, section 5.3)."""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Callable, NamedTuple

from .address import Ip, Malformed
from .events import Journal
from .loop import Loop
from .packet import read_ip, rewritten
from .wire import DataHeader

SENDERS = 4
SO_NO_CHECK = 11
UDP_NO_CHECK6_TX = 101
UDP_NO_CHECK6_RX = 102
IPV6_RECVHOPLIMIT = 51
IPV6_HOPLIMIT = 52
IPV6_RECVTCLASS = 66
IPV6_TCLASS = 67
IP_MTU_DISCOVER = 10
IPV6_MTU_DISCOVER = 23
CONGESTION = 3


class Outer(NamedTuple):
    """What the outer headers of a packet received said."""

    source: Ip
    ttl: int
    tos: int
    header: DataHeader


class Data:
    """Sends and receives encapsulated packets. Outgoing ones take one of a few source ports by their flow, carry
    no UDP checksum, and have time to live and type of service of the inner packet."""

    def __init__(self, loop: Loop, journal: Journal, rlocs: list[Ip], port: int, take: Callable[[bytes, Outer], None]):
        self._journal, self._port, self._take = journal, port, take
        self._senders: dict[int, list[socket.socket]] = {}
        for rloc in rlocs:
            receiver = self._open(rloc, port)
            loop.readable(receiver, lambda receiver=receiver: self._receive(receiver))
            self._senders.setdefault(rloc.version, [self._open(rloc, 0) for _ in range(SENDERS)])

    @staticmethod
    def _open(rloc: Ip, port: int) -> socket.socket:
        if rloc.version == 4:
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            opened.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTTL if hasattr(socket, "IP_RECVTTL") else 12, 1)
            opened.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, 0)
        else:
            opened = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            opened.setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_TX, 1)
            opened.setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_RX, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVTCLASS, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, 0)
        opened.bind((str(rloc), port))
        return opened

    def families(self) -> set[int]:
        """The IP versions of the own locators."""
        return set(self._senders)

    def send(self, packet: bytes, to: Ip, header: DataHeader, ttl: int, tos: int, flow: int) -> bool:
        """Encapsulates a packet to a locator."""
        senders = self._senders[to.version]
        if to.version == 4:
            extra = [(socket.IPPROTO_IP, socket.IP_TTL, struct.pack("i", max(ttl, 1))),
                     (socket.IPPROTO_IP, socket.IP_TOS, struct.pack("i", tos))]
        else:
            extra = [(socket.IPPROTO_IPV6, IPV6_HOPLIMIT, struct.pack("i", max(ttl, 1))),
                     (socket.IPPROTO_IPV6, IPV6_TCLASS, struct.pack("i", tos))]
        try:
            senders[flow % len(senders)].sendmsg([header.encode(), packet], extra, 0, (str(to), self._port))
            return True
        except OSError as cause:
            self._journal.drop("data-send-failed", to=to, cause=cause)
            return False

    def _receive(self, receiver: socket.socket) -> None:
        for _ in range(64):
            try:
                data, ancillary, _, origin = receiver.recvmsg(65535, 256)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of an earlier datagram
            ttl, tos = 255, 0
            for level, kind, value in ancillary:
                if (level, kind) in ((socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, IPV6_HOPLIMIT)):
                    ttl = struct.unpack("i", value[:4])[0]
                elif (level, kind) in ((socket.IPPROTO_IP, socket.IP_TOS), (socket.IPPROTO_IPV6, IPV6_TCLASS)):
                    tos = value[0]
            source = ipaddress.ip_address(origin[0])
            try:
                self._take(data[8:], Outer(source, ttl, tos, DataHeader.decode(data)))
            except Malformed as cause:
                self._journal.drop("malformed-data", sender=source, cause=cause)


def delivered(packet: bytes, outer: Outer) -> bytes | None:
    """The inner packet as its site gets it: the lesser time to live, the outer DSCP, congestion not lost on the
    way; None if a router marked congestion on a packet that cannot carry the mark."""
    inner = read_ip(packet)
    mark = inner.tos & 3
    if outer.tos & 3 == CONGESTION:
        if mark == 0:
            return None
        mark = CONGESTION
    ttl, tos = min(inner.ttl, outer.ttl), outer.tos & ~3 | mark
    return packet if (ttl, tos) == (inner.ttl, inner.tos) else rewritten(packet, ttl, tos)
