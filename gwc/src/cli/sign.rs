//! Command `gwc sign`: signs a build statement about a bundle.

use std::path::PathBuf;

use bundle::archive;
use bundle::digest::Digest;
use bundle::keys::PrivateKey;
use bundle::publish;
use bundle::refused::Refused;
use bundle::statement::Statement;
use bundle::statement::envelope::Envelope;
use bundle::statement::predicate::{Build, Role};
use bundle::statement::stored;
use bundle::trust::{Trust, When};
use bundle::verify::Unverified;
use bundle::{source, store::memory::Memory};
use serde_json::json;

use super::build::BuiltProject;
use super::movement::refused;
use super::options::{FormatOption, StoreOptions, keys};
use super::replace::output;
use super::say::{self, Context, Format};
use crate::release::{self, AnyStore, provenance};
use model::exit::{Exit, Failure};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Signs a statement that these sources, at this commit, build this bundle. gwc first builds the
bundle again to verify that. A second owner who runs the command adds a signature to the same
statement.

Examples:
  gwc sign 3f9a2c --key keys/ci.pem
  gwc sign 3f9a2c --key env:CI_KEY -o shop.tar     and write one file with all signatures"
)]
pub(super) struct Args {
    /// The bundle: its id, or the beginning of it
    id: String,
    /// The key: a file, or env:NAME
    #[arg(long, value_name = "FILE|env:NAME", required = true)]
    key: Vec<String>,
    /// Write the bundle and its build statements as one file, too
    #[arg(short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    at: StoreOptions,
    #[command(flatten)]
    format: FormatOption,
}

impl super::Arguments for Args {}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let root = context.root()?;
    let built = BuiltProject::of(context)?;
    let place = built.place(&root, args.at.store.as_deref(), args.at.channel.as_deref())?;
    let store = place.open()?;
    let bundle = release::resolve_id(&store, &args.id)?;
    if bundle != built.bundle.id() {
        return Err(Failure::new(
            Exit::FINDINGS,
            "different",
            format!(
                "these sources build {}, not {bundle}, so nothing was signed; `gwc build --reproduce {}` says what differs",
                built.bundle.id(),
                args.id
            ),
        )
        .into());
    }
    let keys = keys(&args.key)?;
    let trust = release::trust(&root, args.at.trust.as_deref())?;
    let source = built.put(&store)?;
    let statement = Statement {
        subject: vec![bundle],
        predicate: provenance::build(
            &root,
            place.environment,
            place.project,
            Some(source),
            &built.map,
        )?,
    };
    let mut envelope =
        best(&store, &bundle, &statement)?.map_or_else(|| Envelope::new(&statement), Ok)?;
    for key in &keys {
        envelope.sign(key);
        check(trust.as_ref(), &statement, key)?;
    }
    let descriptor = Unverified::open(&store, bundle)?.descriptor();
    let digest = publish::put_statement(&store, &envelope, Some(descriptor))?;
    if let Some(file) = &args.output {
        write_file(&store, bundle, source, &built, file)?;
    }
    let owners: Vec<String> = envelope
        .signatures()
        .iter()
        .map(|signature| {
            let owner = trust.as_ref().and_then(|trust| trust.key(&signature.keyid));
            owner.map_or_else(
                || signature.keyid.to_string()[..12].to_owned(),
                |key| key.owner.clone(),
            )
        })
        .collect();
    match args.format.format {
        Format::Json => say::json(&say::document(
            "sign/v1",
            "ok",
            json!({"bundle": bundle, "statement": digest, "signatures": owners,
                   "git": statement.predicate.git, "source": source}),
        )),
        Format::Human => say::result(&format!(
            "signed {bundle}\nstatement {digest}\nby {}",
            owners.join(", ")
        )),
    }
    Ok(Exit::OK)
}

/// Returns the stored envelope with the most signatures for this statement. The command adds its
/// signature to this envelope. `None` if no envelope has the statement.
fn best(
    store: &AnyStore,
    bundle: &Digest,
    statement: &Statement<Build>,
) -> anyhow::Result<Option<Envelope>> {
    let payload = statement.encode()?;
    let mut best: Option<Envelope> = None;
    for digest in publish::build_statements(store, bundle)? {
        let envelope = stored::open(store, &digest)?;
        let more = best
            .as_ref()
            .is_none_or(|best| envelope.signatures().len() > best.signatures().len());
        if envelope.payload() == payload && more {
            best = Some(envelope);
        }
    }
    Ok(best)
}

/// Refuses a signature that no gateway would accept.
fn check(
    trust: Option<&Trust>,
    statement: &Statement<Build>,
    key: &PrivateKey,
) -> anyhow::Result<()> {
    let Some(trust) = trust else { return Ok(()) };
    let alone = Envelope::new(statement)?.signed_by(key);
    let now = When::First(release::now());
    match trust.signers(&alone, Role::Build, None, now) {
        Ok(_) => Ok(()),
        Err(why @ Refused::StoreUnreachable { .. }) => Err(why.into()),
        Err(why) => Err(refused(
            &why,
            "the trust file does not give this key the role `build`, so nothing was signed",
        )),
    }
}

fn write_file(
    store: &AnyStore,
    bundle: Digest,
    source: Digest,
    built: &BuiltProject,
    file: &std::path::Path,
) -> anyhow::Result<()> {
    let statements = publish::build_statements(store, &bundle)?;
    let memory: Memory = archive::collect(store, bundle, &statements)?;
    let descriptor = Unverified::open(&memory, bundle)?.descriptor();
    let put = source::put(&memory, &built.map.encode(), descriptor)?;
    debug_assert_eq!(put, source);
    output(file, &archive::write(&memory.into_content()))
        .map_err(|error| Failure::new(Exit::INPUT, "output", format!("{error:#}")).into())
}
