//! Request fields from which upstreams read the identity of a caller: the fields that the gateway
//! writes for an operation (`forward_as`, `claims_to_headers`, `response_headers` of
//! `forward_auth`). A client must not be able to send such a field to the same upstream through
//! another operation.

use std::collections::{BTreeMap, BTreeSet};

use policy::Checked;

use super::{Gateway, Link, Policy, Scheme, Servers, Set, Shared, Treatment};

/// Fields that carry credentials. Clients may send them, because upstreams verify the credentials.
const CREDENTIALS: [&str; 2] = ["authorization", "cookie"];

/// Parts of an API that determine its identity fields: the fields in which upstreams receive the
/// caller's identity.
#[derive(Clone, Copy, Debug)]
pub struct IdentityParts<'a> {
    /// Security schemes of the API.
    pub schemes: &'a Set<Scheme>,
    /// Policies of the API's document.
    pub policies: &'a Set<Policy>,
    /// Treatments of the API's operations.
    pub treatments: &'a [Treatment],
}

/// Identity fields (fields with the caller's identity), by the upstream or server that receives
/// them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityFields {
    /// Fields by the name of the upstream that receives them.
    upstreams: BTreeMap<String, BTreeSet<String>>,
    /// Fields by the server that receives them ([`Servers`]).
    servers: BTreeMap<String, BTreeSet<String>>,
    /// Identity fields that gwd sends to upstreams with discovered servers. A discovered server may
    /// also be a server of any other upstream.
    anywhere: BTreeSet<String>,
}

impl IdentityFields {
    /// Collects the identity fields of all upstreams of these APIs.
    pub fn of<'a>(shared: &Shared, apis: impl IntoIterator<Item = IdentityParts<'a>>) -> Self {
        let mut fields = Self::default();
        for api in apis {
            for treatment in api.treatments {
                let written = written(shared, api, treatment);
                if written.is_empty() {
                    continue;
                }
                for name in upstreams(shared, api, treatment) {
                    let Servers { named, can_be_any } = servers(shared, name);
                    for server in named {
                        let known = fields.servers.entry(server).or_default();
                        known.extend(written.clone());
                    }
                    if can_be_any {
                        fields.anywhere.extend(written.clone());
                    }
                    let known = fields.upstreams.entry(name.to_owned()).or_default();
                    known.extend(written.clone());
                }
            }
        }
        fields
    }

    /// Collects the identity fields of all upstreams of a gateway.
    #[must_use]
    pub fn of_gateway(gateway: &Gateway) -> Self {
        let apis = gateway.apis.iter().map(|api| IdentityParts {
            schemes: &api.schemes,
            policies: &api.policies,
            treatments: &api.treatments,
        });
        Self::of(&gateway.shared, apis)
    }

    /// Fields that clients must not send to the upstreams of a treatment, in lower case. These are
    /// the identity fields of the same upstream and of upstreams that can reach the same server.
    /// Excludes fields that `forward_auth` policies of the treatment set, because these policies
    /// remove the client's values.
    #[must_use]
    pub fn withheld(
        &self,
        shared: &Shared,
        api: IdentityParts<'_>,
        treatment: &Treatment,
    ) -> BTreeSet<String> {
        if self.upstreams.is_empty() {
            return BTreeSet::new();
        }
        let mut fields: BTreeSet<&String> = self.anywhere.iter().collect();
        for name in upstreams(shared, api, treatment) {
            fields.extend(self.upstreams.get(name).into_iter().flatten());
            let Servers { named, can_be_any } = servers(shared, name);
            if can_be_any {
                fields.extend(self.servers.values().flatten());
            }
            let known = named.iter().filter_map(|server| self.servers.get(server));
            fields.extend(known.flatten());
        }
        let own = answered(shared, api, treatment);
        let fields = fields.into_iter();
        fields
            .filter(|field| !own.contains(*field))
            .cloned()
            .collect()
    }
}

/// Identity fields that the gateway itself writes into a treatment's requests, in lower case.
#[must_use]
pub fn written_identity(
    shared: &Shared,
    api: IdentityParts<'_>,
    treatment: &Treatment,
) -> BTreeSet<String> {
    written(shared, api, treatment)
}

/// Policies of a treatment's chain.
fn policies<'a>(
    shared: &'a Shared,
    api: IdentityParts<'a>,
    treatment: &'a Treatment,
) -> impl Iterator<Item = &'a Checked> {
    let links = treatment.chain.iter();
    let policies = links.filter_map(move |link| match link {
        Link::Authenticate => None,
        Link::Shared(name) => shared.policies.get(name),
        Link::Own(name) => api.policies.get(name),
    });
    policies.map(|policy| &policy.checked)
}

/// Fields that `forward_auth` policies of a treatment's chain set, in lower case.
fn answered(shared: &Shared, api: IdentityParts<'_>, treatment: &Treatment) -> BTreeSet<String> {
    let policies = policies(shared, api, treatment);
    let services = policies.filter(|checked| checked.kind() == "forward_auth");
    let fields = services.flat_map(|checked| {
        let settings = checked.settings();
        let names = settings.texts(&["response_headers"]).unwrap_or_default();
        let names = names.into_iter().map(str::to_ascii_lowercase);
        names.collect::<Vec<_>>()
    });
    fields.collect()
}

/// Identity fields that the gateway writes into a treatment's requests.
fn written(shared: &Shared, api: IdentityParts<'_>, treatment: &Treatment) -> BTreeSet<String> {
    let uses = treatment.security.0.iter().flat_map(|one| &one.0);
    let schemes = uses.filter_map(|wanted| api.schemes.get(&wanted.scheme));
    let passed = schemes.flat_map(|scheme| scheme.passes.fields());
    let mut fields = answered(shared, api, treatment);
    fields.extend(passed.map(str::to_ascii_lowercase));
    fields.retain(|field| !CREDENTIALS.contains(&field.as_str()));
    fields
}

/// Names of the upstreams that receive the requests of a treatment or copies of them.
fn upstreams<'a>(
    shared: &'a Shared,
    api: IdentityParts<'a>,
    treatment: &'a Treatment,
) -> BTreeSet<&'a str> {
    let policies = policies(shared, api, treatment);
    let policies =
        policies.filter(|checked| !matches!(checked.kind(), "forward_auth" | "ext_proc"));
    let named = policies.flat_map(Checked::upstreams);
    let own = std::iter::once(treatment.upstream.as_str());
    own.chain(treatment.forwarding.upstreams())
        .chain(named)
        .collect()
}

/// Servers of an upstream. Empty if no upstream has this name.
fn servers(shared: &Shared, name: &str) -> Servers {
    let upstream = shared.upstreams.get(name);
    upstream.map(super::Upstream::servers).unwrap_or_default()
}
