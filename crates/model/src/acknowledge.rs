//! Acknowledgements: reviewed changes that may pass a gate. An acknowledgement is an option of the
//! command line, or an entry of the file that `acknowledge` in gateway.yaml names.
//!
//! A fingerprint covers the old and the new value. An acknowledgement therefore covers exactly one
//! change, not a later, wider one.

use std::collections::{BTreeMap, BTreeSet};

use diag::shape::{self, BAD_VALUE, read_date};
use diag::{Diagnostic, FileId, Kind, NodeRef, Sink, Span};

use crate::place::Place;
use sources::project::files::Files;
use vocab::gateway::{ACKNOWLEDGEMENTS, is_fingerprint};
use vocab::lints::ACKNOWLEDGED_TWICE;

/// Number of hexadecimal digits of a fingerprint: 128 bits. With fewer bits, the author of two
/// changes could find contents with equal fingerprints, and one acknowledgement would cover both.
pub const DIGITS: usize = 32;

/// Number of hexadecimal digits that messages show.
pub const DIGITS_SHOWN: usize = 12;

/// Keys of an acknowledgement entry that the reviewer must fill in, with the placeholders that `gwc
/// plan` prints.
pub const TEMPLATE: [(&str, &str); 2] = [("reason", "WHY"), ("by", "WHO")];

/// Maximum number of entries of an acknowledgement file.
const ENTRIES_MAX: usize = 100_000;

/// Acknowledgement of one change by a reviewer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Fingerprint of the change.
    pub fingerprint: String,
    /// Kind of the change, such as `security-requirement-removed`. `None` on the command line.
    pub kind: Option<String>,
    /// Subject of the change, as in `plan::Change::about`. `None` on the command line.
    pub operation: Option<String>,
    /// Names of the environments for which the change is accepted. The fingerprint covers these
    /// names. `None`: the environments of the plan.
    pub environments: Option<BTreeSet<String>>,
    /// Reason for the change. Always present in a file. `None` is possible only on the command
    /// line.
    pub reason: Option<String>,
    /// Name of the reviewer. `None`: not given.
    pub by: Option<String>,
    /// Time at which the acknowledgement expires, in Unix seconds, and its last day as written in
    /// the file. `None`: the acknowledgement does not expire.
    pub until: Option<(u64, String)>,
    /// Location in the file. `None` on the command line.
    pub place: Option<Place>,
}

impl Acknowledgement {
    /// True if the acknowledgement matches a change of this kind and subject. An acknowledgement
    /// from the command line has no kind and subject, and matches any change.
    #[must_use]
    pub fn names(&self, kind: &str, about: &str) -> bool {
        let is = |named: &Option<String>, text: &str| named.as_deref().is_none_or(|it| it == text);
        is(&self.kind, kind) && is(&self.operation, about)
    }
}

/// Parses `FINGERPRINT=REASON` of a command-line option.
///
/// # Errors
/// Returns a message with the mistake and the text to write instead.
pub fn option(text: &str) -> Result<Acknowledgement, String> {
    let (digits, reason) = text.split_once('=').unwrap_or((text, ""));
    let reason = reason.trim();
    let digits = digits.trim().to_ascii_lowercase();
    if !is_fingerprint(&digits) {
        return Err(format!(
            "write all {DIGITS} hexadecimal digits, as the last lines of `gwc plan` show them; \
another change can begin with the same digits"
        ));
    }
    if reason.is_empty() {
        return Err(format!(
            "the reason is missing: write --ack {digits}=REASON"
        ));
    }
    Ok(Acknowledgement {
        fingerprint: digits,
        reason: Some(reason.to_owned()),
        ..Acknowledgement::default()
    })
}

/// Reads the acknowledgement file. Invalid entries are reported and left out. If several entries
/// have the same fingerprint, all are returned, because the caller checks which have expired.
pub fn read_file(files: &mut Files, named: (&str, Span), sink: &mut Sink) -> Vec<Acknowledgement> {
    let Some((file, root)) = files.load(named.0, named.1, sink) else {
        return Vec::new();
    };
    let root = files.tree.at(root);
    // A null root is a file without entries.
    if root.is_null() || !shape::check(root, &ACKNOWLEDGEMENTS, sink) && !root.is_list() {
        return Vec::new();
    }
    let mut first: BTreeMap<String, Span> = BTreeMap::new();
    let mut read = Vec::new();
    for node in root.items().take(ENTRIES_MAX) {
        check_words(node, sink);
        let Some(one) = entry(files, file, node) else {
            continue;
        };
        if let Some(known) = first.get(&one.fingerprint) {
            let message = format!("the change {} is acknowledged twice", one.fingerprint);
            sink.push(
                Diagnostic::new(&ACKNOWLEDGED_TWICE, node.span(), message)
                    .related(*known, "this entry applies until its last day"),
            );
        } else {
            first.insert(one.fingerprint.clone(), node.span());
        }
        read.push(one);
    }
    read
}

/// Reports values that have the right type but no usable content: blank strings, and a fingerprint
/// that YAML reads as a number (such as `133e45678901`).
fn check_words(node: NodeRef<'_>, sink: &mut Sink) {
    if let Some(number) = node
        .get("fingerprint")
        .filter(|node| matches!(node.kind(), Kind::Number(_)))
    {
        let message = "the fingerprint is read as a number here";
        sink.push(
            Diagnostic::new(&BAD_VALUE, number.span(), message)
                .help("write it in quotes, as `gwc plan` prints it"),
        );
    }
    for (key, help) in [
        ("kind", "write the change's id, as `gwc plan` prints it"),
        (
            "operation",
            "write what the change is about, as `gwc plan` prints it",
        ),
        ("reason", "write why the change is accepted"),
        ("by", "write who reviewed the change"),
    ] {
        let text = node.get(key).filter(|text| {
            text.scalar_text()
                .is_some_and(|text| text.trim().is_empty())
        });
        if let Some(text) = text {
            let message = format!("`{key}` is empty");
            sink.push(Diagnostic::new(&BAD_VALUE, text.span(), message).help(help));
        }
        let left = node.get(key).filter(|text| is_placeholder(key, *text));
        if let Some(text) = left {
            let message = format!("`{key}` is still the placeholder of the template");
            sink.push(Diagnostic::new(&BAD_VALUE, text.span(), message).help(help));
        }
    }
}

/// True if a value is still the placeholder of [`TEMPLATE`].
fn is_placeholder(key: &str, value: NodeRef<'_>) -> bool {
    let text = value.scalar_text().map(str::trim);
    TEMPLATE
        .iter()
        .any(|(of, word)| *of == key && text == Some(*word))
}

/// Reads one entry of the acknowledgement file. `None` if the entry is invalid.
fn entry(files: &Files, file: FileId, node: NodeRef<'_>) -> Option<Acknowledgement> {
    let fingerprint = node.get("fingerprint").and_then(NodeRef::as_str);
    let fingerprint = fingerprint.filter(|text| (vocab::gateway::FINGERPRINT.fits)(text))?;
    let text_of = |key: &str| {
        let value = node.get(key).filter(|value| !is_placeholder(key, *value))?;
        let text = value.scalar_text()?;
        (!text.trim().is_empty()).then(|| text.to_owned())
    };
    let (reason, by) = (text_of("reason")?, text_of("by")?);
    let (kind, operation) = (text_of("kind")?, text_of("operation")?);
    let until = match node.get("until") {
        None => None,
        Some(day) => {
            let day = day.scalar_text()?;
            Some((read_date(day)?, day.to_owned()))
        }
    };
    let environments = node.get("environments").map(|names| {
        let names = names.items().filter_map(NodeRef::as_str);
        names.map(str::to_owned).collect::<BTreeSet<String>>()
    });
    let position = files.sources.position(node.span());
    Some(Acknowledgement {
        fingerprint: fingerprint.to_owned(),
        environments,
        kind: Some(kind),
        operation: Some(operation),
        reason: Some(reason),
        by: Some(by),
        until,
        place: Some(Place {
            file: files.sources.file(file).path().to_owned(),
            line: position.line,
            column: position.column,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ack_option_needs_all_digits_and_a_reason() {
        let read = option("1F0C5B7E9A2100000000000000000001=ticket 12 = fine").expect("it is one");
        assert_eq!(read.fingerprint, "1f0c5b7e9a2100000000000000000001");
        assert_eq!(read.reason.as_deref(), Some("ticket 12 = fine"));
        for bad in [
            "",
            "1f0c5b7e9a21=why",
            "1f0c5b7e9a210000000000000000000=why",
            "1f0c5b7e9a21000000000000000000011=why",
            "1f0c5b7e9a210000000000000000000g=why",
            "1f0c5b7e9a2100000000000000000001",
            "1f0c5b7e9a2100000000000000000001=",
            "1f0c5b7e9a2100000000000000000001= ",
        ] {
            assert!(option(bad).is_err(), "{bad}");
        }
    }
}
