//! Command `gwc init`: creates a project that passes `gwc lint`.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use bundle::name::ProjectName;
use diag::{FileId, Sink, Span};
use serde_json::json;

use super::advice::for_shell;
use super::options::FormatOption;
use super::repairs::{self, ProjectRepairs};
use super::replace::replace;
use super::say::{self, Format};
use crate::release::links;
use model::Model;
use model::compile::{self, Input};
use model::exit::{Exit, Failure};
use sources::project::GATEWAY_FILE;
use sources::project::files::{Document, Files, join};
use sources::project::repository::WorkTree;
use sources::syntax::Limits;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc init                             in this folder, with a small sample
  gwc init shop --from openapi.yaml    in the folder `shop`, with an existing document")]
pub(super) struct Args {
    /// Folder of the project; created if it does not exist
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// An OpenAPI document to begin with; it is copied, with the files that it refers to
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Name of the project [default: the folder's name]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    format: FormatOption,
}

/// File of the new project.
struct New {
    path: String,
    text: String,
}

/// API of the new project, with its document.
struct Api {
    name: String,
    document: String,
    files: Vec<New>,
}

/// Address on which the gateway of a new project listens.
const ADDRESS: &str = "127.0.0.1:8080";
/// Address of the service behind the gateway in a new project.
const SERVICE: &str = "http://127.0.0.1:9000";
const GITIGNORE: &str = include_str!("scaffold/gitignore");
const WORKFLOW: &str = include_str!("scaffold/workflow.yaml");
const COMMENT_WORKFLOW: &str = include_str!("scaffold/comment_workflow.yaml");
/// Script of the action in `deploy/github/comment`.
const COMMENT: &str = include_str!("../../../deploy/github/comment/comment.py");
const REVIEWED: &str =
    "# Changes that were reviewed and pass the gates: one line each, as `gwc plan` prints it.\n";
const SAMPLE: &str = include_str!("scaffold/sample.yaml");
/// First invariant of a project.
const INVARIANTS: &str = include_str!("scaffold/invariants.yaml");
/// Test file of the sample project.
const TESTS: &str = include_str!("scaffold/tests.yaml");

impl super::Arguments for Args {
    fn reads_project(&self) -> bool {
        false
    }
}

pub(super) fn run(args: &Args, _: &say::Context) -> anyhow::Result<Exit> {
    let name = name(args)?;
    let api = match &args.from {
        Some(file) => copied(file)?,
        None => Api {
            name: "greetings".to_owned(),
            document: "apis/greetings.yaml".to_owned(),
            files: vec![New {
                path: "apis/greetings.yaml".to_owned(),
                text: SAMPLE.to_owned(),
            }],
        },
    };
    let gateway = args.dir.join(GATEWAY_FILE);
    if gateway.symlink_metadata().is_ok() {
        return Err(Failure::usage(format!(
            "`{}` exists: this is already a project, and nothing was changed",
            gateway.display()
        ))
        .into());
    }
    let mut files = vec![New {
        path: GATEWAY_FILE.to_owned(),
        text: settings(&name, &api, args.from.is_none()),
    }];
    files.push(New {
        path: format!("apis/{}.gw.yaml", api.name),
        text: overlay(&name, &api.name),
    });
    files.extend(api.files);
    if args.from.is_none() {
        files.push(New {
            path: "tests/greetings.yaml".to_owned(),
            text: TESTS.to_owned(),
        });
        files.push(New {
            path: "schemas/tests.schema.json".to_owned(),
            text: schema("tests")?,
        });
    }
    let below = below_repository(&args.dir);
    files.extend(other_files(&name, &api.document, below.as_deref())?);
    let (written, kept) = write(&args.dir, &files)?;
    let overlay = format!("apis/{}.gw.yaml", api.name);
    let is_ours = written.contains(&overlay.as_str());
    let Checked {
        exit,
        repairs,
        open,
        sample,
    } = check(&args.dir, &files, &overlay, is_ours)?;
    match args.format.format {
        Format::Json => say::json(&say::document(
            "init/v1",
            if exit == Exit::OK { "ok" } else { "blocked" },
            json!({"name": name, "project": args.dir, "written": written, "kept": kept, "open": open}),
        )),
        Format::Human => {
            let mut lines: Vec<String> = written
                .iter()
                .map(|path| format!("  wrote {path}"))
                .collect();
            lines.extend(
                kept.iter()
                    .map(|path| format!("  kept  {path}, which existed")),
            );
            let enter = match args.dir.to_str() {
                Some(".") => String::new(),
                _ => format!("\n  cd {}", for_shell(&args.dir.to_string_lossy())),
            };
            if !repairs.is_empty() {
                lines.push(repairs.summary());
            }
            lines.push(match exit == Exit::OK {
                true => format!("project `{name}` is ready. Next:{enter}\n{}", next(&sample)),
                false => format!(
                    "project `{name}` is written and cannot be built yet. Decide:\n  {}\nThen:{enter}\n  gwc lint",
                    open.join("\n  ")
                ),
            });
            say::result(&lines.join("\n"));
        }
    }
    note_rest(below.as_deref(), &kept);
    Ok(exit)
}

/// Notes about what is left to do by hand: workflows below the root of a repository, and lines for a
/// `.gitignore` that existed.
fn note_rest(below: Option<&str>, kept: &[&str]) {
    if let Some(folder) = below {
        say::note(&moving(folder));
    }
    if kept.contains(&".gitignore") {
        say::note(&format!(
            "`.gitignore` was kept; make sure that it has these lines:\n{GITIGNORE}"
        ));
    }
}

/// Files that do not depend on the content of the document: schema, workflows, acknowledgements,
/// README.
/// `below`: path of the project from the root of its repository.
fn other_files(
    name: &ProjectName,
    document: &str,
    below: Option<&str>,
) -> anyhow::Result<Vec<New>> {
    Ok(vec![
        New {
            path: "schemas/gateway.schema.json".to_owned(),
            text: schema("gateway")?,
        },
        New {
            path: ".gitignore".to_owned(),
            text: GITIGNORE.to_owned(),
        },
        New {
            path: ".github/workflows/gateway.yaml".to_owned(),
            text: workflow(below),
        },
        New {
            path: ".github/workflows/gateway-comment.yaml".to_owned(),
            text: COMMENT_WORKFLOW.to_owned(),
        },
        New {
            path: ".github/gateway/comment.py".to_owned(),
            text: COMMENT.to_owned(),
        },
        New {
            path: "invariants.yaml".to_owned(),
            text: INVARIANTS.to_owned(),
        },
        New {
            path: "schemas/invariants.schema.json".to_owned(),
            text: schema("invariants")?,
        },
        New {
            path: "reviewed.yaml".to_owned(),
            text: REVIEWED.to_owned(),
        },
        New {
            path: "README.md".to_owned(),
            text: readme(name, document),
        },
    ])
}

/// Workflow for a project at a path from the root of its repository. `None`: at the root.
fn workflow(below: Option<&str>) -> String {
    let Some(folder) = below else {
        return WORKFLOW.to_owned();
    };
    let defaults = format!(
        "permissions: {{}}\n# The project's folder.\ndefaults:\n  run:\n    working-directory: {}\n",
        scalar(folder)
    );
    WORKFLOW.replacen("permissions: {}\n", &defaults, 1)
}

/// Path of the project from the root of the repository that contains it. `None` if the project is at
/// the root or in no repository.
fn below_repository(dir: &Path) -> Option<String> {
    let path = std::path::absolute(dir).ok()?;
    let there = path.ancestors().find(|folder| folder.is_dir())?;
    let new = path.strip_prefix(there).ok()?;
    let above = WorkTree::find(there).ok()?.inside(there)?;
    let parts = above.components().chain(new.components());
    let parts: Option<Vec<&str>> = parts
        .map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    parts
        .filter(|parts| !parts.is_empty())
        .map(|parts| parts.join("/"))
}

/// Tells how to move the workflows of a project to the root of its repository.
fn moving(folder: &str) -> String {
    let github = for_shell(&format!("{folder}/.github"));
    format!(
        "warning: GitHub runs only the workflows at the root of a repository, and this project is in `{}`\n\
         help: run there: cp -R {github} . && rm -r {github}",
        folder.escape_debug()
    )
}

/// Describes the next commands: from `gwc lint` to a `curl` request that gwd serves. `sample`:
/// operation of the request.
fn next(sample: &Sample) -> String {
    let steps = [
        ("gwc lint", ""),
        ("gwc keygen release", "a key that signs, and trust.json"),
        ("gwc plan", ""),
        (
            "gwc apply --key keys/release.pem --reason \"first release\"",
            "",
        ),
        (
            "gwc trust floor",
            "gateways refuse older copies of the store",
        ),
        (
            "gwd run --store releases --trust trust.json --state state --access-log stdout",
            "",
        ),
    ];
    let mut lines: Vec<String> = steps
        .iter()
        .map(|(command, why)| match *why {
            "" => format!("  {command}"),
            why => format!("  {command:<24}# {why}"),
        })
        .collect();
    lines.push(format!(
        "In another terminal, with your service at {SERVICE} (or change `url` in gateway.yaml):"
    ));
    let method = match sample.method.as_str() {
        "GET" => String::new(),
        "HEAD" => "--head ".to_owned(),
        method => format!("-X {} ", for_shell(method)),
    };
    lines.push(format!(
        "  curl -i {method}{}",
        for_shell(&format!("http://{ADDRESS}{}", sample.path))
    ));
    lines.join("\n")
}

/// Methods of sample requests, in order of preference: those without a body first.
const SAMPLE_METHODS: [&str; 5] = ["GET", "HEAD", "POST", "PUT", "PATCH"];

/// Sample request of an operation. Prefers the methods of [`SAMPLE_METHODS`], then paths without
/// parameters, then operations without required credentials. `GET /` if no operation can be
/// selected by method and path alone.
fn sample(model: Option<&Model>) -> Sample {
    let operations = model.into_iter().flat_map(|model| &model.apis);
    let operations = operations.flat_map(|api| &api.operations);
    let simple = operations.filter(|one| {
        let is_plain = one.path.starts_with('/') && !one.path.contains(['?', '#']);
        is_plain && !one.internal && one.conditions.is_empty()
    });
    let first = simple.min_by_key(|one| {
        let methods = SAMPLE_METHODS.iter();
        let method = methods.take_while(|method| **method != one.method).count();
        let is_closed = !one.security.value.admits_anyone();
        (method, one.path.contains('{'), is_closed)
    });
    Sample {
        method: first.map_or("GET", |one| &one.method).to_owned(),
        path: first.map_or("/".to_owned(), |one| with_values(&one.path)),
    }
}

/// Path with the value `0` for each parameter: `/files/0` for `/files/{id}`.
fn with_values(path: &str) -> String {
    let mut parts = path.split('{');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        filled.push('0');
        filled.push_str(part.split_once('}').map_or("", |(_, rest)| rest));
    }
    filled
}

/// Returns the project name: `--name`, otherwise the name of the folder.
fn name(args: &Args) -> anyhow::Result<ProjectName> {
    if let Some(name) = &args.name {
        return name
            .parse()
            .map_err(|refused| Failure::usage(format!("`--name {name}`: {refused}")).into());
    }
    let folder = if args.dir.as_os_str() == "." {
        std::env::current_dir()?
    } else {
        args.dir.clone()
    };
    let folder = folder.file_name().unwrap_or_default().to_string_lossy();
    Ok(slug(&folder, "gateway")
        .parse()
        .unwrap_or_else(|_| "gateway".parse().expect("this is a name")))
}

/// Converts a string to a name: lower case, with `-` instead of each other character. `otherwise`:
/// result if no character remains.
fn slug(text: &str, otherwise: &str) -> String {
    let text: String = text
        .to_lowercase()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        })
        .collect();
    let text = text.trim_matches(['-', '_']);
    let text: String = text.chars().take(63).collect();
    // Plain scalars that YAML does not read as strings.
    const RESERVED: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    match &*text {
        "" => otherwise.to_owned(),
        reserved if RESERVED.contains(&reserved) || reserved.parse::<f64>().is_ok() => {
            format!("{otherwise}-{reserved}")
        }
        _ => text,
    }
}

/// Copies a document and all files to which it refers into `apis/`.
fn copied(file: &Path) -> anyhow::Result<Api> {
    links::check(file)?;
    let failed = |why: &str| {
        Failure::new(
            Exit::INPUT,
            "bad-document",
            format!("`{}` {why}", file.display()),
        )
    };
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let entry = file
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| failed("names no file"))?;
    let mut files = Files::open(folder, Limits::default()).map_err(|_| failed("cannot be read"))?;
    files.allow(entry);
    files.widen();
    let mut sink = Sink::default();
    let Some((id, root)) = files.load(entry, Span::start_of(FileId(0)), &mut sink) else {
        let findings = sink.into_sorted();
        let why = findings
            .first()
            .map_or("", |finding| finding.message.as_str());
        return Err(failed(&format!("cannot be read: {why}")).into());
    };
    let names_version = |key: &&str| files.tree.at(root).get(key).is_some();
    if !["openapi", "swagger"].iter().any(names_version) {
        let why = "is not an OpenAPI document: it has neither the key `openapi` nor, for Swagger \
2.0, `swagger`";
        return Err(failed(why).into());
    }
    let document = Document {
        file: id,
        root,
        overlays: Vec::new(),
    };
    files.follow(&document);
    // References may lead above the document's folder, so keep as many parent folders as needed.
    let paths = files.sources.iter().map(|(_, file)| file.path());
    let up = paths.map(|path| path.split('/').take_while(|part| *part == "..").count());
    let base = base(folder, up.max().unwrap_or(0));
    if entry.contains(char::is_control) {
        return Err(failed("has a control character in its name; rename it").into());
    }
    let place = |path: &str| {
        join("", &format!("apis/{base}{path}")).map_err(|_| failed("refers to a file elsewhere"))
    };
    let mut new = Vec::new();
    for (_, file) in files.sources.iter() {
        new.push(New {
            path: place(file.path())?,
            text: file.text().to_owned(),
        });
    }
    let stem = entry
        .rsplit_once('.')
        .map_or(entry, |(stem, _)| stem)
        .trim_end_matches(".openapi");
    Ok(Api {
        name: slug(stem, "api"),
        document: place(entry)?,
        files: new,
    })
}

/// Last `count` folder names of a path, each followed by `/`.
fn base(folder: &Path, count: usize) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let names: Vec<String> = folder
        .components()
        .rev()
        .take(count)
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    let names = names.iter().rev().map(|name| format!("{name}/"));
    names.collect()
}

/// Text as a YAML scalar: plain if it has only characters without a meaning in YAML, otherwise
/// between double quotes.
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    match text.starts_with(char::is_alphabetic) && text.chars().all(is_plain) {
        true => text.to_owned(),
        // A string in JSON is a double-quoted scalar of YAML.
        false => serde_json::Value::from(text).to_string(),
    }
}

/// Returns the content of gateway.yaml. The file declares that the upstream verifies credentials,
/// so that the gateway makes no operation public by default.
fn settings(name: &ProjectName, api: &Api, with_tests: bool) -> String {
    let Api {
        name: api,
        document,
        ..
    } = api;
    let tests = match with_tests {
        true => "tests: [tests/*.yaml]",
        false => "# tests: [tests/*.yaml]",
    };
    let path = scalar(document);
    format!(
        r#"# yaml-language-server: $schema=schemas/gateway.schema.json
# The operator's settings: mounts of APIs, and rules that no document can avoid.
# `gwc explain CODE` explains a finding of `gwc lint`.
version: 1
name: {name}

apis:
  {api}:
    path: {path}
    overlays: [apis/{api}.gw.yaml]
    mount: {{base_path: /}}

listeners:
  public: {{address: "{ADDRESS}"}}

# Services behind the gateway. Change `url` first: scheme, host and port of yours. A service that
# selects by the Host field gets the host of `url` with `host_header: upstream`; without this
# line it gets the Host of the client's request.
upstreams:
  {api}:
    targets: {{a: {{url: "{SERVICE}"}}}}
    timeouts: {{connect: 1s, request: 10s}}

defaults:
  upstream: {api}
  # The gateway requires a credential, but only the upstream checks it. To let the gateway check
  # it, define verifiers under `auth`, and bind each security scheme to one of them with
  # `x-gateway: {{auth: NAME}}` in the overlay. Remove this line when all schemes are bound.
  security: upstream

release: {{store: releases, channel: prod}}
# Changes that were reviewed; `gwc plan` prints the lines.
acknowledge: reviewed.yaml
# Statements about all operations, which every compilation proves.
invariants: [invariants.yaml]
# Requests and the decisions that are expected of them; `gwc test` runs them.
{tests}
# Enable this gate after the first release: a change that widens access then needs an
# acknowledgement.
# gates: [weaken]
"#
    )
}

fn overlay(name: &ProjectName, api: &str) -> String {
    format!(
        r#"# What the gateway adds to the document, which stays as its authors wrote it.
overlay: 1.0.0
info: {{title: {api} behind the gateway {name}, version: "1"}}
actions:
  - target: $
    update: {{x-gateway: {{owner: {name}}}}}
"#
    )
}

fn readme(name: &ProjectName, document: &str) -> String {
    format!(
        "# {name}\n\n\
         This repository configures an API gateway. `gateway.yaml` belongs to the operator,\n\
         `{document}` and its overlay to the team of the API. The gateway runs exactly what is\n\
         merged here.\n\n\
         ```sh\n\
         gwc lint                              # check it\n\
         gwc test                              # compare decisions with the expected ones\n\
         gwc plan                              # what a release would change\n\
         gwc keygen release                    # once: a key, and its entry in trust.json\n\
         gwc apply --key keys/release.pem      # release it\n\
         gwc trust floor                       # new gateways refuse older copies of the store\n\
         gwd run --store releases --trust trust.json --state state   # serve it\n\
         gwc rollback --key keys/release.pem   # go back to the previous version\n\
         gwc history                           # who released what, when and why\n\
         ```\n\n\
         Commit `trust.json`; never commit private keys (`keys/*.pem`).\n"
    )
}

fn schema(name: &str) -> anyhow::Result<String> {
    let schemas = crate::schemas::all();
    let (_, schema) = schemas
        .iter()
        .find(|(known, _)| *known == name)
        .context("gwc does not have this schema")?;
    Ok(serde_json::to_string_pretty(schema)? + "\n")
}

/// Writes the files that do not exist yet. Returns the paths of the written files, and the paths of
/// the existing files, which are unchanged.
fn write<'f>(folder: &Path, files: &'f [New]) -> anyhow::Result<(Vec<&'f str>, Vec<&'f str>)> {
    links::check_written(folder)
        .with_context(|| format!("cannot write into `{}`", folder.display()))?;
    let (mut written, mut kept) = (Vec::new(), Vec::new());
    for New { path, text } in files {
        let file = folder.join(path);
        let cannot = || format!("cannot write `{}`", file.display());
        super::replace::check_links_below(folder, Path::new(path)).with_context(cannot)?;
        if let Some(above) = file.parent() {
            fs::create_dir_all(above).with_context(cannot)?;
        }
        let open = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&file);
        match open {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                kept.push(path.as_str());
            }
            result => {
                use std::io::Write as _;
                let mut open = result.with_context(cannot)?;
                open.write_all(text.as_bytes()).with_context(cannot)?;
                written.push(path.as_str());
            }
        }
    }
    Ok((written, kept))
}

/// Maximum number of times that [`check`] compiles the new project. Each change to gateway.yaml or
/// the overlay may uncover further errors.
const ROUNDS_MAX: usize = 20;

/// Result of linting the new project.
struct Checked {
    exit: Exit,
    repairs: ProjectRepairs,
    /// Errors on which the user must decide, one line each.
    open: Vec<String>,
    sample: Sample,
}

/// Sample request to the running gateway.
struct Sample {
    method: String,
    path: String,
}

/// Lints the new project. `may_repair`: true to work around errors of the document with settings in
/// gateway.yaml and overlay actions.
fn check(folder: &Path, files: &[New], overlay: &str, may_repair: bool) -> anyhow::Result<Checked> {
    let input = Input::Project(folder.to_owned());
    let text = |path: &str| {
        let file = files.iter().find(|file| file.path == path);
        file.map_or(String::new(), |file| file.text.clone())
    };
    let (gateway, actions) = (text(GATEWAY_FILE), text(overlay));
    let mut repairs = ProjectRepairs::default();
    let mut compiled = compile::compile(&input, compile::Options::default())?;
    for _ in 0..ROUNDS_MAX {
        if !may_repair || !compiled.has_errors() || !repairs.add_decisions(&compiled) {
            break;
        }
        let texts = [
            (GATEWAY_FILE, gateway.clone() + &repairs.lint()),
            (overlay, actions.clone() + &repairs.actions()),
        ];
        for (path, text) in texts {
            replace(&folder.join(path), text.as_bytes())?;
        }
        compiled = compile::compile(&input, compile::Options::default())?;
    }
    // A setting that gwd does not support yet is a warning in `gwc lint`, but an error in `gwc
    // build`. Use the levels of `gwc build` here.
    let compiled = compiled.for_lowering();
    let exit = match compiled.has_errors() || compiled.lowered.is_none() {
        true => Exit::FINDINGS,
        false => Exit::OK,
    };
    Ok(Checked {
        exit,
        repairs,
        open: repairs::open(&compiled),
        sample: sample(compiled.model.as_ref()),
    })
}
