//! Test of the cost of a request in CPU instructions, which hardly vary between runs. The baseline
//! is in bench/instructions.json.

use std::process::Command;

use e2e::binaries;

#[test]
fn a_request_costs_no_more_instructions_than_before() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        prerequisite::skip("there is no valgrind; `make tools` installs it where that is allowed");
        return;
    }
    let done = Command::new(binaries::workspace().join("bench/instructions"))
        .arg("--check")
        .env("GWC", binaries::gwc())
        .env("GWD", binaries::gwd())
        .output()
        .expect("python3");
    let (stdout, why) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(done.status.success(), "{stdout}{why}");
}
