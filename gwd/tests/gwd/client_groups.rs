//! Overload: more clients, file descriptors, handshakes and bytes than the limits allow. The
//! process stays alive, reports the overload, and serves the clients within its limits.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bundle::digest::Digest;
use gwd::node::{Bounds, Node, Settings};
use serde_json::json;

use crate::fixture::*;
use crate::http2::{Http2, to};
use crate::slow_clients::Files;
use crate::world::{Process, World, numbered};

/// Reads the peak resident memory of a process, in bytes.
pub(crate) fn peak_bytes(gwd: &Process) -> u64 {
    let status = std::fs::read_to_string(gwd.root().with_file_name("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<u64>().unwrap() << 10
}

/// Clients in a separate process, because file descriptors are limited per process.
struct ClientGroup {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl ClientGroup {
    /// Starts the clients. Returns `None` if Python is not installed.
    fn start(address: SocketAddr, clients: usize) -> Option<Self> {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/peers/client_group.py"
        );
        let mut child = Command::new("python3")
            .args([
                script,
                &address.ip().to_string(),
                &address.port().to_string(),
            ])
            .arg(clients.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Some(Self {
            child,
            output: stdout,
        })
    }

    /// Waits until every connection has a result. Returns the number of `served`, `shed` and
    /// `closed` connections.
    fn results(&mut self) -> Vec<usize> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.split_whitespace()
            .map(|word| word.parse().unwrap())
            .collect()
    }
}

impl Drop for ClientGroup {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Three kinds of clients: some send a request and keep the connection, some stop in the middle of
/// a head, and some send only the HTTP/2 preface.
#[test]
fn crowd_under_bounded_memory_is_partly_served() {
    let (groups, each, memory) = if prerequisite::is_full() {
        (2, 10_000, 256)
    } else {
        (1, 1_500, 64)
    };
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let mut shop = shop(upstream.address, vec![op("GET", "/a").prefix()]);
    shop.listener.http2 = true;
    shop.listener.limits.connections = 100_000;
    let bundle = world.release(&shop.gateway());
    // Disable the limit per address, because all clients have one address.
    let unbounded = ["--connections-per-address", "100000"];
    let memory_limit = format!("{memory}MiB");
    let mut command = world.trusted();
    command.args(unbounded).args(["--memory", &memory_limit]);
    let gwd = Process::spawn(&mut command);
    gwd.wait_for(&bundle);
    let started: Vec<_> = (0..groups)
        .map(|_| ClientGroup::start(gwd.public(), each))
        .collect();
    let Some(mut group) = started.into_iter().collect::<Option<Vec<_>>>() else {
        prerequisite::skip("there is no python3");
        return;
    };
    let mut totals = [0; 3];
    for results in group.iter_mut().map(ClientGroup::results) {
        totals
            .iter_mut()
            .zip(results)
            .for_each(|(total, one)| *total += one);
    }
    let [served, shed, closed] = totals;
    let requests = groups * each / 2;
    let summary = format!("{served} served, {shed} shed, {closed} closed of {requests} that asked");
    // The default limit of connections: three quarters of the file descriptors.
    let places = (rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .maximum
        .map_or(usize::MAX, |most| usize::try_from(most).unwrap())
        - 128)
        / 4
        * 3;
    assert_eq!(served + shed + closed, requests, "{summary}");
    assert!(served * 10 >= requests.min(places / 2) * 9, "{summary}");
    let peak = peak_bytes(&gwd);
    // If other tests run on the machine, the gateway measures its memory late and may exceed
    // the limit for a moment.
    let late = if prerequisite::is_full() {
        0
    } else {
        memory / 8
    };
    assert!(
        peak <= (memory + late) << 20,
        "{} MiB at most; {summary}",
        peak >> 20
    );
    assert_eq!(gwd.status()["ready"], true);
    drop(group);
    eventually("a new request is served", || {
        get(gwd.public(), "/a").status == 200
    });
    println!("{summary}; {} MiB at most", peak >> 20);
}

/// Wraps a command in a shell that sets this limit first.
fn limited(limit: &str, plain: &Command) -> Command {
    let mut limited = Command::new("/bin/sh");
    limited
        .args(["-c", &format!("{limit} && exec \"$@\""), "sh"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear();
    for (name, value) in plain.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    limited
}

#[test]
fn log_file_at_its_size_limit_loses_only_lines() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let bundle = world.release(&numbered(&upstream, 1));
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let mut plain = world.trusted();
    plain.arg("--access-log").arg(&log);
    // A file size limit of 100 blocks; a block has 512 or 1,024 bytes, depending on the shell.
    let gwd = Process::spawn(&mut limited("ulimit -f 100", &plain));
    gwd.wait_for(&bundle);
    let path = format!("/{}", "n".repeat(1_000));
    for _ in 0..300 {
        let answer = get(gwd.public(), &path);
        assert!([200, 404].contains(&answer.status), "{answer:?}");
    }
    eventually("lost lines are counted", || {
        gwd.metric("gwd_log_dropped_total", &[]) > 0.0
    });
    let text = std::fs::read_to_string(&log).unwrap();
    let (whole, _cut) = text.rsplit_once('\n').unwrap();
    for line in whole.lines() {
        let _line: serde_json::Value = serde_json::from_str(line).unwrap();
    }
    assert_eq!(gwd.status()["ready"], true);
}

#[test]
fn last_descriptors_serve_admin_and_store() {
    // Start an upstream that does not answer until the test ends.
    let (release, gate) = gate();
    let upstream = Upstream::start(move |_, _| {
        let _released = gate.lock().unwrap().recv();
        Then::Close
    });
    let world = World::new();
    let mut shop = shop(upstream.address, vec![op("GET", "/a").prefix()]);
    shop.listener.http2 = true;
    let bundle = world.release(&shop.gateway());
    let gwd = Process::spawn(&mut limited("ulimit -n 320", &world.trusted()));
    gwd.wait_for(&bundle);
    let mut clients: Vec<Http2> = (0..3).map(|_| Http2::connect(gwd.public())).collect();
    let requests: Vec<_> = clients
        .iter_mut()
        .flat_map(|client| {
            let requests: Vec<_> = (0..100)
                .map(|_| client.begin(to("GET", "/a"), None))
                .collect();
            requests
        })
        .collect();
    eventually("a request has ended", || {
        requests.iter().any(tokio::task::JoinHandle::is_finished)
    });
    let open = || gwd.metric("process_open_fds", &[]);
    assert!(open() < 320.0 - 100.0, "{} descriptors are taken", open());
    // The admin interface responds, and a new release can be read from the store.
    assert_eq!(gwd.status()["ready"], true);
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    drop(release);
    let mut answers: Vec<u16> = Vec::new();
    for (client, begun) in clients
        .iter()
        .flat_map(|client| std::iter::repeat_n(client, 100))
        .zip(requests)
    {
        if let Ok(whole) = client.end(begun) {
            answers.push(whole.head.status().as_u16());
        }
    }
    assert!(answers.contains(&503), "{answers:?}");
    assert!(
        answers.iter().all(|status| [502, 503].contains(status)),
        "{answers:?}"
    );
}

#[test]
fn stalled_handshakes_delay_other_clients_briefly() {
    let upstream = Upstream::saying("ok");
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    let _certificate = crate::tls::with_certificate(&mut shop);
    let mut node = Node::start(Settings {
        workers: 2,
        bounds: Bounds {
            handshakes: 2,
            ..Bounds::NONE
        },
        ..settings()
    })
    .unwrap();
    let assembly = node.parts().assemble(&shop.gateway()).unwrap();
    let version = node.build(&assembly, Digest::of(b"one"), &Files).unwrap();
    node.bind(&version).unwrap();
    node.publish(&version, 1);
    let address = node.listeners()["public"];
    let count = |result: &str| metric(&node.metrics(), "gwd_tls_handshakes_total", &[result]);
    // Send only the first bytes of a ClientHello on two connections, so that both handshake slots
    // are in use.
    let begun: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
            stream
        })
        .collect();
    let curl = || {
        let output = Command::new("curl")
            .args(["-s", "-k", "--max-time", "9"])
            .args(["-H", "host: shop.example"])
            .arg(format!("https://{address}/a"))
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(curl(), "ok");
    // The gateway closed one connection to make room for curl, and the other at its timeout.
    for mut stream in begun {
        let mut rest = Vec::new();
        let _reset = stream.read_to_end(&mut rest);
    }
    eventually("timed-out handshakes are counted", || {
        count("\"timeout\"") == 2.0
    });
}

/// Starts a server that passes each accepted connection to `serve`.
pub(crate) fn bare_upstream(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Number of bytes that a test sends and receives.
fn volume() -> u64 {
    if prerequisite::is_full() {
        2 << 30
    } else {
        256 << 20
    }
}

#[test]
fn large_bodies_in_both_directions_need_little_memory() {
    let upstream = bare_upstream(|mut stream| {
        let mut piece = vec![0; 1 << 18];
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            head.push(byte[0]);
        }
        let mut left = if head.starts_with(b"POST") {
            volume()
        } else {
            0
        };
        while left > 0 {
            let read = stream.read(&mut piece).unwrap();
            assert!(read > 0, "the upload broke off");
            left -= read as u64;
        }
        let mut left = if head.starts_with(b"POST") {
            2
        } else {
            volume()
        };
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {left}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        while left > 0 {
            let length = piece.len().min(usize::try_from(left).unwrap());
            if stream.write_all(&piece[..length]).is_err() {
                return;
            }
            left -= length as u64;
        }
    });
    let world = World::new();
    let shop = shop(upstream, vec![op("GET", "/a"), op("POST", "/a")]);
    let bundle = world.release(&shop.gateway());
    let gwd = Process::spawn(&mut world.trusted());
    gwd.wait_for(&bundle);
    let ask = |request: String, up: u64| {
        let mut stream = TcpStream::connect(gwd.public()).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut piece = vec![0; 1 << 18];
        let mut left = up;
        while left > 0 {
            let length = piece.len().min(usize::try_from(left).unwrap());
            stream.write_all(&piece[..length]).unwrap();
            left -= length as u64;
        }
        let mut total = 0;
        loop {
            match stream.read(&mut piece).unwrap() {
                0 => return total,
                read => total += read as u64,
            }
        }
    };
    let plain = "HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n";
    // Send one request first, so that one-time allocations are not measured.
    ask(format!("GET /b {plain}\r\n"), 0);
    let before = peak_bytes(&gwd);
    let down = ask(format!("GET /a {plain}\r\n"), 0);
    assert!((volume()..volume() + 1_000).contains(&down), "{down}");
    let up = ask(
        format!("POST /a {plain}content-length: {}\r\n\r\n", volume()),
        volume(),
    );
    assert!(up < 1_000, "{up}");
    let grown = peak_bytes(&gwd).saturating_sub(before);
    assert!(grown < 16 << 20, "grew by {} KiB", grown >> 10);
    assert_eq!(gwd.status()["ready"], json!(true));
}
