use super::*;
use crate::mail::Mailbox;
use std::path::Path;

/// A folder that goes with its owner.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("guest-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn disk(folder: &Folder, rate: u32, mount: fn() -> Result<(), String>) -> Disk {
    let load = DiskLoad { rate, kib: 4 };
    Disk::start(load, folder.path().into(), 0, 3, mount)
}

/// The answer to one request.
fn answer(ask: impl FnOnce(Reply)) -> Answer {
    let mail = Mailbox::new().unwrap();
    ask(mail.reply((0, 1)));
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some((to, answer)) = mail.take().pop() {
            assert_eq!(to, (0, 1));
            return answer;
        }
        assert!(Instant::now() < end, "no answer");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn acked(disk: &Disk) -> u64 {
    disk.0.acked.load(Ordering::Acquire)
}

#[test]
fn records_are_acknowledged_until_a_pause_and_go_on_after_it() {
    let folder = Folder::new("disk");
    let disk = disk(&folder, 1000, || Ok(()));
    let end = Instant::now() + PATIENCE;
    while acked(&disk) < 20 {
        assert!(Instant::now() < end, "{:?}", disk.0.control().state);
        std::thread::sleep(Duration::from_millis(1));
    }
    let (status, body) = answer(|reply| disk.set_rate(0, reply));
    assert_eq!(status, "200 OK");
    let paused = acked(&disk);
    assert!(body.contains(&format!("\"acked\":{paused},")), "{body}");
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(acked(&disk), paused);
    let last = Ring::open(disk.0.shape.clone()).unwrap().1.unwrap();
    assert_eq!((last.id, last.sequence), (3, paused));
    answer(|reply| disk.set_rate(1000, reply));
    while acked(&disk) < paused + 20 {
        assert!(Instant::now() < end, "{:?}", disk.0.control().state);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_disk_that_is_not_there_says_why_to_everyone_who_asks() {
    let folder = Folder::new("none");
    let disk = disk(&folder, 10, || Err("nothing to mount".into()));
    for ask in [
        answer(|reply| disk.check(reply)),
        answer(|reply| disk.set_rate(0, reply)),
        answer(|reply| disk.check(reply)),
    ] {
        assert_eq!(ask.0, "503 Service Unavailable");
        assert!(ask.1.contains("nothing to mount"), "{}", ask.1);
    }
}
