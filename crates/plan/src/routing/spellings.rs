//! Paths of one operation that a server may read as a path of another operation: another letter
//! case, another final slash, or escapes that a server decodes. The gateway refuses such requests if
//! the other operation has other access rules (400 `path_ambiguous`).
//!
//! These functions only propose paths. The engines decide which route serves a path and whether the
//! gateway refuses it.

use bundle::ir::{Segment, Template};
use engine::readings::readings;
use rustc_hash::FxHashMap;

use super::table::{Route, Tier};
use super::texts::{Rivals, Steps, matches, texts};

/// Text of a parameter whose value does not matter.
const FILLER: &str = "0";

/// Segments that the templates of both sides spell in several letter cases, by position in the path.
#[derive(Debug, Default)]
pub(super) struct LetterCases {
    /// Spelling of each lower-case segment at each position. `None`: several spellings.
    spellings: FxHashMap<(usize, String), Option<String>>,
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
            for (at, segment) in segments.iter().enumerate() {
                let Segment::Literal(text) = segment else {
                    continue;
                };
                let key = (at, text.to_ascii_lowercase());
                let known = cases
                    .spellings
                    .entry(key)
                    .or_insert_with(|| Some(text.clone()));
                if known.as_deref() != Some(text) {
                    *known = None;
                }
            }
        }
        cases
    }

    /// Templates of the paths that a server may read as paths of `template`: in any letter case, if
    /// another template spells a segment differently, and with another final slash.
    pub(super) fn neighbours(&self, template: &Template) -> Vec<Template> {
        let is_spelled = |(at, segment): (usize, &Segment)| match segment {
            Segment::Literal(text) => {
                let spelling = self.spellings.get(&(at, text.to_ascii_lowercase()));
                spelling.is_some_and(Option::is_none)
            }
            Segment::Pattern(pattern) => pattern.erased().bytes().any(|b| b.is_ascii_alphabetic()),
            Segment::Folded(_) | Segment::Parameter(_) => false,
        };
        let mut segments = template.segments().iter().enumerate();
        let own = segments.any(is_spelled).then(|| template.clone());
        let twin = template.twin().filter(|_| self.has_final_slash);
        own.into_iter()
            .chain(twin)
            .map(Template::into_folded)
            .collect()
    }
}

/// True if a path exists that both templates match.
pub(super) fn overlap(a: &Template, b: &Template) -> bool {
    let (left, right) = (a.segments(), b.segments());
    let reaches = |one: &Template, length: usize| one.segments().len() >= length || one.is_prefix();
    reaches(a, right.len())
        && reaches(b, left.len())
        && left
            .iter()
            .zip(right)
            .all(|(a, b)| model::segment::overlap(a, b))
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
        let text = match preferred.filter(fits) {
            Some(text) => text.clone(),
            None => texts(&musts, &Rivals::default(), steps)
                .into_iter()
                .next()?,
        };
        path.push('/');
        path.push_str(&text);
    }
    Some(path)
}

/// Paths of a route with an ambiguous template, of which one reading is a path that `other` matches.
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
        Segment::Literal(text) | Segment::Folded(text) => text.clone(),
        Segment::Parameter(name) => value(name).to_owned(),
        Segment::Pattern(pattern) => {
            let rest = pattern.rest.iter();
            let rest = rest.map(|(name, text)| format!("{}{text}", value(name)));
            pattern.head.clone() + &rest.collect::<String>()
        }
    });
    let path: String = segments.map(|text| format!("/{text}")).collect();
    match path.is_empty() {
        true => "/".to_owned(),
        false => path,
    }
}

/// Path of `template` that a server reads as `other` if it decodes escaped separators: the value of
/// a parameter, or the part below a prefix, leads to the root and then to `other`. `None` if the
/// template has neither a parameter nor a part below a prefix.
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
    let described = routes().filter(|route| route.tier == Tier::Described);
    let cases = LetterCases::of(described.map(|route| &route.template));
    routes()
        .any(|route| is_read_in_other_ways(route) || !cases.neighbours(&route.template).is_empty())
}

/// True if servers may read paths of a route in other ways, and the gateway serves such paths.
pub(super) fn is_read_in_other_ways(route: &Route<'_>) -> bool {
    !route.treatment().path_readings.is_strict() || route.is_ambiguous()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
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
    fn neighbours_differ_in_letter_case_or_final_slash() {
        let all = ["/users/{x}", "/Users/admin", "/orders/{id}"].map(template);
        let cases = LetterCases::of(all.iter());
        let count = |text: &str| cases.neighbours(&template(text)).len();
        assert_eq!((count("/Users/admin"), count("/orders/{id}")), (1, 0));
        let all = ["/a/", "/{x}"].map(template);
        let cases = LetterCases::of(all.iter());
        let neighbours = cases.neighbours(&template("/a/"));
        assert_eq!(neighbours, [template("/a").into_folded()]);
    }
}
