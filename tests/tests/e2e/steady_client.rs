//! Client that sends requests during a whole test. A request without the expected response fails the
//! test: nothing is sent again.

use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use e2e::client::Connection;

/// Thread that sends one request after the other to a few servers. Each server has one connection.
pub(crate) struct SteadyClient {
    stop: Sender<()>,
    thread: JoinHandle<Sent>,
}

/// Numbers of requests of a client.
#[derive(Default)]
struct Sent {
    answered: usize,
    /// Requests without the expected response, with the reason.
    lost: Vec<String>,
}

impl SteadyClient {
    /// Sends a request to each address per `pace`.
    pub(crate) fn start(addresses: Vec<SocketAddr>, pace: Duration) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut connections: Vec<Option<Connection>> = Vec::new();
            connections.resize_with(addresses.len(), || None);
            let mut sent = Sent::default();
            loop {
                for (address, connection) in addresses.iter().zip(&mut connections) {
                    match ask(*address, connection) {
                        Ok(()) => sent.answered += 1,
                        Err(why) => sent.lost.push(format!("{address}: {why}")),
                    }
                }
                if stopped.recv_timeout(pace) == Err(RecvTimeoutError::Disconnected) {
                    return sent;
                }
            }
        });
        Self { stop, thread }
    }

    /// Ends the thread, and checks that no request was lost. Returns the number of responses.
    #[track_caller]
    pub(crate) fn stop(self) -> usize {
        drop(self.stop);
        let sent = self.thread.join().expect("no panic");
        assert!(sent.lost.is_empty(), "{:#?}", sent.lost);
        sent.answered
    }
}

/// Sends a request over the open connection, or a new one.
fn ask(address: SocketAddr, open: &mut Option<Connection>) -> Result<(), String> {
    let mut connection = match open.take() {
        Some(connection) => connection,
        None => Connection::open(address).map_err(|error| error.to_string())?,
    };
    let response = connection.ask("GET /version HTTP/1.1\nhost: h");
    let response = response.map_err(|error| error.to_string())?;
    let text = response.text();
    if response.status != 200 || !text.starts_with('v') {
        return Err(format!("status {}: {text}", response.status));
    }
    if !response.head.has("connection", "close") {
        *open = Some(connection);
    }
    Ok(())
}
