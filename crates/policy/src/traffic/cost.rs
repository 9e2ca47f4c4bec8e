//! Cost of a request by an expression: number of tokens that the request takes from a limit.
//!
//! ```yaml
//! policies:
//!   bytes: {kind: quota, limit: 1000000000, period: day, cost: 'int(request.headers["content-length"])'}
//!   points: {kind: rate_limit, limit: 100/min, cost: 'request.method == "GET" ? cost : 10 * cost'}
//! ```
//! The expression is in CEL, over `request` and `cost`, the cost of the operation. Its result is
//! from 0 to [`COST_MAX`](crate::guard::expression::COST_MAX). If a field or parameter is absent,
//! the cost of the operation applies. A request whose cost cannot be computed for another reason is
//! refused: otherwise a client could send a value that the upstream reads differently, and pay less.

#[cfg(feature = "author")]
use std::cmp::Ordering;
use std::sync::Arc;

use http::HeaderName;
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::cx::Cx;
use crate::declared::{Scalar, Settings, Value};
use crate::guard::expression::{Expression, Form, Source};
use crate::head::{RequestHead, join_lines};
use crate::no_value::NoValue;
use crate::reject::Reject;

/// Cost by an expression, in the bundle: its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost(Source);

/// Cost of requests at run time.
#[derive(Debug)]
pub(super) enum Filter {
    /// Cost of the operation.
    Operation,
    /// Expression, and the request fields that it reads.
    Compiled(Arc<Expression>, Box<[HeaderName]>),
    /// Expression that this version of gwd cannot compile, although gwc did. All requests are
    /// refused.
    Unreadable,
}

/// Refusal of a request whose cost cannot be computed.
pub(super) static INVALID: Reject = Reject::new(
    400,
    "cost_invalid",
    "The cost of the request cannot be computed",
)
.with_meaning("the `cost` of a limit has no value for the request");

// === impl Cost ===

impl Cost {
    /// Expression with this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Source::new(text, Form::Cost))
    }

    /// Adds the expression to the settings of a policy.
    pub(super) fn setting(cost: Option<&Self>, settings: Settings) -> Settings {
        let Some(cost) = cost else {
            return settings;
        };
        let text = Scalar::Text(cost.0.text().to_owned());
        settings.with(&["cost"], Value::One(text))
    }

    /// Cost at run time.
    pub(super) fn filter(cost: Option<&Self>) -> Filter {
        let Some(Self(source)) = cost else {
            return Filter::Operation;
        };
        match source.expression() {
            Some(expression) => Filter::Compiled(expression, source.fields().into()),
            None => Filter::Unreadable,
        }
    }

    /// Names of the request fields that the expression reads.
    #[must_use]
    pub fn fields(&self) -> Vec<HeaderName> {
        self.0.fields()
    }

    /// Smallest cost of a request.
    #[cfg(feature = "author")]
    #[must_use]
    pub fn least(&self) -> u64 {
        let expression = self.0.expression();
        expression.map_or(0, |expression| expression.least_cost())
    }
}

/// Order of two costs, as texts of expressions, over all requests. `None` for a text stands for the
/// cost of the operation. The result is `None` if no order is proved.
#[cfg(feature = "author")]
#[must_use]
pub fn compare(old: Option<&str>, new: Option<&str>) -> Option<Ordering> {
    let compiled = |text: Option<&str>| {
        let text = text.unwrap_or("cost");
        Expression::shared(text, Form::Cost).0.ok()
    };
    let (old, new) = (compiled(old)?, compiled(new)?);
    match (old.costs_at_most(&new), new.costs_at_most(&old)) {
        (true, true) => Some(Ordering::Equal),
        (true, false) => Some(Ordering::Less),
        (false, true) => Some(Ordering::Greater),
        (false, false) => None,
    }
}

impl<C> Encode<C> for Cost {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        cx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.0.encode(e, cx)
    }
}

impl<'b, C> Decode<'b, C> for Cost {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Ok(Self::new(d.str()?))
    }
}

// === impl Filter ===

impl Filter {
    /// Cost of a request. First joins the lines of each field that the expression reads. The
    /// expression reads all lines as one value, but an upstream could read only one line.
    ///
    /// # Errors
    /// The reason why the cost cannot be computed.
    pub(super) fn of(&self, head: &mut RequestHead, cx: &Cx<'_>) -> Result<u64, NoValue> {
        match self {
            Self::Operation => Ok(cx.cost),
            Self::Compiled(expression, fields) => {
                for name in fields {
                    join_lines(&mut head.headers, name);
                }
                match expression.cost(head, cx) {
                    Err(NoValue::Absent) => Ok(cx.cost),
                    found => found,
                }
            }
            Self::Unreadable => Err(NoValue::Failed),
        }
    }

    /// Names of the request fields that the expression reads.
    pub(super) fn fields(&self) -> &[HeaderName] {
        match self {
            Self::Compiled(_, fields) => fields,
            Self::Operation | Self::Unreadable => &[],
        }
    }

    /// True if the expression reads the path of the request.
    pub(super) fn reads_path(&self) -> bool {
        matches!(self, Self::Compiled(expression, _) if expression.reads_path())
    }

    /// True if the expression reads the query of the request.
    pub(super) fn reads_query(&self) -> bool {
        matches!(self, Self::Compiled(expression, _) if expression.reads_query())
    }
}

#[cfg(feature = "author")]
pub(super) mod author {
    //! Key `cost` of limits.

    use diag::NodeRef;
    use diag::shape::{Field, Shape};

    use super::Cost;
    use crate::forms;

    /// Key `cost`.
    pub(in crate::traffic) const COST: Field = Field::optional(
        "cost",
        Shape::Expression(&forms::WORDS),
        "Tokens that a request takes: an integer in CEL over `request` and `cost`, the cost of the \
        operation, from 0 to 1000000000000. If the request lacks a value that the expression \
        reads, the cost of the operation applies. If the cost cannot be computed for another \
        reason, the request is refused (400 \
        `cost_invalid`). At most 4KiB. Default: the cost of the operation.",
    );

    /// Reads the key from a policy that fits its shape.
    pub(in crate::traffic) fn read(policy: NodeRef<'_>) -> Option<Cost> {
        let text = policy.get("cost").and_then(NodeRef::scalar_text)?;
        Some(Cost::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cx::tests::{head, with_cx};

    fn cost(source: &str, request: &RequestHead, operation: u64) -> Result<u64, NoValue> {
        let filter = Cost::filter(Some(&Cost::new(source)));
        let mut request = request.clone();
        with_cx(|cx| {
            cx.cost = operation;
            filter.of(&mut request, cx)
        })
    }

    #[test]
    fn cost_is_computed_from_the_request() {
        let mut request = head("/a?n=7&n2=x");
        let weight = http::HeaderValue::from_static("12");
        request.headers.insert("x-weight", weight);
        for (source, expected) in [
            ("int(request.headers['x-weight'])", Ok(12)),
            ("int(request.query.n) * cost", Ok(21)),
            ("request.method == 'GET' ? cost : 10", Ok(3)),
            ("0", Ok(0)),
            ("1000000000000", Ok(1_000_000_000_000)),
            // Without the value, the cost of the operation applies.
            ("int(request.headers['x-other'])", Ok(3)),
            ("1000000000001", Err(NoValue::Range)),
            ("-1", Err(NoValue::Range)),
            ("int(request.query.n2)", Err(NoValue::Range)),
            ("1 / (cost - 3)", Err(NoValue::Range)),
        ] {
            assert_eq!(cost(source, &request, 3), expected, "{source}");
        }
        // Servers differ in the value that they use.
        let twice = head("/a?n=1&n=900");
        let found = cost("int(request.query.n)", &twice, 3);
        assert_eq!(found, Err(NoValue::Ambiguous));
        assert_eq!(cost("auth.none", &request, 3), Err(NoValue::Failed));
    }

    #[test]
    fn documented_cost_counts_a_body_without_length() {
        let page = include_str!("../../../../docs/expressions.md");
        let lines = page.lines().map(str::trim_start);
        let mut costs = lines.filter_map(|line| line.strip_prefix("cost: '")?.strip_suffix('\''));
        let source = costs.next().expect("the example of a quota of bytes");
        let mut request = head("/a");
        assert_eq!(cost(source, &request, 1), Ok(1_048_576));
        let length = http::HeaderValue::from_static("62");
        request.headers.insert("content-length", length);
        assert_eq!(cost(source, &request, 1), Ok(62));
    }

    #[test]
    fn lines_of_a_field_are_joined_for_the_upstream() {
        let mut request = head("/a");
        for value in ["1", "900"] {
            let value = http::HeaderValue::from_static(value);
            request.headers.append("x-weight", value);
        }
        let filter = Cost::filter(Some(&Cost::new("int(request.headers['x-weight'])")));
        let found = with_cx(|cx| filter.of(&mut request, cx));
        assert_eq!(found, Err(NoValue::Range));
        assert_eq!(request.headers["x-weight"], "1, 900");
    }

    #[cfg(feature = "author")]
    #[test]
    fn absent_expression_is_the_cost_of_the_operation() {
        assert_eq!(compare(None, Some("cost")), Some(Ordering::Equal));
        assert_eq!(compare(None, Some("cost * 2")), Some(Ordering::Less));
        assert_eq!(compare(Some("cost + 1"), None), Some(Ordering::Greater));
        assert_eq!(compare(None, Some("2")), None);
    }
}
