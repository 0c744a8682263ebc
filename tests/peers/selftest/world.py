"""Routers and a Map-Server of this package in network namespaces: packets cross, a host moves, all end on SIGTERM.

Needs root, ip and ping. Everything made here is named lp68 and the number of the process.
"""

import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
SERVER = "192.0.2.1"
PREFIX = f"lp68-{os.getpid()}-"


def run(*words, check=True):
    return subprocess.run(words, check=check, capture_output=True, text=True, timeout=30)


def inside(place, *words):
    """ip, in the namespace of a place."""
    return run("ip", "-n", PREFIX + place, *words)


def execute(place, *words, check=True):
    """A command in the namespace of a place."""
    return run("ip", "netns", "exec", PREFIX + place, *words, check=check)


class Peer:
    """One process of the package in a namespace, and the events it tells."""

    def __init__(self, namespace, *words):
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", PREFIX + namespace, sys.executable, "-m", "lisp6830", *words], cwd=HERE,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.events = queue.Queue()
        self.seen = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait(self, event, seconds=60, **facts):
        """The next event of this name whose facts contain those given."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                one = self.events.get(timeout=left)
            except queue.Empty:
                break
            self.seen.append(one)
            if one["event"] == event and all(one.get(name) == fact for name, fact in facts.items()):
                return one
        raise AssertionError(f"no {event} {facts} within {seconds} s, only {self.seen}")

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(timeout=5)
        self._reader.join(timeout=5)
        self.process.stdin.close()
        self.process.stdout.close()
        return code


class World(unittest.TestCase):
    def setUp(self):
        self.peers, self.namespaces = [], []
        self.addCleanup(self.clear)
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="lp68-"))
        self.key = Path(self.folder, "key")
        self.key.write_text("a shared key\n")
        self.space("net")
        for switch in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
            execute("net", "sysctl", "-qw", switch)

    def clear(self):
        for peer in self.peers:
            peer.end()
        for name in self.namespaces:
            run("ip", "netns", "del", PREFIX + name, check=False)

    def space(self, name):
        run("ip", "netns", "add", PREFIX + name)
        self.namespaces.append(name)

    def place(self, name, *addresses):
        """A namespace with these addresses, one hop from every other through the namespace in the middle."""
        self.space(name)
        end = f"to-{name}"
        inside("net", "link", "add", end, "type", "veth", "peer", "name", "core", "netns", PREFIX + name)
        for gateway in ("169.254.0.1/32", "fe80::1/64"):
            inside("net", "addr", "add", gateway, "dev", end, *(["nodad"] if ":" in gateway else []))
        inside("net", "link", "set", end, "up")
        inside(name, "link", "set", "lo", "up")
        inside(name, "link", "set", "core", "up")
        inside(name, "route", "add", "default", "via", "169.254.0.1", "dev", "core", "onlink")
        inside(name, "-6", "route", "add", "default", "via", "fe80::1", "dev", "core", "onlink")
        for address in addresses:
            self.address(name, address)

    def address(self, name, address):
        """Gives a namespace one more address, known to the middle."""
        end = f"to-{name}"
        six = ["-6"] if ":" in address else []
        inside(name, "addr", "add", address, "dev", "core", *(["nodad"] if six else []))
        inside("net", *six, "route", "add", address, "dev", end)

    def server(self, *words, listen=(SERVER,)):
        self.place("ms", *listen)
        peer = Peer("ms", "map-server", "--site-key-file", str(self.key), "--prefix", "10.0.0.0/8",
                    "--prefix", "fd10::/16", *(word for one in listen for word in ("--listen", one)), *words)
        self.peers.append(peer)
        peer.wait("ready")
        return peer

    def router(self, name, rloc, eids, *words, iid=0, server=SERVER, key=None):
        """A router whose TUN device has the first address of each of its prefixes, given as ADDRESS/LENGTH."""
        self.place(name, rloc)
        peer = Peer(name, "xtr", "--rloc", rloc, "--map-server", server, "--map-resolver", server, "--key-file",
                    str(key or self.key), "--tun", "lisp0", "--iid", str(iid), "--commands",
                    *(word for eid in eids for word in ("--eid", eid)), *words)
        self.peers.append(peer)
        peer.wait("ready")
        for eid in eids:
            six = ":" in eid
            inside(name, "addr", "add", eid, "dev", "lisp0", *(["nodad"] if six else []))
        inside(name, "route", "add", "10.0.0.0/8", "dev", "lisp0")
        inside(name, "-6", "route", "add", "fd10::/16", "dev", "lisp0")
        return peer

    def reach(self, name, target):
        """Until an echo comes back: the first ones may be dropped while routers resolve."""
        self.assertTrue(any(self.ping(name, target, 1) for _ in range(20)), f"{target} does not answer {name}")

    def ping(self, name, target, count=5):
        """How many of `count` echoes came back."""
        told = execute(name, "ping", "-n", "-i", "0.1", "-W", "1" if count == 1 else "5", "-c", str(count), target,
                   check=False).stdout
        return int(re.search(r"(\d+) received", told)[1])

    def test_two_sites_register_resolve_and_reach_each_other(self):
        server = self.server()
        a = self.router("a", "192.0.2.11", ["10.1.0.1/24"])
        b = self.router("b", "192.0.2.12", ["10.2.0.1/24"])
        for peer in (a, b):
            peer.wait("registered")
        self.assertEqual(server.wait("registration", eid="10.1.0.0/24")["nonce"], 0)
        self.reach("a", "10.2.0.1")
        self.assertTrue(a.wait("resolved", prefix="10.2.0.0/24")["authoritative"])
        server.wait("forwarded", etr="192.0.2.12")
        self.assertEqual(self.ping("b", "10.1.0.1"), 5)
        self.ping("a", "10.9.0.1", 1)
        self.assertEqual(a.wait("resolved", eid="10.9.0.1/32")["prefix"], "10.8.0.0/13")

    def test_a_server_that_answers_by_proxy_an_instance_and_ipv6_both_ways(self):
        server = self.server("--proxy-reply", listen=(SERVER, "2001:db8::1"))
        a = self.router("a", "192.0.2.11", ["10.1.0.1/24", "fd10:1::1/64"], iid=7)
        b = self.router("b", "192.0.2.12", ["10.2.0.1/24", "fd10:2::1/64"], iid=7)
        for peer in (a, b):
            peer.wait("registered")
        self.reach("a", "fd10:2::1")
        self.reach("a", "10.2.0.1")
        self.assertFalse(a.wait("resolved", prefix="[7]10.2.0.0/24")["authoritative"])
        server.wait("proxy-reply", eid="[7]fd10:2::1/128")
        c = self.router("c", "2001:db8::13", ["10.3.0.1/24"], iid=7, server="2001:db8::1")
        d = self.router("d", "2001:db8::14", ["10.4.0.1/24"], iid=7, server="2001:db8::1")
        for peer in (c, d):
            peer.wait("registered")
        self.reach("c", "10.4.0.1")
        self.ping("c", "10.1.0.1", 2)
        c.wait("drop", reason="no-locator-up")

    def test_a_host_that_moves_is_followed_by_solicitation(self):
        self.server()
        a = self.router("a", "192.0.2.11", ["10.1.0.1/24", "10.1.0.5/32"])
        b = self.router("b", "192.0.2.12", ["10.2.0.1/24"])
        c = self.router("c", "192.0.2.13", ["10.3.0.1/24"])
        for peer in (a, b, c):
            peer.wait("registered")
        self.reach("c", "10.1.0.5")
        for old, new, left, came in (("a", "b", a, b), ("b", "a", b, a)):
            inside(old, "addr", "del", "10.1.0.5/32", "dev", "lisp0")
            inside(new, "addr", "add", "10.1.0.5/32", "dev", "lisp0")
            came.say("add 10.1.0.5/32")
            came.wait("registered")
            left.say("remove 10.1.0.5/32")
            left.wait("smr", direction="sent", eid="10.1.0.5/32", to="192.0.2.13")
            c.wait("smr", direction="received", eid="10.1.0.5/32")
            place = "192.0.2.12 1/100" if came is b else "192.0.2.11 1/100"
            self.assertEqual(c.wait("resolved", invoked=True, prefix="10.1.0.5/32")["locators"], [place])
            self.reach("c", "10.1.0.5")

    def test_an_old_router_is_told_where_the_server_does_that_and_solicits_who_still_sends(self):
        self.server("--tell-old-etr")
        a = self.router("a", "192.0.2.11", ["10.1.0.5/32"])
        b = self.router("b", "192.0.2.12", ["10.2.0.1/24"])
        c = self.router("c", "192.0.2.13", ["10.3.0.1/24"])
        for peer in (a, b, c):
            peer.wait("registered")
        self.reach("c", "10.1.0.5")
        inside("b", "addr", "add", "10.1.0.5/32", "dev", "lisp0")
        b.say("add 10.1.0.5/32")
        a.wait("moved-away", eid="10.1.0.5/32")
        c.wait("resolved", invoked=True)
        self.reach("c", "10.1.0.5")

    def test_a_wrong_key_is_refused_and_a_site_that_falls_silent_expires(self):
        server = self.server("--lifetime", "2")
        wrong = Path(self.folder, "wrong")
        wrong.write_text("another key")
        self.router("a", "192.0.2.11", ["10.1.0.1/24"], key=wrong)
        self.assertEqual(server.wait("registration-rejected")["reason"], "not authentic")
        self.router("b", "192.0.2.12", ["10.2.0.1/24"]).wait("registered")
        server.wait("expired", eid="10.2.0.0/24")

    def test_a_locator_that_answers_no_probe_is_left_for_the_next(self):
        self.server("--proxy-reply")
        a = self.router("a", "192.0.2.11", ["10.1.0.1/24"], "--probe-interval", "0.3")
        self.place("b", "192.0.2.12", "192.0.2.22")
        b = Peer("b", "xtr", "--rloc", "192.0.2.12,1", "--rloc", "192.0.2.22,2", "--map-server", SERVER,
                 "--map-resolver", SERVER, "--key-file", str(self.key), "--tun", "lisp0", "--eid", "10.2.0.1/24")
        self.peers.append(b)
        b.wait("registered")
        inside("b", "addr", "add", "10.2.0.1/24", "dev", "lisp0")
        inside("b", "route", "add", "10.0.0.0/8", "dev", "lisp0")
        a.wait("registered")
        self.reach("a", "10.2.0.1")
        a.wait("probed", locator="192.0.2.12")
        inside("net", "route", "del", "192.0.2.12")
        a.wait("locator-down", locator="192.0.2.12")
        self.assertEqual(self.ping("a", "10.2.0.1"), 5)

    def test_every_role_ends_in_order_when_told_to(self):
        self.server()
        self.router("a", "192.0.2.11", ["10.1.0.1/24"]).wait("registered")
        b = self.router("b", "192.0.2.12", ["10.2.0.1/24"])
        b.process.stdin.close()
        self.assertEqual(b.process.wait(timeout=5), 0)
        for peer in self.peers[:2]:
            self.assertEqual(peer.end(), 0)


if __name__ == "__main__":
    unittest.main()
