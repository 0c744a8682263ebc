"""The peer against itself: `cd tests/peers && python3 -m unittest selftest.wire selftest.world` (world needs root)."""
