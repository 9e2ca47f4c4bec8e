//! Output pipes that a reader closes early, as `gwc plan | head` does.

use std::io::Read as _;
use std::process::{Command, Output, Stdio};

use crate::project::{Project, command};

/// Runs a command whose output pipe has no reader when the command writes.
fn without_reader(command: &mut Command) -> Output {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn();
    child.expect("it runs").wait_with_output().expect("it ends")
}

/// Runs a command, reads the first ten bytes of its output, and closes the pipe.
fn with_ten_bytes_read(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("it runs");
    let mut reader = child.stdout.take().expect("a pipe");
    reader.read_exact(&mut [0; 10]).expect("ten bytes");
    drop(reader);
    child.wait_with_output().expect("it ends")
}

#[test]
fn closed_output_pipe_is_no_error() {
    let project = Project::released();
    project.edit("orders.yaml", "/orders/{id}", "/order/{id}");
    for arguments in [
        &["plan"][..],
        &["plan", "--format", "json"],
        &["explain", "GW0512"],
        &["rules"],
        &["route", "GET", "http://127.0.0.1:8080/orders"],
        &["status"],
        &["history"],
        &["lint"],
        &["schema", "gateway"],
    ] {
        let run = || {
            let mut command = command(project.path());
            command.args(arguments);
            command
        };
        let complete = run().output().expect("it runs");
        for ended in [without_reader(&mut run()), with_ten_bytes_read(&mut run())] {
            let (found, expected) = [&ended.stderr, &complete.stderr]
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                .into();
            assert_eq!(found, expected, "{arguments:?}");
            assert_eq!(ended.status.code(), complete.status.code(), "{arguments:?}");
        }
    }
}
