//! Tests of limits that a gateway counts itself: their accuracy under load over all workers, and
//! limits that only log.

use std::time::{Duration, Instant};

use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::Upstream;
use e2e::wait;

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: limits, version: \"1\"}
paths:
  /rate: {get: {operationId: rate, x-gateway: {policies: [rate]}, responses: {}}}
  /quota: {get: {operationId: quota, x-gateway: {policies: [quota]}, responses: {}}}
";

/// Starts a gateway with two workers. `rate` and `quota` are the settings of the two policies.
fn start(upstream: &Upstream, rate: &str, quota: &str) -> Gateway {
    let gateway = format!(
        "version: 1\nname: limits\napis: {{s: {{path: openapi.yaml}}}}\n\
         policies:\n  rate: {{kind: rate_limit, key: address, {rate}}}\n  \
         quota: {{kind: quota, key: address, {quota}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
         defaults: {{upstream: u, security: upstream}}\n",
        upstream.url()
    );
    let project = Project::with(&gateway, DOCUMENT);
    project.keygen();
    project.apply();
    Options::of(&project).workers(2).start()
}

/// Sends 200 requests per second on new connections, without waiting for responses (open loop).
/// Returns the duration in seconds, the number of requests, the number of admitted ones, and the
/// longest time between two responses.
fn open_loop(gwd: &Gateway, duration: Duration) -> (f64, f64, f64, Duration) {
    const CLIENTS: u32 = 4;
    let interval = Duration::from_millis(5);
    let begin = Instant::now();
    let end = begin + duration;
    let mut answers: Vec<(Instant, bool)> = std::thread::scope(|scope| {
        let client = |client: u32| {
            move || {
                let mut answers = Vec::new();
                for number in (client..).step_by(CLIENTS as usize) {
                    let due = begin + interval * number;
                    if due.max(Instant::now()) >= end {
                        break;
                    }
                    std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
                    let status = gwd.ask("GET /rate HTTP/1.1\nhost: h").status;
                    assert!(matches!(status, 200 | 429), "{status}");
                    answers.push((Instant::now(), status == 200));
                }
                answers
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|one| scope.spawn(client(one))).collect();
        let joined = clients.into_iter();
        let joined = joined.flat_map(|one| one.join().expect("no panic"));
        joined.collect()
    });
    let seconds = begin.elapsed().as_secs_f64();
    answers.sort_unstable();
    let pauses = answers.windows(2).map(|two| two[1].0 - two[0].0);
    let pause = pauses.max().expect("several responses");
    let admitted = answers.iter().filter(|answer| answer.1).count();
    (seconds, answers.len() as f64, admitted as f64, pause)
}

/// Sends twice as many requests as a limit of 100/s allows to two workers. The number of admitted
/// requests is at most the limit, 1 % and `burst`, and at least the share `least_share` of the limit.
/// On a busy machine, the load may be too low, or may have a pause in which the limit regains all of
/// its tokens. Then sends the load again.
fn admits_the_limit(rate: &str, burst: f64, least_share: f64) {
    const ATTEMPTS: usize = 10;
    let upstream = Upstream::start();
    upstream.forgets();
    let gwd = start(&upstream, rate, "limit: 1, period: month");
    let duration = Duration::from_secs(if prerequisite::is_full() { 30 } else { 4 });
    for _ in 0..ATTEMPTS {
        let (seconds, sent, admitted, pause) = open_loop(&gwd, duration);
        let most = (100.0 * seconds).mul_add(1.01, burst) + 1.0;
        assert!(admitted <= most, "{rate}: {admitted} of {sent}, {most}");
        if sent >= 190.0 * seconds && pause < Duration::from_millis(90) {
            let least = (100.0 * seconds).mul_add(least_share, -3.0);
            assert!(admitted >= least, "{rate}: {admitted} of {sent}, {least}");
            return;
        }
        eprintln!("again: {sent} requests in {seconds}s, {pause:?} without a response");
    }
    panic!("{ATTEMPTS} attempts without a steady load at twice the limit");
}

#[test]
fn token_bucket_at_twice_the_limit_admits_the_limit() {
    admits_the_limit("limit: 100/s, burst: 10", 10.0, 0.99);
}

#[test]
fn sliding_window_at_twice_the_limit_admits_it() {
    admits_the_limit("limit: 100/s, algorithm: sliding_window", 100.0, 0.99);
}

/// A leaky bucket refuses a request that arrives less than 10 ms after the last admitted one, and
/// does not make up for a late one. Requests that arrive together on a busy machine therefore lose
/// tokens. A unit test with a made clock has the exact lower bound.
#[test]
fn leaky_bucket_at_twice_the_limit_stays_below_it() {
    admits_the_limit("limit: 100/s, algorithm: leaky", 1.0, 0.1);
}

/// `Retry-After` of an exhausted calendar quota is the time to the end of the period: here, of the
/// day in UTC.
#[test]
fn retry_after_of_a_quota_is_the_end_of_its_day() {
    let upstream = Upstream::start();
    let gwd = start(&upstream, "limit: 1/s", "limit: 1, period: day");
    let left_s = || {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
        86_400 - now.expect("after 1970").as_secs() % 86_400
    };
    let (before, retry_after, after) = wait::until("a refusal within one day", || {
        let before = left_s();
        let response = gwd.ask("GET /quota HTTP/1.1\nhost: h");
        let after = left_s();
        let is_refused = response.status == 429 && after <= before;
        is_refused.then(|| {
            (
                before,
                response.header("retry-after").map(str::to_owned),
                after,
            )
        })
    });
    let seconds = retry_after.expect("the field").parse::<u64>();
    // The field is rounded up to a whole second.
    let seconds = seconds.expect("a number of seconds");
    assert!(
        (after..=before + 1).contains(&seconds),
        "{after} {seconds} {before}"
    );
}

/// A rate limit and a quota with `mode: log` refuse no request. The access log and a metric have
/// the requests that they would refuse.
#[test]
fn limits_that_log_count_what_they_would_refuse() {
    let upstream = Upstream::start();
    let gwd = start(
        &upstream,
        "limit: 2/d, mode: log",
        "limit: 3, period: month, mode: log",
    );
    for (path, policy, reason, admitted) in [
        ("/rate", "rate", "rate_limited", 2),
        ("/quota", "quota", "quota_exhausted", 3),
    ] {
        const SENT: usize = 7;
        for number in 0..SENT {
            let response = gwd.ask(&format!("GET {path} HTTP/1.1\nhost: h"));
            assert_eq!(response.status, 200, "{path}");
            let fields = &response.head.headers;
            let has_fields = fields.iter().any(|(name, _)| name.contains("ratelimit"));
            assert!(!has_fields, "{fields:?}");
            let id = response.header("x-request-id").expect("an id");
            let line = gwd.access_log().line(id);
            match number < admitted {
                true => assert!(line.get("would_refuse").is_none(), "{line}"),
                false => assert_eq!(line["would_refuse"], reason, "{line}"),
            }
            assert!(line.get("reason").is_none(), "{line}");
        }
        assert_eq!(upstream.take().len(), SENT);
        let expected = (SENT - admitted) as f64;
        let labels = [
            format!("policy=\"{policy}\""),
            format!("reason=\"{reason}\""),
        ];
        let labels = labels.each_ref().map(String::as_str);
        wait::until("the refusals are counted", || {
            let logged = gwd.metrics().sum("gwd_rejections_logged_total", &labels);
            assert!(logged <= expected, "{logged}");
            (logged == expected).then_some(())
        });
        let refused = gwd.metrics().sum("gwd_rejections_total", &[]);
        assert_eq!(refused, 0.0);
    }
    gwd.stops_clean();
}
