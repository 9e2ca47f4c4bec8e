//! Tests of key fetches before gwd switches to a version, of damaged copies of key sets, and of the
//! age of key sets.

use super::*;

/// Replaces `from` by `to` in gateway.yaml, which changes the source of the keys. Applies the new
/// version, and returns its bundle id.
fn applied(scene: &Scene, from: &str, to: &str) -> String {
    let text = String::from_utf8(scene.project.read("gateway.yaml")).expect("text");
    assert!(text.contains(from), "{text}");
    scene.project.write("gateway.yaml", text.replace(from, to));
    scene.project.apply()
}

#[test]
fn first_start_has_its_keys_before_any_request() {
    let (provider, key) = (Provider::new(), RsaKey::new());
    provider.has(&[("a", &key)]);
    let scene = Scene::by_url(&provider.upstream.url());
    let gateway = scene.start();
    assert_eq!(provider.upstream.take().len(), 1);
    assert_eq!(gateway.status()["key_sets"][0]["keys"], 1);
    let ready = gateway.admin_ask("GET", "/readyz", &Value::Null).json();
    assert_eq!(ready["checks"]["key_sets"][0]["status"], "pass", "{ready}");
    assert_eq!(shown(&gateway, &token("tests", "a", &key)).0, 200);
    assert!(provider.upstream.take().is_empty());
}

#[test]
fn new_version_has_its_keys_before_the_switch() {
    let (provider, [one, two]) = (Provider::new(), [RsaKey::new(), RsaKey::new()]);
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let (begin, begun) = std::sync::mpsc::channel();
    let [old, new] = [&one, &two].map(|key| set(&[("a", key)]));
    provider.answers(move |seen| match seen.target.as_str() {
        "/keys" => document(&old),
        _ => {
            begin.send(()).expect("the test waits");
            let _released = wait.recv();
            document(&new)
        }
    });
    let scene = Scene::by_url(&provider.upstream.url());
    let gateway = scene.start();
    assert_eq!(provider.upstream.take().len(), 1);
    let first = gateway.status()["bundle"].clone();
    let [one, two] = [&one, &two].map(|key| token("tests", "a", key));
    let second = applied(&scene, "/keys\"", "/others\"");
    std::thread::scope(|scope| {
        let notified = scope.spawn(|| gateway.notify());
        begun.recv().expect("the fetch begins");
        // Until the new keys have arrived, gwd serves the first version with its keys.
        assert_eq!(shown(&gateway, &one).0, 200);
        assert_eq!(gateway.status()["bundle"], first);
        release.send(()).expect("the provider waits");
        notified.join().expect("no panic");
    });
    gateway.wait_bundle(&second);
    assert_eq!(shown(&gateway, &two).0, 200);
    assert_eq!(shown(&gateway, &one).0, 401);
    assert_eq!(provider.upstream.take().len(), 1);
    assert!(!gateway.log().contains("are not fetched yet"));
}

#[test]
fn hanging_provider_does_not_prevent_a_switch() {
    let (provider, key) = (Provider::new(), RsaKey::new());
    let known = set(&[("a", &key)]);
    provider.answers(move |seen| match seen.target.as_str() {
        "/keys" => document(&known),
        _ => Answer {
            delay: Duration::from_secs(30),
            ..status(500)
        },
    });
    let scene = Scene::by_url(&provider.upstream.url());
    let gateway = scene.start();
    let second = applied(&scene, "/keys\"", "/others\"");
    std::thread::scope(|scope| {
        scope.spawn(|| gateway.notify());
        gateway.wait_bundle(&second);
    });
    assert_eq!(open(&gateway), 200);
    let log = gateway.log();
    let line = log
        .lines()
        .find(|line| line.contains("are not fetched yet"));
    assert!(line.is_some_and(|line| line.contains("/others")), "{log}");
    let report = reported(&gateway, |set| set["failure"].is_string());
    assert_eq!(report["keys"], 0, "{report}");
}

#[test]
fn damaged_copy_is_logged_and_fetched_again() {
    let (provider, key) = (Provider::new(), RsaKey::new());
    provider.has(&[("a", &key)]);
    let scene = Scene::by_url(&provider.upstream.url());
    let token = token("tests", "a", &key);
    let mut gateway = scene.start();
    let folder = scene.project.path("state/key-sets");
    let copy = wait::until("the copy is written", || {
        let mut all = folder.read_dir().ok()?;
        let path = all.next()?.ok()?.path();
        path.extension().is_none().then_some(path)
    });
    assert_eq!(gateway.stop(), Some(0));
    assert!(!gateway.log().contains("is damaged"));
    let mut bytes = std::fs::read(&copy).expect("the copy can be read");
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    std::fs::write(&copy, bytes).expect("the copy can be written");
    let _before = provider.upstream.take();
    let gateway = scene.start();
    let log = gateway.log();
    let line = log
        .lines()
        .find(|line| line.contains("is damaged and not used"));
    let line = line.unwrap_or_else(|| panic!("no line in {log}"));
    for part in [
        format!("{}/keys", provider.upstream.url()),
        copy.display().to_string(),
        "its digest does not match".to_owned(),
    ] {
        assert!(line.contains(&part), "{part} is not in {line}");
    }
    assert_eq!(shown(&gateway, &token).0, 200);
    assert_eq!(provider.upstream.take().len(), 1);
}

#[test]
fn age_of_a_key_set_is_a_metric() {
    let (provider, key) = (Provider::new(), RsaKey::new());
    provider.has(&[("a", &key)]);
    let scene = Scene::by_url(&provider.upstream.url());
    let gateway = scene.start();
    let source = format!("source=\"{}/keys\"", provider.upstream.url());
    let age = || {
        let metrics = gateway.metrics();
        metrics.sum("gwd_key_set_age_seconds", &[&source])
    };
    let first = age();
    assert!((0.0..600.0).contains(&first), "{first}");
    wait::until("the age grows", || (age() >= first + 1.0).then_some(()));
    let names = gateway.metrics().0;
    let names = names
        .lines()
        .filter(|line| line.starts_with("gwd_key_set_age_seconds{"));
    assert_eq!(names.count(), 1);
}
