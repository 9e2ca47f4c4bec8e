//! Comparison of all settings of a thing, with one table per kind of thing.
//!
//! A row gives the direction of a number, or leaves the setting to the order of access. A setting
//! without a row is reported as changed, without a direction. No setting is left out.

use std::collections::{BTreeMap, BTreeSet};

use policy::declared::{Scalar, Settings, Value as Written};
use serde_json::Value;

use super::destination;
use super::groups::{
    ACTIVE_CHECKS, CIRCUIT_BREAKERS, Group, PASSIVE_CHECKS, RETRIES, is_below, together,
};
use super::operations::Line;
use crate::Class;

/// Table of the settings of one kind of thing.
pub(super) struct Table {
    /// Id of a change whose path has no id of its own.
    id: &'static str,
    /// Known paths; `*` stands for one key.
    rows: &'static [Row],
    /// Paths of settings that come and go together.
    groups: &'static [Group],
}

/// Meaning of the settings at a path.
struct Row {
    path: &'static [&'static str],
    /// Id of a change at this path. Default: the id of the table.
    id: Option<&'static str>,
    way: Way,
}

/// Effect of a greater value.
#[derive(Clone, Copy)]
enum Way {
    /// A greater value lets more through; the field is the default.
    More(Absent),
    /// A greater value lets less through; the field is the default.
    Less(Absent),
    /// Another value counts other callers together. Neither value is tighter, and the gate for
    /// looser limits trips.
    Either,
    /// As [`Way::More`], with this default; 0 switches the check off.
    MoreOrOff(u128),
    /// The upstream learns from it whom a request comes from.
    Tells,
    /// Changes the destination of traffic or its share.
    Moves,
    /// Changes the shares of traffic. The list of upstreams is reported as a whole.
    Shares,
    /// Names of response fields: moves clients if one of them sends clients to another place.
    Names,
    /// Status of a response: moves clients if it starts or stops to redirect them.
    Status,
    /// Kinds of rewritten response fields: moves clients if `location` differs.
    Rewritten,
    /// True lets more through. Default: false.
    On,
    /// True lets less through. Default: false.
    Off,
    /// True admits requests that were refused. Default: false.
    Opens,
    /// Each further value lets more through. The default has these values.
    Each(&'static [&'static str]),
    /// Compared by the order of access (`plan::security`).
    Access,
    /// Reported without a direction.
    Other,
}

/// Default of a setting, in milliseconds, bytes, parts per million or things.
#[derive(Clone, Copy)]
enum Absent {
    /// A limit of this value.
    Is(u128),
    /// No limit.
    NoLimit,
    /// The default is not one fixed value.
    Unknown,
}

use Absent::{Is, NoLimit, Unknown};
use Way::{
    Access, Each, Either, Less, More, MoreOrOff, Moves, Names, Off, On, Opens, Other, Rewritten,
    Shares, Status, Tells,
};

/// Default conditions of a retry.
const RETRIED: Way = Each(&["connect-failure", "refused-stream"]);

macro_rules! rows {
    ($($($key:literal).+ $(as $id:literal)? : $way:expr;)*) => {
        &[$(Row { path: &[$($key),+], id: rows!(@ $($id)?), way: $way }),*]
    };
    (@ $id:literal) => { Some($id) };
    (@) => { None };
}

/// Returns the table for a kind of policy.
pub(super) fn of_policy(kind: &str) -> &'static Table {
    let tables: &[(&str, &Table)] = &[
        ("rate_limit", &RATE_LIMIT),
        ("timeout", &TIMEOUT),
        ("quota", &QUOTA),
        ("concurrency", &CONCURRENCY),
        ("body_limit", &BODY_LIMIT),
        ("threat", &THREAT),
        ("graphql_guard", &GRAPHQL_GUARD),
        ("llm", &LLM),
        ("ip_filter", &IP_FILTER),
        ("cors", &CORS),
        ("csrf", &CSRF),
        ("authorize", &AUTHORIZE),
        ("forward_auth", &FORWARD_AUTH),
        ("validate", &VALIDATE),
        ("retry", &RETRY),
        ("circuit_breaker", &CIRCUIT_BREAKER),
        ("split", &SPLIT),
        ("mirror", &MIRROR),
        ("rewrite", &REWRITE),
        ("redirect", &REDIRECT),
        ("deprecation", &DEPRECATION),
        ("headers", &HEADERS),
        ("respond", &RESPOND),
    ];
    let found = tables.iter().find(|(known, _)| *known == kind);
    found.map_or(&ANY_POLICY, |(_, table)| table)
}

static ANY_POLICY: Table = Table {
    id: "policy-changed",
    rows: &[],
    groups: &[],
};
static RATE_LIMIT: Table = Table {
    id: "policy-changed",
    rows: rows! {
        "limit" as "rate-changed": More(Unknown); "burst" as "burst-changed": More(Unknown);
        "key" as "limit-key-changed": Either;
    },
    groups: &[],
};
static TIMEOUT: Table = Table {
    id: "policy-changed",
    rows: rows! { "request" as "timeout-changed": More(Unknown); },
    groups: &[],
};
static QUOTA: Table = Table {
    id: "policy-changed",
    rows: rows! {
        "limit": More(Unknown); "window": Less(Unknown);
        "key" as "limit-key-changed": Either;
    },
    groups: &[],
};
static CONCURRENCY: Table = Table {
    id: "policy-changed",
    rows: rows! {
        "limit": More(Unknown); "wait": More(Is(0));
        "key" as "limit-key-changed": Either;
    },
    groups: &[],
};
static BODY_LIMIT: Table = Table {
    id: "policy-changed",
    rows: rows! { "request": More(NoLimit); "response": More(NoLimit); },
    groups: &[],
};
static THREAT: Table = Table {
    id: "policy-changed",
    rows: rows! { "json"."*": More(NoLimit); "xml"."*": More(NoLimit); },
    groups: &[],
};
static GRAPHQL_GUARD: Table = Table {
    id: "policy-changed",
    rows: rows! {
        "depth": More(NoLimit); "aliases": More(NoLimit); "complexity": More(NoLimit);
        "tokens": More(NoLimit); "batch": More(NoLimit);
    },
    groups: &[],
};
static LLM: Table = Table {
    id: "policy-changed",
    rows: rows! { "tokens": More(NoLimit); "max_tokens": More(NoLimit); },
    groups: &[],
};
static IP_FILTER: Table = Table {
    id: "policy-changed",
    rows: rows! { "allow": Access; "deny": Access; },
    groups: &[],
};
static CORS: Table = Table {
    id: "policy-changed",
    rows: rows! {
        "origins": Access; "methods": Access; "headers": Access; "expose": Access;
        "credentials": Access; "private_network": Access; "max_age": More(Is(5_000));
    },
    groups: &[],
};
static CSRF: Table = Table {
    id: "policy-changed",
    rows: rows! { "origins": Access; "mode": Access; },
    groups: &[],
};
static AUTHORIZE: Table = Table {
    id: "policy-changed",
    rows: rows! {
        "scopes": Access; "groups": Access; "roles": Access; "expression": Access;
        "claims": Access; "claims"."*": Access;
    },
    groups: &[],
};
static FORWARD_AUTH: Table = Table {
    id: "policy-changed",
    rows: rows! {
        "url": Access; "upstream": Access; "path": Access; "on_outage": Access;
        "timeout": More(Is(1_000)); "cache": More(Is(0));
    },
    groups: &[],
};
static VALIDATE: Table = Table {
    id: "policy-changed",
    rows: rows! { "request": Access; "response": Access; },
    groups: &[],
};
static RETRY: Table = Table {
    id: "policy-changed",
    rows: rows! {
        "on": RETRIED; "statuses": Each(&[]); "headers": Each(&[]); "idempotency_key": On; "respect_retry_after": Off;
        "attempts": More(Is(1)); "per_try_timeout": More(NoLimit); "max_body": More(Is(65_536));
        "budget"."ratio": More(Is(200_000)); "budget"."min_concurrent": More(Is(3));
        "backoff"."base": Less(Is(25)); "backoff"."max": Less(Is(250));
    },
    groups: &[],
};
static CIRCUIT_BREAKER: Table = Table {
    id: "policy-changed",
    rows: rows! {
        "consecutive_failures": More(NoLimit); "failure_ratio": More(NoLimit);
        "slow_calls"."above": More(NoLimit); "slow_calls"."ratio": More(NoLimit);
        "min_requests": More(Is(20)); "half_open_requests": More(Is(1)); "window": Either;
        "open": Less(Is(30_000)); "open_max": Less(Is(300_000)); "scope": Either;
    },
    groups: &[],
};

static SPLIT: Table = Table {
    id: "traffic-moved",
    rows: rows! { "among" as "traffic-moved": Shares; },
    groups: &[],
};
static MIRROR: Table = Table {
    id: "traffic-moved",
    rows: rows! { "upstream" as "traffic-moved": Moves; "percent" as "policy-changed": More(Is(1_000_000)); "max_body" as "policy-changed": More(Is(65_536)); },
    groups: &[],
};
static REWRITE: Table = Table {
    id: "traffic-moved",
    rows: rows! { "path" as "traffic-moved": Moves; "host" as "traffic-moved": Moves; "method" as "traffic-moved": Moves; "query" as "traffic-moved": Moves; },
    groups: &[],
};
static REDIRECT: Table = Table {
    id: "policy-changed",
    rows: rows! { "scheme" as "traffic-moved": Moves; "host" as "traffic-moved": Moves; "port" as "traffic-moved": Moves; "path" as "traffic-moved": Moves;
        "status" as "traffic-moved": Moves; "keep_query" as "traffic-moved": Moves;
    },
    groups: &[],
};
static DEPRECATION: Table = Table {
    id: "policy-changed",
    rows: rows! { "sunset" as "sunset-changed": Other; },
    groups: &[],
};

/// Fields that send clients to other places: `Location`, `Refresh`, `Alt-Svc`.
static HEADERS: Table = Table {
    id: "policy-changed",
    rows: rows! {
        "response"."remove": Names;
        "response"."set"."location" as "traffic-moved": Moves; "response"."add"."location" as "traffic-moved": Moves;
        "response"."set"."refresh" as "traffic-moved": Moves; "response"."add"."refresh" as "traffic-moved": Moves;
        "response"."set"."alt-svc" as "traffic-moved": Moves; "response"."add"."alt-svc" as "traffic-moved": Moves;
    },
    groups: &[],
};
static RESPOND: Table = Table {
    id: "policy-changed",
    rows: rows! {
        "status": Status;
        "headers"."location" as "traffic-moved": Moves; "headers"."refresh" as "traffic-moved": Moves;
        "headers"."alt-svc" as "traffic-moved": Moves;
    },
    groups: &[],
};

/// Settings of a verifier. Settings that decide access are compared where the verifier is used.
pub(super) static VERIFIER: Table = Table {
    id: "verifier-changed",
    rows: rows! {
        "token_bytes": More(Is(8 << 10)); "timeout": More(Unknown); "cache": More(Unknown);
        "cache_inactive": Less(Unknown); "session"."lifetime": More(Unknown);
    },
    groups: &[],
};

/// Settings of passing a credential on to the upstream.
pub(super) static SCHEME: Table = Table {
    id: "credential-passed-on-changed",
    rows: &[],
    groups: &[],
};

/// Settings of a listener.
pub(super) static LISTENER: Table = Table {
    id: "listener-setting-changed",
    rows: rows! {
        "address" as "listener-address-changed": Other;
        "forward_client_cert" as "client-cert-fields-changed": Other;
        "limits"."connections" as "listener-connections-changed": More(Unknown);
        "limits"."header_bytes" as "listener-header-bytes-changed": More(Unknown);
        "limits"."headers" as "listener-headers-changed": More(Unknown);
        "limits"."header_timeout" as "listener-header-timeout-changed": More(Unknown);
        "limits"."idle_timeout" as "listener-idle-timeout-changed": More(Unknown);
        "limits"."target_bytes" as "listener-target-bytes-changed": More(Unknown);
        "limits"."body_timeout" as "listener-body-timeout-changed": More(Unknown);
        "limits"."min_rate" as "listener-min-rate-changed": Less(Unknown);
        "limits"."stream_idle_timeout" as "listener-stream-idle-timeout-changed": More(Unknown);
        "merge_slashes": Opens;
        "protocol": Access; "tls"."min_version": Access;
        "tls"."client_auth"."mode": Access; "tls"."client_auth"."ca": Access;
        "tls"."client_auth"."crl": Access;
        "proxy_protocol"."timeout": More(Is(3_000)); "proxy_protocol"."from": Access;
    },
    groups: &[],
};

/// Settings of an upstream.
pub(super) static UPSTREAM: Table = Table {
    id: "upstream-setting-changed",
    rows: rows! {
        "timeouts"."connect" as "connect-timeout-changed": More(Unknown);
        "timeouts"."idle" as "idle-timeout-changed": More(Unknown);
        "host_header" as "host-header-changed": Moves; "lb": Moves; "hash_on": Moves;
        "limits"."connections": More(Is(1024)); "limits"."pending": More(Is(1024));
        "limits"."requests": More(Is(1024)); "limits"."retries": More(NoLimit);
        "limits"."response_header_bytes": More(Is(64 << 10));
        "retries"."on": RETRIED; "retries"."statuses": Each(&[]); "retries"."headers": Each(&[]);
        "retries"."idempotency_key": On; "retries"."respect_retry_after": Off;
        "retries"."attempts": More(Is(1)); "retries"."per_try_timeout": More(NoLimit);
        "retries"."max_body": More(Is(65_536)); "retries"."budget"."ratio": More(Is(200_000));
        "retries"."budget"."min_concurrent": More(Is(3));
        "retries"."backoff"."base": Less(Is(25)); "retries"."backoff"."max": Less(Is(250));
        "circuit_breaker"."consecutive_failures": More(NoLimit);
        "circuit_breaker"."failure_ratio": More(NoLimit);
        "circuit_breaker"."slow_calls"."above": More(NoLimit);
        "circuit_breaker"."slow_calls"."ratio": More(NoLimit);
        "circuit_breaker"."min_requests": More(Is(20));
        "circuit_breaker"."half_open_requests": More(Is(1));
        "circuit_breaker"."window": Either; "circuit_breaker"."scope": Either;
        "circuit_breaker"."open": Less(Is(30_000)); "circuit_breaker"."open_max": Less(Is(300_000));
        "health"."active"."interval": More(Is(10_000)); "health"."active"."timeout": More(Is(2_000));
        "health"."active"."unhealthy_after": More(Is(3)); "health"."active"."healthy_after": Less(Is(2));
        "health"."active"."statuses": Each(&["200"]); "health"."active": Either;
        "health"."all_unhealthy": Each(&[]);
        "health"."passive"."min_requests": More(Is(50)); "health"."passive"."interval": Either;
        "health"."passive"."failure_ratio": More(NoLimit);
        "health"."passive"."consecutive_gateway_failures": More(NoLimit);
        "health"."passive"."consecutive_local_failures": More(NoLimit);
        "health"."passive"."success_rate"."min_targets": More(Is(5));
        "health"."passive"."success_rate"."min_requests": More(Is(100));
        "health"."passive"."success_rate"."stdev_factor": MoreOrOff(1_900);
        "proxy_protocol": Tells;
        "health"."passive"."consecutive_5xx": More(Is(5));
        "health"."passive"."ejection": Less(Is(30_000));
        "health"."passive"."max_ejection": Less(Is(300_000));
        "health"."passive"."max_ejected": More(Is(100_000));
        "rewrite_responses": Rewritten;
        "tls"."verify": Access; "tls"."ca": Access; "tls"."sni": Access;
        "tls"."client_cert": Access;
        "targets"."*"."tls": Access; "targets" as "targets-changed": Moves;
        "dns" as "targets-changed": Moves; "file" as "targets-changed": Moves;
    },
    groups: &[CIRCUIT_BREAKERS, ACTIVE_CHECKS, PASSIVE_CHECKS, RETRIES],
};

/// Settings of an operation itself.
pub(super) static OPERATION: Table = Table {
    id: "operation-setting-changed",
    rows: rows! {
        "validate"."request": Access; "validate"."response": Access;
        "cost": Less(Is(1)); "retries"."attempts": More(Is(1)); "idempotent": On;
        "stream": On; "websocket": Opens; "override_fields"."*": Opens;
        "retries"."on": RETRIED; "retries"."statuses": Each(&[]); "retries"."headers": Each(&[]);
        "retries"."idempotency_key": On; "retries"."respect_retry_after": Off;
        "retries"."per_try_timeout": More(NoLimit); "retries"."max_body": More(Is(65_536));
        "retries"."budget"."ratio": More(Is(200_000)); "retries"."budget"."min_concurrent": More(Is(3));
        "retries"."backoff"."base": Less(Is(25)); "retries"."backoff"."max": Less(Is(250));
        "cache"."ttl": More(Unknown); "cache"."max_object": More(Unknown);
        "mirror"."percent": More(Is(1_000_000)); "mirror"."max_body": More(Is(65_536));
        "split" as "traffic-moved": Shares; "mirror" as "traffic-moved": Moves;
        "rewrite" as "traffic-moved": Moves; "deprecated"."sunset" as "sunset-changed": Other;
    },
    groups: &[RETRIES],
};

/// Settings of an API.
pub(super) static API: Table = Table {
    id: "api-setting-changed",
    rows: rows! {
        "schemas"."*"."limits"."depth": More(NoLimit); "schemas"."*"."limits"."items": More(NoLimit);
        "schemas"."*"."limits"."bytes": More(NoLimit);
    },
    groups: &[],
};

/// Settings of the gateway.
pub(super) static GATEWAY: Table = Table {
    id: "gateway-setting-changed",
    rows: &[],
    groups: &[],
};

/// Settings of a consumer. Its rights are compared with its credentials.
pub(super) static CONSUMER: Table = Table {
    id: "consumer-changed",
    rows: rows! { "groups": Access; "plan": Access; "claims": Access; },
    groups: &[],
};

/// True if a policy sends requests, copies or clients to another place.
pub(super) fn moves(kind: &str, settings: &Settings) -> bool {
    let table = of_policy(kind);
    let mut rows = settings.iter().filter_map(|one| table.row(&one.path));
    rows.any(|row| matches!(row.way, Moves | Shares))
}

/// Reports a line for each setting that differs. `subject` names the thing; the path of the setting
/// follows it.
pub(super) fn settings(
    table: &Table,
    subject: &str,
    old: &Settings,
    new: &Settings,
    lines: &mut Vec<Line>,
) {
    if old == new {
        return;
    }
    for group in table.groups {
        let path: Vec<String> = group.path.iter().map(|key| (*key).to_owned()).collect();
        let (was, is) = (together(old, group.path), together(new, group.path));
        let opposite = match group.comes {
            Class::Relax => Class::Tighten,
            _ => Class::Relax,
        };
        let class = match (was.is_null(), is.is_null()) {
            (true, false) => group.comes,
            (false, true) => opposite,
            (true, true) | (false, false) => continue,
        };
        lines.push(Line {
            class,
            id: table.id,
            subject: join(subject, &path),
            old: was,
            new: is,
        });
        let rest = |settings: &Settings| settings.clone().without(|one| is_below(one, group.path));
        return settings(table, subject, &rest(old), &rest(new), lines);
    }
    let mut paths: BTreeMap<&[String], (Option<&Written>, Option<&Written>)> = BTreeMap::new();
    for one in old.iter() {
        paths.entry(&one.path).or_default().0 = Some(&one.value);
    }
    for one in new.iter() {
        paths.entry(&one.path).or_default().1 = Some(&one.value);
    }
    let mut told: Vec<&[&str]> = Vec::new();
    for (path, (was, is)) in paths {
        if was == is {
            continue;
        }
        let row = table.row(path);
        if let Some(row) = row.filter(|row| matches!(row.way, Shares)) {
            if !told.contains(&row.path) {
                told.push(row.path);
                lines.push(Line {
                    class: Class::Moved,
                    id: row.id.unwrap_or(table.id),
                    subject: join(subject, &path[..row.path.len()]),
                    old: shares(old, row.path),
                    new: shares(new, row.path),
                });
            }
            continue;
        }
        let class = match row.map_or(Other, |row| row.way) {
            Access => continue,
            More(absent) => class(amount(was, absent), amount(is, absent)),
            Less(absent) => class(amount(is, absent), amount(was, absent)),
            MoreOrOff(absent) => class(or_off(was, absent), or_off(is, absent)),
            Tells => match (was, is) {
                (None, Some(_)) => Class::Strengthen,
                (Some(_), None) => Class::Weaken,
                _ => Class::Changed,
            },
            Names => destination::of_names(was, is),
            Rewritten => destination::of_names(was, is),
            Status => destination::of_status(was, is),
            On => flag(was, is),
            Off => flag(is, was),
            Opens => match flag(was, is) {
                Class::Relax => Class::Weaken,
                Class::Tighten => Class::Strengthen,
                other => other,
            },
            Each(absent) => each(was, is, absent),
            Either => Class::Relax,
            Moves | Shares => Class::Moved,
            Other => Class::Changed,
        };
        let id = match class {
            Class::Moved if row.is_some_and(|row| matches!(row.way, Names | Status)) => {
                Some("traffic-moved")
            }
            _ => row.and_then(|row| row.id),
        };
        lines.push(Line {
            class,
            id: id.unwrap_or(table.id),
            subject: join(subject, path),
            old: shown(was),
            new: shown(is),
        });
    }
}

/// Settings that are written differently and mean the same.
pub(super) fn restated(subject: &str, old: &Settings, new: &Settings, lines: &mut Vec<Line>) {
    static ALL: Table = Table {
        id: "setting-restated",
        rows: &[],
        groups: &[],
    };
    settings(&ALL, subject, old, new, lines);
}

/// A list of upstreams with their shares for people, `orders weight 9`; null where there is none.
fn shares(settings: &Settings, path: &[&str]) -> Value {
    let mut shares: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for one in settings.iter() {
        let below = one.path.strip_prefix(
            path.iter()
                .map(|key| (*key).to_owned())
                .collect::<Vec<_>>()
                .as_slice(),
        );
        let Some((at, rest)) = below.and_then(<[String]>::split_first) else {
            continue;
        };
        let value = match shown(Some(&one.value)) {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let share = shares.entry(at).or_default();
        match rest {
            [key] if key == "upstream" => share.insert(0, value),
            rest => share.push(format!("{} {value}", rest.join("."))),
        }
    }
    if shares.is_empty() {
        return Value::Null;
    }
    shares.into_values().map(|share| share.join(" ")).collect()
}

/// Joins a subject and a path, such as `upstream orders timeouts.connect`.
fn join(subject: &str, path: &[String]) -> String {
    match (subject, path.join(".")) {
        ("", path) => path,
        (subject, path) if path.is_empty() => subject.to_owned(),
        (subject, path) => format!("{subject} {path}"),
    }
}

impl Table {
    fn row(&self, path: &[String]) -> Option<&Row> {
        let fits = |row: &&Row| {
            let same = row.path.iter().zip(path);
            // A row also covers the keys below its path, except for numbers.
            let length = match row.way {
                Access | Either | Moves | Other | Shares => row.path.len() <= path.len(),
                More(_) | MoreOrOff(_) | Less(_) | On | Off | Opens | Each(_) | Tells | Names
                | Status | Rewritten => row.path.len() == path.len(),
            };
            length
                && same
                    .into_iter()
                    .all(|(known, key)| *known == "*" || known == key)
        };
        self.rows.iter().find(fits)
    }
}

/// As [`amount`], without a limit where the value is 0.
fn or_off(value: Option<&Written>, absent: u128) -> Amount {
    match amount(value, Is(absent)) {
        Amount::Of(0, _) => Amount::Endless,
        amount => amount,
    }
}

/// Amount that a value lets through, as a fraction; [`Amount::Endless`] if there is no limit.
enum Amount {
    Of(u128, u128),
    Endless,
    Unknown,
}

fn amount(value: Option<&Written>, absent: Absent) -> Amount {
    match (value, absent) {
        (None, Is(amount)) => Amount::Of(amount, 1),
        (None, NoLimit) => Amount::Endless,
        (None, Unknown) => Amount::Unknown,
        (Some(Written::One(scalar)), _) => match scalar.amount() {
            Some((amount, per)) => Amount::Of(amount, per),
            None => Amount::Unknown,
        },
        (Some(_), _) => Amount::Unknown,
    }
}

fn class(old: Amount, new: Amount) -> Class {
    match (old, new) {
        (Amount::Of(a, per_a), Amount::Of(b, per_b)) => {
            match (b.saturating_mul(per_a)).cmp(&a.saturating_mul(per_b)) {
                std::cmp::Ordering::Greater => Class::Relax,
                std::cmp::Ordering::Less => Class::Tighten,
                // A default written out, or another spelling of the same value.
                std::cmp::Ordering::Equal => Class::Changed,
            }
        }
        (Amount::Of(..), Amount::Endless) => Class::Relax,
        (Amount::Endless, Amount::Of(..)) => Class::Tighten,
        (Amount::Endless, Amount::Endless) | (Amount::Unknown, _) | (_, Amount::Unknown) => {
            Class::Changed
        }
    }
}

fn flag(old: Option<&Written>, new: Option<&Written>) -> Class {
    let is_on = |value| matches!(value, Some(&Written::One(Scalar::Flag(true))));
    match (is_on(old), is_on(new)) {
        (false, true) => Class::Relax,
        (true, false) => Class::Tighten,
        (true, true) | (false, false) => Class::Changed,
    }
}

/// The words of a set of values; `absent` if there is none.
fn values(value: Option<&Written>, absent: &[&str]) -> BTreeSet<String> {
    match value {
        None => absent.iter().map(|word| (*word).to_owned()).collect(),
        Some(Written::One(one)) => BTreeSet::from([one.to_string()]),
        Some(Written::Set(all) | Written::List(all)) => {
            all.iter().map(ToString::to_string).collect()
        }
        Some(Written::Empty) => BTreeSet::new(),
    }
}

/// The class of another set of values: one that has others instead is wider for somebody.
fn each(old: Option<&Written>, new: Option<&Written>, absent: &[&str]) -> Class {
    let (old, new) = (values(old, absent), values(new, absent));
    match (new.is_subset(&old), old.is_subset(&new)) {
        (true, true) => Class::Changed,
        (true, false) => Class::Tighten,
        (false, true | false) => Class::Relax,
    }
}

/// Value as shown to people. Secrets are shown as references.
pub(super) fn shown(value: Option<&Written>) -> Value {
    let scalar = |scalar: &Scalar| match scalar {
        Scalar::Flag(flag) => Value::Bool(*flag),
        Scalar::Number(number) => (*number).into(),
        other => other.to_string().into(),
    };
    match value {
        None => Value::Null,
        Some(Written::One(one)) => scalar(one),
        Some(Written::Set(all) | Written::List(all)) => all.iter().map(scalar).collect(),
        Some(Written::Empty) => Value::Object(serde_json::Map::new()),
    }
}
