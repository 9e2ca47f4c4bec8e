//! JSON access to gRPC services, by their `google.api.http` annotations.
//!
//! ```yaml
//! policies:
//!   json: {kind: grpc_json, descriptors: protos/shop.pb, services: [shop.v1.Orders]}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: grpc_json` settings.

    use diag::shape::{Field, Object, Shape};

    use crate::forms;

    /// The keys of `kind: grpc_json`.
    pub static SHAPE: Object = Object {
        what: "transcoding of JSON to gRPC",
        fields: &[
            Field::required(
                "descriptors",
                Shape::Form(&forms::FILE),
                "File with a FileDescriptorSet.",
            ),
            Field::required(
                "services",
                Shape::Several(&Shape::Form(&forms::WORDS)),
                "Full names of services.",
            ),
            Field::optional(
                "unknown_parameters",
                Shape::Word(&["reject", "ignore"]),
                "Refuse or ignore unknown query parameters. Default: `reject`.",
            ),
            Field::optional(
                "print_defaults",
                Shape::Bool,
                "Write fields that have their default values. Default: `false`.",
            ),
        ],
        rules: &[],
    };
}
