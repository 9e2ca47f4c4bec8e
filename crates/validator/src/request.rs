//! Check of a request's head, shared by gwd and `gwc route`.

use std::sync::Arc;

use bundle::ir::{Scheme, Security, Set, Template};
use http::uri::PathAndQuery;
use policy::RequestHead;
use policy::auth::Place;
use policy::invalid::{Finding, Invalid, Part, REQUEST};
use policy::validation::{Check, Examined, Undeclared};

use crate::operation::Operation;
use crate::parameters::{Head, REQUIRED};

/// Names of the credentials and identity fields in requests to an operation. A missing credential
/// is not a finding, because the gateway may have removed the credential before the check. A
/// present credential is checked like any parameter, because with `verify: upstream` the gateway
/// accepts any text. Identity fields are not checked, because the gateway sets them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    identity: Vec<String>,
    /// Credentials that the gateway removes.
    removed: Vec<Part>,
    headers: Vec<String>,
    query: Vec<String>,
    cookies: Vec<String>,
}

/// Operation of an API, with the names of the credentials in its requests.
#[derive(Clone, Debug)]
pub struct Described {
    /// Validators of the operation.
    pub operation: Arc<Operation>,
    /// Names of the credentials; see [`Credentials::of`].
    pub credentials: Credentials,
}

impl Credentials {
    /// Collects the names of the credentials in requests to an operation. These are the credentials
    /// of the security requirement, and those that the gateway removes for every operation of the
    /// API.
    #[must_use]
    pub fn of(schemes: &Set<Scheme>, security: &Security) -> Self {
        let mut all = Self::default();
        for scheme in schemes {
            all.identity
                .extend(scheme.passes.fields().map(str::to_owned));
            let mut required = security.0.iter().flat_map(|alternative| &alternative.0);
            let is_required = required.any(|wanted| wanted.scheme == scheme.name);
            if !is_required && !scheme.strip_credential {
                continue;
            }
            if scheme.strip_credential {
                all.removed.extend(match &scheme.place {
                    Place::Header(name) => Some(Part::Header(name.as_str().into())),
                    Place::Query(name) => Some(Part::Query(name.as_str().into())),
                    Place::Cookie(name) => Some(Part::Cookie(name.as_str().into())),
                    Place::Authorization(_) => Some(Part::Header("authorization".into())),
                    Place::Certificate => None,
                });
            }
            match &scheme.place {
                Place::Header(name) => all.headers.push(name.clone()),
                Place::Query(name) => all.query.push(name.clone()),
                Place::Cookie(name) => all.cookies.push(name.clone()),
                Place::Authorization(_) => all.headers.push("authorization".to_owned()),
                Place::Certificate => {}
            }
        }
        all
    }

    /// Names of the credentials in query parameters. They count as described.
    #[must_use]
    pub fn query(&self) -> &[String] {
        &self.query
    }

    /// True if the gateway removes or sets this part of the request, so that the client's value is
    /// not checked. Such a part is an identity field, or a credential that the gateway removes for
    /// every operation.
    #[must_use]
    pub fn replaces(&self, part: &Part) -> bool {
        let is_one = |one: &Part| match (one, part) {
            (Part::Header(one), Part::Header(name)) => one.eq_ignore_ascii_case(name),
            (one, part) => one == part,
        };
        self.removed.iter().any(is_one) || self.is_identity(part)
    }

    fn is_identity(&self, part: &Part) -> bool {
        let is_one = |name: &str| {
            self.identity
                .iter()
                .any(|one| one.eq_ignore_ascii_case(name))
        };
        matches!(part, Part::Header(name) if is_one(name))
    }

    /// True if a finding is ignored: it concerns an identity field, or a missing credential.
    fn hides(&self, finding: &Finding) -> bool {
        let is_field =
            |all: &[String], name: &str| all.iter().any(|one| one.eq_ignore_ascii_case(name));
        let is_identity = self.is_identity(&finding.part);
        if is_identity || finding.detail != REQUIRED {
            return is_identity;
        }
        let is_in = |all: &[String], name: &str| all.iter().any(|one| one == name);
        match &finding.part {
            Part::Header(name) => is_field(&self.headers, name),
            Part::Query(name) => is_in(&self.query, name),
            Part::Cookie(name) => is_in(&self.cookies, name),
            Part::Path(_) | Part::Body | Part::Status => false,
        }
    }
}

impl Described {
    /// Checks the query for parameters that the operation does not describe.
    #[must_use]
    pub fn query(&self, check: Check, head: &RequestHead) -> Examined {
        let mut examined = Examined::default();
        let Some(query) = head.query() else {
            return examined;
        };
        let known = &self.credentials.query;
        match check.undeclared {
            Undeclared::Allow => {}
            Undeclared::Strip => {
                let kept = self.operation.stripped(query, known);
                examined.target = kept.and_then(|kept| {
                    let path = head.path();
                    let target = match kept.is_empty() {
                        true => path.to_owned(),
                        false => format!("{path}?{kept}"),
                    };
                    PathAndQuery::try_from(target).ok()
                });
            }
            Undeclared::Reject => {
                let findings = self.operation.undeclared(query, known);
                if !findings.is_empty() {
                    examined.undeclared = Some(Arc::new(Invalid {
                        reject: &REQUEST,
                        findings,
                    }));
                }
            }
        }
        examined
    }

    /// Checks the parameters of a request. `template`: path template of the operation. `base`:
    /// length of the base path, in bytes. `examined`: result of [`Self::query`]; a target in it
    /// replaces the target of the request. `others`: other paths of the operation, as upstreams may
    /// interpret the path; their parameters are checked, too. `reaches`: false for the name of a
    /// field that the gateway removes.
    #[must_use]
    pub fn parameters(
        &self,
        (template, base): (&Template, usize),
        (head, examined, others): (&RequestHead, &Examined, &[String]),
        reaches: fn(&str) -> bool,
    ) -> Vec<Finding> {
        let paths = std::iter::once(head.path()).chain(others.iter().map(String::as_str));
        let findings = |path| self.parameters_of(path, (template, base), (head, examined), reaches);
        let mut found = paths.map(findings).filter(|findings| !findings.is_empty());
        found.next().unwrap_or_default()
    }

    fn parameters_of(
        &self,
        path: &str,
        (template, base): (&Template, usize),
        (head, examined): (&RequestHead, &Examined),
        reaches: fn(&str) -> bool,
    ) -> Vec<Finding> {
        let bound = template.bind(path, base);
        let mut findings = self.operation.head(&Head {
            path,
            bound: &bound,
            query: match &examined.target {
                Some(target) => target.query(),
                None => head.query(),
            },
            headers: &head.headers,
        });
        findings.retain(|finding| {
            let hidden = matches!(&finding.part, Part::Header(name) if !reaches(name));
            !hidden && !self.credentials.hides(finding)
        });
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(part: Part, detail: &str) -> Finding {
        crate::words::finding(part, "", detail)
    }

    /// A credential of another operation that `strip_credential` does not remove is an ordinary
    /// parameter.
    #[test]
    fn credentials_of_other_operations_are_required() {
        let scheme = |name: &str, strip_credential| Scheme {
            name: name.into(),
            place: Place::Query(format!("{name}-key")),
            verify: bundle::ir::Verify::Auth("keys".into()),
            strip_credential,
            declared: policy::declared::Settings::default(),
            passes: bundle::ir::Passes::default(),
        };
        let schemes = [("kept", false), ("own", false), ("stripped", true)];
        let schemes = schemes.map(|(name, strip)| scheme(name, strip));
        let schemes = Set::new(schemes.into()).unwrap();
        let own = bundle::ir::SchemeUse {
            scheme: "own".into(),
            scopes: Vec::new(),
            roles: Vec::new(),
        };
        let security = Security(vec![bundle::ir::Alternative(vec![own])]);
        let credentials = Credentials::of(&schemes, &security);
        let hides = |name: &str| credentials.hides(&finding(Part::Query(name.into()), REQUIRED));
        assert_eq!(
            ["kept-key", "own-key", "stripped-key"].map(hides),
            [false, true, true]
        );
    }

    #[test]
    fn credentials_may_be_absent_in_their_place_alone() {
        let all = Credentials {
            identity: vec!["x-user".into()],
            removed: vec![Part::Query("key".into())],
            headers: vec!["x-key".into()],
            query: vec!["key".into()],
            cookies: vec!["sid".into()],
        };
        let absent = |part: Part| all.hides(&finding(part, REQUIRED));
        assert!(absent(Part::Header("X-Key".into())));
        assert!(absent(Part::Query("key".into())));
        assert!(absent(Part::Cookie("sid".into())));
        assert!(!absent(Part::Query("x-key".into())));
        assert!(!absent(Part::Path("key".into())));
        assert!(!absent(Part::Body));
        // The value of a credential is checked, but not the value of a field that the gateway sets.
        let wrong = |part: Part| all.hides(&finding(part, "must be an integer"));
        assert!(!wrong(Part::Header("X-Key".into())));
        assert!(!wrong(Part::Query("key".into())));
        assert!(wrong(Part::Header("X-User".into())));
        assert!(all.replaces(&Part::Query("key".into())));
        assert!(all.replaces(&Part::Header("X-User".into())));
        assert!(!all.replaces(&Part::Cookie("sid".into())));
    }
}
