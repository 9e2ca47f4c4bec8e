//! Tests of Redis Cluster and Redis Sentinel. After the loss of a master, gateways continue to
//! decide, and the counters keep their values.

use std::fmt::Write as _;

use super::*;

/// Arguments of redis-server for a node of a cluster.
const NODE: [&str; 8] = [
    "--cluster-enabled",
    "yes",
    "--cluster-node-timeout",
    "1000",
    "--cluster-require-full-coverage",
    "no",
    "--masterauth",
    "s3cret",
];

/// Redis Cluster with six nodes: three masters, each with a replica.
struct Cluster(Vec<Server>);

impl Cluster {
    fn start() -> Self {
        Self::start_with(&Security::default())
    }

    fn start_with(security: &Security) -> Self {
        let nodes = (0..6).map(|_| Server::start_with(security, &NODE));
        let nodes: Vec<Server> = nodes.collect();
        let addresses = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port));
        let addresses: Vec<String> = addresses.collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(addresses.iter().map(String::as_str));
        create.extend(["--cluster-replicas", "1", "--cluster-yes"]);
        let created = nodes[0].ask(&create);
        assert!(created.contains("All 16384 slots covered"), "{created}");
        let cluster = Self(nodes);
        wait::until("every node knows the cluster", || {
            let ready = |node: &Server| {
                let slots = node.ask(&["CLUSTER", "SLOTS"]);
                let known = addresses.iter().all(|address| {
                    let (_, port) = address.rsplit_once(':').expect("a port");
                    slots.lines().any(|line| line.ends_with(port))
                });
                known && node.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
            };
            cluster.0.iter().all(ready).then_some(())
        });
        cluster
    }

    /// URL that names two of the nodes.
    fn url(&self) -> String {
        let [a, b, ..] = &self.0[..] else {
            unreachable!("six nodes")
        };
        let scheme = a.security.scheme();
        format!(
            "{scheme}://:s3cret@127.0.0.1:{},127.0.0.1:{}",
            a.port, b.port
        )
    }

    /// Finds the index of the master that has a key.
    fn master(&self, key: &str) -> usize {
        let has = |node: &Server| {
            let role = node.ask(&["ROLE"]);
            role.starts_with("master") && node.ask(&["EXISTS", key]) == "1"
        };
        self.0.iter().position(has).expect("a master has the key")
    }
}

/// Starts a gateway whose store has this URL, with environment variables.
fn started(project: &Project, url: &str, variables: &[(&str, &str)]) -> Gateway {
    let options = Options::of(project).variable("GWS_STORE", url);
    let variables = variables.iter();
    let add = |options: Options, (name, value): &(&str, &str)| options.variable(name, value);
    variables.fold(options, add).start()
}

/// Waits until the replicas of a master have received all data of the master.
fn wait_replicated(master: &Server) {
    wait::until("the replica has everything", || {
        let info = master.ask(&["INFO", "replication"]);
        let value = |name: &str| {
            let (_, rest) = info.split_once(name)?;
            rest.split(['\r', '\n', ',']).next().map(str::to_owned)
        };
        let (own, replica) = (value("master_repl_offset:")?, value("offset=")?);
        (own == replica).then_some(())
    });
}

/// Sends a request as the client `client`. Returns the status, the field that reports an outage,
/// and the client's remaining requests.
fn ask_as(gwd: &Gateway, client: usize) -> (u16, Option<String>, Option<u64>) {
    let response = gwd.ask(&format!("GET /a HTTP/1.1\nhost: h\nx-client: {client}"));
    let left = response.header("ratelimit").and_then(|field| {
        let (_, rest) = field.split_once("r=")?;
        rest.split(';').next()?.parse().ok()
    });
    let outage = response.header("store-outage").map(str::to_owned);
    (response.status, outage, left)
}

/// Reads the keys of the counters that a server stores.
fn keys(server: &Server) -> Vec<String> {
    let keys = server.ask(&["KEYS", "stores:{*"]);
    keys.lines().map(str::to_owned).collect()
}

#[test]
fn cluster_keeps_deciding_after_a_lost_master() {
    if !is_missing() {
        lose_master(Cluster::start(), &[]);
    }
}

#[test]
fn encrypted_cluster_keeps_deciding() {
    if !is_missing() {
        let certificates = Certificates::new();
        let cluster = Cluster::start_with(&Security::tls(&certificates));
        let ca = certificates.path("ca.pem").display().to_string();
        lose_master(cluster, &[("SSL_CERT_FILE", &ca)]);
    }
}

/// Kills a master of the cluster, and checks responses and counters until its replica counts.
/// `variables` are environment variables of the gateway.
fn lose_master(mut cluster: Cluster, variables: &[(&str, &str)]) {
    const CLIENTS: usize = 24;
    let upstream = Upstream::start();
    let limit = "kind: quota, limit: 100000, period: month, key: \"header:x-client\"";
    let project = project(&upstream, limit, "closed, cluster: true");
    let gwd = started(&project, &cluster.url(), variables);
    wait::until("all masters count", || {
        let all = (0..CLIENTS).all(|client| ask_as(&gwd, client).1.is_none());
        (all && is_up(&gwd)).then_some(())
    });
    let left = |client| wait::until("a counted request", || ask_as(&gwd, client).2);
    // Each master and each replica stores counters of the clients' first requests.
    let before: Vec<Vec<String>> = cluster.0.iter().map(keys).collect();
    assert_eq!(before.iter().filter(|keys| !keys.is_empty()).count(), 6);
    let lefts: Vec<u64> = (0..CLIENTS).map(left).collect();
    let lost = cluster.master(&before[0][0]);
    wait_replicated(&cluster.0[lost]);
    cluster.0[lost].kill();
    // Clients whose counters are in the lost master are refused. The other clients are served
    // throughout.
    wait::until("the loss is noticed", || {
        (0..CLIENTS)
            .any(|client| ask_as(&gwd, client).0 == 503)
            .then_some(())
    });
    let served: Vec<usize> = (0..CLIENTS)
        .filter(|client| ask_as(&gwd, *client).0 == 200)
        .collect();
    assert!(!served.is_empty() && served.len() < CLIENTS, "{served:?}");
    assert!(!is_up(&gwd));
    let (mut sent, mut refused) = (0, 0);
    wait::until("the replica is promoted and counts", || {
        let refusals = served
            .iter()
            .filter(|client| ask_as(&gwd, **client).0 != 200);
        refused += refusals.count();
        sent += served.len();
        let all = (0..CLIENTS).all(|client| ask_as(&gwd, client).1.is_none());
        (all && is_up(&gwd)).then_some(())
    });
    // On a busy machine, a few calls to the store are late.
    assert!(refused * 10 <= sent, "{refused} of {sent}");
    for (client, before) in lefts.iter().enumerate() {
        let after = left(client);
        assert!(after < *before, "{client}: {after} {before}");
    }
    assert!(!gwd.log().contains("s3cret"));
}

/// A hash slot moves to another master. The gateway follows the slot without an outage.
#[test]
fn cluster_keeps_deciding_while_slots_move() {
    if is_missing() {
        return;
    }
    let (upstream, cluster) = (Upstream::start(), Cluster::start());
    let limit = "kind: quota, limit: 3, period: month";
    let project = project(&upstream, limit, "closed, cluster: true");
    let gwd = Options::of(&project)
        .variable("GWS_STORE", &cluster.url())
        .start();
    wait::until("the store counts", || {
        (ask(&gwd).1.is_none() && is_up(&gwd)).then_some(())
    });
    let key = cluster.0.iter().flat_map(keys).next().expect("a counter");
    let from = cluster.master(&key);
    let is_master = |node: &&Server| node.ask(&["ROLE"]).starts_with("master");
    let others = cluster.0.iter().enumerate();
    let to = others
        .filter(|(index, node)| *index != from && is_master(node))
        .map(|(_, node)| node)
        .next()
        .expect("another master");
    let from = &cluster.0[from];
    let slot = from.ask(&["CLUSTER", "KEYSLOT", &key]);
    let (from_id, to_id) = (from.ask(&["CLUSTER", "MYID"]), to.ask(&["CLUSTER", "MYID"]));
    to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    let port = to.port.to_string();
    let migrate = ["MIGRATE", "127.0.0.1", &port, &key, "0", "1000"];
    let moved = from.ask(&[&migrate[..], &["AUTH", "s3cret"]].concat());
    assert_eq!(moved, "OK");
    // Redirection ASK: the slot still belongs to the first master, but the key has moved.
    assert_eq!(ask(&gwd), (200, None));
    for node in [to, from] {
        node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
    // Redirection MOVED: the slot belongs to the other master.
    assert_eq!(ask(&gwd), (200, None));
    assert_eq!(ask(&gwd), (429, None));
    assert!(is_up(&gwd));
}

/// Redis Sentinel deployment: a master, a replica, and three sentinels.
struct Watched {
    security: Security,
    master: Server,
    replica: Server,
    sentinels: Vec<(Child, u16)>,
    _folder: tempfile::TempDir,
}

impl Watched {
    fn start() -> Self {
        Self::start_with(&Security::default())
    }

    fn start_with(security: &Security) -> Self {
        let master = Server::start_with(security, &["--masterauth", "s3cret"]);
        let port = master.port.to_string();
        let follows = ["--masterauth", "s3cret", "--replicaof", "127.0.0.1", &port];
        let replica = Server::start_with(security, &follows);
        let folder = tempfile::tempdir().expect("a folder");
        let sentinels = (0..3).map(|number| {
            let own = free_port();
            let dir = folder.path().display();
            let mut text = format!("bind 127.0.0.1\ndir {dir}\n");
            for [key, value] in security.lines(own) {
                let _ = writeln!(text, "{key} {value}");
            }
            for line in [
                &format!("monitor shop 127.0.0.1 {port} 2"),
                "auth-pass shop s3cret",
                "down-after-milliseconds shop 500",
                "failover-timeout shop 2000",
            ] {
                let _ = writeln!(text, "sentinel {line}");
            }
            let file = folder.path().join(format!("{number}.conf"));
            std::fs::write(&file, text).expect("the folder is writable");
            let mut command = Command::new("redis-server");
            command
                .arg(file)
                .arg("--sentinel")
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            (process::start(&mut command), own)
        });
        let watched = Self {
            sentinels: sentinels.collect(),
            security: security.clone(),
            master,
            replica,
            _folder: folder,
        };
        for (_, port) in &watched.sentinels {
            wait::until("the sentinel knows the others", || {
                let known = sentinel(security, *port, &["SENTINEL", "MASTER", "shop"]);
                let lines: Vec<&str> = known.lines().collect();
                let value = |name| {
                    let at = lines.iter().position(|line| *line == name)?;
                    lines.get(at + 1).copied()
                };
                let others = value("num-other-sentinels") == Some("2");
                (others && value("num-slaves") == Some("1")).then_some(())
            });
        }
        watched
    }

    /// URL of the sentinels, with user and password of the master.
    fn url(&self) -> String {
        let hosts = self.sentinels.iter();
        let hosts: Vec<String> = hosts.map(|(_, port)| format!("127.0.0.1:{port}")).collect();
        let scheme = self.security.scheme();
        format!("{scheme}://:s3cret@{}/0", hosts.join(","))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        for (child, _) in &mut self.sentinels {
            let _ended = child.kill();
            let _ended = child.wait();
        }
    }
}

fn sentinel(security: &Security, port: u16, command: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(&security.client)
        .args(command)
        .output()
        .expect("redis-cli can be run");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// gwd finds a responding sentinel behind three silent ones. Each silent sentinel costs two
/// timeouts: without and with the password.
#[test]
fn silent_sentinels_do_not_hide_the_next() {
    if is_missing() {
        return;
    }
    let (upstream, watched) = (Upstream::start(), Watched::start());
    // These sockets accept connections, but never send a response.
    let silent = [0; 3].map(|port| TcpListener::bind(("127.0.0.1", port)).expect("a port"));
    let hosts = silent.each_ref().map(|one| {
        let address = one.local_addr().expect("an address");
        address.to_string()
    });
    let url = watched
        .url()
        .replace('@', &format!("@{},", hosts.join(",")));
    let project = project(
        &upstream,
        "kind: quota, limit: 100000, period: month",
        "closed, sentinel: shop",
    );
    let gwd = Options::of(&project).variable("GWS_STORE", &url).start();
    wait::until("the store counts", || {
        (ask(&gwd).1.is_none() && is_up(&gwd)).then_some(())
    });
}

#[test]
fn sentinels_name_the_master_after_a_failover() {
    if !is_missing() {
        fail_over(Watched::start(), &[]);
    }
}

#[test]
fn encrypted_sentinels_name_the_master() {
    if !is_missing() {
        let certificates = Certificates::new();
        let watched = Watched::start_with(&Security::tls(&certificates));
        let ca = certificates.path("ca.pem").display().to_string();
        fail_over(watched, &[("SSL_CERT_FILE", &ca)]);
    }
}

/// Kills the master, and checks that the gateway uses the promoted replica. `variables` are
/// environment variables of the gateway.
fn fail_over(mut watched: Watched, variables: &[(&str, &str)]) {
    let upstream = Upstream::start();
    let limit = "kind: quota, limit: 100000, period: month";
    let project = project(&upstream, limit, "closed, sentinel: shop");
    let gwd = started(&project, &watched.url(), variables);
    wait::until("the store counts", || {
        (ask(&gwd).1.is_none() && is_up(&gwd)).then_some(())
    });
    let left = wait::until("a counted request", || ask_as(&gwd, 0).2);
    wait_replicated(&watched.master);
    // One sentinel is lost, too. The gateway calls the other sentinels.
    watched.sentinels[0].0.kill().expect("it is our child");
    watched.master.kill();
    wait::until("the outage is noticed", || {
        (ask(&gwd).0 == 503).then_some(())
    });
    wait::until("the replica is promoted and counts", || {
        (ask(&gwd) == (200, None) && is_up(&gwd)).then_some(())
    });
    assert!(watched.replica.ask(&["ROLE"]).starts_with("master"));
    let after = wait::until("a counted request", || ask_as(&gwd, 0).2);
    assert!(after < left, "{after} {left}");
    assert!(!gwd.log().contains("s3cret"));
}
