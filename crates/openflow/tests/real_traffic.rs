//! What ovs-ofctl and ovs-vswitchd really say decodes, means something and encodes to the same
//! bytes.

mod support;

use std::process::Command;

use openflow::Message;
use support::{Ovs, Recorder, run};

/// Keys of the JSON form that say that something was not understood.
const OPAQUE: [&str; 3] = ["\"unknown\":", "\"opaque\"", "\"other\":"];

fn check(frames: &[Vec<u8>]) -> Vec<String> {
    let mut seen = Vec::new();
    for frame in frames {
        let hex = openflow::Blob(frame.clone());
        let (message, length) = Message::decode(frame).unwrap_or_else(|e| panic!("{e}: {hex}"));
        assert_eq!(length, frame.len());
        assert_eq!(
            openflow::Blob(message.to_bytes().unwrap()),
            hex,
            "{message:#?}"
        );
        seen.push(serde_json::to_string(&message).unwrap());
    }
    seen
}

fn ofctl(ovs: &Ovs, version: &str, args: &[&str]) -> String {
    run(Command::new("ovs-ofctl")
        .env("OVS_RUNDIR", ovs.dir())
        .arg(version)
        .args(args))
}

const FLOWS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/flows.txt");

fn prepared(version: &str) -> (Ovs, Recorder) {
    let ovs = Ovs::start();
    let tap = Recorder::start(ovs.dir(), &ovs.management_socket());
    let br0 = tap.target();
    let br0 = br0.as_str();
    let map =
        "{class=0xffff,type=0,len=4}->tun_metadata0,{class=0xffff,type=1,len=8}->tun_metadata1";
    ofctl(&ovs, version, &["add-tlv-map", br0, map]);
    ofctl(&ovs, version, &["dump-tlv-map", br0]);
    ofctl(
        &ovs,
        version,
        &[
            "add-group",
            br0,
            "group_id=1,type=select,bucket=weight:5,watch_port:1,actions=output:1,bucket=weight:9,actions=set_field:7->reg0,output:2",
        ],
    );
    ofctl(
        &ovs,
        version,
        &[
            "add-group",
            br0,
            "group_id=2,type=ff,bucket=watch_port:1,actions=output:1",
        ],
    );
    ofctl(
        &ovs,
        version,
        &[
            "add-meter",
            br0,
            "meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=10",
        ],
    );
    ofctl(
        &ovs,
        version,
        &["add-meter", br0, "meter=3,pktps,bands=type=drop,rate=1000"],
    );
    (ovs, tap)
}

#[test]
fn every_rule_of_ovs_ofctl_is_understood_on_its_way_in_and_out() {
    let (ovs, tap) = prepared("-OOpenFlow13");
    let br0 = tap.target();
    ofctl(&ovs, "-OOpenFlow13", &["add-flows", &br0, FLOWS]);
    ofctl(&ovs, "-OOpenFlow13", &["dump-flows", &br0]);
    let seen = check(&tap.frames());
    let rules: Vec<_> = seen.iter().filter(|json| json.contains("\"flow")).collect();
    assert!(rules.len() > 60, "{} messages", rules.len());
    for json in rules {
        for key in OPAQUE {
            assert!(!json.contains(key), "{json}");
        }
        assert!(!json.contains("\"experimenter\":{"), "{json}");
        assert!(!json.contains("oxm_"), "{json}");
    }
}

#[test]
fn every_statistic_and_description_survives_the_round_trip() {
    let (ovs, tap) = prepared("-OOpenFlow13");
    let br0 = tap.target();
    let br0 = br0.as_str();
    ovs.vsctl(&[
        "add-port",
        "br0",
        "p1",
        "--",
        "set",
        "interface",
        "p1",
        "type=internal",
        "ofport_request=1",
        "--",
        "set",
        "port",
        "p1",
        "qos=@q",
        "--",
        "--id=@q",
        "create",
        "qos",
        "type=linux-htb",
        "other-config:max-rate=10000000",
        "queues:1=@one",
        "--",
        "--id=@one",
        "create",
        "queue",
        "other-config:min-rate=1000000",
        "other-config:max-rate=2000000",
    ]);
    for command in [
        &["show", br0][..],
        &["dump-desc", br0],
        &["dump-tables", br0],
        &["dump-table-features", br0],
        &["dump-aggregate", br0],
        &["queue-stats", br0],
        &["queue-get-config", br0, "1"],
        &["dump-groups", br0],
        &["dump-group-stats", br0],
        &["dump-group-features", br0],
        &["dump-meters", br0],
        &["meter-stats", br0],
        &["meter-features", br0],
        &["dump-ports", br0],
        &["dump-ports-desc", br0],
        &["mod-port", br0, "1", "no-forward"],
        &["mod-port", br0, "1", "up"],
        &["get-frags", br0],
        &["set-frags", br0, "drop"],
        &[
            "packet-out",
            br0,
            "in_port=controller packet=ffffffffffff0200000000010800 actions=LOCAL",
        ],
        &["mod-table", br0, "0", "controller"],
        &[
            "mod-group",
            br0,
            "group_id=1,type=all,bucket=actions=output:1",
        ],
        &["del-groups", br0],
        &["del-meters", br0],
        &["probe", br0],
        &["del-flows", br0, "cookie=0x1/-1"],
        &["dump-ipfix-bridge", br0],
    ] {
        let _ = Command::new("ovs-ofctl")
            .env("OVS_RUNDIR", ovs.dir())
            .arg("-OOpenFlow13")
            .args(command)
            .output();
    }
    let seen = check(&tap.frames());
    for part in [
        "features_reply",
        "\"multipart\":\"desc\"",
        "\"multipart\":\"table\"",
        "\"multipart\":\"table_features\"",
        "\"multipart\":\"aggregate\"",
        "\"multipart\":\"queue\"",
        "queue_get_config_reply",
        "\"multipart\":\"group\"",
        "\"multipart\":\"group_desc\"",
        "\"multipart\":\"group_features\"",
        "\"multipart\":\"meter\"",
        "\"multipart\":\"meter_config\"",
        "\"multipart\":\"meter_features\"",
        "\"multipart\":\"port_stats\"",
        "\"multipart\":\"port_desc\"",
        "port_mod",
        "get_config_reply",
        "set_config",
        "packet_out",
        "table_mod",
        "group_mod",
        "meter_mod",
        "tlv_table_reply",
        "barrier_reply",
        "\"error\"",
    ] {
        assert!(
            seen.iter().any(|json| json.contains(part)),
            "no {part} among {}",
            seen.join("\n")
        );
    }
}

#[test]
fn bundles_survive_the_round_trip_in_both_versions() {
    for (version, key) in [
        ("-OOpenFlow13", "\"bundle_add\":{"),
        ("-OOpenFlow14", "\"type\":\"bundle_add\""),
    ] {
        let (ovs, tap) = prepared(version);
        let br0 = tap.target();
        ofctl(&ovs, version, &["--bundle", "add-flows", &br0, FLOWS]);
        ofctl(&ovs, version, &["dump-flows", &br0]);
        ofctl(&ovs, version, &["dump-ports", &br0]);
        let seen = check(&tap.frames());
        let adds = seen.iter().filter(|json| json.contains(key)).count();
        assert!(adds > 60, "{adds} in {version}");
    }
}
