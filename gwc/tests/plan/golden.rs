//! Tests of plans of small projects in the formats for people, compared with the files in
//! `written/`: the text, the text with `--all`, and the comment on a pull request.

use std::path::Path;

use ::plan::links::{Base, Links};
use ::plan::report::{Report, Subject};
use ::plan::review::Review;
use ::plan::{Plan, human, markdown};

use crate::{DOCUMENT, GATEWAY, edit, plan, side};

/// Plan in the formats for people.
fn texts(plan: &Plan, gates: &[&str]) -> [(&'static str, String); 3] {
    let links = Links {
        old: Base::new("https://git.example/shop/blob/0ld").ok(),
        new: Base::new("https://git.example/shop/blob/n3w").ok(),
    };
    let subject = Subject {
        channel: Some("prod".into()),
        serial: plan.old.map(|_| 12),
        links,
        ..Subject::default()
    };
    let gates = gates.iter().map(|gate| (*gate).to_owned()).collect();
    let review = Review::new(plan, gates, Some("reviewed.yaml".into()), Vec::new(), 0);
    let report = Report {
        plan,
        subject: &subject,
        review: &review,
    };
    let text = |all| human::render(&report, human::Look { all, color: false });
    [
        ("human.txt", text(false)),
        ("all.txt", text(true)),
        ("comment.md", markdown::render(&report)),
    ]
}

/// Compares a plan with the kept texts, or writes them with `GWC_UPDATE=1`.
fn is_as_kept(name: &str, plan: &Plan, gates: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan/written");
    for (file, text) in texts(plan, gates) {
        let path = folder.join(name).join(file);
        if std::env::var_os("GWC_UPDATE").is_some() {
            std::fs::create_dir_all(folder.join(name)).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == text,
            "tests/plan/written/{name}/{file} is stale: run with GWC_UPDATE=1\n{text}"
        );
    }
}

#[test]
fn plan_of_a_first_release_equals_its_file() {
    let new = side(&[("gateway.yaml", GATEWAY), ("api.yaml", DOCUMENT)]);
    let plan = ::plan::compare(None, &new).unwrap();
    is_as_kept("first_release", &plan, &[]);
}

#[test]
fn plan_of_a_moved_base_path_equals_its_file() {
    let moved = edit(
        GATEWAY,
        "{path: api.yaml}",
        "{path: api.yaml, mount: {base_path: /v2}}",
    );
    let plan = plan((GATEWAY, DOCUMENT), (&moved, DOCUMENT));
    is_as_kept("moved_base_path", &plan, &["remove"]);
}

#[test]
fn plan_of_a_moved_operation_equals_file_and_page() {
    let moved = edit(DOCUMENT, "  /status:", "  /health/status:");
    let plan = plan((GATEWAY, DOCUMENT), (GATEWAY, &moved));
    is_as_kept("moved_operation", &plan, &[]);
    let [(_, text), ..] = texts(&plan, &[]);
    let text = text.replace('\n', "\n    ").replace("\n    \n", "\n\n");
    let page = include_str!("../../../docs/plan.md");
    assert!(page.contains(text.trim_end()), "docs/plan.md lacks\n{text}");
}

#[test]
fn plan_of_a_removed_api_equals_its_file() {
    let both = edit(
        GATEWAY,
        "{a: {path: api.yaml}}",
        "{a: {path: api.yaml}, b: {path: b.yaml, mount: {base_path: /b}}}",
    );
    let files = |gateway| [("gateway.yaml", gateway), ("api.yaml", DOCUMENT)];
    let old = [&files(&both)[..], &[("b.yaml", DOCUMENT)]].concat();
    let plan = ::plan::compare(Some(&side(&old)), &side(&files(GATEWAY))).unwrap();
    is_as_kept("removed_api", &plan, &["remove"]);
}

#[test]
fn plan_of_changed_defaults_equals_its_file() {
    let new = edit(
        GATEWAY,
        "defaults: {upstream: u, policies: [slow, edge]",
        "  cors: {kind: cors, origins: [\"https://a.example\"]}\n\
         defaults: {upstream: v, policies: [slow, edge, cors]",
    );
    let plan = plan((GATEWAY, DOCUMENT), (&new, DOCUMENT));
    is_as_kept("changed_defaults", &plan, &["move"]);
}

#[test]
fn plan_of_a_changed_policy_equals_its_file() {
    let with = |limit: &str, path: &str| {
        let policies = format!(
            "  slow: {{kind: rate_limit, limit: {limit}, burst: 5}}\n  \
             inside: {{kind: rewrite, query: {{set: {{tenant: {path}}}}}}}"
        );
        let gateway = edit(
            GATEWAY,
            "  slow: {kind: rate_limit, limit: 10/s, burst: 5}",
            &policies,
        );
        edit(
            &gateway,
            "policies: [slow, edge]",
            "policies: [slow, edge, inside]",
        )
    };
    let plan = plan(
        (&with("10/s", "a"), DOCUMENT),
        (&with("20/s", "b"), DOCUMENT),
    );
    is_as_kept("changed_policy", &plan, &["relax"]);
}

/// Each pair of source locations stands once in a text for people.
#[test]
fn no_kept_text_has_a_place_twice() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan/written");
    let mut texts = 0;
    for entry in folder.read_dir().unwrap() {
        let folder = entry.unwrap().path();
        for file in ["human.txt", "comment.md"] {
            let Ok(text) = std::fs::read_to_string(folder.join(file)) else {
                continue;
            };
            texts += 1;
            let lines = text
                .lines()
                .map(|line| line.trim_start().trim_start_matches("- "));
            let is_place = |line: &&str| {
                ["was ", "now ", "at "]
                    .iter()
                    .any(|word| line.starts_with(word))
                    && line.contains(".yaml:")
            };
            let mut places: Vec<&str> = lines.filter(is_place).collect();
            let all = places.len();
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), all, "{}/{file}", folder.display());
        }
    }
    assert!(texts >= 14, "{texts}");
}

#[test]
fn plan_of_open_access_and_a_sunset_equals_its_file() {
    let open = edit(
        DOCUMENT,
        "operationId: listOrders,",
        "operationId: listOrders, security: [], deprecated: true, \
         x-gateway: {public: true, deprecated: {sunset: 2027-06-30}},",
    );
    let plan = plan((GATEWAY, DOCUMENT), (GATEWAY, &open));
    is_as_kept("open_access", &plan, &["weaken"]);
}

#[test]
fn moves_of_hosts_and_methods_are_one_line() {
    let at = |mount: &str| {
        let api = format!("{{path: api.yaml, mount: {mount}}}");
        edit(GATEWAY, "{path: api.yaml}", &api)
    };
    let host = |name: &str| at(&format!("{{hosts: [{name}]}}"));
    let put = edit(
        DOCUMENT,
        "/status:\n    get: {operationId: getStatus",
        "/status:\n    put: {operationId: getStatus",
    );
    for (old, new, line) in [
        (
            (host("a.example"), DOCUMENT),
            (host("b.example"), DOCUMENT),
            "~ new host     5 operations of a: a.example/… → b.example/… (5 removed, 5 added)",
        ),
        (
            (GATEWAY.to_owned(), DOCUMENT),
            (host("b.example"), DOCUMENT),
            "- removed      5 operations of a  ",
        ),
        (
            (GATEWAY.to_owned(), DOCUMENT),
            (GATEWAY.to_owned(), &put),
            "~ new method   GET /status → PUT /status (a/getStatus)",
        ),
    ] {
        let plan = plan((&old.0, old.1), (&new.0, new.1));
        let [(_, human), (_, all), (_, comment)] = texts(&plan, &[]);
        assert!(human.contains(line), "{line} is not in\n{human}");
        assert!(!all.contains(line), "{all}");
        let (_, what) = line.split_once("  ").expect("a class");
        assert!(comment.contains(what.trim()), "{what} is not in\n{comment}");
    }
}
