//! Fixture with the real gwd program: a store with releases, signing keys, and a gateway that
//! follows a channel.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use bundle::digest::Digest;
use bundle::ir;
use bundle::keys::PrivateKey;
use bundle::lists;
use bundle::manifest::{ApiPart, Bundle, Config, FORMAT, Parts};
use bundle::moment::Moment;
use bundle::publish::{self, Draft, Revocation};
use bundle::statement::predicate::{Build, Builder, Pointer, RecordKind, Role};
use bundle::store::folder::Folder;
use bundle::trust::{KeyState, Scope, Trust, TrustedKey};
use serde_json::Value;

use crate::fixture::{Answer, Client, Upstream, WAIT_MAX, eventually, metric, op, shop};

/// Project with a store, a trust file and folders.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Folder,
    trust: Trust,
}

/// Running gwd process.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    pub(crate) admin: SocketAddr,
}

pub(crate) const TOKEN: &str = "0123456789abcdef0123";

pub(crate) fn key(owner: &str) -> PrivateKey {
    PrivateKey::from_entropy(Digest::of(owner.as_bytes()).as_bytes()).unwrap()
}

pub(crate) fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Moment::from_unix_s(since.as_secs())
}

/// Entry of the trust file for an owner's key.
pub(crate) fn trusted(owner: &str, role: Role, state: KeyState) -> TrustedKey {
    let public = key(owner).public();
    TrustedKey {
        id: public.id(),
        owner: owner.to_owned(),
        spki: public,
        roles: BTreeSet::from([role]),
        channels: BTreeSet::from([Scope::All]),
        not_before: Moment::EPOCH,
        not_after: Moment::MAX,
        state,
    }
}

/// Trust file with these keys: owner, role and state of each.
pub(crate) fn trust_of(keys: &[(&str, Role, KeyState)]) -> Trust {
    keys.iter()
        .fold(Trust::new("shop".parse().unwrap()), |trust, key| {
            trust.add_key(trusted(key.0, key.1, key.2)).unwrap()
        })
}

pub(crate) fn draft(bundle: Digest, evidence: Digest, kind: RecordKind, actor: &str) -> Draft {
    Draft {
        project: "shop".parse().unwrap(),
        channel: "prod".parse().unwrap(),
        bundle,
        kind,
        actor: actor.to_owned(),
        reason: "because".to_owned(),
        created: now(),
        expires: None,
        plan: None,
        source: None,
        evidence: BTreeSet::from([evidence]),
        merges: BTreeSet::new(),
        rollout: None,
        override_freeze: None,
        withdraw: BTreeSet::new(),
        streams: None,
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Folder::create(&folder.path().join("store")).unwrap();
        let active = KeyState::Active;
        let trust = trust_of(&[
            ("ci", Role::Build, active),
            ("rita", Role::Release, active),
            ("rob", Role::Revoke, active),
        ]);
        let world = Self {
            folder,
            store,
            trust,
        };
        std::fs::write(world.path("trust.json"), world.trust.to_json()).unwrap();
        std::fs::write(world.path("token"), TOKEN).unwrap();
        std::fs::create_dir(world.path("secrets")).unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn assemble(gateway: &ir::Gateway, needs: &[&str]) -> Bundle {
        Self::assemble_with(gateway, needs, bundle::codec::encode(&gateway.shared))
    }

    /// Assembles a bundle whose shared blob has these bytes.
    pub(crate) fn assemble_with(gateway: &ir::Gateway, needs: &[&str], shared: Vec<u8>) -> Bundle {
        let mut all: BTreeSet<_> = gateway
            .needs()
            .iter()
            .map(|need| need.parse().unwrap())
            .collect();
        all.extend(needs.iter().map(|need| need.parse().unwrap()));
        let config = Config {
            format: FORMAT,
            project: "shop".parse().unwrap(),
            needs: all,
            counts: BTreeMap::new(),
        };
        let apis = gateway.apis.iter().map(|api| ApiPart {
            name: api.name.clone(),
            behaviour: bundle::codec::encode(api),
            contract: b"contract".to_vec(),
        });
        let parts = Parts {
            shared,
            apis: apis.collect(),
            ..Parts::default()
        };
        Bundle::assemble(config, parts).unwrap()
    }

    /// Publishes a gateway with bundle, build statement and channel record.
    pub(crate) fn release(&self, gateway: &ir::Gateway) -> Digest {
        self.release_as(gateway, &[], "rita", "ci")
    }

    pub(crate) fn release_as(
        &self,
        gateway: &ir::Gateway,
        needs: &[&str],
        releaser: &str,
        builder: &str,
    ) -> Digest {
        let (bundle, evidence) = self.put(gateway, needs, builder);
        self.point(bundle, evidence, RecordKind::Release, releaser);
        bundle
    }

    /// Publishes a gateway with a changed channel record.
    pub(crate) fn release_with(
        &self,
        gateway: &ir::Gateway,
        edit: impl FnOnce(&mut Draft),
    ) -> Digest {
        let (bundle, evidence) = self.put(gateway, &[], "ci");
        let mut draft = draft(bundle, evidence, RecordKind::Release, "rita");
        edit(&mut draft);
        publish::release(&self.store, Some(&self.trust), draft, None, &[&key("rita")]).unwrap();
        bundle
    }

    /// Stores a bundle and its build statement, without a channel record.
    pub(crate) fn put(
        &self,
        gateway: &ir::Gateway,
        needs: &[&str],
        builder: &str,
    ) -> (Digest, Digest) {
        Self::put_into(&self.store, gateway, needs, builder)
    }

    pub(crate) fn put_into(
        store: &Folder,
        gateway: &ir::Gateway,
        needs: &[&str],
        builder: &str,
    ) -> (Digest, Digest) {
        Self::put_bundle(store, &Self::assemble(gateway, needs), builder)
    }

    /// Stores a finished bundle with its build statement.
    pub(crate) fn put_bundle(store: &Folder, bundle: &Bundle, builder: &str) -> (Digest, Digest) {
        let descriptor = publish::put_bundle(store, bundle).unwrap();
        let build = Build {
            builder: Builder {
                gwc: "0.1.0".to_owned(),
                commit: None,
            },
            format: FORMAT,
            git: None,
            environment: None,
            project: "shop".parse().unwrap(),
            source: None,
        };
        let evidence = publish::put_build(store, descriptor, build, &[&key(builder)]).unwrap();
        (bundle.id(), evidence)
    }

    /// Publishes a record that names a bundle of the store.
    pub(crate) fn point(
        &self,
        bundle: Digest,
        evidence: Digest,
        kind: RecordKind,
        releaser: &str,
    ) -> Pointer {
        let draft = draft(bundle, evidence, kind, releaser);
        publish::release(&self.store, None, draft, None, &[&key(releaser)]).unwrap()
    }

    /// Replaces the trust file by a rename, as an operator does.
    pub(crate) fn trust(&mut self, edit: impl FnOnce(Trust) -> Trust) {
        self.trust = edit(self.trust.clone());
        let fresh = self.path("trust.json.new");
        std::fs::write(&fresh, self.trust.to_json()).unwrap();
        std::fs::rename(fresh, self.path("trust.json")).unwrap();
    }

    /// Publishes a revocation list: the newest list with the entries of `added`.
    pub(crate) fn revoke(&self, mut added: Revocation) {
        let channel = "prod".parse().unwrap();
        let lists = lists::in_force(&self.store, None, &channel, now()).unwrap();
        lists.list().iter().for_each(|list| added.extend(list));
        let project = "shop".parse().unwrap();
        publish::revoke(
            &self.store,
            Some(&self.trust),
            project,
            (&channel, added),
            now(),
            &[&key("rob")],
        )
        .unwrap();
    }

    /// Creates the command `gwd run` with the options for this project.
    pub(crate) fn command(&self) -> Command {
        self.command_of("node-1", "state")
    }

    /// Like [`Self::command`], for a node with this name and this state folder.
    pub(crate) fn command_of(&self, node: &str, state: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gwd"));
        command
            .env_clear()
            .env("RUST_BACKTRACE", "0")
            .env("GWS_EDGE", "hunter2")
            .arg("run")
            // Options of a test on the command line override these variables.
            .env("GWD_WORKERS", "2")
            .env("GWD_PRE_STOP", "0s")
            .args(["--admin", "127.0.0.1:0", "--node", node])
            .arg("--store")
            .arg(self.path("store"))
            .arg("--state")
            .arg(self.path(state))
            .arg("--secret-dir")
            .arg(self.path("secrets"))
            .arg("--admin-token-file")
            .arg(self.path("token"));
        command
    }

    pub(crate) fn trusted(&self) -> Command {
        let mut command = self.command();
        command.arg("--trust").arg(self.path("trust.json"));
        command
    }

    /// Starts gwd as the node with this name, with a state folder of its own.
    pub(crate) fn start_node(&self, node: &str) -> Process {
        let mut command = self.command_of(node, &format!("state-{node}"));
        Process::spawn(command.arg("--trust").arg(self.path("trust.json")))
    }

    /// Starts gwd and waits until its admin interface is up.
    pub(crate) fn start(&self) -> Process {
        Process::spawn(&mut self.trusted())
    }

    /// Starts a gateway, and releases version 1 and then version 2.
    pub(crate) fn two_versions(&self, upstream: &Upstream) -> (Process, Digest, Digest) {
        let one = self.release(&numbered(upstream, 1));
        let gwd = self.start();
        let two = self.release(&numbered(upstream, 2));
        gwd.wait_for(&two);
        (gwd, one, two)
    }

    /// Runs `gwd check` for a node without a state folder.
    pub(crate) fn check(&self) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gwd"));
        command
            .args(["check", "--format", "json", "--store"])
            .arg(self.path("store"))
            .arg("--trust")
            .arg(self.path("trust.json"))
            .arg("--state")
            .arg(self.path("no-state"));
        command.output().unwrap()
    }

    /// Runs gwd until it exits.
    pub(crate) fn fails(&self, command: &mut Command) -> Output {
        command.output().unwrap()
    }
}

/// A gateway with the paths `/a` and `/vN`, where N is the number of the version.
pub(crate) fn numbered(upstream: &Upstream, number: u32) -> ir::Gateway {
    let path = ["/v0", "/v1", "/v2", "/v3", "/v4"][number as usize];
    let mut shop = shop(upstream.address, vec![op("GET", "/a"), op("GET", path)]);
    shop.expose_bundle = true;
    shop.gateway()
}

/// Copies a folder recursively.
pub(crate) fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if !target.exists() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::<Mutex<Vec<Value>>>::default();
        let lines = Arc::clone(&log);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                lines.lock().unwrap().push(event);
            }
        });
        let mut process = Self {
            child,
            log,
            admin: "127.0.0.1:1".parse().unwrap(),
        };
        eventually("the process is up", || {
            let events = process.events();
            if let Ok(Some(status)) = process.child.try_wait() {
                panic!("ended: {status} {events:#?}");
            }
            let up = events
                .iter()
                .find(|event| matches!(event["message"].as_str(), Some("serving" | "not ready")));
            if let Some(at) = up.and_then(|event| event["admin"].as_str()) {
                process.admin = at.parse().unwrap_or(process.admin);
                return true;
            }
            false
        });
        process
    }

    /// Wraps a process whose log the test reads itself.
    pub(crate) fn of(child: Child, admin: SocketAddr) -> Self {
        let log = Arc::default();
        Self { child, log, admin }
    }

    /// Lines of the program log so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn logged(&self, message: &str) -> Option<Value> {
        self.events().into_iter().find(|event| {
            event["message"]
                .as_str()
                .is_some_and(|message_text| message_text.contains(message))
        })
    }

    pub(crate) fn open(&self, path: &str) -> Answer {
        let mut client = Client::connect(self.admin);
        client.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
        client.answer()
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut client = Client::connect(self.admin);
        client.send(&format!(
            "{method} {path} HTTP/1.1\r\nhost: admin\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
        client.answer()
    }

    pub(crate) fn status(&self) -> Value {
        self.ask("GET", "/v1/status", "").json()
    }

    /// Address of the listener `public`.
    pub(crate) fn public(&self) -> SocketAddr {
        self.status()["listeners"]["public"]
            .as_str()
            .expect("a listener")
            .parse()
            .unwrap()
    }

    pub(crate) fn runs(&self, bundle: &Digest) -> bool {
        self.status()["bundle"] == bundle.to_string()
    }

    pub(crate) fn wait_for(&self, bundle: &Digest) {
        eventually("the bundle runs", || self.runs(bundle));
    }

    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        metric(self.open("/metrics").text(), name, labels)
    }

    /// Root of the file system as the process sees it.
    pub(crate) fn root(&self) -> PathBuf {
        format!("/proc/{}/root", self.child.id()).into()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let end = std::time::Instant::now() + WAIT_MAX;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(std::time::Instant::now() < end, "it does not end");
            std::thread::park_timeout(std::time::Duration::from_millis(2));
        }
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}
