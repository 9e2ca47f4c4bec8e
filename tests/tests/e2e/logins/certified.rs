//! Tests with the certified provider `oidc-provider` (npm): login, consent, and logout, through the
//! provider's own pages.

use tempfile::TempDir;

use super::*;

/// Browser that visits the provider's pages and stores the provider's cookies.
#[derive(Default)]
struct AtProvider {
    cookies: BTreeMap<String, String>,
}

impl AtProvider {
    fn send(&mut self, method: &str, url: &str, form: &str) -> Response {
        let rest = url.strip_prefix("http://").expect("a URL on loopback");
        let (host, _) = rest.split_once('/').expect("a path");
        let cookies = self.cookies.iter();
        let cookies: Vec<String> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let head = format!(
            "{method} {} HTTP/1.1\r\nhost: {host}\r\naccept: text/html\r\ncookie: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            path_of(url),
            cookies.join("; "),
            form.len()
        );
        let address = host.parse().expect("an address");
        let mut connection = e2e::client::Connection::open(address).expect("it listens");
        connection.send(head.as_bytes()).expect("it reads");
        let response = connection.read_response(false).expect("it answers");
        for cookie in response.head.all("set-cookie") {
            let pair = cookie.split(';').next().expect("a pair");
            let (name, value) = pair.split_once('=').expect("a cookie");
            match value.is_empty() {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        response
    }

    /// Follows redirects and submits the provider's forms until the provider redirects the browser
    /// to another origin. Returns the redirect URL.
    fn passes(&mut self, issuer: &str, url: &str) -> String {
        let absolute = |url: &str| match url.starts_with('/') {
            true => format!("{issuer}{url}"),
            false => url.to_owned(),
        };
        let mut response = self.send("GET", url, "");
        for _ in 0..12 {
            if let Some(next) = response.header("location") {
                let next = absolute(next);
                if !next.starts_with(issuer) {
                    return next;
                }
                response = self.send("GET", &next, "");
                continue;
            }
            let page = response.text();
            assert_eq!(response.status, 200, "{page}");
            let after = |text: &str| {
                let (_, rest) = page.split_once(text)?;
                Some(rest.split('"').next().expect("a value ends").to_owned())
            };
            let action = after("action=\"").expect("a form");
            let form = match (
                after("name=\"prompt\" value=\""),
                after("name=\"xsrf\" value=\""),
            ) {
                (Some(prompt), _) => format!("prompt={prompt}&login=alice&password=x"),
                (None, Some(xsrf)) => format!("xsrf={xsrf}&logout=yes"),
                (None, None) => panic!("an unknown form: {page}"),
            };
            response = self.send("POST", &absolute(&action), &form);
        }
        panic!("the provider does not end")
    }
}

#[test]
fn user_logs_in_and_out_at_the_certified_provider() {
    let keys = TempDir::new().expect("a temporary folder can be made");
    let arguments = ["0".to_owned(), keys.path().display().to_string()];
    let Some(mut provider) = Peer::node("oidc_provider.mjs", &arguments) else {
        return prerequisite::skip(peers::MISSING);
    };
    let issuer = format!("http://127.0.0.1:{}", provider.greeting());
    let start = |provider: &mut Peer, gateway: &str| {
        provider.ask(&json!({
            "alg": "ES256", "published": ["a"], "signs": "a",
            "logins": {"redirect": format!("{gateway}/login/done"), "after": format!("{gateway}/open")},
        }));
    };
    start(&mut provider, "http://127.0.0.1:1");
    let scene = Scene::at(provider, &issuer, &json!({"scopes": ["openid", "read"]}));
    let origin = format!("http://{}", scene.gateway.address());
    let mut scene = scene;
    start(&mut scene.provider, &origin);
    let (mut browser, mut there) = (Browser::default(), AtProvider::default());
    let first = browser.open(&scene, "/page?a=1");
    assert_eq!(
        first.status,
        303,
        "{} {}",
        first.text(),
        scene.gateway.log()
    );
    let back = there.passes(&issuer, location(&first));
    assert!(back.starts_with(&format!("{origin}/login/done?")), "{back}");
    let done = browser.open(&scene, path_of(&back));
    let result = (done.status, reason(&scene, &done));
    assert_eq!(result, (303, String::new()), "{}", done.text());
    assert_eq!(location(&done), "/page?a=1");
    assert_eq!(browser.open(&scene, "/page?a=1").status, 200);
    let seen = scene.upstream.take();
    assert_eq!(seen[0].header("x-caller"), Some("alice"));
    assert_eq!(browser.open(&scene, "/read").status, 200);
    // The provider has a session of the user, so a second browser window needs no password.
    let mut window = Browser::default();
    let first = window.open(&scene, "/page");
    let back = there.passes(&issuer, location(&first));
    assert_eq!(window.open(&scene, path_of(&back)).status, 303);
    let out = browser.send(&scene.gateway, "GET /logout", "sec-fetch-site: same-origin");
    let after = there.passes(&issuer, location(&out));
    assert!(after.starts_with(&format!("{origin}/open")), "{after}");
    let json = "accept: application/json";
    assert_eq!(browser.send(&scene.gateway, "GET /page", json).status, 401);
    scene.gateway.stops_clean();
}
