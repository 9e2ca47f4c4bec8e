//! Changelog for API clients: the changes of a plan that clients see, without the configuration of
//! the gateway.
//!
//! A changelog names operations, parts of messages and access requirements. Upstreams, policies,
//! verifiers, listeners, hosts, release rules, source locations and witnesses are not part of it,
//! so that it can be published. [`markdown`], [`html`] and [`json`] write it.

pub mod html;
pub mod json;
pub mod markdown;

use std::collections::BTreeMap;

use super::fold;
use super::report::{Report, Values, values};
use super::words;
use super::{Change, Class, Section};
use diag::text::printable;
use vocab::checks::{self, Level};

/// Maximum number of operations named in an entry. The rest are counted.
const NAMED_MAX: usize = 10;

/// Changes for API clients, by API and kind.
#[derive(Clone, Debug, Default)]
pub struct Changelog {
    /// APIs with changes, by name.
    pub apis: Vec<ApiChanges>,
}

/// Changes of one API.
#[derive(Clone, Debug)]
pub struct ApiChanges {
    /// Name of the API.
    pub name: String,
    /// Groups with at least one entry, in the order of [`Kind::ALL`].
    pub groups: Vec<(Kind, Vec<Entry>)>,
}

/// Entry of a changelog: one change for clients. All texts are safe for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Id of the change, as in the plan.
    pub id: &'static str,
    /// Operations that the change concerns: `GET /orders`, or the key of an operation. At most
    /// [`NAMED_MAX`] names.
    pub operations: Vec<String>,
    /// Number of operations that the change concerns. 0 for a webhook or a whole API.
    pub count: usize,
    /// Path of the value in the message, such as `body.items[].price`. Empty for other changes.
    pub path: String,
    /// Description of the change in one sentence.
    pub text: String,
    /// Former and new value. `None` if the operations themselves were added or removed.
    pub values: Option<Values>,
    /// Environments of the change. `None`: all environments.
    pub environments: Option<String>,
}

/// Effect of a change on clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Operations are no longer served.
    Removed,
    /// Clients that follow the old contract fail.
    Breaking,
    /// Some clients may be affected.
    MayBreak,
    /// Operations require other credentials.
    Access,
    /// Operations are served at another path, host or listener.
    Moved,
    /// Operations are new.
    Added,
    /// Clients that follow the old contract are not affected.
    Compatible,
}

impl Kind {
    /// All kinds, in the order of a changelog.
    pub const ALL: [Self; 7] = [
        Self::Removed,
        Self::Breaking,
        Self::MayBreak,
        Self::Access,
        Self::Moved,
        Self::Added,
        Self::Compatible,
    ];

    /// Heading of the kind.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            Self::Removed => "Removed",
            Self::Breaking => "Breaking",
            Self::MayBreak => "May break clients",
            Self::Access => "Access",
            Self::Moved => "Moved",
            Self::Added => "Added",
            Self::Compatible => "Compatible",
        }
    }

    /// Name of the kind in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Breaking => "breaking",
            Self::MayBreak => "may-break",
            Self::Access => "access",
            Self::Moved => "moved",
            Self::Added => "added",
            Self::Compatible => "compatible",
        }
    }

    /// Severity for clients: `error`, `warn` or `info`.
    #[must_use]
    pub fn level(self) -> &'static str {
        match self {
            Self::Removed | Self::Breaking => "error",
            Self::MayBreak | Self::Access | Self::Moved => "warn",
            Self::Added | Self::Compatible => "info",
        }
    }
}

impl Changelog {
    /// Selects the changes of a plan that clients see.
    #[must_use]
    pub fn of(report: &Report<'_>) -> Self {
        let mut apis: BTreeMap<String, BTreeMap<Kind, Vec<Entry>>> = BTreeMap::new();
        let mut add = |change: &Change, kind: Kind, entry: Entry| {
            let groups = apis.entry(api(change)).or_default();
            groups.entry(kind).or_default().push(entry);
        };
        let in_section = |section: Section| {
            let changes = report.plan.changes.iter();
            let of_section = changes.filter(|change| change.section == section);
            of_section.collect::<Vec<&Change>>()
        };
        for line in fold::moves(report, &in_section(Section::Routing)) {
            if let Some((kind, text)) = of_routing(&line) {
                let entry = entry(report, line.first(), text, movement(&line));
                add(line.first(), kind, entry);
            }
            if let Some(entry) = access_of_move(report, &line) {
                add(line.first(), Kind::Access, entry);
            }
        }
        for change in in_section(Section::Breaking) {
            let Some(message) = &change.message else {
                if let Some((kind, text)) = of_urls(change) {
                    let values = Some(without_subject(change));
                    add(change, kind, entry(report, change, text, values));
                }
                continue;
            };
            let kind = match message.level {
                Level::Error if change.may_break() => Kind::MayBreak,
                Level::Error => Kind::Breaking,
                Level::Warn => Kind::MayBreak,
                Level::Info => Kind::Compatible,
            };
            let text = checks::of(change.id).map_or("The contract differs.", |check| check.means);
            let mut entry = entry(report, change, text, Some(without_subject(change)));
            // The path `operation` means the operation itself and not a path inside its messages.
            if message.path != "operation" {
                entry.path = printable(&message.path);
            }
            add(change, kind, entry);
        }
        for change in in_section(Section::Security) {
            let text = match change.id {
                "security-requirement-removed" => "The operation requires no credential now.",
                "security-requirement-added" => "The operation requires a credential now.",
                "security-requirement-changed" => "The operation requires other credentials.",
                _ => continue,
            };
            let entry = entry(report, change, text, without_verifiers(change));
            add(change, Kind::Access, entry);
        }
        let apis = apis.into_iter().map(|(name, groups)| ApiChanges {
            name,
            groups: groups.into_iter().collect(),
        });
        Self {
            apis: apis.collect(),
        }
    }
}

/// Kind and description of a change of routing. `None` if clients do not see it.
fn of_routing(line: &fold::Line<'_>) -> Option<(Kind, &'static str)> {
    let change = line.first();
    match (line.is_move, change.class, change.id) {
        (true, ..) => Some((Kind::Moved, "The operation moved.")),
        (_, Class::Added, "operation-added") => Some((Kind::Added, "The operation is new.")),
        (_, Class::Added, _) => Some((
            Kind::Added,
            "The operation is now also served at this address.",
        )),
        (_, Class::Removed, "operation-removed") => Some((Kind::Removed, "The operation is gone.")),
        (_, Class::Removed, _) => Some((
            Kind::Removed,
            "The operation is no longer served at this address.",
        )),
        _ => None,
    }
}

/// Kind and description of changed URLs to which clients send requests or credentials. `None` for
/// other changes.
fn of_urls(change: &Change) -> Option<(Kind, &'static str)> {
    let kind = match change.class {
        Class::Moved => Kind::Moved,
        _ => Kind::Compatible,
    };
    match change.id {
        "servers-changed" => Some((kind, "The servers differ.")),
        "oauth-flow-changed" => Some((kind, "The URLs from which clients get tokens differ.")),
        _ => None,
    }
}

fn entry(
    report: &Report<'_>,
    change: &Change,
    text: &'static str,
    values: Option<Values>,
) -> Entry {
    let operations: Vec<String> = match (&change.operation, &change.operations[..]) {
        (Some(operation), [] | [_]) => {
            let paths = change.paths();
            let paths = match paths.is_empty() {
                true => vec![&*operation.path],
                false => paths.into_iter().collect(),
            };
            let named = paths.iter().map(|path| match &*operation.method {
                "" => (*path).to_owned(),
                method => format!("{method} {path}"),
            });
            named.collect()
        }
        (_, keys) => {
            let named = keys.iter().map(|key| match split_key(key) {
                (_, Some(request)) => request,
                (_, None) => key.clone(),
            });
            named.collect()
        }
    };
    let is_of_operation = change.operation.is_some();
    let count = change.operations.len().max(usize::from(is_of_operation));
    let named = operations.iter().take(NAMED_MAX);
    Entry {
        id: change.id,
        operations: named.map(|name| printable(name)).collect(),
        count,
        path: String::new(),
        text: text.to_owned(),
        values,
        environments: report.environments_of(change),
    }
}

/// Values of a change without its id and subject, which the changelog entry already contains.
fn without_subject(change: &Change) -> Values {
    Values {
        subject: String::new(),
        ..values(change)
    }
}

/// Former and new method and paths of an operation that moved. `None` if only hosts or listeners
/// differ, because these may be internal.
fn movement(line: &fold::Line<'_>) -> Option<Values> {
    let [was, is] = line.changes[..] else {
        return None;
    };
    let site = |change: &Change| {
        let method = &change.operation.as_ref()?.method;
        let paths = change.paths().into_iter().collect::<Vec<_>>().join(", ");
        Some(printable(&format!("{method} {paths}")))
    };
    let (old, new) = (site(was)?, site(is)?);
    (line.is_move && old != new).then_some(Values {
        subject: String::new(),
        old: Some(old),
        new,
    })
}

/// Entry for an operation that moved and requires other credentials at its new place. `None` for
/// all other lines.
fn access_of_move(report: &Report<'_>, line: &fold::Line<'_>) -> Option<Entry> {
    let [was, is] = line.changes[..] else {
        return None;
    };
    let shown = |text: &str| printable(&unverified(words::access(text)));
    let [old, new] = [was, is].map(|change| change.access.as_deref().map(shown));
    if !line.is_move || old == new {
        return None;
    }
    let values = Values {
        subject: String::new(),
        old,
        new: new?,
    };
    let text = "The operation requires other credentials at its new place.";
    let mut entry = entry(report, is, text, Some(values));
    entry.id = "security-requirement-changed";
    Some(entry)
}

/// Values of a change of access, without the verifiers. `None` if only the verifiers differ.
fn without_verifiers(change: &Change) -> Option<Values> {
    let Values { old, new, .. } = values(change);
    let (old, new) = (old.map(|text| unverified(&text)), unverified(&new));
    (old.as_ref() != Some(&new)).then_some(Values {
        subject: String::new(),
        old,
        new,
    })
}

/// Text of a requirement without the names of verifiers: `header x-key` for `header x-key by keys`.
fn unverified(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(" by ") {
        shown.push_str(before);
        let end = after.find([' ', ',']).unwrap_or(after.len());
        rest = &after[end..];
    }
    shown.push_str(rest);
    shown
}

/// Name of the API of a change: the API of the change's first operation. For a webhook, that of its
/// contract.
fn api(change: &Change) -> String {
    let of_key = || {
        let key = change.operations.first()?;
        Some(split_key(key).0.to_owned())
    };
    let of_contract = || {
        let is_of_contract = change.message.is_some();
        let api = change.bound.lines().next().filter(|_| is_of_contract);
        api.map(str::to_owned)
    };
    let of_subject = || {
        let (api, _) = change.subject.split_once(": ")?;
        Some(api.to_owned())
    };
    let name = match &change.operation {
        Some(operation) => Some(operation.api.clone()),
        None => of_key().or_else(of_contract).or_else(of_subject),
    };
    printable(&name.unwrap_or_default())
}

/// API of the key of an operation, and method and template if the key has no `operationId`:
/// `API/operationId`, or `METHOD API:/template`.
pub(crate) fn split_key(key: &str) -> (&str, Option<String>) {
    let without_id = || {
        let (method, rest) = key
            .split_once(' ')
            .filter(|(method, _)| !method.contains('/'))?;
        let (api, template) = rest.split_once(":/")?;
        Some((api, format!("{method} /{template}")))
    };
    match without_id() {
        Some((api, request)) => (api, Some(request)),
        None => (key.split_once('/').map_or("", |(api, _)| api), None),
    }
}

impl Entry {
    /// Operations in one phrase: `GET /orders`, `GET /a, GET /b and 12 more operations`. Empty for a
    /// webhook or a whole API.
    #[must_use]
    pub fn operations_text(&self) -> String {
        let named = self.operations.join(", ");
        match self.count.saturating_sub(self.operations.len()) {
            0 => named,
            more => format!(
                "{named} and {}",
                diag::count::counted(more, "more operation")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split_key;

    #[test]
    fn keys_have_an_api_and_a_request() {
        assert_eq!(split_key("shop/list"), ("shop", None));
        assert_eq!(split_key("shop/list all:/x"), ("shop", None));
        let request = Some("GET /q/{id}".to_owned());
        assert_eq!(split_key("GET shop:/q/{id}"), ("shop", request));
    }
}
