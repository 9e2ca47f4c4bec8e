//! Project for single edits: gateway.yaml and a document as JSON values.

use model::compile::Purpose;
use plan::Side;
use serde_json::{Value, json};

use crate::dice::Dice;
use prerequisite::corpus;

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

/// gateway.yaml and its document.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) gateway: Value,
    pub(crate) api: Value,
}

/// An operation of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) key: String,
    pub(crate) method: &'static str,
    pub(crate) path: String,
}

/// Reads the small documents of the corpus, and generates further ones.
pub(crate) fn documents() -> Vec<Project> {
    let read = |name: &&str| {
        let path = corpus::folder().join("specs").join(name);
        let text = std::fs::read_to_string(path).expect("a document of the corpus");
        serde_yaml_ng::from_str(&text).expect("YAML")
    };
    let names = ["petstore.yaml", "museum.yaml", "xero_accounting.yaml"];
    let mut all: Vec<Value> = names.iter().map(read).collect();
    all.extend((0..3).map(generated));
    all.into_iter().map(Project::of).collect()
}

/// Generated document with overlapping templates.
fn generated(seed: u64) -> Value {
    let mut dice = Dice::new(seed);
    let mut paths = json!({});
    for _ in 0..8 + dice.below(8) {
        let segments = 1 + dice.below(3);
        let segment = |number: usize| match dice.below(6) {
            0 | 1 => format!("/{{p{number}}}"),
            2 => "/orders".to_owned(),
            3 => "/items".to_owned(),
            4 => format!("/{{p{number}}}.json"),
            _ => "/status".to_owned(),
        };
        let path: String = (0..segments).map(segment).collect();
        for method in METHODS {
            if method != "options" && dice.chance(3) {
                let schema = json!({"type": "object", "properties": {"id": {"type": "string"}}});
                let content = json!({"application/json": {"schema": schema}});
                paths[&path][method] =
                    json!({"responses": {"200": {"description": "fine", "content": content}}});
            }
        }
    }
    json!({"openapi": "3.1.0", "info": {"title": "generated", "version": "1"}, "paths": paths})
}

/// Template with `{}` instead of each parameter.
fn erased(path: &str) -> String {
    let parts = path.split('{');
    let literals = parts.map(|part| part.split_once('}').map_or(part, |(_, literal)| literal));
    literals.collect::<Vec<_>>().join("{}")
}

/// True if a path may match both templates. Also true if this is uncertain.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split('/').collect(), b.split('/').collect());
    let meet = |(a, b): (&&str, &&str)| a == b || a.contains('{') || b.contains('{');
    a.len() == b.len() && a.iter().zip(&b).all(meet)
}

impl Project {
    /// Combines a document with the test gateway, and replaces its security settings.
    fn of(mut api: Value) -> Self {
        let mut seen = std::collections::BTreeSet::new();
        let mut number = 0;
        let paths = api["paths"].as_object_mut().expect("paths");
        // Remove templates that differ only in names of parameters, as in the document of Xero.
        paths.retain(|path, item| {
            METHODS.iter().any(|method| item.get(method).is_some()) && seen.insert(erased(path))
        });
        for item in paths.values_mut() {
            for method in METHODS {
                let Some(operation) = item.get_mut(method).and_then(Value::as_object_mut) else {
                    continue;
                };
                operation.remove("security");
                operation.insert("operationId".into(), format!("op{number}").into());
                number += 1;
            }
        }
        api["components"]["securitySchemes"] = json!({
            "key": {"type": "apiKey", "in": "header", "name": "X-Key", "x-gateway": {"auth": "keys"}},
            "pair": {"type": "http", "scheme": "basic", "x-gateway": {"auth": "staff"}},
        });
        api["security"] = json!([{"key": []}]);
        let gateway = json!({
            "version": 1, "name": "shop",
            "apis": {"a": {"path": "api.json"}},
            "listeners": {"public": {"address": "127.0.0.1:8080"}},
            "auth": {"keys": {"kind": "api_key"}, "staff": {"kind": "basic"}},
            "upstreams": {
                "u": {"targets": {"a": {"url": "http://127.0.0.1:9000"}}},
                "v": {"targets": {"a": {"url": "http://127.0.0.1:9001"}}},
            },
            "consumers": {"acme": {"keys": [{"sha256": "1".repeat(64)}]}},
            "policies": {
                "slow": {"kind": "rate_limit", "limit": "10/s", "burst": 5},
                "edge": {"kind": "headers", "response": {"remove": ["Server"]}},
            },
            "defaults": {"upstream": "u", "policies": ["slow", "edge"], "timeout": "5s"},
            "lint": {"malformed-pattern": "warn", "array-without-items": "warn", "undeclared-path-parameter": "warn"},
        });
        Self { gateway, api }
    }

    /// Sets random security requirements of operations.
    pub(crate) fn ask_at_random(&mut self, dice: &mut Dice) {
        for operation in self.operations() {
            match dice.below(8) {
                0 => self.ask(&operation, json!([])),
                1 => self.ask(&operation, json!([{"key": []}, {"pair": []}])),
                2 => self.ask(&operation, json!([{"key": [], "pair": []}])),
                _ => {}
            }
        }
    }

    pub(crate) fn operations(&self) -> Vec<Operation> {
        let paths = self.api["paths"].as_object().expect("paths");
        let of = |(path, item): (&String, &Value)| {
            let here = METHODS.into_iter().filter_map(|method| {
                let id = item.get(method)?["operationId"].as_str()?;
                Some(Operation {
                    key: format!("a/{id}"),
                    method,
                    path: path.clone(),
                })
            });
            here.collect::<Vec<_>>()
        };
        paths.iter().flat_map(of).collect()
    }

    /// Operations with this path.
    pub(crate) fn at(&self, path: &str) -> Vec<Operation> {
        let all = self.operations().into_iter();
        all.filter(|one| one.path == path).collect()
    }

    /// True if no other template overlaps with this path.
    pub(crate) fn has_unique_paths(&self, path: &str) -> bool {
        let paths = self.api["paths"].as_object().expect("paths");
        paths
            .keys()
            .all(|other| other == path || !overlap(other, path))
    }

    /// JSON value of an operation.
    pub(crate) fn text(&mut self, operation: &Operation) -> &mut Value {
        &mut self.api["paths"][&operation.path][operation.method]
    }

    /// JSON value of `x-gateway` of an operation.
    pub(crate) fn extension(&mut self, operation: &Operation) -> &mut Value {
        &mut self.text(operation)["x-gateway"]
    }

    /// Sets the security requirement of an operation.
    pub(crate) fn ask(&mut self, operation: &Operation, security: Value) {
        let open = match security.as_array() {
            Some(all) => all.is_empty() || all.contains(&json!({})),
            None => false,
        };
        self.text(operation)["security"] = security;
        match (open, self.extension(operation).as_object_mut()) {
            (true, _) => self.extension(operation)["public"] = true.into(),
            (false, Some(extension)) => {
                extension.remove("public");
            }
            (false, None) => {
                let text = self.text(operation).as_object_mut().expect("an operation");
                text.remove("x-gateway");
            }
        }
    }

    /// Security requirement of an operation, otherwise of the document.
    pub(crate) fn requirement(&self, operation: &Operation) -> &Value {
        let own = self.api["paths"][&operation.path][operation.method].get("security");
        own.unwrap_or(&self.api["security"])
    }

    /// Operations grouped by their requirement.
    pub(crate) fn alike(&self, operations: &[Operation]) -> Vec<(Value, Vec<Operation>)> {
        let mut alike: Vec<(Value, Vec<Operation>)> = Vec::new();
        for operation in operations {
            let requirement = self.requirement(operation);
            match alike.iter_mut().find(|(known, _)| known == requirement) {
                Some((_, known)) => known.push(operation.clone()),
                None => alike.push((requirement.clone(), vec![operation.clone()])),
            }
        }
        alike
    }

    /// Compiles the project, also with settings that gwd does not support yet.
    ///
    /// # Errors
    /// Returns the messages of the compiler's errors.
    pub(crate) fn side(&self) -> Result<Side, String> {
        let (gateway, api) = (self.gateway.to_string(), self.api.to_string());
        let files = [("gateway.yaml", gateway.as_str()), ("api.json", &api)];
        crate::compiled(&files, Purpose::Route)
    }
}
