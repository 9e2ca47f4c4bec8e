//! Access of web pages: `cors` (the Fetch standard), and protection against requests of other sites
//! (`csrf`).

use std::collections::BTreeSet;

use policy::declared::Settings;

use super::{Access, Difference, Verdict, verifier::value_text as value};

/// Compares which other origins may read responses, by the last `cors` of each chain. Without
/// `cors`, no other origin may read responses.
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
    let id = super::presence_id(
        (before.is_none(), after.is_none()),
        ["cors-added", "cors-removed", "cors-changed"],
    );
    let shown = |settings: Option<&Settings>| {
        settings.map_or_else(|| "the upstream's value".to_owned(), settings_text)
    };
    super::one(
        "browser",
        verdict,
        id,
        "cors",
        (shown(before), shown(after)),
    )
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

/// True if the origin pattern `wider` matches all origins that the pattern `origin` matches. `*`
/// matches all origins, and `https://*.example.org` matches the origins of the subdomains.
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
    let verdict = csrf_verdict(&was, &is);
    let id = super::presence_id(
        (was.is_empty(), is.is_empty()),
        ["csrf-added", "csrf-removed", "csrf-changed"],
    );
    let shown = |policies: &[(&str, Settings)]| {
        let each = policies.iter().map(|(name, settings)| {
            format!("{name} {}", settings_text(settings))
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
    super::one("csrf", verdict, id, "csrf", (shown(&was), shown(&is)))
}

/// Compares two lists of `csrf` policies by the other origins whose requests pass these policies.
fn csrf_verdict(was: &[(&str, Settings)], is: &[(&str, Settings)]) -> Verdict {
    let (before, after) = (passed_pages(was), passed_pages(is));
    let within = |own: &[PassedPages; 2], wider: &[PassedPages; 2]| {
        own.iter().zip(wider).all(|pair| match pair {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(wider)) => own.is_subset(wider),
        })
    };
    Verdict::of(within(&before, &after), within(&after, &before))
}

/// Origins of the pages whose requests pass. `None`: every origin.
type PassedPages = Option<BTreeSet<String>>;

/// Origins that no `csrf` policy refuses, and origins that no `csrf` policy refuses or logs. A
/// request must pass every policy, so each set contains the origins that are in all lists.
fn passed_pages(policies: &[(&str, Settings)]) -> [PassedPages; 2] {
    let logs = |settings: &Settings| settings.text(&["mode"]) == Some("log");
    [false, true].map(|with_logs| {
        let counted = policies.iter().map(|(_, settings)| settings);
        let counted = counted.filter(|settings| with_logs || !logs(settings));
        let lists = counted.map(|settings| {
            let origins = settings.texts(&["origins"]).unwrap_or_default();
            origins.into_iter().map(str::to_owned).collect()
        });
        lists.reduce(|all: BTreeSet<String>, list| all.intersection(&list).cloned().collect())
    })
}

fn settings_text(settings: &Settings) -> String {
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
    type CorsSettings = (Vec<&'static str>, Option<Vec<&'static str>>, bool);

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
        let mut all: Vec<CorsSettings> = Vec::new();
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
        let admits = |(origins, methods, credentials): &CorsSettings,
                      page: &str,
                      method: &str,
                      with: bool| {
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

    /// Fields of requests that `headers` allows, together with the credentials flag and the fields
    /// of responses that `expose` lists.
    #[test]
    fn cors_fields_agree_with_every_exchange() {
        const LISTS: [&[&str]; 5] = [&[], &["x-a"], &["x-b"], &["x-a", "x-b"], &["*"]];
        let set = |texts: &[&str]| {
            let texts = texts.iter().map(|one| Scalar::Text((*one).to_owned()));
            Value::Set(texts.collect())
        };
        let mut all = Vec::new();
        for headers in LISTS {
            for expose in LISTS {
                for credentials in [false, true] {
                    let mut settings = Settings::default()
                        .with(&["origins"], set(&["https://a.org"]))
                        .with(&["credentials"], Value::One(Scalar::Flag(credentials)));
                    for (key, list) in [("headers", headers), ("expose", expose)] {
                        if !list.is_empty() {
                            settings = settings.with(&[key], set(list));
                        }
                    }
                    all.push(((headers, expose, credentials), settings));
                }
            }
        }
        let has = |list: &[&str], name: &str| list.contains(&"*") || list.contains(&name);
        let fields = ["x-a", "x-b", "x-c"];
        for (a, own) in &all {
            for (b, other) in &all {
                let within = |own: &[&str], wider: &[&str]| {
                    fields
                        .iter()
                        .all(|name| !has(own, name) || has(wider, name))
                };
                let expected = within(a.0, b.0) && within(a.1, b.1) && (!a.2 || b.2);
                assert_eq!(cors_within(own, other), expected, "{a:?} {b:?}");
            }
        }
    }

    /// `csrf` policy in a test: true if its mode is `log`, and a bit mask of the origins in
    /// [`LISTED`] that it trusts.
    type Check = (bool, u8);

    const LISTED: [&str; 2] = ["https://a.org", "https://b.org"];

    /// Outcome for a page with this bit. 0: passed, 1: logged, 2: refused.
    fn outcome(checks: &[Check], page: u8) -> u8 {
        let foreign = checks.iter().filter(|(_, listed)| listed & page == 0);
        let outcomes = foreign.map(|(logs, _)| if *logs { 1 } else { 2 });
        outcomes.max().unwrap_or(0)
    }

    #[test]
    fn csrf_order_agrees_with_every_page() {
        let settings = |(logs, listed): Check| {
            let pages = LISTED.iter().zip([1, 2]);
            let pages = pages.filter(|(_, bit)| listed & bit != 0);
            let pages: Vec<Scalar> = pages
                .map(|(page, _)| Scalar::Text((*page).to_owned()))
                .collect();
            let mut settings = Settings::default();
            if !pages.is_empty() {
                settings = settings.with(&["origins"], Value::Set(pages));
            }
            match logs {
                true => settings.with(&["mode"], Value::One(Scalar::Text("log".to_owned()))),
                false => settings,
            }
        };
        let one: Vec<Check> = (0..8).map(|number| (number >= 4, number & 3)).collect();
        let mut all: Vec<Vec<Check>> = vec![Vec::new()];
        for first in &one {
            all.push(vec![*first]);
            all.extend(one.iter().map(|second| vec![*first, *second]));
        }
        let written: Vec<Vec<(&str, Settings)>> = all
            .iter()
            .map(|checks| checks.iter().map(|check| ("c", settings(*check))).collect())
            .collect();
        for (a, own) in all.iter().zip(&written) {
            for (b, other) in all.iter().zip(&written) {
                // The two listed pages, and a page that no list has.
                let wider = [1, 2, 4]
                    .iter()
                    .all(|page| outcome(b, *page) <= outcome(a, *page));
                let narrower = [1, 2, 4]
                    .iter()
                    .all(|page| outcome(a, *page) <= outcome(b, *page));
                let expected = Verdict::of(wider, narrower);
                assert_eq!(csrf_verdict(own, other), expected, "{a:?} {b:?}");
            }
        }
    }
}
