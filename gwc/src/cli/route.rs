//! `gwc route`: which operation owns a request, and what happens to it.

use std::net::IpAddr;
use std::path::PathBuf;

use bundle::ir::Gateway;
use engine::forward::{self, Origin};
use engine::router::ApiRouter;
use engine::{ChainStep, Decided, Verdict};
use policy::Cx;
use serde_json::{Value, json};

use super::limits::LimitOptions;
use super::say::{self, Context, Format};
use crate::ask::{Oracle, Question};
use crate::exit::{Exit, Failure};
use crate::plan::Side;
use crate::release::{self, Place};
use crate::source_map::{FieldSource, SourceMap};

const EXAMPLES: &str = "\
Examples:
  gwc route GET http://api.example.org/orders/7
  gwc route POST /orders -H 'X-Key: secret' --format json
  gwc route GET /orders --bundle 3f2a9c81";

/// What the command line says.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The method
    method: String,
    /// A URL, or a path where the host does not matter
    url: String,
    /// A request field; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Who sends it
    #[arg(long, default_value = "203.0.113.1", value_name = "ADDRESS")]
    peer: IpAddr,
    /// The listener that gets it; the first where nothing is said
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Ask a bundle of the store instead of the sources
    #[arg(long, value_name = "ID")]
    bundle: Option<String>,
    /// The store, instead of `release.store`
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// How the answer is written
    #[arg(long, default_value = "human")]
    format: Format,
    #[command(flatten)]
    pub(super) limits: LimitOptions,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let side = side(args, context)?;
    let oracle =
        Oracle::build(&side.lowered.gateway, &side.bundle.to_string()).map_err(|error| {
            Failure::new(
                Exit::BUG,
                "bug",
                format!("what compiles must build, but: {error}"),
            )
        })?;
    let question = question(args, &oracle)?;
    let answer = answer(&side, &oracle, &question);
    match args.format {
        Format::Json => say::json(&answer),
        Format::Human => say::result(&human(&answer)),
    }
    Ok(Exit::OK)
}

fn side(args: &Args, context: &Context) -> anyhow::Result<Side> {
    let Some(id) = &args.bundle else {
        return super::side::side_of(context.compile()?);
    };
    let place = Place::read(
        context.sought(&context.root()?),
        args.store.as_deref(),
        None,
    )?;
    let store = place.open()?;
    let id = release::resolve_id(&store, id)?;
    let source = release::source_of(&store, &id)?;
    let (lowered, source) = release::side(&store, id, source)?;
    Ok(Side {
        bundle: id,
        lowered,
        source,
    })
}

fn question(args: &Args, oracle: &Oracle) -> anyhow::Result<Question> {
    let wrong = |what: String| Failure::usage(what);
    let listeners = oracle.snapshot().listeners();
    let listener = match &args.listener {
        None => 0,
        Some(name) => listeners
            .iter()
            .position(|listener| *listener.name == **name)
            .ok_or_else(|| {
                wrong(format!(
                    "there is no listener `{name}`: {}",
                    diag::suggest::one_of(listeners.iter().map(|listener| &*listener.name), 8)
                ))
            })?,
    };
    let method = http::Method::from_bytes(args.method.as_bytes())
        .map_err(|_| wrong(format!("`{}` is not a method", args.method)))?;
    let url: http::Uri = args
        .url
        .parse()
        .ok()
        .filter(|url: &http::Uri| url.scheme().is_some() || args.url.starts_with('/'))
        .ok_or_else(|| {
            wrong(format!(
                "`{}` is neither a URL (http://HOST/PATH) nor a path (/PATH)",
                args.url
            ))
        })?;
    let host = url
        .authority()
        .map_or("gateway", |authority| authority.as_str())
        .to_owned();
    let target = url
        .path_and_query()
        .map_or("/", |target| target.as_str())
        .to_owned();
    let mut request = http::Request::builder().method(method).uri(target);
    let mut has_host = false;
    for header in &args.header {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| wrong(format!("`-H {header}`: write NAME: VALUE")))?;
        has_host |= name.eq_ignore_ascii_case("host");
        request = request.header(name.trim(), value.trim());
    }
    if !has_host {
        request = request.header("host", host);
    }
    let request = request
        .body(())
        .map_err(|error| wrong(format!("this is not a request: {error}")))?;
    Ok(Question {
        listener,
        request: request.into_parts().0,
        peer: args.peer,
        unix_s: release::now().unix_s(),
    })
}

/// `route/v1`.
fn answer(side: &Side, oracle: &Oracle, question: &Question) -> Value {
    let said = oracle.ask(question, |decided, admitted, cx| {
        let origin = Origin {
            peer: question.peer,
            authority: admitted.authority.clone(),
            request_id: http::HeaderValue::from_static("0"),
        };
        let head = admitted.head;
        let candidates = candidates(oracle, question, &head, decided);
        decision(side, oracle, decided, head, &origin, cx, &candidates)
    });
    let rest = match said {
        Ok(rest) => rest,
        Err(reject) => {
            json!({"decision": "reject", "status": reject.status, "reason": reject.code, "operation": null,
                              "candidates": [], "chain": [], "upstream": null, "effective": []})
        }
    };
    let mut document = say::document("route/v1", "ok", rest);
    document["bundle"] = side.bundle.to_string().into();
    document
}

fn decision(
    side: &Side,
    oracle: &Oracle,
    decided: &Decided<'_>,
    mut head: policy::RequestHead,
    origin: &Origin,
    cx: &Cx<'_>,
    candidates: &[Value],
) -> Value {
    let (decision, status, reason) = match (&decided.verdict, &decided.route) {
        (Verdict::Reject(refusal), None) if refusal.reject.status == 404 => {
            ("none", Some(404), Some(refusal.reject.code))
        }
        (Verdict::Reject(refusal), _) => (
            "reject",
            Some(refusal.reject.status),
            Some(refusal.reject.code),
        ),
        (Verdict::Reply(reply), _) => ("respond", Some(reply.status.as_u16()), None),
        (Verdict::Forward, _) => ("forward", None, None),
    };
    let allow = match &decided.verdict {
        Verdict::Reject(refusal) => refusal
            .allow
            .as_ref()
            .and_then(|allow| allow.to_str().ok())
            .map(str::to_owned),
        Verdict::Forward | Verdict::Reply(_) => None,
    };
    let Some(route) = &decided.route else {
        return json!({"decision": decision, "status": status, "reason": reason, "allow": allow, "operation": null,
                      "candidates": candidates, "chain": [], "upstream": null, "effective": []});
    };
    let chain: Vec<Value> = route
        .treatment
        .chain
        .iter()
        .enumerate()
        .map(|(index, step)| {
            let (name, phase) = match step {
                ChainStep::Authenticate => ("authenticate", "authenticate"),
                ChainStep::Filter(name, _) => {
                    (&**name, phase_of(&side.lowered.gateway, route.api, name))
                }
            };
            let outcome = match (index + 1).cmp(&decided.ran) {
                std::cmp::Ordering::Less => "continue",
                std::cmp::Ordering::Greater => "not run",
                std::cmp::Ordering::Equal => match &decided.verdict {
                    Verdict::Forward => "continue",
                    Verdict::Reply(_) => "reply",
                    Verdict::Reject(refusal) => refusal.reject.code,
                },
            };
            json!({"policy": name, "phase": phase, "outcome": outcome})
        })
        .collect();
    let service = &oracle.snapshot().upstreams()[route.treatment.upstream as usize];
    let upstream = match (
        &decided.verdict,
        service.targets.iter().find(|target| target.weight > 0),
    ) {
        (Verdict::Forward, Some(target)) => {
            forward::prepare(&mut head, route, service, target, origin, cx);
            let headers: serde_json::Map<String, Value> = head
                .headers
                .iter()
                .filter(|(name, _)| *name != "x-request-id")
                .map(|(name, value)| {
                    let secret =
                        value.is_sensitive() || matches!(name.as_str(), "authorization" | "cookie");
                    (
                        name.to_string(),
                        if secret {
                            "(hidden)".into()
                        } else {
                            String::from_utf8_lossy(value.as_bytes())
                                .into_owned()
                                .into()
                        },
                    )
                })
                .collect();
            json!({"name": service.name, "request": {"method": head.method.as_str(), "path": head.target.as_str(), "headers": headers}})
        }
        _ => Value::Null,
    };
    let operation = json!({
        "key": route.operation.key,
        "id": route.operation.key.strip_prefix(&format!("{}/", route.api)),
        "method": route.operation.method,
        "path": format!("{}{}", route.mount.base_path, route.operation.template),
        "mount": &*route.mount.name,
        "api": route.api,
    });
    json!({
        "decision": decision,
        "status": status,
        "reason": reason,
        "operation": operation,
        "owner": side.source.as_ref().and_then(|source| source.operations.get(&route.operation.key)?.owner.clone()),
        "consumer": cx.principal.map(|principal| principal.consumer),
        "candidates": candidates,
        "chain": chain,
        "upstream": upstream,
        "effective": effective(side, route),
    })
}

/// Every operation whose template matches, and why it lost.
fn candidates(
    oracle: &Oracle,
    question: &Question,
    head: &policy::RequestHead,
    decided: &Decided<'_>,
) -> Vec<Value> {
    let winner = decided.route.map(|route| route.id);
    let mut candidates = Vec::new();
    for (mount, router, below) in oracle.snapshot().matching(question.listener, head) {
        let router: &ApiRouter = router;
        router.matching(below, &mut |seen| {
            let id = format!("{}@{}", seen.operation.key, mount.name);
            if winner == Some(id.as_str()) {
                return;
            }
            let lost = if *seen.method != head.method && !(head.method == http::Method::HEAD && *seen.method == http::Method::GET) {
                format!("its method is {}", seen.method)
            } else if winner.is_none() {
                "its conditions do not hold".to_owned()
            } else {
                "another template, priority or condition is greater".to_owned()
            };
            candidates.push(json!({
                "operation": {"key": seen.operation.key, "method": seen.operation.method, "path": format!("{}{}", mount.base_path, seen.operation.template), "mount": &*mount.name},
                "lost": lost,
            }));
        });
    }
    candidates
}

fn phase_of(gateway: &Gateway, api: &str, name: &str) -> &'static str {
    let own = gateway.apis.get(api).and_then(|api| api.policies.get(name));
    let policy = own.or_else(|| gateway.shared.policies.get(name));
    policy
        .and_then(|policy| policy.checked.phase())
        .map_or("parameter", policy::Phase::name)
}

/// Each value in force, with the place that set it.
fn effective(side: &Side, route: &engine::RouteRef<'_>) -> Vec<Value> {
    let written = side
        .source
        .as_ref()
        .and_then(|source: &SourceMap| source.operations.get(&route.operation.key));
    let upstream = side
        .lowered
        .gateway
        .apis
        .get(route.api)
        .map(|api| &api.treatments[route.operation.treatment as usize]);
    let Some(treatment) = upstream else {
        return Vec::new();
    };
    let values = [
        (
            "security",
            crate::plan::security::describe(&treatment.security),
        ),
        ("upstream", treatment.upstream.clone()),
        ("timeout", format!("{}ms", treatment.timeout_ms)),
        (
            "max_body",
            treatment
                .max_body_bytes
                .map_or("no limit".into(), |bytes| format!("{bytes}B")),
        ),
    ];
    values
        .into_iter()
        .map(|(field, value)| {
            let (source, overrides) = match written
                .and_then(|written| side.source.as_ref()?.field(written, field))
            {
                Some(FieldSource::Written { place, overrides }) => (json!(place), json!(overrides)),
                Some(FieldSource::Default { default }) => (json!({"default": default}), json!([])),
                None => (Value::Null, json!([])),
            };
            json!({"field": field, "value": value, "source": source, "overrides": overrides})
        })
        .collect()
}

fn human(answer: &Value) -> String {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let mut out = String::new();
    let operation = &answer["operation"];
    match answer["decision"].as_str().unwrap_or_default() {
        "none" => out.push_str(&format!(
            "nobody owns this request: 404 {}\n",
            text(&answer["reason"])
        )),
        decision => {
            if !operation.is_null() {
                out.push_str(&format!(
                    "{} {} ({}, mount {})\n",
                    text(&operation["method"]),
                    text(&operation["path"]),
                    text(&operation["key"]),
                    text(&operation["mount"])
                ));
            }
            match decision {
                "forward" => out.push_str(&format!(
                    "→ forwarded to `{}` as {} {}\n",
                    text(&answer["upstream"]["name"]),
                    text(&answer["upstream"]["request"]["method"]),
                    text(&answer["upstream"]["request"]["path"])
                )),
                "respond" => out.push_str(&format!(
                    "→ answered by the gateway: {}\n",
                    answer["status"]
                )),
                _ => out.push_str(&format!(
                    "→ refused: {} {}\n",
                    answer["status"],
                    text(&answer["reason"])
                )),
            }
            if let Some(allow) = answer["allow"].as_str() {
                out.push_str(&format!("  Allow: {allow}\n"));
            }
        }
    }
    if let Some(owner) = answer["owner"].as_str() {
        out.push_str(&format!("owner: {owner}\n"));
    }
    if let Some(consumer) = answer["consumer"].as_str() {
        out.push_str(&format!("consumer: {consumer}\n"));
    }
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    if !list("chain").is_empty() {
        out.push_str("\nchain\n");
    }
    for step in list("chain") {
        out.push_str(&format!(
            "  {:<13} {:<24} {}\n",
            text(&step["phase"]),
            text(&step["policy"]),
            text(&step["outcome"])
        ));
    }
    if !list("effective").is_empty() {
        out.push_str("\nin force\n");
    }
    for field in list("effective") {
        let source = &field["source"];
        let place = match (source["file"].as_str(), source["default"].as_str()) {
            (Some(file), _) => format!("{file}:{}:{}", source["line"], source["column"]),
            (None, Some(default)) => format!("built-in default `{default}`"),
            (None, None) => "unknown place".into(),
        };
        out.push_str(&format!(
            "  {:<9} {}  ({place})\n",
            text(&field["field"]),
            text(&field["value"])
        ));
    }
    if !list("candidates").is_empty() {
        out.push_str("\nlost\n");
    }
    for candidate in list("candidates") {
        let operation = &candidate["operation"];
        out.push_str(&format!(
            "  {} {} ({}): {}\n",
            text(&operation["method"]),
            text(&operation["path"]),
            text(&operation["key"]),
            text(&candidate["lost"])
        ));
    }
    crate::output::printable_lines(&out)
}
