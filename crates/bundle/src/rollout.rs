//! Progressive release: a record names its bundle for a share of the gateways, and for a share of
//! their requests. All other gateways and requests keep the base: the bundle of the channel's last
//! complete record.
//!
//! The shares are determined by a hash of the bundle and of the node's name, or of a property of
//! the request. A gateway or client therefore has the same position in all steps of a release. Each
//! release begins with different gateways and clients. release.md §6.

use std::fmt;

use policy::SecretRef;
use policy::endpoint::Endpoint;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::refused::Refused;
use crate::statement::predicate::{
    self, Guard, OnOutage, Pointer, Record, RecordKind, Rollout, Step, Sticky, Testers, Webhook,
};

/// All nodes or all requests, in parts per million.
pub const ALL_PPM: u32 = predicate::ALL_PPM;
/// Maximum number of steps before the step of all nodes.
pub const STEPS_MAX: usize = 20;

/// Range of [`Guard::requests`].
pub const GUARD_REQUESTS: std::ops::RangeInclusive<u64> = 20..=1_000_000;
/// Range of [`Guard::for_ms`]: 1s to 7 days.
pub const GUARD_FOR_MS: std::ops::RangeInclusive<u64> = 1_000..=604_800_000;
/// Range of [`Webhook::interval_ms`]: 1s to 1 hour.
pub const WEBHOOK_INTERVAL_MS: std::ops::RangeInclusive<u64> = 1_000..=3_600_000;
/// Range of [`Webhook::failures`].
pub const WEBHOOK_FAILURES: std::ops::RangeInclusive<u32> = 1..=100;
/// Maximum length of the URL of a webhook, in bytes.
const URL_BYTES_MAX: usize = 2_048;

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let increases = [
            ("errors", self.errors_ppm),
            ("p99", self.p99_ppm),
            ("refusals", self.refusals_ppm),
        ];
        for (name, increase) in increases {
            if let Some(increase) = increase {
                write!(f, "{name}: {}, ", percent(increase))?;
            }
        }
        write!(f, "requests: {}, for: {}ms", self.requests, self.for_ms)?;
        match &self.webhook {
            Some(webhook) => write!(f, ", webhook: {webhook}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            authorization,
            failures,
            interval_ms,
            on_outage,
            timeout_ms,
            url,
        } = self;
        let on_outage = on_outage.word();
        write!(
            f,
            "{url}, interval: {interval_ms}ms, timeout: {timeout_ms}ms, failures: {failures}, \
             on_outage: {on_outage}"
        )?;
        match authorization {
            Some(secret) => write!(f, ", authorization: {secret}"),
            None => Ok(()),
        }
    }
}

impl OnOutage {
    /// Word in gateway.yaml.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Fail => "fail",
        }
    }
}

impl Webhook {
    fn check(&self) -> Result<(), &'static str> {
        let is_safe = Endpoint::of(&self.url).is_some_and(|url| url.is_safe());
        if !is_safe || self.url.len() > URL_BYTES_MAX {
            return Err("the URL of the guard's webhook is not `https`, and not on loopback");
        }
        if !WEBHOOK_INTERVAL_MS.contains(&self.interval_ms) {
            return Err("the interval of the guard's webhook is not between 1 second and 1 hour");
        }
        if self.timeout_ms == 0 || self.timeout_ms > self.interval_ms {
            return Err("the timeout of the guard's webhook is not between 1ms and its interval");
        }
        if !WEBHOOK_FAILURES.contains(&self.failures) {
            return Err("the failures of the guard's webhook are not between 1 and 100");
        }
        let mut secret = self.authorization.iter();
        if !secret.all(|secret| SecretRef::parse(secret).is_ok()) {
            return Err("`authorization` of the guard's webhook is not a secret reference");
        }
        Ok(())
    }
}

impl Guard {
    /// Allowed increases of all comparisons, in parts per million.
    #[must_use]
    pub const fn increases(&self) -> [Option<u32>; 3] {
        [self.errors_ppm, self.p99_ppm, self.refusals_ppm]
    }

    fn check(&self) -> Result<(), &'static str> {
        let increases = self.increases();
        if increases == [None; 3] && self.webhook.is_none() {
            return Err("the guard compares nothing");
        }
        let is_share = |share: u32| (1..=ALL_PPM).contains(&share);
        if !increases.into_iter().flatten().all(is_share) {
            return Err("an increase of the guard is not between 1 and 1000000 parts per million");
        }
        if !GUARD_REQUESTS.contains(&self.requests) {
            return Err("the guard's number of requests is not between 20 and 1000000");
        }
        if !GUARD_FOR_MS.contains(&self.for_ms) {
            return Err("the guard's time is not between 1 second and 7 days");
        }
        self.webhook.as_ref().map_or(Ok(()), Webhook::check)
    }
}

impl Step {
    /// Share of all requests that the bundle of the step serves. Unit: 10^-12.
    #[must_use]
    pub fn product(self) -> u64 {
        u64::from(self.nodes_ppm) * u64::from(self.traffic_ppm)
    }

    /// True if the nodes of the step serve only a share of their requests with its bundle, or none.
    #[must_use]
    pub const fn splits_requests(self) -> bool {
        self.traffic_ppm < ALL_PPM
    }

    /// True if the bundle of the step serves no request, and only decides a share of them too.
    #[must_use]
    pub const fn is_shadow(self) -> bool {
        self.shadow_ppm > 0
    }

    /// Position of the step in a release. Positions increase: shadow steps come first, and then the
    /// shares that the bundle serves.
    #[must_use]
    pub fn rank(self) -> (u64, u64) {
        let shadow = u64::from(self.nodes_ppm) * u64::from(self.shadow_ppm);
        (self.product(), shadow)
    }

    const fn check(self) -> Result<(), &'static str> {
        if self.nodes_ppm == 0 || self.nodes_ppm > ALL_PPM {
            return Err("the nodes of a step are not between 1 and 1000000 parts per million");
        }
        if self.shadow_ppm > ALL_PPM {
            return Err("the compared requests of a step are more than 1000000 parts per million");
        }
        if self.is_shadow() {
            return match self.traffic_ppm {
                0 => Ok(()),
                _ => Err("a step compares decisions and serves requests"),
            };
        }
        if self.traffic_ppm == 0 || self.traffic_ppm > ALL_PPM {
            return Err("the requests of a step are not between 1 and 999999 parts per million");
        }
        if self.nodes_ppm == ALL_PPM && self.traffic_ppm == ALL_PPM {
            return Err("the last step, all nodes and requests, must not be listed");
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nodes, traffic) = (percent(self.nodes_ppm), percent(self.traffic_ppm));
        if self.is_shadow() {
            let shadow = percent(self.shadow_ppm);
            return match self.nodes_ppm {
                ALL_PPM => write!(f, "shadow {shadow}"),
                _ => write!(f, "nodes {nodes} shadow {shadow}"),
            };
        }
        match (self.nodes_ppm, self.traffic_ppm) {
            (_, ALL_PPM) => f.write_str(&nodes),
            (ALL_PPM, _) => write!(f, "traffic {traffic}"),
            _ => write!(f, "nodes {nodes} traffic {traffic}"),
        }
    }
}

/// Choice of the version for a request while a node serves two versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionChoice {
    /// Property of the request that decides. `None`: the client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// Field by which a request selects its version. `None`: no request can select its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub testers: Option<Testers>,
}

impl VersionChoice {
    /// True if both fields have their defaults.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
        }
    }
}

impl fmt::Display for Testers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "header {}", self.header)
    }
}

impl Rollout {
    /// Creates the first step of a release. `None` without steps: the release is complete at once.
    #[must_use]
    pub fn first<S: Copy + Into<Step>>(
        base: Pointer,
        steps: &[S],
        guard: Option<Guard>,
    ) -> Option<Self> {
        (!steps.is_empty()).then(|| Self {
            base,
            guard,
            step: 1,
            steps: steps.iter().map(|step| (*step).into()).collect(),
            sticky: None,
            testers: None,
        })
    }

    /// The same step of the release, with this choice of the version for a request.
    #[must_use]
    pub fn choosing(self, choice: VersionChoice) -> Self {
        let VersionChoice { sticky, testers } = choice;
        Self {
            sticky,
            testers,
            ..self
        }
    }

    /// Creates the next step. `None`: the next step is that of all nodes.
    #[must_use]
    pub fn next(&self) -> Option<Self> {
        let is_last = self.step as usize >= self.steps.len();
        (!is_last).then(|| Self {
            step: self.step + 1,
            ..self.clone()
        })
    }

    /// Current step. `None`: the record names a step that is not listed, and was not checked.
    #[must_use]
    pub fn current(&self) -> Option<Step> {
        let at = (self.step as usize).checked_sub(1)?;
        self.steps.get(at).copied()
    }

    /// Share of the nodes that run the record's bundle, in parts per million.
    #[must_use]
    pub fn nodes_ppm(&self) -> u32 {
        self.current().map_or(0, |step| step.nodes_ppm)
    }

    /// Share of the requests that the record's bundle serves on the nodes that run it, in parts per
    /// million.
    #[must_use]
    pub fn traffic_ppm(&self) -> u32 {
        self.current().map_or(0, |step| step.traffic_ppm)
    }

    /// Share of the requests that both versions decide on the nodes of the share, in parts per
    /// million. 0: the current step is no shadow step.
    #[must_use]
    pub fn shadow_ppm(&self) -> u32 {
        self.current().map_or(0, |step| step.shadow_ppm)
    }

    /// True if the nodes of the share serve some of their requests, or all of them, with the base.
    #[must_use]
    pub fn splits_requests(&self) -> bool {
        self.current().is_some_and(Step::splits_requests)
    }

    /// True if the nodes of the share serve all requests with the base, and the record's bundle only
    /// decides a share of them too.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.current().is_some_and(Step::is_shadow)
    }

    /// Number of steps, including the step of all nodes and requests.
    #[must_use]
    pub const fn of(&self) -> usize {
        self.steps.len() + 1
    }

    /// True if the node belongs to the share of the step, and therefore runs the record's bundle.
    #[must_use]
    pub fn includes(&self, node: &str, bundle: &Digest) -> bool {
        position_ppm(node, bundle) < self.nodes_ppm()
    }

    /// Checks the step against the record that contains it.
    ///
    /// # Errors
    /// [`Refused::BadRollout`] with the reason.
    pub(crate) fn check(&self, record: &Record) -> Result<(), Refused> {
        let bad = |why| Err(Refused::BadRollout { why });
        if record.kind == RecordKind::Rollback {
            return bad("a rollback has no steps");
        }
        if self.base.serial == 0 || self.base.serial >= record.serial {
            return bad("the serial of the base is not below that of the record");
        }
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX {
            return bad("the number of steps is not between 1 and 20");
        }
        if self.step == 0 || self.step as usize > self.steps.len() {
            return bad("the record names a step that is not listed");
        }
        if let Some(why) = self.steps.iter().find_map(|step| step.check().err()) {
            return bad(why);
        }
        if !self
            .steps
            .is_sorted_by(|one, next| one.rank() < next.rank())
        {
            return bad("the shares of the steps do not increase");
        }
        self.check_choice().or_else(bad)?;
        self.guard
            .as_ref()
            .map_or(Ok(()), |guard| guard.check().or_else(bad))
    }

    fn check_choice(&self) -> Result<(), &'static str> {
        let choice = [self.sticky.is_some(), self.testers.is_some()];
        let splits = self.steps.iter().any(|step| step.splits_requests());
        if choice.contains(&true) && !splits {
            return Err("`sticky` or `testers` is set, but no step has a share of the requests");
        }
        let (sticky, cookie) = match &self.sticky {
            Some(Sticky::Header(name)) => (Some(name), None),
            Some(Sticky::Cookie(name)) => (None, Some(name)),
            None => (None, None),
        };
        let testers = self.testers.as_ref().map(|testers| &testers.header);
        if !sticky
            .into_iter()
            .chain(testers)
            .all(|name| is_field_name(name))
        {
            return Err("the name of a request field is not valid");
        }
        if sticky
            .into_iter()
            .chain(testers)
            .any(|name| unsuitable_field(name).is_some())
        {
            return Err("the version depends on a field that does not identify a client");
        }
        if !cookie.is_none_or(|name| is_token(name)) {
            return Err("the name of a cookie is not valid");
        }
        Ok(())
    }
}

/// Reason why a request field cannot choose the version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsuitable {
    /// The field concerns the connection or the message, not the client.
    Connection,
    /// The field has all cookies of the client, and changes with each of them.
    Cookies,
    /// The field is a credential. It changes with each new token.
    Credential,
}

/// Reason why the request field with this name, in lower case, cannot choose the version of a
/// request. `None`: the field can choose the version.
#[must_use]
pub fn unsuitable_field(name: &str) -> Option<Unsuitable> {
    match name {
        "connection" | "content-length" | "expect" | "host" | "http2-settings" | "keep-alive"
        | "proxy-connection" | "te" | "trailer" | "transfer-encoding" | "upgrade" => {
            Some(Unsuitable::Connection)
        }
        "cookie" => Some(Unsuitable::Cookies),
        "authorization" | "proxy-authorization" => Some(Unsuitable::Credential),
        _ => None,
    }
}

/// Maximum length of the name of a request field or a cookie in a step, in bytes.
const NAME_MAX: usize = 256;

/// True for a name of a request field in lower case.
#[must_use]
pub fn is_field_name(name: &str) -> bool {
    is_token(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// True for a token (RFC 9110 §5.6.2) of at most 256 bytes, such as the name of a cookie.
#[must_use]
pub fn is_token(name: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_tchar)
}

/// Position of a node in the releases of a bundle: 0 to 999,999.
#[must_use]
pub fn position_ppm(node: &str, bundle: &Digest) -> u32 {
    Positions::of(bundle).position_ppm(node.as_bytes())
}

/// Positions of nodes and requests in the releases of a bundle.
#[derive(Clone, Debug)]
pub struct Positions(Sha256);

impl Positions {
    /// Creates the positions in the releases of a bundle.
    #[must_use]
    pub fn of(bundle: &Digest) -> Self {
        let mut hash = Sha256::new();
        hash.update(bundle.to_string());
        hash.update(b"\n");
        Self(hash)
    }

    /// Position of a name or key: 0 to 999,999. Scales the first 8 bytes of a SHA-256 to parts per
    /// million. The hashed text is the bundle's id, a line feed and the key. Allocates no memory.
    #[must_use]
    pub fn position_ppm(&self, key: &[u8]) -> u32 {
        let mut hash = self.0.clone();
        hash.update(key);
        let first = hash.finalize()[..8].try_into();
        let first = u64::from_be_bytes(first.expect("a SHA-256 value has 32 bytes"));
        let scaled = (u128::from(first) * u128::from(ALL_PPM)) >> 64;
        u32::try_from(scaled).expect("the product of a fraction and a million fits")
    }
}

/// Text of a share for people, such as `5%` or `0.5%`.
#[must_use]
pub fn percent(ppm: u32) -> String {
    let (whole, rest) = (ppm / 10_000, ppm % 10_000);
    if rest == 0 {
        return format!("{whole}%");
    }
    let digits = format!("{rest:04}");
    format!("{whole}.{}%", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(step: u32, steps: &[u32]) -> Rollout {
        Rollout {
            base: Pointer {
                digest: Digest::of(b"base"),
                serial: 1,
            },
            guard: None,
            step,
            steps: steps.iter().map(|share| Step::from(*share)).collect(),
            sticky: None,
            testers: None,
        }
    }

    #[test]
    fn share_matches_its_nodes_within_one_percent() {
        let bundle = Digest::of(b"bundle");
        for share in [10_000, 50_000, 250_000, 500_000, 900_000] {
            let rollout = steps(1, &[share]);
            let nodes = (0..10_000).map(|node| format!("gw-{node}.example"));
            let inside = nodes.filter(|node| rollout.includes(node, &bundle)).count();
            let expected = share as usize / 100;
            assert!(inside.abs_diff(expected) <= 100, "{share}: {inside}");
        }
    }

    #[test]
    fn node_stays_in_the_share_over_all_steps() {
        let bundle = Digest::of(b"bundle");
        let [one, two] = [1, 2].map(|step| steps(step, &[50_000, 300_000]));
        let nodes: Vec<String> = (0..2_000).map(|node| format!("n{node}")).collect();
        let inside = |rollout: &Rollout, bundle| -> Vec<&String> {
            let nodes = nodes.iter();
            nodes
                .filter(|node| rollout.includes(node, bundle))
                .collect()
        };
        let (few, many) = (inside(&one, &bundle), inside(&two, &bundle));
        assert!(few.len() < many.len());
        assert!(few.iter().all(|node| many.contains(node)));
        assert_ne!(few, inside(&one, &Digest::of(b"another")));
    }

    /// Expected value: `printf '%s\n%s' sha256:$(printf bundle | sha256sum | cut -c1-64) gw-1 |
    /// sha256sum`, the first 16 digits as a fraction of 2^64.
    #[test]
    fn position_is_that_of_the_documented_hash() {
        assert_eq!(position_ppm("gw-1", &Digest::of(b"bundle")), 842_565);
    }

    #[test]
    fn next_step_leads_to_all_nodes() {
        let first = Rollout::first(steps(1, &[]).base, &[50_000, 500_000], None).unwrap();
        assert_eq!((first.step, first.nodes_ppm(), first.of()), (1, 50_000, 3));
        let second = first.next().unwrap();
        assert_eq!((second.step, second.nodes_ppm()), (2, 500_000));
        assert_eq!(second.next(), None);
        assert_eq!(Rollout::first::<Step>(first.base, &[], None), None);
    }

    #[test]
    fn request_stays_with_its_version_over_all_steps() {
        let positions = Positions::of(&Digest::of(b"bundle"));
        let keys = (0..10_000).map(|user| format!("user-{user}"));
        let places: Vec<u32> = keys
            .map(|key| positions.position_ppm(key.as_bytes()))
            .collect();
        for share in [10_000, 100_000, 500_000] {
            let inside = places.iter().filter(|place| **place < share).count();
            let expected = share as usize / 100;
            assert!(inside.abs_diff(expected) <= 150, "{share}: {inside}");
        }
    }

    #[test]
    fn steps_are_written_in_one_way() {
        let written = |nodes_ppm, traffic_ppm, shadow_ppm| {
            let step = Step {
                nodes_ppm,
                traffic_ppm,
                shadow_ppm,
            };
            let text = serde_json::to_string(&step).unwrap();
            assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step);
            (text, step.to_string())
        };
        let of = |text: &str, shown: &str| (text.to_owned(), shown.to_owned());
        assert_eq!(written(50_000, ALL_PPM, 0), of("50000", "5%"));
        assert_eq!(
            written(ALL_PPM, 100_000, 0),
            of(r#"{"traffic":100000}"#, "traffic 10%")
        );
        assert_eq!(
            written(200_000, 100_000, 0),
            of(
                r#"{"nodes":200000,"traffic":100000}"#,
                "nodes 20% traffic 10%"
            )
        );
        assert_eq!(
            written(ALL_PPM, 0, 100_000),
            of(r#"{"shadow":100000}"#, "shadow 10%")
        );
        assert_eq!(
            written(200_000, 0, ALL_PPM),
            of(
                r#"{"nodes":200000,"shadow":1000000}"#,
                "nodes 20% shadow 100%"
            )
        );
        for unknown in [
            r#"{"traffic":1,"shadow":1}"#,
            r#"{"traffic":1,"for":2}"#,
            r#"{"nodes":5}"#,
            "\"5%\"",
            "-1",
        ] {
            assert!(serde_json::from_str::<Step>(unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn percentages_have_no_needless_digits() {
        let shares = [
            (50_000, "5%"),
            (5_000, "0.5%"),
            (1, "0.0001%"),
            (999_900, "99.99%"),
        ];
        for (ppm, text) in shares {
            assert_eq!(percent(ppm), text);
        }
    }
}
