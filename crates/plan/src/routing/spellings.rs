//! Paths of one operation that a server may read as a path of another operation: another letter
//! case, another final slash, or escapes that a server decodes. The gateway refuses such requests
//! if the other operation has other access rules (400 `path_ambiguous`).
//!
//! These functions only propose paths. The engines decide which route serves a path and whether the
//! gateway refuses it.

use bundle::ir::{Segment, Template};
use engine::readings::readings;
use rustc_hash::FxHashMap;

use super::table::{Route, Tier};
use super::texts::{Rivals, Steps, matches, texts, with_upper_escapes};

/// Text of a parameter whose value does not matter.
const FILLER: &str = "0";

/// Spellings of the literals in the templates of both sides, and the presence of a final slash.
#[derive(Debug, Default)]
pub(super) struct LetterCases {
    /// Spelling of each literal, by its lower case. `None`: several spellings.
    spellings: FxHashMap<String, Option<String>>,
    /// True if a template ends in a slash.
    has_final_slash: bool,
}

impl LetterCases {
    pub(super) fn of<'r>(templates: impl Iterator<Item = &'r Template>) -> Self {
        let mut cases = Self::default();
        for template in templates {
            let segments = template.segments();
            let ends_empty = segments.last() == Some(&Segment::Literal(String::new()));
            cases.has_final_slash |= ends_empty && segments.len() > 1;
            for segment in segments {
                let Segment::Literal(text) = segment else {
                    continue;
                };
                let spellings = cases.spellings.entry(text.to_ascii_lowercase());
                let known = spellings.or_insert_with(|| Some(text.clone()));
                if known.as_deref() != Some(text) {
                    *known = None;
                }
            }
        }
        cases
    }

    /// True if another template spells, or may spell, a segment of `template` in another letter
    /// case.
    pub(super) fn has_spellings(&self, template: &Template) -> bool {
        template.segments().iter().any(|segment| match segment {
            Segment::Literal(text) => {
                let spelling = self.spellings.get(&text.to_ascii_lowercase());
                spelling.is_some_and(Option::is_none)
            }
            Segment::Folded(text) => self.spellings.contains_key(text),
            Segment::Pattern(pattern) => pattern.erased().bytes().any(|b| b.is_ascii_alphabetic()),
            Segment::Parameter(_) => false,
        })
    }

    /// True if a template ends in a slash.
    pub(super) fn has_final_slash(&self) -> bool {
        self.has_final_slash
    }

    /// Templates of the paths that a server may read as paths of `template`: the case-insensitive
    /// template and, if any template ends in a slash, its trailing-slash variant.
    pub(super) fn neighbours(&self, template: &Template) -> Vec<Template> {
        let twin = template.twin().filter(|_| self.has_final_slash);
        let own = std::iter::once(template.clone());
        own.chain(twin).map(Template::into_folded).collect()
    }
}

/// Path that all `templates` match. Prefers the literals of `preferred`. `None` if there is no such
/// path or the search takes too many steps.
pub(super) fn common_path(
    templates: &[&Template],
    preferred: &Template,
    steps: &Steps,
) -> Option<String> {
    let lengths = templates.iter().map(|one| one.segments().len());
    let length = lengths.max().unwrap_or(0).max(1);
    let reaches = |one: &&Template| one.is_prefix() || one.segments().len() == length;
    if !templates.iter().all(reaches) {
        return None;
    }
    let mut path = String::new();
    for at in 0..length {
        let musts: Vec<&Segment> = templates
            .iter()
            .filter_map(|one| one.segments().get(at))
            .collect();
        let preferred = match preferred.segments().get(at) {
            Some(Segment::Literal(text) | Segment::Folded(text)) => Some(text),
            _ => None,
        };
        let fits = |text: &&String| musts.iter().all(|must| matches(must, text));
        let preferred = preferred.map(|text| with_upper_escapes(text));
        let text = match preferred.filter(|text| fits(&text)) {
            Some(text) => text,
            None => texts(&musts, &Rivals::default(), steps)
                .into_iter()
                .next()?,
        };
        path.push('/');
        path.push_str(&text);
    }
    Some(path)
}

/// Returns the path with the case of all letters swapped, and for each segment a path with only the
/// letters of that segment swapped. Only ASCII letters outside escapes change.
pub(super) fn in_other_cases(path: &str) -> Vec<String> {
    let segments: Vec<&str> = path.split('/').collect();
    let one = |changed: usize| {
        let mut segments: Vec<String> = segments.iter().map(|text| (*text).to_owned()).collect();
        segments[changed] = in_other_case(&segments[changed]);
        segments.join("/")
    };
    let all = std::iter::once(in_other_case(path));
    let all = all.chain((0..segments.len()).map(one));
    all.filter(|other| other != path).collect()
}

fn in_other_case(text: &str) -> String {
    let mut other = String::with_capacity(text.len());
    let mut escaped = 0_usize;
    for c in text.chars() {
        other.push(match c {
            _ if escaped > 0 => c,
            c if c.is_ascii_uppercase() => c.to_ascii_lowercase(),
            c => c.to_ascii_uppercase(),
        });
        escaped = if c == '%' {
            2
        } else {
            escaped.saturating_sub(1)
        };
    }
    other
}

/// Path of a template in which each parameter is [`FILLER`]. For a prefix template, also a path
/// below the prefix.
pub(super) fn own_paths(template: &Template) -> Vec<String> {
    let path = filled(template, &FxHashMap::default());
    with_below(template, path)
}

/// A path of a template, and a path below it if the template is a prefix.
pub(super) fn with_below(template: &Template, path: String) -> Vec<String> {
    let below = format!("{}/{FILLER}", path.trim_end_matches('/'));
    let below = template.is_prefix().then_some(below);
    std::iter::once(path).chain(below).collect()
}

/// Paths of a template whose first parameter has a value that servers read in several ways.
pub(super) fn ambiguous_paths(template: &Template) -> Vec<String> {
    let Some(name) = template.parameters().next() else {
        return Vec::new();
    };
    let values = ["..;", "0%2F", "0;v", "0."].into_iter();
    values
        .map(|value| filled(template, &std::iter::once((name, value)).collect()))
        .collect()
}

/// Paths of a route with an ambiguous template that have an interpretation which `other` matches.
pub(super) fn read_as(route: &Route<'_>, other: &Template, steps: &Steps) -> Vec<String> {
    let shown = route.template.to_string();
    let mut paths = Vec::new();
    for reading in readings(&shown).unwrap_or_default() {
        let Ok(reading) = Template::parse(&reading) else {
            continue;
        };
        let Some(path) = common_path(&[&reading, other], other, steps) else {
            continue;
        };
        let bound = reading.bind(&path, 0).into_iter();
        let bound: FxHashMap<&str, &str> =
            bound.map(|(name, range)| (name, &path[range])).collect();
        paths.push(filled(&route.template, &bound));
    }
    paths
}

/// Path of a template with these values of parameters. Other parameters are [`FILLER`].
pub(super) fn filled(template: &Template, values: &FxHashMap<&str, &str>) -> String {
    let value = |name: &str| values.get(name).copied().unwrap_or(FILLER);
    let segments = template.segments().iter().map(|segment| match segment {
        Segment::Literal(text) => text.clone(),
        Segment::Folded(text) => with_upper_escapes(text),
        Segment::Parameter(name) => value(name).to_owned(),
        Segment::Pattern(pattern) => {
            let literal = |text: &str| match pattern.folded {
                true => with_upper_escapes(text),
                false => text.to_owned(),
            };
            let rest = pattern.rest.iter();
            let rest = rest.map(|(name, text)| format!("{}{}", value(name), literal(text)));
            literal(&pattern.head) + &rest.collect::<String>()
        }
    });
    let path: String = segments.map(|text| format!("/{text}")).collect();
    match path.is_empty() {
        true => "/".to_owned(),
        false => path,
    }
}

/// Path of `template` that a server reads as `other` if the server decodes escaped separators. The
/// value of a parameter, or the part below a prefix, contains `..%2F` up to the root, and then
/// `other`. `None` if the template has neither a parameter nor a part below a prefix.
pub(super) fn escaped_to(template: &Template, other: &str) -> Option<String> {
    let segments = template.segments();
    let parameter = segments
        .iter()
        .position(|segment| matches!(segment, Segment::Parameter(_) | Segment::Pattern(_)));
    let at = parameter.or(template.is_prefix().then_some(segments.len()))?;
    let head = match segments.get(at) {
        Some(Segment::Pattern(pattern)) => pattern.head.as_str(),
        _ => "",
    };
    let inside = if head.is_empty() { "" } else { "%2F" };
    let depth = at + usize::from(!head.is_empty());
    let target = other.trim_start_matches('/').replace('/', "%2F");
    // A server that cuts the path at `%3F` drops the rest of the template.
    let is_last = at + 1 >= segments.len();
    let is_whole = is_last && !matches!(segments.get(at), Some(Segment::Pattern(_)));
    let cut = if is_whole { "" } else { "%3F" };
    let value = format!("{inside}{}{target}{cut}", "..%2F".repeat(depth));
    let name = template.parameters().next();
    let values = name
        .map(|name| (name, value.as_str()))
        .into_iter()
        .collect();
    let path = filled(template, &values);
    Some(match parameter {
        Some(_) => path,
        None => format!("{}/{value}", path.trim_end_matches('/')),
    })
}

/// True if the gateway may refuse requests of a route because of another route of these tables.
pub(super) fn may_refuse(tables: [&[Route<'_>]; 2]) -> bool {
    let routes = || tables.into_iter().flatten();
    let cases = LetterCases::of(described(tables).map(|route| &*route.template));
    cases.has_final_slash()
        || routes().any(|route| {
            has_other_readings(route)
                || route.serves && is_of_rest(route)
                || cases.has_spellings(&route.template)
        })
}

/// Routes of operations that documents describe.
pub(super) fn described<'r, 'a>(
    tables: [&'r [Route<'a>]; 2],
) -> impl Iterator<Item = &'r Route<'a>> + use<'r, 'a> {
    let routes = tables.into_iter().flatten();
    routes.filter(|route| route.tier == Tier::Described)
}

/// True if a route matches requests that no operation describes.
pub(super) fn is_of_rest(route: &Route<'_>) -> bool {
    matches!(route.tier, Tier::Unmatched | Tier::Undeclared)
}

/// True if the search may find no example for requests of a route, although the route serves some.
/// Servers read its paths in several ways, and the engine decides about each path text.
pub(super) fn may_be_missed(route: &Route<'_>) -> bool {
    let mut segments = route.template.segments().iter();
    let has_one_path =
        !route.template.is_prefix() && segments.all(|one| matches!(one, Segment::Literal(_)));
    has_other_readings(route) && !has_one_path
}

/// True if upstreams may interpret paths of a route as other paths, and the gateway may serve such
/// paths.
pub(super) fn has_other_readings(route: &Route<'_>) -> bool {
    !route.treatment().path_readings.is_strict() || route.is_ambiguous()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Template of a path. A final `*` makes the template a prefix.
    pub(in crate::routing) fn template(text: &str) -> Template {
        match text.strip_suffix('*') {
            Some(prefix) => Template::parse(prefix).expect("a template").into_prefix(),
            None => Template::parse(text).expect("a template"),
        }
    }

    #[test]
    fn escaped_paths_lead_to_the_other_path() {
        for (own, expected) in [
            ("/files*", Some("/files/..%2Fadmin%2Fx")),
            ("/pkg/{name}", Some("/pkg/..%2Fadmin%2Fx")),
            ("/{a}/{b}", Some("/admin%2Fx%3F/0")),
            (
                "/v/r-{id}.json",
                Some("/v/r-%2F..%2F..%2Fadmin%2Fx%3F.json"),
            ),
            ("/*", Some("/admin%2Fx")),
            ("/a/b", None),
        ] {
            let found = escaped_to(&template(own), "/admin/x");
            assert_eq!(found.as_deref(), expected, "{own}");
        }
    }

    #[test]
    fn common_paths_prefer_the_literals_of_the_other() {
        let steps = Steps::default();
        for (a, b, expected) in [
            ("/users/{x}", "/Users/admin", Some("/users/admin")),
            ("/{x}/Admin", "/users/{y}", Some("/users/Admin")),
            ("/users/{x}", "/Users", None),
            ("/users*", "/Users/admin", Some("/users/admin")),
        ] {
            let (a, b) = (template(a), template(b).into_folded());
            let found = common_path(&[&a, &b], &b, &steps);
            assert_eq!(found.as_deref(), expected, "{a} {b}");
        }
    }

    #[test]
    fn other_letter_cases_keep_escapes() {
        let found = in_other_cases("/ab/%2Fc/1");
        assert_eq!(found, ["/AB/%2FC/1", "/AB/%2Fc/1", "/ab/%2FC/1"]);
    }

    #[test]
    fn neighbours_differ_in_letter_case_or_final_slash() {
        let all = ["/users/{x}", "/Users/admin", "/orders/{id}"].map(template);
        let cases = LetterCases::of(all.iter());
        assert!(cases.has_spellings(&template("/users/{y}")));
        assert!(!cases.has_spellings(&template("/orders/{id}")));
        assert_eq!(cases.neighbours(&all[1]), [all[1].clone().into_folded()]);
        let all = ["/a/", "/{x}"].map(template);
        let cases = LetterCases::of(all.iter());
        let expected = ["/a/", "/a"].map(|text| template(text).into_folded());
        assert_eq!(cases.neighbours(&template("/a/")), expected);
    }
}
