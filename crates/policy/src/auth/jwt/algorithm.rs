//! Signature algorithms of tokens (RFC 7518 §3.1, RFC 8037).

use minicbor::{Decode, Encode};

macro_rules! algorithms {
    ($($number:literal $name:ident $text:literal $family:ident;)*) => {
        /// Signature algorithm of tokens. `none` is not supported.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(index_only)]
        pub enum Algorithm {
            $(#[doc = concat!("`", $text, "`")] #[n($number)] $name,)*
        }

        impl Algorithm {
            /// All algorithms.
            pub(super) const ALL: &[Self] = &[$(Self::$name),*];

            /// Names of all algorithms, as in `alg`.
            pub const NAMES: &[&str] = &[$($text),*];

            /// Algorithm with this value of `alg`, case-sensitive. `Ed25519` (RFC 9864 §2.2) is
            /// read as `EdDSA`, for which Ed25519 is the only supported curve.
            #[must_use]
            pub fn of(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)* "Ed25519" => Some(Self::EdDsa), _ => None }
            }

            /// Value of `alg`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Kind of key that the algorithm needs.
            #[must_use]
            pub const fn family(self) -> Family {
                match self { $(Self::$name => Family::$family,)* }
            }
        }
    };
}

/// Kind of key that signs tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// RSA.
    Rsa,
    /// ECDSA on the curve P-256.
    P256,
    /// ECDSA on the curve P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// A shared secret.
    Secret,
}

algorithms! {
    0 Rs256 "RS256" Rsa;
    1 Rs384 "RS384" Rsa;
    2 Rs512 "RS512" Rsa;
    3 Ps256 "PS256" Rsa;
    4 Ps384 "PS384" Rsa;
    5 Ps512 "PS512" Rsa;
    6 Es256 "ES256" P256;
    7 Es384 "ES384" P384;
    8 EdDsa "EdDSA" Ed25519;
    9 Hs256 "HS256" Secret;
    10 Hs384 "HS384" Secret;
    11 Hs512 "HS512" Secret;
}

impl Algorithm {
    /// Minimum length of a shared secret in bytes: the length of the hash (RFC 7518 §3.2). 0 for
    /// algorithms with key pairs.
    #[must_use]
    pub const fn secret_bytes_min(self) -> usize {
        match self {
            Self::Hs256 => 32,
            Self::Hs384 => 48,
            Self::Hs512 => 64,
            _ => 0,
        }
    }
}
