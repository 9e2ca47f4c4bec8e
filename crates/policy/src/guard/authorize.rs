//! Authorization: requirements on the caller, in addition to `security`.
//!
//! ```yaml
//! policies:
//!   admins: {kind: authorize, groups: [admin], claims: {department: [sales, support]}}
//! ```
//! A request must satisfy all keys that are present. For `scopes`, the caller needs all items; for
//! the other lists, one item. Scopes come from the token. Groups come from the token and from the
//! consumer in gateway.yaml. Roles are the values of the claim `roles`. A claim with several values
//! satisfies the policy if one of them is listed. A caller without a credential satisfies none of
//! these keys. `expression` is a condition in CEL over the request, the caller and the route
//! ([`super::expression`]). If its evaluation fails, the request is refused. A refusal for missing
//! scopes is 403 `insufficient_scope` (RFC 6750 §3.1); any other is 403 `not_authorized`.

use std::sync::Arc;

use http::HeaderName;
use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Changes;
use crate::changes::Direction::Access;
use crate::cx::{Cx, Principal};
use crate::declared::{Scalar, Settings, Value};
use crate::guard::expression::{Expression, Source};
use crate::head::{RequestHead, join_lines};
use crate::no_value::NoValue;
use crate::phase::Phase;
use crate::policy::Policy;
use crate::protection::Protection;
use crate::reject::Reject;
use crate::secret::SecretUnavailable;
use crate::step::{Run, Setting, Step};

/// Requirements on a caller, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Required scopes, sorted.
    #[n(0)]
    scopes: Vec<String>,
    /// Claims with their allowed values, sorted.
    #[n(1)]
    claims: Vec<(String, Vec<String>)>,
    /// Groups, sorted. The caller must be in at least one of them.
    #[n(2)]
    groups: Vec<String>,
    /// Roles, sorted. The caller must have at least one of them.
    #[n(3)]
    roles: Vec<String>,
    /// Condition in CEL. `None`: no condition.
    #[n(4)]
    expression: Option<Source>,
}

/// Requirements on a caller at run time.
#[derive(Debug)]
pub struct Filter {
    scopes: Box<[Box<str>]>,
    claims: Box<[OneOf]>,
    groups: Box<[Box<str>]>,
    roles: Box<[Box<str>]>,
    expression: Option<Condition>,
}

/// Expression of an `authorize` policy at run time.
#[derive(Debug)]
enum Condition {
    /// Expression, and the request fields that it reads.
    Compiled(Arc<Expression>, Box<[HeaderName]>),
    /// Expression that this version of gwd cannot compile, although gwc did. All requests are
    /// refused.
    Unreadable,
}

/// A claim with its allowed values.
type OneOf = (Box<str>, Box<[Box<str>]>);

/// Feature that a gateway must have to run `expression`.
const EXPRESSION: &str = "policy:authorize:expression";

/// Claim with the roles of a caller.
pub const ROLES: &str = "roles";

static INSUFFICIENT_SCOPE: Reject = Reject::new(
    403,
    "insufficient_scope",
    "The credential has too few scopes",
);
static NOT_AUTHORIZED: Reject = Reject::new(
    403,
    "not_authorized",
    "The caller is not authorized for this request",
)
.with_meaning("an `authorize` policy refuses the caller")
.with_detail("The caller lacks a group, role or claim that the operation needs.");

// === impl Checked ===

impl Checked {
    /// True if the expression reads the path of the request.
    pub fn depends_on_path(&self) -> bool {
        self.expression.as_ref().is_some_and(Source::reads_path)
    }

    /// Expression of the policy. `None`: no condition.
    #[must_use]
    pub fn expression(&self) -> Option<&Source> {
        self.expression.as_ref()
    }
}

impl Policy for Checked {
    type Filter = Filter;

    const CHANGES: Changes = Changes::new(change_rows! {
        "scopes": Access;
        "groups": Access;
        "roles": Access;
        "expression": Access;
        "claims": Access;
        "claims"."*": Access;
    });

    const PROTECTION: Option<Protection> = Some(Protection::Caller);

    const REFUSALS: &'static [&'static Reject] = &[&INSUFFICIENT_SCOPE, &NOT_AUTHORIZED];

    const UNKNOWN_DECISION: Option<&'static str> =
        Some("only a caller with these claims, groups or scopes would show the change");

    const FEATURES: &'static [&'static str] = &[EXPRESSION];

    fn feature(&self) -> Option<&'static str> {
        self.expression.is_some().then_some(EXPRESSION)
    }

    fn phase(&self) -> Option<Phase> {
        Some(Phase::Authorize)
    }

    fn settings(&self) -> Settings {
        let set = |texts: &[String]| Value::Set(texts.iter().cloned().map(Scalar::Text).collect());
        let lists = [
            ("scopes", &self.scopes),
            ("groups", &self.groups),
            ("roles", &self.roles),
        ];
        let mut settings = Settings::default();
        for (key, texts) in lists {
            if !texts.is_empty() {
                settings = settings.with(&[key], set(texts));
            }
        }
        let claims = self.claims.iter();
        let claims = claims.map(|(name, values)| (name.as_str(), set(values)));
        settings = settings.with_each(&["claims"], claims);
        if let Some(source) = &self.expression {
            let source = Value::One(Scalar::Text(source.text().to_owned()));
            settings = settings.with(&["expression"], source);
        }
        settings
    }

    fn filter(&self, _: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        let boxed = |texts: &[String]| texts.iter().map(|text| text.as_str().into()).collect();
        let claims = self.claims.iter();
        Ok(Some(Filter {
            scopes: boxed(&self.scopes),
            claims: claims
                .map(|(name, values)| (name.as_str().into(), boxed(values)))
                .collect(),
            groups: boxed(&self.groups),
            roles: boxed(&self.roles),
            expression: self.expression.as_ref().map(Condition::of),
        }))
    }
}

// === impl Condition ===

impl Condition {
    fn of(source: &Source) -> Self {
        match source.expression() {
            Some(expression) => Self::Compiled(expression, source.fields().into()),
            None => Self::Unreadable,
        }
    }

    /// Evaluates the expression. First joins the lines of each field that the expression reads. The
    /// expression reads all lines as one value, but an upstream could read only one line.
    fn holds(&self, head: &mut RequestHead, cx: &Cx<'_>) -> Result<bool, NoValue> {
        match self {
            Self::Compiled(expression, fields) => {
                for name in fields {
                    join_lines(&mut head.headers, name);
                }
                expression.holds(head, cx)
            }
            Self::Unreadable => Err(NoValue::Failed),
        }
    }
}

// === impl Filter ===

impl Filter {
    /// True if the policy requires scopes, claims, groups or roles of the caller.
    fn needs_caller(&self) -> bool {
        let Self {
            scopes,
            claims,
            groups,
            roles,
            expression: _,
        } = self;
        let lists = [scopes, groups, roles];
        !claims.is_empty() || lists.iter().any(|list| !list.is_empty())
    }

    /// Refusal of a caller that does not meet the requirements other than the expression. `None` if
    /// the caller meets them.
    fn fault(&self, caller: Option<&Principal<'_>>) -> Option<&'static Reject> {
        let Some(caller) = caller else {
            return self.needs_caller().then_some(&NOT_AUTHORIZED);
        };
        let one_of = |claim: &str, values: &[Box<str>]| {
            values.iter().any(|value| caller.has_claim(claim, value))
        };
        let grouped =
            self.groups.is_empty() || self.groups.iter().any(|group| caller.is_in_group(group));
        let in_role = self.roles.is_empty() || one_of(ROLES, &self.roles);
        let claimed = self
            .claims
            .iter()
            .all(|(name, values)| one_of(name, values));
        match (
            caller.has_scopes(&self.scopes),
            grouped && in_role && claimed,
        ) {
            (true, true) => None,
            (_, false) => Some(&NOT_AUTHORIZED),
            (false, true) => Some(&INSUFFICIENT_SCOPE),
        }
    }
}

impl Run for Filter {
    fn read_fields(&self) -> Vec<HeaderName> {
        match &self.expression {
            Some(Condition::Compiled(_, fields)) => fields.to_vec(),
            Some(Condition::Unreadable) | None => Vec::new(),
        }
    }

    fn depends_on_path(&self) -> bool {
        match &self.expression {
            Some(Condition::Compiled(expression, _)) => expression.reads_path(),
            // Every request is refused if the expression cannot be compiled, so the path has no
            // influence.
            Some(Condition::Unreadable) | None => false,
        }
    }

    fn depends_on_query(&self) -> bool {
        match &self.expression {
            Some(Condition::Compiled(expression, _)) => expression.reads_query(),
            Some(Condition::Unreadable) | None => false,
        }
    }

    fn depends_on_route(&self) -> bool {
        match &self.expression {
            Some(Condition::Compiled(expression, _)) => expression.reads_route(),
            Some(Condition::Unreadable) | None => false,
        }
    }

    fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        let fault = self.fault(cx.principal.as_ref());
        let condition = self.expression.as_ref().filter(|_| fault.is_none());
        let reject = match condition.map(|condition| condition.holds(head, cx)) {
            None => fault,
            Some(Ok(true)) => None,
            Some(Ok(false)) => Some(&NOT_AUTHORIZED),
            Some(Err(why)) => {
                cx.expression_fault = Some(why);
                Some(&NOT_AUTHORIZED)
            }
        };
        match reject {
            None => Step::Continue,
            Some(reject) => {
                cx.refund_quotas();
                Step::Reject(reject)
            }
        }
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: authorize` settings.

    use diag::shape::{Field, Object, Rule, Shape};
    use diag::{Level, Lint, NodeRef, Sink};

    use super::{Checked, Source};
    use crate::forms;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &[
        r#"clerks: {kind: authorize, scopes: [read], claims: {tenant: [t-17]}, groups: [staff], roles: [reader], expression: "request.path.startsWith('/a1')"}"#,
    ];

    /// The keys of `kind: authorize`.
    pub static SHAPE: Object = Object {
        what: "requirements on the caller",
        fields: &[
            Field::optional(
                "scopes",
                WORDS,
                "Required scopes; the caller needs all of them.",
            ),
            Field::optional(
                "claims",
                Shape::Table(&Shape::Either(&[WORDS, Shape::Text])),
                "Required claims, each with its allowed values.",
            ),
            Field::optional(
                "groups",
                WORDS,
                "Required groups; the caller needs one of them.",
            ),
            Field::optional(
                "roles",
                WORDS,
                "Required roles; the caller needs one of them.",
            ),
            Field::optional(
                "expression",
                Shape::Expression(&forms::WORDS),
                "Condition in CEL over `request`, `auth` and `route`, without loops. At most 4KiB. Default: none.",
            ),
        ],
        rules: &[Rule::AnyOf(&[
            "scopes",
            "claims",
            "groups",
            "roles",
            "expression",
        ])],
    };

    const WORDS: Shape = Shape::Several(&Shape::Form(&forms::WORDS));

    /// Lint: an expression that cannot be compiled.
    pub static BAD_EXPRESSION: Lint = Lint {
        code: "GW0548",
        name: "bad-expression",
        level: Level::Error,
        summary: "an expression that cannot be parsed, or has wrong names or types",
        explain: "`expression` of `authorize` is a condition in the Common Expression Language over \
`request`, `auth` and `route`. `cost` of a limit is an integer over `request` and `cost`. All names and types are checked, so that a mistake is found here instead of \
refusing requests. Loops (`all`, `exists`, `map`, `filter`) are not available, because their \
evaluation time has no limit. docs/expressions.md lists all variables and functions.",
        bad: &[(
            "gateway.yaml",
            "version: 1\nname: s\npolicies: {own: {kind: authorize, expression: \"auth.claims.tenant == reqest.headers['x-tenant']\"}}\n",
        )],
        good: &[(
            "gateway.yaml",
            "version: 1\nname: s\npolicies: {own: {kind: authorize, expression: \"auth.claims.tenant == request.headers['x-tenant']\"}}\n",
        )],
    };

    /// Reads requirements from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        let texts = |node: NodeRef<'_>| {
            // Accept a single value instead of a list.
            let one = node.scalar_text();
            let all = node.items().filter_map(NodeRef::scalar_text);
            let mut texts: Vec<String> = one.into_iter().chain(all).map(str::to_owned).collect();
            texts.sort();
            texts.dedup();
            texts
        };
        let written = |key: &str| node.get(key).filter(|node| !node.is_null());
        let list = |key| written(key).map(texts).unwrap_or_default();
        let claims = written("claims").map(|claims| {
            let claims = claims.entries();
            let claims = claims.map(|(entry, values)| (entry.key.to_string(), texts(values)));
            let mut claims: Vec<(String, Vec<String>)> = claims.collect();
            claims.sort();
            claims
        });
        Some(Checked {
            scopes: list("scopes"),
            claims: claims.unwrap_or_default(),
            groups: list("groups"),
            roles: list("roles"),
            expression: written("expression")
                .and_then(NodeRef::scalar_text)
                .map(Source::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::claims::Claims;
    use crate::cx::tests::{filter, head, with_cx};

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|&text| text.to_owned()).collect()
    }

    fn checked(
        scopes: &[&str],
        claims: &[(&str, &[&str])],
        groups: &[&str],
        roles: &[&str],
    ) -> Checked {
        let claims = claims.iter();
        Checked {
            scopes: texts(scopes),
            claims: claims
                .map(|(name, values)| ((*name).to_owned(), texts(values)))
                .collect(),
            groups: texts(groups),
            roles: texts(roles),
            expression: None,
        }
    }

    #[test]
    fn fields_of_the_expression_are_returned() {
        let mut checked = checked(&[], &[], &[], &[]);
        checked.expression = Some("request.headers[\"x-role\"] == \"admin\"".into());
        assert_eq!(crate::Checked::Authorize(checked).read_fields(), ["x-role"]);
    }

    /// Code of the refusal of a consumer with these claims and groups. Empty if the policy admits
    /// the consumer.
    fn refusal(checked: &Checked, consumer: Option<(&Claims, &[Box<str>])>) -> &'static str {
        let filter = filter(checked);
        with_cx(|cx| {
            cx.principal = consumer.map(|(claims, groups)| Principal {
                consumer: Some("acme"),
                scheme: "key",
                claims,
                groups,
                plan: None,
                token: None,
            });
            match filter.on_request(&mut head("/"), cx) {
                Step::Continue => "",
                Step::Reject(reject) => reject.code,
                Step::Reply(_) | Step::Ask(_) => "reply",
            }
        })
    }

    #[test]
    fn every_key_holds_and_one_item_of_a_list() {
        let text = |text: &str| Scalar::Text(text.into());
        let claims = Settings::default()
            .with(&["department"], Value::One(text("sales")))
            .with(&["roles"], Value::Set(vec![text("editor"), text("reader")]));
        let claims = Claims::of(&claims);
        let groups: [Box<str>; 2] = ["admin".into(), "staff".into()];
        let department: &[(&str, &[&str])] = &[("department", &["sales", "support"])];
        let other: &[(&str, &[&str])] = &[("department", &["support"])];
        let both: &[(&str, &[&str])] = &[("department", &["sales"]), ("tier", &["gold"])];
        for (checked, expected) in [
            (checked(&[], department, &[], &[]), ""),
            (checked(&[], other, &[], &[]), "not_authorized"),
            (checked(&[], both, &[], &[]), "not_authorized"),
            (checked(&[], &[], &["admin", "owner"], &[]), ""),
            (checked(&[], &[], &["owner"], &[]), "not_authorized"),
            (checked(&[], &[], &[], &["editor"]), ""),
            (checked(&[], &[], &[], &["admin"]), "not_authorized"),
            (checked(&[], department, &["staff"], &["reader", "x"]), ""),
            (
                checked(&[], department, &["staff"], &["x"]),
                "not_authorized",
            ),
            (checked(&["read"], &[], &[], &[]), "insufficient_scope"),
            (checked(&["read"], other, &[], &[]), "not_authorized"),
        ] {
            let found = refusal(&checked, Some((&claims, &groups)));
            assert_eq!(found, expected, "{checked:?}");
            assert_eq!(refusal(&checked, None), "not_authorized");
        }
    }

    /// Code of the refusal of a request, and the reason why the evaluation of the expression
    /// failed.
    fn refusal_and_reason(
        expression: &str,
        groups: &[&str],
        with_caller: bool,
    ) -> (&'static str, Option<NoValue>) {
        let filter = filter(&Checked {
            expression: Some(expression.into()),
            ..checked(&[], &[], groups, &[])
        });
        let text = Value::One(Scalar::Text("sales".into()));
        let claims = Claims::of(&Settings::default().with(&["department"], text));
        let admin: [Box<str>; 1] = ["admin".into()];
        with_cx(|cx| {
            cx.principal = with_caller.then_some(Principal {
                consumer: Some("acme"),
                scheme: "key",
                claims: &claims,
                groups: &admin,
                plan: None,
                token: None,
            });
            let code = match filter.on_request(&mut head("/a?b=c"), cx) {
                Step::Continue => "",
                Step::Reject(reject) => reject.code,
                Step::Reply(_) | Step::Ask(_) => "reply",
            };
            (code, cx.expression_fault)
        })
    }

    #[test]
    fn expression_holds_in_addition_to_the_lists() {
        let denied = |why| ("not_authorized", why);
        let sales = "auth.claims.department == 'sales'";
        for (expression, groups, with_caller, expected) in [
            (sales, &[][..], true, ("", None)),
            (sales, &["admin"], true, ("", None)),
            (sales, &["owner"], true, denied(None)),
            ("request.query.b == 'x'", &[], true, denied(None)),
            (sales, &[], false, denied(Some(NoValue::Absent))),
            (
                "auth.claims.none == 1",
                &[],
                true,
                denied(Some(NoValue::Absent)),
            ),
            // Without other requirements the expression alone decides, even for callers without a
            // credential.
            ("request.query.b == 'c'", &[], false, ("", None)),
            ("request.query.b == 'c'", &["admin"], false, denied(None)),
            // If the version cannot compile the expression, every caller is refused.
            ("auth.none == 1", &[], true, denied(Some(NoValue::Failed))),
            (
                "auth.groups.exists(g, true)",
                &[],
                true,
                denied(Some(NoValue::Failed)),
            ),
        ] {
            let found = refusal_and_reason(expression, groups, with_caller);
            assert_eq!(found, expected, "{expression} {groups:?} {with_caller}");
        }
    }

    /// The upstream must get the value that the expression read.
    #[test]
    fn lines_that_an_expression_reads_become_one() {
        let filter = filter(&Checked {
            expression: Some("request.headers['x-role'] != 'admin'".into()),
            ..checked(&[], &[], &[], &[])
        });
        let mut head = head("/");
        for (name, value) in [
            ("x-role", "user"),
            ("x-role", "admin"),
            ("x-a", "1"),
            ("x-a", "2"),
        ] {
            head.headers.append(name, HeaderValue::from_static(value));
        }
        let step = with_cx(|cx| filter.on_request(&mut head, cx));
        assert!(matches!(step, Step::Continue), "{step:?}");
        let lines: Vec<&HeaderValue> = head.headers.get_all("x-role").iter().collect();
        assert_eq!(lines, ["user, admin"]);
        assert_eq!(head.headers.get_all("x-a").iter().count(), 2);
    }
}
