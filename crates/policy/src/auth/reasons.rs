//! Reasons why a credential is refused. Reasons are written to logs and metrics, and never sent to
//! clients.

use super::{dpop, hmac_signature, jwt, mtls, oidc};

/// Defines an enum of reasons with their labels. `$prefix` precedes the labels in the metric of
/// rejections.
macro_rules! reasons {
    ($(#[$of:meta])* $prefix:literal $($(#[$doc:meta])* $name:ident $label:literal;)*) => {
        $(#[$of])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All reasons.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Label in logs and metrics.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// Label in the metric of rejections.
            #[must_use]
            pub const fn metric(self) -> &'static str {
                match self { $(Self::$name => concat!($prefix, $label),)* }
            }
        }
    };
}
pub(super) use reasons;

/// Reason why authentication refused a request, for logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Reason why a token was refused.
    Token(jwt::Reason),
    /// Reason why a client certificate was refused.
    Certificate(mtls::Reason),
    /// Reason why a proof of possession was refused.
    Proof(dpop::Reason),
    /// Reason why the signature of a request was refused.
    Signature(hmac_signature::Reason),
    /// Reason why a session was refused or a login failed.
    Login(oidc::Reason),
}

impl Fault {
    /// Key under which the access log shows the reason.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Token(_) => "token_fault",
            Self::Certificate(_) => "certificate_fault",
            Self::Proof(_) => "dpop_fault",
            Self::Signature(_) => "signature_fault",
            Self::Login(_) => "login_fault",
        }
    }

    /// Value that the access log shows for the reason.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Token(reason) => reason.label(),
            Self::Certificate(reason) => reason.label(),
            Self::Proof(reason) => reason.label(),
            Self::Signature(reason) => reason.label(),
            Self::Login(reason) => reason.label(),
        }
    }

    /// Label in the metric of rejections.
    #[must_use]
    pub const fn metric(self) -> &'static str {
        match self {
            Self::Token(reason) => reason.metric(),
            Self::Certificate(reason) => reason.metric(),
            Self::Proof(reason) => reason.metric(),
            Self::Signature(reason) => reason.metric(),
            Self::Login(reason) => reason.metric(),
        }
    }
}
