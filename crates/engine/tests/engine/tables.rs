//! Generator of small routing tables, reproducible from a seed.

use super::naive::{Condition, Request, Route, Test};

/// Segments of generated templates. `{}` is a parameter.
const TEMPLATE_SEGMENTS: [&str; 13] = [
    "a", "b", "ab", "a-b", "", "{}", "{}", "a{}", "{}b", "{}-{}", "a{}b", "{}-b", "a-{}",
];
/// Segments of generated requests.
const REQUEST_SEGMENTS: [&str; 8] = ["a", "b", "ab", "a-b", "", "aab", "a-ab", "-b"];
/// Segments of generated requests for case-insensitive templates.
const CASED_SEGMENTS: [&str; 7] = ["a", "A", "b", "Ab", "", "a-B", "aab"];
const BASES: [&str; 4] = ["", "/a", "/b", "/a/b"];

/// Features that a generated table may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) mounts: usize,
    pub(crate) patterns: bool,
    pub(crate) prefixes: bool,
    pub(crate) priorities: bool,
    pub(crate) conditions: bool,
    /// Case-insensitive templates, and templates with any final slash.
    pub(crate) loose: bool,
}

/// Pseudo-random numbers (splitmix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }

    fn chance(&mut self, in_ten: usize) -> bool {
        self.below(10) < in_ten
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

/// The base path of each mount.
pub(crate) fn bases(dice: &mut Dice, kind: Kind) -> Vec<&'static str> {
    let mut bases = vec![""];
    while bases.len() < kind.mounts {
        bases.push(dice.pick(&BASES));
    }
    bases
}

/// A table with up to seven routes.
pub(crate) fn table(dice: &mut Dice, kind: Kind, bases: &[&str]) -> Vec<Route> {
    let mut templates: Vec<(usize, String, bool, i32)> = Vec::new();
    for _ in 0..1 + dice.below(5) {
        let mount = dice.below(bases.len());
        let mut text = bases[mount].to_owned();
        for _ in 0..1 + dice.below(3) {
            let mut segment = dice.pick(&TEMPLATE_SEGMENTS);
            if !kind.patterns && segment != "{}" && segment.contains('{') {
                segment = "{}";
            }
            text.push('/');
            text.push_str(segment);
        }
        let prefix = kind.prefixes && dice.chance(3);
        if prefix {
            // Remove the final slash: the prefix `/a/` is the same as `/a`.
            text.truncate(text.trim_end_matches('/').len());
            if text.len() < bases[mount].len() {
                bases[mount].clone_into(&mut text);
            }
        }
        // All operations of a template have the same priority.
        let priority = if kind.priorities && dice.chance(3) {
            i32::try_from(dice.below(3)).unwrap_or(0) - 1
        } else {
            0
        };
        if kind.loose && dice.chance(3) {
            let base = bases[mount].len();
            text = format!("{}{}", &text[..base], text[base..].to_ascii_uppercase());
        }
        if !templates
            .iter()
            .any(|(_, known, known_prefix, _)| *known == text && *known_prefix == prefix)
        {
            templates.push((mount, text, prefix, priority));
        }
    }
    let mut routes = Vec::new();
    for (mount, template, prefix, priority) in templates {
        let (folded, twin) = (kind.loose && dice.chance(5), kind.loose && dice.chance(5));
        for _ in 0..1 + dice.below(3) {
            routes.push(Route {
                key: format!("s/{}", routes.len()),
                mount,
                method: dice.pick(&["GET", "GET", "HEAD", "POST"]),
                template: template.clone(),
                prefix,
                priority,
                conditions: if kind.conditions {
                    conditions(dice)
                } else {
                    Vec::new()
                },
                folded,
                twin,
                base: bases[mount].to_owned(),
            });
        }
    }
    routes
}

fn conditions(dice: &mut Dice) -> Vec<Condition> {
    let mut all = Vec::new();
    let test = |dice: &mut Dice| {
        dice.pick(&[
            Test::Present,
            Test::Exact("x"),
            Test::Exact("xy"),
            Test::Prefix("x"),
            Test::Prefix("xy"),
        ])
    };
    if dice.chance(4) {
        all.push(Condition::Header(dice.pick(&["h", "i"]), test(dice)));
    }
    if dice.chance(4) {
        all.push(Condition::Query(dice.pick(&["k", "l"]), test(dice)));
    }
    if dice.chance(1) {
        all.push(Condition::Query("m", test(dice)));
    }
    all.sort();
    all.dedup();
    all
}

/// All requests over the alphabet: paths of up to three segments with each method; fields and
/// queries only if the tables have conditions.
pub(crate) fn requests(kind: Kind) -> Vec<Request> {
    let segments: &[&str] = if kind.loose {
        &CASED_SEGMENTS
    } else {
        &REQUEST_SEGMENTS
    };
    let mut paths: Vec<String> = Vec::new();
    let mut last = vec![String::new()];
    for _ in 0..3 {
        let longer = last.iter().flat_map(|path| {
            segments
                .iter()
                .map(move |segment| format!("{path}/{segment}"))
        });
        last = longer.collect();
        paths.extend(last.iter().cloned());
    }
    /// A header field of a request (name and value), and a query.
    type Shown = (Option<(&'static str, &'static str)>, Option<&'static str>);
    let shown: &[Shown] = if kind.conditions {
        &[
            (None, None),
            (Some(("h", "x")), None),
            (Some(("h", "xyz")), Some("k=x")),
            (Some(("i", "xy")), Some("k")),
            (None, Some("k=xy&k=x")),
            (Some(("h", "xy")), Some("&l=xyz&m=x&")),
        ]
    } else {
        &[(None, None)]
    };
    let mut all = Vec::new();
    for path in &paths {
        for method in ["GET", "HEAD", "POST", "PUT"] {
            all.extend(shown.iter().map(|(header, query)| Request {
                method,
                path: path.clone(),
                header: *header,
                query: *query,
            }));
        }
    }
    all
}
