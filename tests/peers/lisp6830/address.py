"""Addresses on the wire: AFI encoding (RFC 6830, section 6.1) and the instance id LCAF (RFC 8060, section 4.1)."""

from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple, Union

Ip = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

AFI_NONE = 0
AFI_IPV4 = 1
AFI_IPV6 = 2
AFI_LCAF = 16387
AFI_MAC = 16389
LCAF_INSTANCE = 2


class Malformed(Exception):
    """The octets received are not what the RFC says they are."""


class Reader:
    """Takes fields off the front of a message; never beyond its end."""

    def __init__(self, data: bytes):
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        """The next `count` octets; Malformed if the message ends before."""
        if count < 0 or self.at + count > len(self.data):
            raise Malformed(f"message ends at {len(self.data)}, {count} octets wanted at {self.at}")
        piece = self.data[self.at:self.at + count]
        self.at += count
        return piece

    def unpack(self, form: str) -> tuple:
        """The next fields in network order, `form` as struct names them."""
        return struct.unpack("!" + form, self.take(struct.calcsize("!" + form)))

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self.data) - self.at)


class Eid(NamedTuple):
    """A prefix inside an instance; instance 0 is the one that goes without an LCAF."""

    iid: int
    net: Network

    @classmethod
    def host(cls, iid: int, address: Ip) -> "Eid":
        """The prefix that holds one address only."""
        return cls(iid, ipaddress.ip_network(address))

    def covers(self, other: "Eid") -> bool:
        """Whether `other` is this prefix or lies inside it."""
        return self.iid == other.iid and self.net.version == other.net.version and other.net.subnet_of(self.net)

    def overlaps(self, other: "Eid") -> bool:
        """Whether one of the two lies inside the other."""
        return self.covers(other) or other.covers(self)

    def __str__(self) -> str:
        return f"[{self.iid}]{self.net}" if self.iid else str(self.net)


class Field(NamedTuple):
    """An address field as it stood on the wire: either may be absent or of a kind 2013 does not know."""

    iid: int
    ip: Ip | None
    known: bool = True


def put_ip(address: Ip | None) -> bytes:
    """AFI and address; AFI 0 for none."""
    if address is None:
        return struct.pack("!H", AFI_NONE)
    return struct.pack("!H", AFI_IPV4 if address.version == 4 else AFI_IPV6) + address.packed


def put_eid(iid: int, address: Ip | None) -> bytes:
    """AFI and address of an EID, in an instance id LCAF if the instance is not 0.

    The LCAF's mask field is that of the instance id; the prefix has its own in the record.
    """
    plain = put_ip(address)
    if iid == 0 or address is None:
        return plain
    return struct.pack("!HBBBBHI", AFI_LCAF, 0, 0, LCAF_INSTANCE, 32, 4 + len(plain), iid) + plain


def take_address(reader: Reader) -> Field:
    """Reads one address field; kinds unknown in 2013 are skipped where their length is known."""
    (afi,) = reader.unpack("H")
    if afi == AFI_NONE:
        return Field(0, None)
    if afi == AFI_IPV4:
        return Field(0, ipaddress.IPv4Address(reader.take(4)))
    if afi == AFI_IPV6:
        return Field(0, ipaddress.IPv6Address(reader.take(16)))
    if afi == AFI_MAC:
        reader.take(6)
        return Field(0, None, known=False)
    if afi != AFI_LCAF:
        raise Malformed(f"address family {afi} has no length of its own")
    _, _, kind, _, length = reader.unpack("BBBBH")
    inside = Reader(reader.take(length))
    if kind != LCAF_INSTANCE:
        return Field(0, None, known=False)
    (iid,) = inside.unpack("I")
    return take_address(inside)._replace(iid=iid)


def eid_of(field: Field, mask: int) -> Eid:
    """The prefix of a record; host bits beyond the mask are cleared, as a receiver has to."""
    if not field.known or field.ip is None:
        raise Malformed("an EID of a family this router does not carry")
    try:
        return Eid(field.iid, ipaddress.ip_network((field.ip, mask), strict=False))
    except ValueError as cause:
        raise Malformed(str(cause)) from cause
