//! Command `gwc apply`: plans, signs, publishes, moves the channel, and waits for the gateways.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bundle::digest::Digest;
use bundle::history::Entry;
use bundle::keys::PrivateKey;
use bundle::name::ChannelName;
use bundle::publish;
use bundle::refused::Refused;
use bundle::statement::predicate::{RecordKind, Role, Rollout};
use bundle::store::memory::Memory;
use bundle::store::{Chain, Store};
use bundle::trust::{Signers, Trust, When};
use serde_json::{Value, json};

use super::advice::Advice;
use super::approvals::{self, ApprovalsOfChange};
use super::build::BuiltProject;
use super::claim;
use super::fleet::{self, Allowed, Lost};
use super::freeze::FreezeOption;
use super::limits::LimitOptions;
use super::movement::{self, Movement, RecordFields, Target, check_floor, refused};
use super::options::{
    FormatOption, GATEWAYS, NodeOptions, RecordOptions, StoreOptions, confirm, keys,
};
use super::planned::{GateScope, PlannedMove};
use super::rehearsal::RollbackCheck;
use super::review::ReviewOptions;
use super::rollout::{ExpectedRelease, WaitOption};
use super::say::{self, Context, Format};
use super::side::{side_in, side_of_head};
use super::steps::{self, Wanted, step_json, step_text};
use crate::release::approvals::carried;
use crate::release::evidence::{self, BundleVerifier};
use crate::release::nodes::Nodes;
use crate::release::{self, AnyStore, Place, provenance, refusals};
use ::plan::{Side, review::GATES};
use model::exit::{Exit, Failure};
use model::rules::Rules;
use model::source_map::SourceMap;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc apply --key keys/release.pem --reason \"orders: add export\"
  gwc apply plan.json --key env:RELEASE_KEY --yes      exactly this plan, or nothing
  gwc apply --key keys/release.pem --yes --node http://127.0.0.1:9901    and wait until the gateway runs it
  gwc apply --key keys/release.pem --yes --nodes gateways.txt --wait 2m    and wait for all gateways of a list")]
pub(super) struct Args {
    /// Plan written by `gwc plan -o`; a release that differs from it is refused
    #[arg(value_name = "plan.json")]
    plan: Option<PathBuf>,
    /// Key that moves the channel: a file, or env:NAME; repeat it if several owners must sign
    #[arg(
        long,
        value_name = "FILE|env:NAME",
        required_unless_present = "dry_run"
    )]
    key: Vec<String>,
    /// Key for the build statement, if it differs from --key
    #[arg(long, value_name = "FILE|env:NAME")]
    build_key: Vec<String>,
    #[command(flatten)]
    record: RecordOptions,
    /// Proceed without confirmation
    #[arg(long)]
    yes: bool,
    /// Plan and check, but sign and publish nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: WaitOption,
    /// Proceed even if a gateway is on hold (pinned to its current bundle)
    #[arg(long)]
    over_hold: bool,
    #[command(flatten)]
    freeze: FreezeOption,
    /// Release to all gateways at once, without the steps of gateway.yaml
    #[arg(long)]
    all_nodes: bool,
    /// Continue from the records that the named gateways have accepted and this store has lost
    #[arg(long, requires = GATEWAYS)]
    merge: bool,
    /// With --merge: proceed although the store lacks a bundle that gateways run, so that no plan
    /// compares with it
    #[arg(long, requires = "merge")]
    merge_uncompared: bool,
    /// Proceed only if a rollback to the version that runs now is possible
    #[arg(long)]
    require_rollback: bool,
    #[command(flatten)]
    review: ReviewOptions,
    #[command(flatten)]
    at: StoreOptions,
    #[command(flatten)]
    nodes: NodeOptions,
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
    let claimed = args.plan.as_deref().map(claim::read).transpose()?;
    let nodes = args.nodes.nodes()?;
    let (release_keys, build_keys) = (keys(&args.key)?, keys(&args.build_key)?);
    let context = &context.planned_in(claimed.as_ref())?;
    let mut built = BuiltProject::of(context)?;
    let root = context.root()?;
    let place = built.place(&root, args.at.store.as_deref(), args.at.channel.as_deref())?;
    let trust = args.at.trust(&place)?;
    let there = place.open_if_there()?;
    if let Some(doubt) = there.as_ref().and_then(|store| place.doubt(store)) {
        say::note(&doubt);
    }
    let nothing = Memory::default();
    let store: &dyn Store = there.as_ref().map_or(&nothing, |folder| folder);
    let head = release::head(store, trust.as_ref(), &place.channel)?;
    if !args.merge {
        let newest = head.as_ref().map_or(0, |head| head.pointer.serial);
        check_floor(&place, store, trust.as_ref(), newest)?;
    }
    let old = head.as_ref();
    let old = old.map(|head| side_of_head(store, trust.as_ref(), &place.channel, head));
    approvals::check_head(&place, store, trust.as_ref(), head.as_ref())?;
    let sides = sides(&mut built, old.transpose()?)?;
    let sides = (sides.0.as_ref(), &sides.1);
    let planned = PlannedMove::new(&place, head.as_ref(), sides, &args.review, GateScope::Every)?;
    planned.report_idle();
    let id = built.bundle.id();
    if let Some(claimed) = &claimed {
        claim::check(claimed, &planned.json)?;
    }
    steps::check_idle(&place, head.as_ref(), id)?;
    let back = RollbackCheck::rehearse(
        store,
        trust.as_ref(),
        &place.channel,
        head.as_ref(),
        id,
        &nodes,
    )?;
    let advice = Advice::new(context, &args.at, &root, &args.key);
    let report = Report {
        args,
        place: &place,
        bundle: id,
        planned: &planned,
        back: &back,
        rollout: None,
        approvals: None,
        nodes: Vec::new(),
    };
    report.line(&planned.human);
    let apply = Apply {
        report,
        movement: Movement {
            place: &place,
            trust: trust.as_ref(),
            keys: &release_keys,
            head: head.as_ref(),
            publishes_list: false,
        },
        build_keys: &build_keys,
        built: &built,
        nodes: &nodes,
        sides,
    };
    apply.run(store, there.as_ref(), (claimed.as_ref(), &advice))
}

/// Release that `gwc apply` checks and publishes, after its plan was shown.
struct Apply<'a> {
    report: Report<'a>,
    movement: Movement<'a>,
    build_keys: &'a [PrivateKey],
    built: &'a BuiltProject,
    nodes: &'a Nodes,
    /// Old and new side of the plan.
    sides: (Option<&'a Side>, &'a Side),
}

/// Error for a bundle that gateways run and the store lacks.
fn uncompared(bundle: Digest) -> Failure {
    Failure::new(
        Exit::UNVERIFIED,
        "uncompared",
        format!(
            "gateways that accepted lost records run bundle {}, which the store lacks, so no plan \
             shows what changes for them; copy it from another store (`gwc pull`), or pass \
             --merge-uncompared",
            bundle.short()
        ),
    )
}

impl Apply<'_> {
    /// Checks gates, gateways and keys, then publishes. `there`: the store, or `None` if it does
    /// not exist yet.
    fn run(
        mut self,
        store: &dyn Store,
        there: Option<&AnyStore>,
        (claimed, advice): (Option<&Value>, &Advice),
    ) -> anyhow::Result<Exit> {
        let (args, place, id) = (self.report.args, self.report.place, self.report.bundle);
        let planned = self.report.planned;
        let head = self.movement.head;
        self.movement.check_newest_list(store)?;
        let entries = evidence::entries(store, self.movement.trust, &place.channel)?;
        let lists = store.serials(&Chain::Revocations)?;
        let lists = lists.last().copied().unwrap_or(0);
        let allowed = Allowed {
            over_hold: args.over_hold,
            over_guard: false,
            merge: args.merge,
        };
        let lost = if args.merge {
            fleet::ask(self.nodes, place, &entries, lists, allowed)?
        } else {
            Lost::default()
        };
        self.movement.check_floor(store, &lost.records)?;
        let same = head.filter(|head| head.bundle == id);
        self.check_all_nodes(same)?;
        let mut fields = args.record.record_fields(there, id)?;
        let is_idle = lost.records.is_empty()
            && !planned.changes_rules
            && same.is_none_or(|head| !fields.adds_to(head));
        if let Some(head) = same.filter(|_| is_idle)
            && self.is_signed(store, head)?
        {
            return self.nothing_to_do(head, lists);
        }
        let blocked = match planned.check_gates() {
            Ok(()) => self.check_running(store, &lost)?,
            Err(blocked) => Some(blocked),
        };
        if let Some(blocked) = blocked {
            return Ok(self.report_blocked(&blocked, claimed));
        }
        check_revoked(store, self.movement.trust, &place.channel, id)?;
        fields.override_freeze = args.freeze.check(place)?;
        if !self.nodes.is_empty() && !args.merge {
            fleet::ask(self.nodes, place, &entries, lists, allowed)?;
        }
        if args.require_rollback && same.is_none() {
            self.report.back.require(advice)?;
        }
        fields.merges = lost.records;
        if let Some(head) = same {
            // A withdrawal applies only while the newest record lists it. Repeat the withdrawals of
            // the previous record, so that they continue to apply.
            fields.withdraw.extend(&head.record.withdraw);
        }
        fields.rollout = self.first_step(store, &fields)?;
        self.report.rollout.clone_from(&fields.rollout);
        let approvals = self.approvals(store, same.is_some(), &entries)?;
        if args.dry_run {
            if !self.movement.keys.is_empty() {
                self.movement.check_keys(store, &fields.merges)?;
            }
            self.report.line("dry run: nothing was signed or published");
            self.report.document("changes", None);
            return Ok(Exit::OK);
        }
        self.movement.check_keys(store, &fields.merges)?;
        if let Some(found) = &self.report.approvals {
            found.require(id, advice)?;
        }
        let kind = match same {
            Some(_) => RecordKind::Pin,
            None => RecordKind::Release,
        };
        confirm(args.yes, &self.report.question(kind))?;
        self.publish((kind, fields), approvals, advice)
    }

    /// Finds the approvals for the evidence of the record, and shows them. A record of new rules
    /// for the same bundle lists the approvals of that bundle again.
    fn approvals(
        &mut self,
        store: &dyn Store,
        is_pin: bool,
        entries: &[Entry],
    ) -> anyhow::Result<BTreeSet<Digest>> {
        let (place, id) = (self.report.place, self.report.bundle);
        if is_pin {
            return Ok(carried(store, entries, id));
        }
        let digest = self.report.planned.digest();
        let change = approvals::change(self.movement.head, id, digest);
        let found = ApprovalsOfChange::find(place, store, self.movement.trust, &change)?;
        let text = found.text();
        if !text.is_empty() {
            self.report.line(&text);
        }
        let evidence = found.found.evidence.clone();
        self.report.approvals = Some(found);
        Ok(evidence)
    }

    /// False if gateways no longer accept the build statements of the bundle that a record names.
    fn is_signed(&self, store: &dyn Store, head: &Entry) -> anyhow::Result<bool> {
        let channel = &self.report.place.channel;
        match refusals::of_build(store, self.movement.trust, channel, head) {
            None => Ok(true),
            Some(why) => match movement::lost_store(&why) {
                Some(lost) => Err(lost.clone().into()),
                None => Ok(false),
            },
        }
    }

    /// Prints why the release is blocked. Returns the exit code.
    fn report_blocked(&mut self, blocked: &Failure, claimed: Option<&Value>) -> Exit {
        if claimed.is_some_and(claim::has_acks) {
            say::note(
                "note: the acknowledgements in the plan file are ignored; repeat them with --ack FINGERPRINT=REASON, or in the acknowledgement file",
            );
        }
        self.report.document("blocked", None);
        say::note(&format!("error[{}]: {blocked}", blocked.code));
        blocked.exit
    }

    /// Compares the bundles of gateways that accepted lost records with the new bundle, and shows
    /// the plans. Returns an error if a gate blocks a plan. The plan against the channel's newest
    /// record does not show what changes for these gateways.
    fn check_running(&self, store: &dyn Store, lost: &Lost) -> anyhow::Result<Option<Failure>> {
        let Report { args, place, .. } = self.report;
        let head = self.movement.head;
        let (old, new) = self.sides;
        for bundle in &lost.running {
            if head.is_some_and(|head| head.bundle == *bundle) || *bundle == new.bundle {
                continue;
            }
            let source = release::source_of(store, bundle)?;
            let Ok(mut running) = side_in(store, *bundle, source) else {
                if args.merge_uncompared {
                    continue;
                }
                return Ok(Some(uncompared(*bundle)));
            };
            // The source artifact of a bundle without a record is not verified, so the release
            // rules are unknown: every gate counts.
            let rules = old.and_then(|old| old.source.as_ref()?.rules.clone());
            let rules = Rules {
                gates: GATES.map(str::to_owned).into(),
                ..rules.unwrap_or_default()
            };
            running.source = Some(SourceMap {
                rules: Some(rules),
                ..running.source.unwrap_or_default()
            });
            let sides = (Some(&running), new);
            let planned = PlannedMove::new(place, head, sides, &args.review, GateScope::Every)?;
            self.report.line(&format!(
                "gateways that accepted lost records run {}; the plan against this bundle:",
                bundle.short()
            ));
            self.report.line(&planned.human);
            if let Err(blocked) = planned.check_gates() {
                return Ok(Some(blocked));
            }
        }
        Ok(None)
    }

    /// Refuses `--all-nodes` for the bundle of a progressive release in progress. `same`: newest
    /// record, if it has the bundle.
    fn check_all_nodes(&self, same: Option<&Entry>) -> anyhow::Result<()> {
        let is_step = same.is_some_and(|head| head.record.rollout.is_some());
        if !(is_step && self.report.args.all_nodes) {
            return Ok(());
        }
        let message = "--all-nodes: this bundle is in a progressive release; finish it with `gwc \
                       promote --to-all`";
        Err(Failure::usage(message).into())
    }

    fn is_revoked(&self, store: &dyn Store, bundle: Digest) -> anyhow::Result<bool> {
        let channel = &self.report.place.channel;
        Ok(evidence::is_revoked(
            store,
            self.movement.trust,
            channel,
            bundle,
        )?)
    }

    /// Step with which the release begins. `None`: the release reaches all gateways at once. A
    /// record of new rules for the same bundle keeps the step of the newest record.
    fn first_step(
        &self,
        store: &dyn Store,
        fields: &RecordFields,
    ) -> anyhow::Result<Option<Rollout>> {
        let args = self.report.args;
        let head = self.movement.head;
        if let Some(head) = head.filter(|head| head.bundle == self.report.bundle) {
            steps::check_withdrawn(store, head, &fields.withdraw)?;
            return Ok(head.record.rollout.clone());
        }
        if args.all_nodes || self.report.place.steps.is_empty() {
            return Ok(None);
        }
        let why = match head {
            None => "the channel has no earlier version for the other gateways",
            Some(_) if args.merge => "--merge continues from records that the store has lost",
            Some(head) if self.is_revoked(store, head.bundle)? => "the earlier version is revoked",
            Some(head) if fields.withdraw.contains(&head.bundle) => {
                let message = "--withdraw names the bundle of the gateways outside of the first \
                               step; release to all gateways with --all-nodes, or withdraw the \
                               bundle later with `gwc promote --to-all --withdraw ID`";
                return Err(Failure::usage(message).into());
            }
            Some(head) => {
                let place = self.report.place;
                let first = Rollout::first(head.pointer, &place.steps, place.guard.clone());
                return Ok(first.map(|first| first.choosing(place.choice.clone())));
            }
        };
        self.report.line(&format!(
            "note: the release reaches all gateways at once, because {why}"
        ));
        Ok(None)
    }

    /// Reports that no release is needed, and waits for the gateways. The channel already has the
    /// bundle, and no rule changed. `lists`: serial of the newest revocation list in the store.
    fn nothing_to_do(mut self, head: &Entry, lists: u64) -> anyhow::Result<Exit> {
        let serial = head.pointer.serial;
        self.report.line(&format!(
            "nothing to do: channel {} runs {} since serial {serial}",
            self.report.place.channel,
            self.report.bundle.short()
        ));
        self.report.rollout.clone_from(&head.record.rollout);
        if let Some(rollout) = &self.report.rollout {
            let step = step_text(rollout);
            self.report.line(&format!(
                "{step}; `gwc promote` continues, `gwc abort` goes back"
            ));
        }
        let named = head.record.revocations.map_or(0, |list| list.serial);
        if named < lists {
            self.report.line(&format!(
                "note: the record at serial {serial} names revocation list {named}, but the store \
                 has list {lists}. Gateways read the newer list from the store, and the next \
                 record names it. `gwc trust floor` protects new gateways from a store that hides \
                 the list"
            ));
        }
        self.report.wait(self.nodes, serial)
    }

    /// Writes bundle, build statements and record into the store, and waits for the gateways.
    fn publish(
        mut self,
        (kind, fields): (RecordKind, RecordFields),
        approvals: BTreeSet<Digest>,
        advice: &Advice,
    ) -> anyhow::Result<Exit> {
        let place = self.report.place;
        let store = place.create()?;
        let _writing = store.writing()?;
        let source = self.built.put(&store)?;
        fault::point("apply.bundle.put")?;
        let evidence = Evidence {
            store: &store,
            trust: self.movement.trust,
            place,
            built: self.built,
            source,
            keys: (self.build_keys, self.movement.keys),
        };
        let is_release = kind == RecordKind::Release;
        let mut statements = evidence.build_statements()?;
        statements.extend(approvals);
        let target = Target {
            bundle: self.report.bundle,
            kind,
            fields,
            plan: Some(self.report.planned.digest()),
            source: Some(source),
            evidence: statements,
        };
        let pointer = self.movement.publish(&store, target)?;
        self.nodes.notify();
        let what = match is_release {
            false => "the bundle is unchanged; the new rules are recorded".to_owned(),
            true => self.report.back.line(advice),
        };
        self.report.line(&format!(
            "channel {} is at serial {}: {}\n{what}",
            place.channel, pointer.serial, self.report.bundle
        ));
        if let Some(rollout) = &self.report.rollout {
            let step = step_text(rollout);
            self.report.line(&format!(
                "{step}; `gwc promote` continues, `gwc abort` goes back"
            ));
        }
        if self.nodes.is_empty() {
            self.report.line(
                "no gateway was queried: each gateway follows the channel on its own; `gwc status \
--node URL` shows what it runs",
            );
        }
        self.report.wait(self.nodes, pointer.serial)
    }
}

/// Returns the two sides of the plan: the head of the channel (`None` without a record), and the
/// new build.
pub(super) fn sides(
    built: &mut BuiltProject,
    old: Option<Side>,
) -> anyhow::Result<(Option<Side>, Side)> {
    let new = Side {
        bundle: built.bundle.id(),
        lowered: built.compiled.lowered.take().ok_or_else(|| {
            anyhow::anyhow!("the sources have no errors, but no gateway was built")
        })?,
        source: Some(built.map.clone()),
    };
    Ok((old, new))
}

struct Evidence<'a> {
    store: &'a AnyStore,
    trust: Option<&'a Trust>,
    place: &'a Place,
    built: &'a BuiltProject,
    source: Digest,
    /// Keys that sign the build statement, then keys that sign the record.
    keys: (&'a [PrivateKey], &'a [PrivateKey]),
}

impl Evidence<'_> {
    /// Returns the build statements for the record. Adds a statement if the stored statements are
    /// not sufficient. The build keys sign it, or the release keys if the trust file allows this.
    fn build_statements(&self) -> anyhow::Result<BTreeSet<Digest>> {
        let id = self.built.bundle.id();
        let Some(trust) = self.trust else {
            return Ok(BTreeSet::from([self.sign()?]));
        };
        let channel = &self.place.channel;
        let entries = evidence::entries(self.store, Some(trust), channel)?;
        let verifier = BundleVerifier {
            store: self.store,
            trust,
            channel,
        };
        let now = When::First(release::now());
        let (known, _) = evidence::known(self.store, &id, &entries)?;
        let counting = evidence::counting(&verifier, id, &known, now);
        if let Ok(verified) = verifier.bundle(id, &counting, now)
            && !self.adds_signature(trust, verified.builders())
        {
            return Ok(counting);
        }
        let mut all = counting;
        all.insert(self.sign()?);
        verifier.bundle(id, &all, now).map_err(|error| {
            refused(
                &error,
                "gateways with this trust file would refuse the bundle, so the channel was not moved; \
                 sign it with `gwc sign`, or give the --build-key of an owner whose key has the role `build`",
            )
        })?;
        Ok(all)
    }

    /// True if a statement of the given keys adds a key to the valid build statements. The bundle
    /// then stays valid if one of the other keys is revoked.
    fn adds_signature(&self, trust: &Trust, builders: &Signers) -> bool {
        let (build_keys, release_keys) = self.keys;
        let (channel, now) = (Some(&self.place.channel), When::First(release::now()));
        let may_build = |key: &&PrivateKey| {
            let key = trust.key(&key.public().id());
            key.is_some_and(|key| key.counts(Role::Build, channel, now).is_ok())
        };
        let mut new = release_keys.iter().filter(may_build);
        !build_keys.is_empty() || new.any(|key| !builders.keys.contains(&key.public().id()))
    }

    fn sign(&self) -> anyhow::Result<Digest> {
        let build = provenance::build(
            &self.place.root,
            self.place.environment.clone(),
            self.place.project.clone(),
            Some(self.source),
            &self.built.map,
        )?;
        let keys = if self.keys.0.is_empty() {
            self.keys.1
        } else {
            self.keys.0
        };
        let keys: Vec<&PrivateKey> = keys.iter().collect();
        let descriptor = self.built.bundle.descriptor();
        Ok(publish::put_build(self.store, descriptor, build, &keys)?)
    }
}

/// Refuses a bundle that is on the newest revocation list, because gateways would refuse it.
/// Without a trust file, there is no check.
pub(super) fn check_revoked(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    bundle: Digest,
) -> anyhow::Result<()> {
    if !evidence::is_revoked(store, trust, channel, bundle)? {
        return Ok(());
    }
    Err(refused(
        &Refused::Revoked { bundle },
        "no gateway would activate the bundle; change the sources",
    ))
}

struct Report<'a> {
    args: &'a Args,
    place: &'a Place,
    bundle: Digest,
    planned: &'a PlannedMove,
    back: &'a RollbackCheck,
    /// Step of the record. `None`: all gateways, or not known yet.
    rollout: Option<Rollout>,
    /// Approvals of the release. `None`: the bundle is unchanged, or not known yet.
    approvals: Option<ApprovalsOfChange>,
    nodes: Vec<Value>,
}

impl Report<'_> {
    /// Question before a record of this kind is signed.
    fn question(&self, kind: RecordKind) -> String {
        let channel = &self.place.channel;
        if kind == RecordKind::Pin {
            return format!("record new rules on channel {channel}?");
        }
        let step = self.rollout.as_ref();
        let step = step.map(|rollout| format!(" ({})", step_text(rollout)));
        let step = step.unwrap_or_default();
        format!("move channel {channel} to {}{step}?", self.bundle.short())
    }

    /// Writes a line if the output format is `human`.
    fn line(&self, text: &str) {
        if self.args.format.format == Format::Human {
            say::report(text);
        }
    }

    /// Writes the final document if the output format is JSON.
    fn document(&self, result: &str, serial: Option<u64>) {
        if self.args.format.format != Format::Json {
            return;
        }
        let no_op = self.planned.json["base"]["bundle"] == json!(self.bundle);
        say::json(&say::document(
            "apply/v1",
            result,
            json!({"no_op": no_op, "dry_run": self.args.dry_run, "channel": self.place.channel,
                   "approvals": self.approvals.as_ref().map(ApprovalsOfChange::json),
                   "serial": serial, "bundle": self.bundle, "rollout": step_json(self.rollout.as_ref()), "rollback": self.back.json(),
                   "plan": self.planned.json, "nodes": self.nodes}),
        ));
    }

    /// Waits for the gateways, then writes the result and returns the exit code.
    fn wait(&mut self, nodes: &Nodes, serial: u64) -> anyhow::Result<Exit> {
        let expected = ExpectedRelease {
            wanted: Wanted::new(self.bundle, self.rollout.clone()),
            serial,
        };
        let mut waited = self.args.wait.wait(nodes, &expected);
        if self.args.format.format == Format::Human {
            waited.print(self.bundle);
        }
        self.nodes = std::mem::take(&mut waited.nodes);
        let result = match waited.failure {
            None => "ok",
            Some(_) => "blocked",
        };
        self.document(result, Some(serial));
        Ok(waited.exit())
    }
}
