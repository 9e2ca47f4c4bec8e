//! Pairs of operations that serve the same requests.
//!
//! Two operations form a pair if a mount serves both at the same hosts, with the same method and
//! path template. Names of path parameters, operations and APIs have no effect. Operations without
//! such a pair are paired by key: a client then calls the operation at another method or path.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use model::lower::Lowered;

/// API and key of an operation.
type Name<'a> = (&'a str, &'a str);

/// Pairs of operations of an old and a new side.
pub(super) struct Operations<'a> {
    /// Old operation of each new operation.
    pairs: BTreeMap<Name<'a>, Name<'a>>,
}

impl<'a> Operations<'a> {
    pub(super) fn of(old: &'a Lowered, new: &'a Lowered) -> Self {
        let (was, is) = (places(&old.gateway), places(&new.gateway));
        let mut pairs: BTreeMap<Name<'_>, Name<'_>> = BTreeMap::new();
        let mut taken: BTreeSet<Name<'_>> = BTreeSet::new();
        for (place, news) in &is {
            let Some(olds) = was.get(place) else { continue };
            for name in news {
                // Several operations may have the same method, path and conditions, for example on
                // different listeners. Prefer the one with the same name.
                let same = olds.iter().find(|old| *old == name);
                let found = same.or_else(|| {
                    olds.iter()
                        .find(|old| !news.contains(old) && !taken.contains(*old))
                });
                if let Some(found) = found {
                    taken.insert(*found);
                    pairs.entry(*name).or_insert(*found);
                }
            }
        }
        let all = |side: &'a Lowered| {
            let apis = side.contracts.iter();
            apis.flat_map(|api| {
                let keys = api.operations.iter();
                keys.map(|operation| (api.name.as_str(), operation.key.as_str()))
            })
        };
        let before: BTreeSet<Name<'_>> = all(old).collect();
        for name in all(new) {
            if !pairs.contains_key(&name) && before.contains(&name) && !taken.contains(&name) {
                pairs.insert(name, name);
            }
        }
        Self { pairs }
    }

    /// APIs of the old side that have at least one operation paired with an operation of the new
    /// API.
    pub(super) fn old_apis(&self, new: &str) -> BTreeSet<&'a str> {
        let pairs = self.pairs.iter().filter(|((api, _), _)| *api == new);
        pairs.map(|(_, (old, _))| *old).collect()
    }

    /// Keys of the paired operations of two APIs: the key in the old API, then the key in the new
    /// one.
    pub(super) fn between(&self, old: &str, new: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.pairs.iter();
        pairs.filter_map(move |((api, is), (before, was))| {
            (*api == new && *before == old).then_some((*was, *is))
        })
    }
}

/// Operations by the requests that they serve.
fn places(gateway: &ir::Gateway) -> BTreeMap<String, Vec<Name<'_>>> {
    let mut all: BTreeMap<String, Vec<Name<'_>>> = BTreeMap::new();
    for api in &gateway.apis {
        for operation in &api.operations {
            for mount in &api.mounts {
                let template = shape(&operation.template.to_string());
                let hosts = mount.hosts.join(",");
                let place = format!(
                    "{} {hosts} {}{template} {:?}",
                    operation.method, mount.base_path, operation.conditions
                );
                let names = all.entry(place).or_default();
                let name = (api.name.as_str(), operation.key.as_str());
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    all
}

/// Template without the names of its parameters.
fn shape(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        out.push_str("{}");
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_shape_has_no_parameter_names() {
        assert_eq!(shape("/a/{id}/b.{ext}"), "/a/{}/b.{}");
        assert_eq!(shape("/a"), "/a");
    }
}
