//! Sides of a comparison: `git:REV`, a project's folder, an OpenAPI document, a bundle's id, or a
//! one-file bundle.

mod find;
mod unconverted;
mod working_folder;

pub(super) use find::{base, base_of, is_before_project};
pub(super) use unconverted::check as check_unconverted;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bundle::digest::Digest;
use bundle::history::Entry;
use bundle::name::ChannelName;
use bundle::trust::Trust;
use diag::{FileId, NodeRef, Sink, Span};

use super::options::StoreOptions;
use super::say::{self, Context};
use super::target::Target;
use crate::assemble::assemble;
use crate::release;
use ::plan::Side;
use ::plan::ask::Oracle;
use ::plan::report::Origin;
use model::compile::{self, Compiled, Purpose};
use model::environment;
use model::exit::{Exit, Failure};
use model::source_map::SourceMap;
use sources::project::GATEWAY_FILE;
use sources::project::files::Files;
use sources::project::revision::Revision;
use sources::project::state::uncommitted;

/// Maximum number of names that a message lists.
const NAMED_MAX: usize = 10;

/// Side of a comparison that was found but not read yet.
pub(super) struct Named {
    /// Argument on the command line.
    name: String,
    what: What,
}

enum What {
    /// Project in a folder on disk or in a revision.
    Project(Place),
    /// OpenAPI document: its folder, and its file name in the folder.
    Document(Place, String),
    /// Bundle file, or id of a bundle in the store.
    Bundle,
}

/// Location of source files.
enum Place {
    Disk(PathBuf),
    /// Folder in a revision: the revision, the prefix of paths in messages, and the path of the
    /// submodule if the revision is in one.
    Git(Revision, String, Option<String>),
}

/// Role of a version in a command, for messages: old, new, or the only version.
#[derive(Clone, Copy)]
pub(super) enum Which {
    Old,
    New,
    Only,
}

/// Version that was read for a comparison.
pub(super) struct Read {
    pub(super) side: Side,
    pub(super) origin: Origin,
    /// Prefix of paths in output: the folder relative to the current directory or to the root of
    /// the repository, with a final `/`.
    pub(super) folder: String,
    /// Notes about this version for the plan.
    pub(super) notes: Vec<String>,
    /// Folder on disk. `None` for a revision and a bundle.
    pub(super) disk: Option<PathBuf>,
}

impl Read {
    /// Refuses a version on disk that is compared with a revision, if Git converts its sources.
    /// `other`: argument of the other version.
    ///
    /// # Errors
    /// Returns the errors of [`check_unconverted`].
    pub(super) fn check_against(&self, other: &str) -> anyhow::Result<()> {
        match (&self.disk, &self.side.source) {
            (Some(folder), Some(map)) if other.starts_with("git:") => {
                check_unconverted(folder, map.files.clone(), map.is_document)
            }
            (_, _) => Ok(()),
        }
    }
}

/// Names of project and API for a document without a project. Taken from the other version if that
/// version has exactly one API. Default: `document` and `api`.
#[derive(Clone)]
struct Names {
    project: String,
    api: String,
}

/// Version whose files were opened but not compiled.
struct OpenSide {
    name: String,
    /// Sources of the version. `None` for a bundle.
    sources: Option<Sources>,
}

struct Sources {
    files: Files,
    /// File name of the document, if the version is a document without a project.
    document: Option<String>,
    /// Prefix of paths in messages for people.
    shown: String,
    /// Prefix of paths in output for other programs.
    seen: String,
    /// Folder on disk. `None` for a revision.
    disk: Option<PathBuf>,
    commit: Option<String>,
    /// Notes about this version for the plan.
    notes: Vec<String>,
}

impl Named {
    /// Finds the version named by an argument.
    pub(super) fn find(text: &str, context: &Context) -> anyhow::Result<Self> {
        let what = match text.strip_prefix("git:") {
            Some(revision) => find::of_revision(revision, context)?,
            None => find::of_path(text)?,
        };
        Ok(Self {
            name: text.to_owned(),
            what,
        })
    }
}

/// Reads both versions. A document that is compared with a project or bundle of one API gets the
/// names of that API. An `operationId` that occurs twice in one of two documents is ignored in both
/// documents.
pub(super) fn both(
    (old, new): (Named, Named),
    at: &StoreOptions,
    context: &Context,
) -> anyhow::Result<(Read, Read)> {
    let arguments = (old.name.clone(), new.name.clone());
    let (mut old, mut new) = (open(old, context)?, open(new, context)?);
    let mut repeated = repeated_ids(&mut old);
    repeated.append(&mut repeated_ids(&mut new));
    note_repeated(&repeated);
    let no_names = Names {
        project: "document".to_owned(),
        api: "api".to_owned(),
    };
    let read = |opened: OpenSide, which: Which, names: &Names| {
        read(opened, which, at, context, (names, &repeated))
    };
    let (old, new) = match (old.is_document(), new.is_document()) {
        (true, false) => {
            let new = read(new, Which::New, &no_names)?;
            let names = names_of(&new.side).unwrap_or(no_names);
            (read(old, Which::Old, &names)?, new)
        }
        (false, true) => {
            let old = read(old, Which::Old, &no_names)?;
            let names = names_of(&old.side).unwrap_or(no_names);
            (old, read(new, Which::New, &names)?)
        }
        (true, true) | (false, false) => (
            read(old, Which::Old, &no_names)?,
            read(new, Which::New, &no_names)?,
        ),
    };
    old.check_against(&arguments.1)?;
    new.check_against(&arguments.0)?;
    Ok((old, new))
}

/// Reads the old version of a plan. A document without a project gets the names of project and API
/// from the new version.
pub(super) fn against(
    text: &str,
    new: Option<&Side>,
    at: &StoreOptions,
    context: &Context,
) -> anyhow::Result<Read> {
    let project = new.map(|new| new.lowered.gateway.shared.project.clone());
    let names = new.and_then(names_of).unwrap_or_else(|| Names {
        project: project.unwrap_or_else(|| "document".to_owned()),
        api: "api".to_owned(),
    });
    let mut opened = open(Named::find(text, context)?, context)?;
    let repeated = repeated_ids(&mut opened);
    note_repeated(&repeated);
    read(opened, Which::Old, at, context, (&names, &repeated))
}

/// Reads a version that is not compared with another version.
pub(super) fn one(text: &str, at: &StoreOptions, context: &Context) -> anyhow::Result<Read> {
    alone(text, Which::Only, at, context)
}

/// Reads the version of an argument, independently of any other version.
pub(super) fn alone(
    text: &str,
    which: Which,
    at: &StoreOptions,
    context: &Context,
) -> anyhow::Result<Read> {
    let no_names = Names {
        project: "document".to_owned(),
        api: "api".to_owned(),
    };
    let mut opened = open(Named::find(text, context)?, context)?;
    let repeated = repeated_ids(&mut opened);
    note_repeated(&repeated);
    read(opened, which, at, context, (&no_names, &repeated))
}

/// Names of the environments that a project declares. `None` for a document or a bundle.
pub(super) fn environments(text: &str, context: &Context) -> anyhow::Result<Option<Vec<String>>> {
    let opened = open(Named::find(text, context)?, context)?;
    let sources = opened.sources.filter(|sources| sources.document.is_none());
    Ok(sources.map(|mut sources| declared(&mut sources.files)))
}

/// Names of the environments that gateway.yaml declares.
pub(super) fn declared(files: &mut Files) -> Vec<String> {
    let start = Span::start_of(FileId(0));
    let root = files.load(GATEWAY_FILE, start, &mut Sink::default());
    let declared = root.map(|(_, root)| environment::environments(files.tree.at(root)));
    let all = declared.into_iter().flatten();
    all.map(|environment| environment.name).collect()
}

impl OpenSide {
    fn is_document(&self) -> bool {
        let sources = self.sources.as_ref();
        sources.is_some_and(|sources| sources.document.is_some())
    }
}

/// Returns each `operationId` that several operations of a document share. These operations are
/// identified by method and path, as operations without an id are. Shared ids occur in practice and
/// must not prevent a comparison.
fn repeated_ids(opened: &mut OpenSide) -> BTreeSet<String> {
    let Some(sources) = &mut opened.sources else {
        return BTreeSet::new();
    };
    let Some(document) = &sources.document else {
        return BTreeSet::new();
    };
    sources.files.allow(document);
    sources.files.widen();
    let root = sources.files.read(document).ok();
    let Some(root) = root.and_then(|file| sources.files.root(file)) else {
        return BTreeSet::new();
    };
    let paths = sources.files.tree.at(root).get("paths");
    let operations = paths
        .into_iter()
        .flat_map(NodeRef::entries)
        .flat_map(|(_, item)| item.entries());
    let ids = operations.filter_map(|(_, operation)| operation.get("operationId")?.as_str());
    let mut seen = BTreeSet::new();
    ids.filter(|id| !seen.insert(*id))
        .map(str::to_owned)
        .collect()
}

fn note_repeated(repeated: &BTreeSet<String>) {
    if repeated.is_empty() {
        return;
    }
    let named: Vec<String> = repeated
        .iter()
        .take(NAMED_MAX)
        .map(|id| diag::text::printable(id))
        .collect();
    let more = match repeated.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    say::note_once(&format!(
        "note: compared by method and path, because their operationId occurs twice: {}{more}",
        named.join(", ")
    ));
}

fn names_of(side: &Side) -> Option<Names> {
    let gateway = &side.lowered.gateway;
    let mut apis = gateway.apis.iter();
    match (apis.next(), apis.next()) {
        (Some(api), None) => Some(Names {
            project: gateway.shared.project.clone(),
            api: api.name.clone(),
        }),
        _ => None,
    }
}

/// Lists the source files below a folder that differ from the last commit, including deleted YAML
/// and JSON files. Also prints a note with these files.
pub(super) fn note_uncommitted(folder: &Path, map: &SourceMap) -> Vec<String> {
    let sources = |path: &str| {
        let kind = Path::new(path).extension().and_then(|kind| kind.to_str());
        map.files.contains_key(path)
            || matches!(kind, Some("yaml" | "yml" | "json")) && !folder.join(path).exists()
    };
    let files = match uncommitted(folder, sources, map.files.keys().map(String::as_str)) {
        Ok(files) => files,
        Err(error) => {
            say::note_once(&format!(
                "warning: cannot determine the uncommitted files: {}",
                error.message()
            ));
            return Vec::new();
        }
    };
    if !files.is_empty() {
        let named: Vec<String> = files
            .iter()
            .take(NAMED_MAX)
            .map(|file| diag::text::printable(file))
            .collect();
        let more = match files.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        say::note_once(&format!("note: not committed: {}{more}", named.join(", ")));
    }
    files
}

fn open(named: Named, context: &Context) -> anyhow::Result<OpenSide> {
    let Named { name, what } = named;
    let (place, document) = match what {
        What::Bundle => {
            return Ok(OpenSide {
                name,
                sources: None,
            });
        }
        What::Project(place) => (place, None),
        What::Document(place, file) => (place, Some(file)),
    };
    if document.is_some() && context.environment.is_some() {
        return Err(Failure::usage("a document has no environments; name a project").into());
    }
    let sources = match place {
        Place::Disk(folder) => {
            let shown = say::seen_folder(&folder);
            let mut files = Files::open(&folder, context.limits).map_err(|error| {
                let folder = say::path(&folder);
                let message = format!("cannot read {folder}: {error}");
                Failure::new(Exit::INPUT, "input", message)
            })?;
            if let Some(base) = &context.base {
                files.set_base(base);
            }
            Sources {
                files,
                document,
                seen: shown.clone(),
                shown,
                disk: Some(folder),
                commit: None,
                notes: Vec::new(),
            }
        }
        Place::Git(revision, shown, submodule) => Sources {
            notes: submodule
                .map(|path| {
                    format!(
                        "`{name}` is a revision of the submodule `{}`, not of its parent repository",
                        diag::text::printable(&path)
                    )
                })
                .into_iter()
                .collect(),
            document,
            shown,
            seen: match revision.folder() {
                "" => String::new(),
                folder => format!("{folder}/"),
            },
            disk: None,
            commit: revision.commit(),
            files: Files::of_revision(revision, context.limits),
        },
    };
    Ok(OpenSide {
        name,
        sources: Some(sources),
    })
}

fn read(
    opened: OpenSide,
    which: Which,
    at: &StoreOptions,
    context: &Context,
    (names, repeated): (&Names, &BTreeSet<String>),
) -> anyhow::Result<Read> {
    let OpenSide { name, sources } = opened;
    let mut origin = Origin {
        name: Some(name.clone()),
        ..Origin::default()
    };
    let Some(sources) = sources else {
        let side = bundle_side(&name, at, context)?;
        return Ok(Read {
            side,
            origin,
            folder: String::new(),
            notes: Vec::new(),
            disk: None,
        });
    };
    let Sources {
        mut files,
        document,
        shown,
        seen,
        disk,
        commit,
        mut notes,
    } = sources;
    origin.commit = commit;
    // Compared versions are not built into bundles, so tolerate errors in contracts.
    let past = matches!(which, Which::Old | Which::New);
    let purpose = match document {
        Some(_) if past => Purpose::PastAlone,
        None if past => Purpose::Past,
        Some(_) => Purpose::CompareAlone,
        None => Purpose::Compare,
    };
    if let Some(file) = &document {
        files.write(GATEWAY_FILE, gateway_of(file, names, !repeated.is_empty()));
        files.write(UNNAMED_FILE, unnamed(repeated));
    }
    let version = match which {
        Which::Old => format!("the old side, {name}"),
        Which::New => format!("the new side, {name}"),
        Which::Only => name,
    };
    let compiled = compile::project_in_scope(
        files,
        &context.levels,
        (context.environment.as_deref(), context.scope),
        purpose,
    )
    .map_err(|unknown| Failure::usage(format!("{version}: {unknown}")))?;
    let compiled = say::comparable(compiled, purpose, &shown, &version)?;
    let left_out = left_out(&compiled, &shown);
    notes.extend(not_compared(&left_out, &version));
    let mut side = side_of(compiled)?;
    if let Some(map) = &mut side.source {
        map.left_out = left_out;
    }
    if let (Some(_), Some(map)) = (&document, &mut side.source) {
        map.rules = None;
        map.is_document = true;
    }
    if let (Some(disk), Some(map)) = (&disk, &side.source) {
        origin.uncommitted = note_uncommitted(disk, map);
    }
    Ok(Read {
        side,
        origin,
        folder: seen,
        notes,
        disk,
    })
}

/// Places and messages of the errors of a version because of which the comparison leaves parts of it
/// out.
fn left_out(compiled: &Compiled, folder: &str) -> Vec<String> {
    let sources = &compiled.files.sources;
    let skipped = compiled.skipped.iter().map(|finding| {
        let place = sources.position(finding.span);
        let path = sources.file(finding.span.file).path();
        let text = format!(
            "{folder}{path}:{}:{} ({})",
            place.line, place.column, finding.message
        );
        diag::text::printable(&text)
    });
    skipped.collect()
}

/// Describes the parts of a version that are left out. `None` if nothing is left out.
fn not_compared(left_out: &[String], version: &str) -> Option<String> {
    if left_out.is_empty() {
        return None;
    }
    let named = &left_out[..left_out.len().min(NAMED_MAX)];
    let more = match left_out.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let version = diag::text::printable(version);
    Some(format!(
        "not compared, because {version}, has errors there: {}{more}",
        named.join("; ")
    ))
}

/// Reads a bundle from the store or from a file, with its source artifact if there is one.
fn bundle_side(text: &str, at: &StoreOptions, context: &Context) -> anyhow::Result<Side> {
    let target = Target::find(text, at, context)?;
    let source = release::source_of(target.store(), &target.bundle)?;
    side_in(target.store(), target.bundle, source)
        .with_context(|| format!("`{}`", diag::text::printable(text)))
}

/// Reads a bundle of a store as a side. Refuses a bundle that gwd would refuse, because its content
/// contradicts itself. gwc does not build such bundles.
pub(super) fn side_in(
    store: &dyn bundle::store::Store,
    bundle: Digest,
    source: Option<Digest>,
) -> anyhow::Result<Side> {
    let (lowered, source) = release::side(store, bundle, source)?;
    runnable(Side {
        bundle,
        lowered,
        source,
    })
}

fn runnable(side: Side) -> anyhow::Result<Side> {
    let id = side.bundle;
    match Oracle::build(&side.lowered.gateway, &id.to_string()) {
        Ok(_) => Ok(side),
        Err(error) => {
            let message = format!(
                "bundle {} is invalid, and gwd refuses it: {error}; compare with another version \
                 (`git:REV`, or another bundle's id). If the channel names this bundle, move the \
                 channel back with `gwc rollback ID`",
                id.short()
            );
            Err(Failure::new(Exit::INPUT, "bad-bundle", message).into())
        }
    }
}

/// Reads the bundle of a channel's newest record, with the release rules that apply to the next
/// change.
pub(super) fn side_of_head(
    store: &dyn bundle::store::Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    head: &Entry,
) -> anyhow::Result<Side> {
    let (lowered, source) = release::side_of_head(store, trust, channel, head)?;
    runnable(Side {
        bundle: head.bundle,
        lowered,
        source,
    })
}

/// Converts compiled sources to a side.
pub(super) fn side_of(mut compiled: Compiled) -> anyhow::Result<Side> {
    let side = side_from(&mut compiled);
    // Freeing a large project takes as long as a tenth of its compilation.
    std::thread::spawn(move || drop(compiled));
    side
}

/// Converts compiled sources to a side. Keeps the files, because messages need source locations.
pub(super) fn side_from(compiled: &mut Compiled) -> anyhow::Result<Side> {
    let source = SourceMap::of(compiled);
    let lowered = compiled
        .lowered
        .take()
        .ok_or_else(|| anyhow::anyhow!("the sources have no errors, but no gateway was built"))?;
    Ok(Side {
        bundle: assemble(&lowered)?.id(),
        lowered,
        source: Some(source),
    })
}

/// Returns a gateway.yaml for comparing a single document. The file sets `defaults.security`,
/// because the document cannot set this key.
fn gateway_of(file: &str, names: &Names, overlaid: bool) -> String {
    let overlays = if overlaid { UNNAMED_FILE } else { "" };
    let text = |text: &str| serde_json::Value::from(text).to_string();
    format!(
        "version: 1\nname: {}\napis: {{{}: {{path: {}, overlays: [{overlays}]}}}}\nupstreams: {{upstream: {{targets: {{a: {{url: \"http://127.0.0.1:1\"}}}}}}}}\n\
         defaults: {{upstream: upstream, security: upstream}}\n",
        text(&names.project),
        text(&names.api),
        text(file),
    )
}

/// File name of the overlay that removes operationIds. No user's file has this name.
const UNNAMED_FILE: &str = "gwc.unnamed.overlay.yaml";

/// Returns an overlay that removes these operationIds by JSONPath (RFC 9535).
fn unnamed(repeated: &BTreeSet<String>) -> String {
    let actions: Vec<serde_json::Value> = repeated
        .iter()
        .map(|id| {
            let id = serde_json::Value::from(id.as_str());
            let target = format!("$.paths.*[?@.operationId=={id}].operationId");
            serde_json::json!({"target": target, "remove": true})
        })
        .collect();
    let overlay = serde_json::json!({"overlay": "1.0.0", "info": {"title": "unnamed", "version": "1"}, "actions": actions});
    overlay.to_string()
}
