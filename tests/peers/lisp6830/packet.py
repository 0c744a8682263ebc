"""Inner packets: the IP and UDP headers inside an Encapsulated Control Message, and what the data plane reads."""

from __future__ import annotations

import ipaddress
import struct
import zlib
from typing import NamedTuple

from .address import Ip, Malformed, Reader

UDP = 17


def checksum(data: bytes) -> int:
    """The Internet checksum of RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _ipv4_header(head: bytes) -> bytes:
    blank = head[:10] + b"\0\0" + head[12:]
    return blank[:10] + struct.pack("!H", checksum(blank)) + blank[12:]


def udp_packet(source: Ip, source_port: int, target: Ip, target_port: int, payload: bytes) -> bytes:
    """An IP packet with one UDP datagram in it; both addresses are of one family."""
    length = 8 + len(payload)
    blank = struct.pack("!HHHH", source_port, target_port, length, 0) + payload
    pseudo = source.packed + target.packed + struct.pack("!IBBBB", length, 0, 0, 0, UDP)
    total = checksum(pseudo + blank) or 0xFFFF
    datagram = blank[:6] + struct.pack("!H", total) + payload
    if source.version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, UDP, 0)
        return _ipv4_header(head + source.packed + target.packed) + datagram
    return struct.pack("!IHBB", 6 << 28, length, UDP, 64) + source.packed + target.packed + datagram


class Inner(NamedTuple):
    """What an IP header says; `flow` is a hash of addresses, protocol and ports."""

    source: Ip
    target: Ip
    ttl: int
    tos: int
    protocol: int
    flow: int
    header: int


def read_ip(packet: bytes) -> Inner:
    """Reads an IPv4 or IPv6 header; Malformed if it is neither or the packet is shorter than it claims."""
    reader = Reader(packet)
    version = reader.take(1)[0] >> 4
    reader.at = 0
    if version == 4:
        first, tos, total, _, _, ttl, protocol, _ = reader.unpack("BBHHHBBH")
        source, target = ipaddress.IPv4Address(reader.take(4)), ipaddress.IPv4Address(reader.take(4))
        header = (first & 15) * 4
        if header < 20 or total < header or total > len(packet):
            raise Malformed("an IPv4 header with impossible lengths")
    elif version == 6:
        first, length, protocol, ttl = reader.unpack("IHBB")
        tos, header = first >> 20 & 0xFF, 40
        source, target = ipaddress.IPv6Address(reader.take(16)), ipaddress.IPv6Address(reader.take(16))
        if header + length > len(packet):
            raise Malformed("an IPv6 header with impossible lengths")
    else:
        raise Malformed(f"IP version {version}")
    ports = packet[header:header + 4] if protocol in (6, UDP) else b""
    flow = zlib.crc32(source.packed + target.packed + bytes([protocol]) + ports)
    return Inner(source, target, ttl, tos, protocol, flow, header)


def read_udp(packet: bytes) -> tuple[Inner, int, int, bytes]:
    """The inner packet of an Encapsulated Control Message: its header, both ports, the message."""
    inner = read_ip(packet)
    if inner.protocol != UDP:
        raise Malformed(f"protocol {inner.protocol} inside an Encapsulated Control Message")
    source_port, target_port, length, _ = Reader(packet[inner.header:]).unpack("HHHH")
    if length < 8 or inner.header + length > len(packet):
        raise Malformed("a UDP header with an impossible length")
    return inner, source_port, target_port, packet[inner.header + 8:inner.header + length]


def rewritten(packet: bytes, ttl: int, tos: int) -> bytes:
    """The packet with another time to live and type of service."""
    if packet[0] >> 4 == 4:
        size = (packet[0] & 15) * 4
        head = packet[:1] + bytes([tos]) + packet[2:8] + bytes([ttl]) + packet[9:size]
        return _ipv4_header(head) + packet[size:]
    first = struct.unpack("!I", packet[:4])[0] & ~(0xFF << 20) | tos << 20
    return struct.pack("!I", first) + packet[4:7] + bytes([ttl]) + packet[8:]
