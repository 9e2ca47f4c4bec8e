//! Tests that compare gwc's parsers for YAML, JSON and OpenAPI with third-party parsers. They are a
//! separate binary, because only they need those parsers.

mod injection;
mod json;
mod openapi;
mod random;
mod value;
mod yaml;
