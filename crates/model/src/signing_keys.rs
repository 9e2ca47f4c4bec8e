//! Finding about signing keys of the trust file that expire soon. Gateways refuse statements that a
//! key signs after its `not_after`.

use bundle::moment::Moment;
use diag::{Diagnostic, Sink, Span};
use serde_json::Value;
use sources::project::TRUST_FILE;
use sources::project::files::Files;
use vocab::lints::SIGNING_KEY_ENDS;

const DAY_S: u64 = 86_400;

/// Time before expiry from which a key is reported: 30 days.
const SOON_S: u64 = 30 * DAY_S;

/// Reports active keys that have expired, or expire within 30 days of [`Files::check_time_s`]. The
/// findings are placed at the project's name, because the trust file is not a source file, and
/// messages never show its text.
pub(super) fn check(files: &Files, at: Span, sink: &mut Sink) {
    let Ok(bytes) = files.bytes(TRUST_FILE) else {
        return;
    };
    let Ok(root) = serde_json::from_slice::<Value>(&bytes) else {
        return;
    };
    let now = Moment::from_unix_s(files.check_time_s());
    for key in root["keys"].as_array().into_iter().flatten() {
        let text = |name: &str| key[name].as_str().unwrap_or_default();
        let Ok(end) = text("not_after").parse::<Moment>() else {
            continue;
        };
        if text("state") != "active" || end > now.plus_s(SOON_S) {
            continue;
        }
        let left = end.unix_s().saturating_sub(now.unix_s()) / DAY_S;
        let ends = match left {
            _ if end <= now => "has expired".to_owned(),
            0 => "expires today".to_owned(),
            1 => "expires in 1 day".to_owned(),
            days => format!("expires in {days} days"),
        };
        let id: String = text("id").chars().take(12).collect();
        let day: String = text("not_after").chars().take(10).collect();
        let message = format!(
            "the signing key `{}` of `{}` {ends} ({day})",
            id.escape_debug(),
            text("owner").escape_debug()
        );
        let finding = Diagnostic::new(&SIGNING_KEY_ENDS, at, message).help(format!(
            "make a new one (`gwc keygen release-{}`), commit `{TRUST_FILE}`, and release with the new key",
            day.get(..4).unwrap_or_default()
        ));
        sink.push(finding);
    }
}
