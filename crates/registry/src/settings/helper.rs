//! Docker's credential helpers: programs named `docker-credential-NAME`. A helper reads the
//! registry from standard input, and writes a user and a secret as JSON
//! (*docker-credential-helpers*).
//!
//! A helper can hang, end without reading its input, or write anything. Its output has a maximum
//! size and a deadline. Messages contain nothing of the output, which may contain secrets.

use std::ffi::OsStr;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Secret, described};

/// Maximum size of a helper's output: 1 MiB.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Maximum time until a helper has written its output and ended: 10s.
const HELPER_TIMEOUT: Duration = Duration::from_secs(10);
/// Text that a failed helper writes if it has no credentials for the registry.
const NOT_FOUND: &str = "credentials not found";

/// Credentials that a helper writes.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Answer {
    pub(super) username: Secret,
    pub(super) secret: Secret,
}

/// Runs a credential helper for a registry. `None` if the helper has no credentials for the
/// registry.
///
/// # Errors
/// Message if the name is invalid, or if the helper cannot be started, fails, writes no
/// credentials, or does not end in time.
pub(super) fn ask(name: &str, key: &str) -> Result<Option<Answer>, String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err("the configuration of docker names an invalid credential helper".to_owned());
    }
    let program = format!("docker-credential-{name}");
    run(program.as_ref(), key, HELPER_TIMEOUT)
        .map_err(|why| format!("the credential helper `{program}`: {why}"))
}

fn run(program: &OsStr, key: &str, timeout: Duration) -> Result<Option<Answer>, String> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // Start the helper in its own process group, so that its child processes can be killed,
        // too.
        .process_group(0)
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such program in `PATH`".to_owned(),
            _ => error.to_string(),
        })?;
    let group = Pid::from_child(&child);
    let answered = exchange(&mut child, group, key, timeout);
    if answered.is_err() {
        // The child is not reaped yet, so its id still identifies its process group.
        let _ended = kill_process_group(group, Signal::KILL);
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let text = answered?;
    if !status.success() {
        return match text.contains(NOT_FOUND) {
            true => Ok(None),
            false => Err(status.to_string()),
        };
    }
    let answer: Answer = serde_json::from_str(&text)
        .map_err(|error| format!("its answer is {}", described(&error)))?;
    match answer.username.0.is_empty() || answer.secret.0.is_empty() {
        true => Err("its answer has an empty `Username` or `Secret`".to_owned()),
        false => Ok(Some(answer)),
    }
}

/// Writes the input of a helper, reads its output, and waits until the helper has ended. The caller
/// must reap the child, and must kill it after an error.
fn exchange(
    child: &mut Child,
    helper: Pid,
    key: &str,
    timeout: Duration,
) -> Result<Zeroizing<String>, String> {
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let line = format!("{key}\n");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let answered = || {
            if let Some(mut input) = input {
                // Ignore the error if the helper ended early: its exit status gives the reason.
                let _ended = input.write_all(line.as_bytes());
            }
            let mut text = Zeroizing::new(String::new());
            if let Some(output) = output {
                let read = output.take(ANSWER_BYTES_MAX + 1).read_to_string(&mut text);
                let length = read.map_err(|error| error.to_string())?;
                if length as u64 > ANSWER_BYTES_MAX {
                    return Err("its answer is longer than 1 MiB".to_owned());
                }
            }
            wait_end(helper).map_err(|error| error.to_string())?;
            Ok(text)
        };
        let _late = sender.send(answered());
    });
    let answered = receiver.recv_timeout(timeout);
    answered.map_err(|_| format!("no answer within {}", Seconds(timeout)))?
}

/// Waits until a child has ended, without reaping it.
fn wait_end(child: Pid) -> Result<(), Errno> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    loop {
        match waitid(WaitId::Pid(child), options) {
            Err(Errno::INTR) => {}
            ended => return ended.map(|_| ()),
        }
    }
}

/// Displays a duration in seconds, for messages.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} seconds", self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::time::Instant;

    use rustix::fs::{Mode, OFlags};

    use super::*;

    const SECRET: &str = "s3cret";

    /// Creates a folder with a helper that runs these lines of shell script.
    fn helper(script: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("helper");
        // Create the program with `cp`. If this process wrote it, a child process of another test
        // could inherit the open file, and running the program would fail with ETXTBSY.
        let text = folder.path().join("text");
        std::fs::write(
            &text,
            format!("#!/bin/sh\ncd {}\n{script}\n", folder.path().display()),
        )
        .unwrap();
        let copied = Command::new("cp").args([&text, &program]).status().unwrap();
        assert!(copied.success());
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }

    fn answer(folder: &Path, key: &str, timeout: Duration) -> Result<Option<Answer>, String> {
        run(folder.join("helper").as_os_str(), key, timeout)
    }

    /// Runs a failing helper and returns its error. Asserts that the error does not contain the
    /// secret.
    #[track_caller]
    fn error(script: &str, timeout: Duration) -> String {
        let folder = helper(script);
        let Err(why) = answer(folder.path(), "r.example", timeout) else {
            panic!("no error: {script}");
        };
        assert!(!why.contains(SECRET), "{why}");
        why
    }

    #[test]
    fn helper_answers_for_the_registry_it_reads() {
        let folder = helper(
            "read key; echo \"$1\" > command\n\
             echo \"{\\\"ServerURL\\\":\\\"$key\\\",\\\"Username\\\":\\\"ann\\\",\\\"Secret\\\":\\\"for $key\\\"}\"",
        );
        let answered = answer(folder.path(), "r.example:5000", HELPER_TIMEOUT);
        let answered = answered.unwrap().unwrap();
        assert_eq!(*answered.username.0, "ann");
        assert_eq!(*answered.secret.0, "for r.example:5000");
        let command = std::fs::read_to_string(folder.path().join("command")).unwrap();
        assert_eq!(command, "get\n");
    }

    #[test]
    fn helper_without_credentials_gives_none() {
        let folder = helper("echo 'credentials not found in native keychain'; exit 1");
        let answered = answer(folder.path(), "r.example", HELPER_TIMEOUT);
        assert!(matches!(answered, Ok(None)));
    }

    #[test]
    fn helper_with_another_answer_is_an_error() {
        let no_json = "its answer is not valid in line 1, column";
        for (script, why) in [
            ("echo s3cret; echo s3cret >&2; exit 3", "exit status: 3"),
            ("echo s3cret; kill -9 $$", "signal: 9"),
            ("echo s3cret", no_json),
            ("true", no_json),
            ("echo '{\"Username\":\"s3cret\"}'", no_json),
            ("echo '{\"Username\":1,\"Secret\":\"s3cret\"}'", no_json),
            (
                "echo '{\"Username\":\"\",\"Secret\":\"s3cret\"}'",
                "an empty",
            ),
            (
                "echo '{\"Username\":\"s3cret\",\"Secret\":\"\"}'",
                "an empty",
            ),
            ("printf 's3cret\\377'", "UTF-8"),
            ("exec yes s3cret", "longer than 1 MiB"),
            ("yes s3cret | head -c 10000000", "longer than 1 MiB"),
            (
                "trap '' PIPE; yes s3cret | head -c 10000000",
                "longer than 1 MiB",
            ),
        ] {
            let error = error(script, HELPER_TIMEOUT);
            assert!(error.contains(why), "{script}: {error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let Err(why) = answer(folder.path(), "r.example", HELPER_TIMEOUT) else {
            panic!("there is no helper");
        };
        assert_eq!(why, "there is no such program in `PATH`");
    }

    #[test]
    fn helper_that_does_not_end_is_killed() {
        let timeout = Duration::from_millis(300);
        for script in [
            "sleep 1000",
            "read key; echo s3cret; exec sleep 1000",
            // The helper closes its output but does not end.
            "echo s3cret; exec >&-; sleep 1000",
            // A child process has the output open and outlives the helper.
            "sleep 1000 & exit 0",
        ] {
            let folder = helper(&format!("exec 9> alive\n{script}"));
            let alive = folder.path().join("alive");
            let made = Command::new("mkfifo").arg(&alive).status().unwrap();
            assert!(made.success());
            let flags = OFlags::RDONLY | OFlags::NONBLOCK;
            let alive = rustix::fs::open(&alive, flags, Mode::empty()).unwrap();
            let began = Instant::now();
            let Err(why) = answer(folder.path(), "r.example", timeout) else {
                panic!("no error: {script}");
            };
            assert_eq!(why, "no answer within 0.3 seconds", "{script}");
            // Reading returns the end of the pipe only after the last process that has it open
            // ends.
            while rustix::io::read(&alive, &mut [0; 1]) == Err(Errno::AGAIN) {
                assert!(began.elapsed() < HELPER_TIMEOUT, "still runs: {script}");
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn helper_that_reads_nothing_gets_its_time_only() {
        // The key is longer than a pipe's buffer.
        let key = "r".repeat(1 << 20);
        let folder = helper("sleep 1000");
        let answered = answer(folder.path(), &key, Duration::from_millis(300));
        assert!(answered.is_err_and(|why| why.starts_with("no answer")));
        let folder = helper("echo '{\"Username\":\"u\",\"Secret\":\"s\"}'");
        let answered = answer(folder.path(), &key, HELPER_TIMEOUT);
        assert!(answered.is_ok_and(|answer| answer.is_some()));
    }
}
