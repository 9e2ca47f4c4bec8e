//! Connection to one server of a store, with its call queue and its circuit breaker.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use policy::ask::Outage;
use policy::{Admission, SecretCell};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use serde_json::json;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connection::{Connection, reason};
use super::leases::{CounterId, StoreAnswer, TokenRange};
use super::replies::Bounds;
use super::script::{Call, Slot, load};
use super::sentinel;
use super::servers::Url;
use crate::runtime::program_log::{Level, event};
use crate::runtime::random::Random;

/// Maximum time for an answer, measured from the start of the count request: 20ms.
pub(crate) const DEADLINE: Duration = Duration::from_millis(20);
/// Maximum time for the answer to the test call of a suspect store: five times [`DEADLINE`].
const SUSPICION: Duration = Duration::from_millis(100);
/// Maximum time to connect, TLS and authentication included: 2s.
const CONNECT: Duration = Duration::from_secs(2);
/// Maximum count requests that wait in the queue of one server.
pub(super) const QUEUE_MAX: usize = 4_096;
/// Minimum time before the next attempt to connect. [`PAUSE_MAX`] is the maximum.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Reason for opening the circuit breaker after a second late answer.
const LATE: &str = "late answers";
/// Maximum number of other servers to which a cluster redirects a call.
const REDIRECTS_MAX: u8 = 2;

/// Connection to one server of a store, with its queue and circuit breaker.
pub(super) struct Link {
    store: Arc<str>,
    url: Arc<SecretCell>,
    server: Server,
    /// Key of the test call.
    test: Box<str>,
    queue: mpsc::Sender<Question>,
    /// [`UP`], [`SUSPECT`] or [`DOWN`].
    state: AtomicU8,
    /// True from a successful test call after a late answer until the next answer in time. Another
    /// late answer during this time opens the circuit breaker.
    is_doubted: AtomicBool,
    /// True after [`Link::close`].
    is_closed: AtomicBool,
    /// Wakes the connection's task after a change of `state`, or after [`Link::close`].
    failed: Notify,
}

/// Server of a store to which a link connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// The server of the URL.
    Only,
    /// Master with this name. The sentinels of the URL return the master's address.
    Master(String),
    /// Node of a cluster, by host and port.
    Node(String),
}

/// State: the server is used.
const UP: u8 = 0;
/// State: an answer was late, and the test call is in progress.
const SUSPECT: u8 = 1;
/// State: the circuit breaker is open.
const DOWN: u8 = 2;

/// Reason why a count request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The circuit breaker is open, or the store is suspect.
    Down,
    /// The queue of count requests is full.
    Full,
    /// The store returned an error, or the connection failed.
    Failed,
}

impl NoAnswer {
    /// Outage that is reported to the limit of the request and counted in metrics.
    pub(crate) fn outage(self) -> Outage {
        match self {
            Self::Down => Outage::CircuitOpen,
            Self::Full => Outage::Overflow,
            Self::Failed => Outage::Failed,
        }
    }
}

/// Future of [`Caller::redirect`].
pub(super) type Redirected<'c> = Pin<Box<dyn Future<Output = Result<(), NoAnswer>> + 'c>>;

/// Functions of a store's client that its links call.
pub(super) trait Caller: Send + Sync {
    /// Records the number of gateways that use leases.
    fn set_gateways(&self, gateways: u64);

    /// Sends a call to another node of the cluster, which has the slot of the call's key.
    fn redirect<'c>(&'c self, node: &'c str, question: Question) -> Redirected<'c>;

    /// Passes the answer of the store to the lease of a counter.
    fn complete_lease(self: Arc<Self>, id: &CounterId, wanted: TokenRange, granted: StoreAnswer);

    /// Ends the wait of the requests for a counter's lease, because the call to the store got no
    /// answer.
    fn fail_lease(&self, id: &CounterId);
}

/// Call to a store, with the receiver of the store's answer.
pub(super) struct Question {
    pub(super) client: Arc<dyn Caller>,
    pub(super) call: Call,
    /// Deadline for the answer to the call.
    pub(super) until: Instant,
    pub(super) answer: Answer,
    pub(super) slot: Slot,
    /// Number of redirects by the cluster so far.
    pub(super) redirects: u8,
}

/// Receiver of a store's answer.
pub(super) enum Answer {
    /// The request that waits for the answer. If the channel is closed, the answer is dropped.
    One(oneshot::Sender<Admission>),
    /// The lease that receives the tokens.
    Lease(LeaseCall),
    /// The mover of local tokens, or the request with a credential that is valid once. True if the
    /// store added the tokens or the credential, false if it had added them before.
    Added(oneshot::Sender<bool>),
    /// The leases, which receive the number of gateways. The channel signals the end of the call.
    Gateways(oneshot::Sender<()>),
}

/// Call that takes tokens for a lease. Dropping this value ends the wait of its requests without an
/// answer.
pub(super) struct LeaseCall {
    client: Arc<dyn Caller>,
    id: CounterId,
    wanted: TokenRange,
    is_done: bool,
}

// === impl Link ===

impl Link {
    /// Creates the link of a server, with the calls that [`serve`] sends. `test` is the key of the
    /// test call.
    pub(super) fn new(
        store: Arc<str>,
        url: Arc<SecretCell>,
        server: Server,
        test: Box<str>,
    ) -> (Arc<Self>, mpsc::Receiver<Question>) {
        let (queue, questions) = mpsc::channel(QUEUE_MAX);
        let link = Self {
            store,
            url,
            server,
            test,
            queue,
            // Start as up, so that the first count requests wait for the connection.
            state: AtomicU8::new(UP),
            is_doubted: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            failed: Notify::new(),
        };
        (Arc::new(link), questions)
    }

    pub(super) fn is_up(&self) -> bool {
        self.state.load(Ordering::Acquire) == UP
    }

    /// Address (`HOST:PORT`) of the link's server in a cluster. `None`: the store is not a cluster.
    pub(super) fn node(&self) -> Option<&str> {
        match &self.server {
            Server::Node(address) => Some(address),
            Server::Only | Server::Master(_) => None,
        }
    }

    /// Puts a call into the queue of the server.
    pub(super) fn send(&self, question: Question) -> Result<(), NoAnswer> {
        if !self.is_up() {
            return Err(NoAnswer::Down);
        }
        // A lease call that is not sent ends the wait of its requests.
        self.queue.try_send(question).map_err(|_| NoAnswer::Full)
    }

    /// Closes the connection. The link must not be used afterwards.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.failed.notify_one();
    }

    /// Marks the server as suspect after a late answer, and starts the test. Opens the circuit
    /// breaker if the previous answer was late, too. Otherwise a server that is always slow, but
    /// answers its test calls, would delay all requests until the deadline.
    pub(super) fn suspect(&self) {
        if self.is_up() && self.is_doubted.swap(false, Ordering::AcqRel) {
            self.fail(LATE);
            return;
        }
        let (before, now) = (Ordering::AcqRel, Ordering::Acquire);
        if self
            .state
            .compare_exchange(UP, SUSPECT, before, now)
            .is_ok()
        {
            self.failed.notify_one();
        }
    }

    /// Ends the suspicion after a successful test call. Returns false if the circuit breaker is
    /// open.
    fn clear_suspicion(&self) -> bool {
        let (before, now) = (Ordering::AcqRel, Ordering::Acquire);
        self.is_doubted.store(true, Ordering::Release);
        let cleared = self.state.compare_exchange(SUSPECT, UP, before, now);
        cleared.map_or_else(|state| state == UP, |_| true)
    }

    /// Opens the circuit breaker, after an error or a test call without an answer in time.
    fn fail(&self, why: &str) {
        if self.state.swap(DOWN, Ordering::AcqRel) != DOWN {
            event(
                Level::Error,
                "a store does not answer: its limits apply `on_outage`",
                json!({"store": &*self.store, "node": self.node(), "error": why}),
            );
        }
        self.failed.notify_one();
    }

    fn recovered(&self, had_failed: bool) {
        let was_up = self.state.swap(UP, Ordering::AcqRel) != DOWN;
        if had_failed || !was_up {
            event(
                Level::Info,
                "a store answers again",
                json!({"store": &*self.store, "node": self.node()}),
            );
        }
    }
}

/// Serves the calls of a link until the link is dropped. `lost` is notified each time that the
/// connection ends or cannot be opened.
pub(super) async fn serve(
    link: Weak<Link>,
    mut questions: mpsc::Receiver<Question>,
    lost: Arc<Notify>,
) {
    let (mut pause, mut had_failed) = (PAUSE_MIN, false);
    let random = Random::new();
    while let Some(link) = link.upgrade() {
        match connect(&link).await {
            Ok(connection) => {
                link.recovered(had_failed);
                (pause, had_failed) = (PAUSE_MIN, false);
                answer(&link, &connection, &mut questions).await;
            }
            Err(why) => {
                link.fail(&why);
                had_failed = true;
            }
        }
        lost.notify_one();
        // Drop the queued calls, so that their client requests continue at once without an answer
        // of the store, and not only at the deadline.
        while questions.try_recv().is_ok() {}
        drop(link);
        // Add jitter, so that gateways that lost the same store do not reconnect at the same time.
        let share = (random.next() % 1_000) as f64 / 1_000.0;
        sleep(pause.mul_f64(0.5 + share)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Connects, loads the script, and tests that the script can write.
async fn connect(link: &Link) -> Result<(Connection, String), String> {
    let url = link.url.value();
    let url = std::str::from_utf8(&url).map_err(|_| "the URL is not valid UTF-8".to_owned())?;
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(CONNECT));
    let url = match &link.server {
        Server::Only => url.trim().to_owned(),
        Server::Node(address) => several(url)?.at(address),
        Server::Master(name) => {
            let url = several(url)?;
            // Each sentinel has a timeout of its own, so that the last one is queried, too.
            let address = sentinel::master(&url, name).await?;
            url.at(&address)
        }
    };
    let connected = async {
        let opened = Connection::open(&url, config, Bounds::COMMANDS).await;
        opened.map_err(|error| reason(&error))
    };
    let in_time = timeout(CONNECT, connected).await;
    let mut connection = in_time.map_err(|_| "timeout".to_owned())??;
    let sha = load(&mut connection.commands)
        .await
        .map_err(|error| reason(&error))?;
    test(link, &mut connection.commands, &sha, DEADLINE).await?;
    Ok((connection, sha))
}

fn several(url: &str) -> Result<Url, String> {
    Url::parse(url.trim()).ok_or_else(|| "the URL names no servers".to_owned())
}

/// Tests that the server can count: calls the script for a limit that only test calls use.
async fn test(
    link: &Link,
    connection: &mut MultiplexedConnection,
    sha: &str,
    within: Duration,
) -> Result<(), String> {
    let test = Call::Test(link.test.clone());
    let tested = timeout(within, test.run(connection, sha, Slot::Stable)).await;
    let tested = tested.map_err(|_| format!("no answer within {} ms", within.as_millis()))?;
    match tested {
        Ok(_) => Ok(()),
        // The cluster has moved the test key's slot to another node. This node answers, so the test
        // has passed.
        Err(error) if error.redirect_node().is_some() => Ok(()),
        Err(error) => Err(reason(&error)),
    }
}

/// Sends calls until the connection fails or the link is closed.
async fn answer(
    link: &Arc<Link>,
    (connection, sha): &(Connection, String),
    questions: &mut mpsc::Receiver<Question>,
) {
    loop {
        let question = tokio::select! {
            question = questions.recv() => question,
            () = link.failed.notified() => {
                match is_well(link, &connection.commands, sha).await {
                    true => continue,
                    false => None,
                }
            }
        };
        let Some(question) = question else { return };
        if question.is_unwanted() {
            continue;
        }
        let (link, connection) = (Arc::clone(link), connection.commands.clone());
        spawn_local(question.ask(link, connection, sha.clone()));
    }
}

/// Sends a test call to a suspect server. Returns false if the circuit breaker is open, if it opens
/// because of the test, or if the link was closed.
async fn is_well(link: &Link, connection: &MultiplexedConnection, sha: &str) -> bool {
    match link.state.load(Ordering::Acquire) {
        _ if link.is_closed.load(Ordering::Acquire) => return false,
        // The server is up: this wake-up was meant for an earlier connection.
        UP => return true,
        SUSPECT => {}
        _ => return false,
    }
    match test(link, &mut connection.clone(), sha, SUSPICION).await {
        Ok(()) => link.clear_suspicion(),
        Err(why) => {
            link.fail(&why);
            false
        }
    }
}

// === impl Question ===

impl Question {
    /// True if the client request does not wait for the answer any more.
    fn is_unwanted(&self) -> bool {
        matches!((&self.call, &self.answer), (Call::Count(count), Answer::One(answer))
            if count.cost > 0 && answer.is_closed())
    }

    /// Calls the server of the store and passes its answer to the callers that wait for it.
    async fn ask(self, link: Arc<Link>, mut connection: MultiplexedConnection, sha: String) {
        if let Answer::Gateways(ended) = self.answer {
            let announced = self.call.announce(&mut connection, &sha);
            let announced = timeout_at(self.until, announced).await;
            // Without an answer, the number of gateways is unknown (0), so that no tokens are taken
            // in advance.
            let gateways = announced.map_or(0, |announced| announced.unwrap_or(0));
            self.client.set_gateways(gateways);
            let _gone = ended.send(());
            return;
        }
        let answered = self.call.run(&mut connection, &sha, self.slot);
        match timeout_at(self.until, answered).await {
            Ok(Ok(granted)) => {
                link.is_doubted.store(false, Ordering::Release);
                match self.answer {
                    Answer::One(answer) => {
                        let _gone = answer.send(granted.admission);
                    }
                    Answer::Lease(lease) => lease.complete(granted),
                    Answer::Added(answer) => {
                        let _gone = answer.send(granted.admission.admitted);
                    }
                    Answer::Gateways(_) => {}
                }
            }
            Ok(Err(error)) => match error.redirect_node() {
                Some((node, _)) if self.redirects < REDIRECTS_MAX => {
                    let slot = match error.code() {
                        Some("ASK") => Slot::Importing,
                        _ => Slot::Stable,
                    };
                    self.redirect(node, slot).await;
                }
                _ => link.fail(&reason(&error)),
            },
            Err(_) => link.suspect(),
        }
    }

    /// Sends the call to another node of the cluster.
    async fn redirect(mut self, node: &str, slot: Slot) {
        self.redirects += 1;
        self.slot = slot;
        let client = Arc::clone(&self.client);
        let _no_answer = client.redirect(node, self).await;
    }
}

// === impl LeaseCall ===

impl LeaseCall {
    pub(super) fn new(client: Arc<dyn Caller>, id: CounterId, wanted: TokenRange) -> Self {
        Self {
            client,
            id,
            wanted,
            is_done: false,
        }
    }

    /// Passes the answer of the store to the lease.
    fn complete(mut self, granted: StoreAnswer) {
        self.is_done = true;
        let client = Arc::clone(&self.client);
        client.complete_lease(&self.id, self.wanted, granted);
    }
}

impl Drop for LeaseCall {
    fn drop(&mut self) {
        if !self.is_done {
            self.client.fail_lease(&self.id);
        }
    }
}
