//! Command `gwc build --reproduce`: builds a bundle from the local sources and compares it with an
//! existing bundle.

use std::collections::BTreeMap;

use bundle::digest::Digest;
use bundle::ir;
use bundle::publish;
use bundle::statement::Statement;
use bundle::statement::predicate::Build;
use bundle::statement::stored;
use bundle::store::Store;
use bundle::verify::Unverified;
use serde_json::json;

use super::build::BuiltProject;
use super::say::{self, Format};
use crate::release::provenance::VERSION;
use crate::release::{self, AnyStore, Place};
use model::exit::{Exit, Failure};
use model::lower::Lowered;

/// Result of comparing an existing bundle with the bundle built from these sources.
enum Outcome {
    Same,
    /// The bundles differ, and another compiler version built the existing bundle. The string is
    /// that version.
    OtherCompiler(String),
    Different(Vec<String>),
}

pub(super) fn run(
    text: &str,
    place: &Place,
    built: &BuiltProject,
    format: Format,
) -> anyhow::Result<Exit> {
    let id = built.bundle.id();
    let store = place.open_if_there()?;
    // A complete id can be compared even if the bundle is not available.
    let wanted = match (&store, whole(text)) {
        (Some(store), None) => release::resolve_id(store, text)?,
        (_, Some(digest)) => digest,
        (None, None) => {
            return Err(Failure::new(
                Exit::UNREACHABLE,
                "store-unreachable",
                format!(
                    "there is no store at `{}` to look up `{text}`; pass the full id or --store",
                    place.store
                ),
            )
            .into());
        }
    };
    let outcome = if wanted == id {
        Outcome::Same
    } else {
        different(store.as_ref(), wanted, built)?
    };
    let (outcome_name, result, differs) = match &outcome {
        Outcome::Same => ("same", "ok", Vec::new()),
        Outcome::OtherCompiler(version) => (
            "different-compiler",
            "blocked",
            vec![format!("built by gwc {version}, this is gwc {VERSION}")],
        ),
        Outcome::Different(lines) => ("different", "blocked", lines.clone()),
    };
    let install = match &outcome {
        Outcome::OtherCompiler(version) => Some(install(version)),
        Outcome::Same | Outcome::Different(_) => None,
    };
    match format {
        Format::Json => say::json(&say::document(
            "build/v1",
            result,
            json!({"bundle": id, "name": place.project, "store": place.store.to_string(),
                   "operations": built.operations(),
                   "reproduce": {"wanted": wanted, "outcome": outcome_name, "differs": differs, "install": install}}),
        )),
        Format::Human => {
            let mut lines = vec![match &outcome {
                Outcome::Same => format!("same: these sources build {id}"),
                Outcome::OtherCompiler(_) | Outcome::Different(_) => {
                    format!("{outcome_name}: these sources build\n  {id}, not\n  {wanted}")
                }
            }];
            lines.extend(differs.iter().map(|line| format!("  {line}")));
            lines.extend(
                install
                    .iter()
                    .map(|line| format!("install that compiler and try again:\n  {line}")),
            );
            say::result(&lines.join("\n"));
        }
    }
    Ok(match outcome {
        Outcome::Same => Exit::OK,
        Outcome::OtherCompiler(_) | Outcome::Different(_) => Exit::FINDINGS,
    })
}

fn whole(text: &str) -> Option<Digest> {
    Digest::from_hex(text.strip_prefix("sha256:").unwrap_or(text)).ok()
}

/// Returns the command that installs another compiler version.
fn install(version: &str) -> String {
    let repository = env!("CARGO_PKG_REPOSITORY");
    if repository.is_empty() {
        return format!("git checkout v{version} && cargo install --locked --path gwc");
    }
    format!("cargo install --locked --git {repository} --tag v{version} gwc")
}

fn different(
    store: Option<&AnyStore>,
    wanted: Digest,
    built: &BuiltProject,
) -> anyhow::Result<Outcome> {
    let Some(store) = store else {
        return Ok(Outcome::Different(vec![
            "there is no store to compare with".to_owned(),
        ]));
    };
    if let Some(version) = compiler(store, &wanted)?
        && version != VERSION
    {
        return Ok(Outcome::OtherCompiler(version));
    }
    let Ok(unverified) = Unverified::open(store, wanted) else {
        return Ok(Outcome::Different(vec![format!(
            "the store `{}` does not have the bundle {wanted}, so gwc cannot show the differences",
            store.name()
        )]));
    };
    let full = unverified.load_full(store)?;
    let old = crate::assemble::disassemble(&full)?;
    let new = built.compiled.lowered.as_ref();
    let mut lines = Vec::new();
    if let Some(new) = new {
        compare(&old, new, &mut lines);
    }
    if lines.is_empty() {
        lines.push("the bytes differ, the meaning does not".to_owned());
    }
    Ok(Outcome::Different(lines))
}

/// Returns the compiler version in a bundle's build statement. `None` if there is no statement. The
/// statement is not verified, because the version is used only for advice.
fn compiler(store: &dyn Store, bundle: &Digest) -> anyhow::Result<Option<String>> {
    let mut versions = Vec::new();
    for digest in publish::build_statements(store, bundle)? {
        let envelope = stored::open(store, &digest)?;
        versions.push(
            Statement::<Build>::decode(envelope.payload())?
                .predicate
                .builder
                .gwc,
        );
    }
    // Prefer a statement of this compiler version, which should be able to reproduce the bundle.
    let own = versions.iter().position(|version| version == VERSION);
    Ok(versions.into_iter().nth(own.unwrap_or(0)))
}

/// Adds a line for each blob that differs, with the differing operations.
fn compare(old: &Lowered, new: &Lowered, lines: &mut Vec<String>) {
    let bytes = |shared: &ir::Shared| {
        let mut shared = shared.clone();
        // Leave out the digests of the APIs, which are compared one by one below.
        shared.apis = ir::Set::default();
        bundle::codec::encode(&shared)
    };
    if bytes(&old.gateway.shared) != bytes(&new.gateway.shared) {
        lines.push(
            "the shared part differs: listeners, upstreams, verifiers, consumers or policies"
                .to_owned(),
        );
    }
    let names: std::collections::BTreeSet<&str> = old
        .gateway
        .apis
        .iter()
        .chain(new.gateway.apis.iter())
        .map(|api| api.name.as_str())
        .collect();
    for name in names {
        let (before, after) = (old.gateway.apis.get(name), new.gateway.apis.get(name));
        match (before, after) {
            (None, _) => lines.push(format!("api `{name}`: only in these sources")),
            (_, None) => lines.push(format!("api `{name}`: missing in these sources")),
            (Some(before), Some(after)) => {
                list_differences(
                    &format!("api `{name}`, behaviour"),
                    before != after,
                    &operations(before),
                    &operations(after),
                    lines,
                );
                let contract = |side: &Lowered| {
                    side.contracts
                        .get(name)
                        .map(|contract| {
                            contract
                                .operations
                                .iter()
                                .map(|operation| {
                                    (operation.key.clone(), bundle::codec::encode(operation))
                                })
                                .collect::<BTreeMap<_, _>>()
                        })
                        .unwrap_or_default()
                };
                let (before, after) = (contract(old), contract(new));
                list_differences(
                    &format!("api `{name}`, contract"),
                    before != after,
                    &before,
                    &after,
                    lines,
                );
            }
        }
    }
}

/// Operations of an API by key, encoded with their treatments.
fn operations(api: &ir::Api) -> BTreeMap<String, Vec<u8>> {
    let operations = api.operations.iter().map(|operation| {
        let treatment = usize::try_from(operation.treatment)
            .ok()
            .and_then(|index| api.treatments.get(index));
        let mut alone = operation.clone();
        alone.treatment = 0;
        let mut bytes = bundle::codec::encode(&alone);
        bytes.extend(treatment.map(bundle::codec::encode).unwrap_or_default());
        (operation.key.clone(), bytes)
    });
    operations.collect()
}

fn list_differences(
    what: &str,
    differs: bool,
    before: &BTreeMap<String, Vec<u8>>,
    after: &BTreeMap<String, Vec<u8>>,
    lines: &mut Vec<String>,
) {
    if !differs {
        return;
    }
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut some = false;
    for key in keys {
        let difference = match (before.get(key), after.get(key)) {
            (None, _) => "only in these sources",
            (_, None) => "missing in these sources",
            (Some(before), Some(after)) if before != after => "differs",
            (Some(_), Some(_)) => continue,
        };
        some = true;
        lines.push(format!("{what}: {key}: {difference}"));
    }
    if !some {
        lines.push(format!(
            "{what}: mounts, security schemes or own policies differ"
        ));
    }
}
