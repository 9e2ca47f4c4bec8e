//! Check of a request's head, which gwd and `gwc route` share.

use std::sync::Arc;

use bundle::ir::{Scheme, Security, Set, Template};
use http::uri::PathAndQuery;
use policy::RequestHead;
use policy::auth::Place;
use policy::invalid::{Finding, Invalid, Part, REQUEST};
use policy::validation::{Check, Examined, Undeclared};

use crate::operation::Operation;
use crate::parameters::Head;

/// Names of the credentials and identity fields in requests of an API. The absence of such a field
/// is no finding, because the gateway may have removed it before the check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    headers: Vec<String>,
    query: Vec<String>,
    cookies: Vec<String>,
}

/// Operation of an API with the names of the API's credentials.
#[derive(Clone, Debug)]
pub struct Described {
    /// Validators of the operation.
    pub operation: Arc<Operation>,
    /// Names of the API's credentials.
    pub credentials: Credentials,
}

impl Credentials {
    /// Names of the credentials of an operation with this requirement: those that it requires, and
    /// those that the gateway removes on every operation of the API.
    #[must_use]
    pub fn of(schemes: &Set<Scheme>, security: &Security) -> Self {
        let mut all = Self::default();
        for scheme in schemes {
            all.headers
                .extend(scheme.passes.fields().map(str::to_owned));
            let mut required = security.0.iter().flat_map(|alternative| &alternative.0);
            let is_required = required.any(|wanted| wanted.scheme == scheme.name);
            if !is_required && !scheme.strip_credential {
                continue;
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

    /// True if a part of a request carries a credential or identity.
    #[must_use]
    pub fn has(&self, part: &Part) -> bool {
        let is_in = |all: &[String], name: &str| all.iter().any(|one| one == name);
        match part {
            Part::Header(name) => self
                .headers
                .iter()
                .any(|one| one.eq_ignore_ascii_case(name)),
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

    /// Checks the parameters of a request for an operation with this template, below a base path of
    /// this length. `reaches` returns true for the name of a field that the gateway does not
    /// remove.
    #[must_use]
    pub fn parameters(
        &self,
        (template, base): (&Template, usize),
        head: &RequestHead,
        reaches: fn(&str) -> bool,
    ) -> Vec<Finding> {
        let bound = template.bind(head.path(), base);
        let mut findings = self.operation.head(&Head {
            path: head.path(),
            bound: &bound,
            query: head.query(),
            headers: &head.headers,
        });
        findings.retain(|finding| {
            let hidden = matches!(&finding.part, Part::Header(name) if !reaches(name));
            !hidden && !self.credentials.has(&finding.part)
        });
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A credential of another operation that `strip_credential` does not remove is checked as an
    /// ordinary parameter.
    #[test]
    fn credentials_of_other_operations_are_checked() {
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
        let has = |name: &str| credentials.has(&Part::Query(name.into()));
        assert_eq!(
            ["kept-key", "own-key", "stripped-key"].map(has),
            [false, true, true]
        );
    }

    #[test]
    fn credentials_are_found_in_their_place_alone() {
        let all = Credentials {
            headers: vec!["x-key".into()],
            query: vec!["key".into()],
            cookies: vec!["sid".into()],
        };
        assert!(all.has(&Part::Header("X-Key".into())));
        assert!(all.has(&Part::Query("key".into())));
        assert!(all.has(&Part::Cookie("sid".into())));
        assert!(!all.has(&Part::Query("x-key".into())));
        assert!(!all.has(&Part::Path("key".into())));
        assert!(!all.has(&Part::Body));
    }
}
