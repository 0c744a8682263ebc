"""Messages: figures of the RFC octet by octet, there and back, and nothing that raises but Malformed."""

import ipaddress
import random
import unittest

from lisp6830 import packet, wire
from lisp6830.address import Eid, Field, Malformed
from lisp6830.table import Table, hole, prefix
from lisp6830.wire import Authenticated, DataHeader, Locator, MapReply, MapRequest, Record

A = ipaddress.ip_address("192.0.2.1")
B = ipaddress.ip_address("2001:db8::1")


class Messages(unittest.TestCase):
    def test_a_map_request_stands_as_section_6_1_2_draws_it(self):
        source = Field(0, ipaddress.ip_address("10.1.0.1"))
        sent = MapRequest(0x1122334455667788, source, (A, B), (prefix("10.2.0.5/32"),), smr=True).encode()
        self.assertEqual(sent.hex(), "11000101" "1122334455667788" "0001" "0a010001"
                         "0001" "c0000201" "0002" "20010db8" + "00" * 11 + "01" "0020" "0001" "0a020005")
        self.assertEqual(MapRequest.decode(sent).eids, (prefix("10.2.0.5"),))
        self.assertTrue(MapRequest.decode(sent).smr)

    def test_a_map_register_stands_as_section_6_1_6_draws_it_and_is_signed(self):
        record = Record(prefix("10.1.0.0/24", 100), (Locator(A, 1, 100, local=True),), authoritative=True)
        sent = Authenticated(wire.MAP_REGISTER, 0, (record,), want_notify=True).encode(b"secret")
        self.assertEqual(sent[:16].hex(), "30000101" + "00" * 8 + "00010014")
        self.assertEqual(sent[36:].hex(), "000005a0" "01" "18" "1000" "0000" "4003" "0000" "0220" "000a" "00000064"
                         "0001" "0a010000" "0164ff00" "0005" "0001" "c0000201")
        self.assertTrue(Authenticated.decode(sent).signed_with(b"secret"))
        self.assertFalse(Authenticated.decode(sent).signed_with(b"other"))
        self.assertFalse(Authenticated.decode(sent[:-1] + b"\x02").signed_with(b"secret"))

    def test_twelve_octets_of_the_digest_are_taken_too(self):
        record = Record(prefix("2001:db8:1::/48"), (Locator(B),))
        sent = Authenticated(wire.MAP_NOTIFY, 7, (record,), auth_length=12).encode(b"secret")
        self.assertTrue(Authenticated.decode(sent).signed_with(b"secret"))

    def test_what_is_cut_or_changed_is_malformed_or_read_but_never_worse(self):
        chance = random.Random(6830)
        record = Record(prefix("10.1.0.0/24", 7), (Locator(A), Locator(B)))
        whole = [MapReply(1, (record,)).encode(), MapRequest(1, Field(7, A), (A, B), (record.eid,)).encode(),
                 Authenticated(wire.MAP_REGISTER, 0, (record,)).encode(b"k")]
        for sent, kind in zip(whole, (MapReply, MapRequest, Authenticated)):
            for end in range(len(sent)):
                self.assertRaises(Malformed, kind.decode, sent[:end])
            for _ in range(5000):
                bent = bytearray(sent)
                bent[chance.randrange(len(bent))] = chance.randrange(256)
                try:
                    kind.decode(bytes(bent))
                except Malformed:
                    pass

    def test_locators_of_a_later_year_are_left_out(self):
        nat = bytes.fromhex("4003" "0000" "0700" "000a" "10f6" "10f6" "0001" "0a000001")
        reply = (MapReply(9, (Record(prefix("10.1.0.0/24"), (Locator(A),)),)).encode())
        bent = bytearray(reply)
        bent[16] = 2
        locator = bytes.fromhex("0164ff000001") + nat
        self.assertEqual([one.address for one in MapReply.decode(bytes(bent) + locator).records[0].locators], [A])

    def test_the_data_header_comes_back(self):
        for header in (DataHeader(), DataHeader(nonce=5, status=3), DataHeader(nonce=0, iid=100, status=1, echo=True)):
            self.assertEqual(DataHeader.decode(header.encode()), header)
        self.assertEqual(DataHeader(nonce=0xABCDEF, iid=100, status=1).encode().hex(), "c8abcdef00006401")


class Packets(unittest.TestCase):
    def test_an_inner_udp_packet_comes_back_with_right_checksums(self):
        for here, there in ((A, ipaddress.ip_address("10.2.0.5")), (B, ipaddress.ip_address("2001:db8::2"))):
            made = packet.udp_packet(here, 4342, there, 4342, b"message")
            inner, source, target, payload = packet.read_udp(made)
            self.assertEqual((inner.source, inner.target, source, target, payload),
                             (here, there, 4342, 4342, b"message"))
            if here.version == 4:
                self.assertEqual(packet.checksum(made[:20]), 0)

    def test_time_to_live_and_type_of_service_can_be_changed(self):
        for here, there in ((A, A), (B, B)):
            changed = packet.rewritten(packet.udp_packet(here, 1, there, 2, b""), 7, 0xB9)
            self.assertEqual((packet.read_ip(changed).ttl, packet.read_ip(changed).tos), (7, 0xB9))
            if here.version == 4:
                self.assertEqual(packet.checksum(changed[:20]), 0)


class Tables(unittest.TestCase):
    def test_the_longest_prefix_of_the_same_instance_is_found(self):
        table = Table()
        for text, iid in (("10.0.0.0/8", 0), ("10.1.0.0/24", 0), ("10.1.0.5/32", 1)):
            table[prefix(text, iid)] = text
        self.assertEqual(table.at(0, ipaddress.ip_address("10.1.0.5"))[1], "10.1.0.0/24")
        self.assertEqual(table.at(1, ipaddress.ip_address("10.1.0.5"))[1], "10.1.0.5/32")
        self.assertIsNone(table.at(2, ipaddress.ip_address("10.1.0.5")))

    def test_a_hole_is_as_wide_as_it_can_be_and_holds_nothing_registered(self):
        chance = random.Random(6833)
        for _ in range(500):
            table = Table()
            for _ in range(chance.randrange(6)):
                length = chance.randrange(8, 33)
                table[Eid(0, ipaddress.ip_network((chance.getrandbits(32), length), strict=False))] = True
            asked = Eid.host(0, ipaddress.IPv4Address(chance.getrandbits(32)))
            if table.longest(asked) is not None:
                continue
            found = hole(asked, table)
            self.assertTrue(found.covers(asked))
            self.assertEqual(table.overlapping(found), [])
            if found.net.prefixlen:
                self.assertNotEqual(table.overlapping(Eid(0, found.net.supernet())), [])


if __name__ == "__main__":
    unittest.main()
