//! Reader of `release` of gateway.yaml: checks of store and channel; steps, choice of the version
//! and guard of progressive releases; freeze windows.

use bundle::rollout::{
    ALL_PPM, GUARD_FOR_MS, STEPS_MAX, Unsuitable, VersionChoice, percent, unsuitable_field,
};
use bundle::statement::predicate::{Guard, Step, Sticky, Testers};
use diag::shape::{self, BAD_VALUE};
use diag::{Diagnostic, NodeRef, Sink, read};
use vocab::release_lints::{RELEASE_FREEZE, RELEASE_GUARD, RELEASE_STEPS};

use super::guard_webhook;
use crate::freeze::{self, Boundary, DAYS, FreezeWindow};

/// Default of `release.guard.requests`.
const REQUESTS: i64 = 200;
/// Default of `release.guard.for`: 10 minutes.
const FOR_MS: u64 = 600_000;

/// Text of a key of `release`. `default` if the key is absent.
pub(super) fn text(release: Option<NodeRef<'_>>, key: &str, default: &str) -> String {
    let written = release.and_then(|release| release.get(key)?.scalar_text());
    written.unwrap_or(default).to_owned()
}

/// Checks `release` of gateway.yaml: the store and the channel. Returns the steps.
pub(super) fn checked_steps(release: Option<NodeRef<'_>>, sink: &mut Sink) -> Vec<Step> {
    check(release, sink);
    steps(release, sink)
}

fn check(release: Option<NodeRef<'_>>, sink: &mut Sink) {
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

/// Reads the steps. Empty without steps. Reports steps that do not increase. Values that are no
/// percentages were already reported.
fn steps(release: Option<NodeRef<'_>>, sink: &mut Sink) -> Vec<Step> {
    let list = release.and_then(|release| release.get("steps"));
    let mut steps: Vec<Step> = Vec::new();
    for item in list.into_iter().flat_map(NodeRef::items) {
        let Some(step) = step(item) else {
            continue;
        };
        let wrong = match steps.last() {
            _ if step.rank() == (0, 0) => Some("the share is 0 %".to_owned()),
            _ if [step.nodes_ppm, step.traffic_ppm, step.shadow_ppm]
                .into_iter()
                .any(|share| share > ALL_PPM) =>
            {
                Some("the share is more than 100 %".to_owned())
            }
            _ if step == Step::from(ALL_PPM) => {
                Some("the last step, all gateways and requests, must not be listed".to_owned())
            }
            Some(before) if step.is_shadow() && !before.is_shadow() => {
                Some("a step with `shadow` follows a step without it".to_owned())
            }
            Some(before) if before.rank() >= step.rank() => Some(format!(
                "this share is not greater than {}, the share of the step before",
                share(*before)
            )),
            _ if steps.len() == STEPS_MAX => Some(format!("more than {STEPS_MAX} steps")),
            _ => None,
        };
        match wrong {
            None => steps.push(step),
            Some(wrong) => {
                let help = "write increasing shares between `0%` and `100%`, such as `[{nodes: 5%}, {traffic: 10%}, {traffic: 50%}]`, those with `shadow` first; all gateways and requests follow as the last step";
                let node = item.get("nodes").or_else(|| item.get("traffic"));
                let node = node.or_else(|| item.get("shadow"));
                let span = node.map_or(item.span(), NodeRef::span);
                sink.push(Diagnostic::new(&RELEASE_STEPS, span, wrong).help(help));
            }
        }
    }
    steps
}

/// Reads a step. `None` if the step has no share, or if a value is no percentage.
fn step(item: NodeRef<'_>) -> Option<Step> {
    let share = |key: &str| item.get(key).map(|node| read::percent_ppm(node).ok());
    let (nodes, traffic, shadow) = (share("nodes"), share("traffic"), share("shadow"));
    nodes.or(traffic).or(shadow)?;
    let all = if shadow.is_some() { 0 } else { ALL_PPM };
    Some(Step {
        nodes_ppm: nodes.unwrap_or(Some(ALL_PPM))?,
        traffic_ppm: traffic.unwrap_or(Some(all))?,
        shadow_ppm: shadow.unwrap_or(Some(0))?,
    })
}

/// Share of all requests in a step, for a message. Also names both factors if neither is 100 %.
fn share(step: Step) -> String {
    let (served, compared) = step.rank();
    let product = served.max(compared) / u64::from(ALL_PPM);
    let product = percent(u32::try_from(product).unwrap_or(ALL_PPM));
    match (step.nodes_ppm, step.traffic_ppm.max(step.shadow_ppm)) {
        (ALL_PPM, _) | (_, ALL_PPM) => product,
        (nodes, traffic) => format!("{product} ({} of {})", percent(traffic), percent(nodes)),
    }
}

/// Reads how a request's version is chosen. Reports a choice without effect, and fields that cannot
/// choose; `steps` are the steps of the release.
pub(super) fn choice(
    release: Option<NodeRef<'_>>,
    steps: &[Step],
    sink: &mut Sink,
) -> VersionChoice {
    let node = |key: &str| release.and_then(|release| release.get(key));
    let (sticky, testers) = (node("sticky"), node("testers"));
    let text = |of: Option<NodeRef<'_>>, key: &str| {
        let text = of?.get(key)?.scalar_text()?;
        Some(text.to_owned())
    };
    let field = |of, key| text(of, key).map(|name| name.to_ascii_lowercase());
    let splits = steps.iter().any(|step| step.splits_requests());
    for node in sticky.into_iter().chain(testers).filter(|_| !splits) {
        let wrong =
            "`sticky` and `testers` have no effect without a step with `traffic` or `shadow`";
        let help = "write a step such as `{traffic: 10%}`, or remove this key";
        sink.push(Diagnostic::new(&RELEASE_STEPS, node.span(), wrong).help(help));
    }
    for (of, example) in [(sticky, "x-user"), (testers, "x-release")] {
        check_field(of, example, sink);
    }
    let header = field(sticky, "header").map(Sticky::Header);
    VersionChoice {
        sticky: header.or_else(|| text(sticky, "cookie").map(Sticky::Cookie)),
        testers: field(testers, "header").map(|header| Testers { header }),
    }
}

/// Reports the `header` of `sticky` or `testers` if the field cannot choose the version. `example`:
/// name of a field that can.
fn check_field(of: Option<NodeRef<'_>>, example: &str, sink: &mut Sink) {
    let Some(node) = of.and_then(|of| of.get("header")) else {
        return;
    };
    let name = node.scalar_text().map(str::to_ascii_lowercase);
    let Some(name) = name else { return };
    let Some(why) = unsuitable_field(&name) else {
        return;
    };
    let (why, other) = match why {
        Unsuitable::Connection => ("it does not identify a client", ""),
        Unsuitable::Cookies => (
            "it has all cookies of the client",
            ", or `sticky: {cookie: NAME}` with the name of one cookie",
        ),
        Unsuitable::Credential => ("it changes with each new token", ", or remove the key"),
    };
    let wrong = format!("the field `{name}` cannot choose the version of a request: {why}");
    let help = format!("write a field of your own, such as `header: {example}`{other}");
    sink.push(Diagnostic::new(&RELEASE_STEPS, node.span(), wrong).help(help));
}

/// Reads the guard. `None` without a guard. Reports a guard without effect; `steps` are the steps
/// of the release.
pub(super) fn guard(
    release: Option<NodeRef<'_>>,
    steps: &[Step],
    sink: &mut Sink,
) -> Option<Guard> {
    let node = release?.get("guard")?;
    let increase = |key: &str| node.get(key).and_then(|node| read::percent_ppm(node).ok());
    let requests = node.get("requests");
    let requests = requests.and_then(|node| read::integer(node, 20, 1_000_000).ok());
    let time = node.get("for").and_then(|node| read::timeout_ms(node).ok());
    let guard = Guard {
        errors_ppm: increase("errors"),
        for_ms: time.unwrap_or(FOR_MS),
        p99_ppm: increase("p99"),
        refusals_ppm: increase("refusals"),
        requests: requests.unwrap_or(REQUESTS).unsigned_abs(),
        webhook: node.get("webhook").and_then(guard_webhook::read),
    };
    let wrong = if steps.is_empty() {
        ("a guard without steps", "write `steps`, or remove `guard`")
    } else if steps.iter().all(|step| step.is_shadow()) {
        (
            "a guard without a step that serves requests",
            "write a step such as `{traffic: 10%}`, or remove `guard`",
        )
    } else if guard.increases() == [None; 3] && guard.webhook.is_none() {
        (
            "a guard that compares nothing",
            "write `errors: 1%`, `p99: 50%`, `refusals: 5%` or `webhook: {url: …}`",
        )
    } else if guard.increases().contains(&Some(0)) {
        (
            "an increase of 0 %",
            "write a greater increase, such as `errors: 1%`",
        )
    } else if !GUARD_FOR_MS.contains(&guard.for_ms) {
        (
            "a time outside of `1s` to `168h`",
            "write a time such as `for: 10m`",
        )
    } else if let Some(wrong) = guard.webhook.as_ref().and_then(guard_webhook::wrong_time) {
        wrong
    } else {
        if let (Some(webhook), Some(node)) = (&guard.webhook, node.get("webhook")) {
            guard_webhook::check_failures(webhook, guard.for_ms, node, sink);
        }
        return Some(guard);
    };
    sink.push(Diagnostic::new(&RELEASE_GUARD, node.span(), wrong.0).help(wrong.1));
    None
}

/// Reads the freeze windows. Reports windows that are not valid, and leaves them out.
pub(super) fn freeze(release: Option<NodeRef<'_>>, sink: &mut Sink) -> Vec<FreezeWindow> {
    let list = release.and_then(|release| release.get("freeze"));
    let items = list.into_iter().flat_map(NodeRef::items);
    let windows = items.filter_map(|item| match window(item) {
        Ok(window) => window,
        Err((key, wrong, help)) => {
            let span = item.get(key).map_or(item.span(), NodeRef::span);
            sink.push(Diagnostic::new(&RELEASE_FREEZE, span, wrong).help(help));
            None
        }
    });
    windows.collect()
}

/// Reads a freeze window. `None` if a value has no valid form, which was already reported. An error
/// has the key, the problem, and what to write instead.
fn window(
    item: NodeRef<'_>,
) -> Result<Option<FreezeWindow>, (&'static str, &'static str, &'static str)> {
    let boundary = |key: &'static str| {
        let text = item.get(key).and_then(|node| node.scalar_text());
        // Another form was already reported.
        let has_form = |byte: u8| byte.is_ascii_digit() || b"-:T".contains(&byte);
        let text = text.filter(|text| text.bytes().all(has_form));
        let help = "write a date and time that exist, such as `2026-12-20` or `18:00`";
        text.map(|text| Boundary::parse(text).ok_or((key, "this time does not exist", help)))
            .transpose()
    };
    let both = (boundary("from")?, boundary("to")?);
    let names = item.get("days").into_iter().flat_map(NodeRef::items);
    let names = names.filter_map(|node| node.scalar_text());
    let days = names.filter_map(|name| DAYS.iter().find(|(known, _)| *known == name));
    let days = days.map(|(_, day)| *day).collect();
    let zone = text(Some(item), "zone", "UTC");
    let reason = text(Some(item), "reason", "");
    let Some(zone) = freeze::zone(&zone).filter(|_| !reason.is_empty()) else {
        return Ok(None);
    };
    let window = FreezeWindow::new(both, days, zone, reason);
    window
        .map(Some)
        .map_err(|(wrong, help)| ("from", wrong, help))
}
