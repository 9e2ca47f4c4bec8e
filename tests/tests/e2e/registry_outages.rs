//! Registry that fails at each request of a release, and of a gateway's copy.
//!
//! A release either happened or did not: gateways run the old or the new version, and the same
//! command succeeds later. A gateway serves its version without the registry, also after a restart,
//! and takes the new one when the registry returns.

use std::path::Path;
use std::process::Command;

use e2e::gateway::{Gateway, Options};
use e2e::project::{Ended, Project};
use serde_json::Value;

use crate::registries::{DOCUMENT, answers, gateway};
use crate::registry_proxy::{Failure, ProxiedRegistry};

/// Kinds of failures.
const FAILURES: [Failure; 3] = [Failure::Request, Failure::Response, Failure::Half];
/// Maximum number of requests of one command or copy. More are an endless loop of a test.
const REQUESTS_MAX: usize = 500;

/// Registry with a release of version 0, and a gateway that runs it and polls only on request.
struct World {
    registry: ProxiedRegistry,
    project: Project,
    options: Options,
    gateway: Gateway,
    /// Number of the version that the channel names.
    version: usize,
}

impl World {
    #[track_caller]
    fn start() -> Option<Self> {
        let registry = ProxiedRegistry::start()?;
        let project = Project::with(&gateway("v0"), DOCUMENT);
        project.keygen();
        registry.release(&project, "v0", &[]);
        let state = project.path("state");
        let options = registry.gateway(&project, "10m").state(&state);
        let gateway = options.start();
        Some(Self {
            registry,
            project,
            options,
            gateway,
            version: 0,
        })
    }

    /// Copies the content of the registry and the state of the gateway into the folder `saved`. The
    /// gateway must not run.
    fn save(&self) {
        copy(&self.registry.data(), &self.project.path("saved/data"));
        copy(
            &self.project.path("state"),
            &self.project.path("saved/state"),
        );
    }

    /// Restores what [`Self::save`] has copied.
    fn restore(&self) {
        copy(&self.project.path("saved/data"), &self.registry.data());
        copy(
            &self.project.path("saved/state"),
            &self.project.path("state"),
        );
    }

    /// Text that clients of the gateway get.
    fn served(&self) -> String {
        self.gateway.ask("GET /version HTTP/1.1\nhost: h").text()
    }

    /// Records of the channel, from `gwc history`: the number of records, and the newest bundle.
    fn history(&self) -> (usize, String) {
        let history = ["history", "--format", "json"];
        let history = self.registry.gwc(&self.project, &history);
        let history = history.succeeds().json();
        let records = history["records"].as_array().expect("a list");
        let newest = records[0]["bundle"].as_str().expect("an id");
        (records.len(), newest.to_owned())
    }

    /// Releases version 1 while the registry fails at a request. Returns false if the command ended
    /// before this request.
    fn release_with(&mut self, at: usize, failure: Failure) -> bool {
        self.restore();
        self.gateway = self.options.start();
        let (_, old) = self.history();
        self.registry.reset(Some((at, failure)));
        let applied = self.registry.apply(&self.project, &[]);
        let requests = self.registry.requests();
        let is_reached = requests.len() > at;
        let place = match requests.last() {
            Some(last) if is_reached => format!("request {at} ({}), {failure:?}", last.line),
            _ => format!("no request {at}"),
        };
        let is_done = applied.code == Some(0);
        assert!(
            is_done || (is_reached && applied.code == Some(69)),
            "{place}: {applied:?}"
        );
        // The gateway has what the registry has: the old or the new version.
        self.registry.reset(None);
        let (records, newest) = self.history();
        let has_changed = newest != old;
        assert_eq!(records, 1 + usize::from(has_changed), "{place}");
        assert!(has_changed || !is_done, "{place}: {applied:?}");
        self.gateway.notify();
        let expected = if has_changed { "v1" } else { "v0" };
        assert_eq!(self.served(), expected, "{place}");

        // The same command completes the release, with one record in all.
        self.registry.apply(&self.project, &[]).succeeds();
        assert_eq!(self.history().0, 2, "{place}");
        self.gateway.notify();
        assert_eq!(self.served(), "v1", "{place}");
        let status = self.gateway.status();
        assert_eq!(status["last_error"], Value::Null, "{place}");
        assert_eq!(self.gateway.stop(), Some(0), "{}", self.gateway.log());
        is_reached
    }

    /// Releases a version, and lets the registry fail at a request of the gateway's copy. Returns
    /// false if the copy ended before this request.
    fn copy_with(&mut self, at: usize, failure: Failure) -> bool {
        let place = format!("request {at}, {failure:?}");
        let old_text = format!("v{}", self.version);
        self.version += 1;
        let new_text = format!("v{}", self.version);
        let new = self.registry.release(&self.project, &new_text, &[]);
        self.registry.reset(Some((at, failure)));
        self.gateway.notify();
        let requests = self.registry.requests();
        let is_reached = requests.len() > at;
        let line = requests.last().map(|last| last.line.clone());
        let served = self.served();
        assert!(
            served == new_text || (is_reached && served == old_text),
            "{place} ({line:?}): {served}"
        );
        if is_reached {
            // The gateway has all that it needs for a start without the registry.
            assert_eq!(self.gateway.stop(), Some(0), "{}", self.gateway.log());
            self.gateway = self.options.start();
            assert_eq!(self.served(), served, "{place} ({line:?})");
        }
        self.registry.reset(None);
        self.gateway.notify();
        assert_eq!(self.served(), new_text, "{place} ({line:?})");
        let status = self.gateway.status();
        assert_eq!(status["bundle"], new, "{place}");
        assert_eq!(status["last_error"], Value::Null, "{place}");
        is_reached
    }
}

/// Replaces a folder by a copy of another one.
fn copy(from: &Path, to: &Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).expect("it can be removed");
    }
    std::fs::create_dir_all(to.parent().expect("a folder")).expect("it can be made");
    Ended::of(Command::new("cp").arg("-a").args([from, to])).succeeds();
}

/// Requests at which the registry fails, with the kind of failure: all of them, or one of `stride`.
fn failures(stride: usize) -> impl Iterator<Item = (usize, Failure)> {
    let stride = if prerequisite::is_full() { 1 } else { stride };
    (0..REQUESTS_MAX * FAILURES.len())
        .step_by(stride)
        .map(|place| (place / FAILURES.len(), FAILURES[place % FAILURES.len()]))
}

/// Number of failures until `reaches` returns false. Fails if this never happens.
fn count(stride: usize, mut reaches: impl FnMut(usize, Failure) -> bool) -> usize {
    for (reached, (at, failure)) in failures(stride).enumerate() {
        if !reaches(at, failure) {
            return reached;
        }
    }
    panic!("more than {REQUESTS_MAX} requests");
}

#[test]
fn release_is_whole_wherever_the_registry_fails() {
    let Some(mut world) = World::start() else {
        return;
    };
    assert_eq!(world.gateway.stop(), Some(0), "{}", world.gateway.log());
    world.project.write("gateway.yaml", gateway("v1"));
    world.save();
    // The stride is not a multiple of three, so that all kinds occur.
    let reached = count(40, |at, failure| world.release_with(at, failure));
    eprintln!("{reached} failures during gwc apply");
    assert!(reached >= 6, "{reached} failures");
}

#[test]
fn copy_is_whole_wherever_the_registry_fails() {
    let Some(mut world) = World::start() else {
        return;
    };
    let reached = count(4, |at, failure| world.copy_with(at, failure));
    eprintln!("{reached} failures during a copy");
    assert!(reached >= 6, "{reached} failures");
    let last = format!("v{}", world.version);
    answers(&world.gateway, &last);
    world.gateway.stops_clean();
}
