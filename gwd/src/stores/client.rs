//! Client of a store: connections to its servers, and the leases of its counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::Duration;

use policy::store::{Count, Store, Topology};
use policy::used::FirstUse;
use policy::{Admission, SecretCell, Unmoved};
use serde_json::json;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::cluster::{self, Range, Routes};
use super::leases::{CounterId, Leases, StoreAnswer, TakeResult, TokenRange, Unused};
use super::link::{
    self, Answer, Caller, DEADLINE, LeaseCall, Link, NoAnswer, QUEUE_MAX, Question, Redirected,
    Server,
};
use super::script::{Call, Gateway, Slot};
use super::servers::Url;
use crate::runtime::program_log::{Level, event};
use crate::runtime::random::Random;

/// Interval at which ended leases are returned to the store: 100ms.
const SWEEP: Duration = Duration::from_millis(100);
/// Interval at which a gateway that uses leases announces itself in the store: 1s.
const ANNOUNCE: Duration = Duration::from_secs(1);
/// Time after which a gateway that has not announced itself no longer counts as a user of leases:
/// 5s.
const GATEWAY_LIVE: Duration = Duration::from_secs(5);
/// Interval at which the task that returns leases checks whether its client was dropped: 10s.
const UNUSED: Duration = Duration::from_secs(10);
/// Time after which the slots of a cluster are read again: 60s while all its masters answer, else
/// 200ms.
const SLOTS_CALM: Duration = Duration::from_secs(60);
const SLOTS_LOST: Duration = Duration::from_millis(200);
/// Minimum time between two reads of the slots: 20ms.
const SLOTS_PAUSE: Duration = Duration::from_millis(20);

/// Outcome of a count request that a lease decided without a call of the store.
pub(crate) const LEASED: &str = "leased";

/// Client of one store.
pub(crate) struct Client {
    name: Arc<str>,
    url: Arc<SecretCell>,
    prefix: Box<str>,
    routes: RwLock<Routes>,
    /// Wakes the task that reads the slots of a cluster.
    lost: Arc<Notify>,
    /// Notified after the slots of a cluster were read.
    routed: Notify,
    /// Time of the last count request, in milliseconds of the clock.
    called_ms: AtomicU64,
    leases: Leases,
    /// Wakes the task that returns leases, when the first counter gets a lease.
    leased: Notify,
    /// Random id of this gateway in the set of gateways that use leases.
    gateway: Box<str>,
}

/// Receiver of the calls of a new client with one server. `None`: a cluster.
pub(super) type Calls = Option<mpsc::Receiver<Question>>;

/// State of a store, for the status and the metrics.
pub(crate) struct StoreState {
    pub(crate) name: Arc<str>,
    /// True if the store answers.
    pub(crate) is_up: bool,
    /// Number of gateways that use leases. 0: unknown, or no gateway uses leases.
    pub(crate) gateways: u64,
    /// Number of counters with leases in this gateway.
    pub(crate) leases: usize,
}

/// Answer to a count request, with its outcome as a metric label.
pub(crate) struct Counted {
    pub(crate) admission: Admission,
    /// `answered` by the store, `joined` to the call of another request, or `leased`.
    pub(crate) outcome: &'static str,
}

// === impl Client ===

impl Client {
    /// Creates the client of a store, with the calls that [`run`] serves.
    pub(super) fn new(store: &Store) -> (Arc<Self>, Calls) {
        let server = match &store.topology {
            Topology::Single => Some(Server::Only),
            Topology::Sentinel(master) => Some(Server::Master(master.clone())),
            Topology::Cluster => None,
        };
        let only = server.map(|server| {
            let test = format!("{}:test", store.prefix).into();
            Link::new(
                Arc::clone(&store.name),
                Arc::clone(&store.url),
                server,
                test,
            )
        });
        let (routes, calls) = match only {
            Some((link, calls)) => (Routes::one(link), Some(calls)),
            None => (Routes::default(), None),
        };
        let client = Self {
            name: Arc::clone(&store.name),
            url: Arc::clone(&store.url),
            prefix: store.prefix.clone(),
            routes: RwLock::new(routes),
            lost: Arc::new(Notify::new()),
            routed: Notify::new(),
            called_ms: AtomicU64::new(0),
            leases: Leases::new(),
            leased: Notify::new(),
            gateway: format!("{:032x}", u128::from_le_bytes(Random::new().bytes())).into(),
        };
        (Arc::new(client), calls)
    }

    /// Records the time of a count request.
    pub(super) fn used(&self, now_ms: u64) {
        self.called_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Time since the last count request, in milliseconds.
    pub(super) fn unused_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.called_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn state(&self) -> StoreState {
        StoreState {
            name: Arc::clone(&self.name),
            is_up: self.routes().are_up(),
            gateways: self.leases.gateways(),
            leases: self.leases.len(),
        }
    }

    pub(super) fn has_leases(&self) -> bool {
        self.leases.len() > 0
    }

    /// Closes all connections. The client must not be used afterwards.
    pub(super) fn close(&self) {
        for link in &self.routes().links {
            link.close();
        }
        self.lost.notify_one();
    }

    /// Marks the server that has the key as suspect, because its answer was late.
    pub(crate) fn suspect(&self, key: &str) {
        if let Some(link) = self.routes().link(key) {
            link.suspect();
        }
    }

    fn routes(&self) -> RwLockReadGuard<'_, Routes> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a call into the queue of the server that has the call's key.
    fn send(self: &Arc<Self>, call: Call, answer: Answer) -> Result<(), NoAnswer> {
        let routes = self.routes();
        let link = routes.link(&call.key()).ok_or(NoAnswer::Down)?;
        link.send(Question {
            client: Arc::<Self>::clone(self),
            call,
            until: Instant::now() + DEADLINE,
            answer,
            slot: Slot::Stable,
            redirects: 0,
        })
    }

    /// Counts a request. The caller sets the deadline.
    pub(crate) async fn count(self: &Arc<Self>, count: &Count) -> Result<Counted, NoAnswer> {
        let counted = |admission, outcome| Counted { admission, outcome };
        let (outcome, answered) = match self.leases.take(count, Instant::now()) {
            TakeResult::Decided(admission) => return Ok(counted(admission, LEASED)),
            TakeResult::Overflow => return Err(NoAnswer::Full),
            TakeResult::Joined(answered) => ("joined", answered),
            TakeResult::Ask(wanted, answered) => {
                self.leased.notify_one();
                self.lease(count, wanted)?;
                ("answered", answered)
            }
            TakeResult::NoLease => {
                let (answer, answered) = oneshot::channel();
                self.send(Call::Count(count.clone()), Answer::One(answer))?;
                ("answered", answered)
            }
        };
        let admission = answered.await.map_err(|_| NoAnswer::Failed)?;
        Ok(counted(admission, outcome))
    }

    /// Adds tokens that this gateway counted locally to the counter in the store. The answer is
    /// true if the store added them, and false if it had added them before.
    pub(crate) fn move_usage(
        self: &Arc<Self>,
        count: &Count,
        unmoved: Unmoved,
    ) -> Result<oneshot::Receiver<bool>, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        let count = count.clone();
        self.send(Call::Move { count, unmoved }, Answer::Added(answer))?;
        Ok(answered)
    }

    /// Records a used credential. The answer is true if the store had no record of it. The caller
    /// sets the deadline.
    pub(crate) async fn first_use(self: &Arc<Self>, used: &FirstUse) -> Result<bool, NoAnswer> {
        let answered = self.send_first_use(used)?;
        answered.await.map_err(|_| NoAnswer::Failed)
    }

    /// Sends a record of a used credential. The answer is true if the store had no record of it.
    pub(crate) fn send_first_use(
        self: &Arc<Self>,
        used: &FirstUse,
    ) -> Result<oneshot::Receiver<bool>, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        self.send(Call::FirstUse(used.clone()), Answer::Added(answer))?;
        Ok(answered)
    }

    /// Sends a call that takes tokens for a lease from the store.
    fn lease(self: &Arc<Self>, count: &Count, wanted: TokenRange) -> Result<(), NoAnswer> {
        let lease = LeaseCall::new(Arc::<Self>::clone(self), CounterId::of(count), wanted);
        let count = Count {
            cost: i64::try_from(wanted.max_tokens).unwrap_or(i64::MAX),
            ..count.clone()
        };
        let min_tokens = wanted.min_tokens;
        self.send(Call::Lease { count, min_tokens }, Answer::Lease(lease))
    }

    /// Returns tokens of a request that a later limit refused. The tokens are lost if the store
    /// does not answer.
    pub(crate) fn give_back(self: &Arc<Self>, count: &Count) {
        if count.lease_ms.is_some() && self.leases.put_back(count, Instant::now()) {
            return;
        }
        let mut back = count.clone();
        back.cost = -back.cost;
        let (answer, _) = oneshot::channel();
        let _lost = self.send(Call::Count(back), Answer::One(answer));
    }

    /// Returns the unused tokens of a lease. The tokens are lost if the store does not answer.
    fn return_unused(
        self: &Arc<Self>,
        unused: Unused,
    ) -> Result<oneshot::Receiver<Admission>, NoAnswer> {
        let Unused { count, window } = unused;
        let (answer, answered) = oneshot::channel();
        self.send(Call::Return { count, window }, Answer::One(answer))?;
        Ok(answered)
    }

    /// Ends all leases, and removes this gateway from the set of gateways that use leases.
    pub(super) async fn return_leases(self: &Arc<Self>) {
        for unused in self.leases.close().chunks(QUEUE_MAX / 4) {
            let sent = unused.iter().cloned();
            let sent: Vec<_> = sent
                .filter_map(|unused| self.return_unused(unused).ok())
                .collect();
            for answered in sent {
                let _lost = answered.await;
            }
        }
        let (answer, answered) = oneshot::channel();
        let leave = self.announcement(Duration::ZERO);
        if self.send(leave, Answer::Gateways(answer)).is_ok() {
            let _ended = answered.await;
        }
    }

    fn announcement(&self, live: Duration) -> Call {
        Call::Gateway(Gateway {
            key: format!("{}:{{gateways}}", self.prefix),
            id: self.gateway.clone(),
            live,
        })
    }
}

impl Client {
    /// Replaces the masters of the cluster by the masters in `ranges`. Masters that are already
    /// known keep their links.
    fn route(&self, ranges: &[Range]) {
        let before = self.routes().links.clone();
        let routes = Routes::of(ranges, |master, tag| {
            let known = before.iter().find(|link| link.node() == Some(master));
            known.map_or_else(|| self.link(master, tag), Arc::clone)
        });
        for link in &before {
            if !routes.links.iter().any(|kept| Arc::ptr_eq(kept, link)) {
                link.close();
            }
        }
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = routes;
        self.routed.notify_waiters();
    }

    /// Sends a call to another node of the cluster, which has the slot of the call's key. If the
    /// node is not known, waits until the slots were read again.
    async fn send_to(&self, node: &str, question: Question) -> Result<(), NoAnswer> {
        let routed = self.routed.notified();
        // Read the slots again after MOVED only. After ASK, the slot still belongs to the node that
        // redirected the call.
        if question.slot == Slot::Stable {
            self.lost.notify_one();
        }
        let known = |client: &Self| {
            let routes = client.routes();
            routes
                .links
                .iter()
                .find(|link| link.node() == Some(node))
                .cloned()
        };
        if let Some(link) = known(self) {
            return link.send(question);
        }
        self.lost.notify_one();
        let in_time = timeout_at(question.until, routed).await;
        in_time.map_err(|_| NoAnswer::Down)?;
        let link = known(self).ok_or(NoAnswer::Down)?;
        link.send(question)
    }

    /// Creates the link (connection with queue) to a master of a cluster.
    fn link(&self, master: &str, tag: &str) -> Arc<Link> {
        let test = format!("{}:test:{{{tag}}}", self.prefix).into();
        let server = Server::Node(master.to_owned());
        let (link, calls) = Link::new(Arc::clone(&self.name), Arc::clone(&self.url), server, test);
        let lost = Arc::clone(&self.lost);
        spawn_local(link::serve(Arc::downgrade(&link), calls, lost));
        link
    }
}

impl Caller for Client {
    fn set_gateways(&self, gateways: u64) {
        self.leases.set_gateways(gateways);
    }

    fn redirect<'c>(&'c self, node: &'c str, question: Question) -> Redirected<'c> {
        Box::pin(self.send_to(node, question))
    }

    fn complete_lease(self: Arc<Self>, id: &CounterId, wanted: TokenRange, granted: StoreAnswer) {
        let now = Instant::now();
        let (next, unused) = self.leases.complete(id, wanted, granted, now);
        for unused in unused {
            let _lost = self.return_unused(unused);
        }
        if let Some((count, wanted)) = next {
            let _failed = self.lease(&count, wanted);
        }
    }

    fn fail_lease(&self, id: &CounterId) {
        self.leases.fail(id);
    }
}

/// Serves a client until it is dropped.
pub(super) fn run(client: &Arc<Client>, calls: Calls) {
    spawn_local(keep_leases(Arc::downgrade(client)));
    match calls {
        None => {
            spawn_local(follow(Arc::downgrade(client)));
        }
        Some(calls) => {
            if let Some(link) = client.routes().links.first() {
                let lost = Arc::clone(&client.lost);
                spawn_local(link::serve(Arc::downgrade(link), calls, lost));
            }
        }
    }
}

/// Reads the slots of a cluster when a master is lost or a call was redirected, and at intervals.
async fn follow(client: Weak<Client>) {
    let mut was_read = true;
    while let Some(client) = client.upgrade() {
        let read = slots(&client).await;
        match &read {
            Ok(ranges) => client.route(ranges),
            Err(why) if was_read => event(
                Level::Error,
                "the slots of a cluster cannot be read",
                json!({"store": &*client.name, "error": why}),
            ),
            Err(_) => {}
        }
        was_read = read.is_ok();
        let pause = match client.routes().are_up() {
            true => SLOTS_CALM,
            false => SLOTS_LOST,
        };
        let lost = Arc::clone(&client.lost);
        drop(client);
        let _calm = timeout(pause, lost.notified()).await;
        sleep(SLOTS_PAUSE).await;
    }
}

/// Reads the slots from the first node that answers. Queries the masters with working links first,
/// then the other masters, then the nodes of the URL.
async fn slots(client: &Client) -> Result<Vec<Range>, String> {
    let url = client.url.value();
    let url = std::str::from_utf8(&url).map_err(|_| "the URL is not valid UTF-8".to_owned())?;
    let url = Url::parse(url.trim()).ok_or_else(|| "the URL names no servers".to_owned())?;
    let mut links = client.routes().links.clone();
    links.sort_by_key(|link| !link.is_up());
    let known = links.iter().filter_map(|link| link.node());
    let mut nodes: Vec<String> = known.map(str::to_owned).collect();
    nodes.extend(url.hosts.iter().cloned());
    cluster::ranges(&url, &nodes).await
}

/// Returns ended leases of a client to the store and announces this gateway, while limits use
/// leases.
async fn keep_leases(client: Weak<Client>) {
    let mut announced: Option<Instant> = None;
    loop {
        let Some(client) = client.upgrade() else {
            return;
        };
        if client.leases.len() == 0 {
            client.leases.set_gateways(0);
            announced = None;
            let leased = timeout(UNUSED, client.leased.notified());
            if leased.await.is_err() {
                continue;
            }
        }
        for unused in client.leases.sweep(Instant::now()) {
            let _lost = client.return_unused(unused);
        }
        if announced.is_none_or(|at| at.elapsed() >= ANNOUNCE) {
            let announcement = client.announcement(GATEWAY_LIVE);
            let (answer, _) = oneshot::channel();
            let is_sent = client.send(announcement, Answer::Gateways(answer)).is_ok();
            announced = is_sent.then(Instant::now);
        }
        drop(client);
        sleep(SWEEP).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use policy::state::StateId;
    use policy::store::{LocalCounter, OnOutage};
    use policy::{Algorithm, SecretRef, Tokens};
    use tokio::task::LocalSet;

    use super::*;

    /// Begins to count a request. `None`: the request waits for the store.
    fn begin(client: &Arc<Client>, count: &Count) -> Option<Result<&'static str, NoAnswer>> {
        let counted = pin!(client.count(count));
        match counted.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(counted) => Some(counted.map(|counted| counted.outcome)),
            Poll::Pending => None,
        }
    }

    fn store(url: &str) -> Store {
        Store {
            name: "shared".into(),
            reference: SecretRef::Env("URL".into()),
            url: SecretCell::new(url.as_bytes().to_vec()),
            prefix: "p".into(),
            on_outage: OnOutage::Closed,
            topology: Topology::Single,
        }
    }

    fn count(store: Store) -> Count {
        Count {
            store: Arc::new(store),
            state: StateId(1),
            key: [7; 16],
            tokens: Tokens {
                algorithm: Algorithm::Bucket,
                count: 100,
                period_ms: 1_000,
                burst: 100,
            },
            lease_ms: None,
            cost: 1,
            local: LocalCounter {
                quota: false,
                anonymous: false,
                tag: 7,
                client: None,
                now_ns: 0,
            },
        }
    }

    /// A server that does not take calls from its queue cannot make the queue grow.
    #[test]
    fn full_queue_refuses_further_calls() {
        let (client, calls) = Client::new(&store(""));
        let count = count(store(""));
        for number in 0..QUEUE_MAX {
            assert_eq!(begin(&client, &count), None, "{number}");
        }
        assert_eq!(begin(&client, &count), Some(Err(NoAnswer::Full)));
        // Label of the outcome in `gwd_policy_calls_total`.
        assert_eq!(NoAnswer::Full.outage().label(), "overflow");
        drop(calls);
    }

    /// Arguments of the next command (RESP) in `bytes`, which loses them. `None`: the command is not
    /// complete yet.
    fn command(bytes: &mut Vec<u8>) -> Option<Vec<String>> {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let mut lines = text.split_inclusive("\r\n");
        let mut length = 0;
        let mut line = || {
            let line = lines.next()?;
            length += line.len();
            line.strip_suffix("\r\n")
        };
        let values: usize = line()?.strip_prefix('*').unwrap().parse().unwrap();
        let mut arguments = Vec::new();
        for _ in 0..values {
            let bytes: usize = line()?.strip_prefix('$').unwrap().parse().unwrap();
            // No argument contains CR LF.
            let text = line()?;
            assert_eq!(text.len(), bytes);
            arguments.push(text.to_owned());
        }
        bytes.drain(..length);
        Some(arguments)
    }

    /// Server that answers count requests only when three of them are waiting on one connection, all
    /// within the deadline of the first one. Returns the URL, and a thread that ends then.
    fn withholding() -> (String, std::thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut bytes) = (stream.unwrap(), Vec::new());
                let mut waiting: Vec<std::time::Instant> = Vec::new();
                let mut part = [0; 1 << 14];
                while let Ok(read @ 1..) = stream.read(&mut part) {
                    bytes.extend_from_slice(&part[..read]);
                    while let Some(command) = command(&mut bytes) {
                        const COUNTED: &str = "*5\r\n:1\r\n:9\r\n:0\r\n:1\r\n:0\r\n";
                        let is_count = command[0] == "EVALSHA" && command[3] != "p:test";
                        if is_count {
                            waiting.push(std::time::Instant::now());
                        }
                        let answer = match command[0].as_str() {
                            "SCRIPT" => "$3\r\nsha\r\n".to_owned(),
                            "EVALSHA" if !is_count => COUNTED.to_owned(),
                            "EVALSHA" if waiting.len() == 3 => COUNTED.repeat(3),
                            "EVALSHA" => String::new(),
                            _ => "+OK\r\n".to_owned(),
                        };
                        let _closed = stream.write_all(answer.as_bytes());
                        if waiting.len() == 3 {
                            if waiting[0].elapsed() < DEADLINE {
                                return;
                            }
                            waiting.clear();
                        }
                    }
                }
            }
        });
        (url, served)
    }

    /// Calls in flight share one connection: the next one does not wait for the answer to the last.
    #[test]
    fn calls_in_flight_are_sent_as_a_pipeline() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (url, served) = withholding();
        let begin = std::time::Instant::now();
        LocalSet::new().block_on(&runtime, async {
            let (client, calls) = Client::new(&store(&url));
            run(&client, calls);
            let count = count(store(&url));
            while !served.is_finished() {
                assert!(
                    begin.elapsed() < Duration::from_secs(60),
                    "no three calls at once"
                );
                let one = || timeout(DEADLINE, client.count(&count));
                let _answered = tokio::join!(one(), one(), one());
            }
        });
        served.join().unwrap();
    }
}
