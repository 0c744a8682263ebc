//! The program inside a test guest: the only process of a small Linux VM.
//!
//! `scripts/guest.sh` packs it as `/init` beside Debian's kernel modules and busybox. As process 1 it
//! mounts what it needs, loads the virtio modules, sets the addresses and then serves from one
//! epoll loop. Started as an ordinary process (any pid but 1) it skips all of that, takes the same
//! `th.` parameters as arguments and serves on addresses that must exist already: a guest without
//! a VM for tests that need no migration.
//!
//! # Parameters (kernel command line, or arguments)
//!
//! | parameter | meaning |
//! |---|---|
//! | `th.name=shop-1` | name told by HTTP |
//! | `th.ip=10.77.0.11/24,fd77::11/64` | addresses of eth0; echo answers from the address it was asked at |
//! | `th.gw=10.77.0.1` | default gateway, also several (one of each family) |
//! | `th.mtu=1450` | MTU of eth0 |
//! | `th.dirty=48,500,1` | MB of random data, whole 4 KiB pages rewritten each second, with random data (1) or a counter (0) |
//! | `th.peers=10.77.0.12,10.77.0.13` | other guests to hold a TCP session with |
//! | `th.udp_peers=10.77.0.12` | other guests to send a UDP stream to; default: the first of `th.peers` |
//! | `th.stream_ms=2` | interval of those streams; 0 sends none |
//! | `th.tcp_ms=10` | interval of the records of each TCP session |
//! | `th.disk=100,4` | write load on the ext4 file system of `/dev/vda`: journal records a second, KiB of each (default 4) |
//! | `th.shell` | a busybox shell on the console |
//!
//! Words for the kernel itself: `console=ttyS0 quiet panic=-1 cryptomgr.notests`. The last saves 0.3 s of
//! cipher self-tests; with `-no-reboot`, `panic=-1` ends QEMU when the guest dies.
//!
//! # Wire
//!
//! * **UDP port 7.** A datagram comes back to its sender, duplicates too. All numbers are
//!   big-endian `u64`: bytes 0..8 sequence, 8..16 sender's timestamp (ns, opaque), 16..24 are
//!   **overwritten by the guest with its echo counter of this flow** (address and port of the sender, address asked),
//!   which begins at 1 and grows by one for every datagram echoed. Expected size 64 bytes; a datagram shorter
//!   than 24 bytes comes back unchanged and is counted as well. A gap in the sequence with a gap in
//!   nothing else is a lost request; a gap in the counters is a lost reply.
//! * **TCP port 7.** Bytes come back. `TCP_NODELAY`, thousands of sessions.
//! * **HTTP port 80.** `GET /` text, `GET /stats` JSON (see `stats`), `POST /dirty?mb=48&pages=500&random=1`
//!   (each optional), `POST /reset` begins a new epoch of statistics. One request a connection.
//!
//! # Disk
//!
//! With `th.disk`, `/dev/vda` is mounted at `/data`. `/data/journal` is a ring of 32 MiB of records, each of which follows from its
//! number and the journal's id. A record is acknowledged (`acked` in `/stats`) when `fdatasync` has come
//! back, so whatever `acked` says from outside has to be on the disk, whatever happens to the VM. A guest that boots again
//! goes on after the last record it finds. Small files in `/data/files` come and go beside it.
//!
//! * `POST /disk?rate=N` changes the records a second. With 0 it pauses both, and answers when no write is in
//!   flight and the kernel has written everything back.
//! * `POST /disk-check` reads every record up to `acked` that the ring must still hold, and all files, from the medium
//!   (`O_DIRECT`, page cache dropped); writing goes on meanwhile. Its answer:
//!
//! ```json
//! {"acked":9000,"oldest":809,"checked":8192,"overwritten":0,"missing":[],"missing_total":0,"bad":[],"bad_total":0,
//!  "files":{"checked":200,"missing":[],"missing_total":0,"bad":[],"bad_total":0},"took_ms":812.345}
//! ```
//!
//! `overwritten` are those whose slot a newer record took during the check; `missing` and `bad` name the first eight.
//!
//! A guest's clock stands still while its VM is stopped: gaps in `/stats` hold only what the guest lived
//! through. Downtime is measured from outside (crate `measure`).

mod boot;
mod dirtier;
mod disk;
mod echo;
mod http;
mod json;
mod mail;
mod netlink;
mod params;
mod probe_tcp;
mod probe_udp;
mod server;
mod stats;
mod sys;

use params::Params;

fn main() {
    let first = std::process::id() == 1;
    let words = if first {
        boot::mount_and_load();
        std::fs::read_to_string("/proc/cmdline").unwrap_or_default()
    } else {
        std::env::args().skip(1).collect::<Vec<_>>().join(" ")
    };
    let (params, complaints) = Params::parse(&words);
    for complaint in &complaints {
        boot::say(complaint);
    }
    if first {
        boot::network(&params);
        if params.shell {
            boot::shell();
        }
    } else if params.disk.is_some() {
        boot::say("th.disk needs a VM with a disk of its own: leave it out");
        std::process::exit(2);
    } else if !complaints.is_empty() {
        std::process::exit(2);
    }
    if let Err(error) = server::run(params) {
        boot::say(&format!("cannot serve: {error}"));
        if first {
            boot::power_off();
        }
        std::process::exit(1);
    }
}
