//! Environments: variants of one project for several deployments (command-line.md, *Order of
//! processing*).
//!
//! An environment consists of a JSON Merge Patch (RFC 7396) for gateway.yaml, values of variables,
//! and a channel. [`choose`] applies them to the tree of gateway.yaml: [`patch`] first, then
//! [`variables`]. The project is also checked without an environment. In that check, each variable
//! has the value of the first environment that sets it. A build without an environment fails if it
//! needs a variable.
//!
//! A value that an environment sets has its span in the environment. [`Origins`] stores the span of
//! the replaced value, so that messages can show both spans.

use std::collections::{HashMap, HashSet};

use diag::shape::BAD_VALUE;
use diag::{Diagnostic, Kind, NodeId, NodeRef, Sink, Span, suggest};

use sources::project::files::Files;

mod patch;
mod variables;

pub use variables::Variables;

/// Maximum number of environments of a project. `gwc lint` and `gwc plan` compile the project in
/// each of them, and a plan keeps all results: 64 environments of 2,000 operations take 0.6 GB.
pub const ENVIRONMENTS_MAX: usize = 64;

/// Environments whose gateway.yaml a compilation reads and checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All environments, and the project without an environment.
    #[default]
    Every,
    /// Only the chosen environment. For a run that compiles the project in every environment: its
    /// first compilation, without an environment, has the scope `Every` and reports the unused
    /// names.
    Chosen,
}

/// Environment as written in gateway.yaml.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Name of the environment.
    pub name: String,
    /// Source location of the name.
    pub span: Span,
    node: NodeId,
}

/// gateway.yaml as it applies in one environment, or without an environment.
pub struct ResolvedGateway {
    /// Root of the tree, with patch and variables applied.
    pub root: NodeId,
    /// Spans of the values that the environment set, and of the values that they replace.
    pub origins: Origins,
    /// Environment in which gateway.yaml was read. `None` without an environment.
    pub environment: Option<Environment>,
}

/// gateway.yaml in the requested environment and in all other environments.
pub struct Choice {
    /// gateway.yaml in the selected environment, or without an environment.
    pub reading: ResolvedGateway,
    /// gateway.yaml in each environment that was not selected, and without an environment. Checked
    /// so that their errors are reported early.
    pub others: Vec<ResolvedGateway>,
    /// Variables of all environments.
    pub variables: Variables,
}

/// Spans of the values that an environment sets, and of the values that they replace.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// Span of the overridden value in gateway.yaml, by the span of the value in a patch.
    overridden: HashMap<Span, Span>,
    /// Name of the variable and span of its value, by the span at which the variable is used.
    set: HashMap<Span, (String, Span)>,
    /// Spans at which a variable without a value is used. These uses were already reported.
    open: HashSet<Span>,
    /// Maps of gateway.yaml that a patch changes, with the span of the map's key in the patch.
    changed: Vec<(Span, Span)>,
    /// Names of the entries that a patch removes, with their spans in the patch.
    removed: Vec<(String, Span)>,
}

impl Origins {
    /// Span of the original value: of the variable's value, or of the value that a patch overrides.
    /// `None` if the span is not from an environment.
    #[must_use]
    pub fn behind(&self, span: Span) -> Option<Span> {
        let value = self.set.get(&span).map(|(_, value)| *value);
        value.or_else(|| self.overridden.get(&span).copied())
    }

    /// Adds the location in the patch that may have caused the finding: a change in the enclosing
    /// map, or the `null` that removed the missing name.
    fn relate_patch(&self, finding: &mut Diagnostic) {
        let inside = |outer: &Span| {
            outer.file == finding.span.file
                && outer.start <= finding.span.start
                && finding.span.end <= outer.end
        };
        let changed = self.changed.iter().filter(|(map, _)| inside(map));
        let nearest = changed.min_by_key(|(map, _)| map.end - map.start);
        let missed = finding.lint.code.starts_with("GW05");
        let removed = self
            .removed
            .iter()
            .find(|(name, _)| missed && finding.message.contains(&format!("`{name}`")));
        if let Some((_, patch)) = nearest {
            finding
                .related
                .push((*patch, "the patch changes this here".to_owned()));
        }
        if let Some((name, patch)) = removed {
            finding
                .related
                .push((*patch, format!("the patch removes `{name}` here")));
        }
    }

    /// Moves a finding to the source location that set the value, because a wrong value of a
    /// variable must be corrected at its definition. Adds the source location of the variable's
    /// use, or of the value that a patch overrides. Drops findings about a variable without a
    /// value.
    #[must_use]
    pub fn relocate(&self, mut finding: Diagnostic) -> Option<Diagnostic> {
        if self.open.contains(&finding.span) && !finding.lint.code.starts_with("GW045") {
            return None;
        }
        if let Some((name, value)) = self.set.get(&finding.span) {
            let used = std::mem::replace(&mut finding.span, *value);
            finding
                .related
                .push((used, format!("`${{var:{name}}}` is used here")));
            for edit in &mut finding.fix {
                if edit.span == used {
                    edit.span = *value;
                }
            }
        }
        self.relate_patch(&mut finding);
        if let Some(before) = self.overridden.get(&finding.span) {
            finding
                .related
                .push((*before, "replaces this value".to_owned()));
        }
        Some(finding)
    }
}

/// Lists the environments of a gateway.yaml, up to [`ENVIRONMENTS_MAX`]. [`check_names`] reports a
/// larger number.
#[must_use]
pub fn environments(root: NodeRef<'_>) -> Vec<Environment> {
    written(root).take(ENVIRONMENTS_MAX).collect()
}

/// All environments of a gateway.yaml.
fn written(root: NodeRef<'_>) -> impl Iterator<Item = Environment> {
    let all = root
        .get("environments")
        .into_iter()
        .flat_map(NodeRef::entries);
    all.map(|(entry, node)| Environment {
        name: entry.key.to_string(),
        span: entry.key_span,
        node: node.id(),
    })
}

/// Error: the requested environment does not exist.
#[derive(Debug)]
pub struct Unknown {
    wanted: String,
    known: Vec<String>,
    /// True if gateway.yaml has the environment, but after the first [`ENVIRONMENTS_MAX`].
    is_surplus: bool,
}

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = || self.known.iter().map(String::as_str);
        write!(
            f,
            "there is no environment `{}`",
            self.wanted.escape_debug()
        )?;
        if self.is_surplus {
            return write!(
                f,
                " among the first {ENVIRONMENTS_MAX}, and gwc reads no more; split the project"
            );
        }
        match (suggest::nearest(&self.wanted, known()), &self.known[..]) {
            (Some(near), _) => write!(f, "; did you mean `{near}`?"),
            (None, []) => write!(f, "; gateway.yaml has no `environments`"),
            (None, [only]) => write!(f, "; gateway.yaml has only `{only}`"),
            (None, _) => write!(f, "; write {}", suggest::one_of(known(), 8)),
        }
    }
}

impl std::error::Error for Unknown {}

/// Reads gateway.yaml in the environment `wanted`, or without an environment, and in all other
/// environments.
///
/// # Errors
/// Returns an error if the environment does not exist.
pub fn choose(
    files: &mut Files,
    root: NodeId,
    wanted: Option<&str>,
    sink: &mut Sink,
) -> Result<Choice, Unknown> {
    choose_in(files, root, (wanted, Scope::Every), sink)
}

/// Reads gateway.yaml in the environment `wanted`, or without an environment, and in the other
/// environments of the scope.
///
/// # Errors
/// Returns an error if the environment does not exist.
pub fn choose_in(
    files: &mut Files,
    root: NodeId,
    (wanted, scope): (Option<&str>, Scope),
    sink: &mut Sink,
) -> Result<Choice, Unknown> {
    let environments = environments(files.tree.at(root));
    let current = match wanted {
        None => None,
        Some(wanted) => Some(
            environments
                .iter()
                .position(|environment| environment.name == wanted)
                .ok_or_else(|| Unknown {
                    wanted: wanted.to_owned(),
                    known: environments.iter().map(|it| it.name.clone()).collect(),
                    is_surplus: written(files.tree.at(root)).any(|it| it.name == wanted),
                })?,
        ),
    };
    let is_read = |index: Option<usize>| scope == Scope::Every || index == current;
    let mut variables = Variables::of(files, &environments, current);
    let mut readings = Vec::new();
    if is_read(None) {
        let mut origins = Origins::default();
        readings.push(ResolvedGateway {
            root: variables.fill_base(files, root, &mut origins, sink),
            origins,
            environment: None,
        });
    }
    for (index, environment) in environments.into_iter().enumerate() {
        if !is_read(Some(index)) {
            continue;
        }
        let mut origins = Origins::default();
        let patched = patch::apply(files, root, &environment, &mut origins, sink);
        let patched = with_channel(files, patched, &environment);
        readings.push(ResolvedGateway {
            root: variables.fill_patched(files, patched, index, &mut origins, sink),
            origins,
            environment: Some(environment),
        });
    }
    let at = match scope {
        Scope::Every => current.map_or(0, |current| current + 1),
        Scope::Chosen => 0,
    };
    let reading = readings.remove(at);
    Ok(Choice {
        reading,
        others: readings,
        variables,
    })
}

/// Returns the root of gateway.yaml with `release.channel` set to the channel of the environment.
fn with_channel(files: &mut Files, root: NodeId, current: &Environment) -> NodeId {
    let at = files.tree.at(current.node);
    let channel = at
        .get("release")
        .and_then(|release| release.entry("channel"));
    let Some((entry, _)) = channel else {
        return root;
    };
    let entry = entry.clone();
    let release = files.tree.at(root).entry("release");
    let (release_entry, mut fields) = match release {
        Some((release, node)) => (release.clone(), entries(node)),
        None => {
            let written = at
                .entry("release")
                .expect("the channel is an entry of `release`");
            (written.0.clone(), Vec::new())
        }
    };
    fields.retain(|field| field.key != entry.key);
    fields.push(entry);
    let span = files.tree.at(current.node).span();
    let value = files.tree.push(span, Kind::Map(fields));
    let mut top = entries(files.tree.at(root));
    top.retain(|field| field.key != release_entry.key);
    top.push(diag::tree::Entry {
        value,
        ..release_entry
    });
    let span = files.tree.at(root).span();
    files.tree.push(span, Kind::Map(top))
}

/// Returns a copy of a map's entries.
fn entries(node: NodeRef<'_>) -> Vec<diag::tree::Entry> {
    match node.kind() {
        Kind::Map(entries) => entries.clone(),
        _ => Vec::new(),
    }
}

/// Checks the names of environments where they are defined and where APIs use them.
pub fn check_names(root: NodeRef<'_>, sink: &mut Sink) {
    let environments: Vec<Environment> = written(root).collect();
    if let Some(surplus) = environments.get(ENVIRONMENTS_MAX) {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                surplus.span,
                format!(
                    "a project can have at most {ENVIRONMENTS_MAX} environments, this one has {}",
                    environments.len()
                ),
            )
            .help("gwc reads none of the environments from here on; split the project"),
        );
    }
    let names: HashSet<&str> = environments.iter().map(|it| it.name.as_str()).collect();
    let apis = root.get("apis").into_iter().flat_map(NodeRef::entries);
    let named = apis
        .filter_map(|(_, api)| api.get("environments"))
        .flat_map(NodeRef::items);
    for name in named {
        let Some(text) = name.scalar_text() else {
            continue;
        };
        if names.contains(text) {
            continue;
        }
        let read = environments.iter().take(ENVIRONMENTS_MAX);
        let known = || read.clone().map(|it| it.name.as_str());
        let finding = Diagnostic::new(
            &vocab::environment_lints::UNKNOWN_ENVIRONMENT,
            name.span(),
            format!("there is no environment `{}`", text.escape_debug()),
        );
        sink.push(match suggest::nearest(text, known()) {
            Some(near) => finding
                .label(format!("did you mean `{near}`?"))
                .fix(name.span(), near),
            None => finding.help(format!(
                "{}; they are under `environments`",
                suggest::one_of(known(), 8)
            )),
        });
    }
    for environment in &environments {
        if let Err(wrong) = environment.name.parse::<bundle::name::ChannelName>() {
            sink.push(
                Diagnostic::new(
                    &BAD_VALUE,
                    environment.span,
                    format!(
                        "`{}` cannot name an environment",
                        environment.name.escape_debug()
                    ),
                )
                .help(wrong.to_string()),
            );
        }
    }
}
