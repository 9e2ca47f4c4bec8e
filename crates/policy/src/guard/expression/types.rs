//! Types in expressions: variables with their fields, and functions.

/// Type of a subexpression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Null,
    /// List of strings.
    Texts,
    /// List of other values.
    List,
    /// Type that depends on the request: the value of a claim.
    Any,
    Request,
    /// Map of request fields by name.
    Headers,
    /// Map of query parameters by name.
    Query,
    Auth,
    Claims,
    Route,
}

/// Name of a variable or field, with its type.
pub(super) type Named = (&'static str, Type);

/// Variables of a condition.
pub(super) const VARIABLES: &[Named] = &[
    ("auth", Type::Auth),
    ("request", Type::Request),
    ("route", Type::Route),
];

/// Result type of an expression, which also decides which variables it can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Condition of `authorize`: a boolean over the request, the caller and the route.
    Condition,
    /// Cost of a request: an integer over the request and the operation's cost. It does not depend
    /// on the caller, because limits by address run before authentication.
    Cost,
}

/// Variables of a cost.
const COST_VARIABLES: &[Named] = &[("cost", Type::Int), ("request", Type::Request)];

impl Form {
    /// Variables that an expression of this form can use.
    pub(super) const fn variables(self) -> &'static [Named] {
        match self {
            Self::Condition => VARIABLES,
            Self::Cost => COST_VARIABLES,
        }
    }
}

/// Global function, called as `name(value)`: its name, the types that it accepts, and its result
/// type.
pub(super) struct Global {
    pub(super) name: &'static str,
    pub(super) takes: fn(Type) -> bool,
    pub(super) gives: Type,
}

/// Method of a string, called as `text.name(…)`.
pub(super) struct Member {
    pub(super) name: &'static str,
    /// True if the method has one parameter, which is a string.
    pub(super) takes_text: bool,
    pub(super) gives: Type,
}

pub(super) const GLOBALS: &[Global] = &[
    Global {
        name: "double",
        takes: |one| one.is_number() || matches!(one, Type::Text | Type::Any),
        gives: Type::Double,
    },
    Global {
        name: "int",
        takes: |one| one.is_number() || matches!(one, Type::Text | Type::Any),
        gives: Type::Int,
    },
    Global {
        name: "size",
        takes: Type::has_size,
        gives: Type::Int,
    },
    Global {
        name: "string",
        takes: |one| {
            one.is_number() || matches!(one, Type::Text | Type::Bool | Type::Bytes | Type::Any)
        },
        gives: Type::Text,
    },
];

pub(super) const MEMBERS: &[Member] = &[
    Member {
        name: "contains",
        takes_text: true,
        gives: Type::Bool,
    },
    Member {
        name: "endsWith",
        takes_text: true,
        gives: Type::Bool,
    },
    Member {
        name: "lowerAscii",
        takes_text: false,
        gives: Type::Text,
    },
    Member {
        name: "matches",
        takes_text: true,
        gives: Type::Bool,
    },
    Member {
        name: "size",
        takes_text: false,
        gives: Type::Int,
    },
    Member {
        name: "startsWith",
        takes_text: true,
        gives: Type::Bool,
    },
];

/// Functions that iterate over a list or map. Expressions that call them are refused.
pub(super) const WALKS: &[&str] = &[
    "all",
    "exists",
    "existsOne",
    "exists_one",
    "filter",
    "map",
    "transformList",
    "transformMap",
    "transformMapEntry",
];

// === impl Type ===

impl Type {
    /// Name of the type in messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::Text => "string",
            Self::Bytes => "bytes",
            Self::Null => "null",
            Self::Texts => "list(string)",
            Self::List => "list(dyn)",
            Self::Any => "dyn",
            Self::Request => "request",
            Self::Headers => "request.headers",
            Self::Query => "request.query",
            Self::Auth => "auth",
            Self::Claims => "auth.claims",
            Self::Route => "route",
        }
    }

    /// Fields with fixed names. `None` for types without fields, and for maps.
    pub(super) const fn fields(self) -> Option<&'static [Named]> {
        match self {
            Self::Request => Some(&[
                ("address", Self::Text),
                ("headers", Self::Headers),
                ("host", Self::Text),
                ("method", Self::Text),
                ("path", Self::Text),
                ("query", Self::Query),
            ]),
            Self::Auth => Some(&[
                ("claims", Self::Claims),
                ("client", Self::Text),
                ("consumer", Self::Text),
                ("groups", Self::Texts),
                ("issuer", Self::Text),
                ("scheme", Self::Text),
                ("scopes", Self::Texts),
                ("subject", Self::Text),
            ]),
            Self::Route => Some(&[("mount", Self::Text), ("operation", Self::Text)]),
            _ => None,
        }
    }

    /// Type of the values in a map whose keys are known only at run time. `None` for types other
    /// than maps.
    pub(super) const fn entry(self) -> Option<Self> {
        match self {
            Self::Headers | Self::Query => Some(Self::Text),
            Self::Claims | Self::Any => Some(Self::Any),
            _ => None,
        }
    }

    pub(super) const fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    pub(super) const fn is_list(self) -> bool {
        matches!(self, Self::Texts | Self::List)
    }

    pub(super) const fn has_size(self) -> bool {
        self.is_list()
            || matches!(
                self,
                Self::Text | Self::Bytes | Self::Headers | Self::Query | Self::Any
            )
    }

    /// True if a value of this type can have the type `other` at run time.
    pub(super) fn may_be(self, other: Self) -> bool {
        self == other || self == Self::Any
    }

    /// True if a value of one type can equal a value of the other type.
    pub(super) fn may_equal(self, other: Self) -> bool {
        let is_plain = |one: Self| {
            one.is_number()
                || matches!(
                    one,
                    Self::Bool | Self::Text | Self::Bytes | Self::Null | Self::Any
                )
        };
        let alike = self == other || self.is_number() && other.is_number();
        is_plain(self) && is_plain(other) && (alike || self == Self::Any || other == Self::Any)
    }

    /// Type of a value that is of one of two types, such as the result of `?:`.
    pub(super) fn either(self, other: Self) -> Self {
        match self == other {
            true => self,
            false => Self::Any,
        }
    }
}
