//! Tests of the HTML reports of `gwc` in a headless Chromium: light and dark, by keyboard, on a
//! narrow screen.

use std::time::Duration;

use e2e::browser::{Browser, Scheme};
use e2e::project::Project;
use e2e::upstream::{Answer, Upstream};
use e2e::wait;
use serde_json::Value;

/// Maximum wait for a page, including the start of the browser.
const START: Duration = Duration::from_secs(60);

/// Minimum contrast ratio of text (WCAG 2.2, success criterion 1.4.3).
const CONTRAST_MIN: f64 = 4.5;

/// Number of operations: more than a section shows before the reader expands it.
const OPERATIONS: usize = 40;

const FRAME: &str = include_str!("../../peers/report.html");

/// Document with operations whose text contains markup.
fn document(security: &str, maximum: usize) -> String {
    let paths = (0..OPERATIONS).map(|number| {
        let maximum = maximum + number;
        let long = "a".repeat(number * 4);
        format!(
            "  /o{number}/{long}: {{get: {{operationId: \"<script>o{number}</script>\", {security}\
             parameters: [{{name: limit, in: query, schema: {{type: integer, maximum: {maximum}}}}}], responses: {{\"200\": {{description: fine}}}}}}}}\n"
        )
    });
    let paths: String = paths.collect();
    format!("openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths:\n{paths}")
}

/// Opens a report in the browser with a colour scheme, and returns the measurements. `None` if no
/// browser is installed.
fn measured(page: &str, scheme: Scheme) -> Option<Value> {
    let page = page.to_owned();
    let upstream = Upstream::scripted(move |seen| {
        let body = match seen.target.as_str() {
            "/frame" => FRAME,
            "/report" => &page,
            _ => "",
        };
        Answer {
            headers: vec![("content-type".into(), "text/html".into())],
            ..Answer::ok(body)
        }
    });
    let _browser = Browser::open_in(&format!("{}/frame", upstream.url()), scheme)?;
    let report = wait::within(START, || {
        let seen = upstream.take();
        let report = seen.iter().find(|seen| seen.target == "/told")?;
        Some(serde_json::from_slice(&report.body).expect("JSON"))
    });
    Some(report.expect("the page was measured"))
}

#[test]
fn reports_are_readable_in_a_browser() {
    let project = Project::new();
    let gateway = "version: 1\nname: s\napis: {s: {path: openapi.yaml}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9\"}}}}\ndefaults: {upstream: u}\nauth: {keys: {kind: api_key}}\nconsumers: {c: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}}\n";
    let schemes = "components: {securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}}\n";
    let open = "security: [], x-gateway: {public: true}, ";
    let closed = "security: [{key: []}], ";
    for (folder, security, maximum) in [("old", closed, 1_000), ("new", open, 100)] {
        project.write(&format!("{folder}/gateway.yaml"), gateway);
        let text = document(security, maximum) + schemes;
        project.write(&format!("{folder}/openapi.yaml"), text);
    }
    for command in ["diff", "changelog"] {
        let ended = project.gwc(&[command, "old", "new", "--format", "html"]);
        ended.succeeds();
        for scheme in [Scheme::Light, Scheme::Dark] {
            let Some(report) = measured(&ended.stdout, scheme) else {
                return prerequisite::skip("Chromium is not installed");
            };
            let brightness = report["page"][0].as_f64().expect("a number");
            assert_eq!(brightness > 128.0, scheme == Scheme::Light, "{report}");
            assert!(
                report["contrast"].as_f64() >= Some(CONTRAST_MIN),
                "{report}"
            );
            assert_eq!(report["focused"], report["reached"], "{report}");
            assert_eq!(
                (&report["overflow"], &report["scripts"]),
                (&0.into(), &0.into()),
                "{report}"
            );
            let text = report["text"].as_str().expect("a text");
            for name in ["<script>o0</script>", "maximum"] {
                assert!(text.contains(name), "{text}");
            }
        }
    }
}
