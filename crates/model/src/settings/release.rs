//! Reader of `release` of gateway.yaml: checks of store and channel, steps and guard of progressive
//! releases.

use bundle::rollout::{ALL_PPM, GUARD_FOR_MS, STEPS_MAX, percent};
use bundle::statement::predicate::Guard;
use diag::shape::{self, BAD_VALUE};
use diag::{Diagnostic, NodeRef, Sink, read};
use vocab::release_lints::{RELEASE_GUARD, RELEASE_STEPS};

/// Default of `release.guard.requests`.
const REQUESTS: i64 = 200;
/// Default of `release.guard.for`: 10 minutes.
const FOR_MS: u64 = 600_000;

/// Text of a key of `release`, or its default.
pub(super) fn text(release: Option<NodeRef<'_>>, key: &str, default: &str) -> String {
    let written = release.and_then(|release| release.get(key)?.scalar_text());
    written.unwrap_or(default).to_owned()
}

/// Checks `release` of gateway.yaml: the store and the channel.
pub(super) fn check(release: Option<NodeRef<'_>>, sink: &mut Sink) {
    if let Some(store) = release.and_then(|release| release.get("store"))
        && store.scalar_text().is_some_and(|text| text.contains("://"))
    {
        let help = "write the path of a folder, relative to gateway.yaml";
        sink.push(shape::not_available(store.span(), "a store at a URL", help));
    }
    if let Some(channel) = release.and_then(|release| release.get("channel"))
        && let Some(Err(wrong)) = channel
            .scalar_text()
            .map(str::parse::<bundle::name::ChannelName>)
    {
        sink.push(
            Diagnostic::new(&BAD_VALUE, channel.span(), "this cannot name a channel")
                .help(wrong.to_string()),
        );
    }
}

/// Reads the shares of the steps in parts per million. Empty without steps. Reports steps that do
/// not increase. Values that are no percentages were already reported.
pub(super) fn steps(release: Option<NodeRef<'_>>, sink: &mut Sink) -> Vec<u32> {
    let list = release.and_then(|release| release.get("steps"));
    let mut steps: Vec<u32> = Vec::new();
    for item in list.into_iter().flat_map(NodeRef::items) {
        let Some(node) = item.get("nodes") else {
            continue;
        };
        let Ok(share) = read::percent_ppm(node) else {
            continue;
        };
        let wrong = match steps.last() {
            _ if share == 0 => Some("a share of no gateway".to_owned()),
            _ if share >= ALL_PPM => Some("the step of all gateways is not listed".to_owned()),
            Some(before) if *before >= share => Some(format!(
                "this share is not greater than {}, the share of the step before",
                percent(*before)
            )),
            _ if steps.len() == STEPS_MAX => Some(format!("more than {STEPS_MAX} steps")),
            _ => None,
        };
        match wrong {
            None => steps.push(share),
            Some(wrong) => {
                let help = "write increasing shares between `0%` and `100%`, such as `[{nodes: 5%}, {nodes: 50%}]`; all gateways follow as the last step";
                sink.push(Diagnostic::new(&RELEASE_STEPS, node.span(), wrong).help(help));
            }
        }
    }
    steps
}

/// Reads the guard. `None` without a guard. Reports a guard without effect; `steps` are the steps
/// of the release.
pub(super) fn guard(release: Option<NodeRef<'_>>, steps: &[u32], sink: &mut Sink) -> Option<Guard> {
    let node = release?.get("guard")?;
    let increase = |key: &str| node.get(key).and_then(|node| read::percent_ppm(node).ok());
    let requests = node.get("requests");
    let requests = requests.and_then(|node| read::integer(node, 20, 1_000_000).ok());
    let time = node.get("for").and_then(|node| read::timeout_ms(node).ok());
    let guard = Guard {
        errors_ppm: increase("errors"),
        for_ms: time.unwrap_or(FOR_MS),
        p99_ppm: increase("p99"),
        requests: requests.unwrap_or(REQUESTS).unsigned_abs(),
    };
    let wrong = if steps.is_empty() {
        ("a guard without steps", "write `steps`, or remove `guard`")
    } else if (guard.errors_ppm, guard.p99_ppm) == (None, None) {
        (
            "a guard that compares nothing",
            "write `errors: 1%`, `p99: 50%` or both",
        )
    } else if guard.errors_ppm == Some(0) || guard.p99_ppm == Some(0) {
        (
            "an increase of 0 %",
            "write a greater increase, such as `errors: 1%`",
        )
    } else if !GUARD_FOR_MS.contains(&guard.for_ms) {
        (
            "a time outside of `1s` to `168h`",
            "write a time such as `for: 10m`",
        )
    } else {
        return Some(guard);
    };
    sink.push(Diagnostic::new(&RELEASE_GUARD, node.span(), wrong.0).help(wrong.1));
    None
}
