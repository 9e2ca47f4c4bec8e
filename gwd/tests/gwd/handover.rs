//! Handover from one process to the next: the sockets stay open and no client sees an error.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http::Request;

use crate::fixture::*;
use crate::http2::{Http2, http2};
use crate::websocket::{HANDSHAKE, agree, websocket};
use crate::world::*;

const GET: &str = "GET /a HTTP/1.1\r\nhost: h\r\n\r\n";

const REFUSED: &str = "no connection";

/// Clients that send requests without a pause. Half of them keep their connections.
struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    clients: Vec<std::thread::JoinHandle<Vec<String>>>,
}

impl Load {
    /// Starts the clients. With `may_refuse`, a refused connection ends a client; otherwise a
    /// refused connection is an error.
    fn start(address: SocketAddr, clients: usize, may_refuse: bool) -> Self {
        let (stop, answers) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let client = |keeps: bool| {
            let (stop, answers) = (Arc::clone(&stop), Arc::clone(&answers));
            std::thread::spawn(move || {
                let (mut errors, mut kept, mut refused) = (Vec::new(), None, false);
                while !refused && !stop.load(Ordering::Relaxed) {
                    match ask(address, &mut kept, keeps) {
                        Ok(()) => drop(answers.fetch_add(1, Ordering::Relaxed)),
                        Err(error) if error.starts_with(REFUSED) => refused = true,
                        Err(error) => errors.push(error),
                    }
                }
                if refused && !may_refuse {
                    errors.push(REFUSED.to_owned());
                }
                errors
            })
        };
        let clients = (0..clients).map(|index| client(index % 2 == 0)).collect();
        Self {
            stop,
            answers,
            clients,
        }
    }

    fn more(&self) {
        let before = self.answers.load(Ordering::Relaxed);
        eventually("200 more requests are answered", || {
            self.answers.load(Ordering::Relaxed) > before + 200
        });
    }

    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let clients = self.clients.into_iter();
        clients.flat_map(|client| client.join().unwrap()).collect()
    }
}

/// Sends one request. If a kept connection was closed meanwhile, sends the request again on a new
/// connection, as usual clients do.
fn ask(address: SocketAddr, kept: &mut Option<TcpStream>, keeps: bool) -> Result<(), String> {
    let reused = kept.is_some();
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => TcpStream::connect(address).map_err(|error| format!("{REFUSED}: {error}"))?,
    };
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    let mut response = Vec::new();
    let sent = stream.write_all(GET.as_bytes());
    let mut buffer = [0; 1024];
    while sent.is_ok() && !response.ends_with(b"\r\n\r\nok") {
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => response.extend_from_slice(&buffer[..read]),
            Ok(_) | Err(_) => break,
        }
    }
    let response = String::from_utf8_lossy(&response).to_ascii_lowercase();
    if response.is_empty() && reused {
        return ask(address, kept, keeps);
    }
    if !response.starts_with("http/1.1 200 ") || !response.ends_with("ok") {
        return Err(format!("after {sent:?}: {response:?}"));
    }
    if keeps && !response.contains("connection: close") {
        *kept = Some(stream);
    }
    Ok(())
}

/// Creates a store, and starts an upstream and a gateway that serves `/a`, `/ws` and HTTP/2.
fn world() -> (World, Upstream) {
    let upstream = Upstream::start(|seen, stream| {
        if seen.line().contains("/ws") {
            return agree(seen, stream);
        }
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let world = World::new();
    let mut shop = http2(websocket(&upstream));
    shop.ops.push(op("GET", "/a"));
    world.release(&shop.gateway());
    (world, upstream)
}

#[test]
fn replacing_the_process_under_load_loses_no_request() {
    let (world, _upstream) = world();
    let mut old = Process::spawn(world.trusted().args(["--drain-timeout", "6s"]));
    let address = old.public();
    let load = Load::start(address, 8, false);
    load.more();
    let mut tunnel = Client::connect(address);
    tunnel.send(HANDSHAKE);
    tunnel.head();
    tunnel.bytes(7);
    let mut streams = Http2::connect(address);
    let answer_of = |streams: &mut Http2| {
        let request = Request::get(format!("http://{address}/a"))
            .body(())
            .unwrap();
        let answer = streams.begin(request, None);
        streams.end(answer).unwrap()
    };
    assert_eq!(answer_of(&mut streams).body, b"ok");

    // Hand over twice, each time to a process with another number of workers.
    for workers in ["3", "1"] {
        let new = Process::spawn(world.trusted().args([
            "--take-over",
            "--workers",
            workers,
            "--drain-timeout",
            "6s",
        ]));
        assert_eq!(new.public(), address);
        eventually("the old process logs the takeover", || {
            old.logged("another process has taken over; this one drains its connections")
                .is_some()
        });
        if workers == "3" {
            let frame = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
            tunnel.another().write_all(&frame).unwrap();
            assert_eq!(tunnel.bytes(8), frame, "it stays open in the old process");
            // The drain of the old process ends, and the process closes its WebSocket.
            assert_eq!(tunnel.bytes(4), [0x88, 0x02, 0x03, 0xE9]);
            drop(std::mem::replace(&mut tunnel, Client::connect(address)));
        }
        assert!(old.wait().success());
        load.more();
        assert_eq!(new.open("/readyz").status, 200);
        let taken = world.fails(&mut world.trusted());
        assert_eq!(taken.status.code(), Some(65), "the lock came along");
        old = new;
    }
    let mut streams = Http2::connect(address);
    assert_eq!(answer_of(&mut streams).body, b"ok");
    let errors = load.end();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn process_that_cannot_serve_does_not_take_over() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let address = gwd.public();
    // The trust file of this successor does not contain the key that signed the release.
    let mut other = World::new();
    other.trust(|_| {
        trust_of(&[(
            "nobody",
            bundle::statement::predicate::Role::Release,
            bundle::trust::KeyState::Active,
        )])
    });
    let mut command = world.command();
    command
        .arg("--take-over")
        .arg("--trust")
        .arg(other.path("trust.json"));
    let failed = world.fails(&mut command);
    assert!(!failed.status.success());
    eventually("the old process logs the failure", || {
        gwd.logged("failed to take over").is_some()
    });
    assert_eq!(get(address, "/v1").status, 200);
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
}

#[test]
fn stop_under_load_loses_no_request() {
    let (world, _upstream) = world();
    let mut gwd = Process::spawn(world.trusted().args(["--pre-stop", "500ms"]));
    let address = gwd.public();
    let load = Load::start(address, 6, true);
    load.more();
    gwd.signal(rustix::process::Signal::TERM);
    assert!(gwd.wait().success());
    // After the stop no process listens, so that clients are refused. Every request before the stop
    // was answered.
    let errors = load.end();
    assert!(errors.is_empty(), "{errors:#?}");
    let stopped = gwd.logged("stopped").unwrap();
    assert_eq!(stopped["forced_closes"], 0);
}

#[test]
fn systemd_passes_sockets_and_gets_notifications() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let bound = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = bound.local_addr().unwrap();
    // A client that connects before the process starts waits in the queue of the socket.
    let mut early = TcpStream::connect(address).unwrap();
    let socket = UnixDatagram::bind(world.path("notify")).unwrap();
    socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
    rustix::io::fcntl_setfd(&bound, rustix::io::FdFlags::empty()).unwrap();
    let gwd = world.trusted();
    let mut command = Command::new("bash");
    command
        .env_clear()
        .envs(
            gwd.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", "public")
        .env("NOTIFY_SOCKET", world.path("notify"))
        .env("WATCHDOG_USEC", "300000")
        .arg("-c")
        .arg(format!(
            "export LISTEN_PID=$$; exec \"$0\" \"$@\" 3<&{}",
            bound.as_raw_fd()
        ))
        .arg(gwd.get_program())
        .args(gwd.get_args());
    let mut process = Process::spawn(&mut command);
    assert_eq!(process.public(), address);
    early
        .write_all(b"GET /v1 HTTP/1.1\r\nhost: h\r\n\r\n")
        .unwrap();
    let mut start = [0; 12];
    early.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    drop(early);
    let mut buffer = [0; 256];
    let mut next = || {
        let read = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    };
    let mut wait_for = |wanted: &str| while !next().contains(wanted) {};
    wait_for("READY=1");
    wait_for("WATCHDOG=1");
    process.signal(rustix::process::Signal::HUP);
    wait_for("RELOADING=1");
    wait_for("READY=1");
    process.signal(rustix::process::Signal::TERM);
    wait_for("STOPPING=1");
    assert!(process.wait().success());
}

/// Two HTTP/2 clients with open streams are assigned to two different workers out of eight.
#[test]
fn two_busy_http2_clients_land_on_different_workers() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::start(move |_, stream| {
        let _gone = released.lock().unwrap().recv_timeout(WAIT_MAX);
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let shop = http2(shop(upstream.address, vec![op("GET", "/a")]));
    let served = shop.serve_with(8, gwd::node::AccessLog::Off);
    let mut clients = Vec::new();
    for open in 1..=8u64 {
        let mut client = Http2::connect(served.address);
        let answers: Vec<_> = (0..3)
            .map(|_| {
                let request = Request::get(format!("http://{}/a", served.address));
                client.begin(request.body(()).unwrap(), None)
            })
            .collect();
        eventually("the client's streams are open", || {
            served.node.loads().iter().sum::<u64>() == open * 25
        });
        clients.push((client, answers));
    }
    assert_eq!(served.node.loads(), [25; 8]);
    drop(release);
    for (client, answers) in clients {
        for answer in answers {
            assert_eq!(client.end(answer).unwrap().body, b"ok");
        }
    }
}
