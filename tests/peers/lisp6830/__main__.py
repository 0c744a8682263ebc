"""Command line of the peer."""

from __future__ import annotations

import argparse
import ipaddress
import sys
from pathlib import Path

from . import mapserver, xtr
from .auth import LENGTHS
from .commands import Commands
from .events import Journal
from .loop import Loop
from .table import prefix
from .wire import Locator


def key_of(path: str) -> bytes:
    """A shared key: the file's text without the line end."""
    return Path(path).read_bytes().rstrip(b"\r\n")


def rloc(text: str) -> Locator:
    """ADDRESS[,PRIORITY[,WEIGHT]]"""
    address, *numbers = text.split(",")
    return Locator(ipaddress.ip_address(address), *(int(number) for number in numbers))


def parser() -> argparse.ArgumentParser:
    """Both roles and their arguments."""
    top = argparse.ArgumentParser(prog="lisp6830", description="LISP as of RFC 6830 and 6833, for tests")
    roles = top.add_subparsers(dest="role", required=True)
    address = ipaddress.ip_address

    one = roles.add_parser("xtr", help="tunnel router")
    one.add_argument("--eid", action="append", default=[], help="own prefix (repeatable)")
    one.add_argument("--iid", type=int, default=0, help="instance of all own prefixes; 0 goes without an LCAF")
    one.add_argument("--rloc", action="append", type=rloc, required=True,
                     help="ADDRESS[,PRIORITY[,WEIGHT]], bound to (repeatable)")
    one.add_argument("--map-server", action="append", type=address, default=[])
    one.add_argument("--map-resolver", action="append", type=address, default=[])
    one.add_argument("--key-file", required=True)
    one.add_argument("--tun", help="TUN device to make; without it there is no data plane to the site")
    one.add_argument("--mtu", type=int, default=1444, help="of the TUN device")
    one.add_argument("--control-port", type=int, default=4342, help="own, and that of other routers")
    one.add_argument("--data-port", type=int, default=4341, help="own, and that of other routers")
    one.add_argument("--server-port", type=int, default=4342, help="of Map-Servers and Map-Resolvers")
    one.add_argument("--register-interval", type=float, default=60.0, metavar="SECONDS")
    one.add_argument("--register-retry", type=float, default=3.0, metavar="SECONDS", help="until a Map-Notify came")
    one.add_argument("--request-retry", type=float, default=1.0, metavar="SECONDS",
                     help="doubled each time, four times")
    one.add_argument("--probe-interval", type=float, default=0.0, metavar="SECONDS", help="0: locators are not probed")
    one.add_argument("--ttl", type=int, default=1440, metavar="MINUTES", help="of own mappings")
    one.add_argument("--proxy-reply", action="store_true", help="ask the Map-Server to answer for us")
    one.add_argument("--no-notify", action="store_true", help="want no Map-Notify")
    one.add_argument("--nonce", choices=("zero", "random"), default="zero", help="of Map-Registers; RFC 6830: zero")
    one.add_argument("--auth-length", type=int, choices=LENGTHS, default=20, help="octets of the SHA-1 digest sent")
    one.add_argument("--commands", action="store_true", help="obey standard input; end with it")

    two = roles.add_parser("map-server", help="Map-Server and Map-Resolver")
    two.add_argument("--site-key-file", required=True)
    two.add_argument("--prefix", action="append", required=True,
                     help="what the key may register, and inside (repeatable)")
    two.add_argument("--listen", action="append", type=address, help="address to bind to (repeatable)")
    two.add_argument("--port", type=int, default=4342)
    two.add_argument("--lifetime", type=float, default=180.0, metavar="SECONDS", help="of a registration")
    two.add_argument("--proxy-reply", action="store_true", help="answer for every ETR")
    two.add_argument("--tell-old-etr", action="store_true",
                     help="Map-Notify to the ETR that lost a prefix, as IOS does")
    return top


def main() -> int:
    """Runs until SIGTERM, SIGINT or the end of the commands."""
    asked = parser().parse_args()
    loop, journal = Loop(), Journal()
    try:
        if asked.role == "xtr":
            router = xtr.Xtr(loop, journal, xtr.Options(
                asked.iid, [prefix(text, asked.iid) for text in asked.eid], asked.rloc, asked.map_server,
                asked.map_resolver, key_of(asked.key_file), asked.tun, asked.mtu, asked.control_port, asked.data_port,
                asked.server_port, asked.register_interval, asked.register_retry, asked.request_retry,
                asked.probe_interval, asked.ttl, asked.proxy_reply, not asked.no_notify, asked.nonce == "random",
                asked.auth_length))
            if asked.commands:
                Commands(loop, journal, router, asked.iid)
        else:
            site = mapserver.Site(key_of(asked.site_key_file), [prefix(text) for text in asked.prefix])
            mapserver.MapServer(loop, journal, mapserver.Options(
                [site], asked.listen or [ipaddress.ip_address("127.0.0.1")], asked.port, asked.lifetime,
                asked.proxy_reply, asked.tell_old_etr))
    except (OSError, ValueError) as cause:
        print(f"lisp6830: {cause}", file=sys.stderr)
        return 1
    loop.run()
    journal.tell("stopped", drops=dict(journal.drops))
    return 0


if __name__ == "__main__":
    sys.exit(main())
