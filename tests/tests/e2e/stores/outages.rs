//! Tests of three gateways during an outage of their store, with `on_outage: local`. What they admit
//! stays within the bound, and is added to the store when it returns.

use super::*;

/// Settings with which redis-server keeps its counters over a crash.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

impl Server {
    /// Starts the server again, on the same port and with its data.
    fn resume(&mut self) {
        self.kill();
        let place = (self.port, &self.security);
        self.child = Self::spawn(&self.program, place, self.folder.path(), &DURABLE);
        self.wait_ready();
    }
}

/// Number of admitted requests among `each` requests to each gateway, one after the other.
fn admitted_in_turn(gateways: &[Gateway; 3], each: usize) -> usize {
    let of = |gwd| (0..each).filter(|_| ask(gwd).0 == 200).count();
    gateways.iter().map(of).sum()
}

/// Number of calls whose answers were late. The store may have counted these requests.
fn late(gateways: &[Gateway; 3]) -> f64 {
    calls_of(&gateways.each_ref(), &["timeout"])
}

/// Without load: each gateway continues from the last answer of the store, and the store gets what
/// the gateways admitted in the outage, once.
#[test]
fn outage_is_counted_once() {
    if is_missing() {
        return;
    }
    let upstream = Upstream::start();
    for limit in [
        "kind: quota, limit: 90, period: month",
        "kind: quota, limit: 90, window: 300d",
        "kind: rate_limit, limit: 90/d, burst: 90",
    ] {
        let counts = wait::until("no answer of the store was late", || {
            let mut server = Server::start(&DURABLE);
            let project = project(&upstream, limit, "local");
            let gateways = [(); 3].map(|()| gateway(&project, &server));
            server.ask(&["FLUSHALL"]);
            let before = admitted_in_turn(&gateways, 10);
            server.kill();
            // Fewer requests than any gateway has left.
            let during = admitted_in_turn(&gateways, 10);
            server.resume();
            let mut after = 0;
            for gwd in &gateways {
                wait::until("the store counts again", || {
                    let (status, outage) = ask(gwd);
                    after += usize::from(status == 200);
                    (outage.is_none() && is_up(gwd)).then_some(())
                });
            }
            after += admitted_in_turn(&gateways, 40);
            (late(&gateways) == 0.0).then_some([before, during, after])
        });
        assert_eq!(counts, [30, 30, 30], "{limit}");
    }
}

/// Under load at more than twice the limit, the gateways together admit at most three times the
/// limit, with the requests before and after the outage. When the store is back, the limit is used
/// up, and stays so.
#[test]
fn outage_under_load_stays_within_its_bound() {
    if is_missing() {
        return;
    }
    const LIMIT: f64 = 150.0;
    let upstream = Upstream::start();
    let mut server = Server::start(&DURABLE);
    let project = project(
        &upstream,
        "kind: rate_limit, limit: 150/d, burst: 150",
        "local",
    );
    let gateways = [(); 3].map(|()| gateway(&project, &server));
    server.ask(&["FLUSHALL"]);
    // 200 requests per second: the store is killed when the limit is not used up yet.
    let before = open_loop(&gateways, Duration::from_millis(300));
    let load = std::thread::scope(|scope| {
        let load = scope.spawn(|| open_loop(&gateways, Duration::from_secs(3)));
        server.kill();
        let seconds = |time: u64| std::thread::park_timeout(Duration::from_secs(time));
        // The length of the outage is the scenario.
        seconds(2);
        server.resume();
        load.join().expect("no panic")
    });
    let admitted = before.admitted + load.admitted;
    assert!(load.sent >= 2.0 * LIMIT, "{}", load.sent);
    assert!(
        before.admitted < LIMIT && load.outages > 0.0,
        "{}",
        before.admitted
    );
    // A request whose answer was late or lost counts twice, so that fewer requests can be admitted.
    let unanswered = calls_of(&gateways.each_ref(), &["timeout", "failed"]);
    assert!(
        admitted >= LIMIT - unanswered,
        "{admitted} with {unanswered} calls without an answer"
    );
    assert!(admitted <= 3.0 * LIMIT, "{admitted}");
    for gwd in &gateways {
        wait::until("the store counts again", || {
            (ask(gwd).1.is_none() && is_up(gwd)).then_some(())
        });
    }
    assert_eq!(admitted_in_turn(&gateways, 10), 0);
}
