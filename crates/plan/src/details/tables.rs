//! Tables of the settings of each kind of definition. A row defines the class of a change of the
//! setting.
//!
//! The class may depend on the values, for example on the direction in which a number changes. For
//! settings that affect access, the row refers to the access comparison. A setting without a row is
//! reported as `changed`.

use policy::change_rows;
use policy::changes::Absent::{Is, NoLimit, Unknown};
use policy::changes::Direction::{
    self, Access, Breaks, Callers, Costs, Each, Either, Hides, Holds, Identifies, Less, More,
    MoreOrOff, Moves, Names, Normalises, Off, On, Opens, Other, Outage, Protects, Restarts,
    Rewritten, Serves, Shares, Status, Stored, Until,
};
use policy::changes::{Changes, Row};

use super::groups::{ACTIVE_CHECKS, CIRCUIT_BREAKERS, Group, PASSIVE_CHECKS, RETRIES};

/// Table of the settings of one kind of definition.
pub(super) struct Table {
    /// Id of a change whose row has no id.
    pub(super) id: &'static str,
    /// Rows of the known settings, by their paths. In a path, `*` matches one key.
    rows: &'static [Row],
    /// Paths of settings that are enabled and disabled together.
    pub(super) groups: &'static [Group],
}

/// Comparison of `retries.on`: each additional condition causes more retries. The argument lists
/// the conditions that apply if the key is absent.
const RETRIED: Direction = Each(&["connect-failure", "refused-stream"]);

/// Returns the table for a kind of policy.
pub(super) fn of_policy(kind: &str) -> Table {
    let &Changes { id, rows } = policy::changes(kind);
    let groups = &[];
    Table { id, rows, groups }
}

/// Settings of a verifier. Settings that affect access are compared where the verifier is used.
pub(super) static VERIFIER: Table = Table {
    id: "verifier-changed",
    rows: change_rows! {
        "token_bytes": More(Is(8 << 10)); "timeout": More(Is(2_000)); "cache": More(Unknown);
        "cache_inactive": Less(Unknown); "session"."lifetime": More(Unknown);
        "resource_metadata": Moves;
        "store"."on_outage": Outage; "store"."*": Restarts; "store": Stored;
    },
    groups: &[],
};

/// Settings of a listener.
pub(super) static LISTENER: Table = Table {
    id: "listener-setting-changed",
    rows: change_rows! {
        "address" as "listener-address-changed": Other;
        "forward_client_cert" as "client-cert-fields-changed": Other;
        "forwarding_fields": Access;
        "limits"."connections" as "listener-connections-changed": More(Unknown);
        "limits"."header_bytes" as "listener-header-bytes-changed": More(Unknown);
        "limits"."headers" as "listener-headers-changed": More(Unknown);
        "limits"."header_timeout" as "listener-header-timeout-changed": More(Unknown);
        "limits"."idle_timeout" as "listener-idle-timeout-changed": More(Unknown);
        "limits"."target_bytes" as "listener-target-bytes-changed": More(Unknown);
        "limits"."body_timeout" as "listener-body-timeout-changed": More(Unknown);
        "limits"."min_rate" as "listener-min-rate-changed": Less(Unknown);
        "limits"."stream_idle_timeout" as "listener-stream-idle-timeout-changed": More(Unknown);
        "merge_slashes": Normalises;
        "protocol": Access; "tls"."min_version": Access;
        "tls"."certificates"."*"."key": Access; "tls"."certificates"."*"."cert": Other;
        "tls"."client_auth"."mode": Access; "tls"."client_auth"."ca": Access;
        "tls"."client_auth"."crl": Access;
        "proxy_protocol"."timeout": More(Is(3_000)); "proxy_protocol"."from": Access;
    },
    groups: &[],
};

/// Settings of an upstream. If `consecutive_local_failures` is not set, failed connections count
/// for `consecutive_5xx`. The table therefore gives both keys the default of `consecutive_5xx`, 5.
pub(super) static UPSTREAM: Table = Table {
    id: "upstream-setting-changed",
    rows: change_rows! {
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
        "health"."active"."statuses": Each(&["200"]);
        "health"."active"."path" as "traffic-moved": Moves; "health"."active"."host" as "traffic-moved": Moves;
        "health"."active"."headers" as "traffic-moved": Moves; "health"."active": Either;
        "health"."all_unhealthy": Each(&[]);
        "health"."passive"."min_requests": More(Is(50)); "health"."passive"."interval": Either;
        "health"."passive"."failure_ratio": More(NoLimit);
        "health"."passive"."consecutive_gateway_failures": More(NoLimit);
        "health"."passive"."consecutive_local_failures": More(Is(5));
        "health"."passive"."success_rate"."min_targets": More(Is(5));
        "health"."passive"."success_rate"."min_requests": More(Is(100));
        "health"."passive"."success_rate"."stdev_factor": MoreOrOff(1_900);
        "proxy_protocol": Identifies;
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
    rows: change_rows! {
        "validate"."request": Access; "validate"."response": Access;
        "undeclared_params": Access;
        "cost": Less(Is(1)); "retries"."attempts": More(Is(1)); "idempotent": On;
        "stream": On; "websocket": Serves; "streams": Protects; "override_fields"."*": Opens;
        "parameters"."header"."*"."forward": Access; "parameters"."*"."*"."forward": Protects;
        "parameters"."*"."*"."log": Hides;
        "redact"."*": Protects;
        "retries"."on": RETRIED; "retries"."statuses": Each(&[]); "retries"."headers": Each(&[]);
        "retries"."idempotency_key": On; "retries"."respect_retry_after": Off;
        "retries"."per_try_timeout": More(NoLimit); "retries"."max_body": More(Is(65_536));
        "retries"."budget"."ratio": More(Is(200_000)); "retries"."budget"."min_concurrent": More(Is(3));
        "retries"."backoff"."base": Less(Is(25)); "retries"."backoff"."max": Less(Is(250));
        "cache"."ttl": More(Unknown); "cache"."max_object": More(Unknown);
        "mirror"."percent" as "traffic-moved": Moves; "mirror"."max_body": More(Is(65_536));
        "split" as "traffic-moved": Shares; "mirror" as "traffic-moved": Moves;
        "rewrite" as "traffic-moved": Moves; "deprecated"."sunset" as "sunset-changed": Until;
    },
    groups: &[RETRIES],
};

/// Settings of an API.
pub(super) static API: Table = Table {
    id: "api-setting-changed",
    rows: change_rows! {
        "schemas"."*"."limits"."depth": More(NoLimit); "schemas"."*"."limits"."items": More(NoLimit);
        "schemas"."*"."limits"."bytes": More(NoLimit);
        "errors"."*"."status": Breaks;
    },
    groups: &[],
};

/// Settings of the whole gateway.
pub(super) static GATEWAY: Table = Table {
    id: "gateway-setting-changed",
    rows: change_rows! { "errors"."*"."status": Breaks; },
    groups: &[],
};

/// Table for settings that are written differently but have the same effect.
pub(super) static RESTATED: Table = Table {
    id: "setting-restated",
    rows: &[],
    groups: &[],
};

/// Settings of a consumer. Claims, groups and plan are compared together with the credentials.
pub(super) static CONSUMER: Table = Table {
    id: "consumer-changed",
    rows: change_rows! { "groups": Access; "plan": Access; "claims": Access; },
    groups: &[],
};

impl Table {
    /// Row of the table for the setting at a path.
    pub(super) fn row(&self, path: &[String]) -> Option<&Row> {
        let fits = |row: &&Row| {
            let same = row.path.iter().zip(path);
            // A row also covers the keys below its path, unless it compares a single value.
            let length = match row.direction {
                Access | Either | Moves | Other | Shares => row.path.len() <= path.len(),
                More(_) | MoreOrOff(_) | Less(_) | Holds(_) | On | Off | Opens | Normalises
                | Serves | Breaks | Each(_) | Protects | Identifies | Hides | Names | Status
                | Rewritten | Until | Callers | Costs | Stored | Restarts | Outage => {
                    row.path.len() == path.len()
                }
            };
            length
                && same
                    .into_iter()
                    .all(|(known, key)| *known == "*" || known == key)
        };
        self.rows.iter().find(fits)
    }
}
