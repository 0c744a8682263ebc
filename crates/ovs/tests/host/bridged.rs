//! Ports for VMs whose taps are somebody else's, as libvirt makes them: in a bridge, with offloads.

use crate::support::{World, text_of, udp, v4};
use model::{Encap, Member, MemberKind, vm::LibvirtDomain};
use ovs::bench::stage::{self, Plan};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

/// Bytes of struct virtio_net_hdr, which stands before each frame of such a tap.
const HEADER: usize = 10;
const NEEDS_CHECKSUM: u8 = 1;

nix::ioctl_write_ptr_bad!(attach, nix::request_code_write!(b'T', 202, 4), libc::ifreq);

/// A tap as libvirt makes one.
fn tap(name: &str) -> OwnedFd {
    let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: a C string, an ifreq of zeroes, and a descriptor that was just opened.
    unsafe {
        let fd = OwnedFd::from_raw_fd(libc::open(c"/dev/net/tun".as_ptr(), flags));
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        request.ifr_ifru.ifru_flags = flags as libc::c_short;
        attach(fd.as_raw_fd(), &raw const request).unwrap();
        fd
    }
}

fn ip(words: &[&str]) -> bool {
    Command::new("ip")
        .args(words)
        .output()
        .expect("ip")
        .status
        .success()
}

/// A frame as a guest gives it that leaves checksums to the host: the UDP field holds the pseudo header's.
fn unfinished(frame: &[u8]) -> Vec<u8> {
    const UDP: usize = 14 + 20;
    const FIELD: usize = 6;
    let mut header = [0u8; HEADER];
    header[0] = NEEDS_CHECKSUM;
    header[6..8].copy_from_slice(&(UDP as u16).to_ne_bytes());
    header[8..10].copy_from_slice(&(FIELD as u16).to_ne_bytes());
    let mut frame = frame.to_vec();
    let length = (frame.len() - UDP) as u32;
    let words = frame[26..34]
        .chunks(2)
        .map(|two| u32::from(u16::from_be_bytes([two[0], two[1]])));
    let mut sum = words.sum::<u32>() + 17 + length;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[UDP + FIELD..UDP + FIELD + 2].copy_from_slice(&(sum as u16).to_be_bytes());
    [header.to_vec(), frame].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_leaves_checksums_to_its_host_is_understood_behind_a_bridge() {
    let mut world = World::empty(Plan::default(), Encap::Vxlan).await;
    let mut member: Member =
        stage::member(&world.net, 1, &world.stage.hosts[0].config.host).unwrap();
    let (talker_member, talker) = world.vm(2, 1).await;
    let MemberKind::Vm { mut spec } = talker_member.kind.clone() else {
        panic!("{talker_member:?}");
    };
    spec.libvirt = Some(LibvirtDomain {
        domain: "web".into(),
        images: Default::default(),
    });
    member.kind = MemberKind::Vm { spec };
    world.host(0).link(&world.net, &member).await.unwrap();
    world.add_row(&member, 0);
    world.add_row(&talker_member, 1);
    world.tell_all().await;

    let bridge = ovs::names::bridge(&world.net.cluster, &member.name);
    let plugged = bridge.clone();
    let guest = world
        .netns(0)
        .run(move || {
            let guest = tap("vnet0");
            assert!(ip(&["link", "set", "vnet0", "master", &plugged, "up"]));
            guest
        })
        .await
        .unwrap();
    world.host(0).settle_tap("vnet0").await.unwrap();

    let frame = udp(
        member.mac.0,
        talker_member.mac.0,
        v4(&member),
        v4(&talker_member),
        "hello, talker",
    );
    nix::unistd::write(&guest, &unfinished(&frame)).unwrap();
    let heard = talker.received().await;
    assert_eq!(heard.len(), 1, "{heard:?}");
    // Byte for byte what a guest would have sent that does its checksums itself.
    assert_eq!(heard[0], frame);

    talker.says(&member, "hello, guest");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let own = std::process::id() as i32;
    let again = ovs::tap::of_process(own, "vnet0").unwrap();
    let waiting = ovs::tap::read_waiting(&again).unwrap();
    let texts: Vec<_> = waiting.iter().filter_map(|frame| text_of(frame)).collect();
    assert_eq!(texts, ["hello, guest"]);
    assert!(
        ovs::tap::read_waiting(&guest).unwrap().is_empty(),
        "it is the same queue"
    );

    world
        .host(0)
        .unlink(&world.net.cluster, &member.name)
        .await
        .unwrap();
    let gone = world
        .netns(0)
        .run(move || !ip(&["link", "show", &bridge]) && ip(&["link", "show", "vnet0"]))
        .await
        .unwrap();
    assert!(
        gone,
        "the bridge goes, and the tap, which is not ours, stays"
    );
}
