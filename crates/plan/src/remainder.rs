//! Differences that no change of a plan describes, although the plan describes others.
//!
//! The two gateways are divided into parts: definitions, mounts, settings, and the fields of
//! operations. A part that differs and is named in no change is compared alone: with a gateway that
//! differs from the old one in this part only. If that comparison has no change, no rule describes
//! the part. Contracts are not included: [`crate::clients`] compares every keyword of them.

mod mounts;
mod operations;

use std::collections::{BTreeSet, HashMap};

use bundle::digest::Digest;
use bundle::ir::{self, Named, Set};
use serde_json::Value;

use self::mounts::{every, near};
use self::operations::Field;
use crate::pairs::{both, reference};
use crate::{Change, Class, Section};
use model::lower::Lowered;

/// Id of a difference that no rule describes.
const UNCLASSIFIED: &str = "unclassified";

/// Maximum number of parts that are compared alone. All further parts that differ are reported as
/// [`UNCLASSIFIED`], without a comparison.
const ALONE_MAX: usize = 64;

/// Maximum number of parts that are first compared in gateways with a single API ([`Part::near`]).
const NEAR_MAX: usize = 4_096;

/// Gateway and contracts of one side, in a comparison of a single part.
#[derive(Clone)]
pub(super) struct ComparedSide {
    pub(super) gateway: ir::Gateway,
    pub(super) contracts: Set<ir::Contract>,
}

/// Function that compares two gateways. Returns `None` if they cannot be compared.
pub(super) type Compare<'c> = &'c dyn Fn(ComparedSide, ComparedSide) -> Option<Vec<Change>>;

/// Part that differs and is named in no change of the plan.
struct Part<'a> {
    /// Name of the part, in the same form as [`Change::subject`].
    subject: String,
    /// Digests of the part on both sides.
    digests: [String; 2],
    /// Operations that differ in this part, as references of the new side. Empty if the part
    /// belongs to no operation.
    operations: Vec<(String, &'a ir::Api, &'a ir::Operation)>,
    /// Field in which the operations differ. `None`: the whole operation.
    field: Option<Field>,
    /// Builds gateways that differ in this part only, and that contain only one API, which names
    /// the part. Their comparison takes little time. `None` for a part that no API names.
    near: Option<Box<dyn Fn() -> (ComparedSide, ComparedSide) + 'a>>,
    /// Gateways that differ in this part only.
    alone: Box<dyn Fn() -> (ComparedSide, ComparedSide) + 'a>,
}

/// Returns a change for each difference that none of `changes` describes.
pub(super) fn of(
    old: &Lowered,
    new: &Lowered,
    changes: &[Change],
    compare: Compare<'_>,
) -> Vec<Change> {
    let sides = Sides::of(old, new);
    let index = ChangeIndex::of(changes);
    let mut parts = Vec::new();
    shared(&sides, &index, &mut parts);
    apis(&sides, &index, &mut parts);
    let mut found = Vec::new();
    let is_described_near = |part: &Part<'_>| {
        let lines = part.near.as_ref().and_then(|near| {
            let (before, after) = near();
            compare(before, after)
        });
        lines.is_some_and(|lines| !lines.is_empty())
    };
    let near = parts.iter().take(NEAR_MAX).map(is_described_near);
    let near: Vec<bool> = near.collect();
    let is_described = |at: &usize| near.get(*at).is_some_and(|is_described| *is_described);
    let left = (0..parts.len()).filter(|at| !is_described(at));
    for (at, part) in left.map(|at| &parts[at]).enumerate() {
        let alone = (at < ALONE_MAX).then(|| (part.alone)());
        let lines = match alone {
            None => Some(Vec::new()),
            Some((before, after)) => compare(before, after),
        };
        // Without a gateway that can be built, the part cannot be compared alone.
        let Some(lines) = lines else {
            continue;
        };
        let index = ChangeIndex::of(&lines);
        if part.operations.is_empty() {
            if lines.is_empty() {
                found.push(part.change());
            }
            continue;
        }
        for (key, api, operation) in &part.operations {
            let is_described = match part.field {
                Some(field) => field.is_described_alone(index.of_operation(key)),
                None => index.names(key),
            };
            if !is_described {
                found.push(part.change().of(reference(api, operation)));
            }
        }
    }
    found
}

impl Part<'_> {
    fn change(&self) -> Change {
        let [old, new] = &self.digests;
        let (old, new) = (old.as_str().into(), new.as_str().into());
        let (section, class) = (Section::Policy, Class::Changed);
        Change::new(section, class, UNCLASSIFIED, &self.subject, old, new)
    }
}

/// Compared sides, and the gateways from which [`Part::alone`] builds its gateways.
struct Sides<'a> {
    old: &'a Lowered,
    new: &'a Lowered,
    /// Old side with the added definitions of the new side, because parts of the new side may refer
    /// to them.
    base: ComparedSide,
    /// Like `base`, but with only one operation of each treatment and without contracts. For parts
    /// that belong to no operation.
    small: ComparedSide,
}

impl<'a> Sides<'a> {
    fn of(old: &'a Lowered, new: &'a Lowered) -> Self {
        let base = with_names(half(old), &new.gateway);
        let small = with_names(small(&old.gateway), &new.gateway);
        Self {
            old,
            new,
            base,
            small,
        }
    }

    /// Builds two gateways: `small`, and a copy of it after `change`.
    fn changed_definition<'s>(
        &'s self,
        change: impl Fn(&mut ComparedSide) + 's,
    ) -> Box<dyn Fn() -> (ComparedSide, ComparedSide) + 's> {
        Box::new(move || {
            let mut after = self.small.clone();
            change(&mut after);
            (self.small.clone(), after)
        })
    }

    /// Builds two gateways as [`Self::changed_definition`] does. These contain only `api`, with the
    /// mounts for which `keeps` returns true.
    fn changed_near<'s>(
        &'s self,
        api: Option<&'s ir::Api>,
        keeps: impl Fn(&ir::Mount) -> bool + 's,
        change: impl Fn(&mut ComparedSide) + 's,
    ) -> Option<Box<dyn Fn() -> (ComparedSide, ComparedSide) + 's>> {
        let api = self.small.gateway.apis.get(&api?.name)?;
        Some(Box::new(move || {
            let mounts = api.mounts.iter().filter(|mount| keeps(mount)).cloned();
            let mounts = Set::new(mounts.collect()).unwrap_or_default();
            let api = with_parts(api, mounts, api.operations.clone());
            let before = ComparedSide {
                gateway: ir::Gateway {
                    shared: self.small.gateway.shared.clone(),
                    apis: Set::new(vec![api]).unwrap_or_default(),
                },
                contracts: Set::default(),
            };
            let mut after = before.clone();
            change(&mut after);
            (before, after)
        }))
    }

    /// Like [`Self::alone`], for a definition that belongs to no operation.
    fn definition_alone<'s>(
        &'s self,
        is_added: bool,
        add: impl Fn(&mut ComparedSide) + 's,
    ) -> Box<dyn Fn() -> (ComparedSide, ComparedSide) + 's> {
        Box::new(move || {
            let side = if is_added { self.old } else { self.new };
            let without = small(&side.gateway);
            let mut with = without.clone();
            add(&mut with);
            match is_added {
                true => (without, with),
                false => (with, without),
            }
        })
    }

    /// Builds two gateways: `base`, and a copy of it after `change`.
    fn changed<'s>(
        &'s self,
        change: impl Fn(&mut ComparedSide) + 's,
    ) -> Box<dyn Fn() -> (ComparedSide, ComparedSide) + 's> {
        Box::new(move || {
            let mut after = self.base.clone();
            change(&mut after);
            (self.base.clone(), after)
        })
    }

    /// Builds two gateways that differ in one definition only: one gateway has it, the other does
    /// not. For an added definition: the old side, and the old side with the definition. For a
    /// removed definition: the new side with the definition, and the new side.
    fn alone<'s>(
        &'s self,
        is_added: bool,
        add: impl Fn(&mut ComparedSide) + 's,
    ) -> Box<dyn Fn() -> (ComparedSide, ComparedSide) + 's> {
        Box::new(move || {
            let without = half(if is_added { self.old } else { self.new });
            let mut with = without.clone();
            add(&mut with);
            match is_added {
                true => (without, with),
                false => (with, without),
            }
        })
    }
}

/// Adds the definitions that only `new` has.
fn with_names(mut base: ComparedSide, new: &ir::Gateway) -> ComparedSide {
    let is = &new.shared;
    let shared = &mut base.gateway.shared;
    add_new(&mut shared.listeners, &is.listeners);
    add_new(&mut shared.upstreams, &is.upstreams);
    add_new(&mut shared.auth, &is.auth);
    add_new(&mut shared.consumers, &is.consumers);
    add_new(&mut shared.policies, &is.policies);
    for is in &new.apis {
        edit(&mut base.gateway.apis, &is.name, |api| {
            add_new(&mut api.schemes, &is.schemes);
            add_new(&mut api.policies, &is.policies);
        });
    }
    base
}

/// Gateway with the first operation of each treatment, without contracts. Other operations of the
/// treatment would give the same lines about a definition, and a comparison with all operations of
/// a large gateway takes long.
fn small(gateway: &ir::Gateway) -> ComparedSide {
    let apis = gateway.apis.iter().map(|api| {
        let mut known = BTreeSet::new();
        let operations = api.operations.iter();
        let first = operations.filter(|one| known.insert((one.treatment, one.owns)));
        let operations = Set::new(first.cloned().collect()).unwrap_or_default();
        with_parts(api, api.mounts.clone(), operations)
    });
    ComparedSide {
        gateway: ir::Gateway {
            shared: gateway.shared.clone(),
            apis: Set::new(apis.collect()).unwrap_or_default(),
        },
        contracts: Set::default(),
    }
}

/// Copy of an API with other mounts and operations.
fn with_parts(api: &ir::Api, mounts: Set<ir::Mount>, operations: Set<ir::Operation>) -> ir::Api {
    ir::Api {
        name: api.name.clone(),
        mounts,
        schemes: api.schemes.clone(),
        policies: api.policies.clone(),
        treatments: api.treatments.clone(),
        operations,
        declared: api.declared.clone(),
        hidden: api.hidden.clone(),
        errors: api.errors.clone(),
        messages: api.messages.clone(),
    }
}

fn half(side: &Lowered) -> ComparedSide {
    ComparedSide {
        gateway: side.gateway.clone(),
        contracts: side.contracts.clone(),
    }
}

/// Operations and subjects named in a list of changes.
struct ChangeIndex<'c> {
    by_operation: HashMap<&'c str, Vec<&'c Change>>,
    subjects: BTreeSet<&'c str>,
}

impl<'c> ChangeIndex<'c> {
    fn of(changes: &'c [Change]) -> Self {
        let mut index = Self {
            by_operation: HashMap::new(),
            subjects: BTreeSet::new(),
        };
        for change in changes {
            index.subjects.insert(&change.subject);
            let of_values = [&change.old, &change.new].into_iter();
            let of_values = of_values.filter_map(Value::as_str);
            // Routes are written `KEY@MOUNT`.
            let owners =
                of_values.map(|route| route.rsplit_once('@').map_or(route, |(key, _)| key));
            let keys = change.operations.iter().map(String::as_str);
            for key in keys.chain(owners) {
                index.by_operation.entry(key).or_default().push(change);
            }
        }
        index
    }

    /// True if a change is about a definition, or about a key of the definition.
    fn is_about(&self, subject: &str) -> bool {
        let mut from = self.subjects.range(subject..);
        from.next().is_some_and(|first| {
            let rest = first.strip_prefix(subject);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '.']))
        })
    }

    /// True if a change names the operation.
    fn names(&self, key: &str) -> bool {
        self.by_operation.contains_key(key) || self.subjects.contains(key)
    }

    /// Changes that name the operation.
    fn of_operation(&self, key: &str) -> &[&'c Change] {
        self.by_operation.get(key).map_or(&[], Vec::as_slice)
    }
}

/// Adds the parts of gateway.yaml.
fn shared<'a>(sides: &'a Sides<'_>, index: &ChangeIndex<'_>, parts: &mut Vec<Part<'a>>) {
    let (was, is) = (&sides.old.gateway.shared, &sides.new.gateway.shared);
    let users = users(&sides.new.gateway);
    macro_rules! definitions {
        ($($field:ident $word:literal;)*) => {$(
            for (name, was, is) in both(&was.$field, &is.$field) {
                let subject = format!("{} {name}", $word);
                // Ignore ids of state: the comparison of counters covers them.
                let same = was.map(Stateless::stateless) == is.map(Stateless::stateless);
                if same || index.is_about(&subject) {
                    continue;
                }
                let digests = [digest(&was), digest(&is)];
                let put = move |half: &mut ComparedSide| {
                    let item = is.or(was).cloned();
                    replace(&mut half.gateway.shared.$field, name, item);
                };
                let user = users.get(name).copied().filter(|_| was.is_some() && is.is_some());
                let near = sides.changed_near(user, |_| true, put);
                let alone = match (was, is) {
                    (Some(_), Some(_)) => sides.changed_definition(put),
                    _ => sides.definition_alone(is.is_some(), put),
                };
                let operations = Vec::new();
                parts.push(Part { subject, digests, operations, field: None, near, alone });
            }
        )*};
    }
    definitions! {
        listeners "listener";
        upstreams "upstream";
        auth "auth";
        consumers "consumer";
        policies "policy";
    }
    let settings = |shared: &ir::Shared| {
        let ir::Shared {
            project,
            listeners: _,
            upstreams: _,
            auth: _,
            consumers: _,
            policies: _,
            apis: _,
            expose_bundle,
            required,
            declared,
            errors,
            // Policies name the documents.
            documents: _,
        } = shared;
        digest(&(project, expose_bundle, required, declared, errors))
    };
    if settings(was) != settings(is) {
        parts.push(Part {
            subject: "gateway".into(),
            digests: [settings(was), settings(is)],
            operations: Vec::new(),
            field: None,
            near: None,
            alone: sides.changed_definition(|half| {
                let shared = &mut half.gateway.shared;
                shared.project.clone_from(&is.project);
                shared.expose_bundle = is.expose_bundle;
                shared.required.clone_from(&is.required);
                shared.declared.clone_from(&is.declared);
                shared.errors.clone_from(&is.errors);
            }),
        });
    }
}

/// First API that names each shared definition.
fn users(gateway: &ir::Gateway) -> HashMap<&str, &ir::Api> {
    let mut users = HashMap::new();
    for api in &gateway.apis {
        let verifiers = api
            .schemes
            .iter()
            .filter_map(|scheme| match &scheme.verify {
                ir::Verify::Auth(name) => Some(name),
                ir::Verify::Upstream => None,
            });
        let chains = api.treatments.iter().flat_map(|one| &one.chain);
        let policies = chains.filter_map(|link| match link {
            ir::Link::Shared(name) => Some(name),
            ir::Link::Authenticate | ir::Link::Own(_) => None,
        });
        let upstreams = api.treatments.iter().map(|one| &one.upstream);
        let listeners = api.mounts.iter().flat_map(|mount| &mount.listeners);
        let names = verifiers.chain(policies).chain(upstreams).chain(listeners);
        for name in names {
            users.entry(name.as_str()).or_insert(api);
        }
    }
    users
}

/// Adds the parts of all APIs.
fn apis<'a>(sides: &'a Sides<'_>, index: &ChangeIndex<'_>, parts: &mut Vec<Part<'a>>) {
    for (name, was, is) in both(&sides.old.gateway.apis, &sides.new.gateway.apis) {
        if let (Some(was), Some(is)) = (was, is) {
            if was != is {
                api(sides, (was, is), parts);
                operations::add(sides, (was, is), index, parts);
            }
            continue;
        }
        let Some(one) = is.or(was) else {
            continue;
        };
        let mut keys = one.operations.iter().map(|operation| &operation.key);
        if keys.any(|key| index.names(key)) {
            continue;
        }
        let contracts = if is.is_some() { sides.new } else { sides.old };
        parts.push(Part {
            subject: format!("api {name}"),
            digests: [digest(&was), digest(&is)],
            operations: Vec::new(),
            field: None,
            near: None,
            alone: sides.alone(is.is_some(), move |half| {
                replace(&mut half.gateway.apis, name, Some(one.clone()));
                let contract = contracts.contracts.get(name).cloned();
                replace(&mut half.contracts, name, contract);
            }),
        });
    }
}

/// Adds the parts of an API that belong to no operation.
fn api<'a>(sides: &'a Sides<'_>, (was, is): (&'a ir::Api, &'a ir::Api), parts: &mut Vec<Part<'a>>) {
    let name = is.name.as_str();
    let mut add = |subject: String, digests: [String; 2], near, alone| {
        if digests[0] != digests[1] {
            parts.push(Part {
                subject,
                digests,
                operations: Vec::new(),
                field: None,
                near,
                alone,
            });
        }
    };
    let after = is;
    macro_rules! definitions {
        ($($field:ident $word:literal $leaves_out:expr, $keeps:expr;)*) => {$(
            for (item, was, is) in both(&was.$field, &is.$field) {
                if $leaves_out(item) {
                    continue;
                }
                let put = move |half: &mut ComparedSide| {
                    let one = is.or(was).cloned();
                    edit(&mut half.gateway.apis, name, |api| replace(&mut api.$field, item, one));
                };
                let (near, alone) = match (was, is) {
                    (Some(was), Some(is)) if was.stateless() == is.stateless() => continue,
                    (Some(was), Some(is)) => {
                        (sides.changed_near(Some(after), $keeps(was, is), put), sides.changed_definition(put))
                    }
                    _ => (None, sides.definition_alone(is.is_some(), put)),
                };
                let digests = [digest(&was), digest(&is)];
                add(format!("{} {name}/{item}", $word), digests, near, alone);
            }
        )*};
    }
    // The lines of operations report a scheme that is newly, or no longer, required.
    let used = [schemes(was), schemes(is)];
    definitions! {
        mounts "mount"
            |item: &str| was.mounts.get(item).is_none() || is.mounts.get(item).is_none(), near;
        schemes "scheme" |item: &str| {
            let is_one_sided = was.schemes.get(item).is_none() || is.schemes.get(item).is_none();
            is_one_sided && used.iter().any(|used| used.contains(item))
        }, every;
        policies "policy" |_| false, every;
    }
    // A renamed mount appears as a removed and an added mount.
    let only = |api: &ir::Api, other: &ir::Api| -> Vec<ir::Mount> {
        let all = api.mounts.iter();
        let all = all.filter(|mount| other.mounts.get(&mount.name).is_none());
        all.cloned().collect()
    };
    let (gone, come) = (only(was, is), only(is, was));
    let digests = [digest(&gone), digest(&come)];
    let alone = sides.changed_definition(move |half| {
        edit(&mut half.gateway.apis, name, |api| {
            for mount in &gone {
                replace(&mut api.mounts, &mount.name, None);
            }
            for mount in &come {
                replace(&mut api.mounts, &mount.name, Some(mount.clone()));
            }
        });
    });
    add(format!("mounts of {name}"), digests, None, alone);
    let alone = sides.changed_definition(|half| {
        edit(&mut half.gateway.apis, &is.name, |api| {
            api.declared.clone_from(&is.declared);
            api.hidden.clone_from(&is.hidden);
            api.errors.clone_from(&is.errors);
        });
    });
    add(
        format!("api {name}"),
        [api_settings(was), api_settings(is)],
        None,
        alone,
    );
}

/// Digest of the settings of an API that belong to no operation.
fn api_settings(api: &ir::Api) -> String {
    let ir::Api {
        name: _,
        mounts: _,
        schemes: _,
        policies: _,
        treatments: _,
        operations: _,
        declared,
        hidden,
        errors,
        messages: _,
    } = api;
    digest(&(declared, hidden, errors))
}

/// Replaces the description of an API's messages.
fn messages(half: &mut ComparedSide, is: &ir::Api, contract: Option<&ir::Contract>) {
    edit(&mut half.gateway.apis, &is.name, |api| {
        api.messages.clone_from(&is.messages);
    });
    replace(&mut half.contracts, &is.name, contract.cloned());
}

/// Names of the schemes that operations of an API require.
fn schemes(api: &ir::Api) -> BTreeSet<&str> {
    let all = api.treatments.iter().flat_map(|one| &one.security.0);
    let uses = all.flat_map(|alternative| &alternative.0);
    uses.map(|wanted| wanted.scheme.as_str()).collect()
}

/// Definition whose bundle form may contain the id of its state ([`policy::StateId`]). The id also
/// depends on the names of the project and of the definition.
trait Stateless: Sized + Clone {
    /// Copy with a fixed id of state, so that definitions that differ only in this id are equal.
    fn stateless(&self) -> Self {
        self.clone()
    }
}

impl Stateless for ir::Listener {}
impl Stateless for ir::Verifier {}
impl Stateless for ir::Consumer {}
impl Stateless for ir::Mount {}
impl Stateless for ir::Scheme {}
impl Stateless for ir::Upstream {
    fn stateless(&self) -> Self {
        let state = policy::StateId(0);
        Self {
            state,
            ..self.clone()
        }
    }
}
impl Stateless for ir::Policy {
    fn stateless(&self) -> Self {
        let state = policy::StateId(0);
        Self {
            state,
            ..self.clone()
        }
    }
}

/// Adds the items of a set whose names another set does not have.
fn add_new<T: Named + Clone>(set: &mut Set<T>, more: &Set<T>) {
    let mut all = std::mem::take(set).into_vec();
    let known: BTreeSet<String> = all.iter().map(|item| item.name().to_owned()).collect();
    all.extend(
        more.iter()
            .filter(|item| !known.contains(item.name()))
            .cloned(),
    );
    *set = Set::new(all).unwrap_or_default();
}

/// Replaces the item with a name, or removes it.
fn replace<T: Named>(set: &mut Set<T>, name: &str, item: Option<T>) {
    let mut all = std::mem::take(set).into_vec();
    all.retain(|one| one.name() != name);
    all.extend(item);
    *set = Set::new(all).unwrap_or_default();
}

/// Edits the item with a name, if the set contains the item. The edit must not change the name.
fn edit<T: Named>(set: &mut Set<T>, name: &str, edit: impl FnOnce(&mut T)) {
    let mut all = std::mem::take(set).into_vec();
    if let Some(item) = all.iter_mut().find(|one| one.name() == name) {
        edit(item);
    }
    *set = Set::new(all).unwrap_or_default();
}

fn digest(part: &impl std::fmt::Debug) -> String {
    Digest::of(format!("{part:?}").as_bytes()).to_string()
}
