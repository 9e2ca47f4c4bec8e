//! Test of the demo. The script of the demo checks every status and body, and fails if a step is
//! missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Root folder of the repository. Panics unless the programs exist: built by `make bins`, or named
/// by environment variables.
fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (variable, name) in [
        ("GWC_BIN", "gwc"),
        ("GWD_BIN", "gwd"),
        ("UPSTREAM_BIN", "echo-upstream"),
    ] {
        let path = std::env::var_os(variable)
            .map_or_else(|| root.join("target/bin").join(name), PathBuf::from);
        assert!(
            path.is_file(),
            "{} is missing: run `make bins`, or `make test`",
            path.display()
        );
    }
    root
}

fn run(root: &Path, broken: Option<&str>) -> Output {
    let mut command = Command::new(root.join("demo/run"));
    command
        .env_remove("KEEP")
        .env_remove("DEMO_BREAK")
        .stdin(Stdio::null());
    if let Some(step) = broken {
        command.env("DEMO_BREAK", step);
    }
    command.output().expect("bash is there")
}

fn text(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn the_whole_life_of_a_change() {
    let output = run(&root(), None);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("make demo KEEP=1"));
}

#[test]
fn a_step_that_is_left_out_is_noticed() {
    let root = root();
    for (step, noticed) in [
        ("apply", "apply"),
        ("release", "release"),
        ("rollback", "closed"),
    ] {
        let output = run(&root, Some(step));
        let output_text = text(&output);
        assert!(
            !output.status.success(),
            "{step} was skipped:\n{output_text}"
        );
        assert!(
            output_text.contains(&format!("step `{noticed}` failed")),
            "{step} was skipped:\n{output_text}"
        );
    }
}
