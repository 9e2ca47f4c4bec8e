//! Reasons why a session is not accepted, or a login does not succeed.

use crate::auth::reasons::reasons;

reasons! {
    /// Reason why a session is not accepted, or a login fails. Used in logs and metrics; clients do
    /// not see it.
    "login_"
    /// The session's cookie cannot be decrypted with any key, or a part of it is missing.
    Sealed "session_unreadable";
    /// The session is older than its lifetime.
    Expired "session_expired";
    /// The session had no request for longer than `session.idle`.
    Idle "session_idle";
    /// The provider refused to refresh the session, or the user logged out.
    Ended "session_ended";
    /// The session's ID token was revoked.
    Revoked "session_revoked";
    /// The provider's response belongs to no login of this browser, or the login took too long.
    State "state";
    /// The provider's response was used before.
    Replayed "replayed";
    /// The user or the provider denied the login.
    Denied "denied";
    /// The provider reports an error other than a denial.
    Refused "refused";
    /// The provider's response names another issuer (RFC 9207).
    Issuer "issuer";
    /// The provider's response has no code, or several codes.
    Code "code";
    /// The token endpoint refused the code.
    Grant "grant";
    /// The answer of the token endpoint cannot be used.
    Unusable "unusable";
    /// The ID token is not valid.
    IdToken "id_token";
    /// The ID token belongs to another login: its `nonce` differs.
    Nonce "nonce";
    /// The ID token was issued to another client, or for an unknown audience.
    Party "party";
    /// The access token does not match `at_hash` of the ID token.
    AccessToken "access_token";
    /// The session is too large for cookies.
    TooLarge "session_too_large";
    /// The provider did not answer.
    Unavailable "unavailable";
    /// A page of another site requested the logout.
    CrossSite "cross_site";
}
