//! Command `gwc revoke`: adds bundles, credentials or signing keys to the signed revocation list. A
//! rollback cannot make them valid again. Entries that are already on the list are not added again.

use std::collections::BTreeSet;

use bundle::digest::Digest;
use bundle::history::Entry;
use bundle::keys::{KeyId, PrivateKey};
use bundle::name::ChannelName;
use bundle::publish::{self, Revocation};
use bundle::refused::Refused;
use bundle::statement::Statement;
use bundle::statement::predicate::{Pointer, Revoke, Role};
use bundle::store::Store as _;
use bundle::trust::{Trust, When};
use policy::auth::token_digest;
use serde_json::{Value, json};

use super::advice::Advice;
use super::movement::{Movement, RecordFields, known, refused};
use super::options::{FormatOption, StoreOptions, confirm, keys};
use super::review::ReviewOptions;
use super::revocations::{self, Known};
use super::rollback::Rollback;
use super::say::{self, Context, Format};
use super::steps::Wanted;
use crate::release::{self, AnyStore, Place, refusals};
use model::exit::{Exit, Failure};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc revoke --list                                          everything that is revoked
  gwc revoke 3f9a2c --key keys/release.pem --reason \"leaks addresses\"
  gwc revoke 3f9a2c --then rollback:-1 --key keys/release.pem --yes
  gwc revoke --credential 9f86d081… --key keys/release.pem --reason \"key of acme was stolen\"
  gwc revoke --token env:STOLEN --key keys/release.pem       a JWT, with any signature
  gwc revoke --signing-key 5be1… --key keys/second.pem       invalidate all its signatures")]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["id", "credential", "token", "signing_key", "list"])))]
pub(super) struct Args {
    /// The bundle: its id, or the beginning of it
    id: Option<String>,
    /// The sha256 of a credential, as in gateway.yaml; may be given several times
    #[arg(long, value_name = "SHA256")]
    credential: Vec<String>,
    /// A token in a file or a variable. A JWT is revoked by its signed part, so that the same
    /// claims with another signature are revoked, too; may be given several times
    #[arg(long, value_name = "FILE|env:NAME")]
    token: Vec<String>,
    /// Id of a stolen signing key, as in the trust file: all its signatures become invalid; may be
    /// given several times
    #[arg(long, value_name = "KEYID")]
    signing_key: Vec<String>,
    /// Print the newest revocation list and change nothing
    #[arg(long, conflicts_with_all = ["id", "credential", "token", "signing_key", "then", "key", "reason", "yes"])]
    list: bool,
    /// Rollback after the revocation, as `rollback:ID`; required for the bundle that the channel
    /// runs
    #[arg(long, value_name = "rollback:ID")]
    then: Option<String>,
    /// Key that signs the list: a file, or env:NAME; repeat it if several owners must sign
    #[arg(long, value_name = "FILE|env:NAME", required_unless_present = "list")]
    key: Vec<String>,
    /// Reason; with --then kept in the history
    #[arg(long)]
    reason: Option<String>,
    /// Proceed although other channels of the store run the bundle, or do not accept the keys
    #[arg(long)]
    all_channels: bool,
    /// Proceed without confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    at: StoreOptions,
    #[command(flatten)]
    format: FormatOption,
}

impl super::Arguments for Args {}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if args.list {
        return revocations::list(&args.at, args.format.format, context);
    }
    let Named {
        then,
        credentials,
        tokens,
        stolen,
    } = Named::of(args)?;
    let keys = keys(&args.key)?;
    let place = args.at.place(context)?;
    let trust = args.at.trust(&place)?;
    let store = place.open()?;
    let bundle = args
        .id
        .as_deref()
        .map(|id| release::resolve_id(&store, id))
        .transpose()?;
    let head = release::head(&store, trust.as_ref(), &place.channel)?;
    let runs = head.as_ref().map(|head| head.bundle);
    if then.is_none() && bundle.is_some() && bundle == runs {
        return Err(without_next(&place).into());
    }
    check_keys(&place, trust.as_ref(), &stolen, &keys)?;
    check_channels(args, &place, (&store, trust.as_ref()), (bundle, &keys))?;
    let whole = Movement {
        place: &place,
        trust: trust.as_ref(),
        keys: &keys,
        head: head.as_ref(),
    };
    whole.check_newest_list(&store)?;
    let advice = Advice::new(context, &args.at, &place.root, &args.key);
    let rollback = then
        .map(|target| Rollback::new(&place, &store, trust.as_ref(), (target, &advice)))
        .transpose()?;
    let mut plan = json!(null);
    if let Some(rollback) = &rollback {
        if bundle == Some(rollback.target) {
            return Err(Failure::usage("a rollback to a revoked bundle is impossible").into());
        }
        let shown = rollback.plan(&ReviewOptions::default())?;
        plan = shown.json;
        if args.format.format == Format::Human {
            say::result(&shown.human);
        }
        movement(&place, trust.as_ref(), &keys, rollback).check_keys(&store, &BTreeSet::new())?;
    }
    for doubt in doubts(
        args,
        &place,
        &store,
        trust.as_ref(),
        head.as_ref(),
        (bundle, &credentials, &stolen),
    ) {
        say::note(&doubt);
    }
    let wanted = Revocation {
        bundles: bundle.into_iter().collect(),
        credentials: credentials.union(&tokens).copied().collect(),
        keys: stolen.clone(),
    };
    let known = Known::read(&place, &store, trust.as_ref())?;
    let added = known.lacks(&wanted);
    let is_known = revocations::is_empty(&added);
    if !is_known || rollback.is_some() {
        confirm(args.yes, "this cannot be undone; continue?")?;
    }
    // Write the list before the record: a record names the newest list, and gateways refuse a
    // record that names an older list.
    let (list, list_message) = match is_known {
        true => {
            let list = known.serial();
            let message = format!(
                "nothing to revoke: revocation list {list} already contains these \
                entries"
            );
            (list, message)
        }
        false => {
            let list = write(&place, &store, trust.as_ref(), added, &keys)?.serial;
            (list, format!("revocation list {list} is published"))
        }
    };
    let mut messages = vec![list_message];
    let mut serial = None;
    if let Some(rollback) = &rollback {
        let movement = movement(&place, trust.as_ref(), &keys, rollback);
        let pointer = roll_back(args, &movement, &store, (rollback, &plan), &advice)?;
        serial = Some(pointer.serial);
        messages.push(format!(
            "channel {} is at serial {}, with the bundle {}",
            place.channel, pointer.serial, rollback.target
        ));
    }
    match args.format.format {
        Format::Human => say::result(&messages.join("\n")),
        Format::Json => say::json(&say::document(
            "revoke/v1",
            "ok",
            json!({"list": list, "no_op": is_known && rollback.is_none(), "bundle": bundle, "credentials": credentials, "signing_keys": stolen, "channel": place.channel,
                   "serial": serial, "then": rollback.as_ref().map(|rollback| rollback.target)}),
        )),
    }
    Ok(Exit::OK)
}

/// Entries named on the command line.
struct Named<'a> {
    /// Target of the rollback after the revocation (`--then`). `None`: no rollback.
    then: Option<&'a str>,
    credentials: BTreeSet<Digest>,
    tokens: BTreeSet<Digest>,
    stolen: BTreeSet<KeyId>,
}

impl<'a> Named<'a> {
    fn of(args: &'a Args) -> anyhow::Result<Self> {
        let then = args.then.as_deref().map(|text| {
            text.strip_prefix("rollback:")
                .filter(|target| !target.is_empty())
                .ok_or_else(|| Failure::usage(format!("`--then {text}`: write --then rollback:ID")))
        });
        let credentials = args.credential.iter().map(|text| credential(text));
        let tokens = args.token.iter().map(|source| token(source));
        let stolen = args.signing_key.iter().map(|text| signing_key(text));
        Ok(Self {
            then: then.transpose()?,
            credentials: credentials.collect::<anyhow::Result<_>>()?,
            tokens: tokens.collect::<anyhow::Result<_>>()?,
            stolen: stolen.collect::<anyhow::Result<_>>()?,
        })
    }
}

/// Publishes the record of the rollback (`--then`) after the revocation list was written.
fn roll_back(
    args: &Args,
    movement: &Movement<'_>,
    store: &AnyStore,
    (rollback, plan): (&Rollback<'_>, &Value),
    advice: &Advice,
) -> anyhow::Result<Pointer> {
    let fields = RecordFields {
        reason: args.reason.clone(),
        ..RecordFields::default()
    };
    let record = rollback.record(fields, plan);
    movement.publish(store, record).map_err(|error| {
        error.context(format!(
            "the list is published, but the channel was not moved; run `{}` now",
            advice.command(&["rollback", &rollback.target.short()])
        ))
    })
}

/// Notes and warnings that `gwc revoke` shows before it publishes a revocation list.
fn doubts(
    args: &Args,
    place: &Place,
    store: &AnyStore,
    trust: Option<&Trust>,
    head: Option<&Entry>,
    (bundle, credentials, stolen): (Option<Digest>, &BTreeSet<Digest>, &BTreeSet<KeyId>),
) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Some(head) = head.filter(|_| args.then.is_none())
        && bundle.is_some()
        && Wanted::of(store, head).base() == bundle
    {
        doubts.push(format!(
            "warning: the gateways outside of the share of the progressive release run this \
             bundle; they change to {} at once",
            head.bundle.short()
        ));
    }
    if args.reason.is_some() && args.then.is_none() {
        doubts.push(
            "note: a revocation list does not store a reason; only the record of --then does"
                .to_owned(),
        );
    }
    let runs = head.and_then(|head| release::side(store, head.bundle, None).ok());
    if let Some((lowered, _)) = runs {
        let consumers = lowered.gateway.shared.consumers.iter();
        let known: BTreeSet<Digest> = consumers
            .flat_map(|consumer| consumer.keys.iter().chain(&consumer.basic))
            .map(|credential| Digest::from_bytes(credential.sha256))
            .collect();
        for strange in credentials.difference(&known) {
            doubts.push(format!(
                "warning: no consumer of the bundle of channel {} has the credential {}…; check the hash",
                place.channel,
                &strange.hex()[..12]
            ));
        }
    }
    if let Some(trust) = trust.filter(|_| !stolen.is_empty()) {
        let left = trust.clone().with_revoked(stolen);
        let after = release::head(store, Some(&left), &place.channel)
            .ok()
            .flatten();
        match (head, &after) {
            (Some(_), None) => doubts.push(format!(
                "warning: every record of channel {} was signed by such a key, so no valid record \
remains: gateways keep serving their current version (alarm `running-untrusted`), but cannot \
restart until `gwc apply` with another key",
                place.channel
            )),
            (Some(before), Some(after)) if before.pointer != after.pointer => doubts.push(format!(
                "note: channel {} goes back from serial {} to serial {} ({})",
                place.channel,
                before.pointer.serial,
                after.pointer.serial,
                after.bundle.short()
            )),
            _ => {}
        }
        let build = |after: &Entry| refusals::of_build(store, Some(&left), &place.channel, after);
        if after.as_ref().and_then(build) == Some(Refused::RevokedKey) {
            doubts.push(format!(
                "warning: such a key signed the bundle of the newest valid record of channel {}: \
gateways keep serving their current version (alarm `running-untrusted`), but cannot restart until \
`gwc apply` with another key signs the bundle again. If this version may run, accept it first: `gwc \
trust floor --accept-head`",
                place.channel
            ));
        }
    }
    doubts
}

fn movement<'a>(
    place: &'a Place,
    trust: Option<&'a Trust>,
    keys: &'a [PrivateKey],
    rollback: &'a Rollback<'_>,
) -> Movement<'a> {
    Movement {
        place,
        trust,
        keys,
        head: Some(&rollback.head),
    }
}

fn credential(text: &str) -> anyhow::Result<Digest> {
    revocations::credential("--credential", text)
}

/// Reads a token and returns the digest that identifies it in a revocation list.
fn token(source: &str) -> anyhow::Result<Digest> {
    let read = match source.strip_prefix("env:") {
        Some(name) => std::env::var_os(name).map(std::ffi::OsString::into_encoded_bytes),
        None => std::fs::read(source).ok(),
    };
    let bytes = read.ok_or_else(|| {
        let source = source.escape_debug();
        Failure::usage(format!(
            "--token: `{source}` cannot be read; write FILE or env:NAME"
        ))
    })?;
    match token_digest(bytes.trim_ascii()) {
        Some(sha256) => Ok(Digest::from_bytes(sha256)),
        // The argument may be the token itself, so the message must not repeat it.
        None => Err(Failure::usage(
            "--token: this is neither a signed token (JWT) nor an opaque token",
        )
        .into()),
    }
}

fn signing_key(text: &str) -> anyhow::Result<KeyId> {
    text.parse().map_err(|_| {
        Failure::usage(format!(
            "`--signing-key {text}`: write the id of a key as in the trust file, 64 lower-case hex \
digits"
        ))
        .into()
    })
}

/// Checks that gateways with this trust file would accept a revocation list signed by these keys.
/// `stolen`: keys that the list revokes; their signatures do not count.
fn check_keys(
    place: &Place,
    trust: Option<&Trust>,
    stolen: &BTreeSet<KeyId>,
    keys: &[PrivateKey],
) -> anyhow::Result<()> {
    let Some(trust) = trust else { return Ok(()) };
    if let Some(unknown) = stolen.iter().find(|id| trust.key(id).is_none()) {
        return Err(Failure::usage(format!(
            "the trust file has no key {unknown}, so gateways do not trust that key anyway"
        ))
        .into());
    }
    let left = trust.clone().with_revoked(stolen);
    let now = release::now();
    let trial = Revoke {
        project: place.project.clone(),
        serial: 1,
        previous: None,
        created: now,
        bundles: BTreeSet::from([Digest::of(b"")]),
        credentials: BTreeSet::new(),
        keys: BTreeSet::new(),
    };
    let statement = Statement {
        subject: trial.subject(),
        predicate: trial,
    };
    let envelope = publish::sign(&statement, &keys.iter().collect::<Vec<_>>())?;
    let signers = left.authorized_signers(
        &envelope,
        Role::Revoke,
        Some(&place.channel),
        When::First(now),
    );
    signers.map_err(|error| {
        refused(
            &error,
            &format!(
                "gateways with this trust file would refuse the list, so it was not published; \
                 give the --key of an owner whose key has the role `revoke`{}",
                known(&left, keys)
            ),
        )
    })?;
    Ok(())
}

/// Error for a bundle that the channel runs, without the next one.
fn without_next(place: &Place) -> Failure {
    Failure::usage(format!(
        "channel {} runs this bundle; name the next bundle: --then rollback:-1, or --then rollback:ID",
        place.channel
    ))
}

/// Refuses a list that other channels of the store do not expect: the bundle is that of their newest
/// record, or their gateways do not accept the keys. One chain of lists is for all channels, and an
/// untrusted list blocks later ones.
fn check_channels(
    args: &Args,
    place: &Place,
    (store, trust): (&AnyStore, Option<&Trust>),
    (bundle, keys): (Option<Digest>, &[PrivateKey]),
) -> anyhow::Result<()> {
    if args.all_channels {
        return Ok(());
    }
    let names = store.channels()?.into_iter();
    let channels = names.filter_map(|name| name.parse::<ChannelName>().ok());
    for channel in channels.filter(|channel| *channel != place.channel) {
        let head = release::head(store, trust, &channel).ok().flatten();
        if bundle.is_some() && head.map(|head| head.bundle) == bundle {
            return Err(Failure::usage(format!(
                "channel {channel} of the same store runs this bundle, too, and its gateways could \
                 not start any more; move it first (`gwc rollback --channel {channel}`), or pass \
                 --all-channels"
            ))
            .into());
        }
        let is_of_others = |key: &PrivateKey| {
            let key = trust.and_then(|trust| trust.key(&key.public().id()));
            let counts = key.map(|key| key.counts(Role::Revoke, Some(&channel), When::Ever));
            matches!(counts, Some(Err(Refused::WrongChannel { .. })))
        };
        if keys.iter().any(is_of_others) {
            return Err(Failure::usage(format!(
                "a revocation list is for all channels of the store, and a key is not for channel \
                 {channel}: its gateways would refuse this list and all later ones; use a key for \
                 all channels, or pass --all-channels"
            ))
            .into());
        }
    }
    Ok(())
}

fn write(
    place: &Place,
    store: &AnyStore,
    trust: Option<&Trust>,
    added: Revocation,
    keys: &[PrivateKey],
) -> anyhow::Result<Pointer> {
    let keys: Vec<&PrivateKey> = keys.iter().collect();
    let project = place.project.clone();
    Ok(publish::revoke(
        store,
        trust,
        project,
        added,
        release::now(),
        &keys,
    )?)
}
