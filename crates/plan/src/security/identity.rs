//! Comparison of request fields as an upstream receives them, after the security schemes of the
//! API, `forward_auth` and `headers`. For fields that identify the caller, the comparison is by the
//! client's own value and by the values that the gateway writes. For other fields, it is only by
//! the client's own value, if a policy removed that.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::declared::{Settings, Value};

use super::verifier::told;
use super::{Access, Difference, Verdict};

/// Name parts (between `-`, `_` and `.`) of fields that upstreams read as an identity, a right, or
/// the origin of a request.
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

/// Name parts of fields that carry a credential.
const CREDENTIAL: &[&str] = &[
    "assertion",
    "authorization",
    "cookie",
    "credential",
    "jwt",
    "key",
    "session",
    "token",
];

/// Fields by which upstreams recognise the page that sends a request, besides `Sec-Fetch-…`.
const PAGE: &[&str] = &["origin", "referer"];

/// Request fields that the gateway itself removes and replaces (`edge::forwarded` in the engine),
/// so that removing them in a policy changes nothing. Other fields of trusted proxies are
/// forwarded.
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

/// Value that the gateway writes in a request field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Written {
    /// Value in a `headers` policy.
    Policy(String),
    /// Property of the verified caller: its name or a claim.
    Caller(String),
    /// Field of the response of a `forward_auth` service.
    Answer,
}

impl Written {
    fn shown(&self) -> String {
        match self {
            Self::Policy(value) => value.clone(),
            Self::Caller(property) => property.clone(),
            Self::Answer => "the answer of the authorization service".to_owned(),
        }
    }
}

/// Request field as received by an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    /// True if the client's own value reaches the upstream.
    client: bool,
    /// Values that the gateway writes.
    values: BTreeSet<Written>,
}

impl Got {
    /// Creates the state of a field that nothing changes.
    fn untouched(name: &str) -> Self {
        Self {
            client: !MANAGED.contains(&name) && !name.starts_with("x-consumer-"),
            values: BTreeSet::new(),
        }
    }

    /// Removes the client's own value and all values written before.
    fn clear(&mut self) {
        self.client = false;
        self.values.clear();
    }

    /// True if every caller who can determine a value of this field can also do so in `other`. If
    /// the client's own value reaches the upstream, it can be any property of a caller, and with
    /// `answers` also any field of a service's response. A policy's value is the same for all
    /// callers.
    fn is_within(&self, other: &Self, answers: bool) -> bool {
        let is_open = |value: &Written| match value {
            Written::Policy(_) => false,
            Written::Caller(_) => true,
            Written::Answer => answers,
        };
        let mut values = self.values.iter();
        (other.client || !self.client)
            && values.all(|value| other.values.contains(value) || other.client && is_open(value))
    }

    /// True if the client's own value reaches the upstream here, but not in `other`.
    fn admits_more_than(&self, other: &Self) -> bool {
        self.client && !other.client && other.values.is_empty()
    }

    /// True if the gateway writes a secret or a property of the caller to this field.
    fn is_trusted(&self) -> bool {
        self.values.iter().any(|value| match value {
            Written::Policy(value) => value.starts_with("${"),
            Written::Caller(_) | Written::Answer => true,
        })
    }

    /// True if the upstream receives only properties of the verified caller in this field.
    fn is_of_caller(&self) -> bool {
        let mut values = self.values.iter();
        !self.client && values.all(|value| matches!(value, Written::Caller(_)))
    }

    fn shown(&self) -> String {
        let mut parts: Vec<String> = self.values.iter().map(Written::shown).collect();
        if self.client {
            parts.push("what the client sends".to_owned());
        }
        match parts.is_empty() {
            true => "removed".to_owned(),
            false => parts.join(" and "),
        }
    }
}

/// Differences between two chains, one per field.
pub(super) fn compare(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let (was, is) = (fields(old), fields(new));
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let asks_others = || old.who().verdict(new.who()) != Verdict::Equal;
    let differences = names.into_iter().flat_map(|name| {
        let got = |side: &BTreeMap<String, Got>| {
            let known = side.get(name);
            known.cloned().unwrap_or_else(|| Got::untouched(name))
        };
        let (was, is) = (got(&was), got(&is));
        // Callers with other credentials also have other properties; the line about the requirement
        // reports that.
        let is_gained = was.values.is_empty() != is.values.is_empty();
        if is_gained && was.is_of_caller() && is.is_of_caller() && asks_others() {
            return Vec::new();
        }
        let verdict = match was.is_trusted() || is.is_trusted() || is_identity(name) {
            // A service that newly provides the value is another authority than the caller's
            // credential.
            true => Verdict::of(was.is_within(&is, true), is.is_within(&was, false)),
            false => Verdict::of(!was.admits_more_than(&is), !is.admits_more_than(&was)),
        };
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

/// Fields that the schemes and the policies of a chain change.
fn fields(access: &Access<'_>) -> BTreeMap<String, Got> {
    let mut fields = Fields(BTreeMap::new());
    fields.authenticate(access);
    for (kind, settings) in access.steps() {
        match kind {
            "forward_auth" => fields.ask(&settings),
            "headers" => fields.edit(&settings),
            _ => {}
        }
    }
    fields.0
}

/// Fields that differ from what the client sends, by name.
struct Fields(BTreeMap<String, Got>);

impl Fields {
    fn field(&mut self, name: &str) -> &mut Got {
        let entry = self.0.entry(name.to_owned());
        entry.or_insert_with(|| Got::untouched(name))
    }

    /// Applies `forward_as` and `claims_to_headers`. The client's values of these fields are
    /// removed for every scheme of the API. The schemes that the operation requires write new
    /// values.
    fn authenticate(&mut self, access: &Access<'_>) {
        let Some(route) = access.route else {
            return;
        };
        for scheme in &route.api.schemes {
            for name in scheme.passes.fields() {
                self.field(name).clear();
            }
        }
        let alternatives = route.treatment.security.0.iter();
        for wanted in alternatives.flat_map(|alternative| &alternative.0) {
            let Some(scheme) = route.api.schemes.get(&wanted.scheme) else {
                continue;
            };
            if let Some(name) = &scheme.passes.forward_as {
                let property = "the caller's name".to_owned();
                self.field(name).values.insert(Written::Caller(property));
            }
            for (claim, name) in &scheme.passes.claims {
                let property = format!("the caller's claim `{claim}`");
                self.field(name).values.insert(Written::Caller(property));
            }
        }
    }

    /// Applies `response_headers` of a `forward_auth` policy.
    fn ask(&mut self, settings: &Settings) {
        for name in settings.texts(&["response_headers"]).unwrap_or_default() {
            let field = self.field(name);
            field.clear();
            field.values.insert(Written::Answer);
        }
    }

    /// Applies a `headers` policy.
    fn edit(&mut self, settings: &Settings) {
        for name in settings.texts(&["request", "remove"]).unwrap_or_default() {
            self.field(name).clear();
        }
        for (is_set, name, value) in written(settings) {
            let field = self.field(name);
            if is_set {
                field.clear();
            }
            field.values.insert(Written::Policy(told(value)));
        }
    }
}

/// Fields that a policy sets, followed by those that it adds.
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

/// True for a field that carries a credential, by its name.
pub(crate) fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['_', '.'], "-");
    name.split('-').any(|part| CREDENTIAL.contains(&part))
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
