//! Automatic fixes (`gwc lint --fix`). An edit replaces the text of a span and keeps everything
//! else, including comments and layout.
//!
//! Overlapping edits are applied in separate rounds. After each round, the text is checked again.
//! This module writes no files.

use std::collections::BTreeMap;

use diag::diagnostic::Edit;
use diag::{Diagnostic, Span};

use model::compile::Compiled;
use sources::project::files::{Files, Texts};

/// Rules whose edits can change who may call an operation: they choose a security scheme, a
/// verifier, a policy, a scope, a listener, an open operation or the value of a setting by a similar
/// name, or add content that had no effect.
const ACCESS_RULES: [&str; 14] = [
    "bad-value",
    "malformed-overlay",
    "misspelt-extension",
    "undeclared-scope",
    "undefined-security-scheme",
    "unknown-alias",
    "unknown-auth",
    "unknown-environment",
    "unknown-listener",
    "unknown-plan",
    "unknown-policy",
    "unknown-store",
    "unknown-variable",
    "unmatched-allow-public",
];

/// Rule about keys of gateway.yaml and `x-gateway`. Its edits are applied only for [`PLAIN_KEYS`].
const KEY_RULE: &str = "unknown-key";

/// Keys of gateway.yaml and `x-gateway` that decide neither who may call an operation nor which
/// requests are served. This applies to all objects outside [`ACCESS_SECTIONS`]. Edits of other
/// keys are only suggestions, so that a new key is never corrected by accident.
const PLAIN_KEYS: [&str; 51] = [
    "active",
    "attempts",
    "backoff",
    "base",
    "body_timeout",
    "bounded_load",
    "budget",
    "circuit_breaker",
    "connect",
    "connections",
    "consecutive_5xx",
    "consecutive_failures",
    "consecutive_gateway_failures",
    "consecutive_local_failures",
    "dns",
    "ejection",
    "failure_ratio",
    "half_open_requests",
    "hash_on",
    "header_timeout",
    "health",
    "healthy_after",
    "host_header",
    "idle",
    "idle_timeout",
    "interval",
    "jitter",
    "lb",
    "limits",
    "max_body",
    "max_ejected",
    "max_ejection",
    "min_concurrent",
    "min_requests",
    "owner",
    "passive",
    "pending",
    "per_try_timeout",
    "refresh",
    "request",
    "requests",
    "retries",
    "slow_calls",
    "slow_start",
    "targets",
    "timeout",
    "timeouts",
    "unhealthy_after",
    "upstream",
    "upstreams",
    "weight",
];

/// Keys that decide who may call an operation, which requests are served, or what a release may
/// change. Nothing below them is corrected.
const ACCESS_SECTIONS: [&str; 24] = [
    "+policies",
    "acknowledge",
    "allow_public",
    "auth",
    "claims",
    "client_auth",
    "consumers",
    "gates",
    "groups",
    "internal",
    "invariants",
    "keys",
    "match",
    "path_readings",
    "plans",
    "policies",
    "public",
    "release",
    "required",
    "security",
    "securitySchemes",
    "undeclared_methods",
    "unmatched",
    "validate",
];

/// Keys of OpenAPI documents that decide who may call an operation, or that contain operations.
const DOCUMENT_KEYS: [&str; 6] = [
    "components",
    "pathItems",
    "paths",
    "security",
    "securitySchemes",
    "servers",
];

/// Values in OpenAPI documents that decide how an operation is protected: types of security
/// schemes.
const DOCUMENT_VALUES: [&str; 5] = ["apiKey", "http", "mutualTLS", "oauth2", "openIdConnect"];

/// Maximum number of rounds. An edit may make further edits possible.
pub const ROUNDS_MAX: usize = 10;

/// Result of automatic fixes ([`apply_fixes`]).
pub struct FixResult {
    /// Result of compiling the fixed texts, with the remaining findings.
    pub compiled: Compiled,
    /// Changed texts, by file path.
    pub changes: BTreeMap<String, Change>,
    /// Number of findings that were fixed.
    pub findings: usize,
}

/// Text of a file before and after edits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Text of the file before the edits.
    pub old: String,
    /// Text of the file after the edits.
    pub new: String,
}

/// Applies edits until no edits are left. `look` compiles the project with the given texts instead
/// of the files on disk.
///
/// # Errors
/// Returns the errors of `look`.
pub fn apply_fixes(look: impl Fn(&Texts) -> anyhow::Result<Compiled>) -> anyhow::Result<FixResult> {
    let mut changes: BTreeMap<String, Change> = BTreeMap::new();
    let mut findings = 0;
    for round in 0.. {
        let texts = changes
            .iter()
            .map(|(path, change)| (path.clone(), change.new.as_str().into()))
            .collect();
        let compiled = look(&texts)?;
        let chosen = chosen(&compiled);
        if chosen.edits.is_empty() || round == ROUNDS_MAX {
            changes.retain(|_, change| change.old != change.new);
            return Ok(FixResult {
                compiled,
                changes,
                findings,
            });
        }
        findings += chosen.findings;
        for (file, edits) in chosen.edits {
            let source = compiled.files.sources.file(file);
            let new = edited(source.text(), &edits);
            let change = changes.entry(source.path().to_owned());
            change
                .and_modify(|change| change.new.clone_from(&new))
                .or_insert_with(|| Change {
                    old: source.text().to_owned(),
                    new,
                });
        }
    }
    unreachable!("the last round returns")
}

/// Selected edits that do not overlap, by file.
struct Chosen {
    edits: BTreeMap<diag::FileId, Vec<Edit>>,
    findings: usize,
}

fn chosen(compiled: &Compiled) -> Chosen {
    let mut chosen = Chosen {
        edits: BTreeMap::new(),
        findings: 0,
    };
    for finding in &compiled.findings {
        let free = finding.fix.iter().all(|edit| {
            let others = chosen.edits.get(&edit.span.file).into_iter().flatten();
            others.into_iter().all(|other| apart(edit, other))
        });
        if finding.fix.is_empty() || !free || changes_access(finding, &compiled.files) {
            continue;
        }
        chosen.findings += 1;
        for edit in &finding.fix {
            let edits = chosen.edits.entry(edit.span.file).or_default();
            edits.push(edit.clone());
        }
    }
    for edits in chosen.edits.values_mut() {
        edits.sort_by_key(|edit| edit.span);
    }
    chosen
}

/// True if the edits of a finding can change who may call an operation. The text that the edits
/// correct had no effect before, so the edits could open an operation. Such edits are only
/// suggestions.
fn changes_access(finding: &Diagnostic, files: &Files) -> bool {
    if ACCESS_RULES.contains(&finding.lint.name) {
        return true;
    }
    // The removal of text without effect changes nothing.
    if finding.fix.iter().all(|edit| edit.text.is_empty()) {
        return false;
    }
    let keys = keys_to(files, finding.span);
    let key = corrected_key(finding, files);
    if finding.lint.name == KEY_RULE {
        // The last key is the misspelt one.
        let above = &keys[..keys.len().saturating_sub(1)];
        return !PLAIN_KEYS.contains(&key) || is_in_access_section(above);
    }
    let mut edits = finding.fix.iter();
    let is_access = |text: &str| DOCUMENT_KEYS.contains(&text) || DOCUMENT_VALUES.contains(&text);
    is_access(key)
        || edits.any(|edit| is_access(&edit.text))
        || match finding.lint.name {
            "unknown-upstream" => is_in_access_section(&keys),
            _ => keys.iter().any(|key| is_security(key)),
        }
}

fn is_in_access_section(keys: &[&str]) -> bool {
    keys.iter().any(|key| ACCESS_SECTIONS.contains(key))
}

fn is_security(key: &str) -> bool {
    ["security", "securitySchemes"].contains(&key)
}

/// Key after the edits of a finding about a key. An edit that only adds a space after the colon of
/// `public:true` does not contain the key.
fn corrected_key<'c>(finding: &'c Diagnostic, files: &'c Files) -> &'c str {
    let written = files.sources.text(finding.span).split(':').next();
    let corrected = finding.fix.iter().find(|edit| edit.text != " ");
    corrected.map_or(written.unwrap_or_default(), |edit| edit.text.as_str())
}

/// Keys on the way from the root of a file to the key or value at a span.
fn keys_to(files: &Files, span: Span) -> Vec<&str> {
    let mut keys = Vec::new();
    let holds = |outer: Span| {
        let end = outer.end.max(outer.start + 1);
        outer.file == span.file && (outer.start..end).contains(&span.start)
    };
    let mut node = files.root(span.file).map(|root| files.tree.at(root));
    // The parser limits the nesting depth, so the loop ends.
    while let Some(outer) = node {
        let mut entries = outer.entries();
        let entry = entries.find(|(entry, value)| holds(entry.key_span) || holds(value.span()));
        node = match entry {
            Some((entry, value)) => {
                keys.push(&*entry.key);
                Some(value)
            }
            None => outer.items().find(|item| holds(item.span())),
        };
    }
    keys
}

fn apart(one: &Edit, other: &Edit) -> bool {
    one.span.end < other.span.start || other.span.end < one.span.start
}

/// Applies edits to a text. The edits must be sorted and must not overlap.
fn edited(text: &str, edits: &[Edit]) -> String {
    let mut new = String::with_capacity(text.len());
    let mut at = 0;
    for edit in edits {
        new.push_str(&text[at..edit.span.start as usize]);
        new.push_str(&edit.text);
        at = edit.span.end as usize;
    }
    new.push_str(&text[at..]);
    new
}

#[cfg(test)]
mod tests {
    use diag::shape::{Field, NameKeys, Object, Shape};

    use super::*;

    /// Calls `found` for each field of a shape, with the keys above the field.
    fn fields(
        shape: &'static Shape,
        above: &[&'static str],
        found: &mut dyn FnMut(&[&'static str], &'static Field),
    ) {
        match shape {
            Shape::List(inner)
            | Shape::Several(inner)
            | Shape::Map(inner)
            | Shape::ByName(_, inner)
            | Shape::Table(inner)
            | Shape::Keyed(_, inner)
            | Shape::Known(_, inner) => fields(inner, above, found),
            Shape::Object(object) => fields_of(object, above, found),
            Shape::Kinds(variants) => {
                for variant in *variants {
                    fields_of(variant.object, above, found);
                }
            }
            Shape::Either(shapes) => {
                for shape in *shapes {
                    fields(shape, above, found);
                }
            }
            _ => {}
        }
    }

    fn fields_of(
        object: &'static Object,
        above: &[&'static str],
        found: &mut dyn FnMut(&[&'static str], &'static Field),
    ) {
        for field in object.fields {
            found(above, field);
            let own = [field.key];
            let below = [above, &own[..]].concat();
            fields(&field.shape, &below, found);
        }
    }

    /// Kinds of the names to which a value with this shape refers itself, without its fields.
    fn kinds(shape: &'static Shape) -> Vec<&'static str> {
        match shape {
            Shape::Name(kind) | Shape::NamePattern(kind) | Shape::WordOrName(_, kind) => {
                vec![*kind]
            }
            Shape::ByName(NameKeys::Refer(kinds), inner) => {
                let inner = self::kinds(inner);
                [*kinds, inner.as_slice()].concat()
            }
            Shape::List(inner)
            | Shape::Several(inner)
            | Shape::Map(inner)
            | Shape::ByName(NameKeys::Define(_), inner)
            | Shape::Table(inner)
            | Shape::Keyed(_, inner)
            | Shape::Known(_, inner) => kinds(inner),
            Shape::Either(shapes) => shapes.iter().flat_map(kinds).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn plain_keys_of_the_vocabulary_grant_nothing() {
        let mut missing: Vec<&str> = PLAIN_KEYS.to_vec();
        let mut sections: Vec<&str> = ACCESS_SECTIONS.to_vec();
        let mut look = |above: &[&'static str], field: &'static Field| {
            sections.retain(|key| *key != field.key);
            let is_plain = |key: &&'static str| PLAIN_KEYS.contains(key);
            if is_in_access_section(above) || !(is_plain(&field.key) || above.iter().any(is_plain))
            {
                return;
            }
            // A key is plain only if everything below it is plain, too.
            missing.retain(|key| *key != field.key);
            let context = format!("{}.{}", above.join("."), field.key);
            assert!(!field.is_guard, "{context}");
            assert!(!ACCESS_SECTIONS.contains(&field.key), "{context}");
            for kind in kinds(&field.shape) {
                assert!(["an upstream", "a store"].contains(&kind), "{context}");
            }
        };
        fields(&vocab::gateway::SHAPE, &[], &mut look);
        for (_, shape) in vocab::extension::POINTS {
            fields(shape, &[], &mut look);
        }
        assert_eq!(missing, [""; 0]);
        // `securitySchemes` is a key of OpenAPI documents.
        assert_eq!(sections, ["securitySchemes"]);
    }

    #[test]
    fn access_settings_of_the_vocabulary_are_held_back() {
        let mut guards = 0;
        let mut look = |above: &[&'static str], field: &'static Field| {
            let is_applied = PLAIN_KEYS.contains(&field.key) && !is_in_access_section(above);
            let decides = ["a policy", "a verifier", "a plan", "a security scheme"];
            let mut names = kinds(&field.shape).into_iter();
            let is_access = field.is_guard || names.any(|kind| decides.contains(&kind));
            guards += usize::from(is_access);
            assert!(!is_access || !is_applied, "{above:?} {}", field.key);
        };
        fields(&vocab::gateway::SHAPE, &[], &mut look);
        for (_, shape) in vocab::extension::POINTS {
            fields(shape, &[], &mut look);
        }
        assert!(guards > 10, "{guards}");
    }
}
