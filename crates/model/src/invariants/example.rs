//! Witness of a violated invariant: a request that the invariant selects and the operation serves.

use std::fmt;

use bundle::ir::{Condition, Mount, Segment, Template};
use policy::conditions::Test;

use crate::invariant_file::Invariant;
use crate::overlap::subset;
use crate::segment::common;
use crate::subjects::Subject;
use validator::escaped;

/// Texts of path segments that the invariant and the operation leave open. The first one is used
/// unless another operation of the API serves the path.
const TEXTS: [&str; 4] = ["1", "x", "item", "other"];

/// Methods of requests that are tried for an operation that serves every method.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Maximum number of described paths that are tried for an operation that serves every path.
const PATHS_MAX: usize = 8;

/// Request that an invariant selects and an operation serves.
pub(super) struct Example {
    /// Key of the operation.
    pub(super) key: String,
    pub(super) method: String,
    /// Host of the mount. `None`: the mount names none.
    pub(super) host: Option<String>,
    /// Path, and the query that conditions require.
    pub(super) target: String,
    /// Fields that conditions require.
    pub(super) fields: Vec<(String, String)>,
    /// Listener that receives the request.
    pub(super) listener: Option<String>,
    /// True if other listeners receive requests of the API, too.
    names_listener: bool,
    /// Credentials of the caller: name of the scheme, and false if the gateway does not check it.
    pub(super) credentials: Vec<(String, bool)>,
}

/// Writes the request as `gwc route` takes it: `GET URL -H "NAME: VALUE" --credential SCHEME=valid`.
impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request `{}", self.request())?;
        for (name, value) in &self.fields {
            write!(f, " -H {:?}", format!("{name}: {value}"))?;
        }
        for (scheme, is_checked) in &self.credentials {
            let state = if *is_checked { "valid" } else { "forged" };
            write!(f, " --credential {}={state}", scheme.escape_debug())?;
        }
        if let Some(listener) = self.listener.as_ref().filter(|_| self.names_listener) {
            write!(f, " --listener {}", listener.escape_debug())?;
        }
        match self.credentials.is_empty() {
            true => f.write_str("` without a credential"),
            false => f.write_str("`"),
        }
    }
}

impl Example {
    /// Method and URL of the request.
    pub(super) fn request(&self) -> String {
        let host = self.host.as_ref().map(|host| format!("http://{host}"));
        let host = host.unwrap_or_default();
        format!("{} {host}{}", self.method, self.target)
    }
}

impl Subject<'_> {
    /// Requests that the invariant selects and the operation can serve, the preferred one first.
    /// Empty without a mount. There are several for an operation without a method or a template,
    /// because other operations serve most of such requests.
    pub(super) fn examples(&self, invariant: &Invariant) -> Vec<Example> {
        let Some(mount) = self.mount_for(invariant) else {
            return Vec::new();
        };
        let methods = match (self.method, invariant.methods.as_slice()) {
            (Some(method), _) => vec![method],
            (None, []) => METHODS.to_vec(),
            (None, methods) => methods.iter().map(String::as_str).collect(),
        };
        let mut examples = Vec::new();
        for path in self.paths(invariant, mount) {
            let requests = methods.iter().map(|method| (*method, path.as_str()));
            examples.extend(requests.map(|request| self.example(invariant, mount, request)));
        }
        examples
    }

    fn example(
        &self,
        invariant: &Invariant,
        mount: &Mount,
        (method, path): (&str, &str),
    ) -> Example {
        let mut target = path.to_owned();
        let mut fields = Vec::new();
        for condition in self.conditions {
            let value = |test: &Test| match test {
                Test::Exact(text) | Test::Prefix(text) => text.clone(),
                Test::Present => "x".to_owned(),
            };
            match condition {
                Condition::Header(name, test) => fields.push((name.clone(), value(test))),
                Condition::Query(name, test) => {
                    let separator = if target.contains('?') { '&' } else { '?' };
                    target.push(separator);
                    target.push_str(&format!("{}={}", escaped(name), escaped(&value(test))));
                }
            }
        }
        let host = mount.hosts.first();
        let host = host.map(|host| match host.strip_prefix('*') {
            Some(domain) => format!("a{domain}"),
            None => host.clone(),
        });
        let listeners = || mount.listeners.iter();
        let listener = listeners()
            .find(|name| invariant.excludes_listener(name))
            .or_else(|| listeners().find(|name| invariant.fits_listener(name)));
        let credentials = self.admitted_by(|verifier| invariant.requires_verifier(verifier));
        let credentials = credentials.into_iter();
        Example {
            key: self.key.to_owned(),
            method: method.to_owned(),
            host,
            target,
            fields,
            listener: listener.or(mount.listeners.first()).cloned(),
            names_listener: listener.is_some() && self.listeners().len() > 1,
            credentials: credentials
                .map(|(scheme, is_checked)| (scheme.to_owned(), is_checked))
                .collect(),
        }
    }

    /// First mount that the invariant selects. A mount at a listener that the invariant excludes is
    /// preferred, then a mount at a selected listener.
    fn mount_for(&self, invariant: &Invariant) -> Option<&Mount> {
        let excludes = |mount: &&Mount| {
            let mut listeners = mount.listeners.iter();
            listeners.any(|name| invariant.excludes_listener(name))
        };
        let fits_listener = |mount: &&Mount| {
            let mut listeners = mount.listeners.iter();
            listeners.any(|name| invariant.fits_listener(name))
        };
        let path = invariant.path.as_deref();
        let mounts = || self.api.mounts.iter().map(|mount| &mount.value);
        let mut fitting = mounts().filter(|mount| path.is_none_or(|path| self.serves(path, mount)));
        let all: Vec<&Mount> = fitting.by_ref().collect();
        let preferred = all.iter().copied().find(excludes);
        let preferred = preferred.or_else(|| all.iter().copied().find(fits_listener));
        preferred
            .or(all.first().copied())
            .or_else(|| mounts().next())
    }

    /// Paths of the requests that are tried. An operation without a template can serve the paths of
    /// described operations, with other methods.
    fn paths(&self, invariant: &Invariant, mount: &Mount) -> Vec<String> {
        let first = self.path(invariant, mount);
        if self.template.is_some() {
            return vec![first];
        }
        let wanted = invariant.path.as_deref().and_then(pattern);
        let described = self.api.operations.iter();
        let described = described.filter_map(|operation| {
            let template = operation.template.clone().behind(&mount.base_path);
            let path = joined(Some(&template), wanted.as_ref(), TEXTS[0])?;
            let is_wanted = wanted.as_ref().is_none_or(|wanted| wanted.matches(&path));
            (is_wanted && template.matches(&path)).then_some(path)
        });
        let mut paths = vec![first];
        paths.extend(described.take(PATHS_MAX));
        paths
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
