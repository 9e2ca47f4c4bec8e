//! Settings of policies and verifiers in one common form, with resolved units.
//!
//! The form has two uses. Policies and verifiers that this version cannot run are encoded as
//! [`Checked`], so that projects can be compared before a gateway can run them. Gateways refuse
//! such bundles (`needs`). Plans compare the settings of all kinds in this form.
//!
//! The form is flat: values without nesting, each with its path. Decoding a damaged bundle
//! therefore cannot recurse.

#[cfg(feature = "author")]
mod author;

#[cfg(feature = "author")]
pub use author::{later, whole};

use std::fmt;

use minicbor::data::Type;
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::change_rows;
use crate::changes::Absent::NoLimit;
use crate::changes::Changes;
use crate::changes::Direction::More;

use crate::phase::Phase;
use crate::protection::Protection;
use crate::secret::SecretRef;

/// Policy or verifier of a kind that this version knows but cannot run.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Value of `kind:`.
    #[n(0)]
    pub kind: String,
    /// All settings other than `kind:`.
    #[n(1)]
    pub settings: Settings,
}

/// Settings sorted by path, without duplicate paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Settings(Vec<Setting>);

/// A value with its path, which consists of keys and list indices.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Setting {
    /// Path of the value, for example `["certificates", "main", "key"]`.
    #[n(0)]
    pub path: Vec<String>,
    /// Value of the setting.
    #[n(1)]
    pub value: Value,
}

impl Setting {
    /// First key of the path. Empty if the path is empty: the value is then the whole map, which
    /// has no readable settings.
    #[must_use]
    pub fn key(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }
}

/// A value without nesting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Value {
    /// A single scalar.
    #[n(0)]
    One(#[n(0)] Scalar),
    /// Scalars whose order has no meaning: sorted, without duplicates.
    #[n(1)]
    Set(#[n(0)] Vec<Scalar>),
    /// Scalars whose order has a meaning.
    #[n(2)]
    List(#[n(0)] Vec<Scalar>),
    /// An empty map or list.
    #[n(3)]
    Empty,
}

/// A scalar with its unit resolved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Scalar {
    /// Boolean.
    #[n(0)]
    Flag(#[n(0)] bool),
    /// A whole number.
    #[n(1)]
    Number(#[n(0)] i64),
    /// String, keyword or date.
    #[n(2)]
    Text(#[n(0)] String),
    /// Duration in milliseconds.
    #[n(3)]
    Duration(#[n(0)] u64),
    /// Size in bytes.
    #[n(4)]
    Size(#[n(0)] u64),
    /// Rate: a count per period in milliseconds, as a fraction in lowest terms (see
    /// [`Scalar::rate`]).
    #[n(5)]
    Rate(#[n(0)] u64, #[n(1)] u64),
    /// Share in parts per million.
    #[n(6)]
    Share(#[n(0)] u32),
    /// Reference to a secret, which gwd resolves.
    #[n(7)]
    Secret(#[n(0)] SecretRef),
    /// Name of an item that is defined elsewhere.
    #[n(8)]
    Name(#[n(0)] String),
}

// === impl Checked ===

impl Checked {
    /// Phase in which the policy will run (command-line.md, *Phases*). Parameters such as `retry`
    /// have a phase as well, so that a plan shows if a chain contains such a parameter.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let by_address = self.settings.text(&["key"]) == Some("address");
        match self.kind.as_str() {
            "rate_limit" | "quota" | "concurrency" if by_address => Phase::Address,
            "forward_auth" => Phase::Authorize,
            "rate_limit" | "quota" | "concurrency" | "llm" => Phase::Limit,
            "validate" | "graphql_guard" | "body_limit" => Phase::Validate,
            "cache" => Phase::Cache,
            "redirect" | "respond" | "mock" | "split" | "mirror" | "rewrite" | "compose"
            | "fault" => Phase::Route,
            "retry" | "circuit_breaker" | "timeout" => Phase::Attempt,
            _ => Phase::Transform,
        }
    }
}

// === impl Settings ===

impl Settings {
    /// Sorts the settings. Of two values with the same path, the first is kept.
    #[must_use]
    pub fn new(mut settings: Vec<Setting>) -> Self {
        settings.sort_by(|a, b| a.path.cmp(&b.path));
        settings.dedup_by(|b, a| a.path == b.path);
        Self(settings)
    }

    /// True if there are no settings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All settings, sorted by path.
    pub fn iter(&self) -> std::slice::Iter<'_, Setting> {
        self.0.iter()
    }

    /// Value of the setting at this path. `None` if there is no such setting.
    #[must_use]
    pub fn get(&self, path: &[&str]) -> Option<&Value> {
        let found = self.0.binary_search_by(|one| {
            one.path
                .iter()
                .map(String::as_str)
                .cmp(path.iter().copied())
        });
        found.ok().map(|index| &self.0[index].value)
    }

    /// True if there is a setting at this path or below it.
    #[must_use]
    pub fn has(&self, path: &[&str]) -> bool {
        self.below(path).next().is_some()
    }

    /// Settings at a path or below it.
    pub fn below<'s>(&'s self, path: &'s [&'s str]) -> impl Iterator<Item = &'s Setting> {
        let starts = |one: &&Setting| {
            let own = one.path.iter().take(path.len()).map(String::as_str);
            one.path.len() >= path.len() && own.eq(path.iter().copied())
        };
        self.0.iter().filter(starts)
    }

    /// String or name in the setting at this path. `None` if the setting is absent or has another
    /// type.
    #[must_use]
    pub fn text(&self, path: &[&str]) -> Option<&str> {
        match self.get(path)? {
            Value::One(Scalar::Text(text) | Scalar::Name(text)) => Some(text),
            Value::One(_) | Value::Set(_) | Value::List(_) | Value::Empty => None,
        }
    }

    /// Boolean in the setting at this path. `None` if the setting is absent or has another type.
    #[must_use]
    pub fn flag(&self, path: &[&str]) -> Option<bool> {
        match self.get(path)? {
            Value::One(Scalar::Flag(flag)) => Some(*flag),
            Value::One(_) | Value::Set(_) | Value::List(_) | Value::Empty => None,
        }
    }

    /// Number in the setting at this path, in the unit of its type: a plain number, milliseconds,
    /// bytes, or parts per million. `None` if the setting is absent or not a number.
    #[must_use]
    pub fn amount(&self, path: &[&str]) -> Option<u64> {
        match self.get(path)? {
            Value::One(Scalar::Number(number)) => u64::try_from(*number).ok(),
            Value::One(Scalar::Duration(amount) | Scalar::Size(amount)) => Some(*amount),
            Value::One(Scalar::Share(ppm)) => Some((*ppm).into()),
            Value::One(_) | Value::Set(_) | Value::List(_) | Value::Empty => None,
        }
    }

    /// Numbers in the setting at this path: the items of a list, or a single number. Leaves out
    /// numbers above 65,535.
    #[must_use]
    pub fn numbers(&self, path: &[&str]) -> Vec<u16> {
        let number = |scalar: &Scalar| match scalar {
            Scalar::Number(number) => u16::try_from(*number).ok(),
            _ => None,
        };
        match self.get(path) {
            Some(Value::One(one)) => number(one).into_iter().collect(),
            Some(Value::Set(all) | Value::List(all)) => all.iter().filter_map(number).collect(),
            Some(Value::Empty) | None => Vec::new(),
        }
    }

    /// Settings below this path, with paths relative to it.
    #[must_use]
    pub fn inside(&self, path: &[&str]) -> Self {
        let below = self.below(path).filter(|one| one.path.len() > path.len());
        let inner = below.map(|one| Setting {
            path: one.path[path.len()..].to_vec(),
            value: one.value.clone(),
        });
        Self::new(inner.collect())
    }

    /// Strings in the setting at this path: the items of a list, or a single string. `None` if the
    /// setting is absent.
    #[must_use]
    pub fn texts(&self, path: &[&str]) -> Option<Vec<&str>> {
        let text = |scalar| match scalar {
            &Scalar::Text(ref text) | &Scalar::Name(ref text) => Some(text.as_str()),
            _ => None,
        };
        match self.get(path)? {
            Value::One(one) => Some(text(one).into_iter().collect()),
            Value::Set(all) | Value::List(all) => Some(all.iter().filter_map(text).collect()),
            Value::Empty => Some(Vec::new()),
        }
    }

    /// Secret references in the settings, each with its path.
    pub fn secrets(&self) -> impl Iterator<Item = (&[String], &SecretRef)> {
        self.0.iter().filter_map(|one| match &one.value {
            Value::One(Scalar::Secret(reference)) => Some((one.path.as_slice(), reference)),
            Value::One(_) | Value::Set(_) | Value::List(_) | Value::Empty => None,
        })
    }

    /// Removes the settings for whose paths `gone` returns true.
    #[must_use]
    pub fn without(mut self, gone: impl Fn(&[String]) -> bool) -> Self {
        self.0.retain(|one| !gone(&one.path));
        self
    }

    /// Adds the settings `inner` below `path`.
    #[must_use]
    pub fn with_below(mut self, path: &[&str], inner: Self) -> Self {
        let below = inner.0.into_iter().map(|one| {
            let above = path.iter().map(|key| (*key).to_owned());
            Setting {
                path: above.chain(one.path).collect(),
                value: one.value,
            }
        });
        self.insert(below.collect());
        self
    }

    /// Adds a setting. A setting that already has this path is kept.
    #[must_use]
    pub fn with(mut self, path: &[&str], value: Value) -> Self {
        let path = path.iter().map(|key| (*key).to_owned()).collect();
        self.insert(vec![Setting { path, value }]);
        self
    }

    /// Adds a setting for each name in `named`, directly below `path`. Takes less time than a
    /// [`Settings::with`] for each name, which moves the settings behind it.
    #[must_use]
    pub fn with_each<'n>(
        self,
        path: &[&str],
        named: impl IntoIterator<Item = (&'n str, Value)>,
    ) -> Self {
        let inner = named.into_iter().map(|(name, value)| Setting {
            path: vec![name.to_owned()],
            value,
        });
        self.with_below(path, Self::new(inner.collect()))
    }

    /// Adds sorted settings. A setting that already has the path of an added one is kept.
    fn insert(&mut self, added: Vec<Setting>) {
        let (Some(first), Some(last)) = (added.first(), added.last()) else {
            return;
        };
        // Most callers add settings at the end, or between two neighbours.
        let at = self.0.partition_point(|one| one.path < first.path);
        match self.0.get(at).is_none_or(|next| next.path > last.path) {
            true => drop(self.0.splice(at..at, added)),
            false => {
                self.0.extend(added);
                *self = Self::new(std::mem::take(&mut self.0));
            }
        }
    }
}

/// Merges the settings of several parts. If two settings have the same path, the first is kept.
impl FromIterator<Self> for Settings {
    fn from_iter<I: IntoIterator<Item = Self>>(parts: I) -> Self {
        Self::new(parts.into_iter().flat_map(|part| part.0).collect())
    }
}

// === impl Scalar ===

impl Scalar {
    /// Creates a rate in lowest terms: `600/min` is `10/s`.
    #[must_use]
    pub fn rate(count: u64, period_ms: u64) -> Self {
        let (mut a, mut b) = (count.max(1), period_ms.max(1));
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Self::Rate(count / a, period_ms / a)
    }

    /// Number in the scalar as a fraction, to compare values of the same unit. `None` if the scalar
    /// is not a number.
    #[must_use]
    pub fn amount(&self) -> Option<(u128, u128)> {
        Some(match self {
            Self::Number(number) => (u128::try_from(*number).ok()?, 1),
            Self::Duration(amount) | Self::Size(amount) => (u128::from(*amount), 1),
            Self::Rate(count, period_ms) => (u128::from(*count), u128::from(*period_ms)),
            Self::Share(ppm) => (u128::from(*ppm), 1),
            Self::Flag(_) | Self::Text(_) | Self::Secret(_) | Self::Name(_) => return None,
        })
    }
}

/// Formats the scalar as in the configuration: `250ms`, `1MiB`, `10/s`, `5%`.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = |amount: u64, units: &[(&'static str, u64)]| {
            let fits = units.iter().find(|(_, unit)| amount.is_multiple_of(*unit));
            let (name, unit) = fits
                .filter(|_| amount > 0)
                .unwrap_or(&units[units.len() - 1]);
            format!("{}{name}", amount / unit)
        };
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) | Self::Name(text) => f.write_str(text),
            Self::Duration(ms) => {
                let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
                f.write_str(&largest(*ms, &units))
            }
            Self::Size(bytes) => {
                let units = [
                    ("GiB", 1 << 30),
                    ("MiB", 1 << 20),
                    ("KiB", 1 << 10),
                    ("B", 1),
                ];
                f.write_str(&largest(*bytes, &units))
            }
            Self::Rate(count, period_ms) => {
                let units = [
                    ("s", 1_000),
                    ("min", 60_000),
                    ("h", 3_600_000),
                    ("d", 86_400_000),
                ];
                let whole = units.iter().find(|(_, unit)| {
                    (u128::from(*count) * *unit).is_multiple_of(u128::from(*period_ms))
                });
                match whole {
                    Some((name, unit)) => {
                        let count = u128::from(*count) * unit / u128::from(*period_ms);
                        write!(f, "{count}/{name}")
                    }
                    None => write!(f, "{count}/{period_ms}ms"),
                }
            }
            Self::Share(ppm) => {
                let (whole, rest) = (ppm / 10_000, ppm % 10_000);
                match rest {
                    0 => write!(f, "{whole}%"),
                    rest => write!(f, "{whole}.{}%", format!("{rest:04}").trim_end_matches('0')),
                }
            }
            Self::Secret(reference) => reference.fmt(f),
        }
    }
}

impl<C> Encode<C> for Settings {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        cx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.0.encode(e, cx)
    }

    /// True if there are no settings. Used to omit empty settings from the encoded map, so that the
    /// bytes are the same as in versions without this key.
    fn is_nil(&self) -> bool {
        self.is_empty()
    }
}

impl<'b, C> Decode<'b, C> for Settings {
    fn decode(d: &mut Decoder<'b>, cx: &mut C) -> Result<Self, minicbor::decode::Error> {
        if d.datatype()? != Type::Array {
            return Err(minicbor::decode::Error::message("settings are an array"));
        }
        let all: Vec<Setting> = Decode::decode(d, cx)?;
        if all.windows(2).all(|pair| pair[0].path < pair[1].path) {
            Ok(Self(all))
        } else {
            Err(minicbor::decode::Error::message(
                "settings are sorted and have each path once",
            ))
        }
    }

    fn nil() -> Option<Self> {
        Some(Self::default())
    }
}

/// Kinds of policies that this version knows but cannot run, and that protect something.
pub(crate) const PROTECTING: &[&str] = &["graphql_guard", "llm"];

/// Property of requests for which a kind of policy that this version cannot run will refuse them.
pub(crate) fn protection(kind: &str) -> Option<Protection> {
    PROTECTING.contains(&kind).then_some(Protection::Content)
}

/// Table of changes for a kind of policy that this version knows but cannot run. Default: a table
/// without rows.
pub(crate) fn changes(kind: &str) -> &'static Changes {
    static GRAPHQL_GUARD: Changes = Changes::new(change_rows! {
            "depth": More(NoLimit);
            "aliases": More(NoLimit);
            "complexity": More(NoLimit);
            "tokens": More(NoLimit);
            "batch": More(NoLimit);
    });
    static LLM: Changes = Changes::new(change_rows! {
            "tokens": More(NoLimit);
            "max_tokens": More(NoLimit);
    });
    static OTHERS: Changes = Changes::new(&[]);
    match kind {
        "graphql_guard" => &GRAPHQL_GUARD,
        "llm" => &LLM,
        _ => &OTHERS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_formatted_as_in_the_configuration() {
        let text_of = |scalar: Scalar| scalar.to_string();
        assert_eq!(text_of(Scalar::Duration(250)), "250ms");
        assert_eq!(text_of(Scalar::Duration(90_000)), "90s");
        assert_eq!(text_of(Scalar::Duration(0)), "0ms");
        assert_eq!(text_of(Scalar::Size(1 << 20)), "1MiB");
        assert_eq!(text_of(Scalar::Size(1_000_000)), "1000000B");
        assert_eq!(text_of(Scalar::rate(600, 60_000)), "10/s");
        assert_eq!(text_of(Scalar::rate(5_000, 3_600_000)), "5000/h");
        assert_eq!(text_of(Scalar::rate(7, 11)), "7/11ms");
        assert_eq!(text_of(Scalar::Share(50_000)), "5%");
        assert_eq!(text_of(Scalar::Share(5_500)), "0.55%");
        assert_eq!(Scalar::rate(600, 60_000), Scalar::rate(10, 1_000));
    }

    #[test]
    fn added_settings_are_sorted_and_the_first_is_kept() {
        let names = ["m", "a", "z", "1000", "100", "101", "a"];
        let flags = || {
            names
                .iter()
                .zip([true, true, true, true, true, true, false])
        };
        let value = |flag: bool| Value::One(Scalar::Flag(flag));
        let one = |(name, flag): (&&str, bool)| Setting {
            path: vec!["x".to_owned(), (*name).to_owned()],
            value: value(flag),
        };
        let expected = Settings::new(flags().map(one).collect());
        assert_eq!(expected.flag(&["x", "a"]), Some(true));
        let each = flags().fold(Settings::default(), |all, (name, flag)| {
            all.with(&["x", name], value(flag))
        });
        assert_eq!(each, expected);
        let named = flags().map(|(name, flag)| (*name, value(flag)));
        assert_eq!(Settings::default().with_each(&["x"], named), expected);
        let parts = flags().map(|(name, flag)| Settings::default().with(&["x", name], value(flag)));
        assert_eq!(parts.collect::<Settings>(), expected);
        // The first and the last added setting are not neighbours among the known ones.
        let outer = ["k", "a"].iter().zip([false, false]).map(one).collect();
        let inner = Settings::new(flags().map(one).collect()).inside(&["x"]);
        let all = Settings::new(outer).with_below(&["x"], inner);
        assert_eq!(all.0.len(), expected.0.len() + 1);
        assert_eq!(all.flag(&["x", "a"]), Some(false));
        assert!(all.0.is_sorted_by(|a, b| a.path < b.path));
    }

    #[test]
    fn settings_are_read_only_in_their_order() {
        let one = |key: &str| Setting {
            path: vec![key.to_owned()],
            value: Value::One(Scalar::Flag(true)),
        };
        let fine = Settings::new(vec![one("b"), one("a")]);
        let bytes = minicbor::to_vec(&fine).unwrap();
        assert_eq!(minicbor::decode::<Settings>(&bytes).unwrap(), fine);
        let bytes = minicbor::to_vec(vec![one("b"), one("a")]).unwrap();
        assert!(minicbor::decode::<Settings>(&bytes).is_err());
        assert_eq!(fine.flag(&["a"]), Some(true));
        assert!(fine.has(&["b"]) && !fine.has(&["c"]));
    }
}
