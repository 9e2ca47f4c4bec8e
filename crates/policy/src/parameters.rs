//! Optional numeric settings, each with its unit and key, and most with a default.
//!
//! One table defines the settings for reading, encoding and comparing. gwc resolves defaults and
//! writes them into the bundle like other values. Plans show values that differ from the default.

use crate::declared::Scalar;

/// Unit of a number.
pub(crate) trait Unit {
    /// Converts the number to a setting with this unit.
    fn scalar(amount: u64) -> Scalar;
}

/// Plain number.
pub(crate) struct Count;
/// Milliseconds.
pub(crate) struct Ms;
/// Bytes.
pub(crate) struct Bytes;
/// Parts per million.
pub(crate) struct Share;

impl Unit for Count {
    fn scalar(amount: u64) -> Scalar {
        Scalar::Number(i64::try_from(amount).unwrap_or(i64::MAX))
    }
}

impl Unit for Ms {
    fn scalar(amount: u64) -> Scalar {
        Scalar::Duration(amount)
    }
}

impl Unit for Bytes {
    fn scalar(amount: u64) -> Scalar {
        Scalar::Size(amount)
    }
}

impl Unit for Share {
    fn scalar(amount: u64) -> Scalar {
        Scalar::Share(u32::try_from(amount).unwrap_or(u32::MAX))
    }
}

/// Defines a struct of numbers with rows `TAG NAME: UNIT = DEFAULT => "KEY"."KEY";`. Rows after `or
/// none` have no default: omitting the key disables the feature.
macro_rules! parameters {
    (
        $(#[$doc:meta])*
        pub struct $name:ident {
            $($(#[$about:meta])* $tag:literal $field:ident: $unit:ident = $default:expr => $($key:literal).+;)*
            $(or none $($(#[$none_about:meta])* $none_tag:literal $none_field:ident: $none_unit:ident => $($none_key:literal).+;)*)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
        #[cbor(map)]
        pub struct $name {
            $($(#[$about])* #[n($tag)] pub $field: u64,)*
            $($($(#[$none_about])* #[n($none_tag)] pub $none_field: Option<u64>,)*)?
        }

        impl $name {
            /// Creates the numbers from settings. Numbers that are not set have their defaults.
            #[must_use]
            pub fn of(settings: &$crate::declared::Settings) -> Self {
                Self {
                    $($field: settings.amount(&[$($key),+]).unwrap_or($default),)*
                    $($($none_field: settings.amount(&[$($none_key),+]),)*)?
                }
            }

            /// Numbers that differ from the defaults, for the comparison in plans.
            #[must_use]
            pub fn settings(&self) -> $crate::declared::Settings {
                use $crate::declared::{Settings, Value};
                use $crate::parameters::Unit as _;
                let mut settings = Settings::default();
                $(if self.$field != $default {
                    let scalar = $crate::parameters::$unit::scalar(self.$field);
                    settings = settings.with(&[$($key),+], Value::One(scalar));
                })*
                $($(if let Some(amount) = self.$none_field {
                    let scalar = $crate::parameters::$none_unit::scalar(amount);
                    settings = settings.with(&[$($none_key),+], Value::One(scalar));
                })*)?
                settings
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::of(&$crate::declared::Settings::default())
            }
        }
    };
}
pub(crate) use parameters;
