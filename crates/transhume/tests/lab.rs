//! The lab's commands, against a lab without VMs that the test brings up itself.

mod support;

use lab::preflight::Needs;
use lab::testbed::{Options, Testbed, down};
use std::path::{Path, PathBuf};
use support::{fails, transhume};
use tempfile::TempDir;

/// A bare lab: namespaces and the WAN. Gone when dropped.
struct Bare {
    home: TempDir,
    folder: PathBuf,
}

impl Bare {
    fn up() -> Self {
        let home = tempfile::tempdir().expect("a folder for the lab");
        let folder = home.path().join("lab");
        let bare = Self { home, folder };
        let options = Options {
            folder: Some(&bare.folder),
            needs: Needs {
                programs: &["ip"],
                tun: false,
                free_mib: 1,
            },
            exe: Some(env!("CARGO_BIN_EXE_transhume").into()),
            ..Options::default()
        };
        Testbed::up(&options).expect("a bare lab, which needs iproute2 and user namespaces");
        bare
    }

    fn lab(&self, arguments: &[&str]) -> assert_cmd::Command {
        let mut command = transhume(self.home.path());
        command
            .env("TRANSHUME_LAB", &self.folder)
            .arg("lab")
            .args(arguments);
        command
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = down(Some(&self.folder));
    }
}

#[test]
fn no_lab_is_said_with_the_way_to_one() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [
        &["status"][..],
        &["shell", "north"],
        &["exec", "north", "--", "true"],
    ] {
        let (code, stderr) = fails(transhume(home.path()).arg("lab").args(arguments));
        assert_eq!(code, 3, "{stderr}");
        assert!(
            stderr.contains("start one with `transhume lab up`"),
            "{stderr}"
        );
    }
}

#[test]
fn down_is_content_where_nothing_stands_and_leaves_what_is_not_ours() {
    let home = tempfile::tempdir().unwrap();
    let output = transhume(home.path())
        .args(["lab", "down"])
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, b"There is no lab.\n");
    std::fs::write(home.path().join("precious"), "x").unwrap();
    let mut command = transhume(home.path());
    command.args(["lab", "down", "--folder"]).arg(home.path());
    let (code, stderr) = fails(&mut command);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("is not a lab of ours"), "{stderr}");
    assert!(home.path().join("precious").exists());
}

#[test]
fn a_folder_that_no_socket_fits_in_is_wrong_usage() {
    let long = format!("/tmp/{}", "x".repeat(120));
    let mut command = transhume(Path::new("/"));
    let (code, stderr) = fails(command.args(["lab", "status", "--folder", &long]));
    assert!(code == 2 && stderr.contains("shorter path"), "{stderr}");
}

#[test]
fn a_lab_is_shown_entered_and_taken_down() {
    let bare = Bare::up();
    let says = |arguments: &[&str]| {
        let output = bare.lab(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            stderr,
        )
    };
    let (code, text, stderr) = says(&["status"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        text.starts_with("A lab stands in ") && text.contains("runs"),
        "{text}"
    );
    let (_, text, _) = says(&["status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(status["plan"]["sites"].is_array(), "{text}");
    let (code, text, stderr) = says(&["exec", "north", "--", "sh", "-c", "echo here; exit 7"]);
    assert_eq!((code, text.as_str()), (Some(7), "here\n"), "{stderr}");
    let (code, _, stderr) = says(&["exec", "mars", "--", "true"]);
    assert_eq!(code, Some(3));
    assert!(
        stderr.contains("There are north, south, office"),
        "{stderr}"
    );
    assert_eq!(says(&["down"]).1, "The lab is gone.\n");
    assert!(!bare.folder.exists());
    assert_eq!(says(&["status"]).0, Some(3));
}
