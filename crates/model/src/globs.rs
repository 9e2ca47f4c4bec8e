//! Key `apis_glob`: patterns that find OpenAPI documents. The name of each API comes from its
//! document (`x-gateway.api`). Default: the file name without its extension.

use std::collections::BTreeSet;

use diag::shape::{BAD_VALUE, is_name};
use diag::{Diagnostic, Sink, Span, Spanned};

use crate::Defined;
use crate::settings::{ApiEntry, Settings};
use sources::project::files::{Files, Listed, Skipped};
use sources::project::lints::{API_NAME_CLASH, GLOB_MATCHES_NOTHING};

/// Adds an API for each file that matches a pattern and is not in `apis`. Excludes files that
/// gateway.yaml uses for another purpose (overlays, patches, consumers, tests).
pub fn expand(files: &mut Files, settings: &mut Settings, sink: &mut Sink) {
    let known = settings.apis.len();
    let examples = "`apis/*.yaml`, `teams/**/*.api.yaml`";
    let search = Search {
        taken: &settings.other_files,
        named: settings.apis.iter().map(|api| &*api.path.value).collect(),
        examples,
    };
    let found = files_of(files, &settings.apis_glob, &search, sink);
    let paths: Vec<String> = found.iter().map(|file| file.value.clone()).collect();
    files.read_all(&paths);
    for file in found {
        add(files, file, known, settings, sink);
    }
    settings.apis.sort_by(|a, b| a.name.cmp(&b.name));
}

/// Files that a search for patterns leaves out, and texts for its findings.
pub struct Search<'s> {
    /// Files that gateway.yaml uses for a different purpose.
    pub taken: &'s BTreeSet<String>,
    /// Files that gateway.yaml names for the same purpose. A link among them gets no finding.
    pub named: BTreeSet<&'s str>,
    /// Example patterns for the help.
    pub examples: &'s str,
}

/// Finds the files that match the patterns, each once, without [`Search::taken`]. A pattern that
/// begins with `!` excludes files. Reports a pattern that matches no file. Also reports a pattern
/// that matches links and special files, which the search skips.
pub fn files_of(
    files: &Files,
    patterns: &[Spanned<String>],
    search: &Search<'_>,
    sink: &mut Sink,
) -> Vec<Spanned<String>> {
    let (without, with): (Vec<_>, Vec<_>) = patterns
        .iter()
        .partition(|pattern| pattern.value.starts_with('!'));
    let examples = search.examples;
    let mut taken = search.taken.clone();
    for pattern in without {
        let inner = Spanned::new(pattern.value[1..].to_owned(), pattern.span);
        let listed = matching(files, &inner, sink).unwrap_or_default();
        taken.extend(listed.files);
        taken.extend(listed.skipped.into_iter().map(|(path, _)| path));
    }
    let mut found: Vec<Spanned<String>> = Vec::new();
    let mut seen = BTreeSet::new();
    for pattern in with {
        let Some(Listed { files, skipped }) = matching(files, pattern, sink) else {
            continue;
        };
        let is_free = |path: &String| !taken.contains(path);
        let paths: Vec<String> = files.into_iter().filter(is_free).collect();
        let is_new = |path: &String| is_free(path) && !search.named.contains(path.as_str());
        let mut skipped = skipped.into_iter().filter(|(path, _)| is_new(path));
        let first = skipped.next();
        if let Some((path, kind)) = &first {
            sink.push(skips((path, *kind), skipped.count(), pattern.span));
        }
        if paths.is_empty() && first.is_none() {
            let message = format!("no file matches `{}`", pattern.value.escape_debug());
            sink.push(
                Diagnostic::new(&GLOB_MATCHES_NOTHING, pattern.span, message).help(format!(
                    "patterns are relative to the project's folder: {examples}; a pattern with `!` in front excludes files"
                )),
            );
        }
        for path in paths {
            if seen.insert(path.clone()) {
                found.push(Spanned::new(path, pattern.span));
            }
        }
    }
    found
}

/// Finding about a pattern that matches entries which are not regular files. Names the first such
/// entry and the number of further ones (`more`).
fn skips((path, kind): (&str, Skipped), more: usize, span: Span) -> Diagnostic {
    let kind = match kind {
        Skipped::Link => "a symbolic link",
        Skipped::Special => "not a regular file",
    };
    let rest = match more {
        0 => String::new(),
        1 => "; 1 more entry is skipped".to_owned(),
        more => format!("; {more} more entries are skipped"),
    };
    let message = format!("`{}` is {kind} and is skipped{rest}", path.escape_debug());
    Diagnostic::new(&GLOB_MATCHES_NOTHING, span, message).help(
        "patterns find regular files only: name the file that is meant, or exclude the entry by a pattern with `!` in front",
    )
}

/// Returns the files that match a pattern, sorted, and the other entries that match. `None` if the
/// pattern is invalid.
fn matching(files: &Files, pattern: &Spanned<String>, sink: &mut Sink) -> Option<Listed> {
    let glob = globset::GlobBuilder::new(&pattern.value)
        .literal_separator(true)
        .build();
    let glob = match glob {
        Ok(glob) if !pattern.value.starts_with('/') => glob.compile_matcher(),
        other => {
            let why = match other {
                Err(error) => error.kind().to_string(),
                Ok(_) => "it must be relative to the project's folder".to_owned(),
            };
            sink.push(Diagnostic::new(
                &BAD_VALUE,
                pattern.span,
                format!("`{}` is not a pattern: {why}", pattern.value.escape_debug()),
            ));
            return None;
        }
    };
    // Search only the folder before the first wildcard of the pattern.
    let literal = pattern.value.find(['*', '?', '[', '{', '\\']);
    let literal = &pattern.value[..literal.unwrap_or(pattern.value.len())];
    let folder = literal.rsplit_once('/').map_or("", |(folder, _)| folder);
    match files.list(folder) {
        Ok(mut listed) => {
            listed.files.retain(|path| glob.is_match(path));
            listed.skipped.retain(|(path, _)| glob.is_match(path));
            Some(listed)
        }
        Err(refusal) => {
            sink.push(refusal.finding(folder, pattern.span));
            None
        }
    }
}

/// Name that a document gives its API (`x-gateway.api`). `None` if the document names none.
fn own_name(files: &mut Files, path: &str, span: Span) -> Option<Spanned<String>> {
    // Errors of the file are reported when it is read as a document.
    let (_, root) = files.load(path, span, &mut Sink::default())?;
    let name = files.tree.at(root).get("x-gateway")?.get("api")?;
    Some(Spanned::new(name.scalar_text()?.to_owned(), name.span()))
}

fn add(
    files: &mut Files,
    Spanned { value: path, span }: Spanned<String>,
    known: usize,
    settings: &mut Settings,
    sink: &mut Sink,
) {
    let path = path.as_str();
    let written = settings.apis[..known].iter();
    if written.clone().any(|api| api.path.value == path) {
        return;
    }
    let file = path.rsplit_once('/').map_or(path, |(_, file)| file);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let written = own_name(files, path, span);
    let name = written.as_ref().map_or(stem, |name| &name.value);
    let letter = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if let Some(name) = written.as_ref().filter(|name| !is_name(&name.value)) {
        let message = format!("`{}` cannot name an API", name.value.escape_debug());
        sink.push(
            Diagnostic::new(&BAD_VALUE, name.span, message).help(
                "write letters, digits, `-`, `_` and `.`; the first one is a letter or digit",
            ),
        );
        return;
    }
    if name.is_empty() || !name.chars().all(letter) {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                span,
                format!("`{}` cannot name an API", name.escape_debug()),
            )
            .label("a file that matches has this name")
            .help("name it under `apis`, or rename the file: letters, digits, `-`, `_` and `.`"),
        );
        return;
    }
    if let Some(other) = settings.apis.iter().find(|api| api.name == name) {
        if other.path.value != path {
            sink.push(
                Diagnostic::new(
                    &API_NAME_CLASH,
                    span,
                    format!(
                        "the files `{}` and `{}` would both get the API name `{}`",
                        other.path.value.escape_debug(),
                        path.escape_debug(),
                        name.escape_debug()
                    ),
                )
                .related(other.span, "the other one is named here")
                .help("name one of them under `apis`, or write another `x-gateway: {api: NAME}` in a document"),
            );
        }
        return;
    }
    settings.apis.push(ApiEntry {
        name: name.to_owned(),
        span,
        path: Spanned::new(path.to_owned(), span),
        overlays: Vec::new(),
        mounts: vec![Defined {
            value: settings.default_mount.clone(),
            span,
            node: None,
        }],
        environments: None,
        unmatched: None,
        undeclared_methods: None,
        serve_document: None,
        declared: policy::declared::Settings::default(),
    });
}
