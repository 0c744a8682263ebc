"""Control messages of RFC 6830, section 6.1, and the data header of section 5.3."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

from . import auth
from .address import Eid, Field, Ip, Malformed, Reader, eid_of, put_eid, put_ip, take_address

MAP_REQUEST = 1
MAP_REPLY = 2
MAP_REGISTER = 3
MAP_NOTIFY = 4
ENCAPSULATED = 8

NO_ACTION, NATIVELY_FORWARD, SEND_MAP_REQUEST, DROP = range(4)
ACTIONS = ("no-action", "natively-forward", "send-map-request", "drop")

CONTROL_PORT = 4342
DATA_PORT = 4341


class Locator(NamedTuple):
    """One RLOC of a record. `local`, `probed`, `reachable` are the bits L, p, R; priority 255 is not to be used."""

    address: Ip | None
    priority: int = 1
    weight: int = 100
    multicast_priority: int = 255
    multicast_weight: int = 0
    local: bool = False
    probed: bool = False
    reachable: bool = True

    def __str__(self) -> str:
        return f"{self.address} {self.priority}/{self.weight}"


class Record(NamedTuple):
    """A mapping as Map-Reply, Map-Register and Map-Notify carry it; the time to live is in minutes."""

    eid: Eid
    locators: tuple[Locator, ...]
    ttl: int = 1440
    action: int = NO_ACTION
    authoritative: bool = False
    version: int = 0

    def encode(self) -> bytes:
        """The record's octets."""
        flags = (self.action & 7) << 13 | self.authoritative << 12
        out = [
            struct.pack("!IBBHH", self.ttl, len(self.locators), self.eid.net.prefixlen, flags, self.version & 0xFFF),
            put_eid(self.eid.iid, self.eid.net.network_address),
        ]
        for locator in self.locators:
            bits = locator.local << 2 | locator.probed << 1 | locator.reachable
            out.append(struct.pack("!BBBBH", *locator[1:5], bits) + put_ip(locator.address))
        return b"".join(out)

    @classmethod
    def take(cls, reader: Reader) -> "Record":
        """Reads one record; locators of kinds unknown in 2013 are left out."""
        ttl, count, mask, flags, version = reader.unpack("IBBHH")
        eid = eid_of(take_address(reader), mask)
        locators = []
        for _ in range(count):
            *numbers, bits = reader.unpack("BBBBH")
            place = take_address(reader)
            if place.known and place.ip is not None:
                locators.append(Locator(place.ip, *numbers, bool(bits & 4), bool(bits & 2), bool(bits & 1)))
        return cls(eid, tuple(locators), ttl, flags >> 13, bool(flags & 0x1000), version & 0xFFF)


def _take_records(reader: Reader, count: int) -> tuple[Record, ...]:
    return tuple(Record.take(reader) for _ in range(count))


@dataclass
class MapRequest:
    """Section 6.1.2. `probe` is P, `smr` S, `invoked` s (this request follows an SMR), `pitr` p."""

    nonce: int
    source: Field
    itr_rlocs: tuple[Ip, ...]
    eids: tuple[Eid, ...]
    authoritative: bool = False
    probe: bool = False
    smr: bool = False
    pitr: bool = False
    invoked: bool = False
    reply: Record | None = None

    def encode(self) -> bytes:
        """The message's octets; at least one ITR-RLOC is needed."""
        bits = (self.authoritative << 27 | (self.reply is not None) << 26 | self.probe << 25 | self.smr << 24
                | self.pitr << 23 | self.invoked << 22)
        word = MAP_REQUEST << 28 | bits | (len(self.itr_rlocs) - 1) << 8 | len(self.eids)
        out = [struct.pack("!IQ", word, self.nonce), put_eid(self.source.iid, self.source.ip)]
        out += [put_ip(rloc) for rloc in self.itr_rlocs]
        for eid in self.eids:
            out.append(struct.pack("!BB", 0, eid.net.prefixlen) + put_eid(eid.iid, eid.net.network_address))
        if self.reply is not None:
            out.append(self.reply.encode())
        return b"".join(out)

    @classmethod
    def decode(cls, data: bytes) -> "MapRequest":
        """Reads the message; ITR-RLOCs of unknown kinds are left out."""
        reader = Reader(data)
        word, nonce = reader.unpack("IQ")
        source = take_address(reader)
        places = [take_address(reader) for _ in range((word >> 8 & 0x1F) + 1)]
        rlocs = tuple(place.ip for place in places if place.known and place.ip is not None)
        eids = []
        for _ in range(word & 0xFF):
            _, mask = reader.unpack("BB")
            eids.append(eid_of(take_address(reader), mask))
        bit = lambda place: bool(word >> place & 1)
        # A record of the sender's own mapping may follow (M). What it says is not authenticated: not read.
        return cls(nonce, source, rlocs, tuple(eids), bit(27), bit(25), bit(24), bit(23), bit(22))


@dataclass
class MapReply:
    """Section 6.1.4."""

    nonce: int
    records: tuple[Record, ...]
    probe: bool = False

    def encode(self) -> bytes:
        """The message's octets."""
        word = MAP_REPLY << 28 | self.probe << 27 | len(self.records)
        return struct.pack("!IQ", word, self.nonce) + b"".join(record.encode() for record in self.records)

    @classmethod
    def decode(cls, data: bytes) -> "MapReply":
        """Reads the message."""
        reader = Reader(data)
        word, nonce = reader.unpack("IQ")
        return cls(nonce, _take_records(reader, word & 0xFF), bool(word >> 27 & 1))


@dataclass
class Authenticated:
    """Map-Register (section 6.1.6) and Map-Notify (6.1.7), which share their form.

    `proxy` and `want_notify` are P and M of a Map-Register. `raw` is the message as received.
    """

    kind: int
    nonce: int
    records: tuple[Record, ...]
    proxy: bool = False
    want_notify: bool = False
    key_id: int = auth.KEY_ID_SHA1
    auth_length: int = 20
    raw: bytes = field(default=b"", repr=False)

    AUTH_AT = 16

    def encode(self, key: bytes) -> bytes:
        """The message's octets, signed."""
        word = self.kind << 28 | len(self.records)
        if self.kind == MAP_REGISTER:
            word |= self.proxy << 27 | self.want_notify << 8
        blank = (struct.pack("!IQHH", word, self.nonce, self.key_id, self.auth_length) + bytes(self.auth_length)
                 + b"".join(record.encode() for record in self.records))
        signature = auth.digest(key, blank, self.auth_length)
        return blank[:self.AUTH_AT] + signature + blank[self.AUTH_AT + self.auth_length:]

    @classmethod
    def decode(cls, data: bytes) -> "Authenticated":
        """Reads the message without judging its signature."""
        reader = Reader(data)
        word, nonce, key_id, length = reader.unpack("IQHH")
        reader.take(length)
        records = _take_records(reader, word & 0xFF)
        return cls(word >> 28, nonce, records, bool(word >> 27 & 1), bool(word >> 8 & 1), key_id, length, data)

    def signed_with(self, key: bytes) -> bool:
        """Whether the message received carries the right HMAC-SHA-1 of this key."""
        return self.key_id == auth.KEY_ID_SHA1 and auth.right(key, self.raw, self.AUTH_AT, self.auth_length)


def encapsulated(inner: bytes) -> bytes:
    """An Encapsulated Control Message (section 6.1.8) around an inner IP packet."""
    return struct.pack("!I", ENCAPSULATED << 28) + inner


def kind_of(data: bytes) -> int:
    """The type of a control message."""
    if not data:
        raise Malformed("an empty message")
    return data[0] >> 4


class DataHeader(NamedTuple):
    """The eight octets between UDP and the inner packet; absent fields are None."""

    nonce: int | None = None
    echo: bool = False
    iid: int | None = None
    status: int | None = None

    def encode(self) -> bytes:
        """The header's octets."""
        flags = ((self.nonce is not None) << 7 | (self.status is not None) << 6 | self.echo << 5
                 | (self.iid is not None) << 3)
        low = self.status or 0
        if self.iid is not None:
            low = self.iid << 8 | low & 0xFF
        return struct.pack("!II", flags << 24 | (self.nonce or 0), low)

    @classmethod
    def decode(cls, data: bytes) -> "DataHeader":
        """Reads the header; the three low flags are reserved in 2013 and not looked at."""
        high, low = Reader(data).unpack("II")
        iid = low >> 8 if high >> 27 & 1 else None
        status = None
        if high >> 30 & 1:
            status = low & 0xFF if iid is not None else low
        return cls(high & 0xFFFFFF if high >> 31 else None, bool(high >> 31 and high >> 29 & 1), iid, status)
