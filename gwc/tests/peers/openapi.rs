//! Tests of gwc's OpenAPI reader against the crate openapiv3. gwc must read every document of the
//! corpus that openapiv3 accepts. Both must agree on operations, names of parameters, and names of
//! required security schemes. openapiv3 supports only OpenAPI 3.0, does not resolve references to
//! other files, and checks only types.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use diag::Sink;
use openapi::lint::Chosen;
use openapi::spec::Spec;
use openapiv3::{OpenAPI, Parameter, ReferenceOr};
use sources::project::files::{Document, Files};
use sources::syntax::Limits;

use crate::yaml::documents;
use prerequisite::corpus;

/// Documents that only openapiv3 accepts, or that both read differently: end of the path, beginning
/// of the reported difference, and reason why gwc is right.
const OTHERWISE: &[(&str, &str, &str)] = &[
    (
        "oas-3.2/pass/path-item-object-example.yaml",
        "they do not have (\"/pets/{id}\", \"copy\")",
        "`additionalOperations` came with 3.2",
    ),
    (
        "broken/yaml-duplicate-key.yaml",
        "we do not have (\"/things\", \"post\")",
        "of two equal keys, which are an error, we read the first, serde the last",
    ),
];

/// Operation: path and method.
type Key = (String, String);

/// Facts about an operation that both parsers report.
#[derive(Debug, PartialEq, Eq)]
struct OperationFacts {
    id: Option<String>,
    /// Location and name of each parameter. `None` if the parameters cannot be determined.
    parameters: Option<BTreeSet<(String, String)>>,
    /// Names of the security schemes of each alternative, in order.
    security: Option<Vec<BTreeSet<String>>>,
}

#[test]
fn document_accepted_by_openapiv3_means_the_same() {
    let root = corpus::folder();
    let full = prerequisite::is_full();
    let mut files = Vec::new();
    for folder in ["specs", "conformance", "broken", "oasdiff"] {
        documents(&root.join(folder), &mut files, false);
    }
    if full {
        documents(&root.join("history"), &mut files, false);
    }
    let read = sources::parallel::map(files, |path: PathBuf| {
        let theirs = theirs(&path)?;
        let shown = path
            .strip_prefix(&root)
            .unwrap_or(&path)
            .display()
            .to_string();
        Some(compare(&path, &theirs).map_err(|what| (shown, what)))
    });
    let (mut accepted, mut operations) = (0, 0);
    let (mut wrong, mut known) = (Vec::new(), BTreeSet::new());
    for outcome in read.into_iter().flatten() {
        accepted += 1;
        match outcome {
            Ok(count) => operations += count,
            Err((shown, what)) => {
                let is_this = |(path, begin, _): &(&str, &str, &str)| {
                    shown.ends_with(path) && what.starts_with(begin)
                };
                match OTHERWISE.iter().position(is_this) {
                    Some(at) => drop(known.insert(at)),
                    None => wrong.push(format!("{shown}: {what}")),
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {accepted}\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(
        known.len(),
        OTHERWISE.len(),
        "one is no longer so: {known:?}"
    );
    assert!(
        accepted > 200 && operations > 1_000,
        "{accepted} documents, {operations} operations"
    );
}

/// Compares one document. Returns the number of its operations.
fn compare(path: &Path, theirs: &OpenAPI) -> Result<usize, String> {
    let folder = path.parent().ok_or("no folder")?;
    let name = path.file_name().ok_or("no name")?.to_string_lossy();
    let Some((files, spec)) = ours(folder, &name)? else {
        return Ok(0);
    };
    let theirs = their_operations(theirs);
    let ours = our_operations(&files, &spec);
    for (key, their) in &theirs {
        let Some(ours) = ours.get(key) else {
            return Err(format!("we do not have {key:?}"));
        };
        let same = ours.id == their.id
            && ours.security == their.security
            && (their.parameters.is_none() || ours.parameters == their.parameters);
        if !same {
            return Err(format!("{key:?}: ours {ours:?}, theirs {their:?}"));
        }
    }
    // openapiv3 omits paths that are references.
    let known: BTreeSet<&String> = theirs.keys().map(|(path, _)| path).collect();
    match ours
        .keys()
        .find(|key| known.contains(&key.0) && !theirs.contains_key(*key))
    {
        Some(key) => Err(format!("they do not have {key:?}")),
        None => Ok(theirs.len()),
    }
}

/// Reads a document with gwc. `None` for a version that openapiv3 does not support.
fn ours(folder: &Path, name: &str) -> Result<Option<(Files, Spec)>, String> {
    let mut files = Files::open(folder, Limits::default()).map_err(|error| error.to_string())?;
    let mut sink = Sink::default();
    let file = files.read(name).map_err(|refusal| format!("{refusal:?}"))?;
    files.report(file, &mut sink);
    let root = files.root(file).ok_or("we find no root")?;
    let document = Document {
        file,
        root,
        overlays: Vec::new(),
    };
    files.follow(&document);
    let spec = openapi::check::document(&files, &document, &Chosen::default(), &mut sink);
    let found: Vec<&str> = sink
        .findings()
        .iter()
        .map(|finding| finding.message.as_str())
        .collect();
    match spec {
        Some(spec) => Ok(Some((files, spec))),
        None => Err(format!("we do not read it: {found:?}")),
    }
}

fn our_operations(files: &Files, spec: &Spec) -> BTreeMap<Key, OperationFacts> {
    let mut all = BTreeMap::new();
    for item in &spec.paths {
        // openapiv3 omits a path item that is a reference, so it is omitted here, too.
        let at = files
            .tree
            .at(spec.root)
            .get("paths")
            .and_then(|paths| paths.get(&item.template.value));
        if at.is_some_and(|item| item.get("$ref").is_some()) {
            continue;
        }
        for operation in &item.operations {
            let security = operation.security.as_ref().map(|security| {
                let names = security.alternatives.iter().map(|one| {
                    one.schemes
                        .iter()
                        .map(|(name, _)| name.value.clone())
                        .collect()
                });
                names.collect()
            });
            let parameters = operation.parameters.iter();
            let facts = OperationFacts {
                id: operation.operation_id.as_ref().map(|id| id.value.clone()),
                parameters: Some(
                    parameters
                        .map(|one| (one.place.name().to_owned(), one.name.value.clone()))
                        .collect(),
                ),
                security,
            };
            let method = operation.method.0.to_ascii_lowercase();
            all.insert((item.template.value.clone(), method), facts);
        }
    }
    all
}

// === openapiv3's side ===

fn theirs(path: &Path) -> Option<OpenAPI> {
    let text = std::fs::read_to_string(path).ok()?;
    if path
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        return serde_json::from_str(&text).ok();
    }
    serde_yaml_ng::from_str(&text).ok()
}

fn their_operations(document: &OpenAPI) -> BTreeMap<Key, OperationFacts> {
    let mut all = BTreeMap::new();
    for (path, item) in &document.paths.paths {
        let ReferenceOr::Item(item) = item else {
            continue;
        };
        let shared = names(document, &item.parameters);
        for (method, operation) in item.iter() {
            let own = names(document, &operation.parameters);
            let parameters = shared
                .clone()
                .zip(own)
                .map(|(shared, own)| shared.into_iter().chain(own).collect());
            let security = operation.security.as_ref().map(|list| {
                list.iter()
                    .map(|one| one.keys().cloned().collect())
                    .collect()
            });
            let facts = OperationFacts {
                id: operation.operation_id.clone(),
                parameters,
                security,
            };
            all.insert((path.clone(), method.to_owned()), facts);
        }
    }
    all
}

/// Location and name of each parameter. `None` if a parameter is a reference to another file.
fn names(
    document: &OpenAPI,
    parameters: &[ReferenceOr<Parameter>],
) -> Option<Vec<(String, String)>> {
    let name = |parameter: &Parameter| {
        let place = match parameter {
            Parameter::Query { .. } => "query",
            Parameter::Header { .. } => "header",
            Parameter::Path { .. } => "path",
            Parameter::Cookie { .. } => "cookie",
        };
        (
            place.to_owned(),
            parameter.parameter_data_ref().name.clone(),
        )
    };
    let resolved = parameters.iter().map(|parameter| match parameter {
        ReferenceOr::Item(parameter) => Some(name(parameter)),
        ReferenceOr::Reference { reference } => {
            let key = reference.strip_prefix("#/components/parameters/")?;
            match document.components.as_ref()?.parameters.get(key)? {
                ReferenceOr::Item(parameter) => Some(name(parameter)),
                ReferenceOr::Reference { .. } => None,
            }
        }
    });
    resolved.collect()
}
