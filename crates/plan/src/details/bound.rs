//! Digests of the upstreams to which a line about destinations refers by name. Fingerprints contain
//! these digests, so that an acknowledgement does not cover other servers.

use std::collections::BTreeSet;

use bundle::ir::{self, Link};

use super::line::ApiSide;
use crate::{Class, security};

/// True if a change of this class and id may send requests to another destination.
pub(crate) fn goes_elsewhere(class: Class, id: &str) -> bool {
    class == Class::Moved || id == "policies-changed"
}

/// Digest of the upstreams to which the policies and settings of an operation's treatment send
/// requests or copies of requests.
pub(crate) fn ends(side: ApiSide<'_>, treatment: &ir::Treatment) -> String {
    let policies = treatment.chain.iter().filter_map(|link| match link {
        Link::Authenticate => None,
        Link::Shared(name) => side.shared.policies.get(name),
        Link::Own(name) => side.api.policies.get(name),
    });
    let names = policies.flat_map(|policy| policy.checked.upstreams());
    let names: BTreeSet<&str> = names.chain(treatment.forwarding.upstreams()).collect();
    security::defined(side.shared, names)
}
