//! Query fields and cookies that different parameters describe on the two sides.
//!
//! An exploded object is sent as one field for each of its properties (OpenAPI 3.1.1, section
//! 4.8.12.4). The parameter `f` with the properties `a` and `b` therefore describes the same requests
//! as the parameters `a` and `b`. With the style `deepObject`, these fields are `f[a]` and `f[b]`. Such
//! parameters are compared field by field.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{self, ParameterPlace, Value};
use model::contract::joint::Joint;

use super::schema;
use super::schema_path::OuterObject;
use super::serialization::{SCHEMAS_MAX, excludes};

/// Place and name of a parameter or field.
type Name = (ParameterPlace, String);

/// Parameter that describes a field: its place and name, and true for an exploded object.
type Owner = (ParameterPlace, String, bool);

/// Parameters of an old and a new operation that are compared field by field.
#[derive(Default)]
pub(super) struct Fields {
    /// Names of these parameters, on the old and the new side.
    split: [BTreeSet<Name>; 2],
    pub(super) pairs: Vec<FieldPair>,
    /// Objects with keywords that restrict several fields together, such as `anyOf`.
    pub(super) restricted: Vec<ir::Parameter>,
}

/// Old and new description of a field, as parameters of its own.
pub(super) struct FieldPair {
    pub(super) sides: [Option<ir::Parameter>; 2],
    /// True if one side writes a list or an object as a property of an exploded object, which has
    /// no other text.
    pub(super) is_respelled: bool,
    /// Objects of which the field is a property.
    pub(super) objects: [Option<OuterObject>; 2],
}

/// Parameter of one side, with the fields that it describes.
struct Source<'p> {
    parameter: &'p ir::Parameter,
    names: Vec<String>,
    /// Schema of the parameter.
    schema: Option<Value>,
    object: Option<Object>,
    /// True for the style `deepObject`.
    is_deep: bool,
}

/// Exploded object.
struct Object {
    properties: BTreeMap<Box<str>, Value>,
    required: BTreeSet<Box<str>>,
    /// Schema of the properties with any other name.
    additional: Option<Value>,
    /// True if other keywords restrict the object.
    is_restricted: bool,
    /// True if a keyword describes or refuses properties with other names.
    has_undescribed: bool,
}

/// Parameters of an operation: those of the side that sends requests, and of the side that receives
/// them.
struct Sides<'p> {
    all: [Vec<Source<'p>>; 2],
    /// Indices of the sending and the receiving side.
    sender: usize,
    receiver: usize,
}

/// Owners of each field on the old and the new side.
type Owners = BTreeMap<Name, [BTreeSet<Owner>; 2]>;

impl Fields {
    /// Finds the fields that both sides describe with different parameters. `is_outgoing`: the API
    /// sends the requests.
    pub(super) fn of(
        joint: &Joint,
        (old, new): (&[ir::Parameter], &[ir::Parameter]),
        is_outgoing: bool,
    ) -> Self {
        let sides = Sides {
            all: [sources(joint, old, false), sources(joint, new, true)],
            sender: usize::from(is_outgoing),
            receiver: usize::from(!is_outgoing),
        };
        if sides.all.iter().flatten().all(|one| one.object.is_none()) {
            return Self::default();
        }
        let owners = sides.owners();
        let split = split(&owners);
        let names = sides.all.each_ref().map(|side| {
            let side = side.iter().filter(|one| split.contains(&one.owner()));
            side.map(|one| (one.parameter.place, one.parameter.name.clone()))
                .collect()
        });
        let mut found = Self {
            split: names,
            ..Self::default()
        };
        for (name, owners) in &owners {
            if owners.iter().flatten().any(|one| split.contains(one)) {
                sides.pair(joint, name, owners, &mut found.pairs);
            }
        }
        let received = sides.all[sides.receiver].iter();
        for one in received.filter(|one| split.contains(&one.owner())) {
            found.pairs.extend(sides.presence(one));
            if sides.is_restricted(joint, one) {
                found.restricted.push(one.parameter.clone());
            }
        }
        found
    }

    /// True if a parameter of the old side (0) or the new side (1) is compared field by field.
    pub(super) fn splits(&self, side: usize, one: &ir::Parameter) -> bool {
        self.split[side].contains(&(one.place, one.name.clone()))
    }
}

/// Query parameters and cookies of one side.
fn sources<'p>(joint: &Joint, all: &'p [ir::Parameter], is_new: bool) -> Vec<Source<'p>> {
    let is_field = |place| matches!(place, ParameterPlace::Query | ParameterPlace::Cookie);
    let all = all.iter().filter(|one| is_field(one.place));
    all.map(|one| Source::new(joint, one, is_new)).collect()
}

/// Parameters that are compared field by field: those of each field with other owners on the two
/// sides, and all that describe a field of these parameters.
fn split(owners: &Owners) -> BTreeSet<Owner> {
    let mut split = BTreeSet::new();
    loop {
        let before = split.len();
        for all in owners.values() {
            let is_moved = all[0] != all[1] && all.iter().all(|side| !side.is_empty());
            if is_moved || all.iter().flatten().any(|one| split.contains(one)) {
                split.extend(all.iter().flatten().cloned());
            }
        }
        if split.len() == before {
            return split;
        }
    }
}

impl Sides<'_> {
    fn owners(&self) -> Owners {
        let mut owners = Owners::new();
        for (side, all) in self.all.iter().enumerate() {
            for one in all {
                for name in &one.names {
                    let name = (one.parameter.place, name.clone());
                    owners.entry(name).or_default()[side].insert(one.owner());
                }
            }
        }
        // gwd does not check properties that `additionalProperties` describes, but clients may send
        // them.
        for ((place, name), all) in &mut owners {
            let open = self.all[self.sender].iter().filter(|one| {
                let object = one.object.as_ref();
                let is_open = object.is_some_and(|one| one.additional.is_some());
                one.parameter.place == *place && is_open && one.property(name).is_some()
            });
            if all[self.sender].is_empty() {
                all[self.sender].extend(open.map(Source::owner));
            }
        }
        owners
    }

    /// Adds the pairs of descriptions of a field. Each description of the receiver is compared with
    /// one of the sender.
    fn pair(
        &self,
        joint: &Joint,
        (place, name): &Name,
        owners: &[BTreeSet<Owner>; 2],
        pairs: &mut Vec<FieldPair>,
    ) {
        let of = |side: usize| -> Vec<&Source<'_>> {
            let all = self.all[side].iter();
            all.filter(|one| owners[side].contains(&one.owner()))
                .collect()
        };
        let (sent, mut received) = (of(self.sender), of(self.receiver));
        // The first pair of a field gives its source locations.
        received.sort_by_key(|one| one.object.is_some());
        let always = self.is_always_sent((*place, name));
        let required = self.is_required((*place, name));
        let mut add = |sent: Option<&Source<'_>>, received: Option<&Source<'_>>| {
            let mut own = [(sent, always), (received, required)];
            if self.sender == 1 {
                own.reverse();
            }
            pairs.push(FieldPair {
                sides: own.map(|(one, required)| Some(one?.field(joint, name, required))),
                objects: own.map(|(one, _)| one?.outer_object(name)),
                is_respelled: is_respelled(joint, name, sent, received),
            });
        };
        for one in &received {
            let is_same = |other: &&&Source<'_>| match (one.schema_of(name), other.schema_of(name))
            {
                (Some(one), Some(other)) => joint.same(one, other),
                (one, other) => one.is_none() && other.is_none(),
            };
            let same = sent.iter().find(is_same).or(sent.first());
            add(same.copied(), Some(one));
        }
        if received.is_empty() {
            add(sent.first().copied(), None);
        }
    }

    /// True if each request has the field.
    fn is_always_sent(&self, (place, name): (ParameterPlace, &str)) -> bool {
        let mut sent = self.all[self.sender]
            .iter()
            .filter(|one| one.parameter.place == place);
        sent.any(|one| one.parameter.required && one.needs(name))
    }

    /// True if the receiver requires the field, in requests that senders write without it.
    fn is_required(&self, (place, name): (ParameterPlace, &str)) -> bool {
        let mut received = self.all[self.receiver]
            .iter()
            .filter(|one| one.parameter.place == place);
        received.any(|one| {
            one.needs(name) && (one.parameter.required || self.is_sent_without(one, name))
        })
    }

    /// True if senders may write a field of an object without the field `name`.
    fn is_sent_without(&self, object: &Source<'_>, name: &str) -> bool {
        let place = object.parameter.place;
        let sent = || {
            self.all[self.sender]
                .iter()
                .filter(|one| one.parameter.place == place)
        };
        let mut others = object.names.iter().filter(|other| **other != *name);
        others.any(|other| {
            let mut all = sent().filter(|one| one.names.contains(other)).peekable();
            all.peek().is_some() && !all.any(|one| one.object.is_some() && one.needs(name))
        })
    }

    /// The object itself as a field, if it is required without required properties: one of its
    /// fields must be present. `None` if each request has one.
    fn presence(&self, one: &Source<'_>) -> Option<FieldPair> {
        let parameter = one.parameter;
        let object = one.object.as_ref()?;
        let is_present = |other: &Source<'_>| {
            let is_inside = other.names.iter().all(|name| one.names.contains(name));
            other.parameter.required && other.parameter.place == parameter.place && is_inside
        };
        let is_always = || {
            one.names
                .iter()
                .any(|name| self.is_always_sent((parameter.place, name)))
        };
        let is_required = parameter.required && object.required.is_empty();
        if !is_required || is_always() || self.all[self.sender].iter().any(is_present) {
            return None;
        }
        let own = |side| ir::Parameter {
            required: side == self.receiver,
            definition: Value::Map(Vec::new()),
            ..parameter.clone()
        };
        Some(FieldPair {
            sides: [Some(own(0)), Some(own(1))],
            is_respelled: false,
            objects: [None, None],
        })
    }

    /// True if an object of the receiver restricts several fields together, and no object of the
    /// sender has the same schema.
    fn is_restricted(&self, joint: &Joint, one: &Source<'_>) -> bool {
        let same = |other: &Source<'_>| match (&one.schema, &other.schema) {
            (Some(one), Some(same)) => other.object.is_some() && joint.same(one, same),
            _ => false,
        };
        let object = one.object.as_ref();
        // gwd reads the fields of a `deepObject` that the object does not describe.
        let is_restricted =
            |object: &Object| object.is_restricted || one.is_deep && object.has_undescribed;
        object.is_some_and(is_restricted) && !self.all[self.sender].iter().any(same)
    }
}

impl<'p> Source<'p> {
    fn new(joint: &Joint, parameter: &'p ir::Parameter, is_new: bool) -> Self {
        let definition = match is_new {
            true => joint.of_new(&parameter.definition),
            false => parameter.definition.clone(),
        };
        let schema = definition.get("schema");
        let object = schema
            .filter(|one| !excludes(joint, one, &["object"], &mut { SCHEMAS_MAX }))
            .map(|schema| Object::new(joint, schema));
        let is_deep = definition.get("style") == Some(&Value::Text("deepObject".into()));
        let members = match &object {
            Some(object) if is_deep => {
                let names = object.properties.keys();
                Some(
                    names
                        .map(|name| format!("{}[{name}]", parameter.name))
                        .collect(),
                )
            }
            Some(_) => validator::member_names(joint.nodes(), (parameter.place, &definition)),
            None => None,
        };
        Self {
            parameter,
            object: object.filter(|_| members.is_some()),
            names: members.unwrap_or_else(|| vec![parameter.name.clone()]),
            schema: schema.cloned(),
            is_deep,
        }
    }

    fn owner(&self) -> Owner {
        let Self {
            parameter, object, ..
        } = self;
        (parameter.place, parameter.name.clone(), object.is_some())
    }

    /// Name of the property that is sent as a field. `None` if the parameter is no object with such
    /// fields.
    fn property<'n>(&self, field: &'n str) -> Option<&'n str> {
        self.object.as_ref()?;
        if !self.is_deep {
            return Some(field);
        }
        let within = field.strip_prefix(&*self.parameter.name)?;
        within.strip_prefix('[')?.strip_suffix(']')
    }

    /// The parameter as the object of which a field is a property.
    fn outer_object(&self, name: &str) -> Option<OuterObject> {
        let ir::Parameter {
            place, name: own, ..
        } = self.parameter;
        let part = format!("{} {own}", place.name());
        self.property(name)
            .map(|name| (part, format!("properties/{name}")))
    }

    /// Schema of a field of the parameter.
    fn schema_of(&self, name: &str) -> Option<&Value> {
        match &self.object {
            Some(object) => {
                let own = object.properties.get(self.property(name)?);
                own.or(object.additional.as_ref())
            }
            None => self.schema.as_ref(),
        }
    }

    /// True if the parameter, where it is present, has this field.
    fn needs(&self, name: &str) -> bool {
        match &self.object {
            Some(object) => {
                let property = self.property(name);
                property.is_some_and(|name| object.required.contains(name))
            }
            None => *self.parameter.name == *name,
        }
    }

    /// Field of the parameter, as a parameter of its own.
    fn field(&self, joint: &Joint, name: &str, required: bool) -> ir::Parameter {
        let mut own = ir::Parameter {
            name: name.to_owned(),
            required,
            ..self.parameter.clone()
        };
        if self.object.is_some() {
            let entries = own.definition.entries().iter();
            let kept = entries.filter(|(key, _)| !matches!(&**key, "schema" | "style" | "explode"));
            let schema = self.schema_of(name);
            let schema = schema.map(|schema| schema.with_nodes(&mut |node| joint.own_number(node)));
            let schema = schema.map(|schema| ("schema".into(), schema));
            let mut entries: Vec<(Box<str>, Value)> = kept.cloned().chain(schema).collect();
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            own.definition = Value::Map(entries);
        }
        own
    }
}

impl Object {
    fn new(joint: &Joint, schema: &Value) -> Self {
        let schema = schema::object_of(joint, schema);
        let at = |key: &str| schema.get(key).map(|value| joint.at(value));
        let properties: BTreeMap<Box<str>, Value> = at("properties")
            .map_or(&[][..], Value::entries)
            .iter()
            .cloned()
            .collect();
        let required = at("required").map_or(&[][..], Value::items).iter();
        let required = required.filter_map(|name| match name {
            Value::Text(name) => Some(name.clone()),
            _ => None,
        });
        let is_sent = |name: &str| {
            let property = properties.get(name);
            !property.is_some_and(|one| validator::is_read_only(joint.nodes(), one))
        };
        let required = required.filter(|name| is_sent(name)).collect();
        let additional = schema.get("additionalProperties");
        let is_typed = |one: &&Value| !joint.at(one).entries().is_empty();
        Self {
            required,
            additional: additional.filter(is_typed).cloned(),
            has_undescribed: ["additionalProperties", "unevaluatedProperties"]
                .iter()
                .any(|key| schema.get(key).is_some()),
            is_restricted: schema
                .entries()
                .iter()
                .any(|(key, value)| !is_plain(key, value)),
            properties,
        }
    }
}

/// True for keywords that restrict single properties, and for those without an effect on fields: gwd
/// reads no fields that the object does not describe.
fn is_plain(key: &str, value: &Value) -> bool {
    // An object without members is absent.
    let is_present = key == "minProperties" && *value == Value::Integer(1);
    let is_object = matches!(
        key,
        "type" | "properties" | "required" | "additionalProperties" | "unevaluatedProperties"
    );
    is_present || is_object || schema::is_annotation(key)
}

/// True if only one of two descriptions is a property of an object, and the value may be a list or
/// an object.
fn is_respelled(
    joint: &Joint,
    name: &str,
    one: Option<&Source<'_>>,
    other: Option<&Source<'_>>,
) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    let may_be_several = |side: &Source<'_>| {
        let kinds = ["array", "object"];
        let schema = side.schema_of(name);
        schema.is_some_and(|schema| !excludes(joint, schema, &kinds, &mut { SCHEMAS_MAX }))
    };
    one.object.is_some() != other.object.is_some() && (may_be_several(one) || may_be_several(other))
}
