//! Tests of a Redis user (ACL) that has only the permissions which `docs/operate.md` lists.

use super::*;

/// Commands that `docs/operate.md` lists between two texts, as rules of an ACL.
fn listed(begin: &str, end: &str) -> Vec<String> {
    let page = include_str!("../../../../docs/operate.md");
    let words: Vec<&str> = page.split_whitespace().collect();
    let page = words.join(" ");
    let (_, list) = page.split_once(begin).expect("the list begins so");
    let (list, _) = list.split_once(end).expect("the list ends so");
    let commands = list.split('`').skip(1).step_by(2);
    let rule = |command: &str| format!("+{}", command.to_lowercase().replace(' ', "|"));
    commands.map(rule).collect()
}

/// Commands that a user needs for limits without leases.
fn of_counters() -> Vec<String> {
    listed("and for these commands: ", ".")
}

/// Starts a server with the user `gwd`, who may run these commands for the keys of the gateway.
fn server(program: &Path, commands: &[String]) -> Server {
    let server = Server::start_program(program, &Security::default(), &[]);
    let rules = ["reset", "on", ">p@ss", "~stores:*"].map(str::to_owned);
    let rules = [&rules[..], commands].concat();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let made = server.ask(&[&["ACL", "SETUSER", "gwd"], &rules[..]].concat());
    assert_eq!(made, "OK");
    let dry = server.ask(&["ACL", "DRYRUN", "gwd", "GET", "other:key"]);
    assert!(dry.contains("no permissions"), "{dry}");
    server
}

/// Starts a gateway that connects as the user `gwd` and selects a database. Waits until the store
/// counts.
fn started(project: &Project, server: &Server) -> Gateway {
    let url = format!("redis://gwd:p%40ss@127.0.0.1:{}/1", server.port);
    let gwd = Options::of(project).variable("GWS_STORE", &url).start();
    wait::until("the store counts", || {
        (ask(&gwd).1.is_none() && is_up(&gwd)).then_some(())
    });
    gwd
}

#[test]
fn listed_permissions_suffice_for_counters() {
    if !is_missing() {
        count_as_user(Path::new(REDIS));
    }
}

/// Counts with each algorithm as a user with the listed permissions for counters.
pub(super) fn count_as_user(program: &Path) {
    let (upstream, server) = (Upstream::start(), server(program, &of_counters()));
    for limit in [
        "kind: rate_limit, limit: 2/d",
        "kind: rate_limit, limit: 2/d, algorithm: sliding_window",
        "kind: quota, limit: 2, period: month",
    ] {
        let project = project(&upstream, limit, "closed");
        let gwd = started(&project, &server);
        let answers = undisturbed(&[&gwd], &server, || [(); 3].map(|()| ask(&gwd)));
        assert_eq!(answers, [(200, None), (200, None), (429, None)], "{limit}");
        let log = gwd.log();
        assert!(!log.contains("p%40ss") && !log.contains("p@ss"), "{log}");
    }
    let keys = ["0", "1"].map(|database| server.ask(&["-n", database, "KEYS", "*"]));
    assert_eq!(keys[0], "", "another database is selected");
    assert!(keys[1].lines().all(|key| key.starts_with("stores:")));
    assert_eq!(server.ask(&["ACL", "LOG"]), "", "nothing was denied");
}

/// Without the permissions for leases, the store counts each request, and no tokens are taken in
/// advance.
#[test]
fn leases_need_their_listed_permissions() {
    if is_missing() {
        return;
    }
    let upstream = Upstream::start();
    let limit = "kind: quota, limit: 100000, period: month, sync: synced";
    let project = project(&upstream, limit, "closed");
    let of_leases = listed("The Redis user also needs ", "; without them");
    let gateways = |gwd: &Gateway| gwd.metrics().sum("gwd_store_gateways", &["shared"]);
    let without = server(Path::new(REDIS), &of_counters());
    let gwd = started(&project, &without);
    wait::until("the registration is denied", || {
        let is_counted = ask(&gwd) == (200, None);
        let is_denied = without.ask(&["ACL", "LOG"]).contains("zadd");
        (is_counted && is_denied).then_some(())
    });
    assert_eq!((gateways(&gwd), is_up(&gwd)), (0.0, true));
    let commands = [of_counters(), of_leases].concat();
    let with = server(Path::new(REDIS), &commands);
    let gwd = started(&project, &with);
    wait::until("the gateway is registered", || {
        let _response = ask(&gwd);
        (gateways(&gwd) == 1.0).then_some(())
    });
    assert_eq!(with.ask(&["ACL", "LOG"]), "", "nothing was denied");
}
