//! Parts that all formats of a plan share: the subject of the plan, and phrases for a change.

use std::collections::HashMap;

use bundle::digest::Digest;

use super::change::MAY_BREAK;
use super::environments::called;
use super::excerpt;
use super::links::Links;
use super::words;
use super::{Change, Class, OperationRef, Outcome, Plan, Review, Section, Witness};
use diag::count::counted;
use diag::text::printable;
use model::acknowledge::TEMPLATE;
use vocab::checks::Level;

/// Plan, with the other data that its output formats need.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The plan to write.
    pub plan: &'a Plan,
    /// Subject of the plan.
    pub subject: &'a Subject,
    /// Gates and acknowledgements.
    pub review: &'a Review,
}

/// Description of a comparison besides the two bundles: channel, environments and origins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Channel whose head is the old side, if any.
    pub channel: Option<String>,
    /// Serial of the channel's head. `None` without a channel or a head.
    pub serial: Option<u64>,
    /// Digest of the record at the channel's head. `None` without a channel or a head.
    pub record: Option<String>,
    /// Environment for which the sources were compiled. `None`: without an environment.
    pub environment: Option<String>,
    /// Environments of a plan that compares several, with their sides.
    pub environments: Vec<Compared>,
    /// Origin of the old side, if it is not a channel.
    pub old: Origin,
    /// Origin of the new side.
    pub new: Origin,
    /// Path of the project folder relative to the current directory, with a final `/`. Empty if
    /// both folders are the same.
    pub folder: String,
    /// Addresses of the sources, for links in Markdown.
    pub links: Links,
}

/// Environment of a plan that compares several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Name of the environment. `None` for the project without an environment.
    pub name: Option<String>,
    /// Channel whose head is the old side, if any.
    pub channel: Option<String>,
    /// Serial of the channel's head. `None` without a channel or a head.
    pub serial: Option<u64>,
    /// Digest of the record at the channel's head. `None` without a channel or a head.
    pub record: Option<String>,
    /// Bundle of the old side. `None` if that side does not have the environment.
    pub old: Option<Digest>,
    /// Bundle of the new side. `None` if that side does not have the environment.
    pub new: Option<Digest>,
}

/// Number of changes of one class, for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Number of operations with such a change, and of such changes without an operation.
    pub count: usize,
    /// Class of the changes.
    pub class: Class,
    /// Name of the class, or `may break` ([`Change::label`]).
    pub name: &'static str,
    /// Meaning of the class in a few words.
    pub meaning: &'static str,
}

/// Place from which one side of a plan was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Name on the command line: `git:main`, a path or an id. `None` for the project and for the
    /// channel.
    pub name: Option<String>,
    /// Commit from which the side was read. `None`: the side was not read from a commit.
    pub commit: Option<String>,
    /// Files with uncommitted changes, relative to the project.
    pub uncommitted: Vec<String>,
}

impl Report<'_> {
    /// Result of the plan: `blocked`, `changes`, or `ok` if the release would change nothing.
    #[must_use]
    pub fn result(&self) -> &'static str {
        let idle = self.plan.no_op && self.plan.count(Class::Rules) == 0;
        match (self.review.tripped(self.plan).is_empty(), idle) {
            (false, _) => "blocked",
            (true, true) => "ok",
            (true, false) => "changes",
        }
    }

    /// Describes both sides of the comparison in one phrase.
    #[must_use]
    pub fn compared(&self) -> String {
        let subject = self.subject;
        if !subject.environments.is_empty() {
            return self.compared_each();
        }
        let old = self.plan.old.map(|id| id.short());
        let against = match (&subject.channel, subject.serial, &subject.old.name, old) {
            (Some(channel), Some(serial), _, Some(old)) => {
                format!("channel {channel}, serial {serial} (bundle {old})")
            }
            (Some(channel), ..) => format!("channel {channel}, which is empty"),
            (None, _, Some(name), Some(old)) => format!("{} (bundle {old})", printable(name)),
            (None, _, None, Some(old)) => format!("bundle {old}"),
            (None, _, _, None) => "nothing".to_owned(),
        };
        let new = self.plan.new.short();
        match &subject.new.name {
            Some(name) => format!("{} (bundle {new}) against {against}", printable(name)),
            None => format!("bundle {new} against {against}"),
        }
    }

    fn compared_each(&self) -> String {
        let subject = self.subject;
        let names = subject.environments.iter();
        let names: Vec<String> = names
            .map(|one| printable(&called(one.name.as_deref().unwrap_or_default())))
            .collect();
        let is_empty = subject.environments.iter().all(|one| one.old.is_none());
        let against = match (&subject.old.name, is_empty) {
            (Some(name), _) => printable(name),
            (None, false) => "the heads of their channels".to_owned(),
            (None, true) => "nothing".to_owned(),
        };
        let new = match &subject.new.name {
            Some(name) => format!("{}, ", printable(name)),
            None => String::new(),
        };
        let counted = counted(names.len(), "environment");
        format!("{new}{counted} ({}) against {against}", names.join(", "))
    }

    /// Environments in which a change occurs, for display. `None` if the change occurs in all
    /// environments.
    #[must_use]
    pub fn environments_of(&self, change: &Change) -> Option<String> {
        let one_line = change.id.starts_with("environment-");
        if one_line
            || change.environments.is_empty()
            || change.environments == self.plan.environments
        {
            return None;
        }
        let names: Vec<String> = change
            .environments
            .iter()
            .map(|name| called(name))
            .collect();
        Some(printable(&format!("in {}", names.join(", "))))
    }

    /// Number of changes of each class, without classes that have none. Changes that may break
    /// clients are counted apart from those that do.
    #[must_use]
    pub fn counts(&self) -> Vec<Count> {
        self.counts_of(|_| true)
    }

    /// Number of changes of each class in a section, for its heading: `5 weaken, 1 changed`. Each
    /// operation counts once per class, as in [`Self::counts`].
    #[must_use]
    pub fn section_counts(&self, section: Section) -> String {
        let counts = self.counts_of(|change| change.section == section);
        let counts = counts.iter();
        let counts = counts.map(|one| format!("{} {}", one.count, one.name));
        counts.collect::<Vec<_>>().join(", ")
    }

    fn counts_of(&self, is_counted: impl Fn(&Change) -> bool) -> Vec<Count> {
        let count = |class: Class, may_break: bool| {
            let count = self.plan.count_of(|change| {
                change.class == class && change.may_break() == may_break && is_counted(change)
            });
            let (name, meaning) = match may_break {
                true => (MAY_BREAK, words::MAY_BREAK_MEANING),
                false => (class.name(), words::meaning(class)),
            };
            Count {
                count,
                class,
                name,
                meaning,
            }
        };
        let all = Class::ALL.into_iter();
        let all = all.flat_map(|class| match class {
            Class::Break => vec![count(class, false), count(class, true)],
            other => vec![count(other, false)],
        });
        all.filter(|one| one.count > 0).collect()
    }

    /// Verdict on the plan in one phrase: `blocked` or `changes` with the worst class of the plan,
    /// or `no changes`.
    #[must_use]
    pub fn verdict(&self) -> String {
        let counts = self.counts();
        let worst = counts.iter().min_by_key(|one| {
            let order = Class::WORST_FIRST.iter();
            order.take_while(|class| **class != one.class).count()
        });
        match (self.result(), worst) {
            ("ok", None) => "no changes".to_owned(),
            ("ok", Some(worst)) => format!("no changes ({})", worst.meaning),
            (result, None) => result.to_owned(),
            (result, Some(worst)) => {
                format!("{result}, worst: {} ({})", worst.name, worst.meaning)
            }
        }
    }

    /// Note on an acknowledged change, with the reviewer and the reason. `None` if the change is
    /// not acknowledged.
    #[must_use]
    pub fn remark(&self, change: &Change) -> Option<String> {
        let ack = self.review.acknowledgement(&change.fingerprint)?;
        let by = ack
            .by
            .as_ref()
            .map(|by| format!(" by {by}"))
            .unwrap_or_default();
        let why = ack
            .reason
            .as_ref()
            .map(|why| format!(": {why}"))
            .unwrap_or_default();
        Some(printable(&format!("acknowledged{by}{why}")))
    }
}

/// Symbol that precedes a change in text output.
#[must_use]
pub fn symbol(class: Class) -> &'static str {
    match class {
        Class::Added | Class::Expose | Class::Grant => "+",
        Class::Removed => "-",
        Class::Weaken | Class::Incomparable | Class::Break | Class::Rules => "!",
        Class::Strengthen
        | Class::Moved
        | Class::Shadowed
        | Class::Relax
        | Class::Tighten
        | Class::Changed
        | Class::Doc => "~",
    }
}

/// Maximum number of operations that a line about several operations lists.
const NAMED_MAX: usize = 3;

/// Describes what a change concerns: an operation, several operations, or another subject.
#[must_use]
pub fn what(change: &Change) -> String {
    let text = match (&change.operation, change.operations.len()) {
        _ if is_named_by_subject(change) => words::with_indexes(&change.subject),
        (Some(operation), 0 | 1) if operation.method.is_empty() => {
            format!("{} ({})", paths(change, operation), operation.key)
        }
        (Some(operation), 0 | 1) => format!(
            "{} {} ({})",
            operation.method,
            paths(change, operation),
            operation.key
        ),
        (_, count) => {
            let operations = change.operations.iter();
            let named: Vec<&str> = operations.take(NAMED_MAX).map(String::as_str).collect();
            let more = if count > NAMED_MAX { ", …" } else { "" };
            format!("{count} operations: {}{more}", named.join(", "))
        }
    };
    printable(&text)
}

/// Maximum number of paths of one operation that are listed.
const PATHS_MAX: usize = 5;

/// Path templates of the requests that a change of one operation concerns. There are several if the
/// operation has several mounts, an optional final slash, or `undeclared_methods`.
fn paths(change: &Change, operation: &OperationRef) -> String {
    let all = change.paths();
    if all.len() < 2 {
        return operation.path.clone();
    }
    let named: Vec<&str> = all.iter().copied().take(PATHS_MAX).collect();
    let more = if all.len() > PATHS_MAX { ", …" } else { "" };
    format!("{} paths: {}{more}", all.len(), named.join(", "))
}

/// Subject of a change and its values, safe for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values {
    /// Subject with a final `: `. Empty if [`what`] shows it. A change of a client contract begins
    /// with the meaning of its check, and with `(warn)` if it is only a warning.
    pub subject: String,
    /// Former value. `None` for a first release.
    pub old: Option<String>,
    /// New value.
    pub new: String,
}

/// Returns the subject of a change and its values. Long values of client contracts and of prose are
/// shortened.
#[must_use]
pub fn values(change: &Change) -> Values {
    match change.message.is_some() || change.section == Section::Docs {
        true => values_within(change, VALUES_MAX),
        false => values_within(change, usize::MAX),
    }
}

/// Subject and values of a change as in [`values`]. Both values together have at most about
/// `chars_max` characters.
fn values_within(change: &Change, chars_max: usize) -> Values {
    let check = match &change.message {
        Some(message) if message.level == Level::Warn => format!("{} (warn); ", check(change.id)),
        Some(_) => format!("{}; ", check(change.id)),
        None => String::new(),
    };
    let subject = match is_named_by_subject(change) {
        true => String::new(),
        false => format!("{}: ", words::with_indexes(words::subject(change))),
    };
    let [old, new] = excerpt::of(words::values(change), chars_max);
    let has_old = change.id != "first-release";
    Values {
        subject: printable(&format!("{check}{subject}")),
        old: has_old.then(|| printable(&old)),
        new: printable(&new),
    }
}

/// Meaning of a check in plain text, without a full stop. The id of the check if it has none.
fn check(id: &str) -> String {
    let Some(check) = vocab::checks::of(id) else {
        return id.to_owned();
    };
    check.means.trim_end_matches('.').replace('`', "")
}

/// Formats a change as an arrow: `access: header x-key → open to everyone`.
#[must_use]
pub fn arrow(change: &Change) -> String {
    joined(values(change))
}

/// Formats a change as [`arrow`] does. Shortens the values so that the text has at most `chars_max`
/// characters, as far as possible.
#[must_use]
pub fn arrow_within(change: &Change, chars_max: usize) -> String {
    let whole = arrow(change);
    let length = whole.chars().count();
    if length <= chars_max {
        return whole;
    }
    let subject = values(change).subject.chars().count();
    let room = chars_max.saturating_sub(subject + ARROW_CHARS);
    joined(values_within(change, room.max(VALUES_MIN)))
}

/// Formats values as an arrow: `access: header x-key → open to everyone`.
#[must_use]
pub fn joined(Values { subject, old, new }: Values) -> String {
    match old {
        Some(old) => format!("{subject}{old} → {new}"),
        None => format!("{subject}{new}"),
    }
}

/// True if a report shows the old and the new value of a change beside [`what`]. False for added and
/// removed requests, whose value only repeats the operation.
#[must_use]
pub fn has_arrow(change: &Change) -> bool {
    change.section != Section::Routing
        || change.class == Class::Moved
        || is_named_by_subject(change)
}

/// True if [`what`] shows the subject of the change.
fn is_named_by_subject(change: &Change) -> bool {
    change.operation.is_none() || change.id == "first-release"
}

/// Maximum number of characters of the old and the new value together in text output, for schemas
/// and prose. JSON contains the whole values.
const VALUES_MAX: usize = 320;

/// Minimum number of characters for both values together in a text of [`arrow_within`].
const VALUES_MIN: usize = 80;

/// Number of characters of the arrow and of the ellipses around two values.
const ARROW_CHARS: usize = 7;

/// Note on the locations of the other changes of a line. Empty if there are no other changes.
#[must_use]
pub fn more_places(others: usize) -> String {
    match others {
        0 => String::new(),
        others => format!(" and {}", counted(others, "other place")),
    }
}

/// Maximum number of bytes of a body that a sentence shows. JSON contains every body.
const BODY_SHOWN_MAX: usize = 2_000;

/// Describes a witness in one sentence, with the whole request: fields, credentials with scopes and
/// roles, and the body. Also the response of the upstream, if its check decides.
#[must_use]
pub fn sentence(witness: &Witness) -> String {
    let mut text = format!("{} {}", witness.method, witness.url);
    let fields = witness.headers.iter();
    for (name, value) in fields.filter(|(name, _)| !is_credential(witness, name)) {
        text.push_str(&format!(" with {name}: {value}"));
    }
    for credential in &witness.credentials {
        let names = credential.certificate.as_ref();
        let names = names.map(|(_, names)| names.replace('\n', ", "));
        let mut parts = vec![credential.scheme.clone()];
        parts.extend(names.filter(|names| !names.is_empty()));
        for (word, list) in [("scopes", &credential.scopes), ("roles", &credential.roles)] {
            if !list.is_empty() {
                parts.push(format!("{word} {}", list.join(", ")));
            }
        }
        text.push_str(&format!(
            " with a {} credential ({})",
            credential.state,
            parts.join("; ")
        ));
    }
    if witness.credentials.is_empty() {
        text.push_str(" without a credential");
    }
    if let Some(body) = &witness.body {
        text.push_str(&shown_body(body));
    }
    if let Some(peer) = witness.peer {
        text.push_str(&format!(" from {peer}"));
    }
    text.push_str(&format!(" at listener {}", witness.listener));
    if let Some(response) = &witness.response {
        text.push_str(&format!(", the upstream responds {}", response.status));
        for (name, value) in &response.headers {
            text.push_str(&format!(" with {name}: {value}"));
        }
        if let Some((media_type, body)) = &response.body {
            let body = shown_body(body);
            text.push_str(&format!(" with content-type: {media_type}{body}"));
        }
    }
    printable(&format!(
        "{text}: {} before, {} after",
        outcome(&witness.old),
        outcome(&witness.new)
    ))
}

/// Part of a sentence about the body of a message.
fn shown_body(body: &str) -> String {
    match body.len() {
        0..=BODY_SHOWN_MAX => format!(" with the body {body}"),
        length => format!(" with a body of {length} bytes (`--format json` has it)"),
    }
}

/// True if a field only carries a credential named in the sentence.
fn is_credential(witness: &Witness, name: &str) -> bool {
    witness.credentials.iter().any(|credential| {
        let mut words = credential.scheme.split(' ');
        match words.next() {
            Some("header") => words
                .next()
                .is_some_and(|own| own.eq_ignore_ascii_case(name)),
            Some("basic" | "bearer") => name.eq_ignore_ascii_case("authorization"),
            _ => false,
        }
    })
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Nothing => "nothing".into(),
        Outcome::Closed => "connection closed".into(),
        Outcome::Interrupted { operation } => {
            format!("served by {operation}, the body ends at the invalid item")
        }
        Outcome::Served {
            operation,
            upstream: None,
        } => format!("served by {operation}"),
        Outcome::Served {
            operation,
            upstream: Some(upstream),
        } => format!("served by {operation} from {upstream}"),
        Outcome::Refused { status } => format!("{status}"),
    }
}

/// Maximum number of merged changes for which separate acknowledgements are suggested. Separate
/// acknowledgements stay valid if the line later covers another operation.
const MEMBERS_MAX: usize = 10;

/// Entries for the acknowledgement file that acknowledge these fingerprints.
#[must_use]
pub fn acknowledgement_lines(plan: &Plan, review: &Review, fingerprints: &[String]) -> Vec<String> {
    let known: HashMap<&str, &Change> = plan
        .changes
        .iter()
        .map(|change| (&*change.fingerprint, change))
        .collect();
    let template = TEMPLATE.map(|(key, word)| format!("{key}: {word}"));
    let line = |fingerprint: &str, change: &Change, about: &str| {
        format!(
            "- {{fingerprint: \"{fingerprint}\", kind: {}, operation: {}, {}{}}}",
            change.id,
            quoted(about),
            environments(change),
            template.join(", ")
        )
    };
    let of_change = |fingerprint: &String| -> Vec<String> {
        let Some(change) = known.get(&**fingerprint) else {
            return Vec::new();
        };
        if change.members.is_empty() || change.members.len() > MEMBERS_MAX {
            return vec![line(fingerprint, change, &change.about())];
        }
        let members = change.members.iter();
        let left = members.filter(|member| review.acknowledgement(&member.fingerprint).is_none());
        left.map(|member| line(&member.fingerprint, change, &member.about))
            .collect()
    };
    fingerprints.iter().flat_map(of_change).collect()
}

/// Key `environments` of an acknowledgement entry, with the environments of a change. Empty for a
/// project without environments.
fn environments(change: &Change) -> String {
    if change.environments.iter().all(String::is_empty) {
        return String::new();
    }
    let names = change.environments.iter().map(|name| quoted(name));
    format!("environments: [{}], ", names.collect::<Vec<_>>().join(", "))
}

/// Quotes a string for YAML. Escapes invisible characters.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if printable(c.encode_utf8(&mut [0; 4])) == c.to_string() => out.push(c),
            c => out.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    out.push('"');
    out
}
