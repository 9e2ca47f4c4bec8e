//! Command `gwc revoke`: adds bundles, credentials or signing keys to the signed revocation list. A
//! rollback cannot make them valid again. Entries that are already on the list are not added again.

use std::collections::BTreeSet;

use bundle::digest::Digest;
use bundle::history::Entry;
use bundle::json::INTEGER_MAX;
use bundle::keys::{KeyId, PrivateKey};
use bundle::lists;
use bundle::publish::{self, Revocation};
use bundle::refused::Refused;
use bundle::statement::Statement;
use bundle::statement::envelope::Envelope;
use bundle::statement::predicate::{Pointer, Revoke, Role};
use bundle::store::WriteError;
use bundle::trust::{Trust, When};
use policy::auth::token_digest;
use serde_json::{Value, json};

use super::advice::Advice;
use super::effects::{NextList, Scope};
use super::movement::{Movement, RecordFields, conflict, known, refused};
use super::options::{FormatOption, StoreOptions, confirm, keys};
use super::review::ReviewOptions;
use super::revocations::{self, Known};
use super::revoked_lists::RepeatList;
use super::rollback::Rollback;
use super::say::{self, Context, Format};
use crate::release::{self, AnyStore, Place};
use model::exit::{Exit, Failure};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc revoke --list                                          everything that is revoked
  gwc revoke 3f9a2c --key keys/release.pem --reason \"leaks addresses\"
  gwc revoke 3f9a2c --then rollback:-1 --key keys/release.pem --yes
  gwc revoke --credential 9f86d081… --key keys/release.pem --reason \"key of acme was stolen\"
  gwc revoke --token env:STOLEN --key keys/release.pem       a JWT, with any signature
  gwc revoke --signing-key 5be1… --key keys/second.pem       invalidate all its signatures")]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["id", "credential", "token", "signing_key", "repeat_list", "list"])))]
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
    #[arg(long, conflicts_with_all = ["id", "credential", "token", "signing_key", "then", "repeat_list", "key", "reason", "yes"])]
    list: bool,
    /// Rollback after the revocation, as `rollback:ID`; required for the bundle that the channel
    /// runs. `none`: no rollback, although gateways keep serving a version by a stolen key
    #[arg(long, value_name = "rollback:ID|none")]
    then: Option<String>,
    /// Entries of a list by a key that no longer counts that the new list repeats: its serial, or
    /// `none`. Default: the lists in force are repeated, also if this command revokes their key
    #[arg(long, value_name = "SERIAL|none")]
    repeat_list: Option<RepeatList>,
    /// Key that signs the list: a file, or env:NAME; repeat it if several owners must sign
    #[arg(long, value_name = "FILE|env:NAME", required_unless_present = "list")]
    key: Vec<String>,
    /// Reason; with --then kept in the history
    #[arg(long)]
    reason: Option<String>,
    /// Proceed although this changes what gateways of other channels run, prevents their restart, or
    /// repeats entries of one channel in others
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

impl Args {
    /// Argument of `--then`, unless it is `none`.
    fn next(&self) -> Option<&str> {
        self.then.as_deref().filter(|text| *text != "none")
    }
}

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
    let trust = usable(&place, &store, trust, &stolen);
    let resolve = |id| release::resolve_id(&store, id);
    let bundle = args.id.as_deref().map(resolve).transpose()?;
    let head = release::head(&store, trust.as_ref(), &place.channel)?;
    if then.is_none() {
        check_running(&place, head.as_ref(), bundle)?;
    }
    let scope = Scope::new(&place, &store, trust.as_ref(), &stolen);
    let trial = check_keys(&scope, &stolen, &keys)?;
    let wanted = Revocation {
        bundles: bundle.into_iter().collect(),
        credentials: credentials.union(&tokens).copied().collect(),
        keys: stolen.clone(),
    };
    if args.then.is_none() && !stolen.is_empty() && scope.leads_below_floor() {
        return Err(below_floor(&scope, head.as_ref(), &stolen).into());
    }
    let next = scope.next_list(&wanted, &trial, args.repeat_list)?;
    check_channels(args, &scope, &next)?;
    let whole = Movement {
        place: &place,
        trust: trust.as_ref(),
        keys: &keys,
        head: head.as_ref(),
        publishes_list: true,
    };
    whole.check_newest_list(&store)?;
    let advice = Advice::new(context, &args.at, &place.root, &args.key);
    let rollback = then
        .map(|target| Rollback::new(&place, &store, trust.as_ref(), (target, &advice)))
        .transpose()?;
    let plan = match &rollback {
        Some(rollback) => check_then(args, &scope, (rollback, bundle), &keys)?,
        None => json!(null),
    };
    for doubt in doubts(args, &scope, head.as_ref(), (&wanted, &credentials)) {
        say::note(&doubt);
    }
    let known = Known::read(&place, &store, trust.as_ref())?;
    let is_known = args.repeat_list.is_none() && scope.is_known(&wanted)?;
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
            let list = write(&scope, next, &keys)?.serial;
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
        let then = args.next().map(|text| {
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

/// Trust file with which the newest record and list can be read: without the stolen keys if one of
/// them signed a record or list that cannot be used.
fn usable(
    place: &Place,
    store: &AnyStore,
    trust: Option<Trust>,
    stolen: &BTreeSet<KeyId>,
) -> Option<Trust> {
    let trust = trust?;
    let channel = &place.channel;
    let is_usable = release::head(store, Some(&trust), channel).is_ok()
        && lists::in_force(store, Some(&trust), channel, release::now()).is_ok();
    Some(match is_usable {
        true => trust,
        false => trust.with_revoked(stolen),
    })
}

/// Shows the plan of the rollback (`--then`), and checks that gateways accept it, also after the
/// revocation. Returns the plan.
fn check_then(
    args: &Args,
    scope: &Scope<'_>,
    (rollback, bundle): (&Rollback<'_>, Option<Digest>),
    keys: &[PrivateKey],
) -> anyhow::Result<Value> {
    if bundle == Some(rollback.target) {
        return Err(Failure::usage("a rollback to a revoked bundle is impossible").into());
    }
    let shown = rollback.plan(&ReviewOptions::default())?;
    if args.format.format == Format::Human {
        say::result(&shown.human);
    }
    let check = |trust| {
        let movement = movement(scope.place, trust, keys, rollback);
        movement.check_keys(scope.store, &BTreeSet::new())
    };
    check(scope.trust)?;
    if let Some(left) = &scope.left {
        rollback.check_with(left)?;
        check(Some(left))?;
    }
    Ok(shown.json)
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
    scope: &Scope<'_>,
    head: Option<&Entry>,
    (wanted, credentials): (&Revocation, &BTreeSet<Digest>),
) -> Vec<String> {
    let channel = &scope.place.channel;
    let warning = |effect: String| format!("warning: {effect}");
    let mut doubts = Vec::new();
    if let Some(head) = head.filter(|_| args.next().is_none()) {
        doubts.extend(scope.of_base(channel, head, wanted).map(warning));
    }
    if args.reason.is_some() && args.next().is_none() {
        doubts.push(
            "note: a revocation list does not store a reason; only the record of --then does"
                .to_owned(),
        );
    }
    let runs = head.and_then(|head| release::side(scope.store, head.bundle, None).ok());
    if let Some((lowered, _)) = runs {
        let consumers = lowered.gateway.shared.consumers.iter();
        let known: BTreeSet<Digest> = consumers
            .flat_map(|consumer| consumer.keys.iter().chain(&consumer.basic))
            .map(|credential| Digest::from_bytes(credential.sha256))
            .collect();
        for strange in credentials.difference(&known) {
            doubts.push(format!(
                "warning: no consumer of the bundle of channel {channel} has the credential {}…; check the hash",
                &strange.hex()[..12]
            ));
        }
    }
    let of_keys = scope.of_keys(channel, head, &wanted.keys);
    doubts.extend(of_keys.into_iter().map(warning));
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
        publishes_list: true,
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
/// `stolen`: keys that the list revokes; their signatures do not count. Returns a list with the
/// signatures of these keys, which is not published.
fn check_keys(
    scope: &Scope<'_>,
    stolen: &BTreeSet<KeyId>,
    keys: &[PrivateKey],
) -> anyhow::Result<Envelope> {
    let place = scope.place;
    let unknown = |trust: &&Trust| stolen.iter().find(|id| trust.key(id).is_none()).copied();
    if let Some(unknown) = scope.trust.as_ref().and_then(unknown) {
        return Err(Failure::usage(format!(
            "the trust file has no key {unknown}, so gateways do not trust that key anyway"
        ))
        .into());
    }
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
    let Some(left) = &scope.left else {
        return Ok(envelope);
    };
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
                known(left, keys)
            ),
        )
    })?;
    Ok(envelope)
}

/// Error for stolen keys whose revocation leaves gateways with the current version, because the
/// trust file excludes the version before it.
fn below_floor(scope: &Scope<'_>, head: Option<&Entry>, stolen: &BTreeSet<KeyId>) -> Failure {
    let effects = scope.of_keys(&scope.place.channel, head, stolen);
    Failure::usage(format!(
        "{}. Publish the record with the same command: `--then rollback:-1` or `--then \
         rollback:ID`. To publish the list only: `--then none`",
        effects.join("; ")
    ))
}

/// Refuses to revoke the bundle that the channel runs, without the next one.
fn check_running(
    place: &Place,
    head: Option<&Entry>,
    bundle: Option<Digest>,
) -> Result<(), Failure> {
    if bundle.is_none() || head.map(|head| head.bundle) != bundle {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "channel {} runs this bundle; name the next bundle: --then rollback:-1, or --then rollback:ID",
        place.channel
    )))
}

/// Refuses a list that changes what gateways of other channels run, or prevents their restart. With
/// `--all-channels`, prints these effects as warnings.
fn check_channels(args: &Args, scope: &Scope<'_>, next: &NextList) -> anyhow::Result<()> {
    let effects = scope.on_channels(next);
    if args.all_channels || effects.is_empty() {
        for effect in effects {
            say::note(&format!("warning: {effect}"));
        }
        return Ok(());
    }
    Err(Failure::usage(format!(
        "the list is for several channels of the store: {}. To proceed, pass --all-channels",
        effects.join("; ")
    ))
    .into())
}

fn write(scope: &Scope<'_>, next: NextList, keys: &[PrivateKey]) -> anyhow::Result<Pointer> {
    let keys: Vec<&PrivateKey> = keys.iter().collect();
    let list = publish::revoke(
        scope.store,
        scope.trust,
        scope.place.project.clone(),
        (&scope.place.channel, next.entries),
        release::now(),
        &keys,
    );
    list.map_err(|error| match error {
        WriteError::Refused(why @ Refused::TooLarge { limit, .. }) if limit < INTEGER_MAX => refused(
            &why,
            "the new list repeats the entries in force, which are too many; nothing was written. If \
             a stolen key signed the list in force, revoke this key with `--repeat-list none`, or \
             with the serial of a list before it",
        ),
        other => conflict(other),
    })
}
