//! Visitor of OpenAPI objects in a tree.

use super::tree::Tree;

/// Role of an object in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Document,
    PathItem,
    Operation,
    Callback,
    Parameter,
    Header,
    Body,
    Media,
    Response,
    Schema,
    /// Schema with a name in `components.schemas`.
    Named,
    /// Schema among the alternatives of a schema with a discriminator.
    Alternative,
}

/// Visited object.
pub(crate) struct Place<'t> {
    pub(crate) role: Role,
    pub(crate) tree: &'t mut Tree,
}

/// Methods of path items.
pub(crate) const METHODS: [&str; 9] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace", "query",
];

/// Calls `see` for each object, outer objects first. Visits the content of an object if `see`
/// returns true. References are not followed, because their targets are visited at their own
/// position.
pub(crate) fn walk(document: &mut Tree, see: &mut impl FnMut(Place<'_>) -> bool) {
    visit(Role::Document, document, see);
}

fn visit(role: Role, tree: &mut Tree, see: &mut impl FnMut(Place<'_>) -> bool) {
    if !see(Place { role, tree }) || tree.get("$ref").is_some() {
        return;
    }
    let discriminates = tree.get("discriminator").is_some();
    let Tree::Map(entries) = tree else {
        return;
    };
    for (key, value) in entries {
        if key.starts_with("x-") {
            continue;
        }
        match (role, key.as_str()) {
            (Role::Document, "paths" | "webhooks") => each(Role::PathItem, value, see),
            (Role::Document, "components") => components(value, see),
            (Role::PathItem | Role::Operation, "parameters") => each(Role::Parameter, value, see),
            (Role::PathItem, method) if METHODS.contains(&method) => {
                visit(Role::Operation, value, see);
            }
            (Role::Operation, "requestBody") => visit(Role::Body, value, see),
            (Role::Operation, "responses") => each(Role::Response, value, see),
            (Role::Operation, "callbacks") => each(Role::Callback, value, see),
            (Role::Callback, _) => visit(Role::PathItem, value, see),
            (Role::Parameter | Role::Header | Role::Media, "schema" | "itemSchema") => {
                visit(Role::Schema, value, see);
            }
            (Role::Parameter | Role::Header | Role::Body | Role::Response, "content") => {
                each(Role::Media, value, see);
            }
            (Role::Response, "headers") => each(Role::Header, value, see),
            (Role::Schema | Role::Named | Role::Alternative, key) => match key {
                "properties" | "patternProperties" | "$defs" | "dependentSchemas" | "allOf"
                | "prefixItems" => each(Role::Schema, value, see),
                "oneOf" | "anyOf" if discriminates => each(Role::Alternative, value, see),
                "oneOf" | "anyOf" => each(Role::Schema, value, see),
                "items"
                | "additionalProperties"
                | "not"
                | "contains"
                | "if"
                | "then"
                | "else"
                | "propertyNames"
                    if matches!(value, Tree::Map(_)) =>
                {
                    visit(Role::Schema, value, see);
                }
                _ => {}
            },
            _ => {}
        }
    }
}

fn each(role: Role, all: &mut Tree, see: &mut impl FnMut(Place<'_>) -> bool) {
    match all {
        Tree::Map(entries) => {
            for (key, value) in entries {
                // Names of properties and headers may begin with `x-`.
                if !key.starts_with("x-") || role == Role::Schema || role == Role::Header {
                    visit(role, value, see);
                }
            }
        }
        Tree::List(items) => items.iter_mut().for_each(|item| visit(role, item, see)),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => {}
    }
}

fn components(all: &mut Tree, see: &mut impl FnMut(Place<'_>) -> bool) {
    let Tree::Map(kinds) = all else {
        return;
    };
    for (kind, named) in kinds {
        match kind.as_str() {
            "schemas" => each(Role::Named, named, see),
            "parameters" => each(Role::Parameter, named, see),
            "headers" => each(Role::Header, named, see),
            "requestBodies" => each(Role::Body, named, see),
            "responses" => each(Role::Response, named, see),
            "pathItems" => each(Role::PathItem, named, see),
            "callbacks" => each(Role::Callback, named, see),
            _ => {}
        }
    }
}
