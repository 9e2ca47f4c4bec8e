//! Replacing the process without losing a connection (data-plane.md §6).
//!
//! gwd serves `handover.sock` in its state folder. A new process with `--take-over` connects to it.
//! The process receives every listening socket, the socket of the admin interface, and the lock of
//! the state folder (SCM_RIGHTS). From then on the old process keeps serving its version and waits.
//! The new process builds its version, uses the sockets, starts accepting and reports this. Only
//! then does the old process stop accepting, without closing a socket, and drain. If an earlier
//! step fails, the old process continues as before.
//!
//! A message consists of its length in four bytes (big endian) and JSON text of that length. File
//! descriptors are attached to its first byte. The lock is from `flock`: each copy of the
//! descriptor holds it, and it is released when the last copy is closed.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::listen::inherited::InheritedSockets;
use crate::listen::unix_socket;
use crate::runtime::program_log::{Level, event};

/// Name, in the state folder, of the UNIX socket over which gwd hands over.
pub(crate) const SOCKET: &str = "handover.sock";
/// Message with which the new process requests the handover. The new process sends [`READY`] as its
/// final message, once it accepts connections.
const ASK: &[u8; 8] = b"gwd/1 on";
const READY: &[u8; 8] = b"gwd/1 ok";
/// Maximum time for the new process to verify, build and accept connections: 60s.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum time to receive or send one message: 5s.
const PROMPT: Duration = Duration::from_secs(5);
/// Maximum descriptors in one message. The kernel's limit is 253.
const DESCRIPTORS_MAX: usize = 128;
/// Maximum length of one message of a handover, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Message from the old process to the new one. Its variant determines which descriptors are
/// attached.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Message {
    /// Sockets of one listening address.
    Listener {
        name: String,
        wanted: SocketAddr,
        address: SocketAddr,
    },
    /// Lock of the state folder.
    State,
    /// Socket of the admin interface, and its address.
    Admin { at: String },
    /// Last message of the handover; no descriptors are attached.
    End,
}

/// Sockets and lock that the old process hands over.
#[derive(Debug)]
pub(crate) struct Offer<'a> {
    /// Name, configured address, actual address and sockets of each listener.
    pub(crate) listeners: Vec<(String, SocketAddr, SocketAddr, Vec<BorrowedFd<'a>>)>,
    pub(crate) lock: BorrowedFd<'a>,
    pub(crate) admin: Option<(String, BorrowedFd<'a>)>,
}

/// Sockets and lock that the new process received.
#[derive(Debug)]
pub(crate) struct ReceivedSockets {
    pub(crate) listeners: Vec<InheritedSockets>,
    pub(crate) lock: File,
    pub(crate) admin: Option<(String, OwnedFd)>,
    pub(crate) promise: HandoverConnection,
}

/// Connection to the old process, which waits for the final message.
#[derive(Debug)]
pub(crate) struct HandoverConnection(UnixStream);

// === the old process ===

/// Serves the socket on a separate thread. Each connection of a new process is passed to `take`,
/// which returns false if no more connections should be accepted.
///
/// # Errors
/// If the socket cannot be created.
pub(crate) fn serve(
    state: &Path,
    take: impl Fn(UnixStream) -> bool + Send + 'static,
) -> io::Result<()> {
    let path = state.join(SOCKET);
    // Remove the socket of an earlier process, or of the process that this one replaces.
    let _not_there = std::fs::remove_file(&path);
    let listener = unix_socket::bind(&path)?;
    std::thread::Builder::new()
        .name("handover".into())
        .spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else {
                    std::thread::sleep(Duration::from_millis(100));
                    continue;
                };
                if is_requested(&stream) && !take(stream) {
                    return;
                }
            }
        })?;
    Ok(())
}

/// True if the peer requests a handover and runs as the same user or as root.
fn is_requested(mut stream: &UnixStream) -> bool {
    let ours = rustix::process::geteuid();
    let peer = rustix::net::sockopt::socket_peercred(stream);
    let known = peer.is_ok_and(|peer| peer.uid == ours || peer.uid.is_root());
    let mut request = [0; ASK.len()];
    known
        && stream.set_read_timeout(Some(PROMPT)).is_ok()
        && stream.set_write_timeout(Some(PROMPT)).is_ok()
        && stream.read_exact(&mut request).is_ok()
        && &request == ASK
}

/// Hands the sockets and the lock over, and waits until the new process accepts connections.
///
/// # Errors
/// If the handover failed; this process can then continue to serve.
pub(crate) fn offer(mut stream: &UnixStream, offer: &Offer<'_>) -> io::Result<()> {
    for (name, wanted, address, sockets) in &offer.listeners {
        for sockets in sockets.chunks(DESCRIPTORS_MAX) {
            let (name, wanted, address) = (name.clone(), *wanted, *address);
            let message = Message::Listener {
                name,
                wanted,
                address,
            };
            send(stream, &message, sockets)?;
        }
    }
    if let Some((at, socket)) = &offer.admin {
        send(stream, &Message::Admin { at: at.clone() }, &[*socket])?;
    }
    send(stream, &Message::State, &[offer.lock])?;
    send(stream, &Message::End, &[])?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    let mut reply = [0; READY.len()];
    stream.read_exact(&mut reply)?;
    if &reply != READY {
        return Err(io::Error::other("unexpected message"));
    }
    Ok(())
}

// === the new process ===

/// Requests the handover from the gwd that uses the state folder. `None` if there is no such gwd.
///
/// # Errors
/// If the other process does not hand over.
pub(crate) fn ask(state: &Path) -> io::Result<Option<ReceivedSockets>> {
    let mut stream = match UnixStream::connect(state.join(SOCKET)) {
        Ok(stream) => stream,
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => return Ok(None),
            _ => return Err(error),
        },
    };
    // Wait long enough: the control thread of the old process may be busy.
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.write_all(ASK)?;
    let (mut listeners, mut lock, mut admin) = (Vec::<InheritedSockets>::new(), None, None);
    loop {
        let (message, mut descriptors) = receive(&stream)?;
        match message {
            Message::Listener {
                name,
                wanted,
                address,
            } => {
                let sockets = descriptors.into_iter().map(socket2::Socket::from);
                let known = listeners.iter_mut().find(|known| known.address == address);
                match known {
                    Some(known) => known.sockets.extend(sockets),
                    None => listeners.push(InheritedSockets {
                        name: Some(name),
                        wanted: Some(wanted),
                        address,
                        sockets: sockets.collect(),
                    }),
                }
            }
            Message::State => lock = descriptors.pop().map(File::from),
            Message::Admin { at } => admin = descriptors.pop().map(|socket| (at, socket)),
            Message::End => break,
        }
    }
    let lock = lock.ok_or_else(|| io::Error::other("the state folder's lock was not passed on"))?;
    Ok(Some(ReceivedSockets {
        listeners,
        lock,
        admin,
        promise: HandoverConnection(stream),
    }))
}

impl HandoverConnection {
    /// Reports to the old process that this process accepts connections.
    pub(crate) fn keep(mut self) {
        if let Err(error) = self.0.write_all(READY) {
            event(
                Level::Warn,
                "the previous gwd was not notified that this one accepts connections",
                json!({"error": error.to_string()}),
            );
        }
    }
}

// === messages ===

fn send(
    mut stream: &UnixStream,
    message: &Message,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    let head = length.to_be_bytes();
    let sent = sendmsg(
        stream.as_fd(),
        &[IoSlice::new(&head)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    stream.write_all(&head[sent..])?;
    stream.write_all(&body)
}

fn receive(mut stream: &UnixStream) -> io::Result<(Message, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut head = [0; 4];
    let came = recvmsg(
        stream.as_fd(),
        &mut [IoSliceMut::new(&mut head)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if came.bytes == 0 {
        return Err(io::Error::other(
            "the connection was closed; see the log of the previous gwd",
        ));
    }
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    stream.read_exact(&mut head[came.bytes..])?;
    let length = u32::from_be_bytes(head) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::other("a message is too long"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((serde_json::from_slice(&body)?, descriptors))
}
