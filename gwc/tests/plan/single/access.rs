//! Edits of access: security requirements, credentials, consumers.

use serde_json::{Value, json};

use super::{Case, Kind};
use crate::single::project::Operation;

const ARGON2ID: &str =
    "$argon2id$v=19$m=7168,t=1,p=1$c2FsdHNhbHQ$XmHe4YTGjByNV82+uKdjKgxks2mo39jqBGxKaFKoIhs";

pub(super) const KINDS: &[Kind] = &[
    ("a requirement is removed", |case| {
        opens(case, json!([{"key": []}]), json!([]))
    }),
    ("a requirement becomes optional", |case| {
        opens(case, json!([{"key": []}]), json!([{"key": []}, {}]))
    }),
    ("a requirement is added", |case| {
        opens(case, json!([{"pair": []}]), json!([]))?;
        case.reverse();
        let lines = std::mem::take(&mut case.expected).into_iter();
        let turned = |line: String| {
            line.replace("weaken", "strengthen")
                .replace("requirement-removed", "requirement-added")
        };
        case.expected = lines.map(turned).collect();
        Some(())
    }),
    ("an alternative is added", |case| {
        let new = json!([{"key": []}, {"pair": []}]);
        asks(case, "weaken", json!([{"key": []}]), new)
    }),
    ("an alternative is removed", |case| {
        let old = json!([{"key": []}, {"pair": []}]);
        asks(case, "strengthen", old, json!([{"pair": []}]))
    }),
    ("a scheme is added to an alternative", |case| {
        let new = json!([{"key": [], "pair": []}]);
        asks(case, "strengthen", json!([{"key": []}]), new)
    }),
    ("a scheme is removed from an alternative", |case| {
        let old = json!([{"key": [], "pair": []}]);
        asks(case, "weaken", old, json!([{"pair": []}]))
    }),
    ("a combination is split", |case| {
        let old = json!([{"key": [], "pair": []}]);
        asks(case, "weaken", old, json!([{"key": []}, {"pair": []}]))
    }),
    ("another credential is asked for", |case| {
        let new = json!([{"pair": []}]);
        asks(case, "incomparable", json!([{"key": []}]), new)
    }),
    ("alternatives change places", |case| {
        let operation = case.operation();
        let turned = json!([{"pair": []}, {"key": []}]);
        case.both(|project| project.ask(&operation, json!([{"key": []}, {"pair": []}])));
        case.new.ask(&operation, turned);
        let line = "security incomparable security-requirement-changed security";
        case.expect_of(line, &[operation]);
        Some(())
    }),
    ("an alternative that another one covers moves", |case| {
        let operation = case.operation();
        let last = json!([{"key": []}, {"key": [], "pair": []}]);
        case.both(|project| project.ask(&operation, last.clone()));
        let first = json!([{"key": [], "pair": []}, {"key": []}]);
        case.new.ask(&operation, first);
        case.expect_of("policy changed security-restated security", &[operation]);
        Some(())
    }),
    ("the document asks for something else", |case| {
        let inherit = inheriting(case);
        case.new.api["security"] = json!([{"key": []}, {"pair": []}]);
        let line = "security weaken security-requirement-changed security";
        expect_some(case, line, &inherit)
    }),
    ("a credential moves to the query", |case| {
        moved(case, json!({"in": "query", "name": "key"}))
    }),
    ("a credential moves to a cookie", |case| {
        moved(case, json!({"in": "cookie", "name": "key"}))
    }),
    ("the field of a credential has another name", |case| {
        moved(case, json!({"name": "X-Other"}))
    }),
    ("a credential is left to the upstream", |case| {
        let with = holding(case);
        case.new.api["components"]["securitySchemes"]["key"]["x-gateway"] =
            json!({"verify": "upstream"});
        by_requirement(
            case,
            "security weaken security-requirement-changed security",
            &with,
        )
    }),
    ("a credential is checked again", |case| {
        let with = holding(case);
        case.old.api["components"]["securitySchemes"]["key"]["x-gateway"] =
            json!({"verify": "upstream"});
        by_requirement(
            case,
            "security strengthen security-requirement-changed security",
            &with,
        )
    }),
    ("a consumer comes", |case| {
        case.new.gateway["consumers"]["new"] = json!({"keys": [{"sha256": "2".repeat(64)}]});
        case.expect("security grant credential-added consumer new");
        Some(())
    }),
    ("a consumer without credentials comes", |case| {
        case.new.gateway["consumers"]["new"] = json!({});
        case.expect("security grant consumer-added consumer new");
        Some(())
    }),
    ("a consumer without credentials goes", |case| {
        case.old.gateway["consumers"]["new"] = json!({});
        case.expect("security strengthen consumer-removed consumer new");
        Some(())
    }),
    ("a password has a slow hash", |case| {
        let old = json!([{"sha256": "2".repeat(64)}]);
        case.both(|project| project.gateway["consumers"]["slow"] = json!({"basic": old}));
        let new = json!([{"user": "slow", "argon2id": ARGON2ID}]);
        case.new.gateway["consumers"]["slow"]["basic"] = new;
        case.expect("security grant credential-added consumer slow");
        case.expect("security strengthen credential-removed consumer slow");
        Some(())
    }),
    ("a password has another user", |case| {
        let of = |user: &str| json!({"basic": [{"user": user, "argon2id": ARGON2ID}]});
        case.old.gateway["consumers"]["slow"] = of("a");
        case.new.gateway["consumers"]["slow"] = of("b");
        case.expect("security grant credential-added consumer slow");
        case.expect("security strengthen credential-removed consumer slow");
        Some(())
    }),
    ("a key is added", |case| {
        let keys = json!([{"sha256": "1".repeat(64)}, {"sha256": "2".repeat(64)}]);
        case.new.gateway["consumers"]["acme"]["keys"] = keys;
        case.expect("security grant credential-added consumer acme");
        Some(())
    }),
    ("a key is removed", |case| {
        case.new.gateway["consumers"]["acme"] = json!({});
        case.expect("security strengthen credential-removed consumer acme");
        Some(())
    }),
    ("a key is prolonged", |case| {
        ends(case, json!("2030-01-01"), json!("2031-01-01"));
        case.expect("security grant credential-prolonged consumer acme");
        Some(())
    }),
    ("a key ends no more", |case| {
        ends(case, json!("2030-01-01"), Value::Null);
        case.expect("security grant credential-prolonged consumer acme");
        Some(())
    }),
    ("a key ends earlier", |case| {
        ends(case, json!("2031-01-01"), json!("2030-01-01"));
        case.expect("security strengthen credential-shortened consumer acme");
        Some(())
    }),
];

/// Changes the requirement of one operation so that everyone can call it.
fn opens(case: &mut Case, old: Value, new: Value) -> Option<()> {
    let operation = case.operation();
    case.both(|project| project.ask(&operation, old.clone()));
    case.new.ask(&operation, new);
    let line = "security weaken security-requirement-removed security";
    case.expect_of(line, &[operation]);
    Some(())
}

/// Changes the requirement of some operations from `old` to `new`, and expects a line of this
/// class.
fn asks(case: &mut Case, class: &str, old: Value, new: Value) -> Option<()> {
    let some = case.some();
    for operation in &some {
        case.both(|project| project.ask(operation, old.clone()));
        case.new.ask(operation, new.clone());
    }
    let line = format!("security {class} security-requirement-changed security");
    case.expect_of(&line, &some);
    Some(())
}

/// Operations that inherit the document's requirement.
fn inheriting(case: &Case) -> Vec<Operation> {
    let mut all = case.old.operations();
    let paths = &case.old.api["paths"];
    all.retain(|one| paths[&one.path][one.method].get("security").is_none());
    all
}

/// Operations that require the API key.
fn holding(case: &Case) -> Vec<Operation> {
    let mut all = case.old.operations();
    all.retain(|one| {
        let alternatives = case.old.requirement(one).as_array();
        alternatives.is_some_and(|all| all.iter().any(|one| one.get("key").is_some()))
    });
    all
}

fn moved(case: &mut Case, to: Value) -> Option<()> {
    let with = holding(case);
    let scheme = &mut case.new.api["components"]["securitySchemes"]["key"];
    for (key, value) in to.as_object().expect("keys") {
        scheme[key] = value.clone();
    }
    by_requirement(
        case,
        "security incomparable security-requirement-changed security",
        &with,
    )
}

fn by_requirement(case: &mut Case, line: &str, operations: &[Operation]) -> Option<()> {
    for (_, alike) in case.new.alike(operations) {
        case.expect_of(line, &alike);
    }
    (!operations.is_empty()).then_some(())
}

fn expect_some(case: &mut Case, line: &str, operations: &[Operation]) -> Option<()> {
    if operations.is_empty() {
        return None;
    }
    case.expect_of(line, operations);
    Some(())
}

fn ends(case: &mut Case, old: Value, new: Value) {
    let key = |ends: Value| match ends {
        Value::Null => json!([{"sha256": "1".repeat(64)}]),
        ends => json!([{"sha256": "1".repeat(64), "not_after": ends}]),
    };
    case.old.gateway["consumers"]["acme"]["keys"] = key(old);
    case.new.gateway["consumers"]["acme"]["keys"] = key(new);
}
