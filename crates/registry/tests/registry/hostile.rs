//! Tests with a registry that sends invalid responses: huge, endless, wrong, slow, redirected.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bundle::digest::Digest;
use bundle::oci::{EMPTY_BLOB, ImageManifest, MANIFEST_BYTES_MAX};
use bundle::publish;
use bundle::refused::Refused;
use bundle::store::{self, Blobs as _, Chain, Store as _, WriteError};
use bundle::{history, lists};
use registry::mirror::{Behind, Chains, Extent, Mirror, ReaderNeeds};
use registry::{Registry, Settings};

use crate::fixture::{self, bundle, draft, prod};

/// Request that the server received.
#[derive(Clone, Debug, Default)]
struct Request {
    /// Method and target.
    line: String,
    fields: Vec<(String, String)>,
}

/// Response of the server: bytes, and the behavior after them.
enum Reply {
    /// The bytes, then the end of the connection.
    Whole(Vec<u8>),
    /// The head, then zeros without an end.
    Endless(Vec<u8>),
    /// The bytes, then nothing while the client waits.
    Stalled(Vec<u8>),
}

type Handler = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// Server whose responses the test defines.
struct Hostile {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Hostile {
    /// Starts a server. `handler` receives each request and the number of earlier requests.
    fn start(handler: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, handler) = (
            Arc::clone(&requests),
            Arc::<Box<Handler>>::new(Box::new(handler)),
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, handler) = (Arc::clone(&seen), Arc::clone(&handler));
                std::thread::spawn(move || serve(stream, &seen, &**handler));
            }
        });
        Self { port, requests }
    }

    fn open(&self) -> Registry {
        self.open_with(Settings::default())
    }

    fn open_with(&self, settings: Settings) -> Registry {
        let settings = Settings {
            plain_http: true,
            ..settings
        };
        let address = format!("oci://127.0.0.1:{}/a/b", self.port);
        Registry::open(address.parse().unwrap(), &settings).unwrap()
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Request {
    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Request>>, handler: &Handler) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = Request::default();
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
        match line.trim().split_once(": ") {
            Some((name, value)) => request.fields.push((name.to_owned(), value.to_owned())),
            None => request.line = line.trim().trim_end_matches(" HTTP/1.1").to_owned(),
        }
        line.clear();
    }
    if request.line.is_empty() {
        return;
    }
    let length = request
        .field("content-length")
        .and_then(|text| text.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    match handler(&request, number) {
        Reply::Whole(bytes) => drop(stream.write_all(&bytes)),
        Reply::Endless(bytes) => {
            let mut sent = stream.write_all(&bytes);
            while sent.is_ok() {
                sent = stream.write_all(&[0; 4096]);
            }
        }
        Reply::Stalled(bytes) => {
            let _gone = stream.write_all(&bytes);
            let _closed = reader.read(&mut [0]);
        }
    }
}

fn answer(status: &str, fields: &str, body: &[u8]) -> Reply {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{fields}connection: close\r\n\r\n"
    );
    Reply::Whole([head.as_bytes(), body].concat())
}

fn ok(body: &[u8]) -> Reply {
    answer("200 OK", "", body)
}

fn missing() -> Reply {
    answer("404 Not Found", "", b"")
}

fn is_blob(request: &Request) -> bool {
    request.line.contains("/blobs/")
}

#[track_caller]
fn why<T: std::fmt::Debug>(result: Result<T, Refused>) -> String {
    match result {
        Err(refused @ Refused::StoreUnreachable { .. }) => refused.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn huge_and_endless_answers_are_cut_off() {
    let huge = Hostile::start(|request, _| match is_blob(request) {
        true => Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        false => Reply::Endless(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec()),
    });
    let digest = Digest::of(b"x");
    let channel = Chain::Channel(prod());
    let store = huge.open();
    let too_large = |limit| Refused::TooLarge {
        what: "answer of the registry",
        limit,
    };
    assert_eq!(
        store.fetch(&digest, u64::MAX),
        Err(too_large(MANIFEST_BYTES_MAX))
    );
    assert_eq!(store.link(&channel, 1), Err(too_large(MANIFEST_BYTES_MAX)));
    assert!(matches!(
        store.serials(&channel),
        Err(Refused::TooLarge { .. })
    ));
    assert!(matches!(
        store.referrers(&digest),
        Err(Refused::TooLarge { .. })
    ));
    let endless = Hostile::start(|request, _| match is_blob(request) {
        true => Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        false => missing(),
    });
    assert_eq!(
        endless.open().fetch(&digest, 10_000),
        Err(too_large(10_000))
    );
    let head = Hostile::start(|_, _| Reply::Endless(b"HTTP/1.1 200 OK\r\nx: ".to_vec()));
    assert!(why(head.open().link(&channel, 1)).contains("no usable answer"));
}

#[test]
fn other_bytes_than_the_digest_names_are_refused() {
    let wrong = Hostile::start(|_, _| ok(b"other bytes"));
    let digest = Digest::of(b"expected bytes");
    let store = wrong.open();
    for _ in ["fetched", "not remembered"] {
        let read = store::read(&store, &digest, 100);
        assert_eq!(read, Err(Refused::BadDigest { expected: digest }));
    }
}

#[test]
fn redirects_are_bounded_and_get_no_credentials() {
    let bytes = b"content of a blob";
    let digest = Digest::of(bytes);
    let storage = Arc::new(Hostile::start(|_, _| ok(bytes)));
    let location = format!("location: http://localhost:{}/signed?x=1\r\n", storage.port);
    let server = Hostile::start(move |request, _| {
        let anonymous = request.field("authorization").is_none();
        match (anonymous, is_blob(request)) {
            (true, _) => answer(
                "401 Unauthorized",
                "www-authenticate: Basic realm=\"r\"\r\n",
                b"",
            ),
            (_, true) => answer("307 Temporary Redirect", &location, b""),
            _ => missing(),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "t0ken\n").unwrap();
    let settings = Settings {
        token_file: Some(token),
        ..Settings::default()
    };
    let store = server.open_with(settings);
    assert_eq!(store::read(&store, &digest, 100).unwrap(), bytes);
    assert!(
        server
            .requests()
            .iter()
            .any(|r| r.field("authorization") == Some("Bearer t0ken"))
    );
    let [request] = &storage.requests()[..] else {
        panic!("{:?}", storage.requests());
    };
    assert_eq!(request.line, "GET /signed?x=1");
    assert_eq!(request.field("authorization"), None);

    let around = Hostile::start(|_, _| answer("302 Found", "location: /v2/again\r\n", b""));
    let refused = why(around.open().link(&Chain::Revocations, 1));
    assert!(refused.contains("too many redirects"), "{refused}");
    assert_eq!(around.requests().len(), 6);
    for location in ["", "location: ftp://x/\r\n", "location: nowhere\r\n"] {
        let lost = Hostile::start(move |_, _| answer("302 Found", location, b""));
        let refused = why(lost.open().link(&Chain::Revocations, 1));
        assert!(refused.contains("a redirect"), "{refused}");
    }
}

#[test]
fn request_to_a_busy_registry_is_retried() {
    let busy = "429 Too Many Requests";
    let server = Hostile::start(move |_, number| match number {
        0 => answer(busy, "retry-after: 0\r\n", b""),
        1 => Reply::Whole(Vec::new()),
        _ => ok(b"{\"tags\":[\"rev-00000000000000000003\"]}"),
    });
    assert_eq!(server.open().serials(&Chain::Revocations), Ok(vec![3]));
    let server = Hostile::start(move |_, _| answer(busy, "retry-after: 0\r\n", b""));
    let refused = why(server.open().serials(&Chain::Revocations));
    assert!(refused.contains("refuses more requests"), "{refused}");
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn an_interrupted_blob_continues_where_it_ended() {
    const BYTES: &[u8] = b"0123456789abcdef";
    let server = Hostile::start(|request, _| {
        if !is_blob(request) {
            return missing();
        }
        let from = request.field("range").map_or(0, |range| {
            let from = range
                .strip_prefix("bytes=")
                .unwrap()
                .strip_suffix('-')
                .unwrap();
            from.parse().unwrap()
        });
        let left = &BYTES[from..];
        let head = match from {
            0 => "HTTP/1.1 200 OK\r\n".to_owned(),
            from => {
                format!("HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {from}-15/16\r\n")
            }
        };
        let head = format!("{head}content-length: {}\r\n\r\n", left.len());
        // Each response contains at most five bytes.
        let some = &left[..left.len().min(5)];
        Reply::Whole([head.as_bytes(), some].concat())
    });
    let digest = Digest::of(BYTES);
    assert_eq!(store::read(&server.open(), &digest, 16).unwrap(), BYTES);
    let ranges: Vec<_> = server
        .requests()
        .iter()
        .filter_map(|r| r.field("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges, ["bytes=5-", "bytes=10-", "bytes=15-"]);
    // A response for another range is not appended.
    let server = Hostile::start(
        |request, _| match (is_blob(request), request.field("range")) {
            (false, _) => missing(),
            (_, None) => {
                Reply::Whole(b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n01234".to_vec())
            }
            _ => answer(
                "206 Partial Content",
                "content-range: bytes 9-15/16\r\n",
                b"9abcdef",
            ),
        },
    );
    assert!(why(server.open().fetch(&digest, 16)).contains("206"));
}

#[test]
fn malformed_answers_are_refused() {
    let channel = Chain::Channel(prod());
    let digest = Digest::of(b"x");
    for body in ["", "{", "<html>", "{\"tags\":[7]}", "[[[[[[[["] {
        let server = Hostile::start(move |_, _| ok(body.as_bytes()));
        let store = server.open();
        assert!(store.serials(&channel).is_err(), "{body}");
        assert!(store.referrers(&digest).is_err(), "{body}");
        let link = store.link(&channel, 1).unwrap().unwrap();
        assert!(bundle::channel::read(&store, &link).is_err(), "{body}");
    }
    for head in [
        "HTTP/1.1 2x0 OK",
        "SSH-2.0-x",
        "HTTP/9.9 200 OK",
        "HTTP/1.1 200 OK\r\ncontent-length: -1",
    ] {
        let server =
            Hostile::start(move |_, _| Reply::Whole(format!("{head}\r\n\r\n").into_bytes()));
        assert!(!why(server.open().link(&channel, 1)).is_empty(), "{head}");
    }
}

#[test]
fn an_answer_that_stalls_ends() {
    let server = Hostile::start(|_, _| {
        Reply::Stalled(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1".to_vec())
    });
    let refused = why(server.open().link(&Chain::Revocations, 1));
    assert!(refused.contains("stalls"), "{refused}");
}

#[test]
fn one_of_several_registries_has_one_short_attempt() {
    let server = Hostile::start(|_, _| Reply::Stalled(Vec::new()));
    let settings = Settings {
        is_replaceable: true,
        ..Settings::default()
    };
    let refused = why(server.open_with(settings).link(&Chain::Revocations, 1));
    assert!(refused.contains("no answer within 5 seconds"), "{refused}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn error_for_a_layer_as_a_manifest_is_no_failure() {
    let server = Hostile::start(|request, _| match is_blob(request) {
        true => ok(b"1234567"),
        false => answer("500 Internal Server Error", "", b""),
    });
    let digest = Digest::of(b"1234567");
    assert_eq!(server.open().size(&digest), Ok(Some(7)));
    let broken = Hostile::start(|request, _| match is_blob(request) {
        true => missing(),
        false => answer("500 Internal Server Error", "", b""),
    });
    assert!(!why(broken.open().size(&digest)).is_empty());
}

#[test]
fn error_of_another_request_hides_no_record() {
    let phase = Arc::new(AtomicU32::new(0));
    let of_server = Arc::clone(&phase);
    let server = Hostile::start(move |request, _| {
        let phase = of_server.load(Ordering::SeqCst);
        if request.line.contains("/tags/list") {
            return ok(br#"{"name": "a/b", "tags": []}"#);
        }
        match (request.line.ends_with("ch-prod"), phase) {
            // From the second poll on, the channel has a record.
            (true, 1..) => {
                let digest = format!("docker-content-digest: {}\r\n", Digest::of(b"record"));
                answer("200 OK", &digest, b"record")
            }
            // In the second poll, the registry fails for the revocations.
            (false, 1) => answer("500 Internal Server Error", "", b""),
            _ => missing(),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let mut mirror = Mirror::new(server.open(), folder.path(), prod());
    let mut poll = |number: u32| {
        phase.store(number, Ordering::SeqCst);
        let chains = (Chains::BOTH, Behind::Copied);
        let wanted = ReaderNeeds::default();
        mirror.update(Extent::Heads, chains, &wanted, fixture::NOON)
    };
    let lists = || {
        let requests = server.requests().into_iter();
        requests
            .filter(|one| one.line.contains("/tags/list"))
            .count()
    };
    assert!(poll(0).is_ok());
    assert!(poll(0).is_ok());
    assert_eq!(lists(), 1, "nothing has changed");
    assert!(poll(1).is_err());
    assert!(poll(2).is_ok());
    assert_eq!(lists(), 2, "the channel was compared after the error");
}

#[test]
fn pages_of_tags_are_followed_to_their_end() {
    let server = Hostile::start(|request, _| {
        let next = "link: </v2/a/b/tags/list?n=1>; rel=\"next\"\r\n";
        match request.line.split_once("last=") {
            None => answer("200 OK", next, b"{\"tags\":[\"rev-00000000000000000001\"]}"),
            Some((_, "rev-00000000000000000001")) => {
                answer("200 OK", next, b"{\"tags\":[\"rev-00000000000000000002\"]}")
            }
            // The server sends the same page again and again.
            Some(_) => answer("200 OK", next, b"{\"tags\":[\"rev-00000000000000000002\"]}"),
        }
    });
    assert_eq!(server.open().serials(&Chain::Revocations), Ok(vec![1, 2]));
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn pages_of_tags_have_a_limit_in_total() {
    let pages = Arc::new(AtomicU32::new(0));
    let server = Hostile::start(move |_, _| {
        let number = pages.fetch_add(1, Ordering::SeqCst);
        let page = format!(
            "{{\"tags\":[\"rev-{number:020}\"]{}}}",
            " ".repeat(10 << 20)
        );
        let next = "link: </v2/a/b/tags/list?n=1>; rel=\"next\"\r\n";
        answer("200 OK", next, page.as_bytes())
    });
    let refused = why(server.open().serials(&Chain::Revocations));
    assert!(refused.contains("longer than 32 MiB"), "{refused}");
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn withheld_record_is_not_an_empty_channel() {
    // The registry lists the newest record and list of revocations, but has no manifests.
    let server = Hostile::start(|request, _| match request.line.contains("/tags/list") {
        true => ok(b"{\"tags\":[\"ch-prod-00000000000000000001\",\"rev-00000000000000000002\"]}"),
        false => answer("404 Not Found", "", b""),
    });
    let registry = server.open();
    let missing = |serial| Refused::LinkMissing { serial };
    let at = |chain: Chain, serial| Err(chain.at_link(serial, missing(serial)));
    let head = history::head(&registry, None, &prod());
    assert_eq!(head.map(|_| ()), at(Chain::Channel(prod()), 1));
    let newest = lists::in_force(&registry, None, &prod(), fixture::NOON);
    assert_eq!(newest.map(|_| ()), at(Chain::Revocations, 2));
    // The copy of gwd counts the registry as failed, so that the next registry is queried.
    let folder = tempfile::tempdir().unwrap();
    let mut mirror = Mirror::new(registry, folder.path(), prod());
    let chains = (Chains::BOTH, Behind::Skipped);
    let updated = mirror.update(
        Extent::Heads,
        chains,
        &ReaderNeeds::default(),
        fixture::NOON,
    );
    let refused = updated.map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(refused, Err(missing(2).to_string()));
}

#[test]
fn tokens_come_from_the_endpoint_of_the_challenge() {
    let server = Hostile::start(|request, _| {
        let host = request.field("host").unwrap();
        if request.line.starts_with("GET /token") {
            return match request.field("authorization") {
                Some("Basic YW5uOnMzY3JldA==") => ok(b"{\"token\":\"t1\"}"),
                _ => answer("403 Forbidden", "", b""),
            };
        }
        match request.field("authorization") {
            Some("Bearer t1") => ok(b"{\"tags\":null}"),
            _ => {
                let challenge = format!(
                    "www-authenticate: Bearer realm=\"http://{host}/token?a=b\",service=\"r 1\"\r\n"
                );
                answer("401 Unauthorized", &challenge, b"")
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let log_in = |auth: &str| {
        let config = format!(
            "{{\"auths\":{{\"127.0.0.1:{}\":{{\"auth\":\"{auth}\"}}}}}}",
            server.port
        );
        std::fs::write(folder.path().join("config.json"), config).unwrap();
    };
    let settings = Settings {
        docker: Some(folder.path().to_owned()),
        ..Settings::default()
    };
    log_in("YW5uOnMzY3JldA==");
    let store = server.open_with(settings.clone());
    assert_eq!(store.serials(&Chain::Revocations), Ok(vec![]));
    assert_eq!(store.serials(&Chain::Revocations), Ok(vec![]));
    let lines: Vec<_> = server
        .requests()
        .into_iter()
        .map(|request| request.line)
        .collect();
    assert_eq!(lines.len(), 4, "one token for both: {lines:?}");
    assert_eq!(
        lines[1],
        "GET /token?a=b&scope=repository%3Aa%2Fb%3Apull&service=r%201"
    );
    log_in("YW5uOndyb25n");
    let refused = why(server.open_with(settings).serials(&Chain::Revocations));
    assert!(refused.contains("token endpoint refuses"), "{refused}");
    let error = why(server.open().serials(&Chain::Revocations));
    assert!(error.contains("token endpoint refuses"), "{error}");
}

#[test]
fn a_registry_that_compares_conditions_decides() {
    // A registry that supports the referrers API and `If-None-Match`.
    let one = bundle("one");
    let stored: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&stored);
    let server = Hostile::start(move |request, _| {
        let (method, target) = request.line.split_once(' ').unwrap();
        match method {
            "POST" => answer(
                "202 Accepted",
                "location: /v2/a/b/blobs/uploads/1?s=1\r\n",
                b"",
            ),
            "PUT" => {
                log.lock().unwrap().push(target.to_owned());
                match request.field("if-none-match") {
                    Some("*") => answer("412 Precondition Failed", "", b""),
                    _ => answer("201 Created", "oci-subject: x\r\n", b""),
                }
            }
            _ => missing(),
        }
    });
    let store = server.open();
    publish::put_bundle(&store, &one).unwrap();
    let statement = fixture::put(&store, &one);
    let targets = stored.lock().unwrap().clone();
    assert!(
        targets
            .iter()
            .any(|target| target.ends_with(&statement.to_string()))
    );
    assert!(
        !targets.iter().any(|target| target.contains("sha256-")),
        "{targets:?}"
    );
    let drafted = draft(one.id(), &[]);
    let statement = publish::prepare(&store, Some(&fixture::trust()), drafted, None).unwrap();
    let envelope = publish::sign(&statement, &[&fixture::key("rita")]).unwrap();
    let stored = bundle::statement::stored::Stored::new(&envelope, Some(one.descriptor())).unwrap();
    let mut batch = store::Batch::of(stored.blobs());
    batch.links.push(store::Link {
        chain: Chain::Channel(prod()),
        serial: 1,
        digest: stored.digest(),
    });
    assert_eq!(
        store.commit(&batch),
        Err(WriteError::Conflict { serial: 1 })
    );
}

#[test]
fn a_manifest_as_a_layer_is_stored_as_a_blob() {
    let inner = ImageManifest::new("a/b", bundle::oci::Descriptor::empty(), vec![]).encode();
    let layer = bundle::oci::Descriptor::of("c/d", &inner);
    let outer = ImageManifest::new("e/f", bundle::oci::Descriptor::empty(), vec![layer]).encode();
    let stored: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&stored);
    let server = Hostile::start(move |request, _| {
        if request.line.starts_with("PUT") {
            log.lock().unwrap().push(request.line.clone());
            return answer("201 Created", "", b"");
        }
        match request.line.starts_with("POST") {
            true => answer("202 Accepted", "location: /v2/a/b/blobs/uploads/1\r\n", b""),
            false => missing(),
        }
    });
    let batch = store::Batch::of([EMPTY_BLOB, &inner[..], &outer[..]]);
    server.open().commit(&batch).unwrap();
    let lines = stored.lock().unwrap().clone();
    let digest = Digest::of(&inner).to_string().replace(':', "%3A");
    assert!(
        lines
            .iter()
            .any(|line| line.contains(&format!("uploads/1?digest={digest}"))),
        "{lines:?}"
    );
}
