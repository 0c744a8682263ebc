"""Authentication of Map-Register and Map-Notify (RFC 6830, section 6.1.6): HMAC-SHA-1-96, key id 1.

The name says 96 bits, RFC 2404's truncation. Implementations of the time (IOS, Open Overlay Router)
send all 20 octets of the digest, so this one does too; 12 is accepted and can be chosen.
"""

import hashlib
import hmac

KEY_ID_SHA1 = 1
LENGTHS = (20, 12)


def digest(key: bytes, message: bytes, length: int) -> bytes:
    """The digest of a message whose authentication data is zero, cut to `length` octets."""
    return hmac.new(key, message, hashlib.sha1).digest()[:length]


def right(key: bytes, message: bytes, at: int, length: int) -> bool:
    """Whether the `length` octets at `at` authenticate the message around them."""
    if length not in LENGTHS:
        return False
    claimed = message[at:at + length]
    blank = message[:at] + bytes(length) + message[at + length:]
    return hmac.compare_digest(claimed, digest(key, blank, length))
