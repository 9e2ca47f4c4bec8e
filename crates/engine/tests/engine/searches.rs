//! Searches for other readings of a path: their steps, and operations of other hosts whose requests
//! the same server receives.

use bundle::ir::{self, PathReadings, Set, Template};
use engine::readings::{Ambiguity, counted_ambiguity};
use engine::{Parts, Snapshot};
use http::HeaderMap;
use policy::RequestHead;

use crate::parts::{NoSecrets, sha256, street};

/// Settings of a test gateway. The host `public.test` has the operation `a5/open`, and the host
/// `inner.test` the operation `a1/admin`, which requires a password.
struct Gateway {
    open: Template,
    admin: &'static str,
    base: &'static str,
    readings: PathReadings,
    /// True if the operation on the other host is `internal`.
    is_internal: bool,
    /// True if another operation on the other host has the same upstream.
    has_sibling: bool,
    /// True if the operation on the other host requires a password.
    is_protected: bool,
    /// Port of the upstream of the operation on the other host. The other upstream has port 80.
    port: u16,
}

fn template(text: &str) -> Template {
    Template::parse(text).expect("a template")
}

fn usual() -> Gateway {
    Gateway {
        open: template("/open/{id}"),
        admin: "/admin/{id}",
        base: "",
        readings: PathReadings::Keep,
        is_internal: false,
        has_sibling: true,
        is_protected: true,
        port: 80,
    }
}

fn operation(key: &str, template: Template) -> ir::Operation {
    ir::Operation {
        key: key.to_owned(),
        method: "GET".into(),
        template,
        conditions: Vec::new(),
        priority: 0,
        treatment: 0,
        trailing_slash: ir::TrailingSlash::Strict,
        owns: ir::Owns::Described,
    }
}

fn mount(host: &str, base: &str) -> Set<ir::Mount> {
    let mount = ir::Mount {
        name: "default".into(),
        hosts: vec![host.into()],
        base_path: base.into(),
        strip_base_path: true,
        listeners: vec!["public".into()],
    };
    Set::new(vec![mount]).unwrap()
}

impl Gateway {
    fn snapshot(&self) -> Snapshot {
        let mut gateway = street().gateway();
        let mut apis: Vec<ir::Api> = gateway.apis.iter().cloned().collect();
        let open = &mut apis[5];
        open.mounts = mount("public.test", self.base);
        open.operations = Set::new(vec![operation("a5/open", self.open.clone())]).unwrap();
        open.policies = Set::default();
        open.treatments[0].chain.clear();
        open.treatments[0].path_readings = self.readings;
        let inner = &mut apis[1];
        inner.mounts = mount("inner.test", "");
        let admin = operation("a1/admin", template(self.admin));
        let other = operation("a1/other", template("/other"));
        let admin = (!self.is_internal).then_some(admin);
        let other = self.has_sibling.then_some(other);
        inner.operations = Set::new(admin.into_iter().chain(other).collect()).unwrap();
        if self.is_internal {
            inner.hidden.push(ir::Hidden {
                method: "GET".into(),
                template: template(self.admin),
                conditions: Vec::new(),
                priority: 0,
                upstreams: vec![inner.treatments[0].upstream.clone()],
            });
        }
        if !self.is_protected {
            inner.schemes = Set::default();
            inner.treatments[0].chain.clear();
            inner.treatments[0].security = ir::Security::default();
        }
        let references = apis.iter().map(|api| ir::ApiRef {
            name: api.name.clone(),
            digest: sha256(&bundle::codec::encode(api)),
        });
        gateway.shared.apis = Set::new(references.collect()).unwrap();
        gateway.apis = Set::new(apis).unwrap();
        let mut upstreams: Vec<ir::Upstream> = gateway.shared.upstreams.iter().cloned().collect();
        let mut targets: Vec<ir::Target> = upstreams[0].targets.iter().cloned().collect();
        targets[0].port = self.port;
        upstreams[0].targets = Set::new(targets).unwrap();
        gateway.shared.upstreams = Set::new(upstreams).unwrap();
        let mut parts = Parts::default();
        let assembly = parts.assemble(&gateway).unwrap();
        engine::build(&assembly, "sha256:00", &NoSecrets, &mut parts).unwrap()
    }

    /// Result for a request on `public.test`, and the number of steps.
    fn search(&self, path: &str) -> (Option<Ambiguity>, usize) {
        let snapshot = self.snapshot();
        let head = RequestHead {
            is_ambiguous: engine::path::is_ambiguous(path),
            method: http::Method::GET,
            target: path.parse().unwrap(),
            host: "public.test".into(),
            headers: HeaderMap::new(),
        };
        let routes = snapshot.contenders(0, &head);
        let (route, _) = routes.first().expect("a route");
        assert_eq!(route.id.as_str(), "a5/open@default");
        counted_ambiguity(&snapshot, 0, &head, route)
    }

    /// Owner of the path for which a request on `public.test` is refused. The outer option is
    /// `None` if the request is forwarded.
    fn refusal(&self, path: &str) -> Option<Option<String>> {
        match self.search(path).0 {
            None => None,
            Some(Ambiguity::Reading { owner, .. }) => Some(owner),
            Some(other) => panic!("{path}: {other:?}"),
        }
    }
}

const ADMIN: Option<&str> = Some("a1/admin@default");

#[test]
fn reading_on_another_host_is_refused() {
    let keep = usual();
    for path in [
        "/open/..%2Fadmin%2Fx",
        "/open/..%5Cadmin%5Cx",
        "/open/..%2FADMIN%2Fx",
        "/open/..%2Fadmin%2Fx%2F",
        "/open/..%2FADMIN%2Fx%2F",
        "/open/..%2Fadmin%2Fx;v=1",
        "/open/..%252Fadmin%252Fx",
    ] {
        let refusal = keep.refusal(path).expect(path);
        assert_eq!(refusal.as_deref(), ADMIN, "{path}");
    }
    for path in [
        "/open/a%2Fb",
        "/open/..%2Fadmin",
        "/open/..%2Fadmin%2Fx%2Fy",
    ] {
        assert_eq!(keep.refusal(path), None, "{path}");
    }
}

#[test]
fn base_path_of_the_request_does_not_count() {
    let based = Gateway {
        base: "/pub",
        ..usual()
    };
    let refusal = based
        .refusal("/pub/open/..%2Fadmin%2Fx")
        .expect("a refusal");
    assert_eq!(refusal.as_deref(), ADMIN);
    assert_eq!(based.refusal("/pub/open/a%2Fb"), None);
}

#[test]
fn only_other_access_at_the_same_server_counts() {
    let path = "/open/..%2Fadmin%2Fx";
    let elsewhere = Gateway {
        port: 81,
        ..usual()
    };
    assert_eq!(elsewhere.refusal(path), None);
    let public = Gateway {
        is_protected: false,
        ..usual()
    };
    assert_eq!(public.refusal(path), None);
    let internal = Gateway {
        is_internal: true,
        ..usual()
    };
    assert_eq!(internal.refusal(path), Some(None));
    let alone = Gateway {
        has_sibling: false,
        ..internal
    };
    assert_eq!(alone.refusal(path), Some(None));
    let elsewhere = Gateway { port: 81, ..alone };
    assert_eq!(elsewhere.refusal(path), None);
    let strict = Gateway {
        readings: PathReadings::Strict,
        ..usual()
    };
    assert_eq!(strict.refusal(path), Some(None));
}

/// Checks that the steps for a target of 2 KB are at most a small multiple of its length, whatever
/// the template is.
#[test]
fn steps_of_long_targets_are_linear() {
    let one = |base| Gateway {
        open: template("/{id}"),
        base,
        ..usual()
    };
    let prefix = Gateway {
        open: template("/u").into_prefix(),
        ..usual()
    };
    for (gateway, path) in [
        (one("/orders"), format!("/orders/{}", "%2F".repeat(700))),
        (one("/orders"), format!("/orders/{}", "%5C".repeat(700))),
        (one("/orders"), format!("/orders/{}", "%252F".repeat(400))),
        (one(""), format!("/{}", "%2F".repeat(700))),
        (prefix, format!("/u{}", "/".repeat(2000))),
    ] {
        let (found, steps) = gateway.search(&path);
        assert_eq!(found, Some(Ambiguity::TooMany), "{path}");
        assert!(steps <= 24 * path.len(), "{steps} steps: {path}");
    }
}
