//! Parts that the messages of all signals share: attributes, resource and scope.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// Resource with these attributes.
pub(crate) fn resource_of(attributes: &[(String, String)]) -> Option<Resource> {
    let attributes = attributes.iter().map(|(name, value)| text(name, value));
    Some(Resource {
        attributes: attributes.collect(),
        ..Resource::default()
    })
}

/// Scope of the telemetry that gwd itself creates.
pub(crate) fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "gwd".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    })
}

/// Attribute with a text.
pub(crate) fn text(name: &str, value: &str) -> KeyValue {
    attribute(name, Value::StringValue(value.to_owned()))
}

/// Attribute with a whole number.
pub(crate) fn number(name: &str, value: i64) -> KeyValue {
    attribute(name, Value::IntValue(value))
}

/// Attribute with a value of any type.
pub(super) fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
