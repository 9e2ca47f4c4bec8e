//! Stores of counters that a fleet shares: Redis and Valkey.
//!
//! Workers send their count requests over a bounded queue to the one thread that holds the
//! connections to all stores, and wait at most [`DEADLINE`]. A connection sends the count requests
//! of all workers as a pipeline. Each count request is one call of a script, which runs atomically
//! and uses the clock of the server (`count.lua`).
//!
//! If an answer is late, the store becomes suspect: no further count requests are sent. Instead, a
//! test call of the script, which performs a write, is sent on the same connection. If the test
//! call is answered within [`SUSPICION`], the store is used again at once, so that one late answer
//! costs about a round trip. Otherwise the circuit opens: no count requests are sent until a test
//! call on a new connection is answered in time.

mod connection;
mod replies;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use policy::store::{Count, Store};
use policy::{Admission, SecretCell, SecretRef, Tokens};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisError};
use serde_json::json;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::connection::Connection;
use crate::runtime::program_log::{Level, event};
use crate::runtime::random::Random;

/// Maximum time for an answer, measured from the start of the count request: 20ms.
pub(crate) const DEADLINE: Duration = Duration::from_millis(20);
/// Maximum time for the answer to the test call of a suspect store: five times [`DEADLINE`].
const SUSPICION: Duration = Duration::from_millis(100);
/// Maximum time to connect, TLS and authentication included: 2s.
const CONNECT: Duration = Duration::from_secs(2);
/// Maximum count requests that wait in the queue of one store.
const QUEUE_MAX: usize = 4_096;
/// Minimum time before the next attempt to connect. [`PAUSE_MAX`] is the maximum.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Time without a count request after which a connection is closed: 10 minutes.
const UNUSED_MS: u64 = 600_000;
/// Script that counts a request in the store.
const SCRIPT: &str = include_str!("count.lua");

/// Clients by the secret that contains their URL, and by their key prefix.
type Clients = HashMap<(SecretRef, Box<str>), Arc<Client>>;

/// Connections to the stores of all versions.
#[derive(Default)]
pub(crate) struct Stores {
    clients: Mutex<Clients>,
    /// Channel that passes a new client to the thread of the connections. Empty before the first
    /// store.
    thread: OnceLock<mpsc::UnboundedSender<Served>>,
}

/// Client with the queue of its count requests.
type Served = (Arc<Client>, mpsc::Receiver<Question>);

/// Connection to one store.
pub(crate) struct Client {
    name: Arc<str>,
    url: Arc<SecretCell>,
    prefix: Box<str>,
    queue: mpsc::Sender<Question>,
    /// [`UP`], [`SUSPECT`] or [`DOWN`].
    state: AtomicU8,
    failed: Notify,
    asked_ms: AtomicU64,
}

/// State: the store is used.
const UP: u8 = 0;
/// State: an answer was late, and the test call is in progress.
const SUSPECT: u8 = 1;
/// State: the circuit is open.
const DOWN: u8 = 2;

/// Count request, with the channel for its answer.
struct Question {
    count: Count,
    until: Instant,
    answer: oneshot::Sender<Admission>,
}

/// Reason why a count request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The circuit is open, or the store is suspect.
    Down,
    /// The queue of count requests is full.
    Full,
    /// The store returned an error, or the connection failed.
    Failed,
}

// === impl Stores ===

impl Stores {
    /// Client of a store. The first call for a store connects to it.
    pub(crate) fn client(&self, store: &Store, now_ms: u64) -> Arc<Client> {
        let mut clients = locked(&self.clients);
        let key = (store.reference.clone(), store.prefix.clone());
        let client = clients.entry(key).or_insert_with(|| {
            let (client, questions) = Client::new(store);
            // If the thread of the connections has ended, count requests get no answer.
            let _ended = self.thread().send((Arc::clone(&client), questions));
            client
        });
        client.asked_ms.store(now_ms, Ordering::Relaxed);
        Arc::clone(client)
    }

    /// Closes connections that no request has used for ten minutes.
    pub(crate) fn tidy(&self, now_ms: u64) {
        let is_used = |client: &Client| {
            now_ms.saturating_sub(client.asked_ms.load(Ordering::Relaxed)) < UNUSED_MS
        };
        locked(&self.clients).retain(|_, client| {
            let used = is_used(client);
            if !used {
                client.failed.notify_one();
            }
            used
        });
    }

    /// Names of the stores, each with true if the store answers.
    pub(crate) fn states(&self) -> Vec<(Arc<str>, bool)> {
        let clients = locked(&self.clients);
        let state = |client: &Arc<Client>| (Arc::clone(&client.name), client.is_up());
        clients.values().map(state).collect()
    }

    fn thread(&self) -> &mpsc::UnboundedSender<Served> {
        self.thread.get_or_init(|| {
            let (sender, mut clients) = mpsc::unbounded_channel::<Served>();
            let serve = move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let Ok(runtime) = runtime else { return };
                LocalSet::new().block_on(&runtime, async move {
                    while let Some((client, questions)) = clients.recv().await {
                        spawn_local(serve(Arc::downgrade(&client), questions));
                        drop(client);
                    }
                });
            };
            let started = std::thread::Builder::new()
                .name("stores".into())
                .spawn(serve);
            if let Err(error) = started {
                event(
                    Level::Error,
                    "the thread of the connections to stores cannot be started: limits act as in an outage",
                    json!({"error": error.to_string()}),
                );
            }
            sender
        })
    }
}

// === impl Client ===

impl Client {
    fn new(store: &Store) -> (Arc<Self>, mpsc::Receiver<Question>) {
        let (queue, questions) = mpsc::channel(QUEUE_MAX);
        let client = Self {
            name: Arc::clone(&store.name),
            url: Arc::clone(&store.url),
            prefix: store.prefix.clone(),
            queue,
            // Start as up, so that the first count requests wait for the connection.
            state: AtomicU8::new(UP),
            failed: Notify::new(),
            asked_ms: AtomicU64::new(0),
        };
        (Arc::new(client), questions)
    }

    fn is_up(&self) -> bool {
        self.state.load(Ordering::Acquire) == UP
    }

    /// Marks the store as suspect after a late answer, and starts the test.
    pub(crate) fn suspect(&self) {
        let (before, now) = (Ordering::AcqRel, Ordering::Acquire);
        if self
            .state
            .compare_exchange(UP, SUSPECT, before, now)
            .is_ok()
        {
            self.failed.notify_one();
        }
    }

    /// Ends the suspicion after a successful test call. False if the circuit is open.
    fn cleared(&self) -> bool {
        let (before, now) = (Ordering::AcqRel, Ordering::Acquire);
        let cleared = self.state.compare_exchange(SUSPECT, UP, before, now);
        cleared.map_or_else(|state| state == UP, |_| true)
    }

    /// Opens the circuit, after an error or a test call without an answer in time.
    fn fail(&self, why: &str) {
        if self.state.swap(DOWN, Ordering::AcqRel) != DOWN {
            event(
                Level::Error,
                "a store does not answer: its limits act as `on_outage` says",
                json!({"store": &*self.name, "error": why}),
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
                json!({"store": &*self.name}),
            );
        }
    }

    /// Puts a count request into the queue.
    fn send(&self, count: Count) -> Result<oneshot::Receiver<Admission>, NoAnswer> {
        if !self.is_up() {
            return Err(NoAnswer::Down);
        }
        let (answer, answered) = oneshot::channel();
        let question = Question {
            count,
            until: Instant::now() + DEADLINE,
            answer,
        };
        match self.queue.try_send(question) {
            Ok(()) => Ok(answered),
            Err(_) => Err(NoAnswer::Full),
        }
    }

    /// Counts a request. The caller sets the deadline.
    pub(crate) async fn count(&self, count: &Count) -> Result<Admission, NoAnswer> {
        let answered = self.send(count.clone())?;
        answered.await.map_err(|_| NoAnswer::Failed)
    }

    /// Returns tokens of a request that a later limit refused. The tokens are lost if the store
    /// does not answer.
    pub(crate) fn give_back(&self, count: &Count) {
        let mut back = count.clone();
        back.cost = -back.cost;
        let _lost = self.send(back);
    }
}

/// Serves the count requests of a client until the client is dropped.
async fn serve(client: std::sync::Weak<Client>, mut questions: mpsc::Receiver<Question>) {
    let (mut pause, mut had_failed) = (PAUSE_MIN, false);
    let random = Random::new();
    while let Some(client) = client.upgrade() {
        match connect(&client).await {
            Ok(connection) => {
                client.recovered(had_failed);
                (pause, had_failed) = (PAUSE_MIN, false);
                answer(&client, &connection, &mut questions).await;
            }
            Err(why) => {
                client.fail(&why);
                had_failed = true;
            }
        }
        // Drop the queued count requests, so that their client requests continue at once without an
        // answer of the store, and not only at the deadline.
        while questions.try_recv().is_ok() {}
        drop(client);
        // Add jitter, so that gateways that lost the same store do not reconnect at the same time.
        let share = (random.next() % 1_000) as f64 / 1_000.0;
        sleep(pause.mul_f64(0.5 + share)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Connects, loads the script and tests that it can write.
async fn connect(client: &Client) -> Result<(Connection, String), String> {
    let url = client.url.value();
    let url = std::str::from_utf8(&url).map_err(|_| "the URL is not valid UTF-8".to_owned())?;
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(CONNECT));
    let connected = Connection::open(url.trim(), config);
    let in_time = timeout(CONNECT, connected).await;
    let mut connection = in_time
        .map_err(|_| "timeout".to_owned())?
        .map_err(|error| reason(&error))?;
    let sha = load(&mut connection.commands)
        .await
        .map_err(|error| reason(&error))?;
    test(client, &mut connection.commands, &sha, DEADLINE).await?;
    Ok((connection, sha))
}

/// Tests that the store counts: calls the script with the limit [`TEST`].
async fn test(
    client: &Client,
    connection: &mut MultiplexedConnection,
    sha: &str,
    within: Duration,
) -> Result<(), String> {
    let test = call(sha, &format!("{}:test", client.prefix), TEST, 1);
    let tested = timeout(within, test.query_async::<(u8, u64, u64)>(connection)).await;
    tested
        .map_err(|_| format!("no answer within {} ms", within.as_millis()))?
        .map_err(|error| reason(&error))?;
    Ok(())
}

/// Loads the script. Returns the SHA-1 with which it is called.
async fn load(connection: &mut MultiplexedConnection) -> Result<String, RedisError> {
    let mut load = redis::cmd("SCRIPT");
    load.arg("LOAD").arg(SCRIPT);
    load.query_async(connection).await
}

/// Limit that the test call uses.
const TEST: Tokens = Tokens {
    algorithm: policy::Algorithm::Bucket,
    count: 1_000_000,
    period_ms: 1_000,
    burst: 1_000_000,
};

/// Sends count requests until the connection fails or the client is dropped.
async fn answer(
    client: &Arc<Client>,
    (connection, sha): &(Connection, String),
    questions: &mut mpsc::Receiver<Question>,
) {
    // Discard wake-ups that were meant for an earlier connection.
    while timeout(Duration::ZERO, client.failed.notified())
        .await
        .is_ok()
    {}
    loop {
        let question = tokio::select! {
            question = questions.recv() => question,
            () = client.failed.notified() => {
                match is_well(client, &connection.commands, sha).await {
                    true => continue,
                    false => None,
                }
            }
        };
        let Some(question) = question else { return };
        if question.answer.is_closed() && question.count.cost > 0 {
            // The client request does not wait for this answer any more.
            continue;
        }
        let (client, mut connection) = (Arc::clone(client), connection.commands.clone());
        let sha = sha.clone();
        spawn_local(async move {
            let Question {
                count,
                until,
                answer,
            } = question;
            let call = call(&sha, &count.name(), count.tokens, count.cost);
            let counted = async {
                let counted = call.query_async::<(u8, u64, u64)>(&mut connection).await;
                match counted {
                    // The server's script cache was emptied.
                    Err(error) if error.code() == Some("NOSCRIPT") => {
                        load(&mut connection).await?;
                        call.query_async(&mut connection).await
                    }
                    other => other,
                }
            };
            match timeout_at(until, counted).await {
                Ok(Ok((admitted, remaining, wait_us))) => {
                    let _gone = answer.send(Admission {
                        admitted: admitted == 1,
                        remaining,
                        wait_ticks: wait_us.saturating_mul(10),
                    });
                }
                Ok(Err(error)) => client.fail(&reason(&error)),
                Err(_) => client.suspect(),
            }
        });
    }
}

/// Sends a test call to a suspect store. Returns false if the circuit is open, if it opens because
/// of the test, or if [`Stores::tidy`] has dropped the client.
async fn is_well(client: &Client, connection: &MultiplexedConnection, sha: &str) -> bool {
    if client.state.load(Ordering::Acquire) != SUSPECT {
        return false;
    }
    match test(client, &mut connection.clone(), sha, SUSPICION).await {
        Ok(()) => client.cleared(),
        Err(why) => {
            client.fail(&why);
            false
        }
    }
}

/// Redis command that calls the script with these arguments.
fn call(sha: &str, key: &str, tokens: Tokens, cost: i64) -> Cmd {
    let (algorithm, end_min) = match tokens.algorithm {
        policy::Algorithm::Bucket => ("bucket", 0),
        policy::Algorithm::Window => ("window", 0),
        policy::Algorithm::Calendar(end_min) => ("calendar", end_min),
    };
    let mut call = redis::cmd("EVALSHA");
    call.arg(sha).arg(1).arg(key).arg(algorithm);
    call.arg(tokens.count)
        .arg(tokens.period_ms)
        .arg(tokens.burst);
    call.arg(cost).arg(end_min);
    call
}

/// Kind of an error. The error's text is not used, because it can contain a part of the URL.
fn reason(error: &RedisError) -> String {
    error.code().unwrap_or_else(|| error.category()).to_owned()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
