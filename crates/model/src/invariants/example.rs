//! Witness of a violated invariant: a request that the invariant selects and the operation serves.

use bundle::ir::{Mount, Segment, Template};

use crate::invariant_file::Invariant;
use crate::overlap::subset;
use crate::segment::common;
use crate::subjects::Subject;

/// Texts of path segments that the invariant and the operation leave open. The first one is used
/// unless another operation of the API serves the path.
const TEXTS: [&str; 4] = ["1", "x", "item", "other"];

impl Subject<'_> {
    /// Request that the invariant selects and the operation serves: method and URL, and the
    /// listener if the API has several.
    pub(super) fn example(&self, invariant: &Invariant) -> String {
        let mut methods = invariant.methods.iter().map(String::as_str);
        let method = self.method.or(methods.next()).unwrap_or("GET");
        let Some(mount) = self.mount_for(invariant) else {
            return format!("`{method} /`");
        };
        let path = self.path(invariant, mount);
        let host = mount
            .hosts
            .first()
            .map(|host| match host.strip_prefix('*') {
                Some(domain) => format!("http://a{domain}"),
                None => format!("http://{host}"),
            });
        let request = format!("`{method} {}{path}`", host.unwrap_or_default());
        let mut listeners = mount.listeners.iter();
        match listeners.find(|name| invariant.fits_listener(name)) {
            Some(name) if self.listeners().len() > 1 => {
                format!("{request} at the listener `{}`", name.escape_debug())
            }
            _ => request,
        }
    }

    /// First mount that the invariant selects. A mount at a selected listener is preferred.
    fn mount_for(&self, invariant: &Invariant) -> Option<&Mount> {
        let fits_listener = |mount: &&Mount| {
            mount
                .listeners
                .iter()
                .any(|name| invariant.fits_listener(name))
        };
        let path = invariant.path.as_deref();
        let mounts = || self.api.mounts.iter().map(|mount| &mount.value);
        let mut fitting = mounts().filter(|mount| path.is_none_or(|path| self.serves(path, mount)));
        let all: Vec<&Mount> = fitting.by_ref().collect();
        let preferred = all.iter().copied().find(fits_listener);
        preferred
            .or(all.first().copied())
            .or_else(|| mounts().next())
    }

    /// Path that the pattern of the invariant and the template of the operation match, below the
    /// base path of a mount.
    fn path(&self, invariant: &Invariant, mount: &Mount) -> String {
        let own = self.full_template(mount);
        let wanted = invariant.path.as_deref().and_then(pattern);
        let others: Vec<Template> = self.others(mount, own.as_ref()).collect();
        let mut paths = TEXTS
            .iter()
            .filter_map(|text| joined(own.as_ref(), wanted.as_ref(), text));
        let first = paths.next();
        let is_own = |path: &String| !others.iter().any(|other| other.matches(path));
        let found = first.iter().cloned().chain(paths).find(is_own);
        found
            .or(first)
            .unwrap_or_else(|| format!("{}/", mount.base_path))
    }

    /// Template of the operation with the base path. `None` for a base path that is no template.
    fn full_template(&self, mount: &Mount) -> Option<Template> {
        match self.template {
            Some(template) => Some(template.clone().behind(&mount.base_path)),
            None => Some(
                Template::parse(&format!("{}/", mount.base_path))
                    .ok()?
                    .into_prefix(),
            ),
        }
    }

    /// Templates of other operations for the same method, except those that match each path of the
    /// operation itself.
    fn others<'o>(
        &'o self,
        mount: &'o Mount,
        own: Option<&'o Template>,
    ) -> impl Iterator<Item = Template> + 'o {
        let others = self.api.operations.iter().filter(|other| {
            other.key != self.key && self.method.is_none_or(|method| method == other.method)
        });
        let others = others.map(|other| other.template.clone().behind(&mount.base_path));
        others.filter(move |other| own.is_none_or(|own| !subset(own, other)))
    }
}

/// Template that matches the same paths as the pattern of an invariant. `None` if a literal of the
/// pattern has no form in templates.
fn pattern(path: &str) -> Option<Template> {
    let (path, is_open) = match path.strip_suffix("/**") {
        Some("") => ("/", true),
        Some(before) => (before, true),
        None => (path, false),
    };
    let segments = path.split('/').enumerate();
    let segments = segments.map(|(index, segment)| match segment {
        "*" => format!("{{s{index}}}"),
        literal => literal.to_owned(),
    });
    let template = Template::parse(&segments.collect::<Vec<_>>().join("/")).ok()?;
    Some(if is_open {
        template.into_prefix()
    } else {
        template
    })
}

/// Path that both templates match, with `text` for segments that both leave open.
fn joined(own: Option<&Template>, wanted: Option<&Template>, text: &str) -> Option<String> {
    let segments = |template: Option<&Template>, index: usize| -> Option<Segment> {
        template.and_then(|one| one.segments().get(index).cloned())
    };
    let length = |template: Option<&Template>| template.map_or(0, |one| one.segments().len());
    let mut path = String::new();
    for index in 0..length(own).max(length(wanted)) {
        path.push('/');
        let is_open = |segment: &Segment| matches!(segment, Segment::Parameter(_));
        let segment = match (segments(own, index), segments(wanted, index)) {
            (Some(a), Some(b)) if !(is_open(&a) && is_open(&b)) => common(&a, &b)?,
            (Some(one), None) | (None, Some(one)) if !is_open(&one) => common(&one, &one)?,
            _ => text.to_owned(),
        };
        path.push_str(&segment);
    }
    Some(if path.is_empty() {
        "/".to_owned()
    } else {
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_matches_the_pattern_and_the_template() {
        let template = |text: &str| Template::parse(text).expect("a template");
        for (own, wanted, expected) in [
            ("/orders/{id}", None, "/orders/1"),
            ("/{any}/latest", Some("/admin/**"), "/admin/latest"),
            ("/{any}/latest", Some("/*/latest"), "/1/latest"),
            ("/v{n}/x", Some("/v2/*"), "/v2/x"),
            ("/", Some("/**"), "/"),
        ] {
            let (own, wanted) = (template(own), wanted.and_then(pattern));
            let path = joined(Some(&own), wanted.as_ref(), "1").expect("a path");
            assert_eq!(path, expected);
            assert!(own.matches(&path), "{path}");
            assert!(wanted.is_none_or(|wanted| wanted.matches(&path)), "{path}");
        }
    }
}
