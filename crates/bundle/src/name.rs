//! Names that are used in file names and tags: of projects, channels and features.
//!
//! A name is checked when it is parsed, so that paths are built only from valid names.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::malformed::Malformed;

/// Maximum length of a name, in bytes.
pub const NAME_BYTES_MAX: usize = 63;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $what:literal, $more:literal;)*) => {$(
        $(#[$doc])*
        /// Name of lower-case letters, digits, `-`, `_` and `.`. It begins with a letter or a
        /// digit, has at most [`NAME_BYTES_MAX`] bytes, and never has two dots in a row.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as a string.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                if !is_name(text, $more) {
                    return Err(Malformed::new($what, NAME_RULE));
                }
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`{}`", self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(|_| D::Error::custom(concat!($what, ": ", "not a valid name")))
            }
        }
    )*};
}

names! {
    /// Name of a project (`name` in gateway.yaml). Bundles of other projects are refused.
    ProjectName = "project name", b"";
    /// Name of a channel, for example `prod`.
    ChannelName = "channel name", b"";
    /// Name of a feature that a bundle can require from gwd, for example `policy:headers`. May
    /// contain `:`, because it is never part of a file name.
    FeatureName = "feature name", b":";
}

const NAME_RULE: &str = "a name has lower-case letters, digits, `-`, `_` and single `.`, \
                         begins with a letter or digit and has at most 63 bytes";

fn is_name(text: &str, more: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let first = bytes
        .first()
        .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest = bytes.iter().all(|b| {
        b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(b) || more.contains(b)
    });
    first && rest && bytes.len() <= NAME_BYTES_MAX && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_folder() {
        for good in ["prod", "a", "0", "eu-west.1_x", &"a".repeat(63)] {
            assert!(good.parse::<ChannelName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a..b",
            "../x",
            "a/b",
            "a\\b",
            "-x",
            ".x",
            "_x",
            "A",
            "ä",
            "a b",
            "a\0",
            "a\n",
            &"a".repeat(64),
        ] {
            assert!(bad.parse::<ChannelName>().is_err(), "{bad:?}");
        }
        assert!("policy:rate_limit".parse::<ChannelName>().is_err());
        assert!("policy:rate_limit".parse::<FeatureName>().is_ok());
    }
}
