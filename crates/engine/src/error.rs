//! Errors of building a snapshot.

use std::fmt;

use bundle::ir;
use policy::SecretUnavailable;

/// Reason why a gateway cannot be built. gwc reports each of these, but a bundle is checked again
/// where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// Two operations match exactly the same requests.
    RouteConflict(String, String),
    /// A name that nothing has.
    UnknownName(String),
    /// A listener's address that is none.
    BadAddress(String),
    /// Two listeners that overlap in their addresses.
    ListenerConflict(String, String),
    /// Two consumers have the same credential.
    CredentialConflict,
    /// A treatment that does not exist.
    BadIndex,
    /// The shared part names other APIs, or others of their blobs.
    OtherApis,
    /// Something that this version knows and cannot run, in the words of `needs`.
    NotAvailable(String),
    /// A secret that cannot be resolved.
    Secret(SecretUnavailable),
}

impl BuildError {
    /// The kebab-case reason of a refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::RouteConflict(..) => "route-conflict",
            Self::UnknownName(_) => "unknown-name",
            Self::BadAddress(_) => "bad-address",
            Self::ListenerConflict(..) => "listener-conflict",
            Self::CredentialConflict => "credential-conflict",
            Self::NotAvailable(_) => "needs",
            Self::BadIndex | Self::OtherApis => "malformed",
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
            Self::UnknownName(name) => write!(f, "nothing is named `{}`", name.escape_debug()),
            Self::ListenerConflict(a, b) => write!(
                f,
                "listeners `{}` and `{}` have addresses that collide",
                a.escape_debug(),
                b.escape_debug()
            ),
            Self::BadAddress(address) => {
                write!(f, "`{}` is not an address", address.escape_debug())
            }
            Self::CredentialConflict => f.write_str("two consumers have the same credential"),
            Self::BadIndex => f.write_str("an operation names a treatment that does not exist"),
            Self::OtherApis => f.write_str("the shared part names other APIs than there are"),
            Self::NotAvailable(need) => write!(
                f,
                "it needs `{}`, which this version does not have",
                need.escape_debug()
            ),
            Self::Secret(unavailable) => unavailable.fmt(f),
        }
    }
}

/// Everything is provided. `needs` of a bundle was read before it was decoded; what it says and
/// what stands in the bundle may be two things.
pub(crate) fn refuse_missing(needs: impl Iterator<Item = String>) -> Result<(), BuildError> {
    let missing = needs
        .into_iter()
        .find(|need| !ir::provides().contains(&need.as_str()));
    missing.map_or(Ok(()), |need| Err(BuildError::NotAvailable(need)))
}
