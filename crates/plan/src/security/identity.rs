//! Fields of requests that say who calls, as an upstream gets them: whether a client's own value
//! reaches it, and which values the gateway writes.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::declared::{Settings, Value};

use super::verifier::told;
use super::{Access, Difference, Verdict};

/// Parts of names (between `-`, `_` and `.`) of fields that upstreams read as an identity, a
/// right, or the place that a request comes from.
const PARTS: &[&str] = &[
    "account",
    "admin",
    "assertion",
    "auth",
    "authenticated",
    "authorization",
    "client",
    "consumer",
    "cookie",
    "credential",
    "email",
    "forwarded",
    "group",
    "groups",
    "identity",
    "impersonate",
    "ip",
    "jwt",
    "key",
    "login",
    "member",
    "org",
    "organization",
    "original",
    "override",
    "permissions",
    "principal",
    "proxied",
    "realm",
    "remote",
    "role",
    "roles",
    "scope",
    "scopes",
    "session",
    "sub",
    "subject",
    "tenant",
    "token",
    "uid",
    "upn",
    "user",
    "userid",
    "username",
    "userinfo",
];

/// Fields by which upstreams recognise the page that sends a request, beside `Sec-Fetch-…`.
const PAGE: &[&str] = &["origin", "referer"];

/// Fields that the gateway itself takes from clients (engine, `edge::forwarded`): a policy that
/// removes them changes nothing.
const MANAGED: &[&str] = &[
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
];

/// Value of a field that an upstream gets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    /// True if a client's own value reaches it.
    client: bool,
    /// Values that the gateway writes.
    values: BTreeSet<String>,
}

impl Got {
    /// A field that no policy touches.
    fn untouched(name: &str) -> Self {
        Self {
            client: !MANAGED.contains(&name) && !name.starts_with("x-consumer-"),
            values: BTreeSet::new(),
        }
    }

    /// True if every sender of a value in this field can also send it in the other.
    fn is_within(&self, other: &Self) -> bool {
        (other.client || !self.client) && self.values.is_subset(&other.values)
    }

    fn shown(&self) -> String {
        let mut parts: Vec<String> = self.values.iter().cloned().collect();
        if self.client {
            parts.push("what the client sends".to_owned());
        }
        match parts.is_empty() {
            true => "removed".to_owned(),
            false => parts.join(" and "),
        }
    }
}

/// The difference between two chains, field by field.
pub(super) fn compare(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let (was, is) = (fields(old), fields(new));
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let differences = names.into_iter().flat_map(|name| {
        let got = |side: &BTreeMap<String, Got>| {
            let known = side.get(name);
            known.cloned().unwrap_or_else(|| Got::untouched(name))
        };
        let (was, is) = (got(&was), got(&is));
        let verdict = Verdict::of(was.is_within(&is), is.is_within(&was));
        let subject = format!("request header {name}");
        let told = (was.shown(), is.shown());
        super::one(
            "identity",
            verdict,
            "identity-field-changed",
            &subject,
            told,
        )
    });
    differences.collect()
}

/// The fields with an identity that the `headers` policies of a chain touch.
fn fields(access: &Access<'_>) -> BTreeMap<String, Got> {
    let mut fields: BTreeMap<String, Got> = BTreeMap::new();
    for (_, settings) in access.policies("headers") {
        let touched = |fields: &mut BTreeMap<String, Got>, name: &str| {
            let got = fields.remove(name);
            got.unwrap_or_else(|| Got::untouched(name))
        };
        for name in settings.texts(&["request", "remove"]).unwrap_or_default() {
            let mut got = touched(&mut fields, name);
            got.client = false;
            got.values.clear();
            fields.insert(name.to_owned(), got);
        }
        for (is_set, name, value) in written(&settings) {
            let mut got = touched(&mut fields, name);
            if is_set {
                got.client = false;
                got.values.clear();
            }
            got.values.insert(told(value));
            fields.insert(name.to_owned(), got);
        }
    }
    // A field with a secret is how the gateway itself is known to the upstream.
    fields.retain(|name, got| {
        let secret = got.values.iter().any(|value| value.starts_with("${"));
        secret || is_identity(name)
    });
    fields
}

/// The fields that a policy sets, then those that it adds.
fn written(settings: &Settings) -> Vec<(bool, &str, &Value)> {
    let of = |how: &'static str| {
        let all = settings.iter();
        all.filter_map(move |one| match one.path.as_slice() {
            [side, own, name] if side == "request" && own == how => {
                Some((how == "set", name.as_str(), &one.value))
            }
            _ => None,
        })
    };
    of("set").chain(of("add")).collect()
}

fn is_identity(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['_', '.'], "-");
    let mut parts = name.split('-');
    PAGE.contains(&&*name)
        || name.starts_with("sec-fetch-")
        || ir::OVERRIDE_FIELDS.contains(&&*name)
        || parts.any(|part| PARTS.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::is_identity;

    #[test]
    fn names_of_identities_are_known_by_parts() {
        for name in [
            "Authorization",
            "cookie",
            "X-User",
            "x_user_id",
            "X-Forwarded-For",
            "x.tenant",
            "X_Rewrite.URL",
            "X-HTTP-Method",
            "Origin",
            "Referer",
            "Sec-Fetch-Site",
        ] {
            assert!(is_identity(name), "{name}");
        }
        for name in [
            "X-Gateway",
            "Accept",
            "X-Users-Guide",
            "Content-Type",
            "Traceparent",
        ] {
            assert!(!is_identity(name), "{name}");
        }
    }
}
