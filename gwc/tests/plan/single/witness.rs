//! Check of a plan's witnesses (example requests that show a difference): the engines of the old
//! and the new version must give the outcomes that the plan states.

use std::net::{IpAddr, Ipv4Addr};

use bundle::ir::{Consumer, Credential, Set};
use engine::Verdict;
use plan::ask::{Oracle, Question};
use plan::{Change, Outcome, Plan, Side, Witness};
use sha2::{Digest as _, Sha256};

use super::Case;
use super::project::{Operation, Project};

/// Sends each witness of a plan to the engines of the old and the new version. Returns the number
/// of witnesses.
///
/// # Errors
/// Describes the first witness that shows no difference, or whose outcomes differ from those in the
/// plan.
pub(super) fn check(plan: &Plan, sides: (&Side, &Side), case: &Case) -> Result<usize, String> {
    let shown: Vec<(&Change, &Witness)> = plan
        .changes
        .iter()
        .filter_map(|change| Some((change, change.witness.as_ref()?)))
        .collect();
    if shown.is_empty() {
        return Ok(0);
    }
    let (old, new) = (oracle(sides.0), oracle(sides.1));
    for (change, witness) in &shown {
        let listener = change.places.first().expect("a place").listener.as_str();
        let (before, after) = (ask(&old, listener, witness), ask(&new, listener, witness));
        if (&before, &after) != (&witness.old, &witness.new) {
            return Err(format!("{witness:?} is {before:?} and {after:?}"));
        }
        if before == after {
            return Err(format!("{witness:?} shows nothing"));
        }
        let path = witness.url.splitn(4, '/').nth(3).unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        let operations = case.old.operations().into_iter();
        let mut operations = operations.chain(case.new.operations());
        let of_it = |one: &Operation| change.operations.contains(&one.key) && takes(one, witness);
        if !operations.any(|one| of_it(&one) && matches(base(&case.new), &one.path, path)) {
            return Err(format!("{witness:?} is none of {:?}", change.operations));
        }
    }
    Ok(shown.len())
}

fn takes(operation: &Operation, witness: &Witness) -> bool {
    let method = operation.method.to_ascii_uppercase();
    witness.method == method || method == "GET" && witness.method == "HEAD"
}

fn base(project: &Project) -> &str {
    let base = &project.gateway["apis"]["a"]["mount"]["base_path"];
    base.as_str().unwrap_or_default()
}

/// True if a template matches a path, ignoring a trailing slash.
fn matches(base: &str, template: &str, path: &str) -> bool {
    let template = format!("{base}{template}");
    let wanted: Vec<&str> = template.trim_matches('/').split('/').collect();
    let given: Vec<&str> = path.trim_matches('/').split('/').collect();
    let fits = |(wanted, given): (&&str, &&str)| wanted.contains('{') || wanted == given;
    wanted.len() == given.len() && wanted.iter().zip(&given).all(fits)
}

/// Builds the engine of a version with an additional consumer, which has the credentials of the
/// witnesses.
fn oracle(side: &Side) -> Oracle {
    let hash = |text: &str| Credential {
        sha256: Sha256::digest(text).into(),
        not_after: None,
        password: None,
    };
    let mut gateway = side.lowered.gateway.clone();
    let mut consumers: Vec<Consumer> = gateway.shared.consumers.iter().cloned().collect();
    consumers.push(Consumer {
        name: "tester".into(),
        keys: vec![hash("valid")],
        basic: vec![hash("valid:valid")],
        declared: policy::declared::Settings::default(),
        groups: Vec::new(),
        metadata: policy::declared::Settings::default(),
        certificates: Vec::new(),
        plan: None,
        tokens: Vec::new(),
        claims: policy::declared::Settings::default(),
    });
    gateway.shared.consumers = Set::new(consumers).expect("names of their own");
    Oracle::build(&gateway, "test").expect("a gateway that can be asked")
}

/// Returns the outcome of a witness at a gateway. [`Outcome::Nothing`] if the gateway has no such
/// listener.
fn ask(oracle: &Oracle, listener: &str, witness: &Witness) -> Outcome {
    let mut all = oracle.snapshot().listeners().iter();
    let Some(listener) = all.position(|known| *known.name == *listener) else {
        return Outcome::Nothing;
    };
    let url = &witness.url["http://".len()..];
    let (host, path) = url.split_once('/').expect("a path");
    let mut request = http::Request::builder()
        .method(witness.method.as_str())
        .uri(format!("/{path}"))
        .header("host", host);
    for (name, value) in &witness.headers {
        request = request.header(name, value);
    }
    let question = Question {
        listener,
        request: request.body(()).expect("a request").into_parts().0,
        peer: witness
            .peer
            .unwrap_or(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1))),
        certificates: witness.certificates(),
        body: Some(witness.body.clone().unwrap_or_default().into_bytes()),
        unix_s: plan::witness::AT_S,
    };
    let refused = |status| Outcome::Refused { status };
    let answer = oracle.ask(&question, |decided, _, _| {
        let upstreams = oracle.snapshot().upstreams();
        match (&decided.verdict, &decided.route) {
            (Verdict::Reject(refusal), _) => refused(refusal.reject.status),
            (Verdict::Reply(reply), _) if decided.ran == 0 => refused(reply.status.as_u16()),
            (verdict, Some(route)) => Outcome::Served {
                operation: route.operation.key.clone(),
                upstream: matches!(verdict, Verdict::Forward).then(|| {
                    upstreams[route.treatment.upstream as usize]
                        .name
                        .to_string()
                }),
            },
            (_, None) => refused(404),
        }
    });
    answer.unwrap_or_else(|reject| refused(reject.status))
}
