//! Keys `consumers` and `consumers_file`: callers with the hashes of their credentials.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use diag::shape::{self, BAD_VALUE};
use diag::{Diagnostic, NodeRef, Sink, Span, read};

use policy::auth::mtls;

use crate::Defined;
use policy::password::Hash;
use vocab::lints::{CONSUMER_TWICE, CREDENTIAL_TWICE};

/// SHA-256 of the empty string. gwc reports this hash, because users get it by mistake if they hash
/// an unset shell variable.
const EMPTY: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// Maximum number of passwords (`argon2id`) of a user name. gwd computes as many hashes for each
/// wrong password.
const PASSWORDS_MAX: usize = 4;

/// Reads all consumers. Also returns the names of the consumers in `consumers_file`.
pub(super) fn consumers(
    own: Option<NodeRef<'_>>,
    file: Option<NodeRef<'_>>,
    sink: &mut Sink,
) -> (Vec<Defined<ir::Consumer>>, Option<BTreeSet<String>>) {
    let file = file.filter(|file| {
        let wrapped = file
            .entry("consumers")
            .filter(|_| file.entries().len() == 1);
        let is_map_of_maps = |node: NodeRef<'_>| {
            node.is_map() && node.entries().all(|(_, consumer)| consumer.is_map())
        };
        if let Some((entry, _)) = wrapped.filter(|(_, inner)| is_map_of_maps(*inner)) {
            sink.push(
                Diagnostic::new(
                    &BAD_VALUE,
                    entry.key_span,
                    "a `consumers_file` must be the map of consumers itself",
                )
                .help(
                    "remove the line `consumers:`; the names of consumers begin at the left margin",
                ),
            );
            return false;
        }
        shape::check(*file, &vocab::gateway::CONSUMERS, sink);
        true
    });
    let mut known = Known::default();
    let mut certified: BTreeMap<String, Span> = BTreeMap::new();
    let mut holders: BTreeMap<(String, ir::HolderName), Span> = BTreeMap::new();
    let mut names: BTreeMap<&str, Span> = BTreeMap::new();
    let mut consumers: Vec<Defined<ir::Consumer>> = Vec::new();
    let written = [own, file].into_iter().flatten();
    for (entry, node) in written.flat_map(NodeRef::entries) {
        if let Some(known) = names.get(&*entry.key) {
            sink.push(
                Diagnostic::new(
                    &CONSUMER_TWICE,
                    entry.key_span,
                    format!("the consumer `{}` occurs twice", entry.key.escape_debug()),
                )
                .related(*known, "also defined here")
                .help("write all its credentials in one of the files"),
            );
            continue;
        }
        names.insert(&entry.key, entry.key_span);
        let [keys, basic] = ["keys", "basic"].map(|key| known.credentials(node, key, sink));
        let certificates = certificates(node, &mut certified, sink);
        let tokens = tokens(node, &mut holders, sink);
        let value = ir::Consumer {
            name: entry.key.to_string(),
            keys,
            basic,
            declared: policy::declared::later(
                node,
                &shape::Shape::Object(&vocab::gateway::CONSUMER),
            ),
            claims: node
                .get("claims")
                .map(|claims| policy::declared::whole(claims, &vocab::gateway::CLAIMS))
                .unwrap_or_default(),
            metadata: node
                .get("metadata")
                .map(|notes| policy::declared::whole(notes, &vocab::gateway::NOTES))
                .unwrap_or_default(),
            groups: groups(node),
            plan: node
                .get("plan")
                .and_then(NodeRef::scalar_text)
                .map(str::to_owned),
            certificates,
            tokens,
        };
        consumers.push(Defined {
            value,
            span: entry.key_span,
            node: Some(node.id()),
        });
    }
    let in_file = file.map(|file| file.entries().map(|(entry, _)| entry.key.to_string()));
    (consumers, in_file.map(Iterator::collect))
}

/// Credentials of all consumers read so far, to report duplicates.
#[derive(Default)]
struct Known {
    /// Key of the list and SHA-256 of each credential.
    seen: BTreeMap<(&'static str, [u8; 32]), Span>,
    /// Number of passwords by user name.
    passwords: BTreeMap<String, usize>,
}

impl Known {
    /// Reads the credentials in a list of a consumer, sorted.
    fn credentials(
        &mut self,
        node: NodeRef<'_>,
        key: &'static str,
        sink: &mut Sink,
    ) -> Vec<ir::Credential> {
        let mut list = Vec::new();
        for item in node.get(key).into_iter().flat_map(NodeRef::items) {
            let Some((hash, sha256, password)) = credential(item) else {
                continue;
            };
            if sha256 == EMPTY {
                sink.push(
                    Diagnostic::new(
                        &BAD_VALUE,
                        hash.span(),
                        "this is the sha256 of the empty string",
                    )
                    .label("an empty credential is never valid")
                    .help("print one with `printf %s \"$CREDENTIAL\" | sha256sum`, and check that `$CREDENTIAL` is set"),
                );
                continue;
            }
            if let Some(password) = &password {
                let count = self.passwords.entry(password.user.clone()).or_default();
                *count += 1;
                if *count > PASSWORDS_MAX {
                    sink.push(too_many_passwords(hash.span(), &password.user));
                    continue;
                }
            }
            let not_after = not_after(item);
            if let Some(first) = self.seen.insert((key, sha256), hash.span()) {
                sink.push(
                    Diagnostic::new(
                        &CREDENTIAL_TWICE,
                        hash.span(),
                        "this credential occurs twice",
                    )
                    .related(first, "the first one is here")
                    .help("remove it from one of them: a credential identifies one consumer"),
                );
                continue;
            }
            list.push(ir::Credential {
                sha256,
                not_after,
                password,
            });
        }
        list.sort();
        list
    }
}

fn too_many_passwords(at: Span, user: &str) -> Diagnostic {
    let user = user.escape_debug();
    Diagnostic::new(
        &BAD_VALUE,
        at,
        format!("the user `{user}` has more than {PASSWORDS_MAX} passwords"),
    )
    .label("each wrong password costs as many hashes as a user has passwords")
    .help("remove old passwords, or give the others a user name of their own")
}

/// Time at which a credential expires (Unix time, seconds). `None`: the credential does not expire.
fn not_after(item: NodeRef<'_>) -> Option<u64> {
    let date = item.get("not_after").and_then(NodeRef::scalar_text);
    date.and_then(shape::read_date)
}

/// Certificates of a consumer, sorted. `seen` contains the certificates of all consumers read so
/// far, to report duplicates.
fn certificates(
    node: NodeRef<'_>,
    seen: &mut BTreeMap<String, Span>,
    sink: &mut Sink,
) -> Vec<ir::ConsumerCertificate> {
    let mut all = Vec::new();
    for item in node
        .get("certificates")
        .into_iter()
        .flat_map(NodeRef::items)
    {
        let Some((name, span)) = certified(item) else {
            continue;
        };
        let not_after = not_after(item);
        if let Some(first) = seen.insert(name.clone(), span) {
            sink.push(
                Diagnostic::new(&CREDENTIAL_TWICE, span, "this certificate occurs twice")
                    .related(first, "the first one is here")
                    .help("remove it from one of them: a certificate identifies one consumer"),
            );
            continue;
        }
        all.push(ir::ConsumerCertificate { name, not_after });
    }
    all.sort();
    all
}

/// Reads the tokens of a consumer, sorted. `seen` contains the issuer and the subject or client of
/// each token entry read so far, of all consumers, to report duplicates.
fn tokens(
    node: NodeRef<'_>,
    seen: &mut BTreeMap<(String, ir::HolderName), Span>,
    sink: &mut Sink,
) -> Vec<ir::Holder> {
    let mut all = Vec::new();
    for item in node.get("tokens").into_iter().flat_map(NodeRef::items) {
        let text = |key: &str| {
            let node = item.get(key).filter(|value| !value.is_null())?;
            Some((node.scalar_text()?.to_owned(), node.span()))
        };
        let name = match (text("subject"), text("client")) {
            (Some((name, span)), None) => Some((ir::HolderName::Subject(name), span)),
            (None, Some((name, span))) => Some((ir::HolderName::Client(name), span)),
            _ => None,
        };
        let (Some((issuer, _)), Some((name, span))) = (text("issuer"), name) else {
            continue;
        };
        if let Some(first) = seen.insert((issuer.clone(), name.clone()), span) {
            sink.push(
                Diagnostic::new(&CREDENTIAL_TWICE, span, "this token owner occurs twice")
                    .related(first, "the first one is here")
                    .help("remove it from one of them: a token identifies one consumer"),
            );
            continue;
        }
        let not_after = text("not_after").and_then(|(date, _)| shape::read_date(&date));
        all.push(ir::Holder {
            issuer,
            name,
            not_after,
        });
    }
    all.sort();
    all
}

/// Identifier of a certificate in the form of [`mtls::Certificate::credentials`], with its source
/// location.
fn certified(item: NodeRef<'_>) -> Option<(String, Span)> {
    let get = |key: &str| item.get(key).filter(|value| !value.is_null());
    let text = |node: NodeRef<'_>| node.scalar_text().map(str::to_owned);
    if let Some(hash) = get("sha256") {
        let bytes = read::sha256_hex(hash).ok()?;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        return Some((format!("sha256 {hex}"), hash.span()));
    }
    if let Some(name) = get("san") {
        return Some((format!("san {}", mtls::san(&text(name)?)?), name.span()));
    }
    let name = get("subject")?;
    let subject = mtls::canonical(&text(name)?)?;
    Some((format!("subject {subject}"), name.span()))
}

/// Credential in gateway.yaml: its node, its SHA-256, and the Argon2id hash if it is a password.
fn credential(item: NodeRef<'_>) -> Option<(NodeRef<'_>, [u8; 32], Option<ir::Password>)> {
    let written = |key: &str| item.get(key).filter(|node| !node.is_null());
    if let Some(hash) = written("sha256") {
        return Some((hash, read::sha256_hex(hash).ok()?, None));
    }
    let (user, hash) = (written("user")?, written("argon2id")?);
    let password = ir::Password {
        user: user.scalar_text()?.to_owned(),
        argon2id: hash.scalar_text()?.to_owned(),
    };
    Hash::read(&password.argon2id)?;
    Some((hash, password.sha256(), Some(password)))
}

/// Groups of a consumer, sorted.
fn groups(node: NodeRef<'_>) -> Vec<String> {
    let written = node.get("groups").filter(|node| !node.is_null());
    let written = written.into_iter().flat_map(NodeRef::items);
    let mut groups: Vec<String> = written
        .filter_map(|group| group.scalar_text().map(str::to_owned))
        .collect();
    groups.sort();
    groups.dedup();
    groups
}
