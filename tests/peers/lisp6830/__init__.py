"""A LISP tunnel router and Map-Server as of 2013 (RFC 6830, RFC 6833, LCAF instance ids).

Test equipment: the other vendor, which shares no line with the Rust crates. It has what the RFCs of
that year had: HMAC-SHA-1-96, Map-Registers with a nonce of 0, SMR; no publish/subscribe, no
Map-Notify-Ack, no replay protection.

    python3 -m lisp6830 xtr --help
    python3 -m lisp6830 map-server --help
"""
