//! Test of login and logout in a headless Chromium. Chromium decides which cookies are stored and
//! sent.

use std::time::Duration;

use e2e::upstream::Answer;
use e2e::wait;

use super::*;

/// Maximum wait for a page, including the start of the browser.
const START: Duration = Duration::from_secs(60);

/// Reason for skipping the test.
const MISSING: &str = "Chromium is not installed";

/// Page that logs the user out when it is shown.
const PAGE: &str = "<!doctype html><title>page</title><script>location = \"/logout\"</script>";

#[test]
fn chromium_logs_in_and_out() {
    for same_site in ["lax", "strict"] {
        let Some(provider) = Peer::python("login_provider.py", &[""; 0]) else {
            return prerequisite::skip(peers::MISSING);
        };
        let issuer = format!("http://127.0.0.1:{}", provider.greeting());
        let upstream = Upstream::scripted(|_| Answer {
            headers: vec![("content-type".to_owned(), "text/html".to_owned())],
            ..Answer::ok(PAGE)
        });
        let session = json!({"session": {"same_site": same_site}});
        let mut scene = Scene::before(provider, &issuer, &session, upstream);
        // Chromium stores cookies with `Secure` for this host even without TLS.
        let page = format!(
            "http://localhost:{}/page?a=1",
            scene.gateway.address().port()
        );
        let Some(_browser) = e2e::browser::Browser::open(&page) else {
            return prerequisite::skip(MISSING);
        };
        let mut pages = Vec::new();
        let out = wait::within(START, || {
            pages.extend(scene.upstream.take());
            pages
                .iter()
                .any(|seen| seen.target == "/open")
                .then_some(())
        });
        let targets: Vec<&str> = pages.iter().map(|seen| seen.target.as_str()).collect();
        assert!(
            out.is_some(),
            "{same_site}: {targets:?} {}",
            scene.gateway.log()
        );
        assert_eq!(targets[0], "/page?a=1", "{same_site}: {targets:?}");
        assert_eq!(pages[0].header("x-caller"), Some("alice"));
        assert!(pages.iter().all(|seen| seen.header("cookie").is_none()));
        let requests = scene.fails(&json!({}));
        let paths: Vec<&Value> = requests.iter().map(|one| &one["path"]).collect();
        assert_eq!(
            paths[..3],
            ["/authorize", "/token", "/logout"],
            "{same_site}: {requests:?}"
        );
        scene.gateway.stops_clean();
    }
}
