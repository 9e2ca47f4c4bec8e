//! Client addresses that every `ip_filter` of a chain admits. The client address is the one that
//! trusted proxies report; another comparison covers trusted proxies.

use std::collections::BTreeSet;

use policy::declared::Settings;
use policy::{Addresses, Cidr};

use super::{Access, Difference, Verdict};

/// Maximum number of files whose content is considered. Filters with more files count as
/// incomparable if they differ.
const FILES_MAX: usize = 8;

/// Reason for the absence of a witness: the content of a file decides.
const OF_FILES: &str =
    "no example: the address ranges are in a file on the gateway, which gwc cannot read";

/// Compares the client addresses that two chains admit.
pub(super) fn compare(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let (was, is) = (old.policies("ip_filter"), new.policies("ip_filter"));
    let all = files(&was).chain(files(&is));
    let all: Vec<&str> = all.collect::<BTreeSet<&str>>().into_iter().collect();
    let verdict = match was == is {
        true => Verdict::Equal,
        false => verdict(&was, &is, &all),
    };
    let id = super::presence_id(
        (was.is_empty(), is.is_empty()),
        [
            "address-filter-added",
            "address-filter-removed",
            "address-filter-changed",
        ],
    );
    let mut found = super::one(
        "from",
        verdict,
        id,
        "from",
        (filters_text(&was), filters_text(&is)),
    );
    if !all.is_empty() {
        for difference in &mut found {
            difference.why_none = Some(OF_FILES);
        }
    }
    found
}

/// Compares two lists of filters that name these files. The content of files is not known, so the
/// result must hold for any content. Each address may be in each file or not, independently of
/// other addresses. It is therefore enough to compare the filters for files that are either empty
/// or contain all addresses.
fn verdict(was: &[(&str, Settings)], is: &[(&str, Settings)], files: &[&str]) -> Verdict {
    if files.len() > FILES_MAX {
        return Verdict::Incomparable;
    }
    let (mut wider, mut narrower) = (true, true);
    for chosen in 0..1u32 << files.len() {
        let is_full = |file: &str| {
            let index = files.iter().position(|one| *one == file);
            index.is_some_and(|index| chosen >> index & 1 == 1)
        };
        let of = |filters: &[(&str, Settings)]| {
            admitted(filters, |file, _| match is_full(file) {
                true => Addresses::all(),
                false => Addresses::default(),
            })
        };
        let (before, after) = (of(was), of(is));
        wider &= before.is_within(&after);
        narrower &= after.is_within(&before);
    }
    Verdict::of(wider, narrower)
}

/// Returns the addresses that every filter admits, if `allow_file` contains all addresses and
/// `deny_file` contains none. gwc's engine makes the same assumption.
pub(super) fn addresses(filters: &[(&str, Settings)]) -> Addresses {
    admitted(filters, |_, denies| match denies {
        true => Addresses::default(),
        false => Addresses::all(),
    })
}

/// References of the files named by `allow_file` and `deny_file` of filters.
fn files<'s>(filters: &'s [(&str, Settings)]) -> impl Iterator<Item = &'s str> {
    let keys = ["allow_file", "deny_file"];
    let filters = filters.iter();
    filters.flat_map(move |(_, settings)| keys.into_iter().filter_map(|key| settings.text(&[key])))
}

/// Returns the addresses that every filter admits. `content` returns the addresses in a file; its
/// second argument is true if the filter denies them.
fn admitted(filters: &[(&str, Settings)], content: impl Fn(&str, bool) -> Addresses) -> Addresses {
    let list = |settings: &Settings, key: &str| {
        let texts = settings.texts(&[key])?;
        let ranges: Vec<Cidr> = texts.into_iter().filter_map(Cidr::parse).collect();
        Some(Addresses::of(&ranges))
    };
    let file = |settings: &Settings, key: &str, denies: bool| {
        settings.text(&[key]).map(|file| content(file, denies))
    };
    let union = |written: Option<Addresses>, file: Option<Addresses>| match (written, file) {
        (Some(written), Some(file)) => Some(written.union(&file)),
        (written, file) => written.or(file),
    };
    filters.iter().fold(Addresses::all(), |all, (_, settings)| {
        let allowed = union(list(settings, "allow"), file(settings, "allow_file", false));
        let denied = union(list(settings, "deny"), file(settings, "deny_file", true));
        let allowed = allowed.unwrap_or_else(Addresses::all);
        all.intersection(&allowed.without(&denied.unwrap_or_default()))
    })
}

fn filters_text(filters: &[(&str, Settings)]) -> String {
    let texts = |settings: &Settings, key: &str| {
        let texts = settings.texts(&[key]);
        let file = settings.text(&[&format!("{key}_file")]);
        let is_written = texts.is_some() || file.is_some();
        let all: Vec<&str> = texts.into_iter().flatten().chain(file).collect();
        is_written.then(|| format!("{key} {}", all.join(", ")))
    };
    let each = filters.iter().map(|(_, settings)| {
        let parts: Vec<String> = ["allow", "deny"]
            .iter()
            .filter_map(|key| texts(settings, key))
            .collect();
        parts.join("; ")
    });
    let each: Vec<String> = each.collect();
    match each.is_empty() {
        true => "every address".into(),
        false => each.join(", and "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::declared::{Scalar, Value};

    /// Ranges into which a test divides all addresses. A set of ranges is a number with one bit for
    /// each range.
    const PARTS: [&str; 5] = [
        "0.0.0.0/2",
        "64.0.0.0/2",
        "128.0.0.0/2",
        "192.0.0.0/2",
        "::/0",
    ];
    const EVERY: u32 = (1 << PARTS.len()) - 1;

    /// Values of the keys `allow` and `deny` as bits of [`PARTS`]. `None`: the key is absent.
    const ALLOWED: [Option<u32>; 3] = [None, Some(0b1), Some(0b10011)];
    const DENIED: [Option<u32>; 3] = [None, Some(0b10), Some(0b1100)];

    /// Filter in a test: the lists `allow` and `deny`, and for `allow_file` and `deny_file`, true
    /// if the filter names the file.
    #[derive(Clone, Copy, Debug)]
    struct TestFilter {
        allow: Option<u32>,
        deny: Option<u32>,
        files: [bool; 2],
    }

    impl TestFilter {
        fn settings(self) -> Settings {
            let list = |parts: u32| {
                let parts = PARTS
                    .iter()
                    .enumerate()
                    .filter(|(bit, _)| parts >> bit & 1 == 1);
                Value::Set(
                    parts
                        .map(|(_, part)| Scalar::Text((*part).to_owned()))
                        .collect(),
                )
            };
            let lists = [("allow", self.allow), ("deny", self.deny)];
            let lists = lists
                .into_iter()
                .filter_map(|(key, parts)| Some((key, list(parts?))));
            let files = ["allow_file", "deny_file"].into_iter().zip(self.files);
            let files = files.filter(|(_, named)| *named);
            let files = files.map(|(key, _)| (key, Value::One(Scalar::Text(key.to_owned()))));
            lists
                .chain(files)
                .fold(Settings::default(), |all, (key, value)| {
                    all.with(&[key], value)
                })
        }

        /// Ranges of [`PARTS`] that the filter admits if the files contain the ranges in `content`.
        fn admits(self, content: [u32; 2]) -> u32 {
            let file = |index: usize| self.files[index].then_some(content[index]);
            let allowed = match (self.allow, file(0)) {
                (None, None) => EVERY,
                (list, file) => list.unwrap_or(0) | file.unwrap_or(0),
            };
            let denied = self.deny.unwrap_or(0) | file(1).unwrap_or(0);
            allowed & !denied
        }
    }

    #[test]
    fn address_order_agrees_with_every_address() {
        let mut all: Vec<TestFilter> = Vec::new();
        for allow in ALLOWED {
            for deny in DENIED {
                for files in 0..4 {
                    let files = [files & 1 == 1, files & 2 == 2];
                    all.push(TestFilter { allow, deny, files });
                }
            }
        }
        let contents = || (0..=EVERY).flat_map(|one| (0..=EVERY).map(move |two| [one, two]));
        let of = |written: &TestFilter| {
            let admitted: Vec<u32> = contents().map(|content| written.admits(content)).collect();
            (*written, [("f", written.settings())], admitted)
        };
        let all: Vec<_> = all.iter().map(of).collect();
        for (a, own, admitted) in &all {
            for (b, other, wider) in &all {
                let within = |one: &[u32], two: &[u32]| {
                    one.iter().zip(two).all(|(one, two)| one & !two == 0)
                };
                let expected = Verdict::of(within(admitted, wider), within(wider, admitted));
                let found = verdict(own, other, &["allow_file", "deny_file"]);
                assert_eq!(found, expected, "{a:?} {b:?}");
            }
        }
    }
}
