//! The guest as it is used: a VM under QEMU's emulation, asked over its network. QEMU's user-mode
//! network forwards ports of this machine, so no privileges are needed.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Vm {
    qemu: Child,
    echo: u16,
    http: u16,
    log: PathBuf,
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        let _ = std::fs::remove_file(&self.log);
    }
}

impl Vm {
    fn boot(words: &str) -> Vm {
        let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guest");
        let [kernel, initramfs] = ["vmlinux", "initramfs.cpio"].map(|f| image.join(f));
        for file in [&kernel, &initramfs] {
            assert!(
                file.exists(),
                "{} is missing; run `make guest`",
                file.display()
            );
        }
        let [echo, http] = [free_port(), free_port()];
        let log = std::env::temp_dir().join(format!("guest-vm-{}-{echo}.log", std::process::id()));
        let net = format!(
            "user,id=n0,net=10.77.0.0/24,hostfwd=tcp:127.0.0.1:{echo}-10.77.0.11:7,\
             hostfwd=udp:127.0.0.1:{echo}-10.77.0.11:7,hostfwd=tcp:127.0.0.1:{http}-10.77.0.11:80"
        );
        let append =
            format!("console=ttyS0 quiet panic=-1 cryptomgr.notests th.ip=10.77.0.11/24 {words}");
        let qemu = Command::new("qemu-system-x86_64")
            .args([
                "-accel", "tcg", "-M", "q35", "-cpu", "max", "-m", "128", "-display", "none",
            ])
            .args([
                "-nodefaults",
                "-no-user-config",
                "-no-reboot",
                "-netdev",
                &net,
            ])
            .args([
                "-device",
                "virtio-net-pci,romfile=,netdev=n0",
                "-append",
                &append,
            ])
            .arg("-serial")
            .arg(format!("file:{}", log.display()))
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(initramfs)
            .stdin(Stdio::null())
            .spawn()
            .expect("qemu-system-x86_64 is missing; run `make setup`");
        let vm = Vm {
            qemu,
            echo,
            http,
            log,
        };
        let began = Instant::now();
        while vm.ask("GET", "/").is_none() {
            let console = std::fs::read_to_string(&vm.log).unwrap_or_default();
            assert!(
                began.elapsed() < Duration::from_secs(120),
                "the VM never answered; console:\n{console}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        vm
    }

    /// Status line and body; `None` while nobody answers.
    fn ask(&self, method: &str, target: &str) -> Option<(String, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        write!(stream, "{method} {target} HTTP/1.1\r\nHost: guest\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.lines().next()?.to_owned(), body.to_owned()))
    }

    /// The number after `"key":` in `/stats`, which is flat enough for that.
    fn stat(&self, key: &str) -> u64 {
        let (_, body) = self.ask("GET", "/stats").expect("the VM answers");
        let rest = body
            .split_once(&format!("\"{key}\":"))
            .unwrap_or_else(|| panic!("no {key} in {body}"))
            .1;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits
            .parse()
            .unwrap_or_else(|_| panic!("{key} is no number in {body}"))
    }

    fn wait_for(&self, what: &str, holds: impl Fn(&Vm) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < Duration::from_secs(60), "never: {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a free port")
        .port()
}

#[test]
fn a_vm_boots_echoes_dirties_and_keeps_account() {
    let vm = Vm::boot("th.name=shop-1 th.dirty=48,500,1");

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(("127.0.0.1", vm.echo)).unwrap();
    udp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for sequence in 0..100u64 {
        let mut sent = [0xa5; 64];
        sent[..8].copy_from_slice(&sequence.to_be_bytes());
        udp.send(&sent).unwrap();
        let mut back = [0; 128];
        assert_eq!(udp.recv(&mut back).unwrap(), 64);
        assert_eq!(back[..16], sent[..16]);
        assert_eq!(back[16..24], (sequence + 1).to_be_bytes());
        assert_eq!(back[24..64], sent[24..]);
    }

    let mut sessions: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(("127.0.0.1", vm.echo)).unwrap())
        .collect();
    for (i, session) in sessions.iter_mut().enumerate() {
        session
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let sent = [i as u8; 5000];
        session.write_all(&sent).unwrap();
        let mut back = [0; 5000];
        session.read_exact(&mut back).unwrap();
        assert_eq!(back, sent);
    }
    assert_eq!((vm.stat("udp_datagrams"), vm.stat("tcp_open")), (100, 20));
    drop(sessions);
    vm.wait_for("all sessions closed", |vm| vm.stat("tcp_open") == 0);

    vm.wait_for("pages dirtied", |vm| vm.stat("pages_written") > 100);
    assert_eq!((vm.stat("mb"), vm.stat("pages_per_s")), (48, 500));
    assert_eq!(
        vm.ask("POST", "/dirty?mb=8&pages=0").unwrap().0,
        "HTTP/1.1 200 OK"
    );
    assert_eq!((vm.stat("mb"), vm.stat("pages_per_s")), (8, 0));
    assert_eq!(
        vm.ask("POST", "/dirty?mb=4000").unwrap().0,
        "HTTP/1.1 409 Conflict"
    );
    assert_eq!(vm.ask("POST", "/reset").unwrap().0, "HTTP/1.1 200 OK");
    assert_eq!(
        (
            vm.stat("epoch"),
            vm.stat("udp_datagrams"),
            vm.stat("pages_written")
        ),
        (2, 0, 0)
    );
    assert!(vm.ask("GET", "/").unwrap().1.starts_with("shop-1, up "));
}
