//! Tests of limits while the clock of their store jumps, and with gateways whose clocks are wrong. A
//! small library shifts the clock of redis-server and of gwd (`tests/peers/clock_shift.c`).

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
        let library = library(folder.path());
        let path = shift_file(folder.path(), 0);
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

/// Compiles the library that shifts the clock of a process.
fn library(folder: &Path) -> PathBuf {
    let library = folder.join("clock_shift.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/clock_shift.c");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source]);
    assert!(compiler.status().is_ok_and(|status| status.success()));
    library
}

/// Creates a file with the shift of a clock in seconds.
fn shift_file(folder: &Path, seconds: i64) -> PathBuf {
    let path = folder.join(format!("shift{seconds}"));
    std::fs::write(&path, seconds.to_ne_bytes()).expect("our folder");
    path
}

/// Script with which gateways count requests.
const SCRIPT: &str = include_str!("../../../../gwd/src/stores/count.lua");

/// Limit of five requests, by the arguments of the script.
struct Row {
    algorithm: &'static str,
    count: &'static str,
    period_ms: u64,
    /// Requests that the exhausted limit admits in a second.
    per_s: f64,
    /// Longest time in seconds after which the exhausted limit admits a request again.
    recovers_s: u64,
}

const ROWS: [Row; 3] = [
    Row {
        algorithm: "bucket",
        count: "60",
        period_ms: 60_000,
        per_s: 1.0,
        recovers_s: 1,
    },
    Row {
        algorithm: "window",
        count: "5",
        period_ms: 3_000,
        per_s: 5.0 / 3.0,
        recovers_s: 6,
    },
    Row {
        algorithm: "calendar",
        count: "5",
        period_ms: 86_400_000,
        per_s: 0.0,
        recovers_s: 2 * DAY.cast_unsigned(),
    },
];

/// Jumps of the clock: its shift in seconds, and the number of requests that the jump may admit.
const JUMPS: [(i64, f64); 5] = [
    (0, 5.0),
    (40 * DAY, 5.0),
    (40 * DAY - 3_600, 0.0),
    (-3_600, 0.0),
    (DAY + 7_200, 5.0),
];
const DAY: i64 = 86_400;

impl Shifted {
    /// Counts a request. The gateway has the right clock. Returns true if the limit admits it.
    fn take(&self, row: &Row) -> bool {
        let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let days = now_s.expect("after 1970").as_secs() / DAY.cast_unsigned() + 1;
        let (period_ms, end_min) = (row.period_ms.to_string(), (days * 24 * 60).to_string());
        let call = [row.algorithm, row.count, &period_ms, "5", "1", &end_min];
        let answer = self
            .server
            .ask(&[&["EVAL", SCRIPT, "1", "key"][..], &call[..]].concat());
        answer.lines().next() == Some("1")
    }

    fn admitted(&self, row: &Row) -> f64 {
        (0..12).filter(|_| self.take(row)).count() as f64
    }
}

/// A jump forward admits at most the limit once more. A jump back admits nothing more.
#[test]
fn jump_of_the_clock_admits_at_most_the_limit() {
    if is_missing() {
        return;
    }
    let Some(shifted) = Shifted::start() else {
        return;
    };
    for row in ROWS {
        let algorithm = row.algorithm;
        shifted.server.ask(&["FLUSHALL"]);
        let mut begin = Instant::now();
        // Number of requests that each jump admitted, and the time since the jump before.
        let counts = JUMPS.map(|(seconds, _)| {
            shifted.shift(seconds);
            let admitted = shifted.admitted(&row);
            let passed = std::mem::replace(&mut begin, Instant::now()).elapsed();
            (admitted, passed.as_secs_f64())
        });
        let is_full = |(admitted, _): &(f64, f64)| *admitted >= 5.0;
        assert!(counts[..2].iter().all(is_full), "{algorithm} {counts:?}");
        for ((admitted, passed), (_, most)) in counts.iter().zip(JUMPS) {
            // The limit also regains tokens in the time that really passed.
            let regained = match row.per_s > 0.0 {
                true => passed.mul_add(row.per_s, 1.0),
                false => 0.0,
            };
            assert!(*admitted <= most + regained, "{algorithm} {counts:?}");
        }
    }
}

/// After a jump back by 40 days, an exhausted limit admits requests again after the time in which
/// it recovers anyway. Refused requests in between do not change this.
#[test]
fn clock_set_back_delays_no_request_for_long() {
    if is_missing() {
        return;
    }
    let Some(shifted) = Shifted::start() else {
        return;
    };
    for row in ROWS {
        let algorithm = row.algorithm;
        shifted.server.ask(&["FLUSHALL"]);
        shifted.shift(40 * DAY);
        assert!(shifted.admitted(&row) >= 5.0, "{algorithm}");
        shifted.shift(0);
        if row.recovers_s < 10 {
            let begin = Instant::now();
            wait::until("the limit admits requests again", || {
                shifted.take(&row).then_some(())
            });
            let waited = begin.elapsed();
            let most = Duration::from_secs(row.recovers_s + 1);
            assert!(waited < most, "{algorithm} {waited:?}");
        } else {
            assert!(!shifted.take(&row), "{algorithm}");
            let seconds = i64::try_from(row.recovers_s).expect("a small number");
            shifted.shift(seconds);
            assert!(shifted.take(&row), "{algorithm}");
        }
    }
}

/// Gateways whose clocks are 9 days apart share one daily quota: the clock of the store decides.
#[test]
fn gateways_with_wrong_clocks_share_one_quota() {
    if is_missing() || !prerequisite::program("cc") {
        return;
    }
    let (upstream, server) = (Upstream::start(), Server::start(&[]));
    let folder = tempfile::tempdir().expect("a folder");
    let library = library(folder.path()).display().to_string();
    let project = project(&upstream, "kind: quota, limit: 6, period: day", "closed");
    let gateways = [0, 9 * DAY].map(|seconds| {
        let shift = shift_file(folder.path(), seconds).display().to_string();
        let gwd = Options::of(&project)
            .variable("GWS_STORE", &server.url())
            .variable("LD_PRELOAD", &library)
            .variable("CLOCK_SHIFT", &shift)
            .start();
        wait::until("the store counts", || {
            (ask(&gwd).1.is_none() && is_up(&gwd)).then_some(())
        });
        gwd
    });
    // The gateways do have these clocks: `Date` of their responses has the day.
    let days = gateways.each_ref().map(|gwd| {
        let response = gwd.ask("GET /a HTTP/1.1\nhost: h");
        response.header("date").map(str::to_owned)
    });
    assert_ne!(days[0], days[1]);
    let all = gateways.each_ref();
    let counts = undisturbed(&all, &server, || {
        let turns = (0..6).map(|_| all.map(|gwd| u32::from(ask(gwd).0 == 200)));
        turns.fold([0, 0], |sum, turn| [sum[0] + turn[0], sum[1] + turn[1]])
    });
    assert_eq!(counts, [3, 3]);
}

/// A jump of the store's clock forward admits the limit once more through a gateway, and a jump back
/// admits nothing more.
#[test]
fn clock_of_the_store_jumps_under_a_gateway() {
    if is_missing() {
        return;
    }
    let upstream = Upstream::start();
    for limit in [
        "kind: rate_limit, limit: 5/d, burst: 5",
        "kind: rate_limit, limit: 5/d, algorithm: sliding_window",
        "kind: quota, limit: 5, period: day",
    ] {
        let counts = wait::until("no call to the store is late", || {
            let Some(shifted) = Shifted::start() else {
                return Some(None);
            };
            let project = project(&upstream, limit, "closed");
            let gwd = gateway(&project, &shifted.server);
            shifted.server.ask(&["FLUSHALL"]);
            let before = outages(&[&gwd]);
            let counts = [0, 40 * DAY, 40 * DAY - 3_600, -3_600].map(|seconds| {
                shifted.shift(seconds);
                (0..12).filter(|_| ask(&gwd).0 == 200).count()
            });
            (outages(&[&gwd]) == before).then_some(Some(counts))
        });
        let Some(counts) = counts else { return };
        assert_eq!(counts, [5, 5, 0, 0], "{limit}");
    }
}
