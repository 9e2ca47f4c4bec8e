//! The case files of `tests/cases`, through `gwc route` and through gwd. Both must give the same
//! result.

use std::path::Path;

use e2e::binaries;
use e2e::cases::{self, Case, Decision, Expected};
use e2e::client::Response;
use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::{Seen, Upstream};
use e2e::wait;
use serde_json::Value;

macro_rules! features {
    ($($name:ident)*) => {
        const FEATURES: &[&str] = &[$(stringify!($name)),*];
        $(#[test] fn $name() { run(stringify!($name)); })*
    };
}

features! { bound callers forwarding guards hosts identities own_verifiers paths plans readings routes routing security threat tokens traffic validation }

#[test]
fn no_folder_of_cases_is_forgotten() {
    let folders = cases::features(&binaries::workspace().join("tests/cases"));
    let names: Vec<_> = folders
        .iter()
        .map(|folder| folder.file_name().unwrap_or_default().to_string_lossy())
        .collect();
    assert_eq!(names, FEATURES);
}

fn run(feature: &str) {
    let folder = binaries::workspace().join("tests/cases").join(feature);
    let cases = cases::of(&folder);
    assert!(!cases.is_empty(), "no cases in {feature}");
    let upstream = Upstream::start();
    let project = project(&folder, &upstream);
    let mut wrong = by_gwc(&project, &cases, &[]);
    project.keygen();
    project.apply();
    let gateway = Options::of(&project).start();
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

/// Copies the feature's files to a project, and fills in values that only the test knows.
pub(crate) fn project(folder: &Path, upstream: &Upstream) -> Project {
    let project = Project::new();
    for entry in folder.read_dir().expect("a folder").filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".yaml") || name.ends_with(".json") {
            let text = std::fs::read_to_string(entry.path()).expect("YAML is text");
            let text = text.replace("$UPSTREAM", &upstream.url());
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

/// Differences between the cases and the answers of `gwc route`. `options` are added to each call.
pub(crate) fn by_gwc(project: &Project, cases: &[Case], options: &[&str]) -> Vec<String> {
    let asked = cases.iter().filter(|case| case.by_gwc);
    asked
        .filter_map(|case| {
            let mut arguments = case.route_arguments();
            arguments.extend(options.iter().map(|option| (*option).to_owned()));
            let ended = project.gwc(&arguments);
            let said = ended.succeeds().json();
            let expected = expected_of_gwc(case);
            let actual = (
                said["decision"].as_str().unwrap_or_default().to_owned(),
                said["operation"]["key"].as_str().map(str::to_owned),
                said["status"].as_u64(),
                said["reason"].as_str().map(str::to_owned),
            );
            let allow = case.response.iter().find_map(|expected| match expected {
                Expected::Field(name, value) if name == "allow" => Some(value.as_str()),
                _ => None,
            });
            let upstream = mistakes_of_upstream(case, &said);
            (actual != expected || allow.is_some() && said["allow"].as_str() != allow || !upstream.is_empty()).then(|| {
                format!(
                    "{} {}: gwc route says {actual:?}, allow {}, expected {expected:?}, {allow:?} {upstream:?}",
                    case.place, case.title, said["allow"]
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
            // Every operation that could own the request has a condition that fails, so no
            // operation owns it.
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

/// Differences between the head that gwc predicts for the upstream and the expected head, which gwd
/// must send.
fn mistakes_of_upstream(case: &Case, said: &Value) -> Vec<String> {
    let request = &said["upstream"]["request"];
    let field = |name: &str| request["headers"][name].as_str();
    case.upstream
        .iter()
        .filter_map(|expected| match expected {
            Expected::First(first) => {
                let told = format!(
                    "{} {}",
                    request["method"].as_str().unwrap_or_default(),
                    request["path"].as_str().unwrap_or_default()
                );
                (told != *first).then(|| format!("upstream gets {told}, not {first}"))
            }
            Expected::NoField(name) => {
                field(name).map(|value| format!("upstream gets {name}: {value}"))
            }
            // Values that identify a caller are hidden, and list fields are shown by their last
            // line.
            Expected::Field(name, value) => match field(name) {
                Some(told) => {
                    (told != "(hidden)" && !value.ends_with(told) && !value.starts_with('$'))
                        .then(|| format!("upstream gets {name}: {told}, not {value}"))
                }
                None => Some(format!("upstream does not get {name}")),
            },
            Expected::Body(_) => None,
        })
        .collect()
}

/// Differences between a case and the behaviour of gwd.
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
        // gwd waits 20ms for a validator, which a busy machine may exceed.
        Ok(response) if response.text().contains("\"validator_unavailable\"") => None,
        answered => Some(answered),
    });
    let response = match answered {
        Ok(response) => response,
        Err(error) => return vec![format!("{} {}: {error}", case.place, case.title)],
    };
    let mut wrong = mistakes_of_response(case, &response);
    let seen = taken();
    let forwarded = matches!(case.decision, Decision::Forward(_));
    // An unreachable upstream receives nothing, and neither does one whose request is cut off.
    if case.status() < 500 && seen.len() != usize::from(forwarded) {
        wrong.push(format!("the upstream saw {} requests", seen.len()));
    }
    for expected in &case.upstream {
        wrong.extend(
            seen.first()
                .and_then(|seen| mistake_of_seen(expected, seen, authority)),
        );
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
            Expected::Field(name, value) => (fields(name) != *value)
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
            let told = format!("{} {}", seen.method, seen.target);
            (told != *first).then(|| format!("the upstream saw {told}, not {first}"))
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
