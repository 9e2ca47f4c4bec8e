//! Session of a browser after a login, as its cookie contains it.

use std::fmt;

use minicbor::{Decode, Encode};

/// Content of a session's cookie. The gateway stores no part of a session.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Session {
    /// Random id, new at each login.
    #[n(0)]
    pub(super) id: [u8; 16],
    /// Time of the login (Unix time, seconds).
    #[n(1)]
    pub(super) began_s: u64,
    /// Time of the last request that renewed the session (Unix time, seconds).
    #[n(2)]
    pub(super) seen_s: u64,
    /// Time from which the tokens must be refreshed (Unix time, seconds). `None` without a refresh
    /// token.
    #[n(3)]
    pub(super) refresh_s: Option<u64>,
    /// ID token, verified at the login.
    #[n(4)]
    pub(super) id_token: String,
    #[n(5)]
    pub(super) refresh_token: Option<String>,
    /// Granted scopes, separated by spaces.
    #[n(6)]
    pub(super) scope: String,
}

/// Login that waits for the response of the provider.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Pending {
    /// Parameter `state` of the authorization request.
    #[n(0)]
    pub(super) state: String,
    /// Parameter `nonce`.
    #[n(1)]
    pub(super) nonce: String,
    /// Code verifier (RFC 7636 §4.1).
    #[n(2)]
    pub(super) verifier: String,
    #[n(3)]
    pub(super) redirect_uri: String,
    /// Path and query that the browser requested before the login.
    #[n(4)]
    pub(super) target: String,
    /// Time at which the login expires without a response (Unix time, seconds).
    #[n(5)]
    pub(super) ends_s: u64,
}

/// Omits the tokens.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("began_s", &self.began_s)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Encodes the session to the bytes that its cookie contains encrypted.
    pub(super) fn encoded(&self) -> Vec<u8> {
        minicbor::to_vec(self).unwrap_or_default()
    }

    /// Decodes the result of [`Self::encoded`]. `None` for other bytes.
    pub(super) fn decoded(bytes: &[u8]) -> Option<Self> {
        minicbor::decode(bytes).ok()
    }
}
