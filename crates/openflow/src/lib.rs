//! OpenFlow 1.3 codec with the OVS extensions and connection logic without I/O
