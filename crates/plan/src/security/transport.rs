//! Comparison of the protection of requests on the network against eavesdropping and impersonation.
//!
//! [`super::gateway`] compares the settings of a listener or upstream itself once for the whole
//! gateway. [`compare`] compares requests that now go to a different upstream, [`weaker_than`]
//! requests that a different listener now sends.

mod limits;

use std::collections::BTreeSet;

use bundle::ir;
use policy::Policy as _;
use policy::declared::{Settings, Value};

use super::gateway::{hosts, peers, proxies};
use super::{Access, Difference, Verdict, one, verifier::value_text, verifiers_of};
use crate::Class;
use crate::reachable;

/// Reason for a missing witness: a request cannot show properties of a connection.
pub(crate) const UNSHOWN: &str = "no request can show what happens on a connection";

/// Roles in which an operation uses upstreams. They are the subjects of the lines in a plan.
const ROLES: [&str; 5] = [
    "upstream",
    "mirror",
    "forward_auth",
    "ext_proc",
    "introspection",
];

/// Names of the upstreams that a route uses in a role. The upstreams of a split have the role
/// `upstream`.
fn used(access: &Access<'_>, role: &str) -> BTreeSet<String> {
    let Some(route) = access.route else {
        return BTreeSet::new();
    };
    let forwarding = &route.treatment.forwarding;
    let mut names: BTreeSet<String> = BTreeSet::new();
    let of_policies = |kind: &str| -> Vec<String> {
        let policies = access.chain().filter(|one| one.checked.kind() == kind);
        let names = policies.flat_map(|one| one.checked.upstreams());
        names.map(str::to_owned).collect()
    };
    match role {
        "upstream" => {
            names.insert(route.treatment.upstream.clone());
            let own = forwarding.split.iter().flat_map(|split| split.upstreams());
            names.extend(own.map(str::to_owned));
            names.extend(of_policies("split"));
        }
        "mirror" => {
            let own = forwarding.mirror.iter().map(|mirror| mirror.upstream());
            names.extend(own.map(str::to_owned));
            names.extend(of_policies("mirror"));
        }
        "introspection" => {
            let wanted = route.treatment.security.0.iter();
            let wanted = wanted.flat_map(|alternative| &alternative.0);
            let schemes = wanted.filter_map(|wanted| route.api.schemes.get(&wanted.scheme));
            let shared = &route.gateway.shared;
            let verifiers = schemes.flat_map(|scheme| verifiers_of(shared, scheme));
            names.extend(verifiers.flat_map(|verifier| verifier.checked.origins()));
        }
        kind => names.extend(of_policies(kind)),
    }
    names
}

/// Compares the connections to the upstreams of two routes. Upstreams with equal names are compared
/// once for the whole gateway.
pub(super) fn compare(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let mut found: Vec<Difference> = Vec::new();
    for role in ROLES {
        let (mut was, is) = (used(old, role), used(new, role));
        if was.is_empty() && role == "mirror" {
            // If the operation had no mirror before, compare the connection to the new mirror with
            // the connection to the upstream.
            was = used(old, "upstream");
        }
        let get = |access: &Access<'_>, name: &String| -> Option<ir::Upstream> {
            access.route?.gateway.shared.upstreams.get(name).cloned()
        };
        for name in is.difference(&was) {
            let Some(after) = get(new, name) else {
                continue;
            };
            // Compare with the old upstream that has the same host. Otherwise compare with the
            // upstreams that the new side no longer uses, otherwise with all upstreams.
            let before: Vec<ir::Upstream> = was.iter().filter_map(|name| get(old, name)).collect();
            let is_same_host = |one: &&ir::Upstream| {
                let known = hosts(one);
                hosts(&after).iter().any(|host| known.contains(host))
            };
            let is_gone = |one: &&ir::Upstream| !is.contains(&one.name);
            let same: Vec<&ir::Upstream> = before.iter().filter(is_same_host).collect();
            let gone: Vec<&ir::Upstream> = before.iter().filter(is_gone).collect();
            let all = match (same.is_empty(), gone.is_empty()) {
                (false, _) => same,
                (true, false) => gone,
                (true, true) => before.iter().collect(),
            };
            for one in all
                .into_iter()
                .flat_map(|before| pair(role, before, &after))
            {
                if !found.contains(&one) {
                    found.push(one);
                }
            }
        }
    }
    found
        .iter_mut()
        .for_each(|one| one.why_none = Some(UNSHOWN));
    found
}

/// Compares the connections to an old and a new upstream that receive the same requests.
fn pair(role: &str, old: &ir::Upstream, new: &ir::Upstream) -> Vec<Difference> {
    let id = "upstream-transport-changed";
    let (was, is) = (strength(old), strength(new));
    let words = ["in the clear", "TLS without a check", "TLS"];
    let mut shown = (words[was].to_owned(), words[is].to_owned());
    let mut verdict = Verdict::of(is <= was, was <= is);
    let sides = (&old.traffic_settings(), &new.traffic_settings());
    let authority = |settings: &Settings| {
        settings
            .get(&["tls", "ca"])
            .map(value_text)
            .unwrap_or_default()
    };
    let (before, after) = (authority(sides.0), authority(sides.1));
    if was == 2 && is == 2 && before != after {
        let by = |authority: String| match authority.is_empty() {
            true => "TLS".to_owned(),
            false => format!("TLS by {authority}"),
        };
        shown = (by(before), by(after));
        verdict = Verdict::Incomparable;
    }
    let mut found = one("transport", verdict, id, role, shown);
    let shown = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let (before, after) = (own_certificate(sides.0), own_certificate(sides.1));
    if before != after {
        let verdict = match (&before, &after) {
            // With this certificate, the upstream may admit requests that it refused before.
            (_, Some(_)) => Verdict::Incomparable,
            // Without a certificate, the upstream no longer recognises the gateway.
            (_, None) => Verdict::Weaken,
        };
        let shown_values = (shown(before), shown(after));
        let subject = format!("{role} tls.client_cert");
        found.extend(one("transport", verdict, id, &subject, shown_values));
    }
    // With `sni`, the certificate must contain this name and not the host of the requests.
    let sni = |settings: &Settings| settings.text(&["tls", "sni"]).map(str::to_owned);
    let (before, after) = (sni(sides.0), sni(sides.1));
    if was == 2 && is == 2 && before != after && certified(old) != certified(new) {
        let subject = format!("{role} tls.sni");
        let shown_values = (shown(before), shown(after));
        found.extend(one(
            "transport",
            Verdict::Incomparable,
            id,
            &subject,
            shown_values,
        ));
    }
    found
}

/// Rank of an upstream's weakest connection: cleartext, encrypted, encrypted and verified.
fn strength(upstream: &ir::Upstream) -> usize {
    match (is_encrypted(upstream), is_checked(upstream)) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => 2,
    }
}

/// True if all connections to an upstream are encrypted.
fn is_encrypted(upstream: &ir::Upstream) -> bool {
    match upstream.targets.is_empty() {
        // Without targets, hosts come from discovery, and `tls` alone decides.
        true => upstream.tls.is_some(),
        false => upstream.targets.iter().all(|target| target.tls),
    }
}

/// True if the certificates of an upstream are verified.
fn is_checked(upstream: &ir::Upstream) -> bool {
    upstream.tls.as_ref().is_none_or(|tls| tls.verify)
}

/// Names that the certificates of an upstream must contain.
fn certified(upstream: &ir::Upstream) -> BTreeSet<&str> {
    let tls = upstream.tls.as_ref();
    match tls.and_then(|tls| tls.sni.as_deref()) {
        Some(name) => [name].into(),
        None if upstream.targets.is_empty() => match &upstream.discovery {
            Some(ir::Discovery::Dns(dns)) => [dns.host()].into(),
            // Without `sni` or DNS, each target is verified against its own host.
            Some(ir::Discovery::File(_)) | None => BTreeSet::new(),
        },
        None => {
            let targets = upstream.targets.iter();
            let encrypted = targets.filter(|target| target.tls);
            encrypted.map(|target| target.host.as_str()).collect()
        }
    }
}

/// Difference of a setting that belongs to the whole gateway and not to an operation.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) subject: String,
    pub(super) class: Class,
    pub(super) id: &'static str,
    pub(super) old: Option<String>,
    pub(super) new: Option<String>,
}

/// Setting whose values are ordered, weakest first.
struct Rank {
    path: &'static [&'static str],
    words: &'static [&'static str],
    id: &'static str,
}

const PROTOCOL: Rank = Rank {
    path: &["protocol"],
    words: &["http", "https"],
    id: "listener-protocol-changed",
};
const MIN_VERSION: Rank = Rank {
    path: &["tls", "min_version"],
    words: &["1.2", "1.3"],
    id: "listener-tls-version-changed",
};
const CLIENT_AUTH: Rank = Rank {
    path: &["tls", "client_auth", "mode"],
    words: &["off", "optional", "required"],
    id: "client-auth-changed",
};

/// Compares two versions of a listener's connection settings. `reads_certificates`: a verifier
/// reads the certificates of clients.
pub(super) fn listener(
    old: &ir::Listener,
    new: &ir::Listener,
    reads_certificates: bool,
) -> Vec<Found> {
    let subject = format!("listener {}", new.name);
    let mode = |settings: &Settings| match settings.has(&["tls", "client_auth"]) {
        true => value_or(settings, &CLIENT_AUTH, "required"),
        false => "off".to_owned(),
    };
    let (was, is) = (&old.settings(), &new.settings());
    let mut found = encryption(old, new);
    if was.has(&["tls"]) && is.has(&["tls"]) {
        found.extend(keys(&subject, (old, new)));
    }
    let is_new = reads_certificates && mode(was) == "off";
    found.extend(
        ranked(&subject, &CLIENT_AUTH, (mode(was), mode(is))).map(|one| match is_new {
            // For the gateway, clients with a certificate of the new authority had no certificate
            // before. A verifier may admit these clients now.
            true => Found {
                class: Class::Incomparable,
                ..one
            },
            false => one,
        }),
    );
    let ca: &[&str] = &["tls", "client_auth", "ca"];
    if was.has(ca) && is.has(ca) {
        found.extend(other(&subject, ca, "client-authority-changed", (was, is)));
        found.extend(revocation(&subject, (was, is)));
    }
    found
}

/// Compares the protocols and the minimum TLS versions of two listeners.
fn encryption(old: &ir::Listener, new: &ir::Listener) -> Vec<Found> {
    let subject = format!("listener {}", new.name);
    let (was, is) = (&old.settings(), &new.settings());
    let both =
        |rank: &Rank, absent: &str| (value_or(was, rank, absent), value_or(is, rank, absent));
    let mut found = Vec::new();
    found.extend(ranked(&subject, &PROTOCOL, both(&PROTOCOL, "http")));
    // If only one side has TLS, the change of protocol already reports it.
    if was.has(&["tls"]) && is.has(&["tls"]) {
        found.extend(ranked(&subject, &MIN_VERSION, both(&MIN_VERSION, "1.2")));
    }
    found
}

/// Word of a setting. `absent`: word that an absent setting means.
fn value_or(settings: &Settings, rank: &Rank, absent: &str) -> String {
    settings.text(rank.path).unwrap_or(absent).to_owned()
}

/// Compares the forwarding fields that the gateway accepts from trusted proxies. `None` if they are
/// equal, or a side has no trusted proxies. Without a field, policies read another address, host or
/// scheme: a filter may admit the proxy's address, and an expression may admit a request without
/// the field.
pub(super) fn forwarding_fields(
    old: Option<&ir::Listener>,
    new: Option<&ir::Listener>,
) -> Option<Found> {
    let (old, new) = (old?, new?);
    let (before, after) = (old.forwarding_fields(), new.forwarding_fields());
    if before == after || old.trusted_proxies.is_empty() || new.trusted_proxies.is_empty() {
        return None;
    }
    let names = |fields: &[ir::ForwardingField]| {
        let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
        Some(names.join(", "))
    };
    Some(Found {
        subject: format!("listener {} forwarding_fields", new.name),
        class: match before.iter().all(|field| after.contains(field)) {
            true => Class::Weaken,
            false => Class::Incomparable,
        },
        id: "forwarding-fields-changed",
        old: names(before),
        new: names(after),
    })
}

/// Compares the private keys of a listener's certificates, by the secrets that contain them. Anyone
/// who knows a key can impersonate the gateway and read what clients send. Changed names of
/// certificates are not reported.
fn keys(subject: &str, (old, new): (&ir::Listener, &ir::Listener)) -> Option<Found> {
    let keys = |listener: &ir::Listener| -> BTreeSet<String> {
        let certificates = listener.tls().into_iter().flat_map(|tls| &tls.certificates);
        certificates.map(|one| one.key.to_string()).collect()
    };
    let (was, is) = (keys(old), keys(new));
    let (gone, come) = (was.difference(&is), is.difference(&was));
    let class = match (gone.count(), come.count()) {
        (0, 0) => return None,
        (0, _) => Class::Weaken,
        (_, 0) => Class::Strengthen,
        (_, _) => Class::Incomparable,
    };
    let shown = |keys: BTreeSet<String>| Some(Vec::from_iter(keys).join(", "));
    Some(Found {
        subject: format!("{subject} tls.certificates"),
        class,
        id: "listener-key-changed",
        old: shown(was),
        new: shown(is),
    })
}

/// Compares the certificate revocation lists of a listener. Each additional list refuses more
/// clients.
fn revocation(subject: &str, (was, is): (&Settings, &Settings)) -> Option<Found> {
    let path: &[&str] = &["tls", "client_auth", "crl"];
    let mut found = other(subject, path, "client-revocation-changed", (was, is))?;
    if was.has(path) != is.has(path) {
        found.class = class(was.has(path));
    }
    Some(found)
}

/// Id of the line about a client certificate that a listener no longer requires.
pub(super) const LOST_CERTIFICATE: &str = "client-auth-changed";

/// Settings of a listener that are weaker than on another listener, or not comparable.
pub(super) fn weaker_than(known: &ir::Listener, is: &ir::Listener) -> Vec<Found> {
    let address = wider_address(known, is);
    // Skip listeners with the same settings: hundreds of listeners often differ only in name and
    // address, and each pair is compared.
    if have_same_settings(known, is) {
        return address.into_iter().collect();
    }
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
    found.extend(address);
    found.extend(lost_certificate(known, is));
    found.extend(certificate_fields(known, is));
    found.extend(slashes(known, is));
    found.extend(limits::looser(known, is));
    found
}

/// Reports an address that clients of more networks can reach than the address of the known
/// listener.
fn wider_address(known: &ir::Listener, is: &ir::Listener) -> Option<Found> {
    reachable::is_wider(&is.address, &known.address).then(|| Found {
        subject: format!("listener {} address", is.name),
        class: Class::Expose,
        id: "listener-address-changed",
        old: Some(known.address.clone()),
        new: Some(is.address.clone()),
    })
}

/// True if two listeners differ at most in name and address.
fn have_same_settings(known: &ir::Listener, is: &ir::Listener) -> bool {
    let ir::Listener {
        name: _,
        address: _,
        protocol,
        limits,
        trusted_proxies,
        declared,
        http2,
        proxy_protocol,
        merge_slashes,
        forward_client_cert,
        forwarding_fields,
    } = known;
    *protocol == is.protocol
        && *limits == is.limits
        && *trusted_proxies == is.trusted_proxies
        && *declared == is.declared
        && *http2 == is.http2
        && *proxy_protocol == is.proxy_protocol
        && *merge_slashes == is.merge_slashes
        && *forward_client_cert == is.forward_client_cert
        && *forwarding_fields == is.forwarding_fields
}

/// Reports a client certificate that only the known listener requires.
fn lost_certificate(known: &ir::Listener, is: &ir::Listener) -> Option<Found> {
    let mode = match client_auth(is) {
        Some(_) => "optional",
        None => "off",
    };
    let is_lost = known.requires_certificate() && !is.requires_certificate();
    is_lost.then(|| Found {
        subject: format!("listener {} tls.client_auth.mode", is.name),
        class: Class::Weaken,
        id: LOST_CERTIFICATE,
        old: Some("required".to_owned()),
        new: Some(mode.to_owned()),
    })
}

/// Compares the fields in which upstreams receive the client's certificate. With `pass`, trusted
/// proxies write these fields. With other fields, the upstream receives a different identity of the
/// client.
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

/// Settings with which a listener verifies client certificates. `None` if the listener requests no
/// certificates.
fn client_auth(listener: &ir::Listener) -> Option<&ir::ClientAuth> {
    let client_auth = listener.tls()?.client_auth.as_ref()?;
    (client_auth.mode != ir::ClientAuthMode::Off).then_some(client_auth)
}

/// Compares the certificates that a listener accepts with those that the known listener accepts.
pub(super) fn trust(known: &ir::Listener, is: &ir::Listener) -> Option<Found> {
    let own = client_auth(is)?;
    let known = client_auth(known);
    let Some(same) = known.filter(|known| known.ca == own.ca) else {
        return Some(Found {
            subject: format!("listener {} tls.client_auth.ca", is.name),
            class: Class::Weaken,
            id: "client-authority-changed",
            old: known.map(|known| known.ca.to_string()),
            new: Some(own.ca.to_string()),
        });
    };
    // Without a list, the known listener already accepts revoked certificates of this CA.
    if same.crl.is_none() || same.crl == own.crl {
        return None;
    }
    Some(Found {
        subject: format!("listener {} tls.client_auth.crl", is.name),
        class: match own.crl {
            None => Class::Weaken,
            Some(_) => Class::Incomparable,
        },
        id: "client-revocation-changed",
        old: same.crl.as_ref().map(ToString::to_string),
        new: own.crl.as_ref().map(ToString::to_string),
    })
}

/// Compares two versions of an upstream's connection settings.
pub(super) fn upstream(old: &ir::Upstream, new: &ir::Upstream) -> Vec<Found> {
    let subject = format!("upstream {}", new.name);
    let mut found = Vec::new();
    let word = |tls: bool| Some(if tls { "https" } else { "http" }.to_owned());
    let (was, is) = (is_checked(old), is_checked(new));
    if was != is {
        found.push(Found {
            subject: format!("{subject} tls.verify"),
            class: class(was),
            id: "upstream-verification-changed",
            old: Some(was.to_string()),
            new: Some(is.to_string()),
        });
    }
    let both = new.targets.iter();
    for target in both.filter(|target| old.targets.get(&target.name).is_some()) {
        let before = old.targets.get(&target.name);
        let (was, is) = (before.is_some_and(|target| target.tls), target.tls);
        if was != is {
            found.push(Found {
                subject: format!("{subject} targets.{}.url", target.name),
                class: class(was),
                id: "upstream-protocol-changed",
                old: word(was),
                new: word(is),
            });
        }
    }
    // If targets are added, removed or renamed, compare the weakest target.
    let (was, is) = (is_encrypted(old), is_encrypted(new));
    if was != is
        && found
            .iter()
            .all(|one| one.id != "upstream-protocol-changed")
    {
        found.push(Found {
            subject: format!("{subject} targets"),
            class: class(was),
            id: "upstream-protocol-changed",
            old: word(was),
            new: word(is),
        });
    }
    let sides = (&old.traffic_settings(), &new.traffic_settings());
    found.extend(other(
        &subject,
        &["tls", "ca"],
        "upstream-authority-changed",
        sides,
    ));
    found.extend(client_certificate(&subject, sides));
    // An explicit `sni` that equals the host of the target is not a difference.
    if certified(old) != certified(new) {
        found.extend(other(
            &subject,
            &["tls", "sni"],
            "upstream-name-changed",
            sides,
        ));
    }
    found
}

/// Compares the client certificates that the gateway presents to an upstream. With a new or another
/// certificate, the gateway has another identity, for which the upstream may admit more. Without a
/// certificate, the upstream cannot identify the gateway.
fn client_certificate(subject: &str, (old, new): (&Settings, &Settings)) -> Option<Found> {
    let (was, is) = (own_certificate(old), own_certificate(new));
    (was != is).then(|| Found {
        subject: format!("{subject} tls.client_cert"),
        class: match (&was, &is) {
            (_, Some(_)) => Class::Incomparable,
            (_, None) => Class::Weaken,
        },
        id: "upstream-client-certificate-changed",
        old: was,
        new: is,
    })
}

/// References of the client certificate and key that the gateway presents to an upstream. `None`
/// without a certificate.
fn own_certificate(settings: &Settings) -> Option<String> {
    let own = settings.below(&["tls", "client_cert"]);
    let own: Vec<String> = own.map(|one| value_text(&one.value)).collect();
    (!own.is_empty()).then(|| own.join(", "))
}

fn ranked(subject: &str, rank: &Rank, (was, is): (String, String)) -> Option<Found> {
    let place = |word: &str| rank.words.iter().position(|known| *known == word);
    (was != is).then(|| Found {
        subject: format!("{subject} {}", rank.path.join(".")),
        class: class(place(&is) < place(&was)),
        id: rank.id,
        old: Some(was),
        new: Some(is),
    })
}

/// Reports a changed certificate authority or name: some peers are newly trusted, others are no
/// longer trusted.
fn other(
    subject: &str,
    path: &[&str],
    id: &'static str,
    (old, new): (&Settings, &Settings),
) -> Option<Found> {
    let (was, is) = (old.get(path), new.get(path));
    let shown = |value: Option<&Value>| value.map(value_text);
    (was != is).then(|| Found {
        subject: format!("{subject} {}", path.join(".")),
        class: Class::Incomparable,
        id,
        old: shown(was),
        new: shown(is),
    })
}

fn class(weaker: bool) -> Class {
    match weaker {
        true => Class::Weaken,
        false => Class::Strengthen,
    }
}
