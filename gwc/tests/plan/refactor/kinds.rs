//! Refactorings that must change neither the bundle id nor the plan (plan.md). Each refactoring
//! changes a document at random positions, and returns true if it changed anything.

use super::tree::Tree;
use super::walk::{METHODS, Place, Role, walk};
use crate::dice::Dice;

/// Refactoring of a document's tree: name, and the function that applies it.
pub(crate) type Kind = (&'static str, fn(&mut Tree, &mut Dice) -> bool);

/// Refactorings with the same id and an empty plan.
pub(crate) const SAME: &[Kind] = &[
    ("key-order", key_order),
    ("number-spelling", number_spelling),
    ("reference-inlined", reference_inlined),
    ("schema-extracted", schema_extracted),
    ("part-extracted", part_extracted),
    ("recursion-unrolled", recursion_unrolled),
    ("component-renamed", component_renamed),
    ("parameter-order", parameter_order),
    ("set-order", set_order),
    ("tag-order", tag_order),
    ("parameters-pushed-down", parameters_pushed_down),
    ("parameters-pulled-up", parameters_pulled_up),
    ("security-repeated", security_repeated),
    ("all-of-wrapper", all_of_wrapper),
    ("defaults-of-operations", defaults_of_operations),
    ("defaults-of-parameters", defaults_of_parameters),
    ("defaults-of-schemas", defaults_of_schemas),
];

/// Refactorings with the same id and only DOCS lines.
pub(crate) const PROSE: &[Kind] = &[
    ("description", |tree, dice| prose(tree, dice, "description")),
    ("summary", |tree, dice| prose(tree, dice, "summary")),
    ("title", |tree, dice| prose(tree, dice, "title")),
    ("externalDocs", |tree, dice| {
        prose(tree, dice, "externalDocs")
    }),
    ("tags", |tree, dice| prose(tree, dice, "tags")),
    ("example", |tree, dice| prose(tree, dice, "example")),
    ("all-of-wrapper-with-prose", all_of_wrapper_with_prose),
];

fn version_30(document: &Tree) -> bool {
    let version = document.get("openapi").and_then(Tree::as_text);
    version.is_some_and(|version| version.starts_with("3.0"))
}

/// Applies `change` to some of the positions for which `takes` returns true, and to at least one if
/// there are any.
fn some(
    document: &mut Tree,
    dice: &mut Dice,
    mut takes: impl FnMut(Role, &Tree) -> bool,
    mut change: impl FnMut(&mut Tree, Role, &mut Dice),
) -> bool {
    let mut count = 0;
    walk(document, &mut |Place { role, tree }| {
        count += usize::from(takes(role, tree));
        true
    });
    if count == 0 {
        return false;
    }
    let (chosen, mut at) = (dice.below(count), 0);
    walk(document, &mut |Place { role, tree }| {
        if !takes(role, tree) {
            return true;
        }
        at += 1;
        if at != chosen + 1 && dice.below(count) >= 8 {
            return true;
        }
        change(tree, role, dice);
        // Do not continue inside the changed part, because its copies contain the same kinds of
        // positions again.
        false
    });
    true
}

fn is_schema(role: Role) -> bool {
    matches!(role, Role::Schema | Role::Named | Role::Alternative)
}

fn shuffle<T>(all: &mut [T], dice: &mut Dice) {
    for at in (1..all.len()).rev() {
        all.swap(at, dice.below(at + 1));
    }
}

fn key_order(document: &mut Tree, dice: &mut Dice) -> bool {
    document.each(&mut |tree| {
        if let Tree::Map(entries) = tree {
            shuffle(entries, dice);
        }
    });
    true
}

fn number_spelling(document: &mut Tree, dice: &mut Dice) -> bool {
    const KEYS: [&str; 6] = [
        "minimum",
        "maximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "default",
    ];
    let number = |schema: &Tree| {
        let mut keys = KEYS.iter();
        keys.any(|key| matches!(schema.get(key), Some(Tree::Number(_))))
    };
    some(
        document,
        dice,
        |role, tree| is_schema(role) && number(tree),
        |schema, _, dice| {
            for key in KEYS {
                if let Some(Tree::Number(text)) = schema.get_mut(key) {
                    *text = spelt_otherwise(text, dice);
                }
            }
        },
    )
}

fn spelt_otherwise(number: &str, dice: &mut Dice) -> String {
    if number.contains(['e', 'E']) {
        return number.replace('e', "E");
    }
    match (number.contains('.'), dice.below(2)) {
        (false, _) if number == "0" => "0.0".to_owned(),
        (true, _) => format!("{number}0"),
        (false, 0) => format!("{number}.0"),
        (false, _) => format!("{number}0e-1"),
    }
}

/// True if the name of a schema has a meaning: for a discriminator, or because of an id of its own.
fn is_bound(schema: &Tree) -> bool {
    ["discriminator", "$id", "$anchor", "$dynamicAnchor", "$defs"]
        .iter()
        .any(|key| schema.get(key).is_some())
}

fn is_inlinable(document: &Tree, bound: &[String], role: Role, tree: &Tree) -> bool {
    let name = tree.target().and_then(|to| to.rsplit('/').next());
    if name.is_some_and(|name| bound.iter().any(|bound| bound == name)) {
        return false;
    }
    let Some(target) = tree.target().and_then(|to| document.at(to)) else {
        return false;
    };
    let alone = version_30(document) || tree.entries().len() == 1;
    let part = matches!(
        role,
        Role::Parameter | Role::Header | Role::Body | Role::Response
    );
    (part || role == Role::Schema && alone && !is_bound(target)) && target.entries().len() < 60
}

fn reference_inlined(document: &mut Tree, dice: &mut Dice) -> bool {
    let whole = document.clone();
    let bound = bound_names(document);
    some(
        document,
        dice,
        |role, tree| is_inlinable(&whole, &bound, role, tree),
        |tree, _, _| {
            let target = tree.target().and_then(|to| whole.at(to));
            if let Some(target) = target {
                *tree = target.clone();
            }
        },
    )
}

/// Replaces a recursive reference inside a component by a copy of the component.
fn recursion_unrolled(document: &mut Tree, dice: &mut Dice) -> bool {
    let whole = document.clone();
    let bound = bound_names(document);
    let schemas = |tree: &Tree| tree.get("components")?.get("schemas").cloned();
    let Some(all) = schemas(&whole) else {
        return false;
    };
    let recursive = |(name, schema): &&(String, Tree)| {
        let to = format!("#/components/schemas/{name}");
        let mut found = false;
        schema
            .clone()
            .each(&mut |tree| found |= tree.target() == Some(&to));
        found && !is_bound(schema)
    };
    let recursive: Vec<&str> = all
        .entries()
        .iter()
        .filter(recursive)
        .map(|(name, _)| &**name)
        .collect();
    let recursive: Vec<String> = recursive
        .into_iter()
        .map(|name| format!("#/components/schemas/{name}"))
        .collect();
    some(
        document,
        dice,
        |role, tree| {
            let to = tree.target().map(str::to_owned);
            is_inlinable(&whole, &bound, role, tree) && to.is_some_and(|to| recursive.contains(&to))
        },
        |tree, _, _| {
            let target = tree.target().and_then(|to| whole.at(to));
            if let Some(target) = target {
                *tree = target.clone();
            }
        },
    )
}

fn schema_extracted(document: &mut Tree, dice: &mut Dice) -> bool {
    let mut extracted = Vec::new();
    let seed = dice.below(1_000_000);
    let changed = some(
        document,
        dice,
        |role, tree| {
            role == Role::Schema
                && tree.target().is_none()
                && !is_bound(tree)
                // Skip a schema with `allOf`, because the new component could become a value of a
                // discriminator.
                && tree.get("allOf").is_none()
                && matches!(tree, Tree::Map(_))
        },
        |tree, _, _| {
            let name = format!("Extracted.{seed}-{}", extracted.len());
            let reference = Tree::reference(&format!("#/components/schemas/{name}"));
            extracted.push((name, std::mem::replace(tree, reference)));
        },
    );
    if changed {
        let schemas = document.within("components").within("schemas");
        for (name, schema) in extracted {
            schemas.set(&name, schema);
        }
    }
    changed
}

fn part_extracted(document: &mut Tree, dice: &mut Dice) -> bool {
    let kind = |role| match role {
        Role::Parameter => Some("parameters"),
        Role::Header => Some("headers"),
        Role::Body => Some("requestBodies"),
        Role::Response => Some("responses"),
        _ => None,
    };
    let mut extracted = Vec::new();
    let seed = dice.below(1_000_000);
    let changed = some(
        document,
        dice,
        |role, tree| kind(role).is_some() && tree.target().is_none(),
        |tree, role, _| {
            let kind = kind(role).expect("it is one of these");
            let name = format!("Extracted.{seed}-{}", extracted.len());
            let reference = Tree::reference(&format!("#/components/{kind}/{name}"));
            extracted.push((kind, name, std::mem::replace(tree, reference)));
        },
    );
    for (kind, name, part) in extracted {
        document.within("components").within(kind).set(&name, part);
    }
    changed
}

fn component_renamed(document: &mut Tree, dice: &mut Dice) -> bool {
    const KINDS: [&str; 7] = [
        "schemas",
        "parameters",
        "responses",
        "headers",
        "requestBodies",
        "examples",
        "links",
    ];
    let bound = bound_names(document);
    let mut names: Vec<(&str, String)> = Vec::new();
    for kind in KINDS {
        let all = document.get("components").and_then(|all| all.get(kind));
        for (name, _) in all.map(Tree::entries).unwrap_or_default() {
            if kind != "schemas" || !bound.contains(name) {
                names.push((kind, name.clone()));
            }
        }
    }
    if names.is_empty() {
        return false;
    }
    for round in 0..names.len().min(5) {
        let (kind, name) = names.swap_remove(dice.below(names.len()));
        rename(
            document,
            kind,
            &name,
            &format!("Renamed.{round}.{}", dice.below(1000)),
        );
    }
    true
}

/// Renames a component and all references to it.
pub(crate) fn rename(document: &mut Tree, kind: &str, from: &str, to: &str) {
    let all = document.within("components").within(kind);
    if let Tree::Map(entries) = all {
        let entries = entries.iter_mut().filter(|(name, _)| name == from);
        entries.for_each(|(name, _)| *name = to.to_owned());
    }
    let escaped = from.replace('~', "~0").replace('/', "~1");
    let old = format!("#/components/{kind}/{escaped}");
    let new = format!("#/components/{kind}/{to}");
    document.each(&mut |tree| {
        let own = matches!(tree.get("$ref"), Some(Tree::Text(_)));
        let Tree::Map(entries) = tree else { return };
        for (key, value) in entries {
            if let Tree::Text(text) = value
                && (own && key == "$ref" || text.starts_with("#/components/"))
                && let Some(rest) = text.strip_prefix(&old)
                && (rest.is_empty() || rest.starts_with('/'))
            {
                *text = format!("{new}{rest}");
            }
        }
    });
}

/// Names of schemas that a discriminator uses, so that a renaming would change the meaning of the
/// document.
pub(crate) fn bound_names(document: &Tree) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let last = |tree: &Tree| {
        let to = tree.target()?;
        Some(to.rsplit('/').next()?.to_owned())
    };
    document.clone().each(&mut |tree| {
        let Some(discriminator) = tree.get("discriminator") else {
            return;
        };
        for key in ["oneOf", "anyOf"] {
            let choices = tree.get(key).map(Tree::items).unwrap_or_default();
            names.extend(choices.iter().filter_map(last));
        }
        let mapping = discriminator.get("mapping").map(Tree::entries);
        for (_, value) in mapping.unwrap_or_default() {
            let name = value.as_text().and_then(|text| text.rsplit('/').next());
            names.extend(name.map(str::to_owned));
        }
    });
    let schemas = document
        .get("components")
        .and_then(|all| all.get("schemas"));
    for (name, schema) in schemas.map(Tree::entries).unwrap_or_default() {
        // Schemas with a reference in `allOf` may extend a schema with a discriminator.
        let parts = schema.get("allOf").map(Tree::items).unwrap_or_default();
        if parts.iter().any(|part| part.target().is_some()) {
            names.push(name.clone());
        }
    }
    names
}

fn parameter_order(document: &mut Tree, dice: &mut Dice) -> bool {
    let many = |tree: &Tree| tree.get("parameters").map_or(0, |all| all.items().len()) > 1;
    some(
        document,
        dice,
        |role, tree| matches!(role, Role::PathItem | Role::Operation) && many(tree),
        |tree, _, dice| {
            if let Some(Tree::List(items)) = tree.get_mut("parameters") {
                shuffle(items, dice);
            }
        },
    )
}

fn set_order(document: &mut Tree, dice: &mut Dice) -> bool {
    const KEYS: [&str; 6] = ["required", "enum", "type", "oneOf", "anyOf", "allOf"];
    let many = |tree: &Tree| {
        let mut keys = KEYS.iter();
        keys.any(|key| tree.get(key).is_some_and(|all| all.items().len() > 1))
    };
    some(
        document,
        dice,
        |role, tree| is_schema(role) && tree.target().is_none() && many(tree),
        |tree, _, dice| {
            for key in KEYS {
                if let Some(Tree::List(items)) = tree.get_mut(key) {
                    shuffle(items, dice);
                }
            }
        },
    )
}

fn tag_order(document: &mut Tree, dice: &mut Dice) -> bool {
    some(
        document,
        dice,
        |role, tree| {
            matches!(role, Role::Operation | Role::Document)
                && tree.get("tags").is_some_and(|all| all.items().len() > 1)
        },
        |tree, _, dice| {
            if let Some(Tree::List(items)) = tree.get_mut("tags") {
                shuffle(items, dice);
            }
        },
    )
}

/// Moves parameters of a path item to each operation that does not have the same parameter.
fn parameters_pushed_down(document: &mut Tree, dice: &mut Dice) -> bool {
    let whole = document.clone();
    let identity = |parameter: &Tree| {
        let parameter = match parameter.target() {
            Some(to) => whole.at(to).cloned().unwrap_or(Tree::Null),
            None => parameter.clone(),
        };
        (parameter.get("in").cloned(), parameter.get("name").cloned())
    };
    some(
        document,
        dice,
        |role, tree| {
            let other = tree.get("additionalOperations").is_some();
            role == Role::PathItem && tree.get("parameters").is_some() && !other
        },
        |item, _, _| {
            let shared = item.get("parameters").cloned().unwrap_or(Tree::Null);
            item.remove("parameters");
            for method in METHODS {
                let Some(operation) = item.get_mut(method) else {
                    continue;
                };
                let own = operation
                    .get("parameters")
                    .map(Tree::items)
                    .unwrap_or_default();
                let known: Vec<_> = own.iter().map(identity).collect();
                let shared = shared.items().iter();
                let shared = shared.filter(|one| !known.contains(&identity(one)));
                let all: Vec<Tree> = own.iter().chain(shared).cloned().collect();
                operation.set("parameters", Tree::List(all));
            }
        },
    )
}

/// Moves parameters that every operation of a path has to the path item.
fn parameters_pulled_up(document: &mut Tree, dice: &mut Dice) -> bool {
    let common = |item: &Tree| -> Vec<Tree> {
        let operations = METHODS.iter().filter_map(|method| item.get(method));
        let lists: Vec<&[Tree]> = operations
            .map(|operation| {
                operation
                    .get("parameters")
                    .map(Tree::items)
                    .unwrap_or_default()
            })
            .collect();
        let Some((first, others)) = lists.split_first() else {
            return Vec::new();
        };
        let all = |one: &&Tree| others.iter().all(|list| list.contains(one));
        first.iter().filter(all).cloned().collect()
    };
    some(
        document,
        dice,
        |role, tree| {
            role == Role::PathItem
                && tree.get("$ref").is_none()
                && tree.get("parameters").is_none()
                && !common(tree).is_empty()
        },
        |item, _, _| {
            let common = common(item);
            for method in METHODS {
                let own = item
                    .get_mut(method)
                    .and_then(|one| one.get_mut("parameters"));
                if let Some(Tree::List(items)) = own {
                    items.retain(|one| !common.contains(one));
                }
            }
            item.set("parameters", Tree::List(common));
        },
    )
}

fn security_repeated(document: &mut Tree, dice: &mut Dice) -> bool {
    let Some(security) = document.get("security").cloned() else {
        return false;
    };
    some(
        document,
        dice,
        |role, tree| role == Role::Operation && tree.get("security").is_none(),
        |operation, _, _| operation.set("security", security.clone()),
    )
}

fn is_wrappable(role: Role, tree: &Tree) -> bool {
    is_schema(role) && role != Role::Alternative && matches!(tree, Tree::Map(_)) && !is_bound(tree)
}

fn all_of_wrapper(document: &mut Tree, dice: &mut Dice) -> bool {
    some(document, dice, is_wrappable, |tree, _, _| {
        let inner = std::mem::replace(tree, Tree::Null);
        *tree = Tree::map([
            ("x-why", Tree::text("a wrapper")),
            ("allOf", Tree::List(vec![inner])),
        ]);
    })
}

fn all_of_wrapper_with_prose(document: &mut Tree, dice: &mut Dice) -> bool {
    let kept = ["components", "webhooks"].map(|key| (key, document.get(key).cloned()));
    kept.iter().for_each(|(key, _)| document.remove(key));
    let changed = some(document, dice, is_wrappable, |tree, _, dice| {
        let inner = std::mem::replace(tree, Tree::Null);
        *tree = Tree::map([
            (
                "title",
                Tree::text(&format!("wrapped {}", dice.below(1000))),
            ),
            ("allOf", Tree::List(vec![inner])),
        ]);
    });
    put_back(document, kept);
    changed
}

fn defaults_of_operations(document: &mut Tree, dice: &mut Dice) -> bool {
    some(
        document,
        dice,
        |role, tree| {
            let key = if role == Role::Body {
                "required"
            } else {
                "deprecated"
            };
            matches!(role, Role::Operation | Role::Body)
                && tree.target().is_none()
                && tree.get(key).is_none()
        },
        |tree, role, _| {
            let key = if role == Role::Body {
                "required"
            } else {
                "deprecated"
            };
            tree.set(key, Tree::Bool(false));
        },
    )
}

fn defaults_of_parameters(document: &mut Tree, dice: &mut Dice) -> bool {
    some(
        document,
        dice,
        |role, tree| {
            matches!(role, Role::Parameter | Role::Header)
                && tree.target().is_none()
                && tree.get("schema").is_some()
        },
        |tree, role, _| {
            let place = tree.get("in").and_then(Tree::as_text).unwrap_or("header");
            let form = matches!(place, "query" | "cookie");
            let path = place == "path";
            if tree.get("style").is_none() {
                tree.set("style", Tree::text(if form { "form" } else { "simple" }));
                if tree.get("explode").is_none() {
                    tree.set("explode", Tree::Bool(form));
                }
            }
            for key in ["required", "deprecated"] {
                if tree.get(key).is_none() && !(path && key == "required") {
                    tree.set(key, Tree::Bool(false));
                }
            }
            assert!(matches!(role, Role::Parameter | Role::Header));
        },
    )
}

fn defaults_of_schemas(document: &mut Tree, dice: &mut Dice) -> bool {
    let nullable = version_30(document);
    some(
        document,
        dice,
        |role, tree| is_schema(role) && tree.target().is_none() && matches!(tree, Tree::Map(_)),
        |tree, _, dice| {
            for key in [
                "deprecated",
                "uniqueItems",
                "readOnly",
                "writeOnly",
                "nullable",
            ] {
                if tree.get(key).is_none() && (nullable || key != "nullable") && dice.chance(5) {
                    tree.set(key, Tree::Bool(false));
                }
            }
            for key in ["minLength", "minItems", "minProperties"] {
                if tree.get(key).is_none() && dice.chance(5) {
                    tree.set(key, Tree::Number("0".into()));
                }
            }
        },
    )
}

fn prose(document: &mut Tree, dice: &mut Dice, key: &str) -> bool {
    let takes = |role: Role, tree: &Tree| {
        if tree.target().is_some() {
            return false;
        }
        match key {
            "description" => match role {
                Role::Operation | Role::Parameter | Role::Response | Role::Header | Role::Body => {
                    true
                }
                role => is_schema(role) && matches!(tree, Tree::Map(_)),
            },
            "summary" | "tags" => role == Role::Operation,
            "title" => is_schema(role) && matches!(tree, Tree::Map(_)),
            "externalDocs" => {
                role == Role::Operation || is_schema(role) && matches!(tree, Tree::Map(_))
            }
            _ => is_schema(role) && matches!(tree, Tree::Map(_)),
        }
    };
    // Remove unreachable parts first, because plans do not report changes in them.
    let kept = ["components", "webhooks"].map(|key| (key, document.get(key).cloned()));
    kept.iter().for_each(|(key, _)| document.remove(key));
    let changed = some(document, dice, takes, |tree, _, dice| {
        let text = format!("changed {}", dice.below(1_000_000));
        let value = match key {
            "externalDocs" => {
                Tree::map([("url", Tree::text(&format!("https://docs.example/{text}")))])
            }
            "tags" => Tree::List(vec![Tree::text(&text)]),
            _ => Tree::text(&text),
        };
        tree.set(key, value);
    });
    put_back(document, kept);
    changed
}

fn put_back(document: &mut Tree, kept: [(&str, Option<Tree>); 2]) {
    for (key, value) in kept {
        if let Some(value) = value {
            document.set(key, value);
        }
    }
}
