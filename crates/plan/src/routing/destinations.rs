//! Paths that upstreams and redirects receive for the same requests of clients. A rewrite names
//! parameters of the path, and a mount removes its base path. If the names or the base path differ,
//! the same text of a rewrite gives a different path.
//!
//! Changed texts of rewrites and redirects are compared with the settings of the operation.

use bundle::ir::{self, Segment};
use policy::declared::Settings;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value;

use super::table::Route;
use crate::details::{hidden, shown};
use crate::pairs::reference;
use crate::{Change, Class, Section};

/// Lines about requests that both sides serve, but send to different paths.
#[derive(Debug, Default)]
pub(super) struct Destinations<'a> {
    gateways: Option<[&'a ir::Gateway; 2]>,
    /// Number of each operation at a mount, by their memory addresses.
    numbers: [FxHashMap<(usize, usize), u32>; 2],
    /// Compared pairs of operations at mounts.
    compared: FxHashSet<[u32; 2]>,
    changes: Vec<Change>,
}

/// Kind and path of each policy and setting that replaces the path, in the order of the chain.
type Rewrites = Vec<(String, String)>;

impl<'a> Destinations<'a> {
    /// Creates a comparison of two gateways. Without an old one, nothing is compared.
    pub(super) fn between(old: Option<&'a ir::Gateway>, new: &'a ir::Gateway) -> Self {
        Self {
            gateways: old.map(|old| [old, new]),
            ..Self::default()
        }
    }

    /// Compares an old and a new route that serve some of the same requests.
    pub(super) fn add(&mut self, old: &Route<'a>, new: &Route<'a>) {
        let Some(gateways) = self.gateways else {
            return;
        };
        if old.template == new.template && old.mount.base_path == new.mount.base_path {
            return;
        }
        let mut number = |side: usize, route: &Route<'_>| {
            let operation = std::ptr::from_ref(route.operation) as usize;
            let address = (operation, std::ptr::from_ref(route.mount) as usize);
            let numbers = &mut self.numbers[side];
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            *numbers.entry(address).or_insert(next)
        };
        if self.compared.insert([number(0, old), number(1, new)]) {
            self.paths(gateways, (old, new));
            self.log(old, new);
        }
    }

    /// Returns all lines, and removes them from this value.
    pub(super) fn take(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    fn paths(&mut self, gateways: [&ir::Gateway; 2], (old, new): (&Route<'_>, &Route<'_>)) {
        let written = rewrites(gateways[0], old);
        if written != rewrites(gateways[1], new)
            || old.mount.strip_base_path != new.mount.strip_base_path
        {
            return;
        }
        let names = shared_names(old, new);
        let (was, is) = (
            destination(old, &names, &written),
            destination(new, &names, &written),
        );
        if was != is {
            let redirects = written.iter().any(|(kind, _)| kind == "redirect");
            let subject = match redirects {
                true => "path of the redirect",
                false => "path at the upstream",
            };
            self.push(new, (Class::Moved, "traffic-moved"), subject, (was, is));
        }
        let returns = |gateway: &ir::Gateway, route: &Route<'_>| {
            let treatment = treatment(route);
            let upstream = gateway.shared.upstreams.get(&treatment.upstream);
            let rewrites = upstream.is_some_and(|one| one.rewrite_responses.is_some());
            let is_stripped = rewrites && route.mount.strip_base_path;
            is_stripped.then(|| route.mount.base_path.clone())
        };
        let (was, is) = (returns(gateways[0], old), returns(gateways[1], new));
        if let (Some(was), Some(is)) = (was, is)
            && was != is
        {
            let subject = "base path in responses";
            self.push(new, (Class::Moved, "traffic-moved"), subject, (was, is));
        }
    }

    /// Compares how the log shows the values of path parameters, by their positions.
    fn log(&mut self, old: &Route<'_>, new: &Route<'_>) {
        let segments = old.template.segments().iter().zip(new.template.segments());
        let settings = [old, new].map(|route| treatment(route).settings());
        let form = |settings: &Settings, name: &str| {
            let value = settings.get(&["parameters", "path", name, "log"]);
            (hidden(value), shown(value))
        };
        for (before, after) in segments {
            let (Segment::Parameter(was), Segment::Parameter(is)) = (before, after) else {
                continue;
            };
            let (old_form, new_form) = (form(&settings[0], was), form(&settings[1], is));
            if was != is && new_form.0 < old_form.0 {
                let text = |form: Value| match form {
                    Value::String(text) => text,
                    _ => "shown".to_owned(),
                };
                let subject = format!("parameters.path.{is}.log");
                let values = (text(old_form.1), text(new_form.1));
                self.push(
                    new,
                    (Class::Weaken, "operation-setting-changed"),
                    &subject,
                    values,
                );
            }
        }
    }

    fn push(
        &mut self,
        new: &Route<'_>,
        (class, id): (Class, &'static str),
        subject: &str,
        (old, is): (String, String),
    ) {
        let section = match class {
            Class::Weaken => Section::Security,
            _ => Section::Policy,
        };
        let change = Change::new(section, class, id, subject, old.into(), is.into());
        self.changes
            .push(change.of(reference(new.api, new.operation)));
    }
}

fn treatment<'a>(route: &Route<'a>) -> &'a ir::Treatment {
    &route.api.treatments[route.operation.treatment as usize]
}

/// Path settings of the chain's rewrites and redirects, and of the operation's own rewrite.
fn rewrites(gateway: &ir::Gateway, route: &Route<'_>) -> Rewrites {
    let treatment = treatment(route);
    let policies = crate::security::policies(gateway, route.api, treatment);
    let policies = policies.filter(|one| ["rewrite", "redirect"].contains(&one.checked.kind()));
    let text = |settings: &Settings, path: &[&str]| settings.text(path).map(str::to_owned);
    let mut found: Rewrites = policies
        .filter_map(|one| {
            let path = text(&one.checked.settings(), &["path"])?;
            Some((one.checked.kind().to_owned(), path))
        })
        .collect();
    let own = text(&treatment.settings(), &["rewrite", "path"]);
    found.extend(own.map(|path| ("rewrite".to_owned(), path)));
    found
}

/// Text of each segment of the requests that both routes serve: its literal, or its parameters
/// under the names of the new side.
fn shared_names(old: &Route<'_>, new: &Route<'_>) -> Vec<String> {
    let (before, after) = (old.template.segments(), new.template.segments());
    let all = 0..before.len().max(after.len());
    let name = |at: usize| {
        let sides = [after.get(at), before.get(at)].into_iter().flatten();
        let literal = sides.clone().find_map(|segment| match segment {
            Segment::Literal(text) | Segment::Folded(text) => Some(text.clone()),
            Segment::Parameter(_) | Segment::Pattern(_) => None,
        });
        literal.unwrap_or_else(|| {
            let mut sides = sides;
            sides.next().map(ToString::to_string).unwrap_or_default()
        })
    };
    all.map(name).collect()
}

/// Path of a request after the mount and the rewrites, in the names of [`shared_names`].
fn destination(route: &Route<'_>, names: &[String], rewrites: &Rewrites) -> String {
    let base = route.mount.base_path.trim_end_matches('/');
    let removed = match route.mount.strip_base_path {
        true => base.split('/').skip(1).count(),
        false => 0,
    };
    let own = names.iter().skip(removed);
    let mut path: String = own.map(|name| format!("/{name}")).collect();
    if route.template.is_prefix() {
        path.push_str("/**");
    }
    for (_, text) in rewrites {
        path = filled(text, &path, route, names);
    }
    path
}

/// Replaces `{path}` and the parameters of the route in the path of a rewrite.
fn filled(text: &str, path: &str, route: &Route<'_>, names: &[String]) -> String {
    let value = |name: &str| {
        if name == "path" {
            return Some(path.to_owned());
        }
        let segments = route.template.segments().iter().enumerate();
        let mut values = segments.filter_map(|(at, segment)| match segment {
            Segment::Parameter(own) => (own == name).then(|| names[at].clone()),
            Segment::Pattern(pattern) => {
                let place = pattern.rest.iter().position(|(own, _)| own == name)?;
                Some(format!("{{{} of segment {}}}", place + 1, at + 1))
            }
            Segment::Literal(_) | Segment::Folded(_) => None,
        });
        values.next()
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((name, behind)) = behind.split_once('}') else {
            break;
        };
        out.push_str(before);
        out.push_str(&value(name).unwrap_or_else(|| format!("{{{name}}}")));
        rest = behind;
    }
    out.push_str(rest);
    out
}
