//! Command `gwc rollback`: moves the channel back to an earlier bundle, with a new serial.

use std::collections::BTreeSet;

use bundle::digest::Digest;
use bundle::history::Entry;
use bundle::name::ChannelName;
use bundle::refused::Refused;
use bundle::statement::predicate::RecordKind;
use bundle::trust::{Trust, When};
use serde_json::json;

use super::advice::Advice;
use super::approvals::acceptance;
use super::fleet;
use super::movement::{Movement, RecordFields, Target, refused};
use super::options::{FormatOption, NodeOptions, RecordOptions, StoreOptions, confirm, keys};
use super::planned::{GateScope, PlannedMove};
use super::review::ReviewOptions;
use super::rollout::{ExpectedRelease, WaitOption};
use super::say::{self, Context, Format};
use super::side::side_in;
use super::steps::{Wanted, step_text};
use crate::release::approvals::carried;
use crate::release::evidence::{self, BundleVerifier};
use crate::release::{self, AnyStore, Place, back, refusals};
use model::exit::{Exit, Failure};
use model::lower::Lowered;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Moves the channel back to the previous version, or to any earlier one. Each further rollback
goes back one more version.

Examples:
  gwc rollback --key keys/release.pem                to the previous version
  gwc rollback -2 --key keys/release.pem             two versions back
  gwc rollback 3f9a2c --key keys/release.pem --yes --reason \"checkout is down\"
  gwc rollback --withdraw 77e1d0 --key keys/release.pem    and prevent gateways from switching to 77e1d0"
)]
pub(super) struct Args {
    /// A bundle's id or the beginning of it, or -N for N versions back
    #[arg(
        value_name = "ID|-N",
        default_value = "-1",
        allow_negative_numbers = true
    )]
    target: String,
    #[command(flatten)]
    moving: MoveOptions,
}

/// Options of the commands that move a channel back: `rollback` and `abort`.
#[derive(Debug, clap::Args)]
pub(super) struct MoveOptions {
    /// Key that moves the channel: a file, or env:NAME; repeat it if several owners must sign
    #[arg(long, value_name = "FILE|env:NAME", required = true)]
    key: Vec<String>,
    #[command(flatten)]
    record: RecordOptions,
    /// Proceed without confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    wait: WaitOption,
    #[command(flatten)]
    review: ReviewOptions,
    #[command(flatten)]
    pub(super) at: StoreOptions,
    #[command(flatten)]
    nodes: NodeOptions,
    #[command(flatten)]
    format: FormatOption,
}

impl super::Arguments for Args {}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let place = args.moving.at.place(context)?;
    let trust = args.moving.at.trust(&place)?;
    let store = place.open()?;
    let at = (&place, &store, trust.as_ref());
    go_back(&args.moving, &args.target, at, context)
}

/// Moves the channel back to the target of `gwc rollback`: an id, or `-N`.
pub(super) fn go_back(
    args: &MoveOptions,
    target: &str,
    (place, store, trust): (&Place, &AnyStore, Option<&Trust>),
    context: &Context,
) -> anyhow::Result<Exit> {
    let nodes = args.nodes.nodes()?;
    let keys = keys(&args.key)?;
    let advice = Advice::new(context, &args.at, &place.root, &args.key);
    let rollback = Rollback::new(place, store, trust, (target, &advice))?;
    let (head, target) = (&rollback.head, rollback.target);
    let channel = &place.channel;
    if head.bundle == target && refusals::of_head(store, trust, channel, head).is_none() {
        report_idle(args, &rollback);
        return Ok(Exit::OK);
    }
    let fields = args.record.record_fields(Some(store), target)?;
    let Shown {
        json: plan,
        human,
        stopped,
    } = rollback.plan(&args.review)?;
    if args.format.format == Format::Human {
        say::report(&human);
    }
    if let Some(stopped) = stopped {
        print_result(args, &rollback, None, &plan, "", "blocked");
        say::note(&format!("error[{}]: {stopped}", stopped.code));
        return Ok(stopped.exit);
    }
    let movement = Movement {
        place,
        trust,
        keys: &keys,
        head: Some(head),
        publishes_list: false,
    };
    movement.check_keys(store, &BTreeSet::new())?;
    if !nodes.is_empty() {
        fleet::check_records(
            &nodes,
            place,
            &evidence::entries(store, trust, &place.channel)?,
        )?;
    }
    confirm(
        args.yes,
        &format!(
            "move channel {} back from {} to {}?",
            place.channel,
            head.bundle.short(),
            target.short()
        ),
    )?;
    let pointer = movement.publish(store, rollback.record(fields, &plan))?;
    nodes.notify();
    let serial = pointer.serial;
    if args.format.format == Format::Human {
        say::report(&format!(
            "channel {} is at serial {serial}, back at {target}\nnote: the sources still have the later version; revert them, or the next `gwc apply` releases it again",
            place.channel
        ));
    }
    let wanted = ExpectedRelease {
        wanted: Wanted::new(target, None),
        serial,
    };
    let waited = args.wait.wait(&nodes, &wanted);
    let (line, result) = match (&waited.failure, waited.nodes.is_empty()) {
        (Some(_), _) => (String::new(), "blocked"),
        (None, true) => (String::new(), "ok"),
        (None, false) => (format!("every gateway runs {}", target.short()), "ok"),
    };
    print_result(args, &rollback, Some(serial), &plan, &line, result);
    Ok(waited.exit())
}

/// Reports that the channel's newest record already has the target.
fn report_idle(args: &MoveOptions, rollback: &Rollback<'_>) {
    let head = &rollback.head;
    let step = head.record.rollout.as_ref().map(|rollout| {
        let step = step_text(rollout);
        format!(" ({step}; `gwc promote` continues, `gwc abort` goes back)")
    });
    let line = format!(
        "nothing to do: channel {} runs {} already{}",
        rollback.place.channel,
        rollback.target.short(),
        step.unwrap_or_default()
    );
    let serial = Some(head.pointer.serial);
    print_result(args, rollback, serial, &json!(null), &line, "ok");
}

/// Maximum number of credentials that are listed.
const LISTED_MAX: usize = 20;

/// Plan of a rollback, for output.
pub(super) struct Shown {
    /// Plan in the format `plan/v1`, with the field `admitted_again`. `null` if there is no plan.
    pub(super) json: serde_json::Value,
    pub(super) human: String,
    /// Error if a gate of the command line blocks the rollback. Otherwise `None`.
    stopped: Option<Failure>,
}

/// Rollback whose target has been verified.
pub(super) struct Rollback<'a> {
    place: &'a Place,
    store: &'a AnyStore,
    /// Newest record of the channel.
    pub(super) head: Entry,
    entries: Vec<Entry>,
    /// Bundle to which the channel moves.
    pub(super) target: Digest,
    evidence: BTreeSet<Digest>,
    trust: Option<&'a Trust>,
    advice: &'a Advice,
}

impl<'a> Rollback<'a> {
    /// Finds the target of the rollback, and checks that gateways would accept it.
    pub(super) fn new(
        place: &'a Place,
        store: &'a AnyStore,
        trust: Option<&'a Trust>,
        (text, advice): (&str, &'a Advice),
    ) -> anyhow::Result<Self> {
        let entries = evidence::entries(store, trust, &place.channel)?;
        let head = entries.first().cloned().ok_or_else(|| {
            Failure::new(
                Exit::INPUT,
                "no-such-bundle",
                format!(
                    "channel {} has no record yet, so a rollback is impossible",
                    place.channel
                ),
            )
        })?;
        let target = match text.strip_prefix('-') {
            None => released(&entries, release::resolve_id(store, text)?, &place.channel)?,
            Some(steps) => {
                let steps: usize = steps.parse().ok().filter(|steps| *steps > 0).ok_or_else(
                    || {
                        Failure::usage(format!(
                            "`{text}`: write -1 for the previous version, -2 for the one before it"
                        ))
                    },
                )?;
                back::target(&entries, steps).ok_or_else(|| {
                    let versions = back::path(&entries).len() - 1;
                    too_far_back(versions, &place.channel)
                })?
            }
        };
        let (known, when) = evidence::known(store, &target, &entries)?;
        let mut evidence = match trust {
            None => known,
            Some(trust) => check_target(place, store, trust, (target, &known, when))?,
        };
        let among = (&*entries, target);
        if let Some((entry, why)) = refusals::of_target(store, trust, &place.channel, among) {
            return Err(refused_target(entry, &why));
        }
        // A rollback needs no new approvals: it lists those with which the target was released.
        evidence.extend(carried(store, &entries, target));
        Ok(Self {
            place,
            store,
            head,
            entries,
            target,
            evidence,
            trust,
            advice,
        })
    }

    /// Checks that gateways accept the target with another trust file, for example without keys
    /// that are revoked before the rollback.
    pub(super) fn check_with(&self, trust: &Trust) -> anyhow::Result<()> {
        let (place, store) = (self.place, self.store);
        let (known, when) = evidence::known(store, &self.target, &self.entries)?;
        check_target(place, store, trust, (self.target, &known, when))?;
        let among = (&*self.entries, self.target);
        match refusals::of_target(store, Some(trust), &place.channel, among) {
            Some((entry, why)) => Err(refused_target(entry, &why)),
            None => Ok(()),
        }
    }

    /// Computes the plan of the rollback, with the credentials that the target admits again.
    /// Without a plan, because the running bundle is damaged, the rollback is still possible. Gates
    /// of gateway.yaml are only shown; gates of the command line can block the rollback.
    pub(super) fn plan(&self, review: &ReviewOptions) -> anyhow::Result<Shown> {
        let new = side_in(self.store, self.target, self.source()?)?;
        let old = match side_in(self.store, self.head.bundle, self.head.record.source) {
            Ok(old) => old,
            Err(error) => {
                return Ok(Shown {
                    json: json!(null),
                    human: format!(
                        "warning: there is no plan, because the channel's current version cannot be read: {error:#}"
                    ),
                    stopped: self.unplanned(review),
                });
            }
        };
        let again = self.admitted_again(&old.lowered, &new.lowered)?;
        let sides = (Some(&old), &new);
        let planned = PlannedMove::new(
            self.place,
            Some(&self.head),
            sides,
            review,
            GateScope::Named,
        );
        let (mut plan, mut text, stopped) = match planned {
            Ok(planned) => {
                let stopped = planned.check_gates().err();
                (planned.json, planned.human, stopped)
            }
            Err(error) if model::exit::of(&error).0 == Exit::USAGE => return Err(error),
            Err(bug) => (
                json!({}),
                format!("warning: the plan cannot be computed: {bug:#}"),
                self.unplanned(review),
            ),
        };
        if !again.is_empty() {
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!(
                "SECURITY\n  ! {} credential{} withdrawn since would be admitted again; to revoke them for every version:\n",
                again.len(),
                if again.len() == 1 { "" } else { "s" },
            ));
            for credential in again.iter().take(LISTED_MAX) {
                let command = self.advice.command(&["revoke", "--credential", credential]);
                text.push_str(&format!("      {command}\n"));
            }
            if again.len() > LISTED_MAX {
                text.push_str(&format!(
                    "      … and {} more: --format json has them all\n",
                    again.len() - LISTED_MAX
                ));
            }
        }
        plan["admitted_again"] = json!(again);
        Ok(Shown {
            json: plan,
            human: text,
            stopped,
        })
    }

    /// Returns an error if a gate was given on the command line but there is no plan.
    fn unplanned(&self, review: &ReviewOptions) -> Option<Failure> {
        (!review.gate.is_empty()).then(|| {
            Failure::new(
                Exit::FINDINGS,
                "gate-tripped",
                "--gate: the gate cannot be checked without a plan; leave --gate out to go back anyway",
            )
        })
    }

    /// Returns the target bundle and the fields of the rollback's record.
    pub(super) fn record(&self, fields: RecordFields, plan: &serde_json::Value) -> Target {
        Target {
            bundle: self.target,
            kind: RecordKind::Rollback,
            fields,
            plan: Some(Digest::of(plan.to_string().as_bytes())),
            source: self.source().unwrap_or_default(),
            evidence: self.evidence.clone(),
        }
    }

    fn source(&self) -> anyhow::Result<Option<Digest>> {
        let mut named = self.entries.iter();
        let named = named.find(|entry| entry.bundle == self.target);
        match named.and_then(|entry| entry.record.source) {
            Some(source) => Ok(Some(source)),
            None => Ok(release::source_of(self.store, &self.target)?),
        }
    }

    /// SHA-256 of each credential that the target bundle admits and the running bundle does not.
    /// Revoked credentials are left out.
    fn admitted_again(&self, old: &Lowered, new: &Lowered) -> anyhow::Result<Vec<String>> {
        let revoked = self.trust.map(|trust| {
            BundleVerifier {
                store: self.store,
                trust,
                channel: &self.place.channel,
            }
            .revocations()
        });
        let revoked = revoked.transpose()?.unwrap_or_default();
        let (before, after) = (credentials(old), credentials(new));
        let again = after
            .difference(&before)
            .filter(|credential| !revoked.has_credential(credential));
        Ok(again.map(Digest::hex).collect())
    }
}

/// Error for `-N` with more versions than the channel has before the running one.
fn too_far_back(versions: usize, channel: &ChannelName) -> Failure {
    let why = match versions {
        0 => format!(
            "channel {channel} runs its first version, so there is no earlier one; `gwc history` \
             lists later ones (`gwc rollback ID`), `gwc apply` releases another"
        ),
        1 => format!("channel {channel} has one version before this one; `gwc history` lists it"),
        _ => format!(
            "channel {channel} has {versions} versions before this one; `gwc history` lists them"
        ),
    };
    Failure::new(Exit::INPUT, "no-such-bundle", why)
}

/// Checks that a record of the channel has the bundle, because other bundles did not pass the
/// channel's gates.
fn released(entries: &[Entry], target: Digest, channel: &ChannelName) -> Result<Digest, Failure> {
    match entries.iter().any(|entry| entry.bundle == target) {
        true => Ok(target),
        false => Err(Failure::new(
            Exit::INPUT,
            "no-such-bundle",
            format!(
                "channel {channel} never had bundle {}, so a rollback to it is impossible; `gwc \
                 history` lists earlier versions, `gwc apply` releases another",
                target.short()
            ),
        )),
    }
}

/// Error for a target whose records gateways refuse. Such a target may never have passed the gates
/// of the channel.
fn refused_target(entry: &Entry, why: &Refused) -> anyhow::Error {
    let message = format!(
        "gateways that have not accepted record {} with bundle {} refuse it, so a rollback to it is \
         impossible; `gwc history` lists other versions; {}",
        entry.pointer.serial,
        entry.bundle.short(),
        acceptance(why)
    );
    refused(why, &message)
}

fn credentials(lowered: &Lowered) -> BTreeSet<Digest> {
    let consumers = lowered.gateway.shared.consumers.iter();
    consumers
        .flat_map(|consumer| consumer.keys.iter().chain(&consumer.basic))
        .map(|credential| Digest::from_bytes(credential.sha256))
        .collect()
}

fn print_result(
    args: &MoveOptions,
    rollback: &Rollback<'_>,
    serial: Option<u64>,
    plan: &serde_json::Value,
    line: &str,
    result: &str,
) {
    let (from, to) = (rollback.head.bundle, rollback.target);
    match args.format.format {
        Format::Human if line.is_empty() => {}
        Format::Human => say::report(line),
        Format::Json => say::json(&say::document(
            "rollback/v1",
            result,
            json!({"channel": rollback.place.channel, "serial": serial, "bundle": to, "from": from,
                   "no_op": from == to, "plan": plan}),
        )),
    }
}

/// Checks the target of a rollback with its evidence. Returns the statements that count.
fn check_target(
    place: &Place,
    store: &AnyStore,
    trust: &Trust,
    (target, known, when): (Digest, &BTreeSet<Digest>, When),
) -> anyhow::Result<BTreeSet<Digest>> {
    let verifier = BundleVerifier {
        store,
        trust,
        channel: &place.channel,
    };
    let counting = evidence::counting(&verifier, target, known, when);
    verifier.bundle(target, &counting, when).map_err(|error| {
        refused(
            &error,
            &format!(
                "gateways with this trust file would refuse the bundle, so the channel was not \
                 moved; if you have its sources, build and sign it again (`gwc build`, then `gwc sign {} --key FILE`)",
                target.short()
            ),
        )
    })?;
    Ok(counting)
}
