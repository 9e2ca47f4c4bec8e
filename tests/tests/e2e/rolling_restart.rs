//! Restarts of six gateways behind HAProxy, one after the other, while clients send requests. No
//! request may fail.
//!
//! HAProxy has the configuration of docs/operate.md. It checks `/readyz` at the admin interface of
//! each gateway. A gateway that stops is not ready at once, and serves for `--pre-stop`, so that
//! HAProxy uses the other gateways before the drain begins.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use e2e::binaries;
use e2e::client::Connection;
use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::server::{Server, free_port};
use e2e::wait;

use crate::registries::{DOCUMENT, gateway};
use crate::steady_client::SteadyClient;

/// Number of gateways.
const GATEWAYS: usize = 6;
/// Number of clients.
const CLIENTS: usize = 8;

/// Six gateways behind HAProxy.
struct World {
    options: Vec<Options>,
    gateways: Vec<Gateway>,
    balancer: SocketAddr,
    _haproxy: Server,
    _project: Project,
}

impl World {
    /// Starts the gateways and HAProxy. `None` if HAProxy is not installed.
    #[track_caller]
    fn start() -> Option<Self> {
        if !prerequisite::program("haproxy") {
            return None;
        }
        let project = Project::with(&gateway("v1"), DOCUMENT);
        project.keygen();
        project.apply();
        let ports: Vec<u16> = (0..GATEWAYS).map(|_| free_port()).collect();
        let sockets = ports
            .iter()
            .map(|port| project.path(&format!("{port}.sock")));
        let sockets: Vec<_> = sockets.collect();
        let options: Vec<Options> = ports
            .iter()
            .zip(&sockets)
            .map(|(port, socket)| {
                Options::of(&project)
                    .workers(1)
                    .node(&format!("gw-{port}"))
                    .state(&project.path(&format!("state-{port}")))
                    .admin(socket)
                    .pre_stop("2s")
                    .listeners(&[])
                    .arguments(&["--listen", &format!("public=127.0.0.1:{port}")])
            })
            .collect();
        let mut gateways: Vec<Gateway> = options.iter().map(Options::spawn).collect();
        gateways.iter_mut().for_each(Gateway::wait_ready);
        let port = free_port();
        let mut config = format!(
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  \
             timeout server 30s\n\
             frontend f\n  bind 127.0.0.1:{port}\n  default_backend gateways\n{}",
            backend()
        );
        for (at, (port, socket)) in ports.iter().zip(&sockets).enumerate() {
            let socket = socket.display();
            writeln!(config, "  server s{at} 127.0.0.1:{port} addr unix@{socket}").expect("text");
        }
        project.write("haproxy.cfg", config);
        let file = project.path("haproxy.cfg");
        let haproxy = Server::start(Command::new("haproxy").args(["-db", "-f"]).arg(file))?;
        let balancer = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait::until("HAProxy forwards requests", || {
            let response = Connection::open(balancer).ok()?.ask(REQUEST).ok()?;
            (response.status == 200).then_some(())
        });
        let world = Self {
            options,
            gateways,
            balancer,
            _haproxy: haproxy,
            _project: project,
        };
        (0..GATEWAYS).for_each(|at| world.wait_used(at));
        Some(world)
    }

    /// Starts clients that send requests without a pause.
    fn load(&self) -> Vec<SteadyClient> {
        let clients =
            (0..CLIENTS).map(|_| SteadyClient::start(vec![self.balancer], Duration::ZERO));
        clients.collect()
    }

    /// Sends requests until HAProxy has forwarded one to a gateway.
    fn wait_used(&self, at: usize) {
        let count = || {
            let metrics = self.gateways[at].metrics();
            metrics.sum("http_server_request_duration_seconds_count", &[])
        };
        let before = count();
        wait::until("HAProxy uses the gateway", || {
            let response = Connection::open(self.balancer).ok()?.ask(REQUEST).ok()?;
            (response.status == 200 && count() > before).then_some(())
        });
    }
}

const REQUEST: &str = "GET /version HTTP/1.1\nhost: h\nconnection: close";

/// Backend of HAProxy in docs/operate.md, without its servers, and with checks every 50 ms.
fn backend() -> String {
    let page = binaries::workspace().join("docs/operate.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let (_, behind) = page.split_once("```haproxy\n").expect("the configuration");
    let (backend, _) = behind.split_once("  server ").expect("a server");
    assert!(backend.contains("inter 1s"), "{backend}");
    backend.replace("inter 1s", "inter 50ms")
}

/// Ends the clients and checks that no request failed.
fn end(clients: Vec<SteadyClient>) {
    let answered: usize = clients.into_iter().map(SteadyClient::stop).sum();
    eprintln!("{answered} requests through HAProxy, none lost");
    assert!(answered > 100, "{answered} requests");
}

#[test]
fn rolling_restart_behind_haproxy_loses_nothing() {
    let Some(mut world) = World::start() else {
        return;
    };
    let clients = world.load();
    for at in 0..GATEWAYS {
        let code = world.gateways[at].stop();
        assert_eq!(code, Some(0), "{}", world.gateways[at].log());
        world.gateways[at] = world.options[at].start();
        world.wait_used(at);
    }
    end(clients);
}

#[test]
fn take_over_behind_haproxy_loses_nothing() {
    let Some(mut world) = World::start() else {
        return;
    };
    let clients = world.load();
    for at in 0..GATEWAYS {
        let successor = world.options[at].clone().arguments(&["--take-over"]);
        let successor = successor.start();
        let mut old = std::mem::replace(&mut world.gateways[at], successor);
        assert_eq!(old.wait_end(), Some(0), "{}", old.log());
        world.wait_used(at);
    }
    end(clients);
}
