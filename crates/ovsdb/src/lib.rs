//! RFC 7047 client: transact, monitor with resync, echo
