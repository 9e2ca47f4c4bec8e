//! gRPC-Web for browsers in front of gRPC services.
//!
//! ```yaml
//! policies:
//!   browsers: {kind: grpc_web}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: grpc_web` settings.

    use diag::shape::{Field, Object, Shape};

    /// The keys of `kind: grpc_web`.
    pub static SHAPE: Object = Object {
        what: "gRPC-Web for browsers",
        fields: &[Field::optional(
            "text",
            Shape::Bool,
            "Accept base64 (`grpc-web-text`). Default: `true`.",
        )],
        rules: &[],
    };
}
