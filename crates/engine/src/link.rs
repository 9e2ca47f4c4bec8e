//! Linking of an API part to treatments at run time: names become filters, verifiers and indices.
//!
//! Treatments are cached by a digest of their inputs. These are the API's blob, its shared policies
//! and verifiers, the indices and identity fields of its upstreams, and the fields in conditions of
//! all routes. A change to a shared policy therefore relinks only the APIs that name it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bundle::codec::encode;
use bundle::ir::{self, IdentityFields, Link, Set, Shared};
use http::HeaderName;
use policy::auth::{self, Place, Removals, TokenVerifier};
use policy::key_cell::KeyCell;
use policy::logged::LoggedParameters;
use policy::store::Store;
use policy::traffic::retry;
use policy::used::Table;
use policy::validation::Mode;
use policy::{Checked, Documents, Filter, Phase, Policy as _, Run as _, Secrets, Setting, StateId};
use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};

use crate::api_part::ApiPart;
use crate::authenticate::Requirement;
use crate::error::BuildError;
use crate::guards;
use crate::key::Key;
use crate::logins::Guard;
use crate::lookalikes;
use crate::parts::{Cache, Parts};
use crate::snapshot::{ChainStep, CircuitBreaker, OPEN, ResponseValidation, Treatment};
use crate::verifiers::Verifiers;

/// Shared policies and verifiers of one gateway, prepared for its APIs.
pub(crate) struct Linker<'a> {
    shared: &'a Shared,
    secrets: &'a dyn Secrets,
    documents: &'a Documents,
    /// Digest and filter of each shared policy, by the index of the policy.
    policies: Vec<(Key, NamedFilter)>,
    /// Digest of each verifier, by the index of the verifier.
    verifier_keys: Vec<Key>,
    verifiers: Verifiers<'a>,
    identities: IdentityFields,
    /// Fields in the conditions of the routes of all APIs, sorted. A request may match routes of
    /// several APIs. A condition of one API can therefore decide about requests of another API.
    conditional: Vec<HeaderName>,
}

/// Chain of a treatment, and the settings of the policies that have no filter, such as `retry`.
struct Steps {
    chain: Vec<ChainStep>,
    retries: Option<retry::Checked>,
    response_validation: Option<ResponseValidation>,
    breakers: Vec<CircuitBreaker>,
}

/// Name and filter of a policy. `None` for a policy without a filter, such as `retry`.
type NamedFilter = Option<(Arc<str>, Arc<Filter>)>;

impl<'a> Linker<'a> {
    /// Prepares every shared policy, including policies that no API names.
    pub(crate) fn new(
        shared: &'a Shared,
        apis: &[Arc<ApiPart>],
        (secrets, documents): (&'a dyn Secrets, &'a Documents),
        parts: &mut Parts,
    ) -> Result<Self, BuildError> {
        let policies = shared.policies.iter().map(|policy| {
            known_upstreams(&policy.checked, shared)?;
            let digest = sha256(&encode(policy));
            let inputs = (secrets, documents);
            let filter = named_filter(policy, digest, inputs, &mut parts.filters)?;
            Ok((digest, filter))
        });
        let policies = policies.collect::<Result<_, _>>()?;
        let keys = shared.auth.iter().map(|one| sha256(&encode(one)));
        let mut verifier_keys: Vec<Key> = keys.collect();
        // A verifier of proofs contains the verifier of the token, so its digest includes the
        // digest of that verifier.
        for (index, verifier) in shared.auth.iter().enumerate() {
            if let Some(token) = token_index(shared, &verifier.checked)? {
                let both = [verifier_keys[index], verifier_keys[token]].concat();
                verifier_keys[index] = sha256(&both);
            }
        }
        for verifier in &shared.auth {
            known_origin(&verifier.checked, shared)?;
        }
        let tokens = shared.auth.iter().zip(&verifier_keys);
        let tokens = tokens.map(|(one, key)| token_verifier((one, *key), None, secrets, parts));
        let mut tokens: Vec<_> = tokens.collect::<Result<_, _>>()?;
        for (index, verifier) in shared.auth.iter().enumerate() {
            if let Some(token) = token_index(shared, &verifier.checked)? {
                let named = tokens[token].clone();
                let own = (verifier, verifier_keys[index]);
                tokens[index] = token_verifier(own, named.as_ref(), secrets, parts)?;
            }
        }
        Ok(Self {
            shared,
            secrets,
            documents,
            policies,
            verifier_keys,
            verifiers: Verifiers::new(&shared.auth, tokens),
            identities: IdentityFields::of(shared, apis.iter().map(|api| api.identity_parts())),
            conditional: conditional_fields(apis),
        })
    }

    /// Key cells (caches of fetched keys) of all verifiers, without duplicates.
    pub(crate) fn key_cells(&self) -> Box<[Arc<KeyCell>]> {
        self.verifiers.key_cells()
    }

    /// Stores in which verifiers record used credentials, with their tables.
    pub(crate) fn used_stores(&self) -> Box<[(Table, Arc<Store>)]> {
        self.verifiers.used_stores()
    }

    /// Names of the cookies of all logins.
    pub(crate) fn session_cookies(&self) -> Box<[Box<str>]> {
        self.verifiers.session_cookies()
    }

    /// Logins named in an API's schemes, without duplicates.
    pub(crate) fn logins(&self, api: &ApiPart) -> Vec<Arc<TokenVerifier>> {
        let mut logins: Vec<Arc<TokenVerifier>> = Vec::new();
        for scheme in api.schemes().iter() {
            let ir::Verify::Auth(name) = &scheme.verify else {
                continue;
            };
            if let Ok((_, Some(verifier))) = self.verifiers.get(name)
                && verifier.login().is_some()
                && logins.iter().all(|known| !Arc::ptr_eq(known, verifier))
            {
                logins.push(Arc::clone(verifier));
            }
        }
        logins
    }

    /// Filters that also run before the gateway answers the paths of an API's logins. See
    /// [`guards::of_logins`].
    pub(crate) fn guards(&self, treatments: &[ir::Treatment]) -> Vec<Guard> {
        let indices = guards::of_logins(self.shared, treatments).into_iter();
        let guards = indices.filter_map(|index| {
            let (_, filter) = self.policies[index].1.as_ref()?;
            Some(Guard {
                content: sha256(&guards::content(&self.shared.policies[index])),
                filter: Arc::clone(filter),
            })
        });
        guards.collect()
    }

    /// Treatments of an API. Reuses the treatments of another snapshot if the inputs are the same.
    pub(crate) fn treatments(
        &self,
        api: &ApiPart,
        parts: &mut Parts,
    ) -> Result<Arc<[Treatment]>, BuildError> {
        let key = self.key(api)?;
        if let Some(known) = parts.treatments.get(&key) {
            return Ok(known);
        }
        let own = api.policies.iter().map(|policy| {
            known_upstreams(&policy.checked, self.shared)?;
            let digest = sha256(&encode(policy));
            let inputs = (self.secrets, self.documents);
            named_filter(policy, digest, inputs, &mut parts.filters)
        });
        let own = own.collect::<Result<Vec<_>, _>>()?;
        let described = api.described_fields();
        let known_fields = (&self.conditional[..], &described[..]);
        let mut known: FxHashMap<Vec<u8>, u128> = FxHashMap::default();
        let treatments = api.treatments.iter();
        let treatments = treatments
            .map(|treatment| {
                let validate = &treatment.forwarding.validate;
                let rules = encode(&(&treatment.security, &treatment.chain, validate));
                let rules = known.entry(rules);
                let access = *rules.or_insert_with_key(|rules| access(api, treatment, rules));
                self.treatment(treatment, api, (&own, known_fields), access)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let treatments: Arc<[Treatment]> = treatments.into();
        parts.treatments.keep(key, &treatments);
        Ok(treatments)
    }

    /// Digest of the inputs of an API's treatments. Excludes names, because the blob determines the
    /// names and their order.
    fn key(&self, api: &ApiPart) -> Result<Key, BuildError> {
        let mut hash = Sha256::new_with_prefix(api.digest);
        // An unknown name is reported when the treatment that uses it is linked.
        let mut add = |bytes: Option<&[u8]>| match bytes {
            None => hash.update([0]),
            Some(bytes) => {
                hash.update([1]);
                hash.update(bytes);
            }
        };
        for name in &api.names.policies {
            let index = self.shared.policies.position(name);
            add(index.map(|index| &self.policies[index].0[..]));
        }
        for name in &api.names.verifiers {
            let index = self.shared.auth.position(name);
            add(index.map(|index| &self.verifier_keys[index][..]));
        }
        for name in &api.names.upstreams {
            let index = self.upstream(name).ok();
            add(index.map(u32::to_le_bytes).as_ref().map(|bytes| &bytes[..]));
        }
        // Include the fields that clients must not send, because they also depend on the operations
        // of other APIs.
        for treatment in &api.treatments {
            for field in self.withheld(api, treatment) {
                hash.update(field);
                hash.update([0]);
            }
            hash.update([2]);
        }
        for field in &self.conditional {
            hash.update(field);
            hash.update([0]);
        }
        Ok(hash.finalize().into())
    }

    /// Identity fields that clients must not send, because other operations write them for the same
    /// upstreams.
    fn withheld(&self, api: &ApiPart, treatment: &ir::Treatment) -> BTreeSet<String> {
        let parts = api.identity_parts();
        self.identities.withheld(self.shared, parts, treatment)
    }

    /// Identity fields of the upstreams of a treatment whose chain has an external processor.
    fn identity_fields(
        &self,
        api: &ApiPart,
        treatment: &ir::Treatment,
        (chain, withheld): (&[ChainStep], &BTreeSet<String>),
    ) -> Box<[HeaderName]> {
        let is_processor = |step: &ChainStep| match step {
            ChainStep::Filter(_, filter) => matches!(**filter, Filter::ExtProc(_)),
            ChainStep::Authenticate | ChainStep::Strip | ChainStep::RemoveParameters => false,
        };
        if !chain.iter().any(is_processor) {
            return Box::default();
        }
        let written = ir::written_identity(self.shared, api.identity_parts(), treatment);
        let names = written.union(withheld);
        names
            .filter_map(|name| HeaderName::try_from(name.as_str()).ok())
            .collect()
    }

    fn treatment(
        &self,
        treatment: &ir::Treatment,
        api: &ApiPart,
        (own, known_fields): (&[NamedFilter], (&[HeaderName], &[HeaderName])),
        access: u128,
    ) -> Result<Treatment, BuildError> {
        let withheld = self.withheld(api, treatment);
        let schemes = (&treatment.security, &api.schemes);
        let security = Requirement::link(schemes.0, schemes.1, &self.verifiers, &withheld)
            .map_err(BuildError::UnknownName)?;
        let strips = security.strips() && !treatment.chain.contains(&Link::Authenticate);
        let Steps {
            chain,
            retries,
            breakers,
            response_validation,
        } = self.steps(treatment, api, own, strips)?;
        let Fields {
            read,
            edited: [request_fields, response_fields],
        } = fields(
            &security,
            (&chain, &treatment.forwarding.not_forwarded),
            known_fields,
        );
        let is_any = |is: fn(&Filter) -> bool| {
            chain.iter().any(|step| match step {
                ChainStep::Authenticate | ChainStep::Strip | ChainStep::RemoveParameters => false,
                ChainStep::Filter(_, filter) => is(filter),
            })
        };
        Ok(Treatment {
            decorates: chain.iter().any(|step| step.decorator().is_some()),
            identity_fields: self.identity_fields(api, treatment, (&chain, &withheld)),
            read_fields: read,
            request_fields,
            response_fields,
            sends_unsafe: is_any(Filter::sends_unsafe),
            reads_path: is_any(Filter::reads_path),
            sends_path: is_any(Filter::sends_path_to_service),
            depends_on_path: is_any(Filter::depends_on_path),
            validates: is_any(|filter| matches!(filter, Filter::Validate(one) if one.blocks())),
            depends_on_query: has_query_credential(api)
                || treatment.forwarding.not_forwarded.iter().any(is_in_query)
                || is_any(Filter::depends_on_query),
            depends_on_route: is_any(Filter::depends_on_route),
            path_readings: treatment.path_readings,
            access,
            security,
            chain: chain.into(),
            upstream: self.upstream(&treatment.upstream)?,
            timeout_ms: treatment.timeout_ms,
            max_body_bytes: treatment.max_body_bytes,
            cost: treatment.forwarding.cost.unwrap_or(1).max(1).into(),
            idempotent: treatment.forwarding.idempotent,
            websocket: treatment.forwarding.websocket,
            stream: treatment.forwarding.stream,
            closes_streams: treatment.forwarding.closes_streams,
            override_fields: treatment.forwarding.override_fields.as_slice().into(),
            not_forwarded: Removals::new(treatment.forwarding.not_forwarded.as_slice()),
            logged: LoggedParameters::new(&treatment.forwarding.logged),
            redacted: treatment.forwarding.redacted.as_slice().into(),
            response_validation,
            retries,
            breakers: breakers.into(),
        })
    }

    /// Links the steps of a chain. `strips` is true if the API's credentials must be removed
    /// although the operation is public.
    fn steps(
        &self,
        treatment: &ir::Treatment,
        api: &ApiPart,
        own: &[NamedFilter],
        strips: bool,
    ) -> Result<Steps, BuildError> {
        let unknown = |name: &str| BuildError::UnknownName(name.to_owned());
        let mut chain = Vec::with_capacity(treatment.chain.len() + usize::from(strips));
        let mut retries = treatment.retries.clone();
        let mut breakers = Vec::new();
        let own_validation = treatment.forwarding.validate.as_ref();
        let mut response = own_validation.map(|own| ("validate", own.response));
        let mut validates = treatment.forwarding.validate.is_some();
        let mut removals = removals(treatment, strips);
        for link in &treatment.chain {
            let (policy, filter) = match link {
                Link::Authenticate => {
                    chain.push(ChainStep::Authenticate);
                    continue;
                }
                Link::Shared(name) => {
                    let index = self.shared.policies.position(name);
                    let index = index.ok_or_else(|| unknown(name))?;
                    (&self.shared.policies[index], &self.policies[index].1)
                }
                Link::Own(name) => {
                    let index = api.policies.position(name);
                    let index = index.ok_or_else(|| unknown(name))?;
                    (&api.policies[index], &own[index])
                }
            };
            if validates && policy.checked.phase() >= Some(Phase::Transform) {
                chain.extend(self.validation(treatment)?);
                validates = false;
            }
            // Remove credentials and parameters after the conditions and limits, which may use
            // them, and before the transformations, which may set them for the upstream.
            if policy.checked.phase() >= Some(Phase::Transform) {
                chain.append(&mut removals);
            }
            match &policy.checked {
                // The operation's setting takes precedence over that of the last policy.
                Checked::Retry(retry) if treatment.retries.is_none() => {
                    retries = Some(retry.clone());
                }
                Checked::CircuitBreaker(checked) => breakers.push(CircuitBreaker {
                    policy: policy.name.as_str().into(),
                    state: policy.state,
                    checked: checked.clone(),
                }),
                Checked::Validate(checked)
                    if response.is_none_or(|(_, mode)| mode < checked.response) =>
                {
                    response = Some((policy.name.as_str(), checked.response));
                }
                // Only the last `cors` runs: two would overwrite each other's response fields.
                Checked::Cors(_) => chain.retain(|step| ChainStep::decorator(step).is_none()),
                _ => {}
            }
            chain.extend(
                filter
                    .iter()
                    .map(|(name, filter)| ChainStep::Filter(Arc::clone(name), Arc::clone(filter))),
            );
        }
        if validates {
            chain.extend(self.validation(treatment)?);
        }
        chain.append(&mut removals);
        for (key, checked) in treatment.forwarding.steps() {
            known_upstreams(&checked, self.shared)?;
            let filter = checked
                .filter(&self.setting(key))
                .map_err(BuildError::Secret)?;
            let filter = filter.map(Arc::new).into_iter();
            chain.extend(filter.map(|filter| ChainStep::Filter(key.into(), filter)));
        }
        Ok(Steps {
            chain,
            retries,
            breakers,
            response_validation: response.filter(|(_, mode)| *mode != Mode::Off).map(
                |(policy, mode)| ResponseValidation {
                    policy: policy.into(),
                    mode,
                },
            ),
        })
    }

    /// Step for the field `validate` of an operation. It runs before transformations, so that it
    /// checks the client's request.
    fn validation(&self, treatment: &ir::Treatment) -> Result<Option<ChainStep>, BuildError> {
        let Some(checked) = &treatment.forwarding.validate else {
            return Ok(None);
        };
        let filter = checked
            .filter(&self.setting("validate"))
            .map_err(BuildError::Secret)?;
        let filter = filter.map(|filter| Arc::new(Filter::Validate(filter)));
        Ok(filter.map(|filter| ChainStep::Filter("validate".into(), filter)))
    }

    /// Inputs of a filter without counters.
    fn setting<'s>(&'s self, name: &'s str) -> Setting<'s> {
        Setting {
            name,
            state: StateId(0),
            secrets: self.secrets,
            documents: self.documents,
        }
    }

    fn upstream(&self, name: &str) -> Result<u32, BuildError> {
        let upstreams: &Set<ir::Upstream> = &self.shared.upstreams;
        let index = upstreams.position(name);
        let index = index.ok_or_else(|| BuildError::UnknownName(name.to_owned()))?;
        u32::try_from(index).map_err(|_| BuildError::BadIndex)
    }
}

/// Steps that remove credentials (if `strips`) and parameters before the request is sent to the
/// upstream.
fn removals(treatment: &ir::Treatment, strips: bool) -> Vec<ChainStep> {
    let keeps_back = !treatment.forwarding.not_forwarded.is_empty();
    let keeps_back = keeps_back.then_some(ChainStep::RemoveParameters);
    let strips = strips.then_some(ChainStep::Strip);
    strips.into_iter().chain(keeps_back).collect()
}

/// Digest of the access rules of a treatment ([`Treatment::access`]). `rules` contains the encoded
/// rules from the API's blob. Definitions that the blob contains are part of the digest, because
/// another API may have other definitions with the same names.
fn access(api: &ApiPart, treatment: &ir::Treatment, rules: &[u8]) -> u128 {
    let mut uses = treatment.security.uses().peekable();
    if uses.peek().is_none()
        && treatment.chain.is_empty()
        && treatment.forwarding.validate.is_none()
    {
        return OPEN;
    }
    let mut hash = Sha256::new_with_prefix(rules);
    for scheme in uses {
        hash.update(encode(&api.schemes.get(&scheme.scheme)));
    }
    for link in &treatment.chain {
        if let Link::Own(name) = link {
            hash.update(encode(&api.policies.get(name)));
        }
    }
    let mut access = [0; size_of::<u128>()];
    access.copy_from_slice(&hash.finalize()[..size_of::<u128>()]);
    u128::from_be_bytes(access)
}

/// Checks that the upstreams that a policy names exist.
fn known_upstreams(checked: &Checked, shared: &Shared) -> Result<(), BuildError> {
    let mut names = checked.upstreams().into_iter();
    let unknown = names.find(|name| shared.upstreams.get(name).is_none());
    unknown.map_or(Ok(()), |name| Err(BuildError::UnknownName(name.to_owned())))
}

/// Checks that the bundle has the document with which a `respond` policy answers.
fn known_document(checked: &Checked, documents: &Documents) -> Result<(), BuildError> {
    let digest = match checked {
        Checked::Respond(respond) => respond.document_digest(),
        _ => None,
    };
    match digest.filter(|digest| !documents.contains_key(*digest)) {
        None => Ok(()),
        Some(_) => Err(BuildError::OtherDocuments),
    }
}

/// Checks that the upstreams to which a verifier sends requests exist.
fn known_origin(checked: &auth::Checked, shared: &Shared) -> Result<(), BuildError> {
    let mut origins = checked.origins().into_iter();
    let unknown = origins.find(|name| shared.upstreams.get(name).is_none());
    unknown.map_or(Ok(()), |name| Err(BuildError::UnknownName(name)))
}

/// Index of the verifier that checks the token itself, for a verifier of proofs. `None` for any
/// other verifier.
fn token_index(shared: &Shared, checked: &auth::Checked) -> Result<Option<usize>, BuildError> {
    let Some(name) = checked.token_verifier() else {
        return Ok(None);
    };
    let index = shared.auth.position(name);
    let takes = |index: &usize| {
        let named = &shared.auth[*index].checked;
        named.takes_tokens() && named.token_verifier().is_none()
    };
    let index = index.filter(takes);
    index
        .map(Some)
        .ok_or_else(|| BuildError::UnknownName(name.to_owned()))
}

/// Builds the run-time token verifier. Reuses the verifier of another snapshot with the same
/// settings.
fn token_verifier(
    (verifier, digest): (&ir::Verifier, Key),
    named: Option<&Arc<TokenVerifier>>,
    secrets: &dyn Secrets,
    parts: &mut Parts,
) -> Result<Option<Arc<TokenVerifier>>, BuildError> {
    if let Some(known) = parts.tokens.get(&digest) {
        return Ok(Some(known));
    }
    let made = TokenVerifier::of(&verifier.checked, named, secrets).map_err(BuildError::Secret)?;
    let made = made.map(Arc::new);
    if let Some(made) = &made {
        parts.tokens.keep(digest, made);
    }
    Ok(made)
}

/// Builds the filter of a policy. Reuses the filter of another snapshot with the same policy.
fn named_filter(
    policy: &ir::Policy,
    digest: Key,
    (secrets, documents): (&dyn Secrets, &Documents),
    filters: &mut Cache<Filter>,
) -> Result<NamedFilter, BuildError> {
    known_document(&policy.checked, documents)?;
    let named = |filter| Some((Arc::from(policy.name.as_str()), filter));
    if let Some(known) = filters.get(&digest) {
        return Ok(named(known));
    }
    let setting = Setting {
        name: &policy.name,
        state: policy.state,
        secrets,
        documents,
    };
    let filter = policy.checked.filter(&setting);
    let Some(filter) = filter.map_err(BuildError::Secret)?.map(Arc::new) else {
        return Ok(None);
    };
    filters.keep(digest, &filter);
    Ok(named(filter))
}

/// Request fields of a treatment that the gateway's decision depends on, and fields that the
/// gateway removes or sets.
struct Fields {
    /// Fields that the gateway's decision depends on and that servers may confuse with other fields
    /// (see `lookalikes`).
    read: Box<[Box<str>]>,
    /// Fields that trailers must not contain: first of the request, then of the response.
    edited: [Arc<[HeaderName]>; 2],
}

/// True if a scheme of the API has its credential in the query. The gateway may strip it there.
fn has_query_credential(api: &ApiPart) -> bool {
    api.schemes.iter().any(|scheme| is_in_query(&scheme.place))
}

fn is_in_query(place: &Place) -> bool {
    matches!(place, Place::Query(_))
}

/// Fields in the conditions of the routes of all APIs, sorted.
fn conditional_fields(apis: &[Arc<ApiPart>]) -> Vec<HeaderName> {
    let fields = apis.iter().flat_map(|api| api.conditional_fields());
    let mut fields: Vec<HeaderName> = fields.collect();
    fields.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    fields.dedup();
    fields
}

/// Collects the fields that credentials, steps of a chain and conditions of routes (`conditional`)
/// read or change. Adds the fields that validated operations describe (`described`).
fn fields(
    security: &Requirement,
    (chain, not_forwarded): (&[ChainStep], &[Place]),
    (conditional, described): (&[HeaderName], &[HeaderName]),
) -> Fields {
    let mut fields: [Vec<HeaderName>; 2] = [security.fields().to_vec(), Vec::new()];
    for step in chain {
        if let ChainStep::Filter(_, filter) = step {
            let edited = filter.edited_fields();
            for (all, more) in fields.iter_mut().zip(edited) {
                all.extend(more);
            }
        }
    }
    // If the gateway decides by a field, or the upstream must not receive it, remove the field from
    // trailers and its lookalikes from requests.
    let mut read = conditional.to_vec();
    for step in chain {
        if let ChainStep::Filter(_, filter) = step {
            read.extend(filter.read_fields());
        }
    }
    read.extend(not_forwarded.iter().filter_map(|place| match place {
        Place::Header(name) => HeaderName::try_from(name.as_str()).ok(),
        Place::Query(_) | Place::Cookie(_) | Place::Authorization(_) | Place::Certificate => None,
    }));
    read.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    read.dedup();
    let spelled = read.iter().map(HeaderName::as_str);
    let spelled = spelled.filter(|name| lookalikes::has_spellings(name));
    let spelled = spelled.map(Box::from).collect();
    fields[0].extend(read);
    fields[0].extend(described.iter().cloned());
    Fields {
        read: spelled,
        edited: fields.map(Arc::from),
    }
}

fn sha256(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}
