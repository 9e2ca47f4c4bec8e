//! Id of a route.

/// Id of a route: `KEY@MOUNT`. The context contains a reference to this type instead of a `&str`.
/// Setting the reference does not read the address and length of the text from memory.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteId(Box<str>);

impl RouteId {
    /// Creates the id of an operation's route at a mount.
    #[must_use]
    pub fn new(operation: &str, mount: &str) -> Self {
        Self([operation, "@", mount].concat().into())
    }

    /// The id as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
