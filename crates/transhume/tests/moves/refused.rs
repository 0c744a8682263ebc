//! What stands in a migration's way is seen in the plan, said in one sentence, and changes nothing.

use crate::fixture::{Lab, shop, slowly};
use agent::AgentConfig;
use identity::{Authority, Credentials};
use lab::shop::{Guest, Load, Shop, TALK_MS};
use model::migration::{Options, State};
use model::{ClusterName, SiteName, VmName};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use store::{Sqlite, Store, Txn};

/// Within this an agent that was started anew is asked for a plan.
const SOON: Duration = Duration::from_secs(30);

fn south() -> SiteName {
    SiteName::new("south").unwrap()
}

/// The command's exit code and what it says on stderr.
fn transhume(lab: &Lab, arguments: &[&str]) -> (i32, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_transhume"))
        .args(arguments)
        .args(["--api", &lab.api()])
        .output()
        .expect("the command runs");
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    (output.status.code().unwrap_or(-1), said)
}

impl Lab {
    /// Waits until the plan for south is refused for this reason, then asks for it as a user does: both
    /// `plan` and `migrate` say it in one sentence, fail, and change nothing.
    async fn is_refused(&self, because: &str) {
        let begun = Instant::now();
        loop {
            let (shop, south) = (shop(), south());
            let plan = self.client().plan(&shop, &south, Options::default());
            let said = match plan.await {
                Ok(plan) => plan.refusal().unwrap_or("nothing in the way".into()),
                Err(error) => error.to_string(),
            };
            if said.contains(because) {
                break;
            }
            assert!(begun.elapsed() < SOON, "wanted '{because}', got '{said}'");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let (code, said) = transhume(self, &["plan", "shop", "--to", "south"]);
        assert_eq!(code, 4, "{said}");
        assert!(said.contains(because), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        let (code, said) = transhume(self, &["migrate", "shop", "--to", "south"]);
        assert_eq!(code, 4, "{said}");
        assert!(said.contains(because), "{said}");
        assert!(self.client().migrations().await.unwrap().is_empty());
        assert_eq!(self.places("shop-1").await, ["north"]);
    }

    /// Starts an agent anew with another configuration.
    async fn reconfigure(&self, site: &str, change: impl FnOnce(&mut AgentConfig)) {
        let file = self.state(site).join("agent.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let mut config: AgentConfig = toml::from_str(&text).unwrap();
        change(&mut config);
        std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
        let agent = format!("agent-{site}");
        self.kill(&agent);
        self.restart(&agent).await;
    }

    /// A program that stands for another QEMU.
    fn qemu(&self, name: &str, script: &str) -> PathBuf {
        let file = self.state("south").join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    /// Signs the certificate of an agent anew, with an end in so many seconds. The controller knows hosts by the
    /// certificates that it gave them itself; it is made to forget this one's.
    async fn ends_soon(&self, site: &str, seconds: i64) {
        let authority = self.state("").join("../controller/authority");
        let authority = Authority::open(&authority).unwrap();
        let host = format!("{site}-1");
        let (key, request) = Credentials::request(&host).unwrap();
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let end = i64::try_from(now).unwrap() + seconds;
        let own = Credentials {
            certificate: authority.sign_until(&host, &request, Some(end)).unwrap(),
            key: key.serialize_pem(),
            authority: authority.certificate().to_owned(),
        };
        own.save(&self.state(site).join("identity")).unwrap();
        self.kill("controller");
        let row = format!("certificate/{host}");
        let begun = Instant::now();
        // The file of a controller that has just ended may be its still for a moment.
        let store = loop {
            match Sqlite::open(self.state("").join("../controller/store.db")) {
                Ok(store) => break store,
                Err(error) => assert!(begun.elapsed() < SOON, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        store.txn(Txn::new().delete(row)).await.unwrap();
        drop(store);
        self.restart("controller").await;
    }

    /// Another cluster with one VM at north.
    async fn add(&self, name: &str) -> ClusterName {
        let guest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guest");
        let spec = Shop {
            vms: 1,
            load: Load::IDLE,
            talk_ms: TALK_MS,
            disk: None,
            encap: model::Encap::Vxlan,
            client: true,
            size: lab::shop::Size::USUAL,
            guest: Guest::find(Some(guest.as_ref())).unwrap(),
        };
        let mut spec = spec.describe().unwrap();
        spec.name = ClusterName::new(name).unwrap();
        spec.members.truncate(1);
        if let Some(member) = spec.members.first_mut() {
            member.name = VmName::new(format!("{name}-1")).unwrap();
        }
        self.client().apply_cluster(&spec).await.expect("a cluster");
        spec.name
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_fit_is_refused_in_the_plan_and_nothing_changes() {
    let lab = Lab::up("refused", 1, Load::IDLE).await;
    let plan = lab
        .client()
        .plan(&shop(), &south(), Options::default())
        .await
        .unwrap();
    assert_eq!(plan.refusal(), None, "{:#?}", plan.checks);
    let vm = &plan.vms[0];
    assert!(vm.dirty_rate.is_some(), "{vm:?}");
    assert!((16 << 20..128 << 20).contains(&vm.used_bytes), "{vm:?}");
    let (code, said) = transhume(&lab, &["plan", "shop", "--to", "south"]);
    assert_eq!((code, said.as_str()), (0, ""));

    // Too small.
    lab.reconfigure("south", |config| config.vm_memory_mib = 200)
        .await;
    lab.is_refused("228 MiB are needed and 200 of the 200 MiB for VMs are left")
        .await;

    // Another CPU: one without SSE3.
    let qemu = r#"exec qemu-system-x86_64 -global qemu64-x86_64-cpu.pni=off "$@""#;
    let program = lab.qemu("other-cpu", qemu);
    lab.reconfigure("south", |config| {
        config.vm_memory_mib = 0;
        config.qemu = program;
    })
    .await;
    lab.is_refused("'qemu64' on 'south-1' lacks pni").await;

    // Another machine type, as an older QEMU has it.
    let qemu = r#"case "$*" in
*"-qmp stdio"*) qemu-system-x86_64 "$@" | sed 's/pc-q35-/pc-q34-/g' ;;
*) exec qemu-system-x86_64 "$@" ;;
esac"#;
    let program = lab.qemu("other-machine", qemu);
    lab.reconfigure("south", |config| config.qemu = program)
        .await;
    lab.is_refused("which the QEMU of 'south-1' does not have")
        .await;

    // A clock that is an hour ahead.
    lab.reconfigure("south", |config| {
        config.qemu = "qemu-system-x86_64".into();
        config.wall_offset_s = 3600.0;
    })
    .await;
    lab.is_refused("clock of 'south-1': 60 min ahead of the controller's")
        .await;
    lab.reconfigure("south", |config| config.wall_offset_s = 0.0)
        .await;

    // Somebody else's interface where the port would be.
    let ifname = ovs::names::tap(&shop(), &VmName::new("shop-1").unwrap());
    lab.run("south", &["ip", "tuntap", "add", &ifname, "mode", "tap"]);
    lab.is_refused(&format!("has an interface {ifname} that is not ours"))
        .await;
    lab.run("south", &["ip", "link", "del", &ifname]);

    // A certificate that ends while its host is connected, and then keeps it out.
    lab.ends_soon("south", 8).await;
    lab.reconfigure("south", |_| {}).await;
    lab.is_refused("certificate of 'south-1': its own ended")
        .await;
    lab.reconfigure("south", |_| {}).await;
    let begun = Instant::now();
    while transhume(&lab, &["plan", "shop", "--to", "south"]).0 != 5 {
        assert!(begun.elapsed() < SOON, "south is let in");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (_, said) = transhume(&lab, &["migrate", "shop", "--to", "south"]);
    assert!(
        said.contains("No host of site 'south' is connected"),
        "{said}"
    );

    // With everything as it should be, it goes.
    lab.ends_soon("south", 86_400).await;
    lab.reconfigure("south", |_| {}).await;
    let begun = Instant::now();
    while lab
        .client()
        .plan(&shop(), &south(), Options::default())
        .await
        .map_or(true, |plan| plan.refusal().is_some())
    {
        assert!(begun.elapsed() < SOON, "south does not come back");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let id = lab.begin("south", Options::default()).await;
    let end = lab.until_end(&id).await;
    assert_eq!(end.state, State::Arrived, "{}", end.message);
    let predicted = end.predicted.expect("what the plan said");
    let moved: u64 = end.vms.iter().map(|vm| vm.figures.wire_bytes).sum();
    let off = predicted.bytes as f64 / moved as f64;
    assert!((0.7..1.4).contains(&off), "{predicted:?}, {moved} moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_migration_reserves_no_other_gets_until_it_has_ended() {
    let lab = Lab::up("reserved", 1, Load::IDLE).await;
    let bank = lab.add("bank").await;
    // One of them has room there, not both.
    lab.reconfigure("south", |config| config.vm_memory_mib = 300)
        .await;
    let begun = Instant::now();
    loop {
        let plan = lab.client().plan(&bank, &south(), slowly()).await;
        let limited = |plan: &model::plan::Plan| {
            plan.checks.iter().any(|check| check.name == "quota") && plan.refusal().is_none()
        };
        if plan.as_ref().is_ok_and(limited) {
            break;
        }
        assert!(begun.elapsed() < SOON, "{plan:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (to, shop) = (south(), shop());
    let both = tokio::join!(
        lab.client().migrate(&shop, &to, slowly()),
        lab.client().migrate(&bank, &to, slowly()),
    );
    let (begun, refused, other) = match both {
        (Ok(begun), Err(refused)) => (begun, refused, &bank),
        (Err(refused), Ok(begun)) => (begun, refused, &shop),
        both => panic!("one of them must wait: {both:?}"),
    };
    let said = refused.to_string();
    assert!(
        said.contains(&format!("reserved for {}", begun.id)),
        "{said}"
    );
    lab.until_pre_copy(&begun.id).await;

    // Still so for a controller that was restarted, until what it left under way has ended.
    lab.kill("controller");
    lab.restart("controller").await;
    let end = lab.until_end(&begun.id).await;
    assert_eq!(end.state, State::Aborted, "{}", end.message);
    let begun = Instant::now();
    let second = loop {
        match lab.client().migrate(other, &to, Options::default()).await {
            Ok(second) => break second,
            Err(error) => assert!(begun.elapsed() < SOON, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let end = lab.until_end(&second.id).await;
    assert_eq!(end.state, State::Arrived, "{}", end.message);
}
