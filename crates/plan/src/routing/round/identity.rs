//! Identity of the access to operations: comparisons with the same identities have the same result.

use bundle::ir;
use rustc_hash::FxHashMap;

use super::treatment;
use crate::details::OperationAt;
use crate::security::{reads_request, reads_route};

/// Values that identify the access to an operation: the memory address of its treatment, its mount,
/// and the address of the operation. The last address is 0 unless a policy reads the operation or
/// its requests, or its messages are checked.
pub(super) type Identity<'a> = (usize, MountIdentity<'a>, usize);

/// Part of a mount on which the access to its operations depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum MountIdentity<'a> {
    /// Memory address: a policy reads the name, the hosts or the base path.
    Address(usize),
    /// Names of the listeners, which thousands of mounts can share.
    Listeners(&'a [String]),
}

/// Values that the policies of each treatment read, by the memory address of the treatment.
pub(super) struct Identities(FxHashMap<usize, Reads>);

/// Values that the policies of a treatment read.
#[derive(Clone, Copy, Debug)]
struct Reads {
    /// True if an expression may read the name of the operation or mount ([`reads_route`]).
    route: bool,
    /// True if a policy may decide by the path, host or method of requests ([`reads_request`]).
    request: bool,
}

impl Identities {
    pub(super) fn of(gateways: [&ir::Gateway; 2]) -> Self {
        let apis = gateways.into_iter();
        let apis = apis.flat_map(|gateway| gateway.apis.iter().map(move |api| (gateway, api)));
        let reads = apis.flat_map(|(gateway, api)| {
            let of = move |treatment: &ir::Treatment| {
                let reads = Reads {
                    route: reads_route(gateway, api, treatment),
                    request: reads_request(gateway, api, treatment),
                };
                (std::ptr::from_ref(treatment) as usize, reads)
            };
            api.treatments.iter().map(of)
        });
        Self(reads.collect())
    }

    /// Identity of the access to an operation. `with_requests`: access includes the path, host and
    /// method of requests.
    pub(super) fn operation<'a>(&self, one: OperationAt<'a>, with_requests: bool) -> Identity<'a> {
        let described = one.api.messages.as_ref();
        let described = described.and_then(|all| all.operations.get(&one.operation.key));
        let address = std::ptr::from_ref(treatment(one)) as usize;
        let reads = self.0.get(&address);
        let reads = reads.is_none_or(|reads| reads.route || with_requests && reads.request);
        let operation = match described.is_some() || reads {
            true => std::ptr::from_ref(one.operation) as usize,
            false => 0,
        };
        (address, MountIdentity::of(one.mount, reads), operation)
    }
}

impl<'a> MountIdentity<'a> {
    /// Identity of a mount. `is_read`: true if a policy reads the name, the hosts or the base path.
    fn of(mount: &'a ir::Mount, is_read: bool) -> Self {
        match is_read {
            true => Self::Address(std::ptr::from_ref(mount) as usize),
            false => Self::Listeners(&mount.listeners),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_mounts_count_only_if_they_are_read() {
        let mount = |host: &str| ir::Mount {
            name: host.to_owned(),
            hosts: vec![host.to_owned()],
            base_path: String::new(),
            strip_base_path: false,
            listeners: vec!["main".to_owned()],
        };
        let [a, b] = ["a.example", "b.example"].map(mount);
        assert_eq!(MountIdentity::of(&a, false), MountIdentity::of(&b, false));
        assert_ne!(MountIdentity::of(&a, true), MountIdentity::of(&b, true));
    }
}
