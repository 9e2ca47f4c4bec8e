//! One API's contract with its clients: what plans compare and gwd never loads.

use minicbor::{Decode, Encode};

use super::set::{Named, Set};

/// An API's contract: one blob of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Contract {
    /// The API's name.
    #[n(0)]
    pub name: String,
    /// Its operations by key.
    #[n(1)]
    pub operations: Set<ContractOperation>,
}

/// What an operation takes and gives.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ContractOperation {
    /// The operation's key.
    #[n(0)]
    pub key: String,
    /// Whether clients are told to stop using it.
    #[n(1)]
    pub deprecated: bool,
    /// Parameters; those of the path in the template's order, the rest sorted.
    #[n(2)]
    pub parameters: Vec<Parameter>,
    /// The request's body.
    #[n(3)]
    pub body: Option<Body>,
    /// Responses sorted by status.
    #[n(4)]
    pub responses: Vec<Response>,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Parameter {
    /// Where it stands.
    #[n(0)]
    pub place: ParameterPlace,
    /// Its name.
    #[n(1)]
    pub name: String,
    /// Whether it must be there.
    #[n(2)]
    pub required: bool,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum ParameterPlace {
    /// In the path.
    #[n(0)]
    Path,
    /// In the query.
    #[n(1)]
    Query,
    /// In a field.
    #[n(2)]
    Header,
    /// In a cookie.
    #[n(3)]
    Cookie,
}

/// A request's body.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Body {
    /// Whether it must be there.
    #[n(0)]
    pub required: bool,
    /// Media types, sorted.
    #[n(1)]
    pub media_types: Vec<String>,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Response {
    /// `200`, `4XX`, `default`.
    #[n(0)]
    pub status: String,
    /// Media types, sorted.
    #[n(1)]
    pub media_types: Vec<String>,
}

impl Named for Contract {
    fn name(&self) -> &str {
        &self.name
    }
}
impl Named for ContractOperation {
    fn name(&self) -> &str {
        &self.key
    }
}
