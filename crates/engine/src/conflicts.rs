//! Check that no two routes of a listener and host match exactly the same requests.
//!
//! The builder of the trie makes this check within an API. This module makes it across mounts: it
//! compares the hashes of the requests that routes match, which are computed once per API part.
//! Routes with equal hashes are compared in full.

use std::collections::{BTreeMap, BTreeSet};

use crate::api_part::{ApiPart, PartMount};
use crate::error::BuildError;
use crate::matched_requests::{MatchedRequests, Requests};

/// Checks that no routes of two mounts match the same (listener, host, path, method, conditions).
pub(crate) fn refuse<'a>(apis: impl Iterator<Item = &'a ApiPart>) -> Result<(), BuildError> {
    let mounts: Vec<(&ApiPart, &PartMount)> = apis
        .flat_map(|api| api.mounts.iter().map(move |mount| (api, mount)))
        .collect();
    let mut places: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (number, (_, part)) in mounts.iter().enumerate() {
        let hosts = part.mount.hosts.iter().map(String::as_str);
        // A mount without hosts is listed under the empty host.
        let hosts = hosts.chain(part.mount.hosts.is_empty().then_some(""));
        for host in hosts {
            for listener in &part.mount.listeners {
                places.entry((listener, host)).or_default().push(number);
            }
        }
    }
    // Compare each set of mounts once, because many hosts have the same mounts.
    let crowded: BTreeSet<Vec<usize>> = places
        .into_values()
        .filter(|there| there.len() > 1)
        .collect();
    for there in crowded {
        refuse_among(&mounts, &there)?;
    }
    Ok(())
}

fn refuse_among(mounts: &[(&ApiPart, &PartMount)], there: &[usize]) -> Result<(), BuildError> {
    let mut routes: Vec<(u64, usize, u32, &MatchedRequests)> = Vec::new();
    for number in there {
        let matched_requests = mounts[*number].1.matched_requests.iter();
        routes.extend(matched_requests.map(|one| (one.hash, *number, one.operation, one)));
    }
    routes.sort_unstable_by_key(|(hash, number, operation, _)| (*hash, *number, *operation));
    let conflicts = routes.chunk_by(|a, b| a.0 == b.0).flat_map(|alike| {
        let pairs = alike.iter().enumerate();
        pairs.flat_map(|(at, a)| alike[at + 1..].iter().map(move |b| (a, b)))
    });
    let requests = |(_, number, _, one): &(u64, usize, u32, &MatchedRequests)| {
        let (api, part) = mounts[*number];
        Requests::of(&part.mount.base_path, api.router.operations(), one)
    };
    // Report the first conflict in the order of APIs, mounts and keys, so that every build gives
    // the same error.
    let first = conflicts
        // Skip pairs within one mount, in which `API#undeclared` occurs once for each template.
        .filter(|(a, b)| a.1 != b.1 && requests(a) == requests(b))
        .min_by_key(|(a, b)| ((b.1, b.2), (a.1, a.2)));
    match first {
        None => Ok(()),
        Some((a, b)) => {
            let id = |(_, number, operation, _): &(u64, usize, u32, &MatchedRequests)| {
                let (api, part) = mounts[*number];
                let key = &api.router.operations()[*operation as usize].key;
                format!("{key}@{}", part.mount.name)
            };
            Err(BuildError::RouteConflict(id(a), id(b)))
        }
    }
}
