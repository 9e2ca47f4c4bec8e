//! Command `gwc approve`: signs an approval of one change of a channel.

use std::path::Path;
use std::time::Duration;

use bundle::digest::Digest;
use bundle::history::Entry;
use bundle::keys::PrivateKey;
use bundle::moment::Moment;
use bundle::pending;
use bundle::statement::Statement;
use bundle::statement::envelope::Envelope;
use bundle::statement::predicate::{Approve, Base, Role};
use bundle::store::Store;
use bundle::store::memory::Memory;
use bundle::trust::{Trust, When};
use serde_json::{Value, json};

use super::advice::Advice;
use super::apply::{check_revoked, sides};
use super::approvals::{ApprovalsOfChange, change, check_base};
use super::build::BuiltProject;
use super::claim;
use super::limits::LimitOptions;
use super::movement::{known, refused};
use super::options::{FormatOption, StoreOptions, confirm, duration, keys};
use super::planned::{GateScope, PlannedMove};
use super::review::ReviewOptions;
use super::say::{self, Context, Format};
use super::side::side_of_head;
use super::steps;
use crate::release::{self, AnyStore, Place};
use model::exit::{Exit, Failure};

/// Range of `--expires`: 1 minute to 30 days.
const EXPIRES_S: std::ops::RangeInclusive<u64> = 60..=30 * 86_400;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Builds the sources, shows the plan as `gwc apply` does, and signs an approval of this one change:
this bundle and this plan, after the channel's newest record. The approval goes to the store with the
bundle, and the channel does not move. It counts until it expires or the channel moves. Each owner
runs the command with a key of their own, on any machine with the same sources. The trust file says
how many owners must approve (`gwc trust approvals`); `gwc apply` then releases.

Examples:
  gwc keygen ann --roles approve                       a key that only approves
  gwc approve --key keys/ann.pem                       what these sources build
  gwc approve plan.json --key keys/ann.pem             exactly this plan, or nothing
  gwc approve 3f9a2c --key env:BOB_KEY --expires 4h    only if the sources build this bundle"
)]
pub(super) struct Args {
    /// Plan written by `gwc plan -o`, or a bundle's id or the beginning of it; an approval of
    /// anything else is refused [default: what the sources build]
    #[arg(value_name = "plan.json|ID")]
    what: Option<String>,
    /// Key of the approving owner, with the role `approve`: a file, or env:NAME
    #[arg(long, value_name = "FILE|env:NAME", required = true)]
    key: Vec<String>,
    /// Time after which the approval no longer counts: 1m to 30d
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "24h")]
    expires: Duration,
    /// Proceed without confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    review: ReviewOptions,
    #[command(flatten)]
    at: StoreOptions,
    #[command(flatten)]
    format: FormatOption,
    #[command(flatten)]
    pub(super) limits: LimitOptions,
}

impl super::Arguments for Args {
    fn limits(&self) -> Option<&LimitOptions> {
        Some(&self.limits)
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    check_expires(args.expires)?;
    let (claimed, id) = wanted(args.what.as_deref())?;
    let keys = keys(&args.key)?;
    let context = &context.planned_in(claimed.as_ref())?;
    let mut built = BuiltProject::of(context)?;
    let root = context.root()?;
    let place = built.place(&root, args.at.store.as_deref(), args.at.channel.as_deref())?;
    let bundle = built.bundle.id();
    check_id(id, bundle)?;
    let trust = args.at.trust(&place)?;
    let there = place.open_if_there()?;
    if let Some(doubt) = there.as_ref().and_then(|store| place.doubt(store)) {
        say::note(&doubt);
    }
    let nothing = Memory::default();
    let store: &dyn Store = there.as_ref().map_or(&nothing, |store| store);
    let head = release::head(store, trust.as_ref(), &place.channel)?;
    check_base(&place, store, trust.as_ref(), head.as_ref())?;
    let old = head.as_ref();
    let old = old.map(|head| side_of_head(store, trust.as_ref(), &place.channel, head));
    let (old, new) = sides(&mut built, old.transpose()?)?;
    let sides = (old.as_ref(), &new);
    let planned = PlannedMove::new(&place, head.as_ref(), sides, &args.review, GateScope::Every)?;
    planned.report_idle();
    if let Some(claimed) = &claimed {
        claim::check(claimed, &planned.json)?;
    }
    let advice = Advice::new(context, &args.at, &root, &args.key);
    let approval = Approval {
        args,
        place: &place,
        trust: trust.as_ref(),
        head: head.as_ref(),
        built: &built,
        planned: &planned,
        keys: &keys,
        advice: &advice,
    };
    approval.line(&planned.human);
    if head.as_ref().is_some_and(|head| head.bundle == bundle) {
        return Ok(approval.nothing_to_do());
    }
    steps::check_idle(&place, head.as_ref(), bundle)?;
    if let Err(blocked) = planned.check_gates() {
        approval.document("blocked", None);
        say::note(&format!("error[{}]: {blocked}", blocked.code));
        return Ok(blocked.exit);
    }
    check_revoked(store, trust.as_ref(), &place.channel, bundle)?;
    approval.sign()
}

fn check_expires(time: Duration) -> Result<(), Failure> {
    match EXPIRES_S.contains(&time.as_secs()) {
        true => Ok(()),
        false => Err(Failure::usage("--expires: write a time from 1m to 30d")),
    }
}

/// Plan file, or beginning of a bundle's id, of the argument.
fn wanted(what: Option<&str>) -> anyhow::Result<(Option<Value>, Option<&str>)> {
    let Some(what) = what else {
        return Ok((None, None));
    };
    let path = Path::new(what);
    if path.is_file() || what.contains(['/', '.']) {
        return Ok((Some(claim::read(path)?), None));
    }
    let hex = what.strip_prefix("sha256:").unwrap_or(what);
    let is_id = hex.len() >= release::id::PREFIX_MIN
        && hex.len() <= 64
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_id {
        true => Ok((None, Some(what))),
        false => Err(Failure::usage(format!(
            "`{}` is neither a file nor a bundle's id: write the file of a plan, `sha256:` and 64 \
             hex digits, or at least the first {} of them",
            what.escape_debug(),
            release::id::PREFIX_MIN
        ))
        .into()),
    }
}

/// Refuses to approve a bundle other than the one that the sources build.
fn check_id(id: Option<&str>, built: Digest) -> Result<(), Failure> {
    let Some(id) = id else { return Ok(()) };
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    if built.hex().starts_with(&hex.to_ascii_lowercase()) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::FINDINGS,
        "different",
        format!(
            "these sources build {built}, not `{}`, so nothing was signed; check out the sources \
             of that bundle (`gwc build --reproduce {}` says what differs)",
            id.escape_debug(),
            id.escape_debug()
        ),
    ))
}

/// Approval to sign, after its plan was computed.
struct Approval<'a> {
    args: &'a Args,
    place: &'a Place,
    trust: Option<&'a Trust>,
    /// Newest record of the channel. `None` if the channel has no record yet.
    head: Option<&'a Entry>,
    built: &'a BuiltProject,
    planned: &'a PlannedMove,
    keys: &'a [PrivateKey],
    advice: &'a Advice,
}

/// Approval that was signed and stored.
struct Signed {
    statement: Digest,
    expires: Moment,
    all: ApprovalsOfChange,
}

impl Approval<'_> {
    /// Checks the keys, asks for confirmation, and signs and stores the approval.
    fn sign(&self) -> anyhow::Result<Exit> {
        let (place, bundle) = (self.place, self.built.bundle.id());
        let expires = release::now().plus_s(self.args.expires.as_secs());
        let approve = self.approve(expires);
        self.check_keys(&approve)?;
        confirm(
            self.args.yes,
            &format!(
                "approve the change of channel {} {} to {}, until {expires}?",
                place.channel,
                self.base_text(),
                bundle.short()
            ),
        )?;
        let store = place.create()?;
        let _writing = store.writing()?;
        self.built.put(&store)?;
        let keys: Vec<&PrivateKey> = self.keys.iter().collect();
        let descriptor = self.built.bundle.descriptor();
        let statement = pending::put(&store, &descriptor, approve, &keys)?;
        self.check_store(&store, statement)?;
        let change = change(self.head, bundle, self.planned.digest());
        let signed = Signed {
            statement,
            expires,
            all: ApprovalsOfChange::find(place, &store, self.trust, &change)?,
        };
        self.line(&self.result(&signed));
        self.document("ok", Some(&signed));
        Ok(Exit::OK)
    }

    fn approve(&self, expires: Moment) -> Approve {
        let changes = self.planned.json["changes"].as_array();
        let acked = changes.into_iter().flatten().filter_map(|change| {
            let fingerprint = change["fingerprint"].as_str()?;
            (!change["acked"].is_null()).then(|| fingerprint.to_owned())
        });
        Approve {
            project: self.place.project.clone(),
            channel: self.place.channel.clone(),
            base: self.head.map(|head| Base {
                record: head.pointer.digest,
                serial: head.pointer.serial,
            }),
            plan: self.planned.digest(),
            acked: acked.collect(),
            expires,
        }
    }

    /// Refuses keys whose approval would not count.
    fn check_keys(&self, approve: &Approve) -> anyhow::Result<()> {
        let Some(trust) = self.trust else {
            return Ok(());
        };
        let statement = Statement {
            subject: vec![self.built.bundle.id()],
            predicate: approve.clone(),
        };
        let (channel, now) = (Some(&self.place.channel), When::First(release::now()));
        for key in self.keys {
            let alone = Envelope::new(&statement)?.signed_by(key);
            let signers = trust.signers(&alone, Role::Approve, channel, now);
            signers.map_err(|why| {
                refused(
                    &why,
                    &format!(
                        "the approval would not count, so nothing was signed; give the --key of an \
                         owner whose key has the role `approve` (`gwc keygen NAME --roles approve`){}",
                        known(trust, std::slice::from_ref(key))
                    ),
                )
            })?;
        }
        Ok(())
    }

    /// Checks that the channel has not moved, and that the store lists the approval.
    fn check_store(&self, store: &AnyStore, statement: Digest) -> anyhow::Result<()> {
        let bundle = self.built.bundle.id();
        let base = self.head.map(|head| head.pointer.digest);
        let now = release::head(store, self.trust, &self.place.channel)?;
        if now.as_ref().map(|head| head.pointer.digest) != base {
            let serial = now.map_or(0, |head| head.pointer.serial);
            return Err(Failure::new(
                Exit::STALE,
                "stale",
                format!(
                    "channel {} moved to serial {serial} meanwhile, so the approval does not \
                     count; plan and approve again",
                    self.place.channel
                ),
            )
            .into());
        }
        let listed = pending::listed(store, base, bundle)?;
        if listed.iter().any(|listed| listed.digest == statement) {
            return Ok(());
        }
        Err(Failure::new(
            Exit::STALE,
            "stale",
            "another writer changed the store's list of approvals at the same time, and it lacks \
             this one; run the command again",
        )
        .into())
    }

    fn base_text(&self) -> String {
        match self.head {
            None => "without a record".to_owned(),
            Some(head) => format!(
                "from serial {} ({})",
                head.pointer.serial,
                head.bundle.short()
            ),
        }
    }

    /// Result for people, with the command for the next owner or for the release.
    fn result(&self, signed: &Signed) -> String {
        let bundle = self.built.bundle.id();
        let all = &signed.all;
        let next = match (self.trust, all.needed, all.missing()) {
            (None, _, _) | (_, 0, _) => format!(
                "note: the trust file requires no approvals of channel {}; `gwc trust approvals` \
                 does",
                self.place.channel
            ),
            (_, _, 0) => format!("next: {}", self.advice.command_of_another(&["apply"])),
            (_, _, missing) => format!(
                "next, for {missing} more: {}",
                self.advice
                    .command_of_another(&["approve", &bundle.short()])
            ),
        };
        let text = all.text();
        let text = match text.is_empty() {
            true => text,
            false => format!("{text}\n"),
        };
        format!(
            "approved the change of channel {} {} to {bundle}\napproval {}, until {}\n{text}{next}",
            self.place.channel,
            self.base_text(),
            signed.statement,
            signed.expires
        )
    }

    /// Reports that the channel has the bundle already.
    fn nothing_to_do(&self) -> Exit {
        self.line(&format!(
            "nothing to approve: channel {} runs {} already",
            self.place.channel,
            self.built.bundle.id().short()
        ));
        self.document("ok", None);
        Exit::OK
    }

    /// Writes a line if the output format is `human`.
    fn line(&self, text: &str) {
        if self.args.format.format == Format::Human {
            say::report(text);
        }
    }

    /// Writes the document if the output format is JSON.
    fn document(&self, result: &str, signed: Option<&Signed>) {
        if self.args.format.format != Format::Json {
            return;
        }
        let base = self
            .head
            .map(|head| json!({"serial": head.pointer.serial, "record": head.pointer.digest}));
        say::json(&say::document(
            "approve/v1",
            result,
            json!({"channel": self.place.channel, "bundle": self.built.bundle.id(), "base": base,
                   "approval": signed.map(|signed| signed.statement),
                   "expires": signed.map(|signed| signed.expires),
                   "approvals": signed.map(|signed| signed.all.json()),
                   "plan_digest": self.planned.digest(), "plan": self.planned.json}),
        ));
    }
}
