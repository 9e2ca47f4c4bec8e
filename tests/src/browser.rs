//! Headless Chromium browser with its own profile.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::server::Server;

/// Names of the browser's program on different systems.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Colour scheme of the system, as the browser reports it to pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Dark text on a light page.
    Light,
    /// Light text on a dark page.
    Dark,
}

/// Running browser. It is killed, and its profile is removed, when this value is dropped.
pub struct Browser {
    _process: Server,
    _profile: TempDir,
}

impl Browser {
    /// Opens a page. `None` if no browser is installed.
    #[must_use]
    pub fn open(url: &str) -> Option<Self> {
        Self::open_in(url, Scheme::Light)
    }

    /// Opens a page in a colour scheme. `None` if no browser is installed.
    #[must_use]
    pub fn open_in(url: &str, scheme: Scheme) -> Option<Self> {
        let name = NAMES.into_iter().find(|name| is_installed(name))?;
        let profile = TempDir::new().expect("a temporary folder can be made");
        let mut command = Command::new(name);
        command
            .args([
                "--headless",
                // Tests may run as root, in containers without a large /dev/shm.
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--no-first-run",
                "--disable-sync",
                "--disable-extensions",
                "--disable-component-update",
                "--disable-background-networking",
                "--no-proxy-server",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args((scheme == Scheme::Dark).then_some("--force-dark-mode"))
            .arg(url);
        Some(Self {
            _process: Server::start(&mut command)?,
            _profile: profile,
        })
    }
}

fn is_installed(name: &str) -> bool {
    let mut command = Command::new(name);
    let command = command.arg("--version").stdin(Stdio::null());
    let ended = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    ended.is_ok_and(|status| status.success())
}
