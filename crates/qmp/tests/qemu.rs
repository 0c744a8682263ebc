//! The client against a real QEMU. Needs qemu-system-x86_64.

use std::{
    os::{fd::AsFd, unix::net::UnixStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use qmp::{ErrorClass, MigrationStatus, Qmp, QmpError, RunState};
use serde_json::{Value, json};

/// A QEMU without a guest; it is gone when this is dropped.
struct Qemu {
    child: Child,
    dir: tempfile::TempDir,
}

impl Qemu {
    fn start(more: &[&str]) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("qmp-test-")
            .tempdir()
            .unwrap();
        let socket = dir.path().join("qmp");
        let child = Command::new("qemu-system-x86_64")
            .args(
                "-M q35 -accel tcg -nodefaults -no-user-config -display none -S -m 64 -qmp"
                    .split(' '),
            )
            .arg(format!("unix:{},server=on,wait=off", socket.display()))
            .args(more)
            .stdin(Stdio::null())
            .spawn()
            .expect("this test needs qemu-system-x86_64: install the package qemu-system-x86");
        Self { child, dir }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("qmp")
    }

    async fn connect(&self) -> Qmp {
        Qmp::connect(self.socket()).await.unwrap()
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_machine_is_greeted_queried_and_ended() {
    let mut qemu = Qemu::start(&[]);
    let vm = qemu.connect().await;
    assert_eq!(
        vm.greeting().version,
        Some(vm.query_version().await.unwrap())
    );
    let status = vm.query_status().await.unwrap();
    assert_eq!(
        (status.running, status.status),
        (false, RunState::Prelaunch)
    );
    assert_eq!(
        vm.query_migrate().await.unwrap().status,
        MigrationStatus::None
    );
    let mut events = vm.events();
    vm.quit().await.unwrap();
    let mut names = Vec::new();
    while let Ok(event) = events.recv().await {
        names.push(event.name);
    }
    assert_eq!(names, ["SHUTDOWN"]);
    assert!(vm.is_closed());
    assert!(matches!(
        vm.query_status().await,
        Err(QmpError::Closed { .. })
    ));
    vm.quit().await.unwrap();
    assert!(qemu.child.wait().unwrap().success());
}

#[tokio::test]
async fn stop_and_cont_are_told_to_every_listener() {
    let qemu = Qemu::start(&[]);
    let vm = qemu.connect().await;
    vm.cont().await.unwrap();
    vm.stop().await.unwrap();
    let mut first = vm.events();
    let mut second = vm.clone().events();
    vm.cont().await.unwrap();
    let mut names = Vec::new();
    while names.len() < 3 {
        let event = first.recv().await.unwrap();
        assert!(event.timestamp > Duration::from_secs(1_600_000_000));
        names.push(event.name);
    }
    assert_eq!(names, ["RESUME", "STOP", "RESUME"]);
    assert_eq!(second.recv().await.unwrap().name, "RESUME");
}

#[tokio::test]
async fn a_file_descriptor_reaches_qemu_and_works_there() {
    let qemu = Qemu::start(&[]);
    let vm = qemu.connect().await;
    let (ours, theirs) = UnixStream::pair().unwrap();
    vm.getfd("mig", theirs.as_fd()).await.unwrap();
    drop(theirs);
    vm.set_capabilities(&[("events", true)]).await.unwrap();
    vm.set_parameters(json!({"downtime-limit": 300}))
        .await
        .unwrap();
    // QEMU writes the stream's magic number into the other end of the pair.
    let reader = tokio::task::spawn_blocking(move || {
        use std::io::Read;
        let mut ours = ours;
        let mut magic = [0; 4];
        ours.read_exact(&mut magic).map(|()| (magic, ours))
    });
    vm.migrate("fd:mig").await.unwrap();
    let (magic, ours) = reader.await.unwrap().unwrap();
    assert_eq!(&magic, b"QEVM");
    let mut events = vm.events();
    vm.migrate_cancel().await.unwrap();
    drop(ours);
    loop {
        if let Some(status) = events.recv().await.unwrap().migration_status()
            && status.is_final()
        {
            break;
        }
    }
    vm.execute("closefd", json!({"fdname": "mig"}))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn fd_commands_and_others_mix_freely() {
    let qemu = Qemu::start(&[]);
    let vm = qemu.connect().await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..20 {
        let vm = vm.clone();
        tasks.spawn(async move {
            let (one, _other) = UnixStream::pair().unwrap();
            vm.getfd(&format!("f{n}"), one.as_fd()).await.unwrap();
            vm.query_status().await.unwrap();
            vm.execute("closefd", json!({"fdname": format!("f{n}")}))
                .await
                .unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_request_larger_than_the_socket_takes_arrives_whole_with_the_descriptor_behind_it() {
    let qemu = Qemu::start(&[]);
    let vm = qemu.connect().await;
    let name = "x".repeat(300_000);
    let (one, _other) = UnixStream::pair().unwrap();
    let (large, behind) = tokio::join!(
        vm.execute("closefd", json!({"fdname": name})),
        vm.getfd("behind", one.as_fd()),
    );
    assert!(large.unwrap_err().refusal().unwrap().desc.contains(&name));
    behind.unwrap();
    vm.execute("closefd", json!({"fdname": "behind"}))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_cancelled_request_leaves_the_connection_usable() {
    let qemu = Qemu::start(&[]);
    let vm = qemu.connect().await;
    let large = vm.execute("closefd", json!({"fdname": "x".repeat(300_000)}));
    assert!(tokio::time::timeout(Duration::ZERO, large).await.is_err());
    assert!(!vm.query_status().await.unwrap().running);
}

#[tokio::test]
async fn a_refusal_has_its_class_and_sentence() {
    let qemu = Qemu::start(&[]);
    let vm = qemu.connect().await;
    let error = vm
        .execute("no-such-command", Value::Null)
        .await
        .unwrap_err();
    assert_eq!(error.refusal().unwrap().class, ErrorClass::CommandNotFound);
    let error = vm
        .execute("closefd", json!({"fdname": "none"}))
        .await
        .unwrap_err();
    assert_eq!(error.refusal().unwrap().class, ErrorClass::Generic);
    assert!(error.to_string().contains("closefd"));
}

#[tokio::test]
async fn a_migration_between_two_machines_is_followed_to_its_end() {
    let source = Qemu::start(&[]);
    let target = Qemu::start(&["-incoming", "defer"]);
    let (source, dir, target) = (source.connect().await, &target.dir, target.connect().await);
    let uri = format!("unix:{}", dir.path().join("mig").display());
    for vm in [&source, &target] {
        vm.set_capabilities(&[
            ("events", true),
            ("return-path", true),
            ("pause-before-switchover", true),
        ])
        .await
        .unwrap();
    }
    target.migrate_incoming(&uri).await.unwrap();
    let mut events = source.events();
    source.cont().await.unwrap();
    source.migrate(&uri).await.unwrap();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|s: &MigrationStatus| !s.is_final()) {
        if let Some(status) = events.recv().await.unwrap().migration_status() {
            if status == MigrationStatus::PreSwitchover {
                source.migrate_continue().await.unwrap();
            }
            seen.push(status);
        }
    }
    use MigrationStatus::{Active, Completed, Device, PreSwitchover, Setup};
    assert_eq!(seen, [Setup, Active, PreSwitchover, Device, Completed]);
    let info = source.query_migrate().await.unwrap();
    let ram = info.ram.unwrap();
    assert!(info.downtime.is_some() && info.total_time.is_some());
    assert!(
        ram.transferred > 0 && ram.page_size == 4096 && ram.total >= 64 << 20,
        "{ram:?}"
    );
    // The event comes while the state is still `finish-migrate`, for a moment.
    while source.query_status().await.unwrap().status != RunState::PostMigrate {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_failed_migration_says_why() {
    let qemu = Qemu::start(&[]);
    let vm = qemu.connect().await;
    vm.set_capabilities(&[("events", true)]).await.unwrap();
    let mut events = vm.events();
    vm.migrate("unix:/nonexistent/qmp-test").await.ok();
    loop {
        if events.recv().await.unwrap().migration_status() == Some(MigrationStatus::Failed) {
            break;
        }
    }
    assert!(vm.query_migrate().await.unwrap().error_desc.is_some());
}

#[tokio::test]
async fn connecting_waits_for_the_socket_and_gives_up_at_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let error = Qmp::connect_within(dir.path().join("none"), Duration::from_millis(50))
        .await
        .err()
        .unwrap();
    assert!(
        matches!(&error, QmpError::Deadline { state, .. } if state.contains("nobody listens")),
        "{error}"
    );
}

#[tokio::test]
async fn a_second_client_is_told_that_the_monitor_is_taken() {
    let qemu = Qemu::start(&[]);
    let _first = qemu.connect().await;
    let error = Qmp::connect_within(qemu.socket(), Duration::from_millis(200))
        .await
        .err()
        .unwrap();
    assert!(
        matches!(&error, QmpError::Deadline { state, .. } if state.contains("another client")),
        "{error}"
    );
}

#[tokio::test]
async fn a_killed_qemu_ends_every_waiting_request() {
    let mut qemu = Qemu::start(&[]);
    let vm = qemu.connect().await;
    qemu.child.kill().unwrap();
    qemu.child.wait().unwrap();
    assert!(matches!(
        vm.query_status().await,
        Err(QmpError::Closed { .. })
    ));
    assert!(matches!(
        vm.events().recv().await,
        Err(tokio::sync::broadcast::error::RecvError::Closed)
    ));
}

/// Prints the round trip; asserts nothing about it. Run with `--ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn the_round_trip_time_is_printed() {
    let qemu = Qemu::start(&[]);
    let vm = qemu.connect().await;
    let mut times = Vec::new();
    for _ in 0..2000 {
        let start = std::time::Instant::now();
        vm.query_status().await.unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    println!(
        "query-status: median {:?}, p99 {:?}",
        times[1000], times[1980]
    );
}
