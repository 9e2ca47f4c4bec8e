//! Errors of building a snapshot.

use std::fmt;

use bundle::ir;
use policy::SecretUnavailable;

/// Reason why a snapshot cannot be built. gwc reports such errors first; gwd checks each bundle
/// again before it runs the bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// Two operations match exactly the same requests. Contains both operations.
    RouteConflict(String, String),
    /// Name of a policy, verifier, upstream or other definition that does not exist.
    UnknownName(String),
    /// A listener's address that cannot be parsed.
    BadAddress(String),
    /// Two listeners have overlapping addresses. Contains the names of both listeners.
    ListenerConflict(String, String),
    /// Two consumers share a credential.
    CredentialConflict,
    /// A treatment (settings of an operation) has an index that does not exist.
    BadIndex,
    /// The APIs or digests that the shared part lists differ from the API blobs of the bundle.
    OtherApis,
    /// The documents that the shared part or a policy names differ from the documents of the
    /// bundle.
    OtherDocuments,
    /// Feature that this version knows but cannot run, by its name in `needs`.
    NotAvailable(String),
    /// A secret that cannot be resolved.
    Secret(SecretUnavailable),
}

impl BuildError {
    /// Reason why the bundle is refused, in kebab-case.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::RouteConflict(..) => "route-conflict",
            Self::UnknownName(_) => "unknown-name",
            Self::BadAddress(_) => "bad-address",
            Self::ListenerConflict(..) => "listener-conflict",
            Self::CredentialConflict => "credential-conflict",
            Self::NotAvailable(_) => "needs",
            Self::BadIndex | Self::OtherApis | Self::OtherDocuments => "malformed",
            Self::Secret(unavailable) => unavailable.reason,
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RouteConflict(a, b) => write!(
                f,
                "`{}` and `{}` match exactly the same requests",
                a.escape_debug(),
                b.escape_debug()
            ),
            Self::UnknownName(name) => write!(f, "`{}` is not defined", name.escape_debug()),
            Self::ListenerConflict(a, b) => write!(
                f,
                "listeners `{}` and `{}` have overlapping addresses; use different ports",
                a.escape_debug(),
                b.escape_debug()
            ),
            Self::BadAddress(address) => {
                write!(f, "`{}` is not an address", address.escape_debug())
            }
            Self::CredentialConflict => f.write_str("two consumers have the same credential"),
            Self::BadIndex => {
                f.write_str("the bundle is damaged: an operation has an invalid treatment index")
            }
            Self::OtherApis => {
                f.write_str("the shared part does not name exactly the bundle's APIs")
            }
            Self::OtherDocuments => {
                f.write_str("the documents that policies name are not those of the bundle")
            }
            Self::NotAvailable(need) => write!(
                f,
                "the bundle needs `{}`, which this version does not have",
                need.escape_debug()
            ),
            Self::Secret(unavailable) => unavailable.fmt(f),
        }
    }
}

/// Checks that this version has all features in `needs`. The list in the bundle's config was
/// checked before decoding, but may differ from the features that the content needs.
pub(crate) fn refuse_missing(needs: impl Iterator<Item = String>) -> Result<(), BuildError> {
    let missing = needs
        .into_iter()
        .find(|need| !ir::provides().contains(&need.as_str()));
    missing.map_or(Ok(()), |need| Err(BuildError::NotAvailable(need)))
}
