//! Tests of limits while the clock of their store jumps. A small library shifts the clock of
//! redis-server (`tests/peers/clock_shift.c`).

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;

use super::*;

/// A redis-server whose clock the test sets.
struct Shifted {
    server: Server,
    /// Shift of the clock in seconds, as an integer of eight bytes. The server maps the file.
    shift: File,
}

impl Shifted {
    /// Starts the server with the right clock. `None` if there is no C compiler.
    fn start() -> Option<Self> {
        if !prerequisite::program("cc") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let library = folder.path().join("clock_shift.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/clock_shift.c");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source]);
        assert!(compiler.status().is_ok_and(|status| status.success()));
        let path = folder.path().join("shift");
        std::fs::write(&path, 0_i64.to_ne_bytes()).expect("our folder");
        let port = free_port();
        let mut command = Command::new(REDIS);
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--requirepass", "s3cret", "--dir"])
            .arg(folder.path())
            .env("LD_PRELOAD", library)
            .env("CLOCK_SHIFT", &path)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let server = Server {
            program: PathBuf::from(REDIS),
            child: process::start(&mut command),
            port,
            folder,
            security: Security::default(),
        };
        server.wait_ready();
        let shift = OpenOptions::new().write(true).open(path);
        let shift = shift.expect("our file");
        Some(Self { server, shift })
    }

    fn now_s(&self) -> i64 {
        let time = self.server.ask(&["TIME"]);
        let seconds = time.lines().next().and_then(|line| line.parse().ok());
        seconds.expect("a number")
    }

    /// Shifts the clock from the right time by this number of seconds.
    fn shift(&self, seconds: i64) {
        let right = || {
            let now = std::time::SystemTime::now();
            let now = now
                .duration_since(std::time::UNIX_EPOCH)
                .expect("after 1970");
            i64::try_from(now.as_secs()).expect("a small number")
        };
        let bytes = seconds.to_ne_bytes();
        self.shift.write_all_at(&bytes, 0).expect("our file");
        wait::until("the clock is shifted", || {
            let error = self.now_s() - right() - seconds;
            (error.abs() <= 2).then_some(())
        });
    }
}

/// Limit of five requests.
struct Row {
    limit: &'static str,
    /// Requests that the exhausted limit admits in a second.
    per_s: f64,
    /// Longest time in seconds after which the exhausted limit admits a request again.
    recovers_s: Option<u64>,
}

const ROWS: [Row; 3] = [
    Row {
        limit: "kind: rate_limit, limit: 60/min, burst: 5",
        per_s: 1.0,
        recovers_s: Some(1),
    },
    Row {
        limit: "kind: quota, limit: 5, window: 3s",
        per_s: 5.0 / 3.0,
        recovers_s: Some(6),
    },
    Row {
        limit: "kind: quota, limit: 5, period: month",
        per_s: 0.0,
        recovers_s: None,
    },
];

/// Jumps of the clock: its shift in seconds, and the number of requests that the jump may admit.
const JUMPS: [(i64, f64); 5] = [
    (0, 5.0),
    (40 * DAY, 5.0),
    (40 * DAY - 3_600, 0.0),
    (-3_600, 0.0),
    (0, 5.0),
];
const DAY: i64 = 86_400;

/// A jump forward admits at most the limit once more. A jump back admits nothing more, and delays
/// the next request by at most the time in which the limit recovers.
#[test]
fn jump_of_the_clock_admits_at_most_the_limit() {
    if is_missing() {
        return;
    }
    let Some(shifted) = Shifted::start() else {
        return;
    };
    let upstream = Upstream::start();
    for Row {
        limit,
        per_s,
        recovers_s,
    } in ROWS
    {
        let project = project(&upstream, limit, "closed");
        let gwd = gateway(&project, &shifted.server);
        // Number of requests that each jump admitted, and the time since the jump before.
        let counts = wait::until("no call to the store is late", || {
            shifted.shift(0);
            shifted.server.ask(&["FLUSHALL"]);
            let before = outages(&[&gwd]);
            let mut begin = Instant::now();
            let counts = JUMPS.map(|(seconds, _)| {
                shifted.shift(seconds);
                let admitted = admitted(&[&gwd], 20);
                let passed = std::mem::replace(&mut begin, Instant::now()).elapsed();
                (admitted as f64, passed.as_secs_f64())
            });
            (outages(&[&gwd]) == before).then_some(counts)
        });
        assert!(
            counts[0].0 >= 5.0 && counts[1].0 >= 5.0,
            "{limit} {counts:?}"
        );
        for ((admitted, passed), (_, most)) in counts.iter().zip(JUMPS) {
            // The limit also regains tokens in the time that really passed.
            let regained = match per_s > 0.0 {
                true => passed.mul_add(per_s, 1.0),
                false => 0.0,
            };
            assert!(*admitted <= most + regained, "{limit} {counts:?}");
        }
        let Some(recovers_s) = recovers_s else {
            continue;
        };
        shifted.shift(-3_600);
        let begin = Instant::now();
        wait::until("the limit admits requests again", || {
            (ask(&gwd).0 == 200).then_some(())
        });
        let waited = begin.elapsed();
        assert!(
            waited < Duration::from_secs(recovers_s + 1),
            "{limit} {waited:?}"
        );
    }
}
