//! Load balancing, health checks and limits of upstreams (semantics.md §3, §4). The defaults are
//! Envoy's.

use minicbor::{Decode, Encode};

use crate::declared::{Scalar, Settings, Value};
use crate::parameters::parameters;

/// Load-balancing settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Balance {
    /// Load-balancing algorithm.
    #[n(0)]
    pub lb: Lb,
    /// Input of the hash. `None` for algorithms without a hash.
    #[n(1)]
    pub hash_on: Option<HashOn>,
    /// True if hashing skips targets that have more than 1.25 times the average number of requests
    /// in flight, by weight (bounded load).
    #[n(2)]
    pub bounded_load: bool,
    /// Time in milliseconds in which the load of a new or recovered target grows to its full share.
    /// `None`: immediately.
    #[n(3)]
    pub slow_start_ms: Option<u64>,
}

/// Load-balancing algorithm. Default: `RoundRobin`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Lb {
    /// Smooth weighted round robin, as in NGINX.
    #[default]
    #[n(0)]
    RoundRobin,
    /// Random by weight.
    #[n(1)]
    Random,
    /// Of two random targets, the target with fewer requests in flight (power of two choices).
    #[n(2)]
    LeastRequest,
    /// Of two random targets, the target with the lower latency by a peak-sensitive moving average
    /// (peak EWMA).
    #[n(3)]
    PeakEwma,
    /// Consistent hashing with a ring (ketama).
    #[n(4)]
    Ketama,
    /// Consistent hashing with a table (Maglev).
    #[n(5)]
    Maglev,
}

/// Hash input that selects a target. If the named property is absent, any target may be selected.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum HashOn {
    /// Authenticated consumer.
    #[n(0)]
    Consumer,
    /// Address of the client.
    #[n(1)]
    Address,
    /// Named request field.
    #[n(2)]
    Header(#[n(0)] String),
    /// Named cookie. If the request has no such cookie, the gateway sets it in the response.
    #[n(3)]
    Cookie(#[n(0)] String),
    /// Named query parameter.
    #[n(4)]
    Query(#[n(0)] String),
    /// Named claim of the caller.
    #[n(5)]
    Claim(#[n(0)] String),
}

/// Health checks and outlier detection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Health {
    /// Active health checks. `None`: disabled.
    #[n(0)]
    pub active: Option<Active>,
    /// Outlier detection by the results of clients' requests. `None`: disabled.
    #[n(1)]
    pub passive: Option<Passive>,
    /// Behaviour if no target is healthy.
    #[n(2)]
    pub all_unhealthy: AllUnhealthy,
}

/// Behaviour if no target is healthy. Default: `Fail`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum AllUnhealthy {
    /// Refuse requests with 503.
    #[default]
    #[n(0)]
    Fail,
    /// Send requests to all targets.
    #[n(1)]
    Spread,
}

/// An active health check.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Active {
    /// Protocol of the check.
    #[n(0)]
    pub kind: ActiveKind,
    /// Path of the request.
    #[n(1)]
    pub path: String,
    /// `Host` of the request. `None`: the target's host and port.
    #[n(2)]
    pub host: Option<String>,
    /// Additional request fields, sorted.
    #[n(3)]
    pub headers: Vec<(String, String)>,
    /// Response statuses of a healthy target, sorted.
    #[n(4)]
    pub statuses: Vec<u16>,
    /// String that the response body must contain.
    #[n(5)]
    pub body: Option<String>,
    /// Intervals and thresholds of the check.
    #[n(6)]
    pub times: ActiveTimes,
    /// Handling of a target before the first result of its check.
    #[n(7)]
    pub unchecked: Unchecked,
    /// True if a successful health check ends an ejection by outlier detection.
    #[n(8)]
    pub ends_ejections: bool,
}

/// Handling of a target before the first result of its check. Default: `Serve`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Unchecked {
    /// Send requests to the target.
    #[default]
    #[n(0)]
    Serve,
    /// Send requests to the target after its first success.
    #[n(1)]
    Wait,
}

/// Protocol of an active check. Default: `Http`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ActiveKind {
    /// HTTP GET request.
    #[default]
    #[n(0)]
    Http,
    /// TCP connection.
    #[n(1)]
    Tcp,
    /// gRPC call of `grpc.health.v1.Health/Check`.
    #[n(2)]
    Grpc,
}

parameters! {
    /// Intervals of health checks, and thresholds that change a host's state.
    pub struct ActiveTimes {
        /// Time between two checks, in milliseconds.
        0 interval_ms: Ms = 10_000 => "interval";
        /// Timeout of a check, in milliseconds.
        1 timeout_ms: Ms = 2_000 => "timeout";
        /// Consecutive failures after which a target is unhealthy.
        2 unhealthy_after: Count = 3 => "unhealthy_after";
        /// Consecutive successes after which a target is healthy again.
        3 healthy_after: Count = 2 => "healthy_after";
    }
}

parameters! {
    /// Outlier detection, as in Envoy.
    pub struct Passive {
        /// Number of consecutive 5xx responses and broken connections that ejects a target.
        0 consecutive_5xx: Count = 5 => "consecutive_5xx";
        /// Minimum number of a target's requests within the interval for its failure ratio to be
        /// used.
        1 min_requests: Count = 50 => "min_requests";
        /// Interval of the statistics, in milliseconds.
        2 interval_ms: Ms = 10_000 => "interval";
        /// Base ejection time in milliseconds, multiplied by the number of ejections.
        3 ejection_ms: Ms = 30_000 => "ejection";
        /// Maximum ejection time, in milliseconds.
        4 max_ejection_ms: Ms = 300_000 => "max_ejection";
        /// Maximum share of ejected targets, in parts per million. One target may always be
        /// ejected.
        5 max_ejected_ppm: Share = 100_000 => "max_ejected";
        /// Maximum random jitter added to the ejection time, in milliseconds.
        6 jitter_ms: Ms = 0 => "jitter";
        /// Minimum number of targets with enough requests (`min_requests`) for success rates to be
        /// compared.
        7 success_targets: Count = 5 => "success_rate"."min_targets";
        /// Minimum number of a target's requests within the interval for its success rate to be
        /// compared.
        8 success_requests: Count = 100 => "success_rate"."min_requests";
        /// Distance below the mean at which a success rate is too low, in thousandths of the
        /// standard deviation. 0: rates are not compared. Default: 1900.
        9 success_stdev_milli: Count = 1_900 => "success_rate"."stdev_factor";
        or none
        /// Number of consecutive 502, 503 and 504 responses and broken connections that ejects a
        /// target. Default: disabled.
        10 consecutive_gateway_failures: Count => "consecutive_gateway_failures";
        /// Number of consecutive connect failures and broken connections that ejects a target.
        /// Default: disabled. If set, these failures do not count as 5xx.
        11 consecutive_local_failures: Count => "consecutive_local_failures";
        /// Share of failures within the interval that ejects a target, in parts per million.
        /// Default: disabled.
        12 failure_ppm: Share => "failure_ratio";
    }
}

parameters! {
    /// Limits of an upstream, across all workers.
    pub struct Limits {
        /// Maximum number of connections, including those being opened.
        0 connections: Count = 1_024 => "connections";
        /// Maximum number of requests that wait for a connection.
        1 pending: Count = 1_024 => "pending";
        /// Maximum number of concurrent requests.
        2 requests: Count = 1_024 => "requests";
        /// Maximum length of a response head, in bytes.
        4 response_header_bytes: Bytes = 65_536 => "response_header_bytes";
        or none
        /// Maximum number of concurrent retries, in addition to the retry budget. `None`: only the
        /// budget applies.
        3 retries: Count => "retries";
    }
}

// === impl Balance ===

impl Balance {
    /// Creates the settings from the configuration of an upstream. Settings that are missing have
    /// their defaults.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            lb: match settings.text(&["lb"]) {
                Some("random") => Lb::Random,
                Some("least_request") => Lb::LeastRequest,
                Some("peak_ewma") => Lb::PeakEwma,
                Some("ketama") => Lb::Ketama,
                Some("maglev") => Lb::Maglev,
                _ => Lb::RoundRobin,
            },
            hash_on: settings.text(&["hash_on"]).and_then(HashOn::parse),
            bounded_load: settings.flag(&["bounded_load"]).unwrap_or(false),
            slow_start_ms: settings.amount(&["slow_start"]),
        }
    }

    /// Settings that differ from the defaults, for the comparison in plans.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let text = |text: &str| Value::One(Scalar::Text(text.to_owned()));
        let mut settings = Settings::default();
        if self.lb != Lb::default() {
            settings = settings.with(&["lb"], text(self.lb.name()));
        }
        if let Some(hash_on) = &self.hash_on {
            settings = settings.with(&["hash_on"], text(&hash_on.to_string()));
        }
        if self.bounded_load {
            settings = settings.with(&["bounded_load"], Value::One(Scalar::Flag(true)));
        }
        if let Some(ms) = self.slow_start_ms {
            settings = settings.with(&["slow_start"], Value::One(Scalar::Duration(ms)));
        }
        settings
    }
}

impl Lb {
    /// Value in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::LeastRequest => "least_request",
            Self::PeakEwma => "peak_ewma",
            Self::Ketama => "ketama",
            Self::Maglev => "maglev",
        }
    }
}

// === impl HashOn ===

impl HashOn {
    /// Parses `consumer`, `address`, `header:NAME`, `cookie:NAME`, `query:NAME` or `claim:NAME`.
    /// `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "consumer" => Some(Self::Consumer),
            None if text == "address" => Some(Self::Address),
            Some(("header", name)) => Some(Self::Header(name.to_ascii_lowercase())),
            Some(("cookie", name)) => Some(Self::Cookie(name.to_owned())),
            Some(("query", name)) => Some(Self::Query(name.to_owned())),
            Some(("claim", name)) => Some(Self::Claim(name.to_owned())),
            _ => None,
        }
    }
}

/// Formats the hash input as in the configuration, for example `header:x-user`.
impl std::fmt::Display for HashOn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Consumer => f.write_str("consumer"),
            Self::Address => f.write_str("address"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Claim(name) => write!(f, "claim:{name}"),
        }
    }
}

// === impl Health ===

impl Health {
    /// Creates the settings from the configuration of an upstream (`health`).
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let inner = |key: &str| {
            let at = ["health", key];
            settings.has(&at).then(|| settings.inside(&at))
        };
        Self {
            active: inner("active").map(|active| Active::of(&active)),
            passive: inner("passive").map(|passive| Passive::of(&passive)),
            all_unhealthy: match settings.text(&["health", "all_unhealthy"]) {
                Some("spread") => AllUnhealthy::Spread,
                _ => AllUnhealthy::Fail,
            },
        }
    }

    /// Settings that differ from the defaults, for the comparison in plans. A health check with
    /// only defaults is an empty map.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        let mut add = |key: &str, inner: Settings| {
            let all = std::mem::take(&mut settings);
            settings = match inner.is_empty() {
                true => all.with(&["health", key], Value::Empty),
                false => all.with_below(&["health", key], inner),
            };
        };
        if let Some(active) = &self.active {
            add("active", active.settings());
        }
        if let Some(passive) = &self.passive {
            add("passive", passive.settings());
        }
        match self.all_unhealthy {
            AllUnhealthy::Fail => settings,
            AllUnhealthy::Spread => settings.with(
                &["health", "all_unhealthy"],
                Value::One(Scalar::Text("spread".to_owned())),
            ),
        }
    }
}

impl Active {
    /// Creates the settings from the configuration of an upstream (`health.active`).
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let headers = settings.below(&["headers"]).filter_map(|one| {
            let name = one.path.get(1)?;
            Some((name.clone(), settings.text(&["headers", name])?.to_owned()))
        });
        let statuses = settings.numbers(&["statuses"]);
        Self {
            kind: match settings.text(&["kind"]) {
                Some("tcp") => ActiveKind::Tcp,
                Some("grpc") => ActiveKind::Grpc,
                _ => ActiveKind::Http,
            },
            path: settings.text(&["path"]).unwrap_or("/").to_owned(),
            host: settings.text(&["host"]).map(str::to_owned),
            headers: headers.collect(),
            statuses: match statuses.is_empty() {
                true => vec![200],
                false => statuses,
            },
            body: settings.text(&["body"]).map(str::to_owned),
            times: ActiveTimes::of(settings),
            unchecked: match settings.text(&["unchecked"]) {
                Some("wait") => Unchecked::Wait,
                _ => Unchecked::Serve,
            },
            ends_ejections: settings.flag(&["ends_ejections"]).unwrap_or(true),
        }
    }

    fn settings(&self) -> Settings {
        let text = |text: &str| Value::One(Scalar::Text(text.to_owned()));
        let mut settings = self.times.settings();
        match self.kind {
            ActiveKind::Http => {}
            ActiveKind::Tcp => settings = settings.with(&["kind"], text("tcp")),
            ActiveKind::Grpc => settings = settings.with(&["kind"], text("grpc")),
        }
        if self.path != "/" {
            settings = settings.with(&["path"], text(&self.path));
        }
        if let Some(host) = &self.host {
            settings = settings.with(&["host"], text(host));
        }
        for (name, value) in &self.headers {
            settings = settings.with(&["headers", name], text(value));
        }
        if self.statuses != [200] {
            let all = self.statuses.iter();
            let all = all.map(|status| Scalar::Number((*status).into()));
            settings = settings.with(&["statuses"], Value::Set(all.collect()));
        }
        if let Some(body) = &self.body {
            settings = settings.with(&["body"], text(body));
        }
        match self.unchecked {
            Unchecked::Serve => {}
            Unchecked::Wait => settings = settings.with(&["unchecked"], text("wait")),
        }
        if !self.ends_ejections {
            settings = settings.with(&["ends_ejections"], Value::One(Scalar::Flag(false)));
        }
        settings
    }
}
