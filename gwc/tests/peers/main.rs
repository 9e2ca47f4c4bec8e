//! gwc's parsers for YAML, JSON and OpenAPI, compared with third-party parsers. These tests are one
//! binary, because only they need those parsers.

mod injection;
mod json;
mod openapi;
mod random;
mod value;
mod yaml;
