//! Places of changes: where the old and the new value of each was written.
//!
//! A line about an operation may come from a line far from it: the definition of a policy or a
//! scheme, or a list of policies. Both sides are compared to find which of them was edited.

use std::collections::BTreeSet;

use bundle::ir;
use model::source_map::{FieldSource, From, OperationSource, Place, SourceMap};
use policy::declared::Settings;

use crate::pairs::both;
use crate::{Change, Plan, Section, Side};

/// One side of a comparison with the places of its values.
struct View<'a> {
    map: &'a SourceMap,
    gateway: &'a ir::Gateway,
}

/// An operation of one side.
#[derive(Clone, Copy)]
struct Of<'a> {
    map: &'a SourceMap,
    gateway: &'a ir::Gateway,
    api: &'a ir::Api,
    operation: &'a ir::Operation,
    treatment: &'a ir::Treatment,
    written: &'a OperationSource,
}

/// Adds the places of both sides to each change.
pub(super) fn add(plan: &mut Plan, old: Option<&Side>, new: &Side) {
    let (before, after) = (old.and_then(View::of), View::of(new));
    for change in &mut plan.changes {
        let place = |side: &Option<View<'_>>, other: &Option<View<'_>>| {
            side.as_ref()?.place(change, other.as_ref())
        };
        let (old, new) = (place(&before, &after), place(&after, &before));
        change.source_old = old;
        change.source_new = new;
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
        })
    }

    /// Place of a change's value on this side.
    fn place(&self, change: &Change, other: Option<&View<'_>>) -> Option<Place> {
        let Some(operation) = &change.operation else {
            let whole = self
                .map
                .definitions
                .get(&format!("prose {}", change.subject));
            return whole
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

    fn operation(&self, key: &str) -> Option<Of<'a>> {
        let written = self.map.operations.get(key)?;
        let mut apis = self.gateway.apis.iter();
        let (api, operation) = apis.find_map(|api| Some((api, api.operations.get(key)?)))?;
        Some(Of {
            map: self.map,
            gateway: self.gateway,
            api,
            operation,
            treatment: api.treatments.get(operation.treatment as usize)?,
            written,
        })
    }
}

/// Place of a definition, or of the nearest thing around it.
fn defined<'m>(map: &'m SourceMap, subject: &str) -> Option<&'m Place> {
    nearest(subject).find_map(|subject| map.definitions.get(subject))
}

/// Place of the mount of an API, or the key of it, that differs from the other side's.
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

/// Kinds of policies that a change is about; none: any kind.
fn kinds(id: &str) -> &'static [&'static str] {
    let kinds: &[(&str, &[&str])] = &[
        ("address-filter-", &["ip_filter"]),
        ("authorization-", &["authorize", "forward_auth"]),
        ("cors-", &["cors"]),
        ("csrf-", &["csrf"]),
        ("guard-", &["threat", "graphql_guard", "llm"]),
        ("identity-field-", &["headers"]),
        ("response-field-", &["headers", "respond"]),
        ("request-validation-", &["validate"]),
        ("response-validation-", &["validate"]),
    ];
    let mut kinds = kinds.iter();
    let found = kinds.find(|(start, _)| id.starts_with(start));
    found.map_or(&[], |(_, kinds)| kinds)
}

/// Path of the first setting that differs, joined by dots.
fn differing(own: &Settings, other: &Settings) -> String {
    let missing = |a: &Settings, b: &Settings| {
        let mut all = a.iter();
        let found = all.find(|one| {
            !b.iter()
                .any(|it| it.path == one.path && it.value == one.value)
        });
        found.map(|one| one.path.join("."))
    };
    missing(own, other)
        .or_else(|| missing(other, own))
        .unwrap_or_default()
}

impl<'a> Of<'a> {
    /// Place of the definition or the list that was edited, unless the operation's own field is
    /// the place.
    fn edited(&self, other: &Of<'_>, change: &Change) -> Option<Place> {
        match change.subject.split(' ').next() {
            _ if change.subject == "route" || change.id == "operation-exposed" => {
                return self.routed(other);
            }
            Some("security") => return self.scheme(other, change),
            Some("policies") => {
                return self
                    .listed(other, &[])
                    .or_else(|| self.policy(other, &[]).cloned());
            }
            _ => {}
        }
        let kinds = kinds(change.id);
        let is_field = || {
            let mut fields = nearest(&change.subject);
            fields.any(|field| self.map.field(self.written, field).is_some())
        };
        if kinds.is_empty() && is_field() {
            return None;
        }
        let policy = self.policy(other, kinds).cloned();
        policy.or_else(|| self.listed(other, kinds))
    }

    /// Place of what decides which requests the operation serves, where both sides have it.
    fn routed(&self, other: &Of<'_>) -> Option<Place> {
        let (own, its) = (self.operation, other.operation);
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
        // A mount of another API takes requests, or gives them back.
        let others = || {
            let mut pairs = both(&self.gateway.apis, &other.gateway.apis);
            pairs.find_map(|(_, own, its)| mount(self.map, own?, its?))
        };
        field.or_else(|| own_mount().or_else(others).cloned())
    }

    /// Place of a field of the operation.
    fn field(&self, name: &str) -> Option<Place> {
        match self.map.field(self.written, name)? {
            FieldSource::Written { place, .. } => Some(place.clone()),
            FieldSource::Default { .. } => None,
        }
    }

    /// Place of the scheme or the verifier that differs, where both sides ask for the same schemes.
    fn scheme(&self, other: &Of<'_>, change: &Change) -> Option<Place> {
        if self.asked() != other.asked() {
            return None;
        }
        let names: BTreeSet<&str> = self
            .asked()
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
                (own.strip_credential != its.strip_credential
                    && change.id.starts_with("credential-"))
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
        // The same schemes: what checks them is another.
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

    /// The alternatives by the document's names of schemes, with their scopes.
    fn asked(&self) -> BTreeSet<BTreeSet<(&'a str, &'a [String])>> {
        let names = self.map.apis.get(&self.api.name);
        let names = names.map(|api| &api.schemes);
        let alternatives = self.treatment.security.0.iter();
        alternatives
            .map(|alternative| {
                let uses = alternative.0.iter().flat_map(|wanted| {
                    let named = names.into_iter().flatten();
                    let named = named.filter(|(_, canonical)| **canonical == wanted.scheme);
                    named.map(|(name, _)| (name.as_str(), wanted.scopes.as_slice()))
                });
                uses.collect()
            })
            .collect()
    }

    fn scheme_named(&self, name: &str) -> Option<&'a ir::Scheme> {
        let canonical = self.map.apis.get(&self.api.name)?.schemes.get(name)?;
        self.api.schemes.get(canonical)
    }

    /// Place within a policy of both chains whose definition differs.
    fn policy(&self, other: &Of<'_>, kinds: &[&str]) -> Option<&'a Place> {
        let mut chain = self.treatment.chain.iter();
        chain.find_map(|link| {
            let (subject, own) = self.linked(link)?;
            let mut its = other.treatment.chain.iter();
            let its = its.find(|its| name(its) == name(link))?;
            let (_, its) = other.linked(its)?;
            let is_meant = kinds.is_empty() || kinds.contains(&own.checked.kind());
            if !is_meant || own.checked == its.checked {
                return None;
            }
            let key = differing(&own.checked.settings(), &its.checked.settings());
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

    /// Place in the list of policies that differs from the other side's.
    fn listed(&self, other: &Of<'_>, kinds: &[&str]) -> Option<Place> {
        let lists = [
            (From::Required, "required.policies"),
            (From::Operation, ""),
            (From::Path, ""),
            (From::Document, ""),
            (From::Defaults, "defaults.policies"),
        ];
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
            // Additional entries of the other side follow this side's last equal one.
            let entry = own.get(same).or_else(|| own.last());
            let place = entry.map(|(place, _)| place.clone());
            place
                .or_else(|| defined(self.map, key).filter(|_| !key.is_empty()).cloned())
                .or_else(|| Some(self.written.place.clone()))
        })
    }

    /// The policies that one list puts into the chain, in its order.
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
