//! Tests of `gwc test --watch`, and of errors of `gwc watch` before its first round. A complete
//! session of `gwc watch` needs gwd and is in the end-to-end tests.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::project::{Project, command};

/// Running command, with the lines of its standard output. Dropping this value ends the command.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = child.stderr(Stdio::null()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ended = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits for a line of standard output that contains a text. Returns the line.
    #[track_caller]
    fn line(&self, text: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(60)) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => before.push(line),
                Err(_) => panic!("`{text}` is missing:\n{}", before.join("\n")),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

#[test]
fn tests_run_again_after_each_save() {
    let project = Project::bare();
    let gateway = project.read("gateway.yaml");
    project.write("gateway.yaml", format!("{gateway}tests: [tests.yaml]\n"));
    let test = |status: u16| {
        format!("- {{name: one, request: GET /orders, expect: {{status: {status}}}}}\n")
    };
    project.write("tests.yaml", test(401));
    let mut running = Running::start(command(project.path()).args(["test", "--watch"]));
    running.line("1 passed");
    project.write("tests.yaml", test(200));
    running.line("saved: tests.yaml");
    running.line("1 failed");
    // A project that does not compile ends the current run of the tests, but not the command.
    project.write("orders.yaml", "openapi: [\n");
    running.line("saved: orders.yaml");
    project.write("orders.yaml", Project::bare().read("orders.yaml"));
    project.write("tests.yaml", test(401));
    running.line("1 passed");
    let pid = running.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(running.child.wait().unwrap().code(), Some(130));
}

#[test]
fn watch_without_gwd_names_the_option() {
    let project = Project::bare();
    project
        .run(&["watch", "--gwd", "none"])
        .with(65)
        .contains("there is no file none; install gwd, or name it with --gwd FILE");
}
