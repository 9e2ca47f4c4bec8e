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

/// The store counts a request of gateway A, but refuses the call that adds A's requests of the
/// outage. The answer shows the requests of gateway B. A adds its own requests with a later call.
#[test]
fn requests_of_an_outage_wait_for_the_store() {
    if is_missing() {
        return;
    }
    let (upstream, server) = (Upstream::start(), Server::start(&[]));
    let project = project(
        &upstream,
        "kind: rate_limit, limit: 300/d, burst: 300",
        "local",
    );
    let user = |rules: &[&str]| {
        let rules = [&["ACL", "SETUSER", "a"], rules].concat();
        assert_eq!(server.ask(&rules), "OK");
    };
    user(&["on", ">p", "~*", "+@all"]);
    let url = format!("redis://a:p@127.0.0.1:{}/0", server.port);
    let admitted = wait::until("no answer of the store was late", || {
        user(&["resetkeys", "~*", "+evalsha"]);
        let a = Options::of(&project).variable("GWS_STORE", &url).start();
        let b = gateway(&project, &server);
        let mut admitted = 0;
        let mut is_counted = || {
            let (status, outage) = ask(&a);
            admitted += usize::from(status == 200);
            outage.is_none()
        };
        let up = "the store counts";
        wait::until(up, || (is_counted() && is_up(&a)).then_some(()));
        user(&["-evalsha"]);
        let is_down = (0..20).all(|_| !is_counted());
        let of_b = (0..20).filter(|_| ask(&b).0 == 200).count();
        // Counters end with `}`, marks do not. gwd tests a connection with the key `…:test`.
        user(&["resetkeys", "~*}", "~*:test", "+evalsha"]);
        wait::until("only requests are counted", || is_counted().then_some(()));
        user(&["~*"]);
        wait::until(up, || (is_counted() && is_up(&a)).then_some(()));
        for _ in 0..300 {
            is_counted();
        }
        server.ask(&["FLUSHALL"]);
        let is_late = calls_of(&[&a, &b], &["timeout"]) > 0.0;
        (is_down && !is_late).then_some(admitted + of_b)
    });
    // A request can count twice if its answer is lost with the connection.
    assert!((290..=300).contains(&admitted), "{admitted}");
}
