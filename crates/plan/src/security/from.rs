//! Client addresses that every `ip_filter` of a chain admits, and the listeners from which
//! operations send requests. The client address is the one that trusted proxies report. Trusted
//! proxies are settings of the listener, which [`super::gateway`] and [`newly_reachable`] compare.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use bundle::ir;
use model::outbound::origins::{Origin, new_origins};
use model::outbound::{NotCompared, Outbound, of_gateway, renamed_upstreams};
use policy::auth::{self, mtls};
use policy::declared::Settings;
use policy::{Addresses, Cidr};
use rustc_hash::FxHashMap;
use serde_json::Value;

use super::certificate::location;
use super::transport::{Found, LOST_CERTIFICATE, trust, weaker_than};
use super::{Access, Difference, Verdict, verifiers_of};
use crate::pairs::reference;
use crate::{Change, Class, Plan, Section};

/// Maximum number of files whose content is considered. Filters with more files count as
/// incomparable if they differ.
const FILES_MAX: usize = 8;

/// Reason for the absence of a witness: the content of a file decides.
const OF_FILES: &str =
    "no example: the address ranges are in a file on the gateway, which gwc cannot read";

/// Compares the client addresses that two chains admit.
pub(super) fn compare(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let (was, is) = (old.policies("ip_filter"), new.policies("ip_filter"));
    let all = files(&was).chain(files(&is));
    let all: Vec<&str> = all.collect::<BTreeSet<&str>>().into_iter().collect();
    let verdict = match was == is {
        true => Verdict::Equal,
        false => verdict(&was, &is, &all),
    };
    let id = super::presence_id(
        (was.is_empty(), is.is_empty()),
        [
            "address-filter-added",
            "address-filter-removed",
            "address-filter-changed",
        ],
    );
    let mut found = super::one(
        "from",
        verdict,
        id,
        "from",
        (filters_text(&was), filters_text(&is)),
    );
    if !all.is_empty() {
        for difference in &mut found {
            difference.why_none = Some(OF_FILES);
        }
    }
    found
}

/// Compares two lists of filters that name these files. The content of files is not known, so the
/// result must hold for any content. Each address may be in each file or not, independently of
/// other addresses. It is therefore enough to compare the filters for files that are either empty
/// or contain all addresses.
fn verdict(was: &[(&str, Settings)], is: &[(&str, Settings)], files: &[&str]) -> Verdict {
    if files.len() > FILES_MAX {
        return Verdict::Incomparable;
    }
    let (mut wider, mut narrower) = (true, true);
    for chosen in 0..1u32 << files.len() {
        let is_full = |file: &str| {
            let index = files.iter().position(|one| *one == file);
            index.is_some_and(|index| chosen >> index & 1 == 1)
        };
        let of = |filters: &[(&str, Settings)]| {
            admitted(filters, |file, _| match is_full(file) {
                true => Addresses::all(),
                false => Addresses::default(),
            })
        };
        let (before, after) = (of(was), of(is));
        wider &= before.is_within(&after);
        narrower &= after.is_within(&before);
    }
    Verdict::of(wider, narrower)
}

/// Returns the addresses that every filter admits, if `allow_file` contains all addresses and
/// `deny_file` contains none. gwc's engine makes the same assumption.
pub(super) fn addresses(filters: &[(&str, Settings)]) -> Addresses {
    admitted(filters, |_, denies| match denies {
        true => Addresses::default(),
        false => Addresses::all(),
    })
}

/// References of the files named by `allow_file` and `deny_file` of filters.
fn files<'s>(filters: &'s [(&str, Settings)]) -> impl Iterator<Item = &'s str> {
    let keys = ["allow_file", "deny_file"];
    let filters = filters.iter();
    filters.flat_map(move |(_, settings)| keys.into_iter().filter_map(|key| settings.text(&[key])))
}

/// Returns the addresses that every filter admits. `content` returns the addresses in a file; its
/// second argument is true if the filter denies them.
fn admitted(filters: &[(&str, Settings)], content: impl Fn(&str, bool) -> Addresses) -> Addresses {
    let list = |settings: &Settings, key: &str| {
        let texts = settings.texts(&[key])?;
        let ranges: Vec<Cidr> = texts.into_iter().filter_map(Cidr::parse).collect();
        Some(Addresses::of(&ranges))
    };
    let file = |settings: &Settings, key: &str, denies: bool| {
        settings.text(&[key]).map(|file| content(file, denies))
    };
    let union = |written: Option<Addresses>, file: Option<Addresses>| match (written, file) {
        (Some(written), Some(file)) => Some(written.union(&file)),
        (written, file) => written.or(file),
    };
    filters.iter().fold(Addresses::all(), |all, (_, settings)| {
        let allowed = union(list(settings, "allow"), file(settings, "allow_file", false));
        let denied = union(list(settings, "deny"), file(settings, "deny_file", true));
        let allowed = allowed.unwrap_or_else(Addresses::all);
        all.intersection(&allowed.without(&denied.unwrap_or_default()))
    })
}

fn filters_text(filters: &[(&str, Settings)]) -> String {
    let texts = |settings: &Settings, key: &str| {
        let texts = settings.texts(&[key]);
        let file = settings.text(&[&format!("{key}_file")]);
        let is_written = texts.is_some() || file.is_some();
        let all: Vec<&str> = texts.into_iter().flatten().chain(file).collect();
        is_written.then(|| format!("{key} {}", all.join(", ")))
    };
    let each = filters.iter().map(|(_, settings)| {
        let parts: Vec<String> = ["allow", "deny"]
            .iter()
            .filter_map(|key| texts(settings, key))
            .collect();
        parts.join("; ")
    });
    let each: Vec<String> = each.collect();
    match each.is_empty() {
        true => "every address".into(),
        false => each.join(", and "),
    }
}

/// Operation of an API at one of its mounts.
type Mounted<'g> = (&'g ir::Api, &'g ir::Mount, &'g ir::Operation);

/// Versions of a listener in the old and the new gateway.
type ListenerPair<'g> = (Option<&'g ir::Listener>, Option<&'g ir::Listener>);

/// Operation, and the settings of a listener that are weaker than on the most similar listener from
/// which its requests were sent before.
type WeakerAt<'g> = (&'g ir::Api, &'g ir::Operation, Vec<Found>);

/// Reason for a missing witness of an operation that was not compared.
const TOO_MANY: &str = "no example: gwc stopped comparing paths at its limit";

/// Compares the settings of each listener that newly sends requests to an upstream with those of
/// the listeners that sent the same requests before. Leaves out requests that no listener sent
/// before, which are reported as new. `pairs`: the listeners of both sides.
pub(super) fn newly_reachable<'g>(
    (old, new): (&'g ir::Gateway, &'g ir::Gateway),
    pairs: &[ListenerPair<'g>],
    plan: &mut Plan,
) -> Vec<WeakerAt<'g>> {
    let suspects = suspects(old, pairs);
    let changed = changed_apis(old, new);
    if suspects.is_empty() || changed.is_empty() {
        return Vec::new();
    }
    let (shared, places) = of_gateway(old);
    let (own, all) = of_gateway(new);
    let renewed = shared.with_targets_of(&own, &renamed_upstreams([&places, &all]));
    let mut before = vec![Outbound::of(&shared, &places)];
    before.extend(renewed.map(|shared| Outbound::of(&shared, &places)));
    let is = Outbound::of(&own, &all).with_inherited(&before[0]);
    let after = mounted(new);
    let is_compared = |at: &usize| {
        let (api, mount, _) = after[*at];
        let mut names = mount.listeners.iter();
        (changed.contains(api.name.as_str()) || is.inherits(*at))
            && names.any(|name| suspects.contains_key(name.as_str()))
            && !all[*at].answers()
    };
    let compared: Vec<usize> = (0..after.len()).filter(is_compared).collect();
    if compared.is_empty() {
        return Vec::new();
    }
    let earlier = Earlier {
        gateways: [old, new],
        identities: [old, new].map(ir::IdentityFields::of_gateway),
        before: mounted(old),
        after,
        known: Mutex::default(),
    };
    let listeners = suspects
        .iter()
        .map(|(name, at)| (*name, pairs[*at].0.map(|was| was.name.as_str())));
    let admits = |old: usize, (operation, listener): (usize, &str)| {
        let listener = new.shared.listeners.get(listener);
        listener.is_some_and(|one| earlier.is_within(old, (operation, &one.name)))
    };
    let origins = new_origins(&before, (&is, compared), &listeners.collect(), &admits);
    not_compared(&origins.not_compared, &earlier.after, plan);
    let mut groups: Groups<'_> = BTreeMap::new();
    for origin in &origins.all {
        let (api, _, operation) = earlier.after[origin.operation];
        let at = suspects[origin.listener];
        let (was, Some(is)) = pairs[at] else {
            continue;
        };
        let known = earlier.listeners(origin, &is.name);
        let is_known = was.is_some_and(|was| known.contains(was.name.as_str()));
        // The listener served the operation before, but no operation sent these requests to the
        // upstream: the requests are new.
        let is_moved = origin.before.is_empty() && is_known;
        if !is_moved && !known.is_empty() {
            let group = groups.entry((api.name.as_str(), at, known));
            group.or_default().push(operation);
        }
    }
    weaker_at((old, new), pairs, groups)
}

/// Operations by the name of their API, the index of the listener pair that newly sends their
/// requests, and the names of earlier listeners. Earlier listeners sent the same requests in the
/// old version.
type Groups<'g> = BTreeMap<(&'g str, usize, BTreeSet<&'g str>), Vec<&'g ir::Operation>>;

/// Compares the listeners of each group. Reports the same difference of an operation only once.
fn weaker_at<'g>(
    (old, new): (&ir::Gateway, &'g ir::Gateway),
    pairs: &[ListenerPair<'_>],
    groups: Groups<'g>,
) -> Vec<WeakerAt<'g>> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for ((api, at, known), operations) in groups {
        let (was, Some(is)) = pairs[at] else {
            continue;
        };
        let known = known.into_iter();
        let known: Vec<&ir::Listener> = known
            .filter_map(|name| old.shared.listeners.get(name))
            .collect();
        let Some(api) = new.apis.get(api) else {
            continue;
        };
        let mut weaker = weaker(&known, is, (new, api));
        // The comparison of listeners names all proxies that a new listener trusts.
        weaker.retain(|one| was.is_some() || one.id != "trusted-proxy-added");
        for operation in operations {
            let mut found = weaker.clone();
            found.retain(|one| {
                let line = (one.id, one.subject.clone(), one.new.clone());
                seen.insert((operation.key.as_str(), line))
            });
            if !found.is_empty() {
                all.push((api, operation, found));
            }
        }
    }
    all
}

/// Listeners of the new side that are weaker than a listener of the old side, with the indices of
/// their pairs. No other listener can make the protection of a request weaker.
fn suspects<'g>(old: &ir::Gateway, pairs: &[ListenerPair<'g>]) -> BTreeMap<&'g str, usize> {
    let is_weaker = |is: &ir::Listener| {
        let mut known = old.shared.listeners.iter();
        known.any(|known| !weaker_than(known, is).is_empty() || trust(known, is).is_some())
    };
    let all = pairs.iter().enumerate();
    let all = all.filter_map(|(at, (_, is))| Some((at, (*is)?)));
    all.filter(|(_, is)| is_weaker(is))
        .map(|(at, is)| (is.name.as_str(), at))
        .collect()
}

/// Names of the APIs whose requests to upstreams may differ.
fn changed_apis<'g>(old: &ir::Gateway, new: &'g ir::Gateway) -> BTreeSet<&'g str> {
    let (was, is) = (&old.shared, &new.shared);
    let has_same_shared = was.upstreams == is.upstreams && was.policies == is.policies;
    let is_changed = |api: &&ir::Api| {
        let known = old.apis.get(&api.name);
        let is_same = |known: &ir::Api| {
            known.mounts == api.mounts
                && known.operations == api.operations
                && known.hidden == api.hidden
                && known.treatments == api.treatments
                && known.policies == api.policies
        };
        !has_same_shared || !known.is_some_and(is_same)
    };
    let changed = new.apis.iter().filter(is_changed);
    changed.map(|api| api.name.as_str()).collect()
}

/// Operations of a gateway at their mounts, in the order of [`of_gateway`].
fn mounted(gateway: &ir::Gateway) -> Vec<Mounted<'_>> {
    let mut all = Vec::new();
    for api in &gateway.apis {
        for mount in &api.mounts {
            let operations = api.operations.iter();
            all.extend(operations.map(|operation| (api, mount, operation)));
        }
    }
    all
}

/// Reports operations whose requests were not compared, unless the plan has such a line.
fn not_compared(found: &NotCompared, operations: &[Mounted<'_>], plan: &mut Plan) {
    let id = "way-round-not-compared";
    let lines = plan.changes.iter().filter(|change| change.id == id);
    let lines = lines.filter_map(|change| Some(change.operation.as_ref()?.key.clone()));
    let mut known: BTreeSet<String> = lines.collect();
    let keys: BTreeSet<&str> = found.keys().collect();
    for (api, _, operation) in operations {
        if !keys.contains(operation.key.as_str()) || !known.insert(operation.key.clone()) {
            continue;
        }
        let new = "not compared".into();
        let (section, class) = (Section::Security, Class::Incomparable);
        let mut change = Change::new(section, class, id, "listeners", Value::Null, new);
        change.why_none = Some(TOO_MANY);
        change.bound = format!("{:?} {}", plan.old.map(|old| old.to_string()), plan.new);
        plan.changes.push(change.of(reference(api, operation)));
    }
    let gap = found.gap().filter(|gap| !plan.notes.contains(gap));
    plan.notes.extend(gap);
}

/// Comparison of an operation with an old operation: the memory addresses of both treatments,
/// mounts and operations, and the new listener. The address of an operation is 0 unless a policy
/// reads its name.
type Compared<'g> = ([usize; 6], &'g str);

/// Operations of both sides. Each pair of treatments is compared once.
struct Earlier<'g> {
    gateways: [&'g ir::Gateway; 2],
    identities: [ir::IdentityFields; 2],
    before: Vec<Mounted<'g>>,
    after: Vec<Mounted<'g>>,
    known: Mutex<FxHashMap<Compared<'g>, bool>>,
}

impl<'g> Earlier<'g> {
    /// Names of the listeners from which old operations sent the same requests. If old operations
    /// admit all callers of the new operation, only these count: the comparison of requests to
    /// upstreams reports callers that the other old operations do not admit. If no operation sent
    /// the requests, the listeners of the old operation with the same key.
    fn listeners(&self, origin: &Origin<'_>, listener: &'g str) -> BTreeSet<&'g str> {
        let names = |mount: &'g ir::Mount| mount.listeners.iter().map(String::as_str);
        let (api, _, operation) = self.after[origin.operation];
        if origin.before.is_empty() {
            let same = self.gateways[0].apis.get(&api.name);
            let same = same.filter(|same| same.operations.get(&operation.key).is_some());
            let mounts = same.into_iter().flat_map(|same| &same.mounts);
            return mounts.flat_map(names).collect();
        }
        let before = origin.before.iter().copied();
        let (within, others): (Vec<usize>, Vec<usize>) =
            before.partition(|at| self.is_within(*at, (origin.operation, listener)));
        let all = match within.is_empty() {
            true => others,
            false => within,
        };
        let mounts = all.into_iter().map(|at| self.before[at].1);
        mounts.flat_map(names).collect()
    }

    /// True if the old operation at index `at` admits all callers of a new operation at a listener.
    fn is_within(&self, at: usize, (operation, listener): (usize, &'g str)) -> bool {
        let sides = [self.before[at], self.after[operation]];
        let treatments = sides.map(|(api, _, one)| &api.treatments[one.treatment as usize]);
        let mut key = [0; 6];
        for (side, (api, mount, operation)) in sides.into_iter().enumerate() {
            key[side] = std::ptr::from_ref(treatments[side]) as usize;
            key[side + 2] = std::ptr::from_ref(mount) as usize;
            if super::reads_route(self.gateways[side], api, treatments[side]) {
                key[side + 4] = std::ptr::from_ref(operation) as usize;
            }
        }
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known().get(&(key, listener)) {
            return *known;
        }
        let mount = sides[0].1;
        let same = mount.listeners.iter().find(|one| *one == listener);
        let was_at = same.or(mount.listeners.first()).map_or("", String::as_str);
        let access = |side: usize, listener: &'g str| {
            let (api, mount, operation) = sides[side];
            let identities = &self.identities[side];
            Access::of(
                self.gateways[side],
                (api, mount),
                operation,
                listener,
                identities,
            )
        };
        let (was, is) = (access(0, was_at), access(1, listener));
        let found = super::differences_of_callers(&was, &is);
        let opens = |one: &Difference| {
            one.class.is_none() && matches!(one.verdict, Verdict::Weaken | Verdict::Incomparable)
        };
        let is_within = !found.iter().any(opens);
        known().insert((key, listener), is_within);
        is_within
    }
}

/// Settings of a listener that are weaker than on the known listener with the fewest differences. A
/// listener that combines the weak settings of several known listeners is weaker than each of them.
fn weaker(
    known: &[&ir::Listener],
    is: &ir::Listener,
    (gateway, api): (&ir::Gateway, &ir::Api),
) -> Vec<Found> {
    let reads_certificates = reads_certificates(gateway, api, is);
    let compare = |known: &&ir::Listener| {
        let mut found = weaker_than(known, is);
        found.extend(trust(known, is).filter(|_| reads_certificates));
        found
    };
    let mut found = known.iter().map(compare).min_by_key(Vec::len);
    // The comparison of access reports a certificate that every old listener required.
    if known.iter().all(|known| known.requires_certificate()) {
        let found = found.iter_mut();
        found.for_each(|found| found.retain(|one| one.id != LOST_CERTIFICATE));
    }
    found.unwrap_or_default()
}

/// True if an operation of an API, or its upstream, reads the certificates of a listener's clients.
fn reads_certificates(gateway: &ir::Gateway, api: &ir::Api, listener: &ir::Listener) -> bool {
    let shared = &gateway.shared;
    let fields = listener.forward_client_cert;
    let is_sent = fields.is_some_and(|fields| fields != ir::CertificateFields::Pass);
    let alternatives = api.treatments.iter().flat_map(|one| &one.security.0);
    let wanted = alternatives.flat_map(|alternative| &alternative.0);
    let mut schemes = wanted.filter_map(|wanted| api.schemes.get(&wanted.scheme));
    is_sent
        || schemes.any(|scheme| {
            let mut bindings = verifiers_of(shared, scheme).filter_map(|one| one.checked.binding());
            location(scheme, &shared.auth) == auth::Place::Certificate
                || bindings.any(|binding| binding.source == mtls::Source::Connection)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::declared::{Scalar, Value};

    /// Ranges into which a test divides all addresses. A set of ranges is a number with one bit for
    /// each range.
    const PARTS: [&str; 5] = [
        "0.0.0.0/2",
        "64.0.0.0/2",
        "128.0.0.0/2",
        "192.0.0.0/2",
        "::/0",
    ];
    const EVERY: u32 = (1 << PARTS.len()) - 1;

    /// Values of the keys `allow` and `deny` as bits of [`PARTS`]. `None`: the key is absent.
    const ALLOWED: [Option<u32>; 3] = [None, Some(0b1), Some(0b10011)];
    const DENIED: [Option<u32>; 3] = [None, Some(0b10), Some(0b1100)];

    /// Filter in a test: the lists `allow` and `deny`, and for `allow_file` and `deny_file`, true
    /// if the filter names the file.
    #[derive(Clone, Copy, Debug)]
    struct TestFilter {
        allow: Option<u32>,
        deny: Option<u32>,
        files: [bool; 2],
    }

    impl TestFilter {
        fn settings(self) -> Settings {
            let list = |parts: u32| {
                let parts = PARTS
                    .iter()
                    .enumerate()
                    .filter(|(bit, _)| parts >> bit & 1 == 1);
                Value::Set(
                    parts
                        .map(|(_, part)| Scalar::Text((*part).to_owned()))
                        .collect(),
                )
            };
            let lists = [("allow", self.allow), ("deny", self.deny)];
            let lists = lists
                .into_iter()
                .filter_map(|(key, parts)| Some((key, list(parts?))));
            let files = ["allow_file", "deny_file"].into_iter().zip(self.files);
            let files = files.filter(|(_, named)| *named);
            let files = files.map(|(key, _)| (key, Value::One(Scalar::Text(key.to_owned()))));
            lists
                .chain(files)
                .fold(Settings::default(), |all, (key, value)| {
                    all.with(&[key], value)
                })
        }

        /// Ranges of [`PARTS`] that the filter admits if the files contain the ranges in `content`.
        fn admits(self, content: [u32; 2]) -> u32 {
            let file = |index: usize| self.files[index].then_some(content[index]);
            let allowed = match (self.allow, file(0)) {
                (None, None) => EVERY,
                (list, file) => list.unwrap_or(0) | file.unwrap_or(0),
            };
            let denied = self.deny.unwrap_or(0) | file(1).unwrap_or(0);
            allowed & !denied
        }
    }

    #[test]
    fn address_order_agrees_with_every_address() {
        let mut all: Vec<TestFilter> = Vec::new();
        for allow in ALLOWED {
            for deny in DENIED {
                for files in 0..4 {
                    let files = [files & 1 == 1, files & 2 == 2];
                    all.push(TestFilter { allow, deny, files });
                }
            }
        }
        let contents = || (0..=EVERY).flat_map(|one| (0..=EVERY).map(move |two| [one, two]));
        let of = |written: &TestFilter| {
            let admitted: Vec<u32> = contents().map(|content| written.admits(content)).collect();
            (*written, [("f", written.settings())], admitted)
        };
        let all: Vec<_> = all.iter().map(of).collect();
        for (a, own, admitted) in &all {
            for (b, other, wider) in &all {
                let within = |one: &[u32], two: &[u32]| {
                    one.iter().zip(two).all(|(one, two)| one & !two == 0)
                };
                let expected = Verdict::of(within(admitted, wider), within(wider, admitted));
                let found = verdict(own, other, &["allow_file", "deny_file"]);
                assert_eq!(found, expected, "{a:?} {b:?}");
            }
        }
    }
}
