//! Tests of tokens at a running gateway. gwd verifies a signature once, reports the reason of a
//! refusal only to the operator, and applies revocations of tokens.

use e2e::binaries;
use e2e::cases::{self, Case};
use e2e::gateway::{Gateway, Options};
use e2e::project::{Ended, Project};
use e2e::upstream::Upstream;

/// Gateway with one worker for `tests/cases/tokens`, and the tokens of these cases.
struct Scene {
    project: Project,
    gateway: Gateway,
    cases: Vec<Case>,
    _upstream: Upstream,
}

impl Scene {
    fn new() -> Self {
        let folder = binaries::workspace().join("tests/cases/tokens");
        let upstream = Upstream::start();
        let project = crate::cases::project(&folder, &upstream, &upstream);
        project.keygen();
        project.apply();
        let gateway = Options::of(&project).workers(1).start();
        Self {
            cases: cases::of(&folder),
            gateway,
            project,
            _upstream: upstream,
        }
    }

    /// Token in the request of the case with this title.
    fn token(&self, title: &str) -> String {
        let case = self.cases.iter().find(|case| case.title == title);
        let request = String::from_utf8(case.expect("a case").bytes()).expect("text");
        let (_, token) = request.split_once("Bearer ").expect("a token");
        token.lines().next().expect("a line").to_owned()
    }

    fn status(&self, token: &str) -> (u16, String) {
        let request =
            format!("GET /any HTTP/1.1\nhost: gateway.test\nauthorization: Bearer {token}\n\n");
        let response = self.gateway.ask(&request);
        (response.status, response.text())
    }

    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.gateway.metrics().sum(name, labels)
    }
}

#[test]
fn signature_is_verified_once_for_each_token() {
    let scene = Scene::new();
    let [one, two] = ["a valid token", "the scope is there"].map(|title| scene.token(title));
    for token in [&one, &one, &two, &one, &two] {
        assert_eq!(scene.status(token).0, 200);
    }
    assert_eq!(scene.sum("gwd_token_cache_misses_total", &[]), 2.0);
    assert_eq!(scene.sum("gwd_token_cache_hits_total", &[]), 3.0);
    let expired = scene.token("expired");
    for _ in 0..2 {
        assert_eq!(scene.status(&expired).0, 401);
    }
    assert_eq!(scene.sum("gwd_token_cache_misses_total", &[]), 4.0);
    assert_eq!(scene.sum("gwd_token_cache_hits_total", &[]), 3.0);
}

#[test]
fn sizes_of_caches_are_reported() {
    let scene = Scene::new();
    let [one, two] = ["a valid token", "the scope is there"].map(|title| scene.token(title));
    let tokens = |name: &str| scene.sum(name, &["cache=\"tokens\""]);
    assert_eq!(tokens("gwd_cache_entries"), 0.0);
    for token in [&one, &one, &two] {
        assert_eq!(scene.status(token).0, 200);
    }
    assert_eq!(tokens("gwd_cache_entries"), 2.0);
    // The size is an estimate: the cache stores the claims twice, as texts and as a tree.
    let bytes = tokens("gwd_cache_bytes") as usize;
    let whole = one.len() + two.len();
    assert!((whole..10 * whole).contains(&bytes), "{bytes} of {whole}");
    assert_eq!(tokens("gwd_cache_evicted_total"), 0.0);
    let status = scene.gateway.status();
    let caches = status["caches"].as_array().expect("a list");
    let names: Vec<&str> = caches
        .iter()
        .filter_map(|one| one["cache"].as_str())
        .collect();
    let all = [
        "tokens",
        "answers",
        "refusals",
        "proofs",
        "nonces",
        "logins",
        "ended_sessions",
    ];
    assert_eq!(names, all);
    assert_eq!(caches[0]["entries"], 2);
    assert_eq!(caches[0]["bytes"], bytes);
    assert_eq!(caches[3]["evicted"], serde_json::Value::Null);
    let admin = format!("unix:{}", scene.gateway.admin().display());
    let mut command = std::process::Command::new(binaries::gwd());
    let printed = Ended::of(command.args(["status", "--admin", &admin])).stdout;
    let kib = bytes.div_ceil(1024);
    let line = format!("caches     tokens 2 ({kib}KiB)\n");
    assert!(printed.contains(&line), "{printed}");
}

#[test]
fn reason_of_a_refusal_is_for_the_operator_only() {
    let scene = Scene::new();
    for (title, reason) in [
        ("expired", "expired"),
        ("another audience", "audience"),
        ("a token of a key that is not in the set", "signature"),
    ] {
        let token = scene.token(title);
        let (status, body) = scene.status(&token);
        assert_eq!(status, 401, "{title}");
        assert!(!body.contains(reason), "{title}: {body}");
        let label = format!("reason=\"token_{reason}\"");
        assert_eq!(scene.sum("gwd_rejections_total", &[&label]), 1.0, "{title}");
        let log = scene.gateway.access_log();
        e2e::wait::until("the line of the request", || {
            let lines = log.lines();
            lines
                .iter()
                .any(|line| line["token_fault"] == reason)
                .then_some(())
        });
    }
    let valid = scene.token("a valid token");
    assert_eq!(scene.status(&valid).0, 200);
    let outputs = [
        format!("{:?}", scene.gateway.access_log().lines()),
        scene.gateway.log(),
        scene.gateway.metrics().0,
        scene.gateway.status().to_string(),
    ];
    for text in outputs {
        for part in valid.split('.').filter(|part| part.len() > 40) {
            assert!(!text.contains(part), "a part of the token in {text}");
        }
    }
}

#[test]
fn revoked_token_is_refused_though_it_was_verified() {
    let scene = Scene::new();
    let token = scene.token("a valid token");
    let other = scene.token("the scope is there");
    assert_eq!(scene.status(&token).0, 200);
    scene.project.write("stolen.txt", &token);
    let revoke = [
        "revoke",
        "--token",
        "stolen.txt",
        "--key",
        "keys/release.pem",
        "--yes",
    ];
    scene.project.gwc(&revoke).succeeds();
    scene.gateway.notify();
    e2e::wait::until("the token is refused", || {
        (scene.status(&token).0 == 401).then_some(())
    });
    assert_eq!(scene.status(&other).0, 200);
    let refused = scene.sum("gwd_rejections_total", &["reason=\"token_revoked\""]);
    assert!(refused >= 1.0, "{refused}");
}
