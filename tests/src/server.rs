//! Third-party servers that a test runs behind or in front of the gateway.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::wait;

/// Process of a third-party server. Dropping this value kills it.
pub struct Server(pub Child);

impl Server {
    /// Starts a program in the foreground. `None` if it is not installed.
    #[must_use]
    pub fn start(command: &mut Command) -> Option<Self> {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
        quiet.stderr(Stdio::null()).spawn().ok().map(Self)
    }

    /// Starts a program that prints its port as its first line. `None` if the program or a library
    /// that it needs is not installed.
    #[must_use]
    pub fn announced(program: &str, arguments: &[impl AsRef<OsStr>]) -> Option<(Self, u16)> {
        Self::announced_by(Command::new(program).args(arguments))
    }

    /// Like [`Self::announced`], for a prepared command.
    #[must_use]
    pub fn announced_by(command: &mut Command) -> Option<(Self, u16)> {
        let command = command.stdin(Stdio::null());
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let output = child.stdout.take()?;
        let server = Self(child);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).ok()?;
        Some((server, line.trim().parse().ok()?))
    }

    /// Starts an NGINX with one `server { … }` and waits until it listens. All its files are in
    /// `folder`. `None` if it is not installed.
    ///
    /// # Panics
    /// If the folder cannot be written to.
    #[must_use]
    pub fn nginx(folder: &Path, port: u16, server: &str) -> Option<Self> {
        let at = |name: &str| folder.join(name).display().to_string();
        let config = format!(
            "daemon off; master_process off; pid {pid}; error_log {log};\n\
             events {{}}\n\
             http {{ access_log off; client_body_temp_path {tmp}; proxy_temp_path {tmp}; \
             fastcgi_temp_path {tmp}; uwsgi_temp_path {tmp}; scgi_temp_path {tmp};\n\
             server {{ {server} }} }}\n",
            pid = at("nginx.pid"),
            log = at("nginx.log"),
            tmp = at("tmp"),
        );
        std::fs::write(folder.join("nginx.conf"), config).expect("written");
        let mut nginx = Command::new("nginx");
        nginx.arg("-c").arg(at("nginx.conf")).arg("-p").arg(folder);
        let server = Self::start(&mut nginx)?;
        let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        wait::within(wait::WAIT_MAX, || listens().then_some(()));
        Some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Free port of the loopback interface.
///
/// # Panics
/// If there is no free port.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}
