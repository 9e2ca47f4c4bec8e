//! Client that sends requests during a whole test. A request without the expected response fails the
//! test: nothing is sent again.

use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use e2e::client::Connection;

/// Thread that sends one request after the other to a few servers. Each server has one connection.
pub(crate) struct SteadyClient {
    stop: Sender<()>,
    thread: JoinHandle<Sent>,
}

/// Requests of a client.
#[derive(Default)]
pub(crate) struct Sent {
    /// Number of requests with the expected response.
    pub(crate) answered: usize,
    /// Responses with a status of 500 or above: from which server, and when.
    pub(crate) failed: Vec<(SocketAddr, Instant)>,
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
                        Ok(status) if status < 500 => sent.answered += 1,
                        Ok(_) => sent.failed.push((*address, Instant::now())),
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
        let sent = self.stop_with_failed();
        assert!(sent.failed.is_empty(), "{:#?}", sent.failed);
        sent.answered
    }

    /// Ends the thread, and checks that each request had a response.
    #[track_caller]
    pub(crate) fn stop_with_failed(self) -> Sent {
        drop(self.stop);
        let sent = self.thread.join().expect("no panic");
        assert!(sent.lost.is_empty(), "{:#?}", sent.lost);
        sent
    }
}

/// Sends a request over the open connection, or a new one. Returns the status of the response.
fn ask(address: SocketAddr, open: &mut Option<Connection>) -> Result<u16, String> {
    let mut connection = match open.take() {
        Some(connection) => connection,
        None => Connection::open(address).map_err(|error| error.to_string())?,
    };
    let response = connection.ask("GET /version HTTP/1.1\nhost: h");
    let response = response.map_err(|error| error.to_string())?;
    let text = response.text();
    let is_expected = response.status == 200 && text.starts_with('v');
    if !is_expected && response.status < 500 {
        return Err(format!("status {}: {text}", response.status));
    }
    if !response.head.has("connection", "close") {
        *open = Some(connection);
    }
    Ok(response.status)
}
