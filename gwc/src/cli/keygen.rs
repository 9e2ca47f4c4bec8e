//! Command `gwc keygen`: creates a key pair and adds the public key to the trust file.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bundle::keys::PrivateKey;
use bundle::keys::rand_core::OsRng;
use bundle::name::ProjectName;
use bundle::statement::predicate::Role;
use bundle::trust::{KeyState, Scope, Trust, TrustedKey};
use serde_json::json;

use super::expiry;
use super::options::FormatOption;
use super::say::{self, Context, Format};
use crate::release::{self, Place, provenance};
use model::exit::{Exit, Failure};
use sources::project::TRUST_FILE;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc keygen release                        one key for everything, to begin with
  gwc keygen ci --roles build               a key that only signs the origin of bundles
  gwc keygen rita --roles release,revoke    a key that moves channels")]
pub(super) struct Args {
    /// Name of the key, of its files and, without --owner, of its owner
    name: String,
    /// Folder for the two files [default: `keys` in the project]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Roles of the key
    #[arg(long, value_delimiter = ',', default_value = "build,release,revoke")]
    roles: Vec<RoleName>,
    /// Owner of the key; thresholds count owners [default: the name]
    #[arg(long)]
    owner: Option<String>,
    /// Channels that the key may sign for [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    channels: Vec<String>,
    /// Validity in days
    #[arg(long, default_value_t = 730, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: u64,
    /// Trust file [default: `trust.json` of the project]
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum RoleName {
    /// Signs build statements (provenance of bundles)
    Build,
    /// Signs channel records
    Release,
    /// Signs revocation lists
    Revoke,
    /// Signs approvals of plans
    Approve,
}

impl super::Arguments for Args {}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    check_name(&args.name)?;
    let (folder, trust_file, before) = places(args, context)?;
    let now = release::now();
    let key = PrivateKey::generate(&mut OsRng);
    let public = key.public();
    let id = public.id();
    let not_after = now.plus_s(args.days * 86_400);
    let trust = before
        .add_key(TrustedKey {
            id,
            owner: args.owner.clone().unwrap_or_else(|| args.name.clone()),
            spki: public.clone(),
            roles: args.roles.iter().map(|role| role.role()).collect(),
            channels: scopes(&args.channels)?,
            not_before: now,
            not_after,
            state: KeyState::Active,
        })
        .map_err(|refused| Failure::usage(refused.to_string()))?;

    let private_file = folder.join(format!("{}.pem", args.name));
    let public_file = folder.join(format!("{}.pub.pem", args.name));
    for file in [&private_file, &public_file] {
        if file.symlink_metadata().is_ok() {
            return Err(exists(file).into());
        }
    }
    super::replace::make_folder(&folder)
        .with_context(|| format!("cannot create the folder `{}`", folder.display()))?;
    let pem = key.to_pem();
    write_new(&private_file, pem.as_ref(), 0o600)?;
    write_new(&public_file, public.to_pem().as_bytes(), 0o644)?;
    super::replace::replace(&trust_file, trust.to_json().as_bytes())?;

    let roles: BTreeSet<&str> = args.roles.iter().map(|role| role.role().as_str()).collect();
    match args.format.format {
        Format::Json => say::json(&say::document(
            "keygen/v1",
            "ok",
            json!({"name": args.name, "id": id, "private": private_file, "public": public_file,
                   "trust": trust_file, "roles": roles, "not_after": not_after}),
        )),
        Format::Human => say::result(&format!(
            "private key  {}   (mode 0600)\npublic key   {}\ntrust file   {}   (key {}, roles {}, expires {})",
            say::path(&private_file),
            say::path(&public_file),
            say::path(&trust_file),
            &id.to_string()[..12],
            roles.into_iter().collect::<Vec<_>>().join(", "),
            expiry::day(not_after),
        )),
    }
    say::note(&format!(
        "Commit the trust file. Never commit `{}`: anyone who has it can sign in your name.",
        say::path(&private_file)
    ));
    if provenance::would_commit(&private_file) {
        say::note(&format!(
            "warning: Git does not ignore `{}`; add the line `*.pem` to .gitignore before you commit",
            say::path(&private_file)
        ));
    }
    Ok(Exit::OK)
}

impl RoleName {
    const fn role(self) -> Role {
        match self {
            Self::Build => Role::Build,
            Self::Release => Role::Release,
            Self::Revoke => Role::Revoke,
            Self::Approve => Role::Approve,
        }
    }
}

/// Returns the folder for the keys, the path of the trust file, and the trust file's content.
/// Without a trust file, the content is an empty trust file for this project.
fn places(args: &Args, context: &Context) -> anyhow::Result<(PathBuf, PathBuf, Trust)> {
    // If the options give all paths, the project is needed only for a new trust file.
    let place = context
        .root()
        .and_then(|root| Place::read(context.sought(&root), None, None));
    let in_project = |argument: &Option<PathBuf>, name: &str| match (argument, &place) {
        (Some(path), _) => Ok(path.clone()),
        (None, Ok(place)) => Ok(place.root.join(name)),
        (None, Err(error)) => Err(Failure::new(Exit::INPUT, "no-project", error.to_string())),
    };
    let folder = in_project(&args.out, "keys")?;
    let trust_file = in_project(&args.trust, TRUST_FILE)?;
    let there = fs::read(&trust_file);
    let trust = match there {
        Ok(bytes) => Trust::parse(&bytes).map_err(|refused| {
            Failure::new(
                Exit::INPUT,
                "bad-trust-file",
                format!("the trust file `{}`: {refused}", trust_file.display()),
            )
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Trust::new(match &place {
            Ok(place) => place.project.clone(),
            Err(error) => {
                return Err(Failure::new(
                    Exit::INPUT,
                    "no-project",
                    format!("a new trust file needs the project's name: {error}"),
                )
                .into());
            }
        }),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("the trust file `{}`", trust_file.display()));
        }
    };
    if let Ok(place) = &place
        && *trust.project() != place.project
    {
        return Err(Failure::usage(format!(
            "the trust file `{}` belongs to project `{}`, but this project is `{}`",
            trust_file.display(),
            trust.project(),
            place.project
        ))
        .into());
    }
    Ok((folder, trust_file, trust))
}

/// Checks the name of a key, because it becomes part of file names.
fn check_name(name: &str) -> anyhow::Result<()> {
    if name.parse::<ProjectName>().is_ok() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "`{}` cannot name a key: use lower-case letters, digits, `-`, `_` and single `.`",
        name.escape_debug()
    ))
    .into())
}

fn scopes(channels: &[String]) -> anyhow::Result<BTreeSet<Scope>> {
    if channels.is_empty() {
        return Ok(BTreeSet::from([Scope::All]));
    }
    let scopes = channels.iter().map(|channel| {
        if channel == "*" {
            return Ok(Scope::All);
        }
        let name = channel.parse();
        name.map(Scope::Channel)
            .map_err(|refused| Failure::usage(format!("`--channels {channel}`: {refused}")).into())
    });
    scopes.collect()
}

fn exists(file: &Path) -> Failure {
    Failure::usage(format!(
        "`{}` exists, and gwc never overwrites a key; use another name or another --out",
        file.display()
    ))
}

fn write_new(file: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut open = match options.open(file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(exists(file).into());
        }
        result => result.with_context(|| format!("cannot write `{}`", file.display()))?,
    };
    open.write_all(bytes)
        .and_then(|()| open.sync_all())
        .with_context(|| format!("cannot write `{}`", file.display()))
}
