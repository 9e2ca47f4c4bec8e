//! Values with `redact: true` in their schema.

mod graph;
mod search;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use diag::shape::BAD_VALUE;
use diag::{Diagnostic, NodeId, NodeRef, Sink, Span};
use openapi::spec::reference::Resolver;
use openapi::spec::{In, MediaType, Operation, Parameter, Response, Spec};
use policy::logged::{Message, RedactedParameter, RedactedValue};
use sources::project::files::{Document, Files};
use vocab::extension::SCHEMA;
use vocab::redaction_lints::TOO_MANY_REDACTED_VALUES;

use super::not_forwarded;
use graph::{Graph, Step};
use search::{PLACES_MAX, Places, pointer};

/// Redacted values of a document. `None` if the document has none.
pub(super) struct Redacted<'a>(Option<Known<'a>>);

/// Schemas of a document that lead to redacted values.
struct Known<'a> {
    graph: Graph<'a>,
    /// Parameters that can be objects whose members are sent as separate parameters.
    spread: BTreeSet<NodeId>,
    /// Names of the fields of each response, with their schemas.
    fields: HashMap<NodeId, Vec<(&'a str, NodeId)>>,
    /// Declarations of parameters that were already reported.
    reported: RefCell<BTreeSet<Span>>,
    /// Redacted values of bodies, by the schemas of the body.
    bodies: RefCell<HashMap<BodySchemas, Rc<BodyPlaces>>>,
}

/// Schemas of a body: those of the whole body, and those of the items of a sequence.
type BodySchemas = [Vec<usize>; 2];

/// Redacted values of a body.
struct BodyPlaces {
    /// Places, as in [`RedactedValue::place`].
    all: Vec<String>,
    /// True if values are redacted as a whole because of [`PLACES_MAX`].
    is_cut: bool,
}

impl<'a> Redacted<'a> {
    pub(super) fn of(files: &'a Files, document: &'a Document, spec: &Spec) -> Self {
        let mut extensions = spec.extensions.iter();
        let any = extensions.any(|(id, object)| {
            let redact = files.tree.at(*id).get("redact");
            std::ptr::eq(*object, &raw const SCHEMA)
                && redact.and_then(NodeRef::as_bool) == Some(true)
        });
        Self(any.then(|| {
            let resolver = &Resolver::new(files, document);
            let operations = || spec.paths.iter().flat_map(|item| &item.operations);
            let responses = operations().flat_map(|operation| &operation.responses);
            let fields: HashMap<_, _> = responses
                .map(|response| (response.node, fields_of(response, resolver)))
                .collect();
            let parameters = operations().flat_map(|operation| &operation.parameters);
            let spread =
                parameters.filter(|one| not_forwarded::members_are_parameters(one, resolver));
            let own = fields.values().flatten().map(|(_, schema)| *schema);
            Known {
                graph: Graph::of(resolver, operations().flat_map(schemas).chain(own)),
                spread: spread.map(|parameter| parameter.node).collect(),
                fields,
                reported: RefCell::default(),
                bodies: RefCell::default(),
            }
        }))
    }

    /// Collects the redacted values in the bodies and parameters of an operation, sorted. A
    /// parameter with a redacted value is redacted as a whole.
    pub(super) fn values(&self, operation: &Operation, sink: &mut Sink) -> Vec<RedactedValue> {
        let Some(known) = &self.0 else {
            return Vec::new();
        };
        let graph = &known.graph;
        let mut found = BTreeSet::new();
        let mut is_cut = false;
        let mut add = |message, media_types: &mut dyn Iterator<Item = &MediaType>| {
            let target = |schema| Some(graph.target(graph.known(schema?)?));
            let (mut whole, mut items) = (Vec::new(), Vec::new());
            for one in media_types {
                whole.extend(target(one.schema));
                items.extend(target(one.item_schema));
            }
            let (places, is_first) = known.bodies([whole, items]);
            is_cut |= places.is_cut && is_first;
            found.extend(places.all.iter().map(|place| RedactedValue {
                message,
                place: place.clone(),
                parameter: None,
            }));
        };
        add(Message::Request, &mut requests(operation));
        add(Message::Response, &mut responses(operation));
        // Report only one finding for all operations with the same schemas.
        if is_cut {
            let message =
                format!("a body of this operation has more than {PLACES_MAX} redacted values");
            sink.push(
                Diagnostic::new(&TOO_MANY_REDACTED_VALUES, operation.key_span, message)
                    .label("values that contain the others are redacted as a whole")
                    .help("write `redact: true` at a schema that contains these values"),
            );
        }
        found.extend(known.parameters(operation));
        let parameters = operation.parameters.iter();
        let open = parameters.filter(|one| known.is_open(one));
        for parameter in open.filter(|one| known.reported.borrow_mut().insert(one.span)) {
            let name = parameter.name.value.escape_debug();
            let message = format!(
                "`redact` does not cover all members of `{name}`, which can be sent as separate \
query parameters"
            );
            sink.push(
                Diagnostic::new(&BAD_VALUE, parameter.span, message)
                    .help(not_forwarded::MEMBERS_HELP),
            );
        }
        found.into_iter().collect()
    }

    /// Names of query parameters or fields in which a request sends redacted values of a parameter.
    /// Empty if the parameter has no redacted values.
    pub(super) fn names<'p>(&'p self, parameter: &'p Parameter) -> Vec<&'p str> {
        let Some(known) = self.0.as_ref().filter(|known| known.reaches(parameter)) else {
            return Vec::new();
        };
        let mut names = vec![parameter.name.value.as_str()];
        if known.spread.contains(&parameter.node) {
            let places = known.places(parameter);
            let members = places.all.into_iter().filter_map(|steps| match steps[..] {
                [Step::Member(name), ..] => Some(name),
                _ => None,
            });
            names.extend(members);
        }
        names
    }
}

// === impl Known ===

impl<'a> Known<'a> {
    /// True if a parameter has redacted values.
    fn reaches(&self, parameter: &Parameter) -> bool {
        self.is_redacted(schema_of(parameter))
    }

    /// Redacted values of a body that has the given schemas. The boolean is true at the first call
    /// with these schemas.
    fn bodies(&self, schemas: BodySchemas) -> (Rc<BodyPlaces>, bool) {
        if let Some(known) = self.bodies.borrow().get(&schemas) {
            return (Rc::clone(known), false);
        }
        let [whole, items] = &schemas;
        let whole = whole.iter().map(|schema| (Step::Same, *schema));
        let items = items.iter().map(|schema| (Step::Any, *schema));
        let places = Places::of(&self.graph, whole.chain(items));
        let places = Rc::new(BodyPlaces {
            all: places.all.iter().map(|steps| pointer(steps)).collect(),
            is_cut: places.is_cut,
        });
        self.bodies.borrow_mut().insert(schemas, Rc::clone(&places));
        (places, true)
    }

    fn is_redacted(&self, schema: Option<NodeId>) -> bool {
        let schema = schema.and_then(|schema| self.graph.known(schema));
        schema.is_some_and(|schema| self.graph.schema(schema).reaches)
    }

    fn places(&self, parameter: &Parameter) -> Places<'a> {
        let schema = schema_of(parameter).and_then(|schema| self.graph.known(schema));
        let schema = schema.map(|schema| (Step::Same, schema));
        Places::of(&self.graph, schema.into_iter())
    }

    /// True if redacted values of the parameter are sent with names that its schema does not list.
    fn is_open(&self, parameter: &Parameter) -> bool {
        let is_named = |steps: &Vec<Step<'_>>| matches!(steps[..], [Step::Member(_), ..]);
        parameter.place == In::Query
            && self.reaches(parameter)
            && self.spread.contains(&parameter.node)
            && !self.places(parameter).all.iter().all(is_named)
    }

    /// Parameters and response fields of an operation with redacted values.
    fn parameters(&self, operation: &Operation) -> impl Iterator<Item = RedactedValue> {
        let parameters = operation.parameters.iter();
        let parameters = parameters.filter(|one| self.reaches(one));
        let parameters = parameters.filter_map(|parameter| {
            let name = parameter.name.value.clone();
            let parameter = match parameter.place {
                In::Path => RedactedParameter::Path(name),
                In::Query => RedactedParameter::Query(name),
                In::Header => RedactedParameter::Header(name.to_ascii_lowercase()),
                In::Cookie => RedactedParameter::Cookie(name),
                In::Querystring => return None,
            };
            Some((Message::Request, parameter))
        });
        let fields = operation.responses.iter();
        let fields = fields.filter_map(|response| self.fields.get(&response.node));
        let fields = fields
            .flatten()
            .filter(|(_, schema)| self.is_redacted(Some(*schema)));
        let fields = fields.map(|(name, _)| {
            let field = RedactedParameter::Header(name.to_ascii_lowercase());
            (Message::Response, field)
        });
        let all = parameters.chain(fields);
        all.map(|(message, parameter)| RedactedValue {
            message,
            place: "#".to_owned(),
            parameter: Some(parameter),
        })
    }
}

/// Schemas of the bodies and parameters of an operation.
fn schemas(operation: &Operation) -> impl Iterator<Item = NodeId> {
    let bodies = requests(operation).chain(responses(operation));
    let bodies = bodies.flat_map(|one| one.schema.into_iter().chain(one.item_schema));
    bodies.chain(operation.parameters.iter().filter_map(schema_of))
}

/// Schema of a parameter, or of the media type of its `content`.
fn schema_of(parameter: &Parameter) -> Option<NodeId> {
    let content = parameter.content.as_ref();
    parameter
        .schema
        .or(content.and_then(|content| content.schema))
}

/// Names of the fields of a response, with their schemas.
fn fields_of<'a>(response: &Response, resolver: &Resolver<'a>) -> Vec<(&'a str, NodeId)> {
    let Some(headers) = resolver.node(response.node).get("headers") else {
        return Vec::new();
    };
    let fields = headers.entries().filter_map(|(entry, field)| {
        let field = resolver.resolve(field)?;
        let content = || {
            let (_, media_type) = field.get("content")?.entries().next()?;
            media_type.get("schema")
        };
        let schema = field.get("schema").or_else(content)?;
        Some((&*entry.key, schema.id()))
    });
    fields.collect()
}

fn requests(operation: &Operation) -> impl Iterator<Item = &MediaType> {
    let requests = operation.request_body.iter();
    requests.flat_map(|body| &body.media_types)
}

fn responses(operation: &Operation) -> impl Iterator<Item = &MediaType> {
    let responses = operation.responses.iter();
    responses.flat_map(|response| &response.media_types)
}
