//! What is on the wire, as tshark sees it.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::stage::{Stage, eid4, noise, rloc4};

#[test]
fn tshark_reads_our_data_packets_and_finds_nothing_wrong_in_them() {
    let stage = Stage::new(2);
    for place in [1, 2] {
        // So that what is captured is what a real network would carry.
        stage.sh(
            place,
            "ethtool -K e0 tso off gso off gro off tx off tx-udp-segmentation off",
        );
    }
    let _routers = stage.pair(rloc4, |_| {});
    let file = std::env::temp_dir().join(format!("{}.pcap", stage.name(2)));
    let path = file.to_str().expect("a path");
    let mut capture = Command::new("ip")
        .args([
            "netns",
            "exec",
            &stage.name(2),
            "tshark",
            "-q",
            "-i",
            "e0",
            "-w",
            path,
        ])
        .args(["-f", "udp port 4341"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("tshark");
    // It says so when it captures.
    let mut said = std::io::BufReader::new(capture.stderr.take().expect("stderr"));
    let mut line = String::new();
    while !line.contains("Capturing") {
        line.clear();
        let length = std::io::BufRead::read_line(&mut said, &mut line).expect("a line");
        assert!(length > 0, "tshark ended");
    }
    std::thread::sleep(Duration::from_millis(500));
    let bytes = noise(400_000);
    assert!(stage.tcp(1, 2, eid4(2), &bytes) == bytes);
    std::thread::sleep(Duration::from_millis(500));
    let id = nix::unistd::Pid::from_raw(capture.id() as i32);
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).expect("kill");
    capture.wait().expect("tshark");
    let fields = "-e lisp-data.iid -e lisp-data.flags.nonce -e ip.src -e udp.checksum.status -e tcp.checksum.status -e ip.checksum.status -e ip.len -e udp.srcport";
    let checks = "-o udp.check_checksum:TRUE -o tcp.check_checksum:TRUE -o ip.check_checksum:TRUE";
    let seen = crate::stage::sh(&format!(
        "tshark -r {path} -Y \"lisp-data and ip.src==10.0.0.1\" -T fields {fields} {checks} 2>/dev/null"
    ));
    drop(std::fs::remove_file(&file));
    let lines: Vec<Vec<&str>> = seen
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert!(lines.len() > 270, "{} packets for 400 kB", lines.len());
    for line in &lines {
        assert_eq!(line[0], "7", "instance id in {line:?}");
        assert!(matches!(line[1], "0" | "False"), "no nonce in {line:?}");
        assert_eq!(line[2], "10.0.0.1,10.2.0.1");
        assert_eq!(line[3], "1", "outer UDP checksum in {line:?}");
        assert_eq!(line[4], "1", "inner TCP checksum in {line:?}");
        assert_eq!(line[5], "1,1", "IP header checksums in {line:?}");
        let outer: usize = line[6]
            .split(',')
            .next()
            .expect("a length")
            .parse()
            .expect("a number");
        assert!(outer <= 1500);
    }
    let ports: std::collections::BTreeSet<_> = lines.iter().map(|line| line[7]).collect();
    assert_eq!(ports.len(), 1, "one flow has one source port");
}
