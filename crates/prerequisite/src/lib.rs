//! Prerequisites of tests: third-party programs, the corpus of real documents, slow suites.
//!
//! A test whose prerequisite is missing is skipped, and every skip is counted:
//!
//! - With `CI=true` a skip fails the test, so that no suite is skipped unnoticed.
//! - Elsewhere the reason goes to standard error and, as one line, to the file named by
//!   `GWC_SKIPS`. `make test` prints the lines and counts them in its last line.
//!
//! Slow suites (`GWC_TEST_FULL=1`, `make test-full`) are not skips: `make test` omits them on
//! purpose and counts them separately.

pub mod corpus;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::panic::Location;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Records that the calling test is skipped.
///
/// # Panics
/// With `CI=true`, because a missing prerequisite is a failure there.
#[track_caller]
pub fn skip(reason: &str) {
    assert!(
        std::env::var_os("CI").is_none_or(|value| value != "true"),
        "skipped, which CI=true forbids: {reason}"
    );
    record("skipped", reason);
}

/// True if a third-party program can be started. Otherwise records that the calling test is
/// skipped.
///
/// # Panics
/// With `CI=true`, if the program is missing.
#[must_use]
#[track_caller]
pub fn program(name: &str) -> bool {
    let started = Command::new(name)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        Ok(mut child) => {
            let _ended = child.wait();
            true
        }
        Err(error) => {
            skip(&format!("`{name}` cannot be started: {error}"));
            false
        }
    }
}

/// True if Python has a module. Otherwise records that the calling test is skipped.
///
/// # Panics
/// With `CI=true`, if the module is missing.
#[must_use]
#[track_caller]
pub fn python_module(name: &str) -> bool {
    let imported = Command::new("python3")
        .args(["-c", &format!("import {name}")])
        .stdin(Stdio::null())
        .output();
    let is_there = imported.is_ok_and(|ended| ended.status.success());
    if !is_there {
        skip(&format!("python3 cannot import `{name}`"));
    }
    is_there
}

/// Path of a file of an npm package that `tests/peers/install` (`make tools`) installed below the
/// target folder. `None` if the file is missing; the calling test is then recorded as skipped.
///
/// # Panics
/// With `CI=true`, if the file is missing.
#[must_use]
#[track_caller]
pub fn npm_file(path: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    // Test binaries are in TARGET/PROFILE/deps.
    let file = own
        .ancestors()
        .nth(3)?
        .join("peers/npm/node_modules")
        .join(path);
    if !file.is_file() {
        skip(&format!("`make tools` has not installed `{path}` of npm"));
        return None;
    }
    Some(file)
}

/// True if slow suites are enabled (`GWC_TEST_FULL=1`).
#[must_use]
pub fn is_full() -> bool {
    std::env::var_os("GWC_TEST_FULL").is_some_and(|value| !value.is_empty() && value != "0")
}

/// True if slow suites are enabled. Otherwise records the calling test as omitted.
#[must_use]
#[track_caller]
pub fn slow(reason: &str) -> bool {
    if !is_full() {
        record("slow", reason);
    }
    is_full()
}

/// Appends one line to the file of skips: the kind, the test's position in the source, the reason.
#[track_caller]
fn record(kind: &str, reason: &str) {
    let place = Location::caller();
    let place = format!("{}:{}", place.file(), place.line());
    let reason = reason.replace(['\n', '\r'], " ");
    eprintln!("{kind}: {place}: {reason}");
    let Some(file) = std::env::var_os("GWC_SKIPS") else {
        return;
    };
    // A single short write in append mode is not interleaved with writes of other processes.
    let line = format!("{kind}\t{place}\t{reason}\n");
    let opened = OpenOptions::new().create(true).append(true).open(&file);
    let written = opened.and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        panic!("GWC_SKIPS={}: {error}", file.to_string_lossy());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Environment variable with the call that a child process of the test makes.
    const CALL: &str = "PREREQUISITE_TEST_CALL";

    /// Runs `call` in a child process. Returns true if the child process succeeded, and the lines
    /// that it added to the file of skips.
    fn child(name: &str, call: &str, variables: &[(&str, &str)]) -> (bool, Vec<String>) {
        let skips = format!("prerequisite-{}-{name}", std::process::id());
        let skips = std::env::temp_dir().join(skips);
        let ended = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::skip_is_counted_and_fails_with_ci"])
            .env_remove("CI")
            .env_remove("GWC_TEST_FULL")
            .env("GWC_SKIPS", &skips)
            .env(CALL, call)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let lines = std::fs::read_to_string(&skips).unwrap_or_default();
        let _removed = std::fs::remove_file(&skips);
        let lines = lines.lines().map(str::to_owned).collect();
        (ended.status.success(), lines)
    }

    #[test]
    fn skip_is_counted_and_fails_with_ci() {
        match std::env::var(CALL).as_deref() {
            Ok("skip") => return skip("two\nlines"),
            Ok("program") => return assert!(!program("no-such-program")),
            Ok("module") => return assert!(!python_module("no_such_module")),
            Ok("slow") => return assert_eq!(slow("all revisions"), is_full()),
            _ => {}
        }
        for (call, reason) in [
            ("skip", "two lines"),
            ("program", "`no-such-program` cannot be started"),
            ("module", "python3 cannot import `no_such_module`"),
        ] {
            let (passed, lines) = child(call, call, &[]);
            assert!(passed, "{call}");
            let [line] = &lines[..] else {
                panic!("{call}: {lines:?}");
            };
            assert!(line.starts_with("skipped\tcrates/prerequisite/src/lib.rs:"));
            assert!(line.contains(reason), "{line}");
            assert_eq!(child(call, call, &[("CI", "true")]), (false, Vec::new()));
            assert!(child(call, call, &[("CI", "false")]).0, "{call}");
        }
        for (full, count) in [("", 1), ("0", 1), ("1", 0)] {
            let variables = [("CI", "true"), ("GWC_TEST_FULL", full)];
            let (passed, lines) = child("slow", "slow", &variables);
            assert!(passed, "{full}");
            assert_eq!(lines.len(), count, "{lines:?}");
            assert!(lines.iter().all(|line| line.starts_with("slow\t")));
        }
    }
}
