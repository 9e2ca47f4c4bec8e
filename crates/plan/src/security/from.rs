//! Client addresses that every `ip_filter` of a chain admits, and the listeners on which operations
//! are reachable. The client address is the one that trusted proxies report. Trusted proxies are
//! settings of the listener, which [`super::gateway`] and [`newly_reachable`] compare.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::auth::Place;
use policy::auth::mtls::Source;
use policy::declared::{Scalar, Settings};
use policy::{Addresses, Cidr};

use super::certificate::location;
use super::gateway::{hosts, peers, proxies};
use super::transport::{Found, encryption};
use super::{Access, Difference, Verdict, verifiers_of};
use crate::Class;

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

/// Operations of an API, and the settings of a listener that are weaker than on every listener on
/// which these operations were reachable before.
type WeakerAt<'g> = (&'g ir::Api, Vec<&'g ir::Operation>, Vec<Found>);

/// Compares the settings of each listener on which operations are newly reachable with those of the
/// listeners on which they were reachable before. Leaves out operations without an earlier version,
/// which are reported as new. `pairs`: the listeners of both sides.
pub(super) fn newly_reachable<'g>(
    old: &ir::Gateway,
    new: &'g ir::Gateway,
    pairs: &[(Option<&ir::Listener>, Option<&ir::Listener>)],
) -> Vec<WeakerAt<'g>> {
    let earlier = Earlier {
        gateway: old,
        by_request: OnceCell::new(),
    };
    let mut found = Vec::new();
    for api in &new.apis {
        let serves = |at: &usize| pairs[*at].1.is_some_and(|is| is_at(api, is));
        let served: Vec<usize> = (0..pairs.len()).filter(serves).collect();
        // Operations by the pair of listeners and the names of the earlier listeners.
        let mut groups: BTreeMap<(usize, BTreeSet<&str>), Vec<&ir::Operation>> = BTreeMap::new();
        for operation in &api.operations {
            let known = earlier.listeners((new, api), operation);
            let is_known = |was: &ir::Listener| known.contains(was.name.as_str());
            for at in &served {
                if !known.is_empty() && !pairs[*at].0.is_some_and(is_known) {
                    let group = groups.entry((*at, known.clone())).or_default();
                    group.push(operation);
                }
            }
        }
        for ((at, known), operations) in groups {
            let (was, Some(is)) = pairs[at] else {
                continue;
            };
            let known = known.into_iter();
            let known = known.filter_map(|name| old.shared.listeners.get(name));
            let known: Vec<&ir::Listener> = known.collect();
            let mut all = weaker(&known, is);
            if reads_certificates(new, api, is) {
                all.extend(trust(&known, is));
            }
            // The comparison of listeners names all proxies that a new listener trusts.
            all.retain(|one| was.is_some() || one.id != "trusted-proxy-added");
            if !all.is_empty() {
                found.push((api, operations, all));
            }
        }
    }
    found
}

/// Operations with their APIs, by the method and path that upstreams receive without a rewrite.
type ByRequest<'o> = BTreeMap<(String, String), Vec<(&'o ir::Api, &'o ir::Operation)>>;

/// Operations of an old gateway.
struct Earlier<'o> {
    gateway: &'o ir::Gateway,
    by_request: OnceCell<ByRequest<'o>>,
}

impl<'o> Earlier<'o> {
    /// Names of the listeners on which the earlier version of an operation was reachable: the
    /// operation with the same key or, if there is none, operations with the same request to the
    /// same upstream host.
    fn listeners(
        &self,
        (new, api): (&ir::Gateway, &ir::Api),
        operation: &ir::Operation,
    ) -> BTreeSet<&'o str> {
        let names = |api: &'o ir::Api| {
            let all = api.mounts.iter().flat_map(|mount| &mount.listeners);
            all.map(String::as_str)
        };
        let same = self.gateway.apis.get(&api.name);
        let same = same.filter(|same| same.operations.get(&operation.key).is_some());
        if let Some(same) = same {
            return names(same).collect();
        }
        let by_request = self.by_request.get_or_init(|| by_request(self.gateway));
        let after = upstream_hosts(new, api, operation);
        let mut found = BTreeSet::new();
        for mount in &api.mounts {
            let known = by_request.get(&request(mount, operation));
            for (known, was) in known.into_iter().flatten().copied() {
                let before = upstream_hosts(self.gateway, known, was);
                if before.iter().any(|host| after.contains(host)) {
                    found.extend(names(known));
                }
            }
        }
        found
    }
}

/// Operations of a gateway by their requests.
fn by_request(gateway: &ir::Gateway) -> ByRequest<'_> {
    let mut all = ByRequest::new();
    for api in &gateway.apis {
        for mount in &api.mounts {
            for operation in &api.operations {
                let known = all.entry(request(mount, operation)).or_default();
                known.push((api, operation));
            }
        }
    }
    all
}

/// Method and path that the upstream receives without a rewrite. The path has no parameter names.
fn request(mount: &ir::Mount, operation: &ir::Operation) -> (String, String) {
    let mut path = match mount.strip_base_path {
        true => String::new(),
        false => mount.base_path.clone(),
    };
    for segment in operation.template.segments() {
        path.push_str(&format!("/{}", segment.erased()));
    }
    (operation.method.clone(), path)
}

/// Hosts of the upstream of an operation.
fn upstream_hosts(gateway: &ir::Gateway, api: &ir::Api, operation: &ir::Operation) -> Vec<String> {
    let name = &api.treatments[operation.treatment as usize].upstream;
    let upstream = gateway.shared.upstreams.get(name);
    upstream.map(hosts).unwrap_or_default()
}

/// Settings of a listener that are weaker than on every known listener. The lines name the values
/// of the known listener with the fewest differences.
fn weaker(known: &[&ir::Listener], is: &ir::Listener) -> Vec<Found> {
    let sides: Vec<Vec<Found>> = known.iter().map(|known| weaker_than(known, is)).collect();
    let setting = |one: &Found| (one.id, one.subject.clone());
    let first = sides.iter().take(1).flatten();
    let settings: BTreeSet<_> = first.map(setting).collect();
    let mut found = Vec::new();
    for key in settings {
        let of_side = |side: &Vec<Found>| -> Vec<Found> {
            let same = side.iter().filter(|one| setting(one) == key);
            same.cloned().collect()
        };
        let least = sides.iter().map(of_side).min_by_key(Vec::len);
        found.extend(least.unwrap_or_default());
    }
    found
}

/// Settings of a listener that are weaker than on another listener, or not comparable.
fn weaker_than(known: &ir::Listener, is: &ir::Listener) -> Vec<Found> {
    let mut found = proxies(Some(known), Some(is));
    let mut fields = is.forwarding_fields().iter();
    let has_more_fields = fields.any(|field| !known.forwarding_fields().contains(field));
    found.retain(|one| match one.id {
        "trusted-proxy-added" => true,
        "forwarding-fields-changed" => has_more_fields,
        _ => false,
    });
    found.extend(encryption(known, is));
    found.retain(|one| matches!(one.class, Class::Weaken | Class::Incomparable));
    let peers = peers(known, is).filter(|peers| peers.admitted.is_some());
    found.extend(peers.map(|peers| Found {
        subject: format!("listener {} proxy_protocol", is.name),
        class: Class::Weaken,
        id: "peers-admitted",
        old: Some(peers.old),
        new: Some(peers.new),
    }));
    found.extend(certificate_fields(known, is));
    found.extend(slashes(known, is));
    found.extend(limits(known, is));
    found
}

/// Compares the fields in which upstreams receive the client's certificate. With `pass`, trusted
/// proxies write these fields. Other fields give the upstream another identity of the client.
fn certificate_fields(known: &ir::Listener, is: &ir::Listener) -> Option<Found> {
    let sent = |one: &ir::Listener| {
        let fields = one.forward_client_cert?;
        let is_sent = fields == ir::CertificateFields::Pass || client_auth(one).is_some();
        is_sent.then_some(fields)
    };
    let (was, is_sent) = (sent(known), sent(is)?);
    (was != Some(is_sent)).then(|| Found {
        subject: format!("listener {} forward_client_cert", is.name),
        class: match is_sent {
            ir::CertificateFields::Pass => Class::Weaken,
            ir::CertificateFields::ClientCert | ir::CertificateFields::Xfcc => Class::Incomparable,
        },
        id: "client-cert-fields-changed",
        old: was.map(|fields| fields.word().to_owned()),
        new: Some(is_sent.word().to_owned()),
    })
}

/// Limit of a listener: its key in `limits`, the id of its changes, and its value.
type Limit = (
    &'static str,
    &'static str,
    fn(&ir::ListenerLimits) -> Scalar,
);

/// Limits whose greater value admits more.
static UPPER_LIMITS: [Limit; 8] = [
    ("connections", "listener-connections-changed", |one| {
        count(one.connections)
    }),
    ("header_bytes", "listener-header-bytes-changed", |one| {
        Scalar::Size(one.header_bytes)
    }),
    ("headers", "listener-headers-changed", |one| {
        count(one.headers)
    }),
    ("header_timeout", "listener-header-timeout-changed", |one| {
        Scalar::Duration(one.header_timeout_ms)
    }),
    ("idle_timeout", "listener-idle-timeout-changed", |one| {
        Scalar::Duration(one.idle_timeout_ms)
    }),
    ("target_bytes", "listener-target-bytes-changed", |one| {
        Scalar::Size(one.target_bytes)
    }),
    ("body_timeout", "listener-body-timeout-changed", |one| {
        Scalar::Duration(one.body_timeout_ms)
    }),
    (
        "stream_idle_timeout",
        "listener-stream-idle-timeout-changed",
        |one| Scalar::Duration(one.stream_idle_timeout_ms),
    ),
];

/// Limit whose smaller value admits more.
static MIN_RATE: Limit = ("min_rate", "listener-min-rate-changed", |one| {
    Scalar::Size(one.min_rate_bytes)
});

fn count(number: u64) -> Scalar {
    Scalar::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Limits of a listener that admit more than those of another listener.
fn limits(known: &ir::Listener, is: &ir::Listener) -> Vec<Found> {
    let upper = UPPER_LIMITS.iter().map(|limit| (limit, true));
    let all = upper.chain([(&MIN_RATE, false)]);
    let looser = all.filter_map(|(limit, is_upper)| {
        let (key, id, value) = *limit;
        let (before, after) = (value(&known.limits), value(&is.limits));
        let is_looser = match is_upper {
            true => after > before,
            false => after < before,
        };
        is_looser.then(|| Found {
            subject: format!("listener {} limits.{key}", is.name),
            class: Class::Relax,
            id,
            old: Some(before.to_string()),
            new: Some(after.to_string()),
        })
    });
    looser.collect()
}

/// Reports a listener that merges slashes if the known listener does not.
fn slashes(known: &ir::Listener, is: &ir::Listener) -> Option<Found> {
    (is.merge_slashes && !known.merge_slashes).then(|| Found {
        subject: format!("listener {} merge_slashes", is.name),
        class: Class::Weaken,
        id: "listener-setting-changed",
        old: Some("false".to_owned()),
        new: Some("true".to_owned()),
    })
}

/// True if a mount of an API has a listener.
fn is_at(api: &ir::Api, listener: &ir::Listener) -> bool {
    let mut names = api.mounts.iter().flat_map(|mount| &mount.listeners);
    names.any(|name| *name == listener.name)
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
            location(scheme, &shared.auth) == Place::Certificate
                || bindings.any(|binding| binding.source == Source::Connection)
        })
}

/// Settings with which a listener verifies client certificates. `None` if it requests none.
fn client_auth(listener: &ir::Listener) -> Option<&ir::ClientAuth> {
    let client_auth = listener.tls()?.client_auth.as_ref()?;
    (client_auth.mode != ir::ClientAuthMode::Off).then_some(client_auth)
}

/// Compares the certificates that a listener accepts with those that the known listeners accept.
fn trust(known: &[&ir::Listener], is: &ir::Listener) -> Option<Found> {
    let own = client_auth(is)?;
    let known = known.iter().filter_map(|known| client_auth(known));
    let (same, others): (Vec<&ir::ClientAuth>, Vec<&ir::ClientAuth>) =
        known.partition(|known| known.ca == own.ca);
    let shown = |texts: BTreeSet<String>| match texts.is_empty() {
        true => None,
        false => Some(Vec::from_iter(texts).join(", ")),
    };
    if same.is_empty() {
        return Some(Found {
            subject: format!("listener {} tls.client_auth.ca", is.name),
            class: Class::Weaken,
            id: "client-authority-changed",
            old: shown(others.iter().map(|one| one.ca.to_string()).collect()),
            new: Some(own.ca.to_string()),
        });
    }
    // A known listener without a list already accepts revoked certificates of this CA.
    let is_as_strict = |one: &&ir::ClientAuth| one.crl.is_none() || one.crl == own.crl;
    if same.iter().any(is_as_strict) {
        return None;
    }
    let lists = same.iter().filter_map(|one| one.crl.as_ref());
    Some(Found {
        subject: format!("listener {} tls.client_auth.crl", is.name),
        class: match own.crl {
            None => Class::Weaken,
            Some(_) => Class::Incomparable,
        },
        id: "client-revocation-changed",
        old: shown(lists.map(ToString::to_string).collect()),
        new: own.crl.as_ref().map(ToString::to_string),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::declared::Value;

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
