//! Values that an expression can read: the request, its caller and its route. A value is read from
//! the request only when the expression uses it.

use std::borrow::Cow;
use std::net::IpAddr;

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Sizer};
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelNull, CelString, LIST_TYPE, MAP_TYPE, Type,
};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::context::VariableResolver;
use http::HeaderMap;
use regex::Regex;

use crate::auth::jwt::json::{Json, Object};
use crate::auth::{decode_query, has_several_readings, name_and_value};
use crate::cx::{Cx, Principal};
use crate::escapes;
use crate::head::RequestHead;
use crate::route_id::RouteId;

/// Function name in errors from reading a value.
pub(super) const READ: &str = "@read";

/// CEL type of compiled patterns.
pub(super) static PATTERN: Type = Type::new_unspecified_type("gateway.pattern");

/// Compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern(pub(super) Regex);

/// Variables of one evaluation.
pub(super) struct Scope<'s> {
    request: Node<'s>,
    auth: Node<'s>,
    route: Node<'s>,
    /// Cost of the operation.
    cost: i64,
    patterns: &'s [Pattern],
}

/// Map or list whose entries are read from the request without a copy.
#[derive(Clone, Copy)]
enum Node<'s> {
    Request(&'s RequestHead, IpAddr),
    Headers(&'s HeaderMap),
    Query(&'s str),
    /// Variable `auth`. `None` if there is no caller.
    Auth(Option<&'s Principal<'s>>),
    Claims(Option<&'s Principal<'s>>),
    Groups(Option<&'s Principal<'s>>),
    Texts(&'s [Box<str>]),
    Object(&'s Object),
    List(&'s [Json]),
    Route(Option<&'s RouteId>),
}

/// Name of the internal variable for a pattern. Users cannot write the name, because it is not a
/// valid identifier.
pub(super) fn pattern_name(index: usize) -> String {
    format!("@pattern{index}")
}

// === impl Scope ===

impl<'s> Scope<'s> {
    pub(super) fn new(head: &'s RequestHead, cx: &'s Cx<'_>, patterns: &'s [Pattern]) -> Self {
        Self {
            request: Node::Request(head, cx.client),
            auth: Node::Auth(cx.principal.as_ref()),
            route: Node::Route(cx.route),
            cost: i64::try_from(cx.cost).unwrap_or(i64::MAX),
            patterns,
        }
    }
}

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        match variable {
            "request" => Some(CowVal::Borrowed(&self.request)),
            "auth" => Some(CowVal::Borrowed(&self.auth)),
            "route" => Some(CowVal::Borrowed(&self.route)),
            "cost" => Some(CowVal::owned(CelInt::from(self.cost))),
            _ => {
                let index: usize = variable.strip_prefix("@pattern")?.parse().ok()?;
                let pattern = self.patterns.get(index);
                pattern.map(|pattern| CowVal::Borrowed(pattern as &dyn Val))
            }
        }
    }
}

// === impl Pattern ===

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN
    }

    fn cel_type() -> &'static Type {
        &PATTERN
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

// === impl Node ===

/// Omits the values, because they come from the request.
impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Node(…)")
    }
}

impl Val for Node<'_> {
    fn get_type(&self) -> &Type {
        match self {
            Self::Groups(_) | Self::Texts(_) | Self::List(_) => &LIST_TYPE,
            _ => &MAP_TYPE,
        }
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl Indexer for Node<'_> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.at(index)
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.at(index).map(CowVal::into_owned)
    }
}

impl Container for Node<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        let text = value.downcast_ref::<CelString<'_>>();
        let text = text.map(CelString::inner);
        match self {
            Self::Groups(caller) => {
                let is_in = |caller: &&Principal<'_>| text.is_some_and(|it| caller.is_in_group(it));
                Ok(caller.as_ref().is_some_and(is_in))
            }
            Self::Texts(all) => Ok(text.is_some_and(|it| all.iter().any(|one| **one == *it))),
            Self::List(all) => Ok(all.iter().any(|one| of_json(one).equals(value))),
            _ => match self.at(value) {
                Ok(_) => Ok(true),
                Err(ExecutionError::NoSuchKey(_)) => Ok(false),
                Err(error) => Err(error),
            },
        }
    }
}

impl Sizer for Node<'_> {
    fn size(&self) -> CelInt {
        let size = match self {
            Self::Headers(headers) => headers.keys_len(),
            Self::Query(query) => pairs(query).count(),
            Self::Groups(caller) => caller.map_or(0, |caller| groups(caller).len()),
            Self::Texts(all) => all.len(),
            Self::Object(object) => object.iter().count(),
            Self::List(all) => all.len(),
            Self::Request(..) | Self::Auth(_) | Self::Claims(_) | Self::Route(_) => 0,
        };
        CelInt::from(i64::try_from(size).unwrap_or(i64::MAX))
    }
}

impl<'s> Node<'s> {
    fn at<'b, 'v>(self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        's: 'v,
    {
        let name = index.downcast_ref::<CelString<'_>>().map(CelString::inner);
        let number = index.downcast_ref::<CelInt>().map(|number| *number.inner());
        match (self, name, number) {
            (Self::Groups(caller), _, Some(at)) => {
                let all = caller.map(groups).unwrap_or_default();
                all.get(place(at)?)
                    .copied()
                    .map(text)
                    .ok_or_else(out_of_range)
            }
            (Self::Texts(all), _, Some(at)) => {
                let one = all.get(place(at)?).ok_or_else(out_of_range)?;
                Ok(text(one))
            }
            (Self::List(all), _, Some(at)) => {
                all.get(place(at)?).map(of_json).ok_or_else(out_of_range)
            }
            (Self::Groups(_) | Self::Texts(_) | Self::List(_), _, None) | (_, None, _) => {
                Err(ExecutionError::UnexpectedType {
                    got: index.get_type().name().to_owned(),
                    want: "an index".to_owned(),
                })
            }
            (node, Some(name), _) => {
                let absent = || ExecutionError::no_such_key("it");
                node.field(name)?.ok_or_else(absent)
            }
        }
    }

    /// Value of the field with this name. `None` if the field is absent.
    fn field<'b, 'v>(self, name: &str) -> Result<Option<CowVal<'b, 'v>>, ExecutionError>
    where
        's: 'v,
    {
        Ok(match self {
            Self::Request(head, client) => match name {
                "method" => Some(text(head.method.as_str())),
                "path" => {
                    let path = escapes::printable(head.path()).into_owned();
                    Some(CowVal::owned(CelString::from(path)))
                }
                "host" => Some(text(&head.host)),
                "headers" => Some(CowVal::owned(Self::Headers(&head.headers))),
                "query" => Some(CowVal::owned(Self::Query(head.query().unwrap_or_default()))),
                "address" => Some(CowVal::owned(CelString::from(client.to_string()))),
                _ => None,
            },
            Self::Headers(headers) => header(headers, name)?,
            Self::Query(query) => parameter(query, name)?,
            Self::Auth(caller) => caller
                .and_then(|caller| of_caller(caller, name))
                .or_else(|| match name {
                    "groups" => Some(CowVal::owned(Self::Groups(caller))),
                    "claims" => Some(CowVal::owned(Self::Claims(caller))),
                    "scopes" => Some(CowVal::owned(Self::Texts(&[]))),
                    _ => None,
                }),
            Self::Claims(caller) => caller.and_then(|caller| claim(caller, name)),
            Self::Object(object) => object.get(name).map(of_json),
            Self::Route(route) => {
                let parts = route.and_then(|route| route.as_str().rsplit_once('@'));
                match (name, parts) {
                    ("operation", Some((operation, _))) => Some(text(operation)),
                    ("mount", Some((_, mount))) => Some(text(mount)),
                    _ => None,
                }
            }
            Self::Groups(_) | Self::Texts(_) | Self::List(_) => None,
        })
    }
}

fn text<'b, 'v>(text: &'v str) -> CowVal<'b, 'v> {
    CowVal::owned(CelString::from(text))
}

fn place(at: i64) -> Result<usize, ExecutionError> {
    usize::try_from(at).map_err(|_| out_of_range())
}

fn out_of_range() -> ExecutionError {
    ExecutionError::IndexOutOfBounds(cel::Value::Null)
}

/// Groups of a caller: those of the consumer, then those of the token.
fn groups<'s>(caller: &'s Principal<'_>) -> Vec<&'s str> {
    let token = caller.token.as_ref();
    let more = token.map_or(&[][..], |token| &*token.groups);
    let all = caller.groups.iter().chain(more);
    let mut all: Vec<&str> = all.map(|group| &**group).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn of_caller<'b, 'v>(caller: &'v Principal<'_>, name: &str) -> Option<CowVal<'b, 'v>> {
    let token = caller.token.as_ref();
    let found = match name {
        "subject" => token?.subject.as_deref(),
        "issuer" => token.map(|token| &*token.issuer),
        "client" => token?.client.as_deref(),
        "consumer" => caller.consumer,
        "scheme" => Some(caller.scheme),
        "scopes" => {
            let scopes = token.map_or(&[][..], |token| &*token.scopes);
            return Some(CowVal::owned(Node::Texts(scopes)));
        }
        _ => None,
    };
    found.map(text)
}

/// Value of a claim: from the consumer in gateway.yaml, otherwise from the token. `None` if neither
/// has the claim.
fn claim<'b, 'v>(caller: &'v Principal<'_>, name: &str) -> Option<CowVal<'b, 'v>> {
    if let Some(single) = caller.claims.get(name) {
        return Some(text(single));
    }
    if let Some(all) = caller.claims.list(name) {
        return Some(CowVal::owned(Node::Texts(all)));
    }
    caller.token.as_ref()?.all.get(name).map(of_json)
}

fn of_json<'b, 'v>(json: &'v Json) -> CowVal<'b, 'v> {
    match json {
        Json::Null => CowVal::owned(CelNull),
        Json::Bool(value) => CowVal::owned(CelBool::from(*value)),
        Json::Text(value) => text(value),
        Json::Number(written) => match written.parse::<i64>() {
            Ok(number) => CowVal::owned(CelInt::from(number)),
            Err(_) => CowVal::owned(CelDouble::from(written.parse().unwrap_or(f64::NAN))),
        },
        Json::List(all) => CowVal::owned(Node::List(all)),
        Json::Object(object) => CowVal::owned(Node::Object(object)),
    }
}

/// Value of a request field. Several lines are joined by commas (RFC 9110 §5.3).
fn header<'b, 'v>(
    headers: &'v HeaderMap,
    name: &str,
) -> Result<Option<CowVal<'b, 'v>>, ExecutionError> {
    let mut lines = headers.get_all(name).iter();
    let Some(first) = lines.next() else {
        return Ok(None);
    };
    let read = |value: &'v http::HeaderValue| {
        let read = std::str::from_utf8(value.as_bytes());
        read.map_err(|_| ExecutionError::function_error(READ, "not UTF-8"))
    };
    let first = read(first)?;
    let separator = if name == "cookie" { "; " } else { ", " };
    let mut all = Cow::Borrowed(first);
    for line in lines {
        let all = all.to_mut();
        all.push_str(separator);
        all.push_str(read(line)?);
    }
    Ok(Some(match all {
        Cow::Borrowed(one) => text(one),
        Cow::Owned(all) => CowVal::owned(CelString::from(all)),
    }))
}

/// Names and values in a query, still percent-encoded.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(name_and_value)
}

/// Decoded value of a query parameter. It is an error if the parameter is repeated, because servers
/// differ in the value that they use. It is also an error if some servers treat the name of a
/// different parameter as equal. The same applies if they end the value at a `;`, or leave out the
/// parameter because of a malformed escape.
fn parameter<'b, 'v>(query: &'v str, name: &str) -> Result<Option<CowVal<'b, 'v>>, ExecutionError> {
    let mut found = pairs(query).filter(|(key, _)| *decode_query(key) == *name.as_bytes());
    let (first, second) = (found.next(), found.next());
    if second.is_some() || has_several_readings(query, name) {
        return Err(ExecutionError::function_error(READ, "several"));
    }
    let Some((_, value)) = first else {
        return Ok(None);
    };
    let bad = || ExecutionError::function_error(READ, "not UTF-8");
    Ok(Some(match decode_query(value) {
        Cow::Borrowed(bytes) => text(std::str::from_utf8(bytes).map_err(|_| bad())?),
        Cow::Owned(bytes) => {
            let decoded = String::from_utf8(bytes).map_err(|_| bad())?;
            CowVal::owned(CelString::from(decoded))
        }
    }))
}
