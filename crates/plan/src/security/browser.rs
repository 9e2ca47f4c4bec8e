//! Access of web pages: `cors` (the Fetch standard), and protection against requests of other sites
//! (`csrf`).

use std::collections::BTreeSet;

use policy::declared::Settings;

use super::{Access, Difference, Verdict, verifier::value_text as value};

/// Compares which other origins may read responses, by the last `cors` of each chain. Without
/// `cors`, no other origin may read them.
pub(super) fn cors(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let (was, is) = (old.policies("cors"), new.policies("cors"));
    let (before, after) = (was.last().map(|(_, it)| it), is.last().map(|(_, it)| it));
    let within = |a: Option<&Settings>, b: Option<&Settings>| match (a, b) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(a), Some(b)) => cors_within(a, b),
    };
    let verdict = match (before, after) {
        // Without `cors`, the upstream's own CORS fields reach clients; their values are unknown.
        (Some(_), None) => Verdict::Incomparable,
        (before, after) => Verdict::of(within(before, after), within(after, before)),
    };
    let id = super::comes_or_goes(
        (before.is_none(), after.is_none()),
        ["cors-added", "cors-removed", "cors-changed"],
    );
    let told = |settings: Option<&Settings>| {
        settings.map_or_else(|| "the upstream's value".to_owned(), settings_told)
    };
    super::one("browser", verdict, id, "cors", (told(before), told(after)))
}

/// True if `b` allows every cross-origin exchange that `a` allows.
fn cors_within(a: &Settings, b: &Settings) -> bool {
    let flag = |settings: &Settings, key| settings.flag(&[key]) == Some(true);
    let flags = ["credentials", "private_network"];
    let list = |settings: &Settings, key| -> Option<BTreeSet<String>> {
        let texts = settings.texts(&[key])?;
        Some(texts.into_iter().map(str::to_owned).collect())
    };
    let lists = ["headers", "expose"].into_iter().all(|key| {
        let (own, wider) = (
            list(a, key).unwrap_or_default(),
            list(b, key).unwrap_or_default(),
        );
        wider.contains("*") || own.is_subset(&wider)
    });
    let methods = match (list(a, "methods"), list(b, "methods")) {
        (_, Some(wider)) if wider.contains("*") => true,
        // CORS always allows GET, HEAD and POST, without a list.
        (Some(own), Some(wider)) => {
            let always = |method: &str| matches!(method, "GET" | "HEAD" | "POST");
            own.iter()
                .all(|method| always(method) || wider.contains(method))
        }
        // Without a list, the methods of the path are allowed, which are unknown here.
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    let origins = list(a, "origins").unwrap_or_default();
    let wider = list(b, "origins").unwrap_or_default();
    let origins = origins
        .iter()
        .all(|origin| wider.iter().any(|wider| covers(wider, origin)));
    origins && methods && lists && flags.into_iter().all(|key| !flag(a, key) || flag(b, key))
}

/// True if an origin pattern matches all origins that another one matches. `*` matches all origins,
/// `https://*.example.org` those of the subdomains.
fn covers(wider: &str, origin: &str) -> bool {
    if wider == "*" || wider == origin {
        return true;
    }
    let Some((scheme, parent)) = wider.split_once("://*.") else {
        return false;
    };
    let Some((own, host)) = origin.split_once("://") else {
        return false;
    };
    let below = host
        .strip_suffix(parent)
        .and_then(|rest| rest.strip_suffix('.'));
    own == scheme && below.is_some_and(|rest| !rest.is_empty())
}

/// Compares the `csrf` policies of two chains.
pub(super) fn csrf(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let (was, is) = (old.policies("csrf"), new.policies("csrf"));
    let checks = |policies: &[(&str, Settings)]| -> Vec<(u8, BTreeSet<String>)> {
        let check = |settings: &Settings| {
            let rank = if settings.text(&["mode"]) == Some("log") {
                1
            } else {
                2
            };
            let origins = settings.texts(&["origins"]).unwrap_or_default();
            (rank, origins.into_iter().map(str::to_owned).collect())
        };
        policies
            .iter()
            .map(|(_, settings)| check(settings))
            .collect()
    };
    let (before, after) = (checks(&was), checks(&is));
    type Checks = [(u8, BTreeSet<String>)];
    let within = |a: &Checks, b: &Checks| {
        let held = |(rank, origins): &(u8, BTreeSet<String>)| {
            let stricter =
                |(own, exempt): &(u8, BTreeSet<String>)| own >= rank && exempt.is_subset(origins);
            a.iter().any(stricter)
        };
        b.iter().all(held)
    };
    let verdict = Verdict::of(within(&before, &after), within(&after, &before));
    let id = super::comes_or_goes(
        (before.is_empty(), after.is_empty()),
        ["csrf-added", "csrf-removed", "csrf-changed"],
    );
    let told = |policies: &[(&str, Settings)]| {
        let each = policies.iter().map(|(name, settings)| {
            format!("{name} {}", settings_told(settings))
                .trim_end()
                .to_owned()
        });
        let each: Vec<String> = each.collect();
        if each.is_empty() {
            "unchecked".to_owned()
        } else {
            each.join(", and ")
        }
    };
    super::one("csrf", verdict, id, "csrf", (told(&was), told(&is)))
}

fn settings_told(settings: &Settings) -> String {
    let settings = settings.iter();
    let settings = settings.map(|one| format!("{}: {}", one.path.join("."), value(&one.value)));
    settings.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::declared::{Scalar, Value};

    const ORIGINS: [&str; 5] = [
        "*",
        "https://a.org",
        "https://*.a.org",
        "https://x.a.org",
        "https://*.x.a.org",
    ];
    /// Origins to test patterns against.
    const PAGES: [&str; 6] = [
        "https://a.org",
        "https://x.a.org",
        "https://y.a.org",
        "https://z.x.a.org",
        "http://x.a.org",
        "null",
    ];

    /// Origins, methods, and credentials flag of a `cors` policy in a test.
    type Written = (Vec<&'static str>, Option<Vec<&'static str>>, bool);

    fn allows(pattern: &str, page: &str) -> bool {
        match pattern {
            "*" => true,
            "https://*.a.org" => {
                ["https://x.a.org", "https://y.a.org", "https://z.x.a.org"].contains(&page)
            }
            "https://*.x.a.org" => page == "https://z.x.a.org",
            plain => plain == page,
        }
    }

    #[test]
    fn cors_order_agrees_with_every_exchange() {
        let text = |text: &str| Scalar::Text(text.to_owned());
        let mut all: Vec<Written> = Vec::new();
        for bits in 1u32..32 {
            let origins: Vec<&'static str> = (0..5)
                .filter(|bit| bits & (1 << bit) != 0)
                .map(|bit| ORIGINS[bit])
                .collect();
            for methods in [vec!["PUT"], vec!["PUT", "DELETE"], vec!["*"], vec!["GET"]] {
                for credentials in [false, true] {
                    all.push((origins.clone(), Some(methods.clone()), credentials));
                }
            }
        }
        let settings: Vec<Settings> = all
            .iter()
            .map(|(origins, methods, credentials)| {
                let set = |texts: &[&str]| Value::Set(texts.iter().map(|one| text(one)).collect());
                let all = Settings::default()
                    .with(&["origins"], set(origins))
                    .with(&["credentials"], Value::One(Scalar::Flag(*credentials)));
                methods
                    .iter()
                    .fold(all, |all, methods| all.with(&["methods"], set(methods)))
            })
            .collect();
        let admits =
            |(origins, methods, credentials): &Written, page: &str, method: &str, with: bool| {
                let methods = methods.as_ref().unwrap();
                origins.iter().any(|pattern| allows(pattern, page))
                    && (method == "GET" || methods.contains(&method) || methods.contains(&"*"))
                    && (!with || *credentials)
            };
        for (a, own) in all.iter().zip(&settings) {
            for (b, other) in all.iter().zip(&settings) {
                let mut expected = true;
                for page in PAGES {
                    for method in ["GET", "PUT", "DELETE", "PATCH"] {
                        for with in [false, true] {
                            expected &=
                                !admits(a, page, method, with) || admits(b, page, method, with);
                        }
                    }
                }
                assert_eq!(cors_within(own, other), expected, "{a:?} {b:?}");
            }
        }
    }
}
