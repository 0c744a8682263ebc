"""A TUN device (ioctl TUNSETIFF): the side of the router where its site is."""

import fcntl
import os
import socket
import struct

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
SIOCSIFMTU = 0x8922
IFF_UP = 0x1


class Tun:
    """Opens the device, sets its MTU, brings it up; addresses and routes are the caller's."""

    def __init__(self, name: str, mtu: int):
        self.descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(self.descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ask:
            fcntl.ioctl(ask, SIOCSIFMTU, struct.pack("16si20x", name.encode(), mtu))
            flags = struct.unpack("16sH22x", fcntl.ioctl(ask, SIOCGIFFLAGS, struct.pack("16s24x", name.encode())))[1]
            fcntl.ioctl(ask, SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), flags | IFF_UP))

    def read(self) -> bytes | None:
        """The next packet of the site, None if there is none now."""
        try:
            return os.read(self.descriptor, 65536)
        except BlockingIOError:
            return None

    def write(self, packet: bytes) -> None:
        """Hands a packet to the site."""
        os.write(self.descriptor, packet)
