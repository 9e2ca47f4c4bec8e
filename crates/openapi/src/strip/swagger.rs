//! Extension keys of the gateway in Swagger 2.0, for which there are no object tables. The key of a
//! map determines whether the keys inside the map are names. Free-form values are not changed.

use diag::NodeRef;

use super::entries::MapEntry;
use super::{Marks, is_own};

/// Keys whose values are maps from names to objects.
const NAMES: [&str; 6] = [
    "properties",
    "definitions",
    "headers",
    "securityDefinitions",
    "responses",
    "patternProperties",
];

/// Keys whose values are free-form data.
const DATA: [&str; 5] = ["example", "examples", "default", "enum", "x-example"];

/// Records the same parts of a Swagger 2.0 document as [`Marks::object`] records for OpenAPI 3.
pub(super) fn mark<'n>(root: NodeRef<'n>, marks: &mut Marks<'n>) {
    for (entry, item) in root.get("paths").into_iter().flat_map(NodeRef::entries) {
        if let (Some(map), false) = (root.get("paths"), entry.key.starts_with("x-")) {
            marks.path_items.push(MapEntry {
                map,
                key: &entry.key,
                value: item,
            });
        }
    }
    object(root, marks);
}

fn object<'n>(node: NodeRef<'n>, marks: &mut Marks<'n>) {
    if !marks.seen.insert((node.id(), 0)) {
        return;
    }
    node.items().for_each(|item| object(item, marks));
    for (entry, value) in node.entries() {
        let key = &*entry.key;
        if is_own(key) {
            marks.keys.push((node, key));
        } else if NAMES.contains(&key) || key == "parameters" && value.is_map() {
            // In a map of names, `x-` may begin a name, except in the responses of an operation,
            // whose keys are not names.
            for (name, inner) in value.entries() {
                let of_operation = key == "responses" && node.get("swagger").is_none();
                if of_operation && is_own(&name.key) {
                    marks.keys.push((value, &name.key));
                } else {
                    object(inner, marks);
                }
            }
        } else if !DATA.contains(&key) && !key.starts_with("x-") {
            object(value, marks);
        }
    }
}
