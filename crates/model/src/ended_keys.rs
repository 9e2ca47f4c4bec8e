//! Keys of key sets in the project that have ended or end soon: by the certificate of the key
//! (`x5c`), or by `exp`. gwd still uses such a key.

use bundle::moment::Moment;
use diag::{Diagnostic, Level, NodeRef, Sink};
use policy::auth::jwt::author::key_end_s;
use vocab::verifier_lints::KEY_ENDS;

use super::ended_credentials::Remaining;

/// Reports the keys of a JWK set that have ended, or end within 30 days of `now_s`.
pub(super) fn check(set: NodeRef<'_>, now_s: u64, sink: &mut Sink) {
    let keys = set.get("keys").into_iter().flat_map(NodeRef::items);
    for (key, end_s) in keys.filter_map(|key| Some((key, key_end_s(key)?))) {
        let Some(remaining) = Remaining::of(end_s, now_s) else {
            continue;
        };
        let finding = Diagnostic::new(&KEY_ENDS, key.span(), format!("this key {remaining}"));
        let finding = finding
            .label(format!("{}", Moment::from_unix_s(end_s)))
            .help("add the provider's next key, or let gwd fetch the keys (`jwks_url`)");
        sink.push(match remaining {
            Remaining::None => finding,
            Remaining::Days(_) => finding.level(Level::Info),
        });
    }
}
