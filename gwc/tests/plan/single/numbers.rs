//! Edits of limits, policies, contracts and prose.

use serde_json::{Value, json};

use super::{Case, Kind};

pub(super) const KINDS: &[Kind] = &[
    ("more often", |case| {
        gateway(
            case,
            "/policies/slow/limit",
            json!("20/s"),
            "relax rate-changed policy slow limit",
        )
    }),
    ("less often", |case| {
        gateway(
            case,
            "/policies/slow/limit",
            json!("100/min"),
            "tighten rate-changed policy slow limit",
        )
    }),
    ("a longer burst", |case| {
        gateway(
            case,
            "/policies/slow/burst",
            json!(6),
            "relax burst-changed policy slow burst",
        )
    }),
    ("a shorter burst", |case| {
        gateway(
            case,
            "/policies/slow/burst",
            json!(4),
            "tighten burst-changed policy slow burst",
        )
    }),
    ("a longer time for all", |case| {
        case.new.gateway["defaults"]["timeout"] = "6s".into();
        let all = case.old.operations();
        case.expect_of("policy relax timeout-changed timeout", &all);
        Some(())
    }),
    ("a shorter time for some", |case| {
        let some = case.some();
        for operation in &some {
            case.new.extension(operation)["timeout"] = "4s".into();
        }
        case.expect_of("policy tighten timeout-changed timeout", &some);
        Some(())
    }),
    ("a limit of bodies for some", |case| {
        let some = case.some();
        for operation in &some {
            case.new.extension(operation)["max_body"] = "1MiB".into();
        }
        case.expect_of("policy tighten max-body-changed max_body", &some);
        Some(())
    }),
    ("longer bodies for all", |case| {
        case.old.gateway["defaults"]["max_body"] = "1MiB".into();
        case.new.gateway["defaults"]["max_body"] = "2MiB".into();
        let all = case.old.operations();
        case.expect_of("policy relax max-body-changed max_body", &all);
        Some(())
    }),
    ("more connections", |case| {
        case.both(|project| {
            project.gateway["listeners"]["public"]["limits"] = json!({"connections": 100})
        });
        gateway(
            case,
            "/listeners/public/limits/connections",
            json!(200),
            "relax listener-connections-changed listener public limits.connections",
        )
    }),
    ("a longer wait for bodies", |case| {
        case.both(|project| {
            project.gateway["listeners"]["public"]["limits"] = json!({"body_timeout": "30s"});
        });
        gateway(
            case,
            "/listeners/public/limits/body_timeout",
            json!("60s"),
            "relax listener-body-timeout-changed listener public limits.body_timeout",
        )
    }),
    ("a higher rate of bodies", |case| {
        case.both(|project| {
            project.gateway["listeners"]["public"]["limits"] = json!({"min_rate": "240B"});
        });
        gateway(
            case,
            "/listeners/public/limits/min_rate",
            json!("1KiB"),
            "tighten listener-min-rate-changed listener public limits.min_rate",
        )
    }),
    ("a shorter silence in bodies", |case| {
        case.both(|project| {
            project.gateway["listeners"]["public"]["limits"] = json!({"stream_idle_timeout": "5m"});
        });
        gateway(
            case,
            "/listeners/public/limits/stream_idle_timeout",
            json!("60s"),
            "tighten listener-stream-idle-timeout-changed listener public limits.stream_idle_timeout",
        )
    }),
    ("longer heads", |case| {
        case.both(|project| {
            project.gateway["listeners"]["public"]["limits"] = json!({"header_bytes": "16KiB"});
        });
        gateway(
            case,
            "/listeners/public/limits/header_bytes",
            json!("32KiB"),
            "relax listener-header-bytes-changed listener public limits.header_bytes",
        )
    }),
    ("less patience with an upstream", |case| {
        case.both(|project| {
            project.gateway["upstreams"]["u"]["timeouts"] = json!({"connect": "1s"})
        });
        gateway(
            case,
            "/upstreams/u/timeouts/connect",
            json!("500ms"),
            "tighten connect-timeout-changed upstream u timeouts.connect",
        )
    }),
    ("a limit is dropped for one", |case| {
        let operation = case.operation();
        case.new.extension(&operation)["policies"] = json!(["edge"]);
        case.expect_of("policy relax policies-changed policies", &[operation]);
        Some(())
    }),
    ("a limit is added for one", |case| {
        let operation = case.operation();
        case.old.extension(&operation)["policies"] = json!(["edge"]);
        case.expect_of("policy tighten policies-changed policies", &[operation]);
        Some(())
    }),
    ("a policy does something else", |case| {
        case.new.gateway["policies"]["edge"]["response"]["set"] = json!({"X-Served-By": "gwd"});
        case.expect("policy changed policy-changed policy edge response.set.x-served-by");
        Some(())
    }),
    ("a quota is raised", |case| {
        case.both(|project| {
            project.gateway["policies"]["day"] =
                json!({"kind": "quota", "limit": 1000, "period": "day"});
            project.gateway["defaults"]["policies"] = json!(["slow", "edge", "day"]);
        });
        gateway(
            case,
            "/policies/day/limit",
            json!(2000),
            "relax policy-changed policy day limit",
        )
    }),
    ("the log gets another field", |case| {
        facts(case, json!({"more": "query:q"}));
        case.expect("policy changed policy-changed policy facts fields.more.from");
        Some(())
    }),
    ("a log field has another source", |case| {
        facts(case, json!({"tenant": "header:x-other"}));
        case.expect("policy changed policy-changed policy facts fields.tenant.from");
        Some(())
    }),
    ("a log field is hashed", |case| {
        facts(
            case,
            json!({"tenant": {"from": "header:x-tenant", "form": "hash"}}),
        );
        case.expect("security strengthen policy-changed policy facts fields.tenant.form");
        Some(())
    }),
    ("a hashed log field is shown", |case| {
        facts(case, json!({"subject": "claim:subject"}));
        case.expect("security weaken policy-changed policy facts fields.subject.form");
        Some(())
    }),
    ("a hashed log field goes", |case| {
        facts(case, json!({}));
        let new = case.new.gateway["policies"]["facts"]["fields"].as_object_mut();
        new.expect("the fields").remove("subject");
        case.expect("policy changed policy-changed policy facts fields.subject.from");
        Some(())
    }),
    ("a hashed log field comes", |case| {
        facts(case, json!({"more": {"from": "query:q", "form": "hash"}}));
        case.expect("policy changed policy-changed policy facts fields.more.from");
        Some(())
    }),
    ("a rate limit only counts", |case| {
        case.new.gateway["policies"]["slow"]["mode"] = json!("log");
        case.expect("policy relax policy-changed policy slow mode");
        Some(())
    }),
    ("a rate limit counts in another way", |case| {
        case.new.gateway["policies"]["slow"]["algorithm"] = json!("leaky");
        case.expect("policy relax policy-changed policy slow algorithm");
        Some(())
    }),
    ("a policy that nothing uses comes", |case| {
        case.new.gateway["policies"]["spare"] =
            json!({"kind": "rate_limit", "limit": "1/s", "burst": 1});
        case.expect("policy changed policy-added policy spare");
        Some(())
    }),
    ("a policy that nothing uses goes", |case| {
        case.old.gateway["policies"]["spare"] =
            json!({"kind": "rate_limit", "limit": "1/s", "burst": 1});
        case.expect("policy changed policy-removed policy spare");
        Some(())
    }),
    ("a verifier that nothing uses comes", |case| {
        case.new.gateway["auth"]["spare"] = json!({"kind": "api_key"});
        case.expect("policy changed verifier-added auth spare");
        Some(())
    }),
    ("a verifier that nothing uses goes", |case| {
        case.old.gateway["auth"]["spare"] = json!({"kind": "api_key"});
        case.expect("policy changed verifier-removed auth spare");
        Some(())
    }),
    ("the upstream sees a credential", |case| {
        case.old.api["components"]["securitySchemes"]["pair"]["x-gateway"]["strip_credential"] =
            true.into();
        // Operations that do not require the credential are affected, too.
        let with = case.old.operations();
        case.expect_of("security weaken credential-forwarded security basic", &with);
        Some(())
    }),
    ("the upstream sees a credential no more", |case| {
        case.new.api["components"]["securitySchemes"]["pair"]["x-gateway"]["strip_credential"] =
            true.into();
        // Callers of the other operations can omit the credential.
        let (mut asking, mut others) = (Vec::new(), Vec::new());
        for (requirement, mut alike) in case.new.alike(&case.old.operations()) {
            match requirement.to_string().contains("pair") {
                true => asking.append(&mut alike),
                false => others.append(&mut alike),
            }
        }
        for (class, operations) in [("incomparable", asking), ("strengthen", others)] {
            let line = format!("security {class} credential-stripped security basic");
            if !operations.is_empty() {
                case.expect_of(&line, &operations);
            }
        }
        Some(())
    }),
    ("the project has another name", |case| {
        case.expect("policy changed policy-restarted policy slow");
        gateway(
            case,
            "/name",
            json!("shops"),
            "changed project-renamed name",
        )
    }),
    ("the bundle is shown", |case| {
        case.new.gateway["defaults"]["expose_bundle"] = true.into();
        case.expect("security weaken expose-bundle-changed expose_bundle");
        Some(())
    }),
    ("an operation is deprecated", |case| {
        let operation = case.operation();
        case.old.text(&operation)["deprecated"] = false.into();
        case.new.text(&operation)["deprecated"] = true.into();
        case.expect_of(
            "breaking changed endpoint-deprecated operation deprecated",
            &[operation],
        );
        Some(())
    }),
    ("a response comes", |case| {
        let operation = case.operation();
        case.new.text(&operation)["responses"]["418"] = json!({"description": "a teapot"});
        case.expect_of(
            "breaking changed response-non-success-status-added response 418",
            &[operation],
        );
        Some(())
    }),
    ("a response has another type", |case| {
        let operation = case.operation();
        let answer = |kind: &str| json!({"description": "a teapot", "content": {"text/tea": {"schema": {"type": kind}}}});
        case.old.text(&operation)["responses"]["418"] = answer("string");
        case.new.text(&operation)["responses"]["418"] = answer("integer");
        let line = "breaking break response-body-type-changed response 418 body type";
        case.expect_of(line, &[operation]);
        Some(())
    }),
    ("a parameter becomes required", |case| {
        parameter(
            case,
            Some(json!({"required": false})),
            json!({"required": true}),
            "break request-parameter-became-required query tea-time required",
        )
    }),
    ("a parameter comes", |case| {
        let line = "changed new-optional-request-parameter query tea-time";
        parameter(case, None, json!({}), line)
    }),
    ("a body becomes required", |case| {
        let operation = case.operation();
        let body = |required: bool| json!({"required": required, "content": {"text/tea": {"schema": {"type": "string"}}}});
        if ["get", "head", "delete", "options"].contains(&operation.method) {
            return None;
        }
        case.old.text(&operation)["requestBody"] = body(false);
        case.new.text(&operation)["requestBody"] = body(true);
        case.expect_of(
            "breaking break request-body-became-required body required",
            &[operation],
        );
        Some(())
    }),
    ("a description is another", |case| {
        let operation = case.operation();
        case.old.text(&operation)["description"] = "once".into();
        case.new.text(&operation)["description"] = "then".into();
        case.expect_of("docs doc prose-changed description", &[operation]);
        Some(())
    }),
];

/// Adds a policy that logs fields to all operations. `changed`: its fields that differ in the new
/// version.
fn facts(case: &mut Case, changed: Value) {
    let fields = json!({
        "tenant": "header:x-tenant",
        "subject": {"from": "claim:subject", "form": "hash"},
    });
    case.both(|project| {
        project.gateway["policies"]["facts"] =
            json!({"kind": "log_fields", "fields": fields.clone()});
        project.gateway["defaults"]["policies"] = json!(["slow", "edge", "facts"]);
    });
    let new = case.new.gateway["policies"]["facts"]["fields"].as_object_mut();
    let new = new.expect("the fields");
    for (name, value) in changed.as_object().expect("fields") {
        new.insert(name.clone(), value.clone());
    }
}

/// Changes a value in gateway.yaml to `to`, and expects this line in the section POLICY.
fn gateway(case: &mut Case, pointer: &str, to: Value, line: &str) -> Option<()> {
    *case.new.gateway.pointer_mut(pointer)? = to;
    case.expect(&format!("policy {line}"));
    Some(())
}

fn parameter(case: &mut Case, old: Option<Value>, new: Value, line: &str) -> Option<()> {
    let operation = case.operation();
    for (project, more) in [(&mut case.old, old), (&mut case.new, Some(new))] {
        let Some(more) = more else { continue };
        let mut parameter =
            json!({"name": "tea-time", "in": "query", "schema": {"type": "string"}});
        for (key, value) in more.as_object()? {
            parameter[key] = value.clone();
        }
        let text = project.text(&operation);
        match text.get_mut("parameters").and_then(Value::as_array_mut) {
            Some(all) => all.push(parameter),
            None => text["parameters"] = json!([parameter]),
        }
    }
    case.expect_of(&format!("breaking {line}"), &[operation]);
    Some(())
}
