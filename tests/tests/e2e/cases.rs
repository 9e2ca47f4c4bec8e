//! Tests of the case files in `tests/cases`, through `gwc route` and through gwd. Both must give
//! the same result.

use std::collections::BTreeSet;
use std::path::Path;

use e2e::binaries;
use e2e::cases::{self, Case, Decision, Expected, fits};
use e2e::client::Response;
use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::{Answer, Seen, Upstream};
use e2e::wait;
use serde_json::{Value, json};

macro_rules! features {
    ($($name:ident)*) => {
        const FEATURES: &[&str] = &[$(stringify!($name)),*];
        $(#[test] fn $name() { run(stringify!($name)); })*
    };
}

features! { bound callers calls forwarding guards hosts identities own_verifiers paths plans readings routes routing security threat tokens traffic validation verifiers }

#[test]
fn no_folder_of_cases_is_forgotten() {
    let folders = cases::features(&binaries::workspace().join("tests/cases"));
    let names: Vec<_> = folders
        .iter()
        .map(|folder| folder.file_name().unwrap_or_default().to_string_lossy())
        .collect();
    assert_eq!(names, FEATURES);
}

/// Every kind of policy and verifier that gwd supports must be in the chain of an operation that a
/// case of `tests/cases` requests. The test reads the kinds from the headings of
/// `docs/vocabulary.md` without `(later)`. `stores.rs` tests stores, because they need a server.
#[test]
fn every_kind_that_runs_has_cases() {
    let root = binaries::workspace();
    let page = std::fs::read_to_string(root.join("docs/vocabulary.md")).expect("the page is there");
    let kinds = page.lines().filter_map(|line| {
        let rest = line.strip_prefix("## `kind: ")?;
        rest.strip_suffix('`')
    });
    let kinds: Vec<&str> = kinds.filter(|kind| *kind != "redis").collect();
    assert!(kinds.len() > 25, "{kinds:?}");
    let folders = cases::features(&root.join("tests/cases"));
    let used: BTreeSet<String> = folders
        .iter()
        .flat_map(|folder| requested_kinds(folder))
        .collect();
    let missing: Vec<&&str> = kinds.iter().filter(|kind| !used.contains(**kind)).collect();
    assert!(missing.is_empty(), "no cases: {missing:?}");
}

/// Kinds of the policies and verifiers of the operations that the cases of a folder request.
fn requested_kinds(folder: &Path) -> BTreeSet<String> {
    let (upstream, provider) = (Upstream::start(), Upstream::start());
    let project = project(folder, &upstream, &provider);
    let id = project.build();
    let bundle = project.gwc(&["inspect", &id, "--format", "json"]);
    let bundle = bundle.succeeds().json();
    let cases = cases::of(folder);
    let requested = |key: &Value| {
        let mut keys = cases.iter().filter_map(|case| case.decision.operation());
        keys.any(|requested| *key == requested)
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut kinds = BTreeSet::new();
    for api in list(&bundle["apis"]) {
        let definitions = ["policies", "auth"].map(|key| list(&bundle[key])).concat();
        let definitions = [list(&api["policies"]), definitions].concat();
        for operation in list(&api["operations"]) {
            if !requested(&operation["key"]) {
                continue;
            }
            // A scheme is shown by its content, such as `bearer by VERIFIER, stripped`.
            let schemes = list(&operation["security"]).into_iter();
            let schemes = schemes.flat_map(|one| one.as_object().cloned().unwrap_or_default());
            let verifiers = schemes.filter_map(|(scheme, _)| {
                let (_, verifier) = scheme.rsplit_once(" by ")?;
                Some(Value::from(verifier.split(',').next()?))
            });
            for name in list(&operation["policies"]).into_iter().chain(verifiers) {
                let mut named = definitions.iter();
                let kind = named.find(|one| one["name"] == name);
                kinds.extend(kind.and_then(|one| Some(one["kind"].as_str()?.to_owned())));
            }
            // A `timeout` policy is no link of the chain: gwc compiles it into this setting. Default:
            // 15s.
            if operation["timeout_ms"] != 15_000 {
                kinds.insert("timeout".to_owned());
            }
        }
    }
    kinds
}

fn run(feature: &str) {
    let folder = binaries::workspace().join("tests/cases").join(feature);
    let cases = cases::of(&folder);
    assert!(!cases.is_empty(), "no cases in {feature}");
    let upstream = Upstream::start();
    let provider = Upstream::scripted(provider);
    let project = project(&folder, &upstream, &provider);
    let mut wrong = by_gwc(&project, &cases, &[]);
    project.keygen();
    project.apply();
    let secrets = project.path(SECRETS).display().to_string();
    let gateway = Options::of(&project)
        .arguments(&["--secret-dir", &secrets])
        .start();
    for case in &cases {
        let authority = upstream.address().to_string();
        wrong.extend(by_gwd(
            &gateway,
            std::slice::from_ref(&upstream),
            case,
            &authority,
        ));
    }
    assert!(
        wrong.is_empty(),
        "{}\n{} wrong",
        wrong.join("\n"),
        wrong.len()
    );
    gateway.stops_clean();
}

/// Folder of the secrets in a project. A feature refers to them as `${file:/secrets/NAME}`.
const SECRETS: &str = "secrets";

/// URL in the files of a feature that the test replaces by the URL of [`provider`].
const PROVIDER: &str = "http://127.0.0.9:1";

/// Script of the service that features use besides the upstream. `/check` responds to requests of
/// `forward_auth` according to the user in `X-User`. `/introspect` responds according to the first
/// word of the token (RFC 7662). The service also serves the metadata of an OpenID provider.
fn provider(seen: &Seen) -> Answer {
    let json = |value: Value| Answer {
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        ..Answer::ok(value.to_string())
    };
    let status = |status| Answer {
        status,
        ..Answer::ok("not you")
    };
    let with = |name: &str, value: &str, answer: Answer| Answer {
        headers: vec![(name.to_owned(), value.to_owned())],
        ..answer
    };
    match (seen.target.as_str(), seen.header("x-user")) {
        ("/check", Some("alice")) => with("x-role", "role-of-alice", Answer::ok("")),
        ("/check", Some("carol")) => Answer::ok(""),
        ("/check", Some("mallory" | "alice, mallory")) => status(403),
        ("/introspect", _) => {
            let form = String::from_utf8_lossy(&seen.body).into_owned();
            let token = form.split('&').find_map(|part| part.strip_prefix("token="));
            match token.and_then(|token| token.split('-').next()) {
                Some("good") => json(active("orders")),
                Some("stray") => json(active("invoices")),
                Some("spent") => json(json!({"active": false})),
                _ => status(500),
            }
        }
        ("/.well-known/openid-configuration", _) => {
            let issuer = format!("http://{}", seen.header("host").unwrap_or_default());
            let at = |path: &str| format!("{issuer}/{path}");
            json(json!({
                "issuer": issuer, "authorization_endpoint": at("authorize"),
                "token_endpoint": at("token"), "jwks_uri": at("keys"),
                "response_types_supported": ["code"], "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }))
        }
        ("/keys", _) => json(json!({"keys": []})),
        _ => status(500),
    }
}

/// Introspection response for a token of the consumer `acme` with this audience.
fn active(audience: &str) -> Value {
    json!({
        "active": true, "iss": "https://idp.test", "aud": [audience], "sub": "alice",
        "client_id": "acme", "scope": "read", "token_type": "Bearer",
    })
}

/// Copies the feature's files into a project, and replaces placeholders by values of this test run.
pub(crate) fn project(folder: &Path, upstream: &Upstream, provider: &Upstream) -> Project {
    let project = Project::new();
    for name in ["acme", "idp", "session"] {
        let secret = format!("a secret of {name}, of at least thirty-two bytes");
        project.write(&format!("{SECRETS}/{name}"), secret);
    }
    let secrets = project.path(SECRETS).display().to_string();
    for entry in folder.read_dir().expect("a folder").filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".yaml") || name.ends_with(".json") {
            let text = std::fs::read_to_string(entry.path()).expect("YAML is text");
            let text = text
                .replace("$UPSTREAM", &upstream.url())
                .replace(PROVIDER, &provider.url())
                .replace("file:/secrets/", &format!("file:{secrets}/"));
            project.write(&name, with_hashes(&text));
        }
    }
    project
}

/// Replaces `$SHA256(text)` by the hash of the text.
fn with_hashes(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$SHA256(") {
        let (secret, behind) = after.split_once(')').expect("a closing parenthesis");
        out.push_str(before);
        out.push_str(&e2e::openssl::sha256(secret.as_bytes()));
        rest = behind;
    }
    out + rest
}

/// Runs `gwc route` for each case, with additional `options`. Returns the differences between the
/// expected and the reported results.
pub(crate) fn by_gwc(project: &Project, cases: &[Case], options: &[&str]) -> Vec<String> {
    let selected = cases.iter().filter(|case| case.by_gwc);
    selected
        .filter_map(|case| {
            let mut arguments = case.route_arguments();
            arguments.extend(options.iter().map(|option| (*option).to_owned()));
            let ended = project.gwc(&arguments);
            let explained = ended.succeeds().json();
            let expected = expected_of_gwc(case);
            let actual = (
                explained["decision"].as_str().unwrap_or_default().to_owned(),
                explained["operation"]["key"].as_str().map(str::to_owned),
                explained["status"].as_u64(),
                explained["reason"].as_str().map(str::to_owned),
            );
            let allow = case.response.iter().find_map(|expected| match expected {
                Expected::Field(name, value) if name == "allow" => Some(value.as_str()),
                _ => None,
            });
            let upstream = mistakes_of_upstream(case, &explained);
            (actual != expected || allow.is_some() && explained["allow"].as_str() != allow || !upstream.is_empty()).then(|| {
                format!(
                    "{} {}: gwc route says {actual:?}, allow {}, expected {expected:?}, {allow:?} {upstream:?}",
                    case.place, case.title, explained["allow"]
                )
            })
        })
        .collect()
}

fn expected_of_gwc(case: &Case) -> (String, Option<String>, Option<u64>, Option<String>) {
    let text = str::to_owned;
    match &case.decision {
        Decision::Forward(key) => (text("forward"), Some(key.clone()), None, None),
        Decision::Respond(status, key) => (
            text("respond"),
            Some(key.clone()),
            Some(u64::from(*status)),
            None,
        ),
        Decision::Reject(status, reason, key) => (
            // Every operation with this path and method has a condition that fails, so no
            // operation matches.
            text(match (*status, key) {
                (404, None) => "none",
                (404, Some(_)) if reason == "no_condition_matched" => "none",
                _ => "reject",
            }),
            key.clone(),
            Some(u64::from(*status)),
            Some(reason.clone()),
        ),
        Decision::None => (text("none"), None, Some(404), Some(text("no_route"))),
    }
}

/// Compares the upstream request that gwc predicts with the head that the case expects from gwd.
/// Returns the differences.
fn mistakes_of_upstream(case: &Case, explained: &Value) -> Vec<String> {
    let request = &explained["upstream"]["request"];
    let field = |name: &str| request["headers"][name].as_str();
    case.upstream
        .iter()
        .filter_map(|expected| match expected {
            Expected::First(first) => {
                let actual = format!(
                    "{} {}",
                    request["method"].as_str().unwrap_or_default(),
                    request["path"].as_str().unwrap_or_default()
                );
                // A case with several upstream requests also expects copies or repetitions. gwc
                // does not predict these requests.
                let is_other = case.requests.is_some_and(|count| count > 1)
                    && case.upstream.contains(&Expected::First(actual.clone()));
                (actual != *first && !is_other)
                    .then(|| format!("upstream gets {actual}, not {first}"))
            }
            Expected::NoField(name) => {
                field(name).map(|value| format!("upstream gets {name}: {value}"))
            }
            // Values that identify a caller are hidden, and a list field is shown with its last
            // line only.
            Expected::Field(name, value) => match field(name) {
                Some(actual) => {
                    (actual != "(hidden)" && !value.ends_with(actual) && !value.starts_with('$'))
                        .then(|| format!("upstream gets {name}: {actual}, not {value}"))
                }
                None => Some(format!("upstream does not get {name}")),
            },
            Expected::Body(_) => None,
        })
        .collect()
}

/// Sends the request of a case to gwd and returns the differences from the expected outcome.
pub(crate) fn by_gwd(
    gateway: &Gateway,
    upstreams: &[Upstream],
    case: &Case,
    authority: &str,
) -> Vec<String> {
    let taken = || {
        upstreams
            .iter()
            .flat_map(Upstream::take)
            .collect::<Vec<_>>()
    };
    let _earlier = taken();
    let ask = || {
        let mut connection = gateway.connect();
        // Ignore errors: gwd may respond and close the connection before the whole request is sent.
        let _sent = connection.send(&case.bytes());
        connection.read_response(case.method == "HEAD")
    };
    let answered = wait::until("a compiled validator", || match ask() {
        // gwd waits 20ms for a validator. On a busy machine, compiling the validator may take
        // longer. A response to HEAD has no body that names the reason.
        Ok(response)
            if response.text().contains("\"validator_unavailable\"")
                || response.status == 503 && case.method == "HEAD" && case.status() != 503 =>
        {
            let _checked_again = taken();
            None
        }
        answered => Some(answered),
    });
    let response = match answered {
        Ok(response) => response,
        Err(error) => return vec![format!("{} {}: {error}", case.place, case.title)],
    };
    let mut wrong = mistakes_of_response(case, &response);
    let forwarded = matches!(case.decision, Decision::Forward(_));
    let mut seen = taken();
    let is_seen = wait::within(wait::WAIT_MAX, || {
        // The copy for a mirror may arrive after the response.
        seen.extend(taken());
        (seen.len() >= case.requests.unwrap_or(0)).then_some(())
    });
    let is_counted = match case.requests {
        Some(count) => is_seen.is_some() && seen.len() == count,
        // An unreachable upstream receives no request. The same holds for an upstream whose request
        // is cut off.
        None => case.status() >= 500 || seen.len() == usize::from(forwarded),
    };
    if !is_counted {
        wrong.push(format!("the upstream saw {} requests", seen.len()));
    }
    for expected in &case.upstream {
        let mut mistakes = seen
            .iter()
            .map(|seen| mistake_of_seen(expected, seen, authority));
        wrong.extend(match expected {
            Expected::NoField(_) => mistakes.find_map(|mistake| mistake),
            _ if mistakes.any(|mistake| mistake.is_none()) => None,
            _ => seen
                .first()
                .and_then(|seen| mistake_of_seen(expected, seen, authority)),
        });
    }
    wrong.extend(mistake_of_log(gateway, case, &response));
    wrong
        .into_iter()
        .map(|what| format!("{} {}: {what}", case.place, case.title))
        .collect()
}

fn mistakes_of_response(case: &Case, response: &Response) -> Vec<String> {
    let mut wrong = Vec::new();
    if response.status != case.status() {
        wrong.push(format!(
            "status {} instead of {}: {}",
            response.status,
            case.status(),
            response.text()
        ));
    }
    if let Decision::Reject(_, reason, _) = &case.decision
        && case.method != "HEAD"
        && response.json()["code"] != reason.as_str()
    {
        wrong.push(format!("not refused as {reason}: {}", response.text()));
    }
    for expected in &case.response {
        let fields = |name: &str| response.head.all(name).collect::<Vec<_>>().join(", ");
        wrong.extend(match expected {
            Expected::First(_) => None,
            Expected::Field(name, value) => (!fits(value, &fields(name)))
                .then(|| format!("response has {name}: {:?}, not {value:?}", fields(name))),
            Expected::NoField(name) => response
                .header(name)
                .map(|value| format!("response has {name}: {value}")),
            Expected::Body(part) => (!response.text().contains(part.as_str()))
                .then(|| format!("no {part:?} in {:?}", response.text())),
        });
    }
    wrong
}

fn mistake_of_seen(expected: &Expected, seen: &Seen, authority: &str) -> Option<String> {
    let fields = |name: &str| seen.head.all(name).collect::<Vec<_>>().join(", ");
    match expected {
        Expected::First(first) => {
            let actual = format!("{} {}", seen.method, seen.target);
            (actual != *first).then(|| format!("the upstream saw {actual}, not {first}"))
        }
        Expected::Field(name, value) => {
            let value = value.replace("$AUTHORITY", authority);
            (fields(name) != value)
                .then(|| format!("the upstream saw {name}: {:?}, not {value:?}", fields(name)))
        }
        Expected::NoField(name) => seen
            .header(name)
            .map(|value| format!("the upstream saw {name}: {value}")),
        Expected::Body(part) => {
            let body = String::from_utf8_lossy(&seen.body).into_owned();
            (!body.contains(part.as_str())).then(|| format!("the upstream saw the body {body:?}"))
        }
    }
}

/// Checks that the access log names the operation and the reason of a refusal.
fn mistake_of_log(gateway: &Gateway, case: &Case, response: &Response) -> Option<String> {
    let Some(id) = response.header("x-request-id") else {
        return Some("the response has no x-request-id".to_owned());
    };
    let line = gateway.access_log().line(id);
    let (key, reason) = match &case.decision {
        Decision::Forward(key) => (Some(key), None),
        Decision::Respond(_, key) => (Some(key), None),
        Decision::Reject(_, reason, key) => (key.as_ref(), Some(reason.as_str())),
        Decision::None => (None, Some("no_route")),
    };
    let logged = line["operation_id"].as_str();
    let reason_wrong = reason.is_some() && line["reason"].as_str() != reason;
    (logged != key.map(String::as_str) || reason_wrong || line["status"] != case.status())
        .then(|| format!("logged as {line}"))
}
