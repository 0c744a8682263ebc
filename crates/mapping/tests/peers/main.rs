//! Another implementation, of RFC 6830 and 6833 (`tests/peers/lisp6830`), against ours: its routers at
//! our Map-Server, our messages at its Map-Server.

#[path = "../../../../tests/peers/driver/mod.rs"]
mod driver;
mod our_server;
mod routers;
mod their_server;

/// What is tested against has to be right itself.
#[test]
fn the_other_implementation_agrees_with_itself_and_with_the_figures_of_the_rfcs() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/peers");
    let output = std::process::Command::new("python3")
        .args(["-m", "unittest", "selftest.wire", "selftest.world"])
        .current_dir(folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python3 runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
