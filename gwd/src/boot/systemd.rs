//! systemd integration: inherited sockets and notifications (sd_listen_fds(3), sd_notify(3)).

#![expect(
    unsafe_code,
    reason = "takes ownership of the descriptors that the environment names"
)]

use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::json;

use crate::control::Status;
use crate::listen::inherited::InheritedSockets;
use crate::runtime::program_log::{Level, event};

/// First file descriptor that systemd passes.
const FIRST: i32 = 3;
/// Maximum number of descriptors that are accepted from systemd.
const DESCRIPTORS_MAX: i32 = 1_024;
/// Interval at which readiness is checked until the process is ready: 20ms.
const READY_TICK: Duration = Duration::from_millis(20);

/// Sockets that systemd bound for this process. Call this once, before other threads open files.
pub(super) fn sockets() -> Vec<InheritedSockets> {
    let of_us = variable("LISTEN_PID").and_then(|pid| pid.parse().ok());
    if of_us != Some(std::process::id()) {
        return Vec::new();
    }
    let count: i32 = variable("LISTEN_FDS")
        .and_then(|count| count.parse().ok())
        .unwrap_or(0);
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut inherited: Vec<InheritedSockets> = Vec::new();
    for descriptor in FIRST..FIRST + count.clamp(0, DESCRIPTORS_MAX) {
        let name = names.next().filter(|name| !matches!(*name, "" | "unknown"));
        // SAFETY: by systemd's protocol these descriptors are open and belong to this process,
        // which takes each of them once, here. The kernel rejects one that is not open.
        let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
        let _inherited_by_children = rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC);
        match InheritedSockets::of(socket.into(), name.map(str::to_owned)) {
            Some(one) => match inherited
                .iter_mut()
                .find(|known| known.address == one.address)
            {
                Some(known) => known.sockets.extend(one.sockets),
                None => inherited.push(one),
            },
            None => event(
                Level::Warn,
                "a descriptor from systemd is ignored, because it is not a TCP socket",
                json!({"descriptor": descriptor, "name": name}),
            ),
        }
    }
    inherited
}

/// Notifies systemd once the process is ready. Notifies systemd's watchdog from the start. A
/// process that takes over becomes the service's main process, for which the unit needs
/// `NotifyAccess=all`. Without systemd this does nothing.
///
/// # Errors
/// If no thread can be started.
pub(super) fn watch(
    status: Arc<ArcSwap<Status>>,
    takes_over: bool,
    lives: impl Fn() -> bool + Send + 'static,
) -> std::io::Result<()> {
    if variable("NOTIFY_SOCKET").is_none() {
        return Ok(());
    }
    let of_us = variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
    let interval = variable("WATCHDOG_USEC")
        .filter(|_| of_us)
        .and_then(|interval| interval.parse().ok())
        .map(|interval: u64| Duration::from_micros(interval / 3).max(READY_TICK));
    std::thread::Builder::new()
        .name("systemd".into())
        .spawn(move || {
            while !status.load().ready {
                notify_watchdog(&lives);
                std::thread::sleep(READY_TICK);
            }
            match takes_over {
                true => notify(&format!("MAINPID={}\nREADY=1", std::process::id())),
                false => notify("READY=1"),
            }
            while let Some(interval) = interval {
                notify_watchdog(&lives);
                std::thread::sleep(interval);
            }
        })?;
    Ok(())
}

/// Notifies systemd's watchdog if no worker is stalled. Without this notification, systemd restarts
/// the process.
fn notify_watchdog(lives: &impl Fn() -> bool) {
    if lives() {
        notify("WATCHDOG=1");
    }
}

/// Sends a notification to systemd, if systemd started this process.
pub(super) fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&path),
    };
    // Ignore errors: they mean that there is no receiver for notifications.
    let _untold = address.and_then(|address| {
        let socket = UnixDatagram::unbound()?;
        socket.send_to_addr(state.as_bytes(), &address)
    });
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
