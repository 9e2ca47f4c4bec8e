//! Names of tags in a repository.
//!
//! | Tag | Target |
//! |---|---|
//! | `ch-CHANNEL-SERIAL` | record of a channel; the serial has 20 digits |
//! | `ch-CHANNEL` | newest record of the channel, for polls |
//! | `rev-SERIAL`, `rev` | revocation lists, and the newest one |
//! | `b-HEX` | bundle with this id |
//! | `sha256-HEX` | index of the referrers of a manifest, if the registry does not list them |
//!
//! Tags with a serial are authoritative. The tags of newest links (`ch-CHANNEL`, `rev`) may be out
//! of date.

use bundle::digest::Digest;
use bundle::json::INTEGER_MAX;
use bundle::name::ChannelName;
use bundle::refused::Refused;
use bundle::store::Chain;

/// Number of digits of a serial.
const DIGITS: usize = 20;
const CHANNEL: &str = "ch-";
const REVOCATIONS: &str = "rev";
const BUNDLE: &str = "b-";

/// Kind and target of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// Link of a chain with a serial.
    Link(Chain, u64),
    /// Newest link of a chain.
    Head(Chain),
    /// Bundle.
    Bundle(Digest),
}

/// Tag of the newest link of a chain.
///
/// # Errors
/// [`Refused::Malformed`] if the channel's name ends like the tag of a link.
pub fn head(chain: &Chain) -> Result<String, Refused> {
    match chain {
        Chain::Revocations => Ok(REVOCATIONS.to_owned()),
        Chain::Channel(name) => {
            check_channel(name)?;
            Ok(format!("{CHANNEL}{name}"))
        }
    }
}

/// Tag of the link with this serial.
///
/// # Errors
/// [`Refused::Malformed`] under the same condition as [`head`].
pub fn link(chain: &Chain, serial: u64) -> Result<String, Refused> {
    Ok(format!("{}-{serial:0DIGITS$}", head(chain)?))
}

/// Tag of a bundle.
#[must_use]
pub fn bundle(id: &Digest) -> String {
    format!("{BUNDLE}{}", id.hex())
}

/// Tag of the index of a manifest's referrers (distribution specification, *referrers tag schema*).
#[must_use]
pub fn referrers(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// Parses a tag. `None` if the tag has none of these forms.
#[must_use]
pub fn parse(tag: &str) -> Option<Tag> {
    if let Some(hex) = tag.strip_prefix(BUNDLE) {
        return Digest::from_hex(hex).ok().map(Tag::Bundle);
    }
    let chain = |name: &str| {
        let chain = match name.strip_prefix(CHANNEL) {
            Some(channel) => Chain::Channel(channel.parse().ok()?),
            None if name == REVOCATIONS => Chain::Revocations,
            None => return None,
        };
        // A channel with a name that ends like a serial has no tags.
        head(&chain).is_ok().then_some(chain)
    };
    match split_serial(tag) {
        Some((name, serial)) => Some(Tag::Link(chain(name)?, serial)),
        None => chain(tag).map(Tag::Head),
    }
}

/// Refuses a channel whose head tag would look like the tag of another channel's link.
fn check_channel(name: &ChannelName) -> Result<(), Refused> {
    let digits = |text: &str| text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_digit());
    let text = name.as_str();
    match text.rsplit_once('-') {
        Some((_, serial)) if digits(serial) => Err(Refused::Malformed {
            what: "channel name",
            why: "in a registry, the name of a channel must not end in `-` and 20 digits".into(),
        }),
        _ => Ok(()),
    }
}

fn split_serial(tag: &str) -> Option<(&str, u64)> {
    let (name, digits) = tag.rsplit_once('-')?;
    let is_serial = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    let serial: u64 = digits.parse().ok().filter(|_| is_serial)?;
    (1..=INTEGER_MAX)
        .contains(&serial)
        .then_some((name, serial))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tag_has_one_meaning() {
        let digest = Digest::of(b"x");
        let channel = |name: &str| Chain::Channel(name.parse().unwrap());
        for chain in [channel("prod"), channel("a-1"), Chain::Revocations] {
            let tag = link(&chain, 7).unwrap();
            assert_eq!(parse(&tag), Some(Tag::Link(chain.clone(), 7)), "{tag}");
            let tag = head(&chain).unwrap();
            assert_eq!(parse(&tag), Some(Tag::Head(chain)), "{tag}");
        }
        assert_eq!(parse(&bundle(&digest)), Some(Tag::Bundle(digest)));
        let longest = channel(&"a".repeat(63));
        assert!(link(&longest, INTEGER_MAX).unwrap().len() <= 128);
        for other in [
            "latest",
            "ch-",
            "ch-PROD",
            "rev-1",
            "rev-00000000000000000000",
            "rev-99999999999999999999",
            "b-00",
            "ch-prod-000000000000000000010",
            "ch-prod-00000000000000000007-00000000000000000007",
            "",
            &referrers(&digest),
        ] {
            let meaning = parse(other);
            let is_head = matches!(&meaning, Some(Tag::Head(Chain::Channel(_))));
            assert!(meaning.is_none() || is_head, "{other}: {meaning:?}");
        }
        let ambiguous = channel("prod-00000000000000000007");
        assert!(head(&ambiguous).is_err());
        assert!(link(&ambiguous, 1).is_err());
    }
}
