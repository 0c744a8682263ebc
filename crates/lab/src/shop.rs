//! The cluster `shop`: what the lab moves about, and the client in `office` that talks to it.
//!
//! Pure: descriptions for the controller and targets for the probe. Who starts them is
//! [`crate::cli`].

use measure::probe::Target;
use model::cluster::Cidr;
use model::name::InvalidName;
use model::vm::{Accel, Disk, DiskFormat, VmSpec};
use model::{Cluster, ClusterName, Encap, HostName, Mac, Member, MemberKind, VmName};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// Its name.
pub const NAME: &str = "shop";

/// The site where its VMs run at first.
pub const HOME: &str = "north";

/// The site of its client.
pub const CLIENT_SITE: &str = "office";

/// The number of its addresses.
const CLIENT: u8 = 100;

/// Most VMs of the cluster.
pub const MOST_VMS: u8 = 16;

/// Words for the guest's kernel. After a migration an emulator translates all code anew,
/// block by block: what no test needs is left out, so that the figures tell of the move and not of the emulator.
const LEAN: &str = "mitigations=off nowatchdog psi=0 lsm=yama cgroup_disable=memory hardened_usercopy=off highres=off nohz=off";

/// How large a VM is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Virtual CPUs.
    pub vcpus: u8,
    /// Memory, MiB.
    pub memory_mib: u32,
}

impl Size {
    /// What the project's figures are measured with.
    pub const USUAL: Self = Self {
        vcpus: 1,
        memory_mib: 128,
    };
}

/// What a VM's memory sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Random data that is rewritten, MiB.
    pub mib: u32,
    /// Whole 4 KiB pages rewritten each second.
    pub pages_per_s: u32,
}

impl Load {
    /// What the project's figures are measured under.
    pub const USUAL: Self = Self {
        mib: 48,
        pages_per_s: 500,
    };

    /// Nothing.
    pub const IDLE: Self = Self {
        mib: 0,
        pages_per_s: 0,
    };
}

/// What a VM's disk sees. The disk itself is made with [`crate::disk::make`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskLoad {
    /// Its size, MiB; at least [`crate::disk::least_mib`] of `fill_mib`.
    pub size_mib: u64,
    /// Random data that lies on it from the beginning, MiB.
    pub fill_mib: u64,
    /// Records of 4 KiB written and flushed each second.
    pub rate: u32,
    /// How the images are stored.
    pub format: DiskFormat,
    /// What each VM's disk is made from; the lab makes it.
    pub image: PathBuf,
}

/// What is usual for [`Shop::talk_ms`]. An emulated guest pays much CPU for each frame: with 2 ms, four of
/// them are busy with each other, and on two cores lose what others send them.
pub const TALK_MS: u32 = 10;

/// What is usual for the client's UDP stream with each VM, ms.
pub const STREAM_MS: u32 = 2;

/// How the cluster is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shop {
    /// How many VMs, from 1 to [`MOST_VMS`].
    pub vms: u8,
    /// What each does to its memory.
    pub load: Load,
    /// Interval of the UDP stream that each sends to the next, ms; 0 sends none.
    pub talk_ms: u32,
    /// The disk of each, if they have any.
    pub disk: Option<DiskLoad>,
    /// How its frames travel.
    pub encap: Encap,
    /// Whether the client is a member; without, it is outside.
    pub client: bool,
    /// How large each VM is.
    pub size: Size,
    /// What the VMs boot.
    pub guest: Guest,
}

/// The guest's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// The kernel, an ELF file.
    pub kernel: PathBuf,
    /// The initial RAM disk.
    pub initrd: PathBuf,
}

/// There is no guest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the guest is missing: {0} is not there; make it with `make guest`, or name its folder with --guest"
)]
pub struct NoGuest(pub PathBuf);

impl Guest {
    /// The guest in this folder; without one, that of the checkout that is worked in or that the
    /// running program was built in.
    ///
    /// # Errors
    /// [`NoGuest`].
    pub fn find(folder: Option<&Path>) -> Result<Self, NoGuest> {
        let usual = Path::new("target/guest");
        let mut folders = Vec::new();
        match folder {
            Some(folder) => folders.push(folder.to_owned()),
            None => {
                folders.push(usual.to_owned());
                let program = std::env::current_exe().unwrap_or_default();
                let above = program.ancestors().skip(1);
                folders.extend(above.map(|folder| folder.join("guest")).take(3));
            }
        }
        let complete = folders.iter().find_map(|folder| {
            let folder = std::path::absolute(folder).ok()?;
            let guest = Self {
                kernel: folder.join("vmlinux"),
                initrd: folder.join("initramfs.cpio"),
            };
            (guest.kernel.is_file() && guest.initrd.is_file()).then_some(guest)
        });
        let first = folders.into_iter().next().unwrap_or_default();
        complete.ok_or(NoGuest(first.join("vmlinux")))
    }
}

/// The host of a site.
///
/// # Errors
/// A site's name that is too long for a host.
pub fn host(site: &str) -> Result<HostName, InvalidName> {
    HostName::new(format!("{site}-1"))
}

/// The number of a VM's addresses: 11 for the first.
fn number(vm: u8) -> u8 {
    10 + vm
}

fn v4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, number)
}

/// Reads as the IPv4 address does: fd77::11 belongs to 10.77.0.11.
fn v6(number: u8) -> Ipv6Addr {
    let digits = u16::from_str_radix(&number.to_string(), 16).unwrap_or(u16::from(number));
    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, digits)
}

fn addresses(number: u8) -> Vec<Cidr> {
    let cidr = |address, prefix| Cidr { address, prefix };
    vec![
        cidr(IpAddr::V4(v4(number)), 24),
        cidr(IpAddr::V6(v6(number)), 64),
    ]
}

/// 52:54:00 is QEMU's; the rest says the network and the number.
fn mac(number: u8) -> Mac {
    Mac([0x52, 0x54, 0, 0x77, 0, number])
}

impl Shop {
    /// The cluster for the controller.
    ///
    /// # Errors
    /// Never, with the names that are used here.
    pub fn describe(&self) -> Result<Cluster, InvalidName> {
        let mut members = Vec::new();
        for vm in 1..=self.vms {
            members.push(Member {
                name: VmName::new(format!("{NAME}-{vm}"))?,
                host: host(HOME)?,
                mac: mac(number(vm)),
                addresses: addresses(number(vm)),
                after: Vec::new(),
                security: Vec::new(),
                kind: MemberKind::Vm {
                    spec: self.spec(vm),
                },
            });
        }
        if self.client {
            members.push(Member {
                name: VmName::new("client")?,
                host: host(CLIENT_SITE)?,
                mac: mac(CLIENT),
                addresses: addresses(CLIENT),
                after: Vec::new(),
                security: Vec::new(),
                kind: MemberKind::Host,
            });
        }
        Ok(Cluster {
            name: ClusterName::new(NAME)?,
            vni: 0,
            encap: self.encap,
            members,
        })
    }

    /// Addresses of the client.
    pub fn client_addresses() -> Vec<Cidr> {
        addresses(CLIENT)
    }

    /// What a probe talks to.
    pub fn targets(&self) -> Vec<Target> {
        let target = |vm| Target::new(format!("{NAME}-{vm}"), IpAddr::V4(v4(number(vm))));
        (1..=self.vms).map(target).collect()
    }

    fn spec(&self, vm: u8) -> VmSpec {
        VmSpec {
            machine: "q35".to_owned(),
            cpu: "qemu64".to_owned(),
            accel: Accel::Auto,
            vcpus: self.size.vcpus,
            memory_mib: self.size.memory_mib,
            kernel: self.guest.kernel.clone(),
            initrd: self.guest.initrd.clone(),
            cmdline: self.command_line(vm),
            disks: self.disks(),
            libvirt: None,
        }
    }

    fn disks(&self) -> Vec<Disk> {
        let disk = self.disk.as_ref().map(|load| Disk {
            name: "data".to_owned(),
            size: load.size_mib << 20,
            format: load.format,
            from: Some(load.image.clone()),
            shared: None,
        });
        disk.into_iter().collect()
    }

    /// See the guest's own documentation. Every VM holds a TCP session with every other, and a UDP
    /// stream with the next.
    fn command_line(&self, vm: u8) -> String {
        let own = number(vm);
        let mut words = vec![
            format!("console=ttyS0 quiet panic=-1 cryptomgr.notests {LEAN}"),
            format!("th.name={NAME}-{vm}"),
            format!("th.ip={}/24,{}/64", v4(own), v6(own)),
        ];
        if self.load.mib > 0 {
            words.push(format!(
                "th.dirty={},{},1",
                self.load.mib, self.load.pages_per_s
            ));
        }
        if let Some(disk) = &self.disk {
            words.push(format!("th.disk={}", disk.rate));
        }
        let peers: Vec<u8> = (1..=self.vms).filter(|peer| *peer != vm).collect();
        let next = peers
            .iter()
            .find(|peer| **peer > vm)
            .or_else(|| peers.first());
        if let Some(next) = next {
            let all: Vec<String> = peers.iter().map(|p| v4(number(*p)).to_string()).collect();
            words.push(format!("th.peers={}", all.join(",")));
            words.push(format!(
                "th.udp_peers={} th.stream_ms={} th.tcp_ms=200",
                v4(number(*next)),
                self.talk_ms
            ));
        }
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop(vms: u8, load: Load) -> Shop {
        let guest = Guest {
            kernel: "/g/vmlinux".into(),
            initrd: "/g/initramfs.cpio".into(),
        };
        Shop {
            vms,
            load,
            talk_ms: TALK_MS,
            disk: None,
            encap: Encap::Vxlan,
            client: true,
            size: Size::USUAL,
            guest,
        }
    }

    #[test]
    fn no_two_members_share_a_name_or_an_address() {
        let cluster = shop(MOST_VMS, Load::USUAL).describe().unwrap();
        let mut seen = std::collections::HashSet::new();
        for member in &cluster.members {
            assert!(seen.insert(member.name.to_string()));
            assert!(seen.insert(member.mac.to_string()));
            for cidr in &member.addresses {
                assert!(seen.insert(cidr.to_string()));
            }
        }
        assert_eq!(cluster.members.len(), usize::from(MOST_VMS) + 1);
        assert_eq!(cluster.members[0].addresses[1].to_string(), "fd77::11/64");
        assert_eq!(cluster.members[0].mac.to_string(), "52:54:00:77:00:0b");
    }

    #[test]
    fn every_vm_streams_to_the_next_and_the_last_to_the_first() {
        let shop = shop(4, Load::USUAL);
        for (vm, next) in [(1, "10.77.0.12"), (2, "10.77.0.13"), (4, "10.77.0.11")] {
            let line = shop.command_line(vm);
            assert!(line.contains(&format!("th.udp_peers={next} ")), "{line}");
            assert!(line.contains("th.dirty=48,500,1"), "{line}");
        }
    }

    #[test]
    fn a_single_vm_has_no_peers_and_an_idle_one_dirties_nothing() {
        let line = shop(1, Load::IDLE).command_line(1);
        assert!(
            !line.contains("peers") && !line.contains("th.dirty"),
            "{line}"
        );
    }

    #[test]
    fn a_vm_with_a_disk_is_told_how_much_to_write() {
        let mut shop = shop(1, Load::IDLE);
        assert!(!shop.command_line(1).contains("th.disk"));
        shop.disk = Some(DiskLoad {
            size_mib: 256,
            fill_mib: 100,
            rate: 50,
            format: DiskFormat::Raw,
            image: "/g/disk.raw".into(),
        });
        assert!(shop.command_line(1).ends_with(" th.disk=50"));
    }

    #[test]
    fn a_missing_guest_is_named_with_the_way_to_one() {
        let error = Guest::find(Some(Path::new("/nowhere"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/vmlinux"));
        assert!(error.to_string().contains("make guest"));
    }
}
