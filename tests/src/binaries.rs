//! Programs under test. The path of each program comes from an environment variable, otherwise from
//! `TARGET/bin` if that file is newer than its sources. Otherwise the program is built.
//!
//! Cargo unifies features over a workspace build, so each program is built by a separate
//! invocation.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Path of gwc, the compiler.
#[must_use]
pub fn gwc() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| find("gwc", "GWC_BIN"))
}

/// Path of gwd, the gateway.
#[must_use]
pub fn gwd() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| find("gwd", "GWD_BIN"))
}

/// Root folder of the workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
}

fn find(name: &str, variable: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "{variable}: there is no `{}`",
            path.display()
        );
        return path;
    }
    let target = target();
    let ready = target.join("bin").join(name);
    if is_fresh(&ready) {
        return ready;
    }
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "-p", name, "--bin", name])
        .current_dir(workspace())
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .unwrap_or_else(|error| panic!("cargo cannot be run: {error}"));
    assert!(status.success(), "`cargo build -p {name}` failed");
    target.join("debug").join(name)
}

/// Target folder of Cargo. The running test is in `TARGET/PROFILE/deps`.
#[must_use]
pub fn target() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows where it lies");
    own.ancestors()
        .nth(3)
        .expect("tests lie in TARGET/PROFILE/deps")
        .to_owned()
}

/// True if a program exists and is newer than every source file.
fn is_fresh(program: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    let Some(built) = modified(program) else {
        return false;
    };
    let sources = ["gwc/src", "gwd/src", "crates", "Cargo.lock"];
    let newest = sources
        .iter()
        .filter_map(|folder| newest(&workspace().join(folder)))
        .max();
    newest.is_none_or(|newest| newest <= built)
}

fn newest(path: &Path) -> Option<SystemTime> {
    let own = path.metadata().and_then(|data| data.modified()).ok();
    let Ok(entries) = path.read_dir() else {
        return own;
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| newest(&entry.path()))
        .max()
}
