//! What machine types and CPU models mean to this host's QEMU.
//!
//! An alias such as `q35`, or a model such as `max`, is another thing in another version or on another
//! CPU, and QEMU's stream carries neither: a guest that is loaded into another CPU than it had dies
//! without a word. So a QEMU without a machine is asked what it would make of them (QMP reference,
//! `query-machines` and `query-cpu-model-expansion`), once as long as the program does not change.

use model::facts::{CpuModel, Machine};
use model::vm::Accel;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// QEMU answers within this, or not at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Settings of QEMU that `query-cpu-model-expansion` lists among the features, and that no guest sees.
const SETTINGS: &[&str] = &[
    "check",
    "cpuid-0x1f",
    "cpuid-0xb",
    "enforce",
    "expose-tcg",
    "fill-mtrr-mask",
    "full-cpuid-auto-level",
    "host-cache-info",
    "host-phys-bits",
    "hotpluggable",
    "hotplugged",
    "l3-cache",
    "legacy-cache",
    "migratable",
    "realized",
    "start-powered-off",
    "vmware-cpuid-freq",
    "xen-vapic",
];

/// What QEMU is asked for one VM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Machine type.
    pub machine: String,
    /// CPU model with its features, as for `-cpu`.
    pub cpu: String,
    /// With this accelerator.
    pub accel: Accel,
}

/// What tells one QEMU program from another: inode, size and change time.
type Program = (u64, u64, i64);

/// Answers that hold as long as the program is the same.
#[derive(Default)]
pub struct Expansions(Mutex<HashMap<(Program, Wanted), (Machine, CpuModel)>>);

/// What these VMs would get here.
///
/// # Errors
/// One sentence, when QEMU cannot be asked.
pub async fn expand(
    known: &Expansions,
    program: &Path,
    wanted: Vec<Wanted>,
) -> Result<(Vec<Machine>, Vec<CpuModel>), String> {
    let (mut machines, mut cpus) = (Vec::new(), Vec::new());
    let mark = mark(program);
    for wanted in wanted {
        let key = (mark, wanted.clone());
        let kept = known.0.lock().ok().and_then(|all| all.get(&key).cloned());
        let (machine, cpu) = match kept {
            Some(kept) => kept,
            None => {
                let found = ask(program, &wanted).await?;
                if let Ok(mut all) = known.0.lock() {
                    all.insert(key, found.clone());
                }
                found
            }
        };
        if !machines.contains(&machine) {
            machines.push(machine);
        }
        if !cpus.contains(&cpu) {
            cpus.push(cpu);
        }
    }
    Ok((machines, cpus))
}

fn mark(program: &Path) -> Program {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path);
    let files = std::iter::once(program.to_owned()).chain(folders.map(|f| f.join(program)));
    let about = files
        .into_iter()
        .find_map(|file| std::fs::metadata(file).ok());
    about.map_or((0, 0, 0), |about| {
        (about.ino(), about.size(), about.ctime())
    })
}

async fn ask(program: &Path, wanted: &Wanted) -> Result<(Machine, CpuModel), String> {
    let questions = [
        json!({"execute": "qmp_capabilities"}),
        json!({"execute": "query-machines", "id": "machines"}),
        json!({"execute": "query-cpu-model-expansion", "id": "cpu",
               "arguments": {"type": "full", "model": model(&wanted.cpu)}}),
        json!({"execute": "quit"}),
    ];
    let accel = match wanted.accel {
        Accel::Kvm => "kvm",
        Accel::Tcg | Accel::Auto => "tcg",
    };
    let mut command = tokio::process::Command::new(program);
    crate::precedence::ordinary(command.as_std_mut());
    let mut child = command
        .args(["-M", "none", "-accel", accel, "-nodefaults", "-no-user-config"])
        .args(["-display", "none", "-qmp", "stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            format!(
                "{} does not start: {error}; install QEMU or set `qemu` in the agent's configuration",
                program.display()
            )
        })?;
    let text: String = questions.iter().map(|q| format!("{q}\n")).collect();
    let mut stdin = child.stdin.take();
    let asked = async {
        if let Some(stdin) = &mut stdin {
            stdin.write_all(text.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(PATIENCE, asked)
        .await
        .map_err(|_| format!("{} does not answer", program.display()))?
        .map_err(|error| format!("{} cannot be asked: {error}", program.display()))?;
    drop(stdin);
    let answers = String::from_utf8_lossy(&output.stdout);
    understand(&answers, wanted).ok_or_else(|| {
        format!(
            "{} does not say which machine types it has; look at its version",
            program.display()
        )
    })
}

/// `qemu64,+avx,-sse3,pmu=on` as QMP wants it.
fn model(cpu: &str) -> Value {
    let mut words = cpu.split(',').map(str::trim);
    let name = words.next().unwrap_or_default();
    let mut props = serde_json::Map::new();
    for word in words.filter(|word| !word.is_empty()) {
        let (name, value) = match (word.strip_prefix('+'), word.strip_prefix('-')) {
            (Some(name), _) => (name, json!(true)),
            (_, Some(name)) => (name, json!(false)),
            _ => match word.split_once('=') {
                Some((name, "on" | "true" | "yes")) => (name, json!(true)),
                Some((name, "off" | "false" | "no")) => (name, json!(false)),
                Some((name, value)) => match value.parse::<u64>() {
                    Ok(number) => (name, json!(number)),
                    Err(_) => (name, json!(value)),
                },
                None => (word, json!(true)),
            },
        };
        props.insert(name.to_owned(), value);
    }
    match props.is_empty() {
        true => json!({"name": name}),
        false => json!({"name": name, "props": props}),
    }
}

/// Takes QEMU's answers, one a line. `None` when the machine types are not among them.
fn understand(answers: &str, wanted: &Wanted) -> Option<(Machine, CpuModel)> {
    let lines = || {
        answers
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
    };
    let answer = |id: &str| lines().find(|line| line["id"] == id);
    let machines = answer("machines")?;
    let machines = machines["return"].as_array()?;
    let word = |of: &Value, key: &str| of[key].as_str().map(str::to_owned);
    let known: BTreeSet<String> = machines.iter().filter_map(|m| word(m, "name")).collect();
    let alias = machines
        .iter()
        .find(|m| m["alias"].as_str() == Some(&wanted.machine));
    let is = match alias {
        Some(machine) => word(machine, "name"),
        None => known.get(&wanted.machine).cloned(),
    };
    let features = answer("cpu").and_then(|answer| {
        let props = answer["return"]["model"]["props"].as_object()?.clone();
        let seen = props
            .into_iter()
            .filter(|(name, value)| *value == Value::Bool(true) && is_feature(name));
        Some(seen.map(|(name, _)| name).collect())
    });
    Some((
        Machine {
            asked: wanted.machine.clone(),
            is,
            known,
        },
        CpuModel {
            asked: wanted.cpu.clone(),
            accel: wanted.accel,
            features,
        },
    ))
}

fn is_feature(name: &str) -> bool {
    let internal = name.starts_with("x-") || name.starts_with("tcg-");
    !internal && !SETTINGS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(machine: &str, cpu: &str) -> Wanted {
        Wanted {
            machine: machine.into(),
            cpu: cpu.into(),
            accel: Accel::Tcg,
        }
    }

    #[test]
    fn a_model_with_features_is_taken_apart() {
        assert_eq!(model("qemu64"), json!({"name": "qemu64"}));
        assert_eq!(
            model("max,+avx,-sse3,pmu=on,level=13,vendor=ACME"),
            json!({"name": "max", "props":
                {"avx": true, "sse3": false, "pmu": true, "level": 13, "vendor": "ACME"}})
        );
    }

    #[test]
    fn an_alias_is_resolved_and_settings_are_no_features() {
        let answers = r#"{"QMP": {}}
{"return": {}}
{"return": [{"name": "pc-q35-10.0", "alias": "q35"}, {"name": "microvm"}], "id": "machines"}
{"return": {"model": {"name": "qemu64", "props": {"sse2": true, "avx": false, "migratable": true}}}, "id": "cpu"}
{"return": {}}"#;
        let (machine, cpu) = understand(answers, &wanted("q35", "qemu64")).unwrap();
        assert_eq!(machine.is.as_deref(), Some("pc-q35-10.0"));
        assert_eq!(cpu.features.unwrap(), ["sse2".to_owned()].into());
        let (machine, _) = understand(answers, &wanted("microvm", "qemu64")).unwrap();
        assert_eq!(machine.is.as_deref(), Some("microvm"));
        let (machine, _) = understand(answers, &wanted("pc-q35-11.0", "qemu64")).unwrap();
        assert_eq!(machine.is, None);
    }

    #[test]
    fn a_model_that_is_refused_has_no_features() {
        let answers = r#"{"return": [{"name": "none"}], "id": "machines"}
{"id": "cpu", "error": {"class": "GenericError", "desc": "the CPU model 'x' not found"}}"#;
        let (_, cpu) = understand(answers, &wanted("none", "x")).unwrap();
        assert_eq!(cpu.features, None);
        assert!(understand("nonsense", &wanted("none", "x")).is_none());
    }

    #[tokio::test]
    async fn a_real_qemu_tells_what_its_words_mean() {
        let known = Expansions::default();
        let asked = vec![wanted("q35", "qemu64"), wanted("q35", "qemu64,-pni")];
        let program = Path::new("qemu-system-x86_64");
        let (machines, cpus) = expand(&known, program, asked).await.unwrap();
        assert!(machines[0].is.as_ref().unwrap().starts_with("pc-q35-"));
        let features = |n: usize| cpus[n].features.clone().unwrap();
        assert!(features(0).contains("pni"));
        assert!(!features(1).contains("pni"));
    }
}
