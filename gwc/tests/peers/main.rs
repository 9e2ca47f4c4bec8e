//! Our readers against other people's: YAML, JSON, OpenAPI. One binary, because these parsers are
//! there for nothing else.

mod json;
mod openapi;
mod random;
mod value;
mod yaml;
