//! Source locations of changes: of the old value and of the new value.
//!
//! The cause of a change at an operation may be elsewhere: in the definition of a policy or scheme,
//! or in a list of policies. Both sides are compared to find the location that was edited.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use model::source_map::{FieldSource, From, OperationSource, Place, SourceMap};
use policy::Protection;
use policy::declared::Settings;

use crate::pairs::both;
use crate::{Change, Plan, Section, Side};

/// Side of a comparison, with the source locations of its values.
struct View<'a> {
    map: &'a SourceMap,
    gateway: &'a ir::Gateway,
    edits: Edits,
}

/// Edited parts of policies and of security schemes. A policy may have thousands of settings, and a
/// change for each of them. Each pair of policies, and each operation, is compared only once.
#[derive(Default)]
struct Edits {
    /// Path of the first setting that differs, by the subjects of the two policies.
    policies: RefCell<BTreeMap<(String, String), Option<String>>>,
    /// Source location of the scheme that differs, by the operation's key. The flag is true for
    /// changes of credentials.
    schemes: RefCell<BTreeMap<(String, bool), Option<Place>>>,
    /// Differences in the operation's chain of policies, by the operation's key and the kinds of
    /// policies.
    chains: RefCell<BTreeMap<(String, Vec<&'static str>), EditedChain>>,
}

/// Source locations of the first differences between two chains of policies.
#[derive(Clone, Default)]
struct EditedChain {
    /// Setting of a policy that both chains contain.
    setting: Option<Place>,
    /// Entry of a list of policies.
    entry: Option<Place>,
}

/// Operation of the old or the new side whose source locations are looked up.
#[derive(Clone, Copy)]
struct OperationSide<'a> {
    map: &'a SourceMap,
    gateway: &'a ir::Gateway,
    edits: &'a Edits,
    api: &'a ir::Api,
    operation: &'a ir::Operation,
    treatment: &'a ir::Treatment,
    written: &'a OperationSource,
}

/// Adds the source locations of both sides to each change.
pub(super) fn add(plan: &mut Plan, old: Option<&Side>, new: &Side) {
    let (before, after) = (old.and_then(View::of), View::of(new));
    let checked = Checked::of(plan);
    for change in &mut plan.changes {
        if let Some(places) = checked.places(change) {
            (change.source_old, change.source_new) = places.clone();
        }
        let place = |side: &Option<View<'_>>, other: &Option<View<'_>>| {
            side.as_ref()?.place(change, other.as_ref())
        };
        let (old, new) = (place(&before, &after), place(&after, &before));
        // Changes of client contracts may already have the source locations of their schemas.
        change.source_old = change.source_old.take().or(old);
        change.source_new = change.source_new.take().or(new);
    }
}

/// Source locations of a schema on both sides.
type Places = (Option<Place>, Option<Place>);

/// Source locations of the first request schema that differs for clients, by operation. A change of
/// the operation's request validation (`request-check-…`) gets the same source locations.
struct Checked(BTreeMap<String, Places>);

impl Checked {
    fn of(plan: &Plan) -> Self {
        let mut all = BTreeMap::new();
        for change in plan
            .changes
            .iter()
            .filter(|change| change.message.is_some())
        {
            let places = (change.source_old.clone(), change.source_new.clone());
            if let Some(operation) = &change.operation
                && change.id.starts_with("request-")
                && places.0.is_some()
                && places.1.is_some()
            {
                all.entry(operation.key.clone()).or_insert(places);
            }
        }
        Self(all)
    }

    fn places(&self, change: &Change) -> Option<&Places> {
        let is_checked = change.message.is_none() && change.id.starts_with("request-check-");
        let operation = change.operation.as_ref().filter(|_| is_checked)?;
        self.0.get(&operation.key)
    }
}

/// Iterates over a subject and the subjects that contain it: `upstream u timeouts.connect`,
/// `upstream u timeouts`, `upstream u`.
fn nearest(subject: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(subject), |part| {
        part.rfind(['.', ' ']).map(|end| &part[..end])
    })
}

impl<'a> View<'a> {
    fn of(side: &'a Side) -> Option<Self> {
        Some(Self {
            map: side.source.as_ref()?,
            gateway: &side.lowered.gateway,
            edits: Edits::default(),
        })
    }

    /// Source location of the value of a change on this side.
    fn place(&self, change: &Change, other: Option<&View<'_>>) -> Option<Place> {
        let Some(operation) = &change.operation else {
            let whole = self
                .map
                .definitions
                .get(&format!("prose {}", change.subject));
            return whole
                .or_else(|| self.setting(change, other?))
                .or_else(|| defined(self.map, &change.subject))
                .cloned();
        };
        let written = self.map.operations.get(&operation.key)?;
        if change.section == Section::Docs
            && let Some(line) = written.lines.get(&change.subject)
        {
            return Some(Place {
                line: *line,
                column: 1,
                ..written.place.clone()
            });
        }
        let sides = other.and_then(|other| {
            Some((
                self.operation(&operation.key)?,
                other.operation(&operation.key)?,
            ))
        });
        let edited = sides.and_then(|(own, other)| own.edited(&other, change));
        let field = || {
            let mut fields = nearest(&change.subject);
            fields.find_map(|field| match self.map.field(written, field)? {
                FieldSource::Written { place, .. } => Some(place.clone()),
                FieldSource::Default { .. } => None,
            })
        };
        edited
            .or_else(field)
            .or_else(|| Some(written.place.clone()))
    }

    /// Source location of the first differing setting below the policy key named in a change. For a
    /// change of a credential: the location of the consumer's keys.
    fn setting(&self, change: &Change, other: &View<'_>) -> Option<&'a Place> {
        if let Some(consumer) = change.subject.strip_prefix("consumer ")
            && change.id.starts_with("credential-")
        {
            let name = consumer.split(' ').next()?;
            return self.map.definitions.get(&format!("consumer {name} keys"));
        }
        let (name, key) = change.subject.strip_prefix("policy ")?.split_once(' ')?;
        let subject = format!("policy {name}");
        let own = self.gateway.shared.policies.get(name)?;
        let its = other.gateway.shared.policies.get(name)?;
        let path = self.edits.path((&subject, own), (&subject, its))?;
        let is_part = path.strip_prefix(key)?.starts_with('.');
        is_part.then(|| defined(self.map, &format!("policy {name} {path}")))?
    }

    fn operation(&self, key: &str) -> Option<OperationSide<'_>> {
        let written = self.map.operations.get(key)?;
        let mut apis = self.gateway.apis.iter();
        let (api, operation) = apis.find_map(|api| Some((api, api.operations.get(key)?)))?;
        Some(OperationSide {
            map: self.map,
            gateway: self.gateway,
            edits: &self.edits,
            api,
            operation,
            treatment: api.treatments.get(operation.treatment as usize)?,
            written,
        })
    }
}

impl Edits {
    /// Path of the first setting that differs between two policies, joined with dots. The subjects
    /// name the policies. `None` if the policies are equal.
    fn path(
        &self,
        (subject, own): (&str, &ir::Policy),
        (its_subject, its): (&str, &ir::Policy),
    ) -> Option<String> {
        let key = (subject.to_owned(), its_subject.to_owned());
        let mut known = self.policies.borrow_mut();
        let path = known.entry(key).or_insert_with(|| {
            let is_same = own.checked == its.checked;
            (!is_same).then(|| differing(&own.checked.settings(), &its.checked.settings()))
        });
        path.clone()
    }
}

/// Source location of a definition or setting. If its location is unknown: the location of the
/// nearest part that contains it.
fn defined<'m>(map: &'m SourceMap, subject: &str) -> Option<&'m Place> {
    nearest(subject).find_map(|subject| map.definitions.get(subject))
}

/// Source location of the first mount, or key of a mount, that differs from the other side.
fn mount<'m>(map: &'m SourceMap, own: &ir::Api, other: &ir::Api) -> Option<&'m Place> {
    let name = &own.name;
    let pairs = both(&own.mounts, &other.mounts);
    let mut subjects = pairs.filter_map(|(mount, own, its)| {
        let subject = format!("mount {name}/{mount}");
        let (Some(own), Some(its)) = (own, its) else {
            return Some(subject);
        };
        let keys = [
            ("base_path", own.base_path != its.base_path),
            ("hosts", own.hosts != its.hosts),
            ("listeners", own.listeners != its.listeners),
        ];
        let mut keys = keys.iter().filter(|(_, differs)| *differs);
        keys.next().map(|(key, _)| format!("{subject} {key}"))
    });
    let subject = subjects.next()?;
    defined(map, &subject).or_else(|| defined(map, &format!("api {name}")))
}

/// Kinds of policies that a change with this id is about. Empty: any kind.
fn kinds(id: &str) -> Vec<&'static str> {
    match id.split_once('-') {
        Some(("authorization", _)) => policy::undecidable().collect(),
        Some(("guard", _)) => policy::protecting(Protection::Content).collect(),
        _ => policy::changing(id).collect(),
    }
}

/// Path of the first setting that differs between two policies, joined with dots. Empty if all are
/// equal.
fn differing(own: &Settings, other: &Settings) -> String {
    let missing = |a: &Settings, b: &Settings| {
        let mut all = a.iter();
        let found = all.find(|one| {
            let path: Vec<&str> = one.path.iter().map(String::as_str).collect();
            b.get(&path) != Some(&one.value)
        });
        found.map(|one| one.path.join("."))
    };
    missing(own, other)
        .or_else(|| missing(other, own))
        .unwrap_or_default()
}

/// True if the subject is a part of one upstream, and not a change from one upstream to another
/// (`upstream u -> v …`).
fn is_definition(subject: &str) -> bool {
    subject.contains(' ') && !subject.contains(" -> ")
}

/// Name of a scheme in the document, with the scopes and roles that a requirement lists for it.
type Required<'a> = (&'a str, [&'a [String]; 2]);

impl<'a> OperationSide<'a> {
    /// Source location of the definition or list that was edited. `None` if a field of the
    /// operation itself was edited.
    fn edited(&self, other: &OperationSide<'_>, change: &Change) -> Option<Place> {
        match change.subject.split(' ').next() {
            _ if change.subject == "route"
                || change.id == "operation-exposed"
                || change.id.starts_with("requests-") =>
            {
                return self.routed(other);
            }
            _ if change.id == "client-address-changed" => return self.trusting(other).cloned(),
            Some("security") => return self.scheme(other, change),
            // Definition that operations depend on, such as `upstream u targets.a.url`.
            Some("upstream") if is_definition(&change.subject) => {
                return defined(self.map, &change.subject).cloned();
            }
            _ if change.subject.starts_with("query parameter ") => {
                let EditedChain { setting, entry } = self.chain(other, vec!["rewrite"]);
                return setting.or(entry).or_else(|| self.field("rewrite"));
            }
            Some("policies") => {
                let EditedChain { setting, entry } = self.chain(other, Vec::new());
                return entry.or(setting);
            }
            _ => {}
        }
        if let Some(place) = self.passed(other, change) {
            return Some(place.clone());
        }
        let kinds = kinds(change.id);
        let is_field = || {
            let mut fields = nearest(&change.subject);
            fields.any(|field| self.map.field(self.written, field).is_some())
        };
        if kinds.is_empty() && is_field() {
            return None;
        }
        let EditedChain { setting, entry } = self.chain(other, kinds);
        setting.or(entry)
    }

    /// First differences between the chains of policies of the given kinds. Empty `kinds`: of all
    /// kinds.
    fn chain(&self, other: &OperationSide<'_>, kinds: Vec<&'static str>) -> EditedChain {
        let key = (self.operation.key.clone(), kinds);
        if let Some(known) = self.edits.chains.borrow().get(&key) {
            return known.clone();
        }
        let found = EditedChain {
            setting: self.policy(other, &key.1).cloned(),
            entry: self.listed(other, &key.1),
        };
        self.edits.chains.borrow_mut().insert(key, found.clone());
        found
    }

    /// Source location of the first differing setting that determines which requests the operation
    /// serves. `None` if no such setting differs, or its location is unknown.
    fn routed(&self, other: &OperationSide<'_>) -> Option<Place> {
        let (own, its) = (self.operation, other.operation);
        if self.written.path != other.written.path
            && let Some(line) = self.written.lines.get("path")
        {
            return Some(Place {
                line: *line,
                column: 1,
                ..self.written.place.clone()
            });
        }
        let fields = [
            ("trailing_slash", own.trailing_slash != its.trailing_slash),
            ("conditions", own.conditions != its.conditions),
            ("priority", own.priority != its.priority),
            (
                "path.match",
                own.template.is_prefix() != its.template.is_prefix(),
            ),
        ];
        let mut fields = fields.iter().filter(|(_, differs)| *differs);
        let field = fields.find_map(|(name, _)| self.field(name));
        let own_mount = || mount(self.map, self.api, other.api);
        // A changed mount of another API may take requests from this operation, or leave requests
        // to it.
        let others = || {
            let mut pairs = both(&self.gateway.apis, &other.gateway.apis);
            pairs.find_map(|(_, own, its)| mount(self.map, own?, its?))
        };
        field.or_else(|| own_mount().or_else(others).cloned())
    }

    /// Source location of the trusted proxies of the first listener where they differ.
    fn trusting(&self, other: &OperationSide<'_>) -> Option<&'a Place> {
        let mut pairs = both(
            &self.gateway.shared.listeners,
            &other.gateway.shared.listeners,
        );
        pairs.find_map(|(name, own, its)| {
            let differs = own?.trusted_proxies != its?.trusted_proxies;
            differs.then(|| defined(self.map, &format!("listener {name} trusted_proxies")))?
        })
    }

    /// Source location of a field of the operation. `None` if the field has its default.
    fn field(&self, name: &str) -> Option<Place> {
        match self.map.field(self.written, name)? {
            FieldSource::Written { place, .. } => Some(place.clone()),
            FieldSource::Default { .. } => None,
        }
    }

    /// Source location of the scheme or verifier that differs, if both sides require the same
    /// schemes.
    fn scheme(&self, other: &OperationSide<'_>, change: &Change) -> Option<Place> {
        let is_credential = change.id.starts_with("credential-");
        let key = (self.operation.key.clone(), is_credential);
        let mut known = self.edits.schemes.borrow_mut();
        let place = known
            .entry(key)
            .or_insert_with(|| self.differing_scheme(other, is_credential));
        place.clone()
    }

    /// Computes the result of [`Self::scheme`]. `is_credential`: true for a change of the
    /// credentials that upstreams get.
    fn differing_scheme(&self, other: &OperationSide<'_>, is_credential: bool) -> Option<Place> {
        if self.requirements() != other.requirements() {
            return None;
        }
        let names: BTreeSet<&str> = self
            .requirements()
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
            .collect();
        let pairs = names
            .iter()
            .filter_map(|name| Some((*name, self.scheme_named(name)?, other.scheme_named(name)?)));
        for (name, own, its) in pairs {
            let subject = format!("scheme {}/{name}", self.api.name);
            let declared = differing(&own.declared, &its.declared);
            let keys = [
                (own.strip_credential != its.strip_credential && is_credential)
                    .then_some("x-gateway.strip_credential".to_owned()),
                (own.place != its.place).then_some("name".to_owned()),
                (own.place != its.place).then_some("scheme".to_owned()),
                (own.verify != its.verify).then_some("x-gateway.auth".to_owned()),
                (own.strip_credential != its.strip_credential)
                    .then_some("x-gateway.strip_credential".to_owned()),
                (!declared.is_empty()).then(|| format!("x-gateway.{declared}")),
            ];
            let mut keys = keys
                .into_iter()
                .flatten()
                .map(|key| format!("{subject} {key}"));
            let Some(first) = keys.next() else { continue };
            let mut all = std::iter::once(first.clone()).chain(keys);
            let exact = all.find_map(|key| self.map.definitions.get(&key));
            return exact.or_else(|| defined(self.map, &first)).cloned();
        }
        // The schemes are equal, so their verifiers must differ.
        names
            .iter()
            .find_map(|name| {
                let ir::Verify::Auth(verifier) = &self.scheme_named(name)?.verify else {
                    return None;
                };
                let own = self.gateway.shared.auth.get(verifier)?.checked.settings();
                let its = other.gateway.shared.auth.get(verifier)?.checked.settings();
                let key = differing(&own, &its);
                (!key.is_empty()).then(|| defined(self.map, &format!("auth {verifier} {key}")))?
            })
            .cloned()
    }

    /// Source location of `forward_as` or of the claim of a scheme whose request field differs.
    fn passed(&self, other: &OperationSide<'_>, change: &Change) -> Option<&'a Place> {
        let is_meant = change.id == "identity-field-changed";
        let field = change.subject.strip_prefix("request header ");
        let field = field.filter(|_| is_meant)?;
        let key = |side: &OperationSide<'_>, scheme: &str| -> Option<String> {
            let passes = &side.scheme_named(scheme)?.passes;
            let claim = passes.claims.iter().find(|(_, own)| own == field);
            let claim = claim.map(|(claim, _)| format!("claims_to_headers.{claim}"));
            let names_caller = passes.forward_as.as_deref() == Some(field);
            claim.or_else(|| names_caller.then(|| "forward_as".to_owned()))
        };
        let mut names = self.map.apis.get(&self.api.name)?.schemes.keys();
        names.find_map(|scheme| {
            let (own, its) = (key(self, scheme), key(other, scheme));
            if own == its {
                return None;
            }
            let key = own.or(its)?;
            let subject = format!("scheme {}/{scheme} x-gateway.{key}", self.api.name);
            defined(self.map, &subject)
        })
    }

    /// Alternatives of the operation's security requirement: for each, its security schemes with
    /// their scopes and roles.
    fn requirements(&self) -> BTreeSet<BTreeSet<Required<'a>>> {
        let names = self.map.apis.get(&self.api.name);
        let mut names_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, canonical) in names.into_iter().flat_map(|api| &api.schemes) {
            names_of.entry(canonical).or_default().push(name);
        }
        let alternatives = self.treatment.security.0.iter();
        alternatives
            .map(|alternative| {
                let uses = alternative.0.iter().flat_map(|wanted| {
                    let named = names_of.get(wanted.scheme.as_str());
                    let names = [wanted.scopes.as_slice(), wanted.roles.as_slice()];
                    named.into_iter().flatten().map(move |name| (*name, names))
                });
                uses.collect()
            })
            .collect()
    }

    fn scheme_named(&self, name: &str) -> Option<&'a ir::Scheme> {
        let canonical = self.map.apis.get(&self.api.name)?.schemes.get(name)?;
        self.api.schemes.get(canonical)
    }

    /// Source location of the setting that differs in a policy that both chains contain.
    fn policy(&self, other: &OperationSide<'_>, kinds: &[&str]) -> Option<&'a Place> {
        let mut chain = self.treatment.chain.iter();
        chain.find_map(|link| {
            let (subject, own) = self.linked(link)?;
            let mut its = other.treatment.chain.iter();
            let its = its.find(|its| name(its) == name(link))?;
            let (its_subject, its) = other.linked(its)?;
            let is_meant = kinds.is_empty() || kinds.contains(&own.checked.kind());
            if !is_meant {
                return None;
            }
            let key = self.edits.path((&subject, own), (&its_subject, its))?;
            defined(self.map, format!("{subject} {key}").trim())
        })
    }

    fn linked(&self, link: &ir::Link) -> Option<(String, &'a ir::Policy)> {
        match link {
            ir::Link::Authenticate => None,
            ir::Link::Shared(name) => Some((
                format!("policy {name}"),
                self.gateway.shared.policies.get(name)?,
            )),
            ir::Link::Own(name) => Some((
                format!("policy {}/{name}", self.api.name),
                self.api.policies.get(name)?,
            )),
        }
    }

    /// Source location of the first difference in one of the lists of policies.
    fn listed(&self, other: &OperationSide<'_>, kinds: &[&str]) -> Option<Place> {
        let lists = [
            (From::Required, "required.policies"),
            (From::Operation, ""),
            (From::Path, ""),
            (From::Document, ""),
            (From::Defaults, "defaults.policies"),
        ];
        // A list that only one side has replaces the lists of wider scope.
        let replaces = [From::Operation, From::Path, From::Document];
        let replaced = replaces.into_iter().find_map(|from| {
            let (own, its) = (self.list(from, &[]), other.list(from, &[]));
            if own.is_empty() == its.is_empty() {
                return None;
            }
            let first = own.first().map(|(place, _)| place.clone());
            let key = || self.field("policies").filter(|_| from == From::Operation);
            first
                .or_else(key)
                .or_else(|| Some(self.written.place.clone()))
        });
        if replaced.is_some() {
            return replaced;
        }
        lists.into_iter().find_map(|(from, key)| {
            let (own, its) = (self.list(from, kinds), other.list(from, kinds));
            let mut pairs = own.iter().zip(&its);
            let same = pairs
                .by_ref()
                .take_while(|(own, its)| own.1 == its.1)
                .count();
            if same == own.len().max(its.len()) {
                return None;
            }
            // If only the other side has the policy, use this side's entry at the same position.
            let beside = || {
                let (all, others) = (self.list(from, &[]), other.list(from, &[]));
                let missing = &its.get(same)?.0;
                let at = others.iter().position(|(place, _)| place == missing)?;
                all.get(at).or_else(|| all.last()).cloned()
            };
            let entry = own.get(same).cloned().or_else(beside);
            let place = entry.map(|(place, _)| place);
            place
                .or_else(|| defined(self.map, key).filter(|_| !key.is_empty()).cloned())
                .or_else(|| Some(self.written.place.clone()))
        })
    }

    /// Policies that one list adds to the chain, in the order of the list, with their source
    /// locations.
    fn list(&self, from: From, kinds: &[&str]) -> Vec<(Place, &'a str)> {
        let links = self.treatment.chain.iter().filter(|link| {
            let kind = self.linked(link).map(|(_, policy)| policy.checked.kind());
            kinds.is_empty() || kind.is_some_and(|kind| kinds.contains(&kind))
        });
        let entries = links.filter_map(|link| {
            let name = name(link)?;
            let field = self.map.field(self.written, &format!("policies/{name}"))?;
            match field {
                FieldSource::Written {
                    place, from: own, ..
                } if *own == Some(from) => Some((place.clone(), name)),
                FieldSource::Written { .. } | FieldSource::Default { .. } => None,
            }
        });
        let mut entries: Vec<(Place, &str)> = entries.collect();
        entries.sort_by(|(a, _), (b, _)| {
            (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column))
        });
        entries
    }
}

fn name(link: &ir::Link) -> Option<&str> {
    match link {
        ir::Link::Authenticate => None,
        ir::Link::Shared(name) | ir::Link::Own(name) => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use policy::StateId;
    use policy::declared::{self, Scalar, Setting, Value};

    use super::*;

    fn settings(values: &[(&str, &str)]) -> Settings {
        let all = values.iter().map(|(key, value)| Setting {
            path: vec![(*key).to_owned()],
            value: Value::One(Scalar::Text((*value).to_owned())),
        });
        Settings::new(all.collect())
    }

    fn with(values: &[(&str, &str)]) -> ir::Policy {
        ir::Policy {
            name: "p".to_owned(),
            state: StateId(1),
            checked: policy::Checked::Declared(declared::Checked {
                kind: "later".to_owned(),
                settings: settings(values),
            }),
        }
    }

    #[test]
    fn first_setting_that_differs_is_found() {
        for (own, its, path) in [
            (
                &[("a", "1"), ("b", "1")][..],
                &[("a", "1"), ("b", "2")][..],
                "b",
            ),
            (&[("a", "1"), ("b", "1")], &[("a", "1")], "b"),
            (&[("b", "1")], &[("a", "1"), ("b", "1")], "a"),
            (&[("a", "1")], &[("a", "1")], ""),
        ] {
            assert_eq!(differing(&settings(own), &settings(its)), path);
        }
    }

    /// The second call has equal policies. Its result shows that the call compared nothing.
    #[test]
    fn pair_of_policies_is_compared_once() {
        let edits = Edits::default();
        let (old, new) = (with(&[("a", "1")]), with(&[("a", "2")]));
        for its in [&old, &new] {
            let path = edits.path(("policy p", &new), ("policy a/p", its));
            assert_eq!(path.as_deref(), Some("a"));
        }
        // Policies with a different subject are a different pair.
        assert_eq!(edits.path(("policy q", &new), ("policy q", &new)), None);
    }
}
