//! Tests of limits with `sync: synced`: several gateways take leases (batches of tokens) from one
//! redis-server.

use super::*;

/// Sends requests until the gateway reports `number` gateways with leases.
fn wait_gateways(gwd: &Gateway, number: f64) {
    wait::until("the gateways know each other", || {
        let _response = ask(gwd);
        let known = gwd.metrics().sum("gwd_store_gateways", &["shared"]);
        (known == number).then_some(())
    });
}

/// Starts a gateway, and waits until it has registered as the only gateway with leases. Starts
/// again if a call to the store is late. The store and the gateway have then counted the same
/// number.
fn alone(project: &Project, server: &Server) -> Gateway {
    wait::until("a start without a late answer", || {
        server.ask(&["FLUSHALL"]);
        let gwd = gateway(project, server);
        wait_gateways(&gwd, 1.0);
        let late = calls_of(&[&gwd], &["timeout", "failed", "circuit_open", "overflow"]);
        (late == 0.0).then_some(gwd)
    })
}

/// Starts a gateway ([`alone`]) and sends requests until the store has counted more tokens than
/// requests. The gateway then has a lease. Returns the gateway and the number of admitted requests.
/// Starts again if a response of the store is late: the store has then counted tokens that the
/// gateway does not have.
fn leased(project: &Project, server: &Server) -> (Gateway, u64) {
    wait::until("a lease without a late answer", || {
        let gwd = alone(project, server);
        let mut admitted = calls_of(&[&gwd], &["answered", "leased"]);
        let is_leased = wait::until("a lease", || {
            if ask(&gwd) != (200, None) {
                return Some(false);
            }
            admitted += 1.0;
            (counted(server) as f64 > admitted).then_some(true)
        });
        is_leased.then_some((gwd, admitted as u64))
    })
}

/// Reads the number of tokens that the store has counted for a quota.
fn counted(server: &Server) -> u64 {
    let keys = server.ask(&["KEYS", "stores:{*"]);
    let key = keys.lines().find(|key| !key.contains("gateways"));
    let value = server.ask(&["GET", key.unwrap_or("none")]);
    let count = value
        .rsplit(':')
        .next()
        .and_then(|count| count.parse().ok());
    count.unwrap_or(0)
}

/// Three gateways receive twice as many requests as the limit allows. They exceed the limit by at
/// most the tokens of their leases, and call the store for a fraction of the requests.
#[test]
fn gateways_with_leases_stay_within_the_bound() {
    if is_missing() {
        return;
    }
    let (upstream, server) = (Upstream::start(), Server::start(&[]));
    let limit = "kind: rate_limit, limit: 100/s, burst: 100, sync: synced";
    let project = project(&upstream, limit, "closed");
    let gateways = [(); 3].map(|()| gateway(&project, &server));
    for gwd in &gateways {
        wait_gateways(gwd, 3.0);
    }
    let most = |seconds: f64| 100.0 * seconds + 100.0 + 100.0;
    let load = twice_the_limit(&gateways, 5, most);
    let (admitted, sent) = (load.admitted, load.sent);
    let least = 95.0 * load.seconds - 100.0 - load.outages;
    assert!(admitted >= least, "{admitted} of {sent}, {least}");
    let called = load.answered;
    assert!(called * 4.0 <= sent, "{called} calls for {sent} requests");
    let stores = gateways[0].status()["stores"].clone();
    let state = (&stores[0]["name"], &stores[0]["gateways"], &stores[0]["up"]);
    assert_eq!(
        state,
        (&"shared".into(), &3.into(), &true.into()),
        "{stores}"
    );
}

#[test]
fn stopped_gateway_returns_its_lease() {
    if !is_missing() {
        return_lease(&Server::start(&[]));
    }
}

/// Stops a gateway with a lease. The store has then counted the admitted requests only.
pub(super) fn return_lease(server: &Server) {
    let upstream = Upstream::start();
    let limit = "kind: quota, limit: 100000, period: month, sync: synced, lease: 1min";
    let project = project(&upstream, limit, "closed");
    let (mut gwd, admitted) = leased(&project, server);
    gwd.stop();
    assert_eq!(counted(server), admitted);
    assert_eq!(server.ask(&["ZCARD", "stores:{gateways}"]), "0");
}

#[test]
fn ended_lease_is_returned() {
    if is_missing() {
        return;
    }
    let (upstream, server) = (Upstream::start(), Server::start(&[]));
    let limit = "kind: quota, limit: 100000, period: month, sync: synced, lease: 2s";
    let project = project(&upstream, limit, "closed");
    let (_gwd, admitted) = leased(&project, &server);
    wait::until("the lease ends", || {
        (counted(&server) == admitted).then_some(())
    });
}

/// After the loss of the store, a gateway admits requests with the remaining tokens of its lease.
#[test]
fn lease_outlasts_the_store() {
    if is_missing() {
        return;
    }
    let (upstream, mut server) = (Upstream::start(), Server::start(&[]));
    let limit = "kind: quota, limit: 100000, period: month, sync: synced, lease: 1min";
    let project = project(&upstream, limit, "closed");
    let (gwd, admitted) = leased(&project, &server);
    let left = counted(&server) - admitted;
    server.kill();
    for _ in 0..left {
        assert_eq!(ask(&gwd), (200, None));
    }
    assert_eq!(ask(&gwd).0, 503);
}

/// No number of tokens that the store adds up or multiplies may overflow for such a cost.
#[test]
fn cost_above_the_capacity_is_refused() {
    if is_missing() {
        return;
    }
    let (upstream, server) = (Upstream::start(), Server::start(&[]));
    for sync in ["exact", "synced"] {
        for limit in [
            "kind: rate_limit, limit: 50/min",
            "kind: rate_limit, limit: 50/min, algorithm: sliding_window",
            "kind: quota, limit: 50, window: 1h",
            "kind: quota, limit: 50, period: day",
        ] {
            let cost = r#"cost: 'int(request.headers["x-cost"])'"#;
            let limit = format!("{limit}, sync: {sync}, {cost}");
            let project = project(&upstream, &limit, "open");
            let gwd = gateway(&project, &server);
            undisturbed(&[&gwd], &server, || {
                // The first request finds an unused counter.
                for cost in [1_000_000_000_000_u64, 51] {
                    let ask = format!("GET /a HTTP/1.1\nhost: h\nx-cost: {cost}");
                    let response = gwd.ask(&ask);
                    let outage = response.header("store-outage");
                    assert_eq!((response.status, outage), (429, None), "{limit}");
                    let wait = response.header("retry-after").expect("a time");
                    let wait: u64 = wait.parse().expect("seconds");
                    assert!(wait <= 86_400, "{limit}: {wait} s");
                }
                assert_eq!(ask(&gwd).0, 200, "{limit}");
            });
            gwd.stops_clean();
        }
    }
}
