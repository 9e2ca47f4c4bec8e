//! Comparison of response fields that open an operation to web pages of other origins or protect
//! its callers, as `headers` and `respond` policies leave them.
//!
//! Each field has a [`Rule`]. For a field that opens access, each additional value admits more. For
//! a field that protects, each missing value admits more. Any other field admits more if a policy
//! no longer removes the upstream's value. A field whose value is a secret that clients did not
//! receive in this field before admits more, whatever its name. The table for users is in
//! docs/plan.md, *Fields of responses*.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use policy::declared::{Scalar, Settings, Value};

use super::spelling::{
    attachment, canonical, cross_domain, embedder, expired, filtered, frames, isolated, isolation,
    nosniff, off, present, referrer, same_origin, seconds, stored, unindexed, unopened,
};
use super::verifier::value_text;
use super::{Access, Difference, Verdict};

/// Meaning of the values of a field.
#[derive(Clone, Copy)]
enum Rule {
    /// Each additional member admits more. `*` admits everything.
    Opens,
    /// `true` admits more. Other values have no effect.
    Allows,
    /// Each additional value that clients receive admits more access.
    Adds,
    /// Like [`Rule::Adds`]. The upstream's own value may also withdraw access, such as a cookie
    /// that ends a session.
    AddsOrEnds,
    /// Like [`Rule::Adds`]. Compared only if a credential is required.
    Shares,
    /// A greater strength protects more. Strength 0 is like a missing field. The text is a value
    /// that protects at least as much as every other value. `None`: there is no such value, and the
    /// upstream's own value may protect more than the gateway's value.
    Protects(fn(&str) -> u64, Option<&'static str>),
    /// Each additional member of a list, such as a field name in `Vary`, protects more. Compared
    /// only if a credential is required.
    Separates,
    /// Like [`Rule::Protects`]. Compared only if a credential is required.
    Withholds(fn(&str) -> u64, Option<&'static str>),
    /// Media type of the body. A media type that browsers execute admits more than all others.
    Runs,
    /// The upstream's own value admits more than a missing field, because it may disclose
    /// information.
    Discloses,
}

/// Security-relevant response fields in lower case, each with the rule that compares its values.
const FIELDS: &[(&str, Rule)] = &[
    ("access-control-allow-origin", Rule::Opens),
    ("access-control-allow-methods", Rule::Opens),
    ("access-control-allow-headers", Rule::Opens),
    ("access-control-expose-headers", Rule::Opens),
    ("access-control-allow-credentials", Rule::Allows),
    ("access-control-allow-private-network", Rule::Allows),
    // Browsers cache the answer to a CORS preflight request for `Access-Control-Max-Age`, even if
    // the settings change.
    ("access-control-max-age", Rule::Adds),
    ("timing-allow-origin", Rule::Opens),
    ("allow-csp-from", Rule::Opens),
    ("set-cookie", Rule::AddsOrEnds),
    ("set-cookie2", Rule::AddsOrEnds),
    ("strict-transport-security", Rule::Protects(seconds, None)),
    ("content-security-policy", Rule::Protects(present, None)),
    ("x-frame-options", Rule::Protects(frames, Some("deny"))),
    (
        "x-content-type-options",
        Rule::Protects(nosniff, Some("nosniff")),
    ),
    (
        "referrer-policy",
        Rule::Protects(referrer, Some("no-referrer")),
    ),
    ("permissions-policy", Rule::Protects(present, None)),
    ("feature-policy", Rule::Protects(present, None)),
    ("document-policy", Rule::Protects(present, None)),
    ("require-document-policy", Rule::Protects(present, None)),
    ("integrity-policy", Rule::Protects(present, None)),
    (
        "document-isolation-policy",
        Rule::Protects(isolation, Some("isolate-and-require-corp")),
    ),
    // Old names and predecessors of `Content-Security-Policy`, and of fields for checks of
    // certificates.
    ("x-content-security-policy", Rule::Protects(present, None)),
    ("x-webkit-csp", Rule::Protects(present, None)),
    ("expect-ct", Rule::Protects(present, None)),
    ("public-key-pins", Rule::Protects(present, None)),
    ("x-dns-prefetch-control", Rule::Protects(off, Some("off"))),
    ("x-robots-tag", Rule::Protects(unindexed, Some("noindex"))),
    // With these fields, clients check that the response is unchanged.
    ("content-digest", Rule::Protects(present, None)),
    ("repr-digest", Rule::Protects(present, None)),
    ("signature", Rule::Protects(present, None)),
    ("signature-input", Rule::Protects(present, None)),
    ("origin-agent-cluster", Rule::Protects(isolated, Some("?1"))),
    ("x-xss-protection", Rule::Protects(filtered, None)),
    (
        "x-download-options",
        Rule::Protects(unopened, Some("noopen")),
    ),
    (
        "cross-origin-opener-policy",
        Rule::Protects(same_origin, Some("same-origin")),
    ),
    (
        "cross-origin-embedder-policy",
        Rule::Protects(embedder, Some("require-corp")),
    ),
    (
        "cross-origin-resource-policy",
        Rule::Protects(same_origin, Some("same-origin")),
    ),
    ("clear-site-data", Rule::Protects(present, None)),
    (
        "content-disposition",
        Rule::Protects(attachment, Some("attachment")),
    ),
    ("cache-control", Rule::Withholds(stored, Some("no-store"))),
    (
        "cdn-cache-control",
        Rule::Withholds(stored, Some("no-store")),
    ),
    ("edge-control", Rule::Withholds(stored, Some("no-store"))),
    (
        "surrogate-control",
        Rule::Withholds(stored, Some("no-store")),
    ),
    ("pragma", Rule::Withholds(stored, Some("no-store"))),
    ("expires", Rule::Withholds(expired, Some("0"))),
    ("x-accel-expires", Rule::Withholds(expired, Some("0"))),
    ("no-vary-search", Rule::Shares),
    // With these fields, a server between the gateway and the client replaces the response by
    // one of its own files.
    ("x-accel-redirect", Rule::Adds),
    ("x-lighttpd-send-file", Rule::Adds),
    ("x-litespeed-location", Rule::Adds),
    ("x-reproxy-url", Rule::Adds),
    ("x-sendfile", Rule::Adds),
    // With these fields, browsers report requests and errors to other hosts.
    ("attribution-reporting-register-source", Rule::Adds),
    ("attribution-reporting-register-trigger", Rule::Adds),
    ("nel", Rule::Adds),
    ("report-to", Rule::Adds),
    ("reporting-endpoints", Rule::Adds),
    // With these fields, browsers load resources from other hosts.
    ("link", Rule::Adds),
    ("sourcemap", Rule::Adds),
    ("x-sourcemap", Rule::Adds),
    ("speculation-rules", Rule::Adds),
    // With these fields, browsers send more about their users, or enable features of a page.
    ("accept-ch", Rule::Adds),
    ("critical-ch", Rule::Adds),
    ("observe-browsing-topics", Rule::Adds),
    ("origin-trial", Rule::Adds),
    // With these fields, browsers use cookies that they otherwise withhold from a page.
    ("p3p", Rule::Adds),
    ("activate-storage-access", Rule::Adds),
    ("supports-loading-mode", Rule::Adds),
    ("vary", Rule::Separates),
    ("content-type", Rule::Runs),
    ("service-worker-allowed", Rule::Opens),
    (
        "x-permitted-cross-domain-policies",
        Rule::Protects(cross_domain, Some("none")),
    ),
];

/// Rule of a field. Any field named `…-cache-control` is a cache field of a content delivery
/// network. With any field named `…-report-only`, browsers report requests to other hosts.
fn rule_of(name: &str) -> Rule {
    let known = FIELDS.iter().find(|(known, _)| *known == name);
    match known {
        Some((_, rule)) => *rule,
        None if name.ends_with("-cache-control") => Rule::Withholds(stored, Some("no-store")),
        None if name.ends_with("-report-only") => Rule::Adds,
        None => Rule::Discloses,
    }
}

/// Fields that redirect clients.
const SENDING: [&str; 3] = ["alt-svc", "location", "refresh"];

/// True for a response field that redirects clients.
pub(crate) fn is_sending(name: &str) -> bool {
    SENDING.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Text that represents the upstream's own value in plans.
const UPSTREAM: &str = "the upstream's value";

/// Value of a removed `Content-Type`: no media type. Browsers then determine the type by the body.
const NO_TYPE: &str = "no type";

/// Response field as received by clients.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    /// True if the upstream's own value reaches clients.
    upstream: bool,
    /// Values that the gateway writes.
    values: BTreeSet<String>,
    /// References to secrets among `values`.
    secrets: BTreeSet<String>,
}

impl Sent {
    /// Adds a value that the gateway writes.
    fn add(&mut self, value: &Value) {
        let text = value_text(value);
        if matches!(value, Value::One(Scalar::Secret(_))) {
            self.secrets.insert(text.clone());
        }
        self.values.insert(text);
    }

    /// Removes all values.
    fn clear(&mut self) {
        self.upstream = false;
        self.values.clear();
        self.secrets.clear();
    }

    /// Copy in which values with the same meaning have one spelling.
    fn canonical(&self, name: &str) -> Self {
        let values = self.values.iter();
        Self {
            upstream: self.upstream,
            values: values.map(|value| canonical(name, value)).collect(),
            secrets: self.secrets.clone(),
        }
    }

    fn shown(&self) -> String {
        let mut parts: Vec<String> = self.values.iter().cloned().collect();
        if self.upstream {
            parts.push(UPSTREAM.to_owned());
        }
        match parts.is_empty() {
            true => "removed".to_owned(),
            false => parts.join(" and "),
        }
    }

    /// True if clients receive the upstream's own value of this field, and do not receive it in
    /// `other`.
    fn discloses_more_than(&self, other: &Self) -> bool {
        self.upstream && !other.upstream && other.values.is_empty()
    }

    /// Members of all values, in lower case. Each value is a comma-separated list.
    fn members(&self) -> BTreeSet<String> {
        let values = self.values.iter().flat_map(|value| value.split(','));
        let members = values.map(|member| member.trim().to_ascii_lowercase());
        members.filter(|member| !member.is_empty()).collect()
    }
}

/// Compares the response fields of two chains. Returns at most one difference per field.
pub(super) fn compare(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let (was, is) = (sent(old), sent(new));
    let is_protected = requires_credential(old) && requires_credential(new);
    let names: BTreeSet<&String> = was.fields.keys().chain(is.fields.keys()).collect();
    let differences = names.into_iter().flat_map(|name| {
        // Fields that redirect clients are compared as destinations.
        if is_sending(name) {
            return Vec::new();
        }
        let rule = rule_of(name);
        let of = |side: &Response| {
            // `cors` runs last on responses and overwrites `Access-Control-*` fields of other
            // policies.
            if side.has_cors && name.starts_with("access-control-") {
                return Sent {
                    upstream: false,
                    values: BTreeSet::new(),
                    secrets: BTreeSet::new(),
                };
            }
            let known = side.fields.get(name).cloned();
            known.unwrap_or_else(|| side.untouched())
        };
        let (before, after) = (of(&was), of(&is));
        let for_callers = matches!(rule, Rule::Separates | Rule::Shares | Rule::Withholds(..));
        // A response of an upstream may disclose information. A response that the gateway makes
        // contains only values from its settings.
        let is_own = matches!(rule, Rule::Discloses) && !(was.upstream && is.upstream);
        let spelled = (before.canonical(name), after.canonical(name));
        let has_new_secret = !after.secrets.is_subset(&before.secrets);
        let is_irrelevant = is_own || for_callers && !is_protected;
        if spelled.0 == spelled.1 || is_irrelevant && !has_new_secret {
            return Vec::new();
        }
        let verdict = verdict(rule, &spelled.0, &spelled.1);
        let verdict = match has_new_secret {
            false => verdict,
            true => verdict.and(Verdict::of(before.secrets.is_subset(&after.secrets), false)),
        };
        let subject = format!("response header {name}");
        let shown = (before.shown(), after.shown());
        super::one(
            "answers",
            verdict,
            "response-field-changed",
            &subject,
            shown,
        )
    });
    differences.collect()
}

/// True if every alternative of a route's security requirement needs a credential.
fn requires_credential(access: &Access<'_>) -> bool {
    let security = access.route.map(|route| &route.treatment.security.0);
    security.is_some_and(|all| !all.is_empty() && all.iter().all(|one| !one.0.is_empty()))
}

fn verdict(rule: Rule, was: &Sent, is: &Sent) -> Verdict {
    let ordered = |order: Ordering| match order {
        Ordering::Less => Verdict::Strengthen,
        Ordering::Equal => Verdict::Equal,
        Ordering::Greater => Verdict::Weaken,
    };
    match rule {
        Rule::Opens => opened(was, is, &was.members(), &is.members()),
        Rule::Allows => {
            let allows = |sent: &Sent| {
                let members = sent.members();
                BTreeSet::from_iter(members.into_iter().filter(|member| member == "true"))
            };
            opened(was, is, &allows(was), &allows(is))
        }
        Rule::Runs => {
            let runs = |sent: &Sent| {
                let values = sent.values.iter().filter(|value| is_run(value));
                values.cloned().collect::<BTreeSet<String>>()
            };
            let (before, after) = (runs(was), runs(is));
            Verdict::of(before.is_subset(&after), after.is_subset(&before))
        }
        Rule::Adds | Rule::Shares => opened(was, is, &was.values, &is.values),
        Rule::AddsOrEnds => match opened(was, is, &was.values, &is.values) {
            Verdict::Strengthen if was.upstream && !is.upstream => Verdict::Incomparable,
            verdict => verdict,
        },
        Rule::Discloses => Verdict::of(!was.discloses_more_than(is), !is.discloses_more_than(was)),
        Rule::Separates => {
            let members = |sent: &Sent| {
                let mut members = sent.members();
                members.extend(sent.upstream.then(|| UPSTREAM.to_owned()));
                members
            };
            let (before, after) = (members(was), members(is));
            let within =
                |a: &BTreeSet<String>, b: &BTreeSet<String>| b.contains("*") || a.is_subset(b);
            Verdict::of(within(&after, &before), within(&before, &after))
        }
        Rule::Protects(strength, strongest) | Rule::Withholds(strength, strongest) => {
            // Clients may use any one of several values, so the weakest one counts.
            let weakest = |sent: &Sent| sent.values.iter().map(|value| strength(value)).min();
            // The upstream's own value is unknown. If the gateway replaces it, only the strongest
            // value is known to protect as much.
            let is_unproven = || {
                let is_strongest = weakest(is).is_some() && weakest(is) == strongest.map(strength);
                was.upstream && !is.upstream && !is_strongest
            };
            let compared = match (weakest(was), weakest(is)) {
                (Some(a), Some(b)) if a == b && a > 0 => match was.values == is.values {
                    // Both sides set the same values. The sides differ only in sending the
                    // upstream's own value as well.
                    true => ordered(was.upstream.cmp(&is.upstream)),
                    false => Verdict::Incomparable,
                },
                (a, b) => ordered(rank(was, a).cmp(&rank(is, b))),
            };
            match compared {
                Verdict::Strengthen if is_unproven() => Verdict::Incomparable,
                verdict => verdict,
            }
        }
    }
}

/// Rank of a field's protection, from low to high: no field, the upstream's own value, then the
/// strength of the gateway's value.
fn rank(sent: &Sent, strength: Option<u64>) -> (u8, u64) {
    match (strength, sent.upstream) {
        (Some(strength @ 1..), _) => (2, strength),
        (Some(0), _) | (None, false) => (0, 0),
        (None, true) => (1, 0),
    }
}

/// Compares sets of values whose additional members admit more. The upstream's own values are
/// unknown. Their removal admits less, and their replacement by values of the gateway counts as
/// admitting more. If the upstream's values newly reach clients, the new side admits more. If the
/// gateway also drops some of its own values, the verdict is [`Verdict::Incomparable`].
fn opened(was: &Sent, is: &Sent, before: &BTreeSet<String>, after: &BTreeSet<String>) -> Verdict {
    let within = |a: &BTreeSet<String>, b: &BTreeSet<String>| b.contains("*") || a.is_subset(b);
    let (fewer, more) = (within(before, after), within(after, before));
    match (was.upstream, is.upstream) {
        (a, b) if a == b => Verdict::of(fewer, more),
        (true, _) if after.is_empty() => Verdict::Strengthen,
        (true, _) => Verdict::Weaken,
        (false, _) if fewer => Verdict::Weaken,
        (false, _) => Verdict::Incomparable,
    }
}

/// Response fields after the policies of a chain.
struct Response {
    /// True if the response comes from the upstream, false if a policy responds.
    upstream: bool,
    /// True if the chain has `cors`.
    has_cors: bool,
    fields: BTreeMap<String, Sent>,
}

impl Response {
    fn untouched(&self) -> Sent {
        Sent {
            upstream: self.upstream,
            values: BTreeSet::new(),
            secrets: BTreeSet::new(),
        }
    }

    fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Sent)) {
        let untouched = self.untouched();
        edit(
            self.fields
                .entry(name.to_ascii_lowercase())
                .or_insert(untouched),
        );
    }
}

/// Fields that the policies of a chain change in responses. The last policy of a chain handles a
/// response first.
fn sent(access: &Access<'_>) -> Response {
    let replies = access.policies("respond");
    let redirects = access.policies("redirect");
    let mut response = Response {
        upstream: access.route.is_some() && replies.is_empty() && redirects.is_empty(),
        has_cors: !access.policies("cors").is_empty(),
        fields: BTreeMap::new(),
    };
    for one in replies.first().iter().flat_map(|(_, reply)| reply.iter()) {
        let name = match one.path.as_slice() {
            [headers, name] if headers == "headers" => name,
            [key] if key == "content_type" => "content-type",
            _ => continue,
        };
        response.edit(name, |sent| sent.add(&one.value));
    }
    let leaving = access.policies("deprecation");
    for link in leaving
        .iter()
        .filter_map(|(_, settings)| settings.text(&["link"]))
    {
        response.edit("link", |sent| {
            sent.values.insert(format!("<{link}>; rel=deprecation"));
        });
    }
    for (_, settings) in access.policies("headers").iter().rev() {
        for name in settings.texts(&["response", "remove"]).unwrap_or_default() {
            response.edit(name, |sent| {
                sent.clear();
                if name.eq_ignore_ascii_case("content-type") {
                    sent.values.insert(NO_TYPE.to_owned());
                }
            });
        }
        for (is_set, name, value) in written(settings) {
            response.edit(name, |sent| {
                if is_set {
                    sent.clear();
                }
                sent.values.remove(NO_TYPE);
                sent.add(value);
            });
        }
    }
    response
}

/// Names and values of the fields that a policy sets (true), then of the fields that it adds
/// (false).
fn written(settings: &Settings) -> Vec<(bool, &str, &Value)> {
    let of = |how: &'static str| {
        let all = settings.iter();
        all.filter_map(move |one| match one.path.as_slice() {
            [side, own, name] if side == "response" && own == how => {
                Some((how == "set", name.as_str(), &one.value))
            }
            _ => None,
        })
    };
    of("set").chain(of("add")).collect()
}

/// Compares the media types of two bodies. A media type that browsers execute admits more.
pub(crate) fn executed(old: Option<&str>, new: Option<&str>) -> Verdict {
    let executed = |media_type: Option<&str>| {
        let media_type = media_type.filter(|media_type| is_run(media_type));
        media_type.map(|media_type| canonical("content-type", media_type))
    };
    match (executed(old), executed(new)) {
        (was, is) if was == is => Verdict::Equal,
        (was, is) => Verdict::of(was.is_none(), is.is_none()),
    }
}

/// True for a media type that browsers execute: pages, scripts, and images with scripts. Browsers
/// use the last type of a list. If the value is not a type, browsers determine the type from the
/// body (WHATWG MIME Sniffing §5.1 and §7).
fn is_run(value: &str) -> bool {
    value.split(',').any(|one| {
        let kind = one.split(';').next().unwrap_or_default();
        let kind = kind.trim().to_ascii_lowercase();
        let is_xml = kind.ends_with("+xml")
            || matches!(
                &*kind,
                "text/xml" | "application/xml" | "application/xml-dtd" | "text/xsl"
            );
        let is_script = kind.ends_with("javascript")
            || kind.ends_with("ecmascript")
            || kind.starts_with("text/javascript")
            || matches!(&*kind, "text/jscript" | "text/livescript");
        // Each part of `multipart/x-mixed-replace` has a separate media type.
        let is_page = matches!(
            &*kind,
            "text/html" | "application/wasm" | "multipart/x-mixed-replace" | "text/cache-manifest"
        );
        let is_sniffed = matches!(&*kind, "unknown/unknown" | "application/unknown" | "*/*");
        let is_token = |text: &str| http::Method::from_bytes(text.as_bytes()).is_ok();
        let is_type = kind
            .split_once('/')
            .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
        is_xml || is_script || is_page || is_sniffed || !is_type
    })
}

#[cfg(test)]
mod tests {
    use super::is_run;

    #[test]
    fn types_that_browsers_run_are_known() {
        for value in [
            "text/html; charset=utf-8",
            "Text/XSL",
            "image/svg+xml",
            "multipart/x-mixed-replace; boundary=a",
            "text/jscript",
            "text/livescript",
            "text/javascript1.5",
            "application/x-ecmascript",
            "text/plain, text/html",
            "*/*",
            "",
        ] {
            assert!(is_run(value), "{value}");
        }
        for value in [
            "text/plain",
            "application/json",
            "image/png",
            "multipart/form-data",
        ] {
            assert!(!is_run(value), "{value}");
        }
    }
}
