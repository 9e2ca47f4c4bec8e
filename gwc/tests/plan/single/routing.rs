//! Edits that change which operation receives a request.

use serde_json::{Value, json};

use super::project::{Operation, overlap};
use super::{Case, Kind};

pub(super) const KINDS: &[Kind] = &[
    ("a path captures another's requests", |case| {
        let operation = capture(case)?;
        case.expect_of(
            "routing moved owner-changed route",
            std::slice::from_ref(&operation),
        );
        case.expect_of(
            "security weaken security-requirement-removed security",
            &[operation],
        );
        Some(())
    }),
    ("a path gives requests back", |case| {
        let before = capture(case)?;
        case.reverse();
        let mut all = case.new.operations();
        all.retain(|one| one.method == before.method && overlap(&one.path, &before.path));
        case.expect_of("routing moved owner-changed route", &all);
        case.expect_of(
            "security strengthen security-requirement-added security",
            &all,
        );
        Some(())
    }),
    ("a path goes", |case| {
        let path = lone_path(case)?;
        let gone = case.old.at(&path);
        case.new.api["paths"].as_object_mut()?.remove(&path);
        case.expect_each("routing removed operation-removed route", &gone);
        Some(())
    }),
    ("a path comes", |case| {
        let path = lone_path(case)?;
        let come = case.old.at(&path);
        case.old.api["paths"].as_object_mut()?.remove(&path);
        case.expect_each("routing added operation-added route", &come);
        exposed(case, &come);
        Some(())
    }),
    ("a path is renamed", |case| {
        let path = lone_path(case)?;
        let moved = case.old.at(&path);
        let paths = case.new.api["paths"].as_object_mut()?;
        let item = paths.remove(&path)?;
        let new = format!("/renamed-here{path}/and-there");
        paths.insert(new.clone(), item);
        case.expect_each("routing added requests-added route", &moved);
        case.expect_each("routing removed requests-removed route", &moved);
        let path = |one: Operation| Operation {
            path: new.clone(),
            ..one
        };
        let moved: Vec<Operation> = moved.into_iter().map(path).collect();
        exposed(case, &moved);
        Some(())
    }),
    ("a method comes", |case| {
        let path = lone_path(case)?;
        let has = case.old.at(&path);
        let free = ["put", "post", "delete", "patch"].into_iter();
        let mut free = free.filter(|method| has.iter().all(|one| one.method != *method));
        let method = free.next()?;
        case.new.api["paths"][&path][method] =
            json!({"operationId": "added", "responses": {"200": {"description": "fine"}}});
        let added = [Operation {
            key: "a/added".into(),
            method,
            path,
        }];
        case.expect_each("routing added operation-added route", &added);
        exposed(case, &added);
        Some(())
    }),
    ("an operation goes", |case| {
        let path = lone_path(case)?;
        let all = case.old.at(&path);
        let gone = case.dice.pick(&all);
        // A GET operation also serves HEAD, but an explicit HEAD operation has its own line; skip
        // such paths.
        if all.iter().any(|one| one.method == "head") {
            return None;
        }
        let item = case.new.api["paths"][&path].as_object_mut()?;
        item.remove(gone.method);
        case.expect_of("routing removed operation-removed route", &[gone]);
        Some(())
    }),
    ("an operation becomes internal", |case| {
        let path = lone_path(case)?;
        let all = case.old.at(&path);
        let hidden = case.dice.pick(&all);
        if all.iter().any(|one| one.method == "head") {
            return None;
        }
        let own = case.new.extension(&hidden);
        if own.get("public").is_some() {
            return None;
        }
        own["internal"] = true.into();
        case.hides_schemas = true;
        case.expect_of("routing removed operation-removed route", &[hidden]);
        Some(())
    }),
    ("an internal operation is let out", |case| {
        let path = lone_path(case)?;
        let all = case.old.at(&path);
        let hidden = case.dice.pick(&all);
        if all.iter().any(|one| one.method == "head") {
            return None;
        }
        let own = case.old.extension(&hidden);
        if own.get("public").is_some() {
            return None;
        }
        own["internal"] = true.into();
        case.hides_schemas = true;
        let out = [hidden];
        case.expect_each("routing added operation-added route", &out);
        exposed(case, &out);
        Some(())
    }),
    ("an operationId is renamed", |case| {
        let operation = case.operation();
        case.new.text(&operation)["operationId"] = "renamed".into();
        let renamed = Operation {
            key: "a/renamed".into(),
            ..operation
        };
        case.expect_of("docs changed operation-renamed operationId", &[renamed]);
        Some(())
    }),
    ("a priority is raised", |case| {
        let path = lone_path(case)?;
        case.new.api["paths"][&path]["x-gateway"]["priority"] = 7.into();
        let all = case.old.at(&path);
        case.expect_of("policy changed priority-changed priority", &all);
        Some(())
    }),
    ("a priority turns two paths", |case| {
        let (wide, narrow) = affixes(case);
        case.new.api["paths"][&wide.path]["x-gateway"]["priority"] = 7.into();
        let turned = [wide];
        case.expect_of("policy changed priority-changed priority", &turned);
        case.expect_of("routing moved owner-changed route", &turned);
        assert!(overlap(&turned[0].path, &narrow.path));
        Some(())
    }),
    ("a priority gives requests back", |case| {
        let (wide, narrow) = affixes(case);
        case.old.api["paths"][&wide.path]["x-gateway"]["priority"] = 7.into();
        case.expect_of("policy changed priority-changed priority", &[wide]);
        case.expect_of("routing moved owner-changed route", &[narrow]);
        Some(())
    }),
    ("a condition is added", |case| {
        let operation = conditional(case)?;
        case.new.extension(&operation)["match"] = json!({"headers": {"X-Mode": {"exact": "a"}}});
        case.expect_of("routing removed requests-removed route", &[operation]);
        Some(())
    }),
    ("a condition is dropped", |case| {
        let operation = conditional(case)?;
        case.old.extension(&operation)["match"] = json!({"query": {"mode": {"prefix": "a"}}});
        let one = [operation];
        case.expect_each("routing added requests-added route", &one);
        exposed(case, &one);
        Some(())
    }),
    ("a host is added to a mount", |case| {
        case.both(|project| {
            project.gateway["apis"]["a"]["mount"] = json!({"hosts": ["api.shop.example"]});
        });
        case.new.gateway["apis"]["a"]["mount"]["hosts"] =
            json!(["api.shop.example", "www.shop.example"]);
        everything_added(case)
    }),
    ("a wildcard host is added to a mount", |case| {
        case.both(|project| {
            project.gateway["apis"]["a"]["mount"] = json!({"hosts": ["api.shop.example"]});
        });
        case.new.gateway["apis"]["a"]["mount"]["hosts"] =
            json!(["api.shop.example", "*.shop.example"]);
        everything_added(case)
    }),
    ("a host is taken from a mount", |case| {
        let hosts = json!(["api.shop.example", "www.shop.example"]);
        case.old.gateway["apis"]["a"]["mount"] = json!({"hosts": hosts});
        case.new.gateway["apis"]["a"]["mount"] = json!({"hosts": ["api.shop.example"]});
        let all = case.old.operations();
        case.expect_each("routing removed requests-removed route", &all);
        Some(())
    }),
    ("a listener comes", |case| {
        case.both(|project| {
            project.gateway["apis"]["a"]["mount"] = json!({"listeners": ["public"]});
        });
        case.new.gateway["listeners"]["inner"] = json!({"address": "127.0.0.1:8081"});
        case.new.gateway["apis"]["a"]["mount"]["listeners"] = json!(["public", "inner"]);
        case.expect("routing changed listener-added listener inner");
        everything_added(case)
    }),
    ("a listener goes", |case| {
        case.both(|project| {
            project.gateway["apis"]["a"]["mount"] = json!({"listeners": ["public"]});
        });
        case.old.gateway["listeners"]["inner"] = json!({"address": "127.0.0.1:8081"});
        case.old.gateway["apis"]["a"]["mount"]["listeners"] = json!(["public", "inner"]);
        case.expect("routing removed listener-removed listener inner");
        let all = case.old.operations();
        case.expect_each("routing removed requests-removed route", &all);
        Some(())
    }),
    ("a listener moves", |case| {
        case.new.gateway["listeners"]["public"]["address"] = "127.0.0.1:8089".into();
        case.expect("routing removed listener-address-changed listener public address");
        Some(())
    }),
    ("a final slash is forgiven", |case| {
        slash(case, "ignore", true)
    }),
    ("a final slash redirects", |case| {
        slash(case, "redirect", false)
    }),
    ("an operation goes to another upstream", |case| {
        let operation = case.operation();
        case.new.extension(&operation)["upstream"] = "v".into();
        case.expect_of("routing moved upstream-changed upstream", &[operation]);
        Some(())
    }),
    ("the base path stays or goes", |case| {
        case.both(|project| {
            project.gateway["apis"]["a"]["mount"] = json!({"name": "here", "base_path": "/api"});
        });
        case.new.gateway["apis"]["a"]["mount"]["strip_base_path"] = true.into();
        case.moves_paths = true;
        case.expect("upstream moved strip-base-path-changed mount a/here");
        Some(())
    }),
    ("a target moves", |case| {
        case.new.gateway["upstreams"]["u"]["targets"]["a"]["url"] = "http://127.0.0.1:9009".into();
        case.expect("upstream moved targets-changed upstream u targets.a.url");
        Some(())
    }),
    ("the upstream gets another host", |case| {
        case.new.gateway["upstreams"]["u"]["host_header"] = "orders.internal".into();
        case.expect("upstream moved host-header-changed upstream u host_header");
        Some(())
    }),
    ("an upstream comes", |case| {
        case.new.gateway["upstreams"]["w"] =
            json!({"targets": {"a": {"url": "http://127.0.0.1:9003"}}});
        case.expect("upstream changed upstream-added upstream w");
        Some(())
    }),
    ("an upstream goes", |case| {
        case.old.gateway["upstreams"]["w"] =
            json!({"targets": {"a": {"url": "http://127.0.0.1:9003"}}});
        case.expect("upstream changed upstream-removed upstream w");
        Some(())
    }),
];

/// Random path that overlaps with no other template. `None` if there is none.
fn lone_path(case: &mut Case) -> Option<String> {
    let paths = case.old.api["paths"].as_object()?.keys().cloned();
    let alone: Vec<String> = paths
        .filter(|path| case.old.has_unique_paths(path))
        .collect();
    (alone.len() > 1).then(|| case.dice.pick(&alone))
}

/// Random operation whose path overlaps with no other path and has no HEAD operation.
fn conditional(case: &mut Case) -> Option<Operation> {
    let path = lone_path(case)?;
    let all = case.old.at(&path);
    let mixed = all.iter().any(|one| one.method == "head");
    (!mixed).then(|| case.dice.pick(&all))
}

/// Adds an operation that everyone can call. Its path has a fixed value in place of another
/// operation's parameter.
fn capture(case: &mut Case) -> Option<Operation> {
    let paths: Vec<String> = case.old.api["paths"].as_object()?.keys().cloned().collect();
    let mut captors = Vec::new();
    for path in &paths {
        let segments: Vec<&str> = path.split('/').collect();
        for (at, segment) in segments.iter().enumerate() {
            if segment.starts_with('{')
                && segment.ends_with('}')
                && segment.matches('{').count() == 1
            {
                let mut taken = segments.clone();
                taken[at] = "captured-here";
                captors.push((path.clone(), taken.join("/")));
            }
        }
    }
    // The captured requests must have belonged only to this path.
    captors.retain(|(path, captor)| {
        let others = paths.iter().filter(|other| overlap(other, captor));
        others.eq([path])
    });
    if captors.is_empty() {
        return None;
    }
    let (path, captor) = case.dice.pick(&captors);
    let lost = case.dice.pick(&case.old.at(&path));
    if case.old.at(&path).iter().any(|one| one.method == "head") {
        return None;
    }
    case.both(|project| project.ask(&lost, json!([{"key": []}])));
    case.new.api["paths"][&captor][lost.method] = json!({
        "operationId": "captor", "security": [], "x-gateway": {"public": true},
        "responses": {"200": {"description": "fine"}},
    });
    Some(Operation {
        key: "a/captor".into(),
        method: lost.method,
        path: captor,
    })
}

/// Adds two operations with overlapping paths. The second operation receives the requests that
/// match both, and each operation also receives other requests.
fn affixes(case: &mut Case) -> (Operation, Operation) {
    let made = ["/zz/{b}.txt", "/zz/before-{a}"].map(|path| {
        let key = if path.contains("txt") {
            "wide"
        } else {
            "narrow"
        };
        case.both(|project| {
            project.api["paths"][path]["get"] =
                json!({"operationId": key, "responses": {"200": {"description": "fine"}}});
        });
        Operation {
            key: format!("a/{key}"),
            method: "get",
            path: path.to_owned(),
        }
    });
    let [wide, narrow] = made;
    (wide, narrow)
}

/// Expects lines about operations that become reachable, and that no caller could reach before.
fn exposed(case: &mut Case, operations: &[Operation]) {
    let line = |requirement: &Value| match requirement.as_array().is_some_and(Vec::is_empty) {
        true => "security weaken operation-exposed security",
        false => "security expose operation-exposed security",
    };
    case.expect_alike(line, operations);
}

fn everything_added(case: &mut Case) -> Option<()> {
    let all = case.old.operations();
    case.expect_each("routing added requests-added route", &all);
    exposed(case, &all);
    Some(())
}

fn slash(case: &mut Case, word: &str, served: bool) -> Option<()> {
    let path = lone_path(case)?;
    if path.ends_with('/') || path.ends_with(".json") {
        return None;
    }
    case.new.api["paths"][&path]["x-gateway"]["trailing_slash"] = word.into();
    let all = case.old.at(&path);
    case.expect_of("policy changed trailing-slash-changed trailing_slash", &all);
    if served {
        case.expect_each("routing added requests-added route", &all);
        exposed(case, &all);
    }
    Some(())
}
