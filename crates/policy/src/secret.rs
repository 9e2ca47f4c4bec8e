//! Secrets: references in the configuration, and values in cells. The cells are outside snapshots,
//! so that all configuration versions of a process share the values.
//!
//! Snapshots contain handles of cells, so that a rotated value reaches every version in memory. A
//! rollback changes references, but never values (release.md §7).

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use zeroize::Zeroizing;

use crate::key_cell::{KeyCell, Read, Remote};
use crate::ranges::{self, RangesCell};

/// Reference to a secret, which gwd resolves. Sources and bundles never contain the value.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
pub enum SecretRef {
    /// `${env:NAME}`: an environment variable of gwd.
    #[n(0)]
    Env(#[n(0)] String),
    /// `${file:PATH}`: a file on the gateway's machine.
    #[n(1)]
    File(#[n(0)] String),
}

/// Error: the string is not a secret reference.
#[derive(Debug, PartialEq, Eq)]
pub struct SecretRefError;

impl SecretRef {
    /// Parses `${env:NAME}` or `${file:PATH}`.
    pub fn parse(text: &str) -> Result<Self, SecretRefError> {
        let inner = text
            .strip_prefix("${")
            .and_then(|text| text.strip_suffix('}'))
            .ok_or(SecretRefError)?;
        match inner.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.into())),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::File(path.into())),
            _ => Err(SecretRefError),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "${{env:{name}}}"),
            Self::File(path) => write!(f, "${{file:{path}}}"),
        }
    }
}

/// Value of a secret, replaced atomically when its source changes.
pub struct SecretCell(ArcSwap<SecretValue>);

/// Bytes of a secret, overwritten when the last handle is dropped.
pub type SecretValue = Zeroizing<Vec<u8>>;

impl SecretCell {
    /// Creates a cell, which holds one secret, with its first value.
    #[must_use]
    pub fn new(value: impl Into<SecretValue>) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(value.into())))
    }

    /// Current value of the secret.
    #[must_use]
    pub fn value(&self) -> Arc<SecretValue> {
        self.0.load_full()
    }

    /// Replaces the value of the secret.
    pub fn store(&self, value: impl Into<SecretValue>) {
        self.0.store(Arc::new(value.into()));
    }
}

impl fmt::Debug for SecretCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretCell(…)")
    }
}

/// Required format of a secret's value. A cell keeps its former value if the source later returns a
/// value of another format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Field value (RFC 9110 §5.5): not empty, no control characters except tab.
    FieldValue,
    /// Any bytes. The code that uses the secret checks them, for example as a certificate with its
    /// key.
    Bytes,
    /// Address ranges, one per line ([`crate::ranges`]).
    Ranges,
    /// Keys that encrypt cookies, one per line ([`sealing_keys`]).
    SealingKeys,
    /// Key of a MAC.
    SharedSecret {
        /// Minimum length in bytes.
        bytes_min: usize,
    },
}

impl Form {
    /// True if a value has this format.
    #[must_use]
    pub fn fits(self, value: &[u8]) -> bool {
        match self {
            Self::FieldValue => {
                let small = value.len() as u64 <= self.bytes_max();
                small && !value.is_empty() && http::HeaderValue::from_bytes(value).is_ok()
            }
            Self::Bytes => true,
            Self::Ranges => ranges::parse(value).is_some(),
            Self::SealingKeys => {
                let is_long = |key: &[u8]| key.len() >= SEALING_BYTES_MIN;
                let count = sealing_keys(value).count();
                let small = value.len() as u64 <= self.bytes_max();
                small && (1..=SEALING_KEYS_MAX).contains(&count) && sealing_keys(value).all(is_long)
            }
            Self::SharedSecret { bytes_min } => {
                value.len() >= bytes_min && value.len() as u64 <= self.bytes_max()
            }
        }
    }

    /// Maximum length of a value, in bytes. 1 MiB for certificates: all certificate authorities of
    /// a system are about 220 KiB of PEM.
    #[must_use]
    pub const fn bytes_max(self) -> u64 {
        match self {
            Self::FieldValue | Self::SealingKeys | Self::SharedSecret { .. } => 64 << 10,
            Self::Bytes => 1 << 20,
            Self::Ranges => 8 << 20,
        }
    }

    /// Description of the format, for messages.
    #[must_use]
    pub const fn format_description(self) -> &'static str {
        match self {
            Self::FieldValue => "one line that is not empty and can be a field's value",
            Self::Bytes => "there",
            Self::Ranges => "a list of address ranges, one per line",
            Self::SealingKeys => "one to eight keys of at least 32 bytes, one per line",
            Self::SharedSecret { .. } => {
                "at least as long as the hash of its algorithm: 32, 48 or \
64 bytes"
            }
        }
    }
}

/// Minimum length of a key that encrypts cookies, in bytes.
const SEALING_BYTES_MIN: usize = 32;
/// Maximum number of keys that decrypt cookies.
const SEALING_KEYS_MAX: usize = 8;

/// Keys in a value of the form [`Form::SealingKeys`]: the lines that are not empty.
pub(crate) fn sealing_keys(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty())
}

/// Resolver of secret references. In gwd: a registry that is restricted to the locations that the
/// operator allows.
pub trait Secrets {
    /// Shared cell with the secret that a reference names. The values of the cell always have the
    /// format `form`.
    fn cell(&self, reference: &SecretRef, form: Form)
    -> Result<Arc<SecretCell>, SecretUnavailable>;

    /// Shared cell with the key set that gwd fetches from `source`. The default implementation
    /// returns a new, empty cell.
    fn keys(&self, source: &Remote, read: Read) -> Arc<KeyCell> {
        KeyCell::new(source.clone(), read)
    }

    /// Shared cell with the address ranges in a file. `None` if this program does not read the
    /// file, as in gwc. The default implementation returns a new cell that is never replaced.
    ///
    /// # Errors
    /// The file cannot be read, or is not a list of ranges.
    fn ranges(&self, reference: &SecretRef) -> Result<Option<Arc<RangesCell>>, SecretUnavailable> {
        let cell = self.cell(reference, Form::Ranges)?;
        match ranges::parse(&cell.value()) {
            Some(ranges) => Ok(Some(RangesCell::new(ranges))),
            None => Err(SecretUnavailable {
                reference: reference.clone(),
                reason: "secret-unusable",
            }),
        }
    }

    /// True if the unsigned tokens of [`crate::auth::jwt::witness`] are accepted, as in gwc.
    #[cfg(feature = "author")]
    fn takes_witnesses(&self) -> bool {
        false
    }
}

/// Error: a secret reference cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUnavailable {
    /// Reference to the secret.
    pub reference: SecretRef,
    /// Reason: `secret-missing` or `secret-unusable` (temporary), `secret-not-allowed` (permanent).
    pub reason: &'static str,
}

impl fmt::Display for SecretUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_and_printed_alike() {
        for text in ["${env:GWS_TOKEN}", "${file:/run/secrets/token}"] {
            assert_eq!(SecretRef::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "x",
            "${env:}",
            "${file:relative}",
            "${var:X}",
            "${env:X",
        ] {
            assert_eq!(SecretRef::parse(text), Err(SecretRefError), "{text}");
        }
    }

    #[test]
    fn sealing_keys_are_long_lines() {
        let long = "k".repeat(32);
        for (value, fits) in [
            (long.clone(), true),
            (format!("{long}\n"), true),
            (format!("{long}\r\n\n{long}\n"), true),
            ([&*long; 8].join("\n"), true),
            ([&*long; 9].join("\n"), false),
            (String::new(), false),
            ("\n".to_owned(), false),
            (format!("{long}\nshort"), false),
        ] {
            assert_eq!(Form::SealingKeys.fits(value.as_bytes()), fits, "{value:?}");
        }
    }

    #[test]
    fn a_value_is_never_printed() {
        let cell = SecretCell::new(b"hunter2".to_vec());
        assert!(!format!("{cell:?}").contains("hunter2"));
    }
}
