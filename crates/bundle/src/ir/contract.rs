//! Contract of an API with its clients. Plans compare contracts; gwd never loads them.
//!
//! All schemas are in one table, [`Contract::schemas`], which is a graph. The graph contains
//! neither component names nor descriptions, and schemas with the same meaning are one node
//! (plan.md, release.md §1).

use minicbor::{Decode, Encode};

use super::set::{Named, NotASet, Set};
use super::value::Value;
use crate::codec::{self, NotCanonical};

/// Contract of an API: one blob of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Contract {
    /// Name of the API.
    #[n(0)]
    pub name: String,
    /// Operations of the API, by key.
    #[n(2)]
    pub operations: Set<ContractOperation>,
    /// Requests that the API makes to clients, with the keys `KEY callback NAME METHOD EXPRESSION`
    /// and `webhook NAME METHOD`.
    #[n(3)]
    pub outgoing: Set<ContractOperation>,
    /// Nodes of all schemas. [`Value::Node`] is an index in this list. The order is that of a
    /// breadth-first walk from `operations`, then from `outgoing`.
    #[n(4)]
    pub schemas: Vec<Value>,
    /// True if the blob was in the older format, which contains names and no schemas.
    #[cbor(skip)]
    pub names_only: bool,
}

/// Parameters, body and responses of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ContractOperation {
    /// Key of the operation.
    #[n(0)]
    pub key: String,
    /// True if the operation is deprecated.
    #[n(1)]
    pub deprecated: bool,
    /// Path parameters in the order of the template, then all other parameters, sorted.
    #[n(2)]
    pub parameters: Vec<Parameter>,
    /// Request body. `None`: the operation has none.
    #[n(3)]
    pub body: Option<Body>,
    /// Responses sorted by status.
    #[n(4)]
    pub responses: Vec<Response>,
    /// Callback or webhook: the alternatives of `security`, each a list of credentials as texts. In a map
    /// with the key `root` if they are those of the root. `None`: no credentials.
    #[n(5)]
    pub security: Option<Value>,
}

/// Parameter of an operation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Parameter {
    /// Location of the parameter in a request.
    #[n(0)]
    pub place: ParameterPlace,
    /// Name of the parameter.
    #[n(1)]
    pub name: String,
    /// True if the parameter is required.
    #[n(2)]
    pub required: bool,
    /// Other fields of the OpenAPI parameter: `schema` or `content`, and each of `style`,
    /// `explode`, `allowReserved`, `allowEmptyValue` and `deprecated` that differs from its
    /// default.
    #[n(3)]
    pub definition: Value,
}

/// Location of a parameter in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum ParameterPlace {
    /// Path parameter.
    #[n(0)]
    Path,
    /// Query parameter.
    #[n(1)]
    Query,
    /// Header field.
    #[n(2)]
    Header,
    /// Cookie.
    #[n(3)]
    Cookie,
    /// The whole query string (OpenAPI 3.2).
    #[n(4)]
    Querystring,
}

/// A request's body.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Body {
    /// True if a body is required.
    #[n(0)]
    pub required: bool,
    /// Descriptions of the body by media type.
    #[n(2)]
    pub media_types: Set<MediaType>,
}

/// Description of one media type.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MediaType {
    /// Name of the media type, in lower case.
    #[n(0)]
    pub name: String,
    /// Fields of the OpenAPI media type: `schema`, `encoding`, and `itemSchema`, `prefixEncoding`
    /// and `itemEncoding` of OpenAPI 3.2.
    #[n(1)]
    pub definition: Value,
}

/// Response of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Response {
    /// Status, for example `200`, `4xx` or `default`.
    #[n(0)]
    pub status: String,
    /// Descriptions of the body by media type.
    #[n(2)]
    pub media_types: Set<MediaType>,
    /// Header fields of the response, by name.
    #[n(3)]
    pub headers: Set<Header>,
}

/// Header field of a response.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Header {
    /// Name of the field, in lower case.
    #[n(0)]
    pub name: String,
    /// True if the field is required.
    #[n(1)]
    pub required: bool,
    /// Other fields of the OpenAPI header, in the form of [`Parameter::definition`].
    #[n(2)]
    pub definition: Value,
}

// === impl ParameterPlace ===

impl ParameterPlace {
    /// Value of `in` in OpenAPI.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Querystring => "querystring",
        }
    }
}

// === impl Contract ===

impl Contract {
    /// Decodes a contract blob in the current or the older format.
    ///
    /// # Errors
    /// The bytes are in neither format, or a reference names a node that does not exist.
    pub fn read(bytes: &[u8]) -> Result<Self, NotCanonical> {
        match codec::decode::<Self>(bytes) {
            Ok(contract) if contract.edges_lead_to_nodes() => Ok(contract),
            Ok(_) => Err(NotCanonical::Otherwise),
            Err(_) => former::read(bytes),
        }
    }

    /// All operations of the API, then all requests that the API makes to clients.
    pub fn all(&self) -> impl Iterator<Item = &ContractOperation> {
        self.operations.iter().chain(&self.outgoing)
    }

    /// Replaces each node index in all operations by the result of `number`.
    pub fn renumber(&mut self, number: &mut impl FnMut(u32) -> u32) {
        let all = self.operations.iter_mut().chain(self.outgoing.iter_mut());
        for operation in all {
            operation.each_value_mut(&mut |value| *value = value.with_nodes(number));
        }
    }

    /// Contract in the older format, which contains names and no schemas.
    ///
    /// # Errors
    /// Two operations have the same key, which never happens for a contract from gwc.
    pub fn names(&self) -> Result<Self, NotASet> {
        let bare = || Value::Map(Vec::new());
        let media = |all: &Set<MediaType>| {
            let bare = |one: &MediaType| MediaType {
                name: one.name.clone(),
                definition: bare(),
            };
            Set::new(all.iter().map(bare).collect())
        };
        let mut operations = Vec::new();
        for operation in &self.operations {
            let mut parameters: Vec<Parameter> = operation
                .parameters
                .iter()
                .map(|one| Parameter {
                    // The older format cannot express `in: querystring`.
                    place: match one.place {
                        ParameterPlace::Querystring => ParameterPlace::Query,
                        place => place,
                    },
                    definition: bare(),
                    ..one.clone()
                })
                .collect();
            let path = parameters
                .iter()
                .take_while(|one| one.place == ParameterPlace::Path)
                .count();
            parameters[path..].sort();
            let body = match &operation.body {
                None => None,
                Some(body) => Some(Body {
                    required: body.required,
                    media_types: media(&body.media_types)?,
                }),
            };
            let mut responses = Vec::new();
            for one in &operation.responses {
                responses.push(Response {
                    status: one.status.clone(),
                    media_types: media(&one.media_types)?,
                    headers: Set::default(),
                });
            }
            operations.push(ContractOperation {
                key: operation.key.clone(),
                deprecated: operation.deprecated,
                parameters,
                body,
                responses,
                security: None,
            });
        }
        Ok(Self {
            name: self.name.clone(),
            operations: Set::new(operations)?,
            outgoing: Set::default(),
            schemas: Vec::new(),
            names_only: true,
        })
    }

    fn edges_lead_to_nodes(&self) -> bool {
        let mut fine = true;
        let mut see = |node: u32| fine &= (node as usize) < self.schemas.len();
        for operation in self.all() {
            operation.each_value(&mut |value| value.each_node(&mut see));
        }
        self.schemas
            .iter()
            .for_each(|node| node.each_node(&mut see));
        fine
    }
}

// === impl ContractOperation ===

impl ContractOperation {
    /// Calls `see` for the OpenAPI description of each parameter, media type and header, in the
    /// same order as [`Self::each_value`].
    pub fn each_value_mut(&mut self, see: &mut impl FnMut(&mut Value)) {
        let Self {
            key: _,
            deprecated: _,
            parameters,
            body,
            responses,
            security: _,
        } = self;
        parameters
            .iter_mut()
            .for_each(|one| see(&mut one.definition));
        if let Some(body) = body {
            body.media_types
                .iter_mut()
                .for_each(|one| see(&mut one.definition));
        }
        for response in responses {
            response
                .headers
                .iter_mut()
                .for_each(|one| see(&mut one.definition));
            let media = response.media_types.iter_mut();
            media.for_each(|one| see(&mut one.definition));
        }
    }

    /// Calls `see` for the OpenAPI description of each parameter, media type and header, in the
    /// order in which the nodes are numbered.
    pub fn each_value<'s>(&'s self, see: &mut impl FnMut(&'s Value)) {
        self.parameters.iter().for_each(|one| see(&one.definition));
        let body = self.body.iter().flat_map(|body| &body.media_types);
        body.for_each(|one| see(&one.definition));
        for response in &self.responses {
            response.headers.iter().for_each(|one| see(&one.definition));
            response
                .media_types
                .iter()
                .for_each(|one| see(&one.definition));
        }
    }
}

macro_rules! named {
    ($($kind:ident by $field:ident;)*) => {$(
        impl Named for $kind {
            fn name(&self) -> &str {
                &self.$field
            }
        }
    )*};
}

named! {
    Contract by name;
    ContractOperation by key;
    MediaType by name;
    Header by name;
}

/// Older format of contract blobs, without schemas. gwc only decodes it, for plans against old
/// bundles.
mod former {
    use super::{Decode, Encode, Named, NotCanonical, ParameterPlace, Set, Value, codec};

    #[derive(Encode, Decode)]
    #[cbor(map)]
    struct Contract {
        #[n(0)]
        name: String,
        #[n(1)]
        operations: Set<Operation>,
    }

    #[derive(Encode, Decode)]
    #[cbor(map)]
    struct Operation {
        #[n(0)]
        key: String,
        #[n(1)]
        deprecated: bool,
        #[n(2)]
        parameters: Vec<Parameter>,
        #[n(3)]
        body: Option<Body>,
        #[n(4)]
        responses: Vec<Response>,
    }

    #[derive(Encode, Decode)]
    #[cbor(map)]
    struct Parameter {
        #[n(0)]
        place: ParameterPlace,
        #[n(1)]
        name: String,
        #[n(2)]
        required: bool,
    }

    #[derive(Encode, Decode)]
    #[cbor(map)]
    struct Body {
        #[n(0)]
        required: bool,
        #[n(1)]
        media_types: Vec<String>,
    }

    #[derive(Encode, Decode)]
    #[cbor(map)]
    struct Response {
        #[n(0)]
        status: String,
        #[n(1)]
        media_types: Vec<String>,
    }

    impl Named for Operation {
        fn name(&self) -> &str {
            &self.key
        }
    }

    /// Decodes a contract blob in the older format.
    pub(super) fn read(bytes: &[u8]) -> Result<super::Contract, NotCanonical> {
        let former: Contract = codec::decode(bytes)?;
        let operations = former.operations.into_vec().into_iter().map(operation);
        let operations = operations.collect::<Result<Vec<_>, _>>()?;
        Ok(super::Contract {
            name: former.name,
            operations: Set::new(operations).map_err(|_| NotCanonical::Otherwise)?,
            outgoing: Set::default(),
            schemas: Vec::new(),
            names_only: true,
        })
    }

    fn operation(former: Operation) -> Result<super::ContractOperation, NotCanonical> {
        let body = match former.body {
            None => None,
            Some(body) => Some(super::Body {
                required: body.required,
                media_types: media(body.media_types)?,
            }),
        };
        let parameter = |one: Parameter| super::Parameter {
            place: one.place,
            name: one.name,
            required: one.required,
            definition: Value::Map(Vec::new()),
        };
        let response = |one: Response| {
            Ok(super::Response {
                status: one.status,
                media_types: media(one.media_types)?,
                headers: Set::default(),
            })
        };
        Ok(super::ContractOperation {
            key: former.key,
            deprecated: former.deprecated,
            parameters: former.parameters.into_iter().map(parameter).collect(),
            body,
            responses: former
                .responses
                .into_iter()
                .map(response)
                .collect::<Result<_, _>>()?,
            security: None,
        })
    }

    fn media(names: Vec<String>) -> Result<Set<super::MediaType>, NotCanonical> {
        let bare = |name| super::MediaType {
            name,
            definition: Value::Map(Vec::new()),
        };
        Set::new(names.into_iter().map(bare).collect()).map_err(|_| NotCanonical::Otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(edge: u32) -> Contract {
        let definition = Value::Map(vec![("schema".into(), Value::Node(edge))]);
        Contract {
            name: "a".into(),
            operations: Set::new(vec![ContractOperation {
                key: "a/get".into(),
                deprecated: false,
                parameters: vec![Parameter {
                    place: ParameterPlace::Query,
                    name: "q".into(),
                    required: true,
                    definition,
                }],
                body: None,
                responses: Vec::new(),
                security: None,
            }])
            .unwrap(),
            outgoing: Set::default(),
            schemas: vec![Value::Bool(true)],
            names_only: false,
        }
    }

    #[test]
    fn a_contract_is_read_as_it_was_written() {
        let written = contract(0);
        assert_eq!(Contract::read(&codec::encode(&written)), Ok(written));
    }

    #[test]
    fn an_edge_that_leads_nowhere_is_refused() {
        assert_eq!(
            Contract::read(&codec::encode(&contract(1))),
            Err(NotCanonical::Otherwise)
        );
    }

    #[test]
    fn a_blob_of_names_is_still_read() {
        // Contract in the older format, in CBOR diagnostic notation: {0: "a", 1: [{0: "a/get", 1:
        // false, 2: [{0: 1, 1: "q", 2: true}], 4: [{0: "200", 1: ["b/c"]}]}]}
        let mut bytes = vec![0xa2, 0x00, 0x61, b'a', 0x01, 0x81, 0xa4, 0x00, 0x65];
        bytes.extend(b"a/get");
        bytes.extend([
            0x01, 0xf4, 0x02, 0x81, 0xa3, 0x00, 0x01, 0x01, 0x61, b'q', 0x02, 0xf5,
        ]);
        bytes.extend([0x04, 0x81, 0xa2, 0x00, 0x63]);
        bytes.extend(b"200");
        bytes.extend([0x01, 0x81, 0x63]);
        bytes.extend(b"b/c");
        let read = Contract::read(&bytes).expect("the former form");
        assert!(read.names_only);
        let mut now = contract(0);
        let mut operations = now.operations.into_vec();
        operations[0].responses.push(Response {
            status: "200".into(),
            media_types: Set::new(vec![MediaType {
                name: "b/c".into(),
                definition: Value::Map(vec![("schema".into(), Value::Node(0))]),
            }])
            .unwrap(),
            headers: Set::default(),
        });
        now.operations = Set::new(operations).unwrap();
        assert_eq!(now.names().unwrap(), read);
    }
}
