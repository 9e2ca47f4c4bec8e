//! Kinds of authentication. Authentication is not a policy: an operation's `security` selects
//! security schemes, a scheme names the location of the credential, and a verifier checks the
//! credential.

pub mod api_key;
pub mod basic;
pub mod binding;
pub mod dpop;
pub mod hmac_signature;
pub mod introspection;
pub mod jwt;
pub mod mtls;
pub(crate) mod names;
pub mod oidc;
pub(crate) mod place;
mod reasons;
mod removals;
mod replays;
mod spelling;
mod token;

pub use place::{
    FoundCredential, Place, decode as decode_query, decode_basic, strip_cookies_of,
    strip_set_cookies_of,
};
pub use reasons::Fault;
pub use removals::Removals;
pub use replays::{Life, Refused, Replays, Windows};
pub use spelling::{
    compared_forms, compared_in_query, has_lookalike, has_several_readings, is_malformed,
    is_read_as, name_and_value, readings, without, without_converter,
};
pub(crate) use spelling::{is_written_as, without_equals, without_unicode};
pub use token::{TokenRequest, TokenVerifier, token_digest};

use minicbor::{Decode, Encode};

use self::binding::Binding;
use crate::{declared, store};

/// Properties of a kind of verifier, implemented by its `Checked` type. The default of each method
/// is for kinds that do not have the property.
pub trait Verifier {
    /// Features that some settings of this kind need instead of `auth:KIND`. The names are those in
    /// a bundle's `needs`.
    const FEATURES: &'static [&'static str] = &[];

    /// Settings that differ from the defaults, for the comparison in plans.
    fn settings(&self) -> declared::Settings;

    /// Feature of [`Self::FEATURES`] that these settings need. `None` if they need no such feature.
    fn feature(&self) -> Option<&'static str> {
        None
    }

    /// URL of the metadata of the protected resource (RFC 9728), which challenges name. `None`:
    /// challenges name no metadata.
    fn resource_metadata(&self) -> Option<&str> {
        None
    }

    /// Handling of tokens bound to certificates. `None` for a verifier that refuses them.
    fn binding(&self) -> Option<Binding> {
        None
    }

    /// Name of the verifier that checks the token itself. `None` unless this verifier checks proofs
    /// of possession (`dpop`).
    fn token_verifier(&self) -> Option<&str> {
        None
    }

    /// Renames the verifier that [`Self::token_verifier`] names.
    fn rename_token(&mut self, _: &dyn Fn(&str) -> String) {}

    /// Origins of the URLs that gwd calls for the verifier, sorted. The origins are the names of
    /// upstreams.
    fn origins(&self) -> Vec<String> {
        Vec::new()
    }

    /// Store in which the gateways of a fleet record used credentials. `None`: each gateway has its
    /// own table, or the credentials may be used again.
    fn store(&self) -> Option<&store::Checked> {
        None
    }

    /// The same store, for [`Checked::bind_store`].
    fn store_mut(&mut self) -> Option<&mut store::Checked> {
        None
    }

    /// True if the verifier checks tokens: bearer tokens (RFC 6750) or tokens with proofs (RFC
    /// 9449).
    fn takes_tokens(&self) -> bool {
        false
    }
}

/// Table of the kinds of verifiers that this version can run, in the order of the documentation.
/// Columns: CBOR tag (never reused), value of `kind:`, variant with its settings, module.
macro_rules! verifiers {
    ($($tag:literal $key:literal $variant:ident($settings:ty) $module:ident;)*) => {
        /// Settings of a verifier of any kind, in the bundle.
        #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
        pub enum Checked {
            $(#[doc = concat!("`kind: ", $key, "`")] #[n($tag)] $variant(#[n(0)] $settings),)*
            /// Verifier of a kind that this version knows but cannot run, or with a setting that
            /// this version cannot run. Gateways refuse bundles with such a verifier.
            #[n(101)] Declared(#[n(0)] declared::Checked),
        }

        /// Matches a verifier: evaluates `$value` with the settings of a kind that can run, or
        /// `$other` with those of a kind that cannot run.
        macro_rules! each {
            ($of:expr, $verifier:ident => $value:expr, $declared:ident => $other:expr) => {
                match $of {
                    $(Checked::$variant($verifier) => $value,)*
                    Checked::Declared($declared) => $other,
                }
            };
        }

        impl Checked {
            /// Value of `kind:`.
            #[must_use]
            pub fn kind(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $key,)*
                    Self::Declared(declared) => &declared.kind,
                }
            }
        }

        /// Features of verifiers that this version can run. The names are those in a bundle's
        /// `needs`.
        pub fn provides() -> impl Iterator<Item = &'static str> {
            let kinds: [(&str, &[&str]); _] = [
                $((concat!("auth:", $key), <$module::Checked as Verifier>::FEATURES),)*
            ];
            let kinds = kinds.into_iter();
            let kinds = kinds.flat_map(|(kind, more)| [kind].into_iter().chain(more.iter().copied()));
            kinds.chain([CERTIFICATE_BINDING, RESOURCE_METADATA, USED_STORE])
        }

        /// All kinds of verifiers, including those that this version cannot run.
        #[cfg(feature = "author")]
        pub static KINDS: &[diag::shape::Variant] = &[
            $(diag::shape::Variant {
                kind: $key,
                object: &$module::author::SHAPE,
                runs: true,
            },)*
        ];

        /// Reads a verifier from a node that fits [`KINDS`].
        #[cfg(feature = "author")]
        pub fn check(kind: &str, node: diag::NodeRef<'_>) -> Option<Checked> {
            match kind {
                $($key => $module::author::check(node).map(|one| Checked::$variant(one.into())),)*
                _ => None,
            }
        }
    };
}

verifiers! {
    1 "api_key"        ApiKey(api_key::Checked)                      api_key;
    2 "basic"          Basic(basic::Checked)                         basic;
    3 "jwt"            Jwt(Box<jwt::Checked>)                        jwt;
    8 "oidc"           Oidc(Box<oidc::Checked>)                      oidc;
    4 "introspection"  Introspection(Box<introspection::Checked>)    introspection;
    5 "mtls"           Mtls(mtls::Checked)                           mtls;
    7 "hmac_signature" HmacSignature(Box<hmac_signature::Checked>)   hmac_signature;
    6 "dpop"           Dpop(dpop::Checked)                           dpop;
}

/// Feature of verifiers with [`Verifier::binding`].
const CERTIFICATE_BINDING: &str = "auth:certificate_binding";
/// Feature of verifiers with [`Verifier::resource_metadata`].
const RESOURCE_METADATA: &str = "auth:resource_metadata";
/// Feature of verifiers with [`Verifier::store`].
const USED_STORE: &str = "auth:used_store";

impl Checked {
    /// Feature that a gateway must have to run the verifier. The name is one in a bundle's `needs`.
    #[must_use]
    pub fn need(&self) -> String {
        let need = format!("auth:{}", self.kind());
        let feature = each!(self, verifier => verifier.feature(), _declared => None);
        match (feature, self) {
            (Some(feature), _) => feature.to_owned(),
            // This version can run the kind, but does not support one of its settings.
            (None, Self::Declared(_)) if provides().any(|one| one == need) => {
                format!("{need}:later")
            }
            (None, _) => need,
        }
    }

    /// Features that a gateway must have to run the verifier: [`Self::need`], and features of
    /// settings that older gateways do not support.
    pub fn needs(&self) -> impl Iterator<Item = String> {
        let binding = self.binding().map(|_| CERTIFICATE_BINDING.to_owned());
        let metadata = self.resource_metadata();
        let metadata = metadata.map(|_| RESOURCE_METADATA.to_owned());
        let store = self.store().map(|_| USED_STORE.to_owned());
        let more = binding.into_iter().chain(metadata).chain(store);
        std::iter::once(self.need()).chain(more)
    }

    /// True if this version can run the verifier.
    #[must_use]
    pub fn runs(&self) -> bool {
        let need = self.need();
        provides().any(|one| one == need)
    }

    /// URL of the metadata of the protected resource ([`Verifier::resource_metadata`]). `None` also
    /// for a kind that cannot run.
    #[must_use]
    pub fn resource_metadata(&self) -> Option<&str> {
        each!(self, verifier => verifier.resource_metadata(), _declared => None)
    }

    /// Handling of tokens bound to certificates ([`Verifier::binding`]). `None` also for a kind
    /// that cannot run.
    #[must_use]
    pub fn binding(&self) -> Option<Binding> {
        each!(self, verifier => verifier.binding(), _declared => None)
    }

    /// Name of the verifier that checks the token itself ([`Verifier::token_verifier`]). `None`
    /// also for a kind that cannot run.
    #[must_use]
    pub fn token_verifier(&self) -> Option<&str> {
        each!(self, verifier => verifier.token_verifier(), _declared => None)
    }

    /// Renames the verifier that [`Self::token_verifier`] names.
    pub fn rename_token(&mut self, name: &dyn Fn(&str) -> String) {
        each!(self, verifier => verifier.rename_token(name), _declared => ());
    }

    /// Origins of the URLs that gwd calls for the verifier ([`Verifier::origins`]). Empty also for
    /// a kind that cannot run.
    #[must_use]
    pub fn origins(&self) -> Vec<String> {
        each!(self, verifier => verifier.origins(), _declared => Vec::new())
    }

    /// Store of used credentials ([`Verifier::store`]). `None` also for a kind that cannot run.
    #[must_use]
    pub fn store(&self) -> Option<&store::Checked> {
        each!(self, verifier => verifier.store(), _declared => None)
    }

    /// Calls `bind` with the verifier's store, if there is one. `bind` adds the settings of the
    /// store, because users write only its name in a verifier. `on_outage` of the verifier is kept.
    pub fn bind_store(&mut self, bind: &dyn Fn(&mut store::Checked)) {
        if let Some(store) = each!(self, verifier => verifier.store_mut(), _declared => None) {
            let on_outage = store.on_outage;
            bind(store);
            store.on_outage = on_outage;
        }
    }

    /// True if the verifier checks tokens ([`Verifier::takes_tokens`]). False for a kind that
    /// cannot run.
    #[must_use]
    pub fn takes_tokens(&self) -> bool {
        each!(self, verifier => verifier.takes_tokens(), _declared => false)
    }

    /// Settings in the form of [`declared::Settings`], for the comparison in plans.
    #[must_use]
    pub fn settings(&self) -> declared::Settings {
        each!(self, verifier => verifier.settings(), declared => declared.settings.clone())
    }
}
