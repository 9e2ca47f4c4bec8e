//! Client addresses that every `ip_filter` of the chain admits. The client address is the one that
//! trusted proxies report. Trusted proxies are compared separately.

use policy::declared::Settings;
use policy::{Addresses, Cidr};

use super::{Access, Difference, Verdict};

/// Compares the admitted client addresses of two chains.
pub(super) fn compare(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let (was, is) = (old.policies("ip_filter"), new.policies("ip_filter"));
    let (before, after) = (addresses(&was), addresses(&is));
    let verdict = Verdict::of(before.is_within(&after), after.is_within(&before));
    let id = super::comes_or_goes(
        (was.is_empty(), is.is_empty()),
        [
            "address-filter-added",
            "address-filter-removed",
            "address-filter-changed",
        ],
    );
    super::one("from", verdict, id, "from", (told(&was), told(&is)))
}

/// Returns the addresses that every filter admits.
pub(super) fn addresses(filters: &[(&str, Settings)]) -> Addresses {
    let list = |settings: &Settings, key: &str| {
        let texts = settings.texts(&[key])?;
        let ranges: Vec<Cidr> = texts.into_iter().filter_map(Cidr::parse).collect();
        Some(Addresses::of(&ranges))
    };
    filters.iter().fold(Addresses::all(), |all, (_, settings)| {
        let allowed = list(settings, "allow").unwrap_or_else(Addresses::all);
        let denied = list(settings, "deny").unwrap_or_default();
        all.intersection(&allowed.without(&denied))
    })
}

fn told(filters: &[(&str, Settings)]) -> String {
    let texts = |settings: &Settings, key: &str| {
        let texts = settings.texts(&[key])?;
        Some(format!("{key} {}", texts.join(", ")))
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
