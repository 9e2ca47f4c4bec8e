//! Renaming of names: edits in every file of the project that names the definition.
//!
//! A rename must not change what the project means. It is refused if a text that may contain the
//! name cannot be edited safely. The message names the file and the line.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use diag::Span;
use diag::shape::is_name;
use lsp_types::{Range, TextEdit, Uri, WorkspaceEdit};
use model::wildcard::star;

use crate::diagnostics::Spans;
use crate::names::{Name, Names, Role, SCHEME, Scope, Target};
use crate::project::Checked;
use crate::text::Encoding;

/// Kinds whose names can be changed. Names of other kinds, such as those of APIs and consumers, are
/// part of what clients, upstreams and the operator see.
const KINDS: [&str; 7] = [
    "a policy",
    "an upstream",
    "a verifier",
    "a listener",
    "a store",
    "a plan",
    SCHEME,
];

/// Names that have a meaning of their own where a name of this kind is expected.
const RESERVED: [(&str, &str); 2] = [("an upstream", "deny"), ("a store", "local")];

/// Names that YAML reads as no value.
const NULLS: [&str; 3] = ["null", "Null", "NULL"];

/// Edits by the path of the file and the byte range of the name.
type Edits<'c> = BTreeMap<(&'c str, u32, u32), Name<'c>>;

/// Range and text of the name at a byte offset, if it can be renamed.
pub(crate) fn renamed(
    checked: &Checked,
    place: (&Path, usize),
    encoding: Encoding,
) -> Option<(Range, String)> {
    let all = Names::of(checked, true);
    let name = all.at(checked, place)?;
    let target = all.targets(&name).first().copied()?;
    let is_whole = name.text == target.text && KINDS.contains(&target.kind);
    let span = name.inner().filter(|_| is_whole)?;
    let range = Spans::new(checked, encoding).range_in(name.compiled, span);
    Some((range, name.text.to_owned()))
}

/// Edits that rename the definition at a byte offset and all its uses.
///
/// # Errors
/// Returns a message if there is no name to rename, if the new name is not valid or not free, or if
/// a text cannot be edited safely.
#[expect(
    clippy::mutable_key_type,
    reason = "lsp-types has URIs as keys; equality and hash use only their text"
)]
pub(crate) fn rename(
    checked: &Checked,
    place: (&Path, usize),
    new: &str,
    encoding: Encoding,
) -> Result<WorkspaceEdit, String> {
    let is_read =
        |compiled: &model::compile::Compiled| compiled.model.is_some() && !compiled.unreadable;
    if !std::iter::once(&checked.compiled)
        .chain(checked.others())
        .all(is_read)
    {
        return Err("a file of the project cannot be read: fix its errors first".to_owned());
    }
    let names = Names::of(checked, true);
    let name = names.at(checked, place);
    let name = name.ok_or("there is no name of the project here")?;
    let target = target(&names, &name)?;
    check_new(&names, target, new)?;
    let mut spans = Spans::new(checked, encoding);
    let mut edits: HashMap<Uri, Vec<TextEdit>> = HashMap::new();
    for (_, one) in places(&names, target, new)? {
        let span = edited(&one, new)?;
        let location = spans.location_in(one.compiled, span);
        let place = location.ok_or_else(|| refusal("the path of the file has no URI", &one))?;
        let edit = TextEdit::new(place.range, new.to_owned());
        edits.entry(place.uri).or_default().push(edit);
    }
    Ok(WorkspaceEdit::new(edits))
}

/// Definition to be renamed.
fn target<'c>(names: &Names<'c>, name: &Name<'c>) -> Result<Target<'c>, String> {
    let targets = names.targets(name);
    let [target] = targets[..] else {
        return Err(match targets.is_empty() {
            true => format!("nothing defines `{}`", name.text),
            false => format!(
                "`{}` stands for several definitions; rename one of them",
                name.text
            ),
        });
    };
    if !KINDS.contains(&target.kind) {
        let why = "other systems know it by this name";
        return Err(format!("{} cannot be renamed here: {why}", target.kind));
    }
    Ok(target)
}

/// Checks that the new name is valid and free.
fn check_new(names: &Names<'_>, target: Target<'_>, new: &str) -> Result<(), String> {
    if !is_name(new) {
        let allowed = "letters, digits, `-`, `_` and `.`";
        return Err(format!("`{new}` is not a name: use {allowed}"));
    }
    if RESERVED.contains(&(target.kind, new)) || NULLS.contains(&new) {
        return Err(format!("`{new}` has another meaning; use another name"));
    }
    if names.is_defined(target.kind, new) {
        return Err(format!("{} with the name `{new}` exists", target.kind));
    }
    Ok(())
}

/// Places of the name, each once.
fn places<'c>(names: &Names<'c>, target: Target<'c>, new: &str) -> Result<Edits<'c>, String> {
    let mut edits = Edits::new();
    let mut shared: BTreeMap<(&str, u32, u32), BTreeSet<Target<'_>>> = BTreeMap::new();
    for one in &names.all {
        if !matches!(one.role, Role::Expression | Role::Opaque) {
            let targets = shared.entry(key(one)).or_default();
            targets.extend(names.targets(one));
        }
        match one.role {
            Role::Opaque if words(one.text, target.text).next().is_some() => {
                let why = format!("`{}` may be a name in this text", target.text);
                return Err(refusal(&why, one));
            }
            Role::Opaque => {}
            Role::Expression => in_expression(one, target, &mut edits)?,
            Role::Pattern if one.text.contains('*') => check_pattern(one, target, new)?,
            _ if names.targets(one).contains(&target) => {
                edits.insert(key(one), *one);
            }
            Role::Pattern | Role::Reference if one.kind == target.kind && one.text == new => {
                return Err(refusal(&format!("`{new}` is in use, but not defined"), one));
            }
            _ => {}
        }
    }
    let mut several = edits.iter().filter(|(key, _)| {
        let targets = shared.get(*key);
        targets.is_some_and(|targets| targets.len() > 1)
    });
    match several.next() {
        Some((_, one)) => {
            let why = format!("`{}` stands for several definitions", target.text);
            Err(refusal(&why, one))
        }
        None => Ok(edits),
    }
}

fn key<'c>(name: &Name<'c>) -> (&'c str, u32, u32) {
    (name.path(), name.span.start, name.span.end)
}

/// Refuses a pattern that matches only one of the two names.
fn check_pattern(pattern: &Name<'_>, target: Target<'_>, new: &str) -> Result<(), String> {
    let is_whole = pattern.scope == Scope::Project;
    let written = |target: Target<'_>| match is_whole {
        true => target.in_project(),
        false => target.text.to_owned(),
    };
    let after = Target {
        text: new,
        ..target
    };
    let is_same = star(pattern.text, &written(target)) == star(pattern.text, &written(after));
    if pattern.kind != target.kind || is_same {
        return Ok(());
    }
    let why = format!(
        "the pattern `{}` matches only one of `{}` and `{new}`",
        pattern.text, target.text
    );
    Err(refusal(&why, pattern))
}

/// Adds the names in the strings of an expression: `SCHEME by NAME`, with which expressions compare
/// `auth.scheme`.
fn in_expression<'c>(
    one: &Name<'c>,
    target: Target<'c>,
    edits: &mut Edits<'c>,
) -> Result<(), String> {
    if one.kind != target.kind || !one.text.contains("scheme") {
        return Ok(());
    }
    let before = match target.api {
        None => " by ".to_owned(),
        Some(api) => format!(" by {api}/"),
    };
    let source = one.source();
    for at in words(source, target.text) {
        let end = at + target.text.len();
        let is_string = source[end..].starts_with(['"', '\'', '\\']);
        if source[..at].ends_with('/') && target.api.is_none() {
            continue;
        }
        if !source[..at].ends_with(&before) || !is_string {
            let why = format!("`{}` may be a name in this expression", target.text);
            return Err(refusal(&why, one));
        }
        let text = target.text;
        let span = one.span.slice(at, end);
        let name = Name { text, span, ..*one };
        edits.insert(key(&name), name);
    }
    Ok(())
}

/// Offsets at which a name is a whole word of a text.
fn words<'t>(text: &'t str, name: &'t str) -> impl Iterator<Item = usize> + 't {
    let continues =
        |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let all = text.match_indices(name).map(|(at, _)| at);
    all.filter(move |at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        !continues(before) && !continues(after)
    })
}

/// Span that the new name replaces.
fn edited(name: &Name<'_>, new: &str) -> Result<Span, String> {
    let is_short = new.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !new.starts_with(|c: char| c.is_ascii_digit());
    if name.is_selector && !is_short {
        let why = format!(
            "a name with `-` or `.` needs brackets: write `['{}']` first",
            name.text
        );
        return Err(refusal(&why, name));
    }
    let inner = name.inner();
    inner.ok_or_else(|| refusal("the name is written with escapes", name))
}

/// Message for a rename that is not possible because of a place.
fn refusal(why: &str, name: &Name<'_>) -> String {
    let line = name.compiled.files.sources.position(name.span).line;
    format!("{why} ({}:{line})", name.path())
}
