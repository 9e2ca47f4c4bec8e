//! Paths to schemas in both documents, to find their source locations.

/// Object of which a part is a property: name of the part with the object, and the keyword and name
/// that lead to the property.
pub(super) type OuterObject = (String, String);

/// Path from a part of an operation's message (such as its body) to a schema.
#[derive(Clone, Debug, Default)]
pub(super) struct SchemaPath {
    /// Keys of the operation in the old and the new contract.
    pub(super) keys: [String; 2],
    /// Name of the message's part, as in the source locations.
    pub(super) part: String,
    /// Objects of which the part is a property, on the old and the new side.
    pub(super) objects: [Option<OuterObject>; 2],
    /// Steps, with the numbers of the schemas in the old and the new contract.
    pub(super) steps: Vec<(String, u32, u32)>,
}

impl SchemaPath {
    /// Part and steps on the old side (0) or the new side (1).
    pub(super) fn on(&self, side: usize) -> (&str, Vec<(&str, u32)>) {
        let object = self.objects[side].as_ref();
        let part = object.map_or(&*self.part, |(part, _)| part);
        let first = object.map(|(_, step)| (&**step, u32::MAX));
        let steps = self.steps.iter();
        let steps = steps.map(|(at, old, new)| (at.as_str(), [*old, *new][side]));
        (part, first.into_iter().chain(steps).collect())
    }
}
