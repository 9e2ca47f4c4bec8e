//! Command `gwc inspect`: shows the content of a bundle.

use std::fmt::Write as _;

use bundle::digest::Digest;
use bundle::ir;
use bundle::statement::claimed_role;
use bundle::statement::predicate::Role;
use bundle::statement::stored;
use bundle::store::Store;
use bundle::trust::Trust;
use bundle::verify::Unverified;
use diag::text::printable;
use serde_json::{Value, json};

use super::options::{FormatOption, StoreOptions};
use super::say::{self, Context, Format};
use super::target::Target;
use crate::release;
use model::exit::Exit;
use model::lower::Lowered;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc inspect 3f9a2c
  gwc inspect shop.tar --format json")]
pub(super) struct Args {
    /// A bundle's id, the beginning of it, or a one-file bundle
    target: String,
    #[command(flatten)]
    at: StoreOptions,
    #[command(flatten)]
    format: FormatOption,
}

impl super::Arguments for Args {}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let target = Target::find(&args.target, &args.at, context)?;
    let (store, id) = (target.store(), target.bundle);
    let unverified = Unverified::open(store, id)?;
    let lowered = crate::assemble::disassemble(&unverified.load_full(store)?)?;
    let root = context.root().unwrap_or_else(|_| ".".into());
    let trust = release::trust(&root, args.at.trust.as_deref())?;
    let document = document(
        id,
        &unverified,
        &lowered,
        &statements(store, id, trust.as_ref())?,
    );
    match args.format.format {
        Format::Json => say::json(&say::document("inspect/v1", "ok", document)),
        Format::Human => say::result(&human(&document)),
    }
    Ok(Exit::OK)
}

fn document(id: Digest, unverified: &Unverified, lowered: &Lowered, statements: &[Value]) -> Value {
    let config = unverified.config();
    let shared = &lowered.gateway.shared;
    let apis: Vec<Value> = lowered.gateway.apis.iter().map(api).collect();
    let layers: Vec<Value> = unverified
        .layers()
        .iter()
        .map(|layer| json!({"media_type": layer.media_type, "digest": layer.digest, "size": layer.size}))
        .collect();
    json!({
        "bundle": id, "project": config.project, "format": config.format,
        "needs": config.needs, "counts": config.counts,
        "listeners": shared.listeners.iter().map(|listener| json!({"name": listener.name, "address": listener.address})).collect::<Vec<_>>(),
        "upstreams": shared.upstreams.iter().map(upstream).collect::<Vec<_>>(),
        "auth": shared.auth.iter().map(|auth| json!({"name": auth.name, "kind": auth.checked.kind()})).collect::<Vec<_>>(),
        "policies": shared.policies.iter().map(policy).collect::<Vec<_>>(),
        "consumers": shared.consumers.iter().map(consumer).collect::<Vec<_>>(),
        "apis": apis, "layers": layers, "statements": statements,
    })
}

/// Consumer as JSON: name, number of credentials, and metadata.
fn consumer(consumer: &ir::Consumer) -> Value {
    let hashed = consumer.keys.len() + consumer.basic.len();
    let credentials = hashed + consumer.certificates.len() + consumer.tokens.len();
    let mut shown = json!({"name": consumer.name, "credentials": credentials});
    if !consumer.metadata.is_empty() {
        let notes = consumer.metadata.iter();
        let notes = notes.filter_map(|note| {
            let text = consumer.metadata.text(&[note.path.first()?])?;
            Some((note.path.first()?.clone(), Value::from(text)))
        });
        shown["metadata"] = Value::Object(notes.collect());
    }
    shown
}

fn policy(policy: &ir::Policy) -> Value {
    json!({"name": policy.name, "kind": policy.checked.kind()})
}

fn upstream(upstream: &ir::Upstream) -> Value {
    let targets: Vec<Value> = upstream
        .targets
        .iter()
        .map(|target| json!({"name": target.name, "url": target.url(), "weight": target.weight}))
        .collect();
    match &upstream.discovery {
        None => json!({"name": upstream.name, "targets": targets}),
        Some(ir::Discovery::Dns(ir::Dns {
            name,
            port,
            refresh_ms,
        })) => {
            let dns = json!({"name": name, "port": port, "refresh_ms": refresh_ms});
            json!({"name": upstream.name, "targets": targets, "dns": dns})
        }
        Some(ir::Discovery::File(ir::HostFile { path })) => {
            let file = json!({"path": path});
            json!({"name": upstream.name, "targets": targets, "file": file})
        }
    }
}

fn api(api: &ir::Api) -> Value {
    let mounts: Vec<Value> = api
        .mounts
        .iter()
        .map(|mount| {
            json!({"name": mount.name, "hosts": mount.hosts, "base_path": mount.base_path, "listeners": mount.listeners})
        })
        .collect();
    let operations: Vec<Value> = api
        .operations
        .iter()
        .map(|operation| {
            let treatment = usize::try_from(operation.treatment)
                .ok()
                .and_then(|index| api.treatments.get(index));
            json!({
                "key": operation.key, "method": operation.method, "path": operation.template.to_string(),
                "security": treatment.map(|treatment| security(&treatment.security)),
                "anyone": treatment.is_some_and(|treatment| treatment.security.admits_anyone()),
                "policies": treatment.map(|treatment| treatment.chain.iter().map(link).collect::<Vec<_>>()),
                "upstream": treatment.map(|treatment| &treatment.upstream),
                "timeout_ms": treatment.map(|treatment| treatment.timeout_ms),
                "max_body_bytes": treatment.and_then(|treatment| treatment.max_body_bytes),
            })
        })
        .collect();
    json!({"name": api.name, "mounts": mounts, "policies": api.policies.iter().map(policy).collect::<Vec<_>>(),
           "operations": operations})
}

/// Security requirement in the notation of OpenAPI.
fn security(security: &ir::Security) -> Value {
    let alternatives = security.0.iter().map(|alternative| {
        let uses = alternative.0.iter();
        Value::Object(
            uses.map(|one| {
                let names: Vec<&String> = one.scopes.iter().chain(&one.roles).collect();
                (one.scheme.clone(), json!(names))
            })
            .collect(),
        )
    });
    alternatives.collect()
}

fn link(link: &ir::Link) -> String {
    match link {
        ir::Link::Authenticate => "(authenticate)".to_owned(),
        ir::Link::Shared(name) | ir::Link::Own(name) => name.clone(),
    }
}

/// Statements about a bundle: roles, signing keys, and owners of the keys from the trust file.
/// Signatures are not verified here; use `gwc verify`.
fn statements(store: &dyn Store, id: Digest, trust: Option<&Trust>) -> anyhow::Result<Vec<Value>> {
    let mut found = Vec::new();
    for digest in store.referrers(&id)? {
        let Ok(envelope) = stored::open(store, &digest) else {
            continue;
        };
        let role = claimed_role(envelope.payload()).ok().flatten();
        let signatures: Vec<Value> = envelope
            .signatures()
            .iter()
            .map(|signature| {
                let owner = trust.and_then(|trust| trust.key(&signature.keyid));
                json!({"keyid": signature.keyid, "owner": owner.map(|key| &key.owner)})
            })
            .collect();
        found.push(
            json!({"statement": digest, "role": role.map(Role::as_str), "signatures": signatures}),
        );
    }
    Ok(found)
}

fn human(document: &Value) -> String {
    let text = |value: &Value| printable(value.as_str().unwrap_or_default());
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let names = |value: &Value| {
        let names: Vec<String> = list(value).iter().map(text).collect();
        names.join(", ")
    };
    let mut page = format!(
        "bundle    {}\nproject   {}\nneeds     {}\n",
        text(&document["bundle"]),
        text(&document["project"]),
        match names(&document["needs"]) {
            needs if needs.is_empty() => "nothing special".to_owned(),
            needs => needs,
        }
    );
    for listener in list(&document["listeners"]) {
        let _ = writeln!(
            page,
            "listener  {} {}",
            text(&listener["name"]),
            text(&listener["address"])
        );
    }
    for upstream in list(&document["upstreams"]) {
        let urls: Vec<String> = list(&upstream["targets"])
            .iter()
            .map(|target| text(&target["url"]))
            .collect();
        let _ = writeln!(
            page,
            "upstream  {} {}",
            text(&upstream["name"]),
            urls.join(", ")
        );
    }
    for (kind, field) in [("verifier", "auth"), ("policy", "policies")] {
        for one in list(&document[field]) {
            let _ = writeln!(
                page,
                "{kind:<9} {} ({})",
                text(&one["name"]),
                text(&one["kind"])
            );
        }
    }
    for consumer in list(&document["consumers"]) {
        let _ = writeln!(
            page,
            "consumer  {} ({} credentials)",
            text(&consumer["name"]),
            consumer["credentials"]
        );
        let notes = consumer["metadata"].as_object();
        for (name, note) in notes.into_iter().flatten() {
            let _ = writeln!(page, "          {}: {}", printable(name), text(note));
        }
    }
    for api in list(&document["apis"]) {
        let mounts: Vec<String> = list(&api["mounts"])
            .iter()
            .map(|mount| {
                let hosts = names(&mount["hosts"]);
                let hosts = if hosts.is_empty() {
                    "any host".to_owned()
                } else {
                    hosts
                };
                format!("{hosts} {}/", text(&mount["base_path"]))
            })
            .collect();
        let _ = writeln!(
            page,
            "\napi {}   at {}",
            text(&api["name"]),
            mounts.join("; ")
        );
        for operation in list(&api["operations"]) {
            let who = if operation["anyone"] == true {
                "anyone".to_owned()
            } else {
                let alternatives: Vec<String> = list(&operation["security"])
                    .iter()
                    .map(|one| {
                        let schemes = one.as_object().into_iter().flat_map(|one| one.keys());
                        let schemes = schemes.map(|name| printable(name));
                        schemes.collect::<Vec<_>>().join(" and ")
                    })
                    .collect();
                alternatives.join(" or ")
            };
            let _ = writeln!(
                page,
                "  {:<7} {:<40} {} | {} | -> {}",
                text(&operation["method"]),
                text(&operation["path"]),
                who,
                names(&operation["policies"]),
                text(&operation["upstream"])
            );
        }
    }
    page.push('\n');
    for layer in list(&document["layers"]) {
        let _ = writeln!(
            page,
            "{} {:>9} bytes  {}",
            super::movement::short(&text(&layer["digest"])),
            layer["size"],
            text(&layer["media_type"])
        );
    }
    for statement in list(&document["statements"]) {
        let by: Vec<String> = list(&statement["signatures"]).iter().map(signer).collect();
        let _ = writeln!(
            page,
            "{} {} statement, signed by {} (not verified here; use `gwc verify`)",
            super::movement::short(&text(&statement["statement"])),
            statement["role"].as_str().unwrap_or("unknown"),
            by.join(", ")
        );
    }
    page
}

/// Owner of the key of a signature, or the beginning of the key's id.
fn signer(signature: &Value) -> String {
    let keyid = || signature["keyid"].as_str().unwrap_or_default();
    match signature["owner"].as_str() {
        Some(owner) => printable(owner),
        None => printable(&keyid().chars().take(12).collect::<String>()),
    }
}
