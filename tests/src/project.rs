//! Project in a temporary folder. gwc runs in that folder.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::binaries;

/// Folder of a project. Dropping this value removes it.
pub struct Project {
    folder: TempDir,
}

/// Result of a program that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Command line of the program.
    pub command: String,
    /// Exit code, or `None` if a signal ended the program.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

// === impl Project ===

impl Project {
    /// Creates an empty project.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("gw-e2e-")
            .tempdir()
            .expect("a temporary folder can be made");
        Self { folder }
    }

    /// Creates a project with a gateway.yaml and one document.
    #[must_use]
    pub fn with(gateway: &str, document: &str) -> Self {
        let project = Self::new();
        project.write("gateway.yaml", gateway);
        project.write("openapi.yaml", document);
        project
    }

    /// Folder of the project.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Path of a file in the project.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    /// Writes a file, and creates its folders.
    pub fn write(&self, relative: &str, content: impl AsRef<[u8]>) {
        let path = self.path(relative);
        let folder = path.parent().expect("files lie in folders");
        std::fs::create_dir_all(folder).expect("a temporary folder can be written");
        std::fs::write(path, content).expect("a temporary folder can be written");
    }

    /// Reads a file.
    #[must_use]
    pub fn read(&self, relative: &str) -> Vec<u8> {
        let path = self.path(relative);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Creates a command that runs gwc in this folder.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(binaries::gwc());
        command.current_dir(self.root()).env("NO_COLOR", "1");
        command
    }

    /// Runs gwc in this folder.
    pub fn gwc<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ended {
        let mut command = self.command();
        command.args(arguments);
        Ended::of(&mut command)
    }

    /// Creates a key with all roles, and the trust file.
    pub fn keygen(&self) {
        self.gwc(&["keygen", "release"]).succeeds();
    }

    /// Releases the sources (`gwc apply`). Returns the bundle's id.
    pub fn apply(&self) -> String {
        let ended = self.gwc(&[
            "apply",
            "--key",
            "keys/release.pem",
            "--yes",
            "--format",
            "json",
        ]);
        let document = ended.succeeds().json();
        bundle_of(&document)
    }

    /// Builds the sources (`gwc build`). Returns the bundle's id.
    pub fn build(&self) -> String {
        let document = self.gwc(&["build", "--format", "json"]).succeeds().json();
        bundle_of(&document)
    }
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}

/// Field `bundle` of a JSON document, or of its `target`.
fn bundle_of(document: &Value) -> String {
    let id = document["bundle"]
        .as_str()
        .or_else(|| document["target"]["bundle"].as_str());
    let id = id.unwrap_or_else(|| panic!("no bundle in {document:#}"));
    assert!(id.starts_with("sha256:"), "{id}");
    id.to_owned()
}

// === impl Ended ===

impl Ended {
    /// Runs a command until it ends.
    pub fn of(command: &mut Command) -> Self {
        command.stdin(Stdio::null());
        let command_line = format!("{command:?}");
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{command_line} cannot be run: {error}"));
        Self::from_output(command_line, &output)
    }

    /// Creates the result from captured output.
    #[must_use]
    pub fn from_output(command: String, output: &Output) -> Self {
        Self {
            command,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Checks the exit code.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Checks that the exit code is 0.
    #[track_caller]
    pub fn succeeds(&self) -> &Self {
        self.exits(0)
    }

    /// Standard output, parsed as JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON: {error}\n{self}"))
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            command,
            code,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "{command} ended with {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )
    }
}
