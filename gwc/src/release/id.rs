//! Lookup of a bundle in a store by its id or by a prefix of the id.

use bundle::digest::Digest;
use bundle::store::{Blobs as _, Store as _};

use super::stores::AnyStore;

use model::exit::{Exit, Failure};

/// Minimum number of hexadecimal digits of a shortened id.
pub const PREFIX_MIN: usize = 4;
/// Maximum number of matching ids that an error lists.
const LISTED_MAX: usize = 10;

/// Returns the bundle of the store that has this id or this prefix of an id.
///
/// # Errors
/// Returns a usage error if the argument cannot be an id or is ambiguous, and an input error if the
/// bundle is missing.
pub fn resolve_id(store: &AnyStore, text: &str) -> anyhow::Result<Digest> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let digits = hex
        .bytes()
        .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !digits || hex.len() > 64 || hex.len() < PREFIX_MIN {
        return Err(Failure::usage(format!(
            "`{text}` is not a bundle's id: write `sha256:` and 64 hex digits, or at least the first {PREFIX_MIN} of them"
        ))
        .into());
    }
    let missing = || {
        Failure::new(
            Exit::INPUT,
            "no-such-bundle",
            format!(
                "the store `{}` has no bundle `{text}`; `gwc history` lists those that the channel named, and `gwc build` of the same sources stores one again",
                store.name()
            ),
        )
    };
    if hex.len() == 64 {
        let digest = Digest::from_hex(hex)?;
        store.size(&digest)?.ok_or_else(missing)?;
        return Ok(digest);
    }
    let mut found: Vec<Digest> = store.bundles()?;
    found.retain(|digest| digest.hex().starts_with(hex));
    match found[..] {
        [] => Err(missing().into()),
        [digest] => Ok(digest),
        _ => {
            let listed: Vec<String> = found
                .iter()
                .take(LISTED_MAX)
                .map(|digest| format!("  {digest}"))
                .collect();
            let more = found.len().saturating_sub(LISTED_MAX);
            let more = if more == 0 {
                String::new()
            } else {
                format!("\n  and {more} more")
            };
            Err(Failure::new(
                Exit::USAGE,
                "ambiguous-id",
                format!(
                    "`{text}` is the beginning of {} ids; write more digits:\n{}{more}",
                    found.len(),
                    listed.join("\n")
                ),
            )
            .into())
        }
    }
}
