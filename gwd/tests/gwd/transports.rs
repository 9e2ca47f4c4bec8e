//! Protocols towards upstreams: HTTP/2 by prior knowledge and by ALPN, and Unix sockets.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bundle::ir::UpstreamProtocol;
use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, StatusCode};
use policy::traffic::retry::Condition;

use crate::fixture::*;
use crate::http2::{Http2, to};
use crate::http2_upstream::{Http2Upstream, ReceivedRequest, head, ok, pour, whole};
use crate::pki::Authority;
use crate::retries::retries;
use crate::upstream_tls::{TlsUpstream, behind, server, unchecked};

/// Answers with the request's body and trailers, and with its head in a field.
async fn echo((request, mut respond): ReceivedRequest) {
    let (parts, body) = request.into_parts();
    let (bytes, trailers) = whole(body).await.unwrap();
    let mut answer = head(200);
    let description = format!("{} {} {:?}", parts.method, parts.uri, parts.headers);
    let description = description.replace(|c: char| !c.is_ascii_graphic() && c != ' ', "?");
    answer
        .headers_mut()
        .insert("x-asked", description.parse().unwrap());
    let mut stream = respond.send_response(answer, false).unwrap();
    pour(&mut stream, bytes.into()).await;
    stream.send_trailers(trailers.unwrap_or_default()).unwrap();
}

/// Message of a unary gRPC call: no compression, no bytes.
const MESSAGE: &[u8] = &[0; 5];

#[test]
fn grpc_call_over_http2_is_tried_again() {
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    let upstream = Http2Upstream::start(move |_, (request, mut respond)| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            let (bytes, _) = whole(request.into_body()).await.unwrap();
            assert_eq!(bytes, MESSAGE);
            let status = |code: &'static str| {
                let code = http::HeaderValue::from_static(code);
                (http::HeaderName::from_static("grpc-status"), code)
            };
            let mut answer = head(200);
            let kind = http::HeaderValue::from_static("application/grpc");
            answer.headers_mut().insert("content-type", kind);
            if number == 0 {
                // Trailers-Only: the status is in the only header block.
                answer.headers_mut().extend([status("14")]);
                respond.send_response(answer, true).unwrap();
                return;
            }
            let mut stream = respond.send_response(answer, false).unwrap();
            if number == 1 {
                stream
                    .send_data(Bytes::from_static(MESSAGE), false)
                    .unwrap();
            }
            let code = if number == 1 { "0" } else { "14" };
            stream
                .send_trailers(HeaderMap::from_iter([status(code)]))
                .unwrap();
        }
    });
    let mut shop = upstream.behind(vec![op("POST", "/a")]);
    shop.upstreams[0].retries = Some(retries(1, &[Condition::GrpcUnavailable]));
    let served = shop.serve();
    let mut client = Http2::connect(served.address);
    let mut call = || {
        let mut request = to("POST", "/a");
        for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let begun = client.begin(request, Some(Bytes::from_static(MESSAGE)));
        let answer = client.end(begun).unwrap();
        let trailers = answer.trailers.unwrap_or_default();
        (
            answer.body,
            trailers["grpc-status"].to_str().unwrap().to_owned(),
        )
    };
    assert_eq!(call(), (MESSAGE.to_vec(), "0".to_owned()));
    assert_eq!(tries.load(Ordering::SeqCst), 2);
    // The gRPC status comes after the response head, so that the call is not repeated.
    assert_eq!(call(), (Vec::new(), "14".to_owned()));
    assert_eq!(tries.load(Ordering::SeqCst), 3);
}

#[test]
fn http2_upstream_cannot_speak_for_the_gateway() {
    let upstream = Http2Upstream::start(|_, (_, mut respond)| async move {
        let fields = |names: &[&'static str]| {
            let fields = names.iter().map(|name| {
                let value = if name.starts_with("x-mine") {
                    "mine"
                } else {
                    "fake"
                };
                (http::HeaderName::from_static(name), value.parse().unwrap())
            });
            fields.collect::<HeaderMap>()
        };
        let mut answer = head(200);
        *answer.headers_mut() = fields(&[
            "proxy-status",
            "proxy_status",
            "x-gateway-bundle",
            "x_gateway_bundle",
            "x.gateway.any",
            "x-request-id",
            "x_request_id",
            "x-mine",
        ]);
        let mut stream = respond.send_response(answer, false).unwrap();
        stream.send_data(Bytes::from_static(b"ok"), false).unwrap();
        let trailers = fields(&[
            "x-gateway-end",
            "proxy-status",
            "x-request-id",
            "x-mine-sum",
        ]);
        stream.send_trailers(trailers).unwrap();
    });
    let mut shop = upstream.behind(vec![op("GET", "/a")]);
    shop.expose_bundle = true;
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\nte: trailers\r\nconnection: te, close\r\n\r\n");
    let answer = client.rest().to_lowercase();
    assert!(!answer.contains("fake"), "{answer}");
    assert!(!answer.contains("proxy_status"), "{answer}");
    for own in [
        "x-request-id:",
        "x-gateway-bundle:",
        "x-mine:",
        "x-mine-sum:",
    ] {
        assert_eq!(answer.matches(own).count(), 1, "{own} in {answer}");
    }
}

#[test]
fn http2_request_has_scheme_authority_and_no_host() {
    let upstream = Http2Upstream::start(|_, received| echo(received));
    let served = upstream
        .behind(vec![op("POST", "/a"), op("GET", "/a")])
        .serve();
    let answer = fetch(
        served.address,
        "GET",
        "/a?q=1",
        "te: trailers\r\nconnection: te, x-mine\r\nx-mine: 1\r\nkeep-alive: 5\r\n",
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let [received] = answer.field("x-asked")[..] else {
        panic!("{answer:?}")
    };
    assert!(
        received.starts_with("GET http://shop.example/a?q=1 "),
        "{received}"
    );
    assert!(received.contains(r#""te": "trailers""#), "{received}");
    assert!(received.contains("x-forwarded-for"), "{received}");
    for gone in [
        r#""host""#,
        r#""connection""#,
        "x-mine",
        "keep-alive",
        "content-length",
    ] {
        assert!(!received.contains(gone), "{gone}: {received}");
    }
    // A body of known length is forwarded with `content-length`.
    let mut client = Client::connect(served.address);
    client.send("POST /a HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 5\r\n\r\nhello");
    let answer = client.answer();
    assert_eq!(answer.text(), "hello");
    assert!(answer.field("x-asked")[0].contains(r#""content-length": "5""#));
}

#[test]
fn bodies_beyond_all_windows_pass_with_trailers() {
    let upstream = Http2Upstream::start(|_, exchange| echo(exchange));
    let served = upstream.behind(vec![op("POST", "/a").streaming()]).serve();
    let sent: Vec<u8> = (0..9_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut client = Http2::connect(served.address);
    let begun = client.begin(to("POST", "/a"), Some(sent.clone().into()));
    let answer = client.end(begun).unwrap();
    assert!(answer.body == sent, "{} bytes", answer.body.len());
    // Chunked body and trailers of an HTTP/1.1 client.
    let mut client = Client::connect(served.address);
    client.send(
        "POST /a HTTP/1.1\r\nhost: shop.example\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\
         trailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n",
    );
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    let mut rest = String::new();
    while !rest.ends_with("\r\n\r\n") {
        rest.push_str(&client.some(1));
    }
    assert!(rest.starts_with("3\r\nabc\r\n0\r\n"), "{rest}");
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1, "shared");
}

#[test]
fn grpc_messages_stream_in_both_directions() {
    let upstream = Http2Upstream::start(|_, (request, mut respond): ReceivedRequest| async move {
        if request.uri().path() == "/none" {
            let mut only = head(200);
            let headers = only.headers_mut();
            headers.insert("content-type", "application/grpc".parse().unwrap());
            headers.insert("grpc-status", "5".parse().unwrap());
            respond.send_response(only, true).unwrap();
            return;
        }
        let mut answer = head(200);
        let kind = "application/grpc".parse().unwrap();
        answer.headers_mut().insert("content-type", kind);
        let mut stream = respond.send_response(answer, false).unwrap();
        let mut body = request.into_body();
        while let Some(Ok(data)) = body.data().await {
            body.flow_control().release_capacity(data.len()).unwrap();
            pour(&mut stream, data).await;
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("x-more", "1".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
    });
    let ops = vec![op("POST", "/echo"), op("POST", "/none")];
    let served = upstream.behind(ops).serve();
    let mut client = Http2::connect(served.address);
    let call = |path: &str| {
        let mut request = to("POST", path);
        let headers = request.headers_mut();
        headers.insert("content-type", "application/grpc".parse().unwrap());
        headers.insert("te", "trailers".parse().unwrap());
        request
    };
    let send = client.send.clone();
    client.runtime.block_on(async {
        let mut send = send.ready().await.unwrap();
        let (response, mut stream) = send.send_request(call("/echo"), false).unwrap();
        let mut body = response.await.unwrap().into_body();
        for number in 0..5_u8 {
            // Each answer arrives before the next message is sent.
            stream
                .send_data(vec![0, 0, 0, 0, 1, number].into(), false)
                .unwrap();
            let back = body.data().await.unwrap().unwrap();
            assert_eq!(back, vec![0, 0, 0, 0, 1, number]);
        }
        stream.send_data(Bytes::new(), true).unwrap();
        assert!(body.data().await.is_none());
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(
            (&trailers["grpc-status"], &trailers["x-more"]),
            (&"0".parse().unwrap(), &"1".parse().unwrap())
        );
    });
    let begun = client.begin(call("/none"), Some(Bytes::from_static(&[0; 5])));
    let only = client.end(begun).unwrap();
    assert_eq!(only.head.headers()["grpc-status"], "5");
    assert!(only.body.is_empty() && only.trailers.is_none());
}

#[test]
fn cancelled_request_resets_only_its_own_stream() {
    let resets = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&resets);
    let upstream = Http2Upstream::start(move |_, (request, mut respond): ReceivedRequest| {
        let log = Arc::clone(&log);
        async move {
            let path = request.uri().path().to_owned();
            if path == "/ok" {
                return ok((request, respond)).await;
            }
            if path == "/hang" {
                let reason = poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
                return log.lock().unwrap().push((path, reason));
            }
            let mut stream = respond.send_response(head(200), false).unwrap();
            stream
                .send_data(Bytes::from_static(b"some"), false)
                .unwrap();
            let reason = poll_fn(|cx| stream.poll_reset(cx)).await.unwrap();
            log.lock().unwrap().push((path, reason));
        }
    });
    let mut hang = op("GET", "/hang");
    hang.timeout_ms = 300;
    let ops = vec![hang, op("GET", "/stream"), op("GET", "/ok")];
    let served = upstream.behind(ops).serve();
    let mut streaming = Client::connect(served.address);
    streaming.send("GET /stream HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    assert!(streaming.head().starts_with("HTTP/1.1 200"));
    assert_eq!(get(served.address, "/hang").problem(), "upstream_timeout");
    assert_eq!(get(served.address, "/ok").text(), "ok");
    eventually("the stream of the request is reset", || {
        resets.lock().unwrap().len() == 1
    });
    drop(streaming);
    eventually("the stream of the response is reset", || {
        resets.lock().unwrap().len() == 2
    });
    let resets = resets.lock().unwrap().clone();
    let expected = ["/hang", "/stream"].map(|path| (path.to_owned(), Reason::CANCEL));
    assert_eq!(resets, expected);
}

#[test]
fn a_client_that_leaves_after_its_upload_is_noticed() {
    let resets = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&resets);
    let upstream = Http2Upstream::start(move |_, (request, mut respond): ReceivedRequest| {
        let log = Arc::clone(&log);
        async move {
            let mut body = request.into_body();
            let mut bytes = 0;
            while let Some(Ok(piece)) = body.data().await {
                bytes += piece.len();
            }
            log.lock().unwrap().push((bytes, None));
            let reason = poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
            log.lock().unwrap().push((bytes, Some(reason)));
        }
    });
    let served = upstream.behind(vec![op("POST", "/wait")]).serve();
    let mut client = Client::connect(served.address);
    client.send("POST /wait HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 6\r\n\r\nabc");
    client.send("def");
    eventually("the upload has ended", || {
        !resets.lock().unwrap().is_empty()
    });
    drop(client);
    eventually("the stream is reset", || resets.lock().unwrap().len() == 2);
    let expected = [(6, None), (6, Some(Reason::CANCEL))];
    assert_eq!(*resets.lock().unwrap(), expected);
}

#[test]
fn upstream_reset_is_an_error_and_refused_is_retried() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let (cut, cuts) = tokio::sync::watch::channel(false);
    let upstream = Http2Upstream::start(move |_, (request, mut respond): ReceivedRequest| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        let mut cuts = cuts.clone();
        async move {
            match request.uri().path() {
                "/refused" if first => respond.send_reset(Reason::REFUSED_STREAM),
                "/broken" => respond.send_reset(Reason::INTERNAL_ERROR),
                path @ ("/half" | "/cut") => {
                    // A reset with NO_ERROR also cuts off a response that has no END_STREAM.
                    let reason = match path {
                        "/half" => Reason::INTERNAL_ERROR,
                        _ => Reason::NO_ERROR,
                    };
                    let mut stream = respond.send_response(head(200), false).unwrap();
                    stream
                        .send_data(Bytes::from_static(b"half"), false)
                        .unwrap();
                    cuts.wait_for(|cut| *cut).await.unwrap();
                    stream.send_reset(reason);
                }
                _ => ok((request, respond)).await,
            }
        }
    });
    let mut refused = op("POST", "/refused");
    let mut retries = policy::traffic::retry::Checked::of(&policy::declared::Settings::default());
    retries.on = vec![Condition::RefusedStream];
    refused.retries = Some(retries);
    let ops = vec![
        refused,
        op("POST", "/broken"),
        op("GET", "/half"),
        op("GET", "/cut"),
    ];
    let served = upstream.behind(ops).serve();
    let empty = "content-length: 0\r\n";
    let answer = fetch(served.address, "POST", "/refused", empty);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(tries.load(Ordering::SeqCst), 2);
    let answer = fetch(served.address, "POST", "/broken", empty);
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (502, "upstream_reset")
    );
    assert_eq!(tries.load(Ordering::SeqCst), 3, "not sent twice");
    // An incomplete body is not forwarded as complete.
    for path in ["/half", "/cut"] {
        cut.send_replace(false);
        let client = Http2::connect(served.address);
        let send = client.send.clone();
        client.runtime.block_on(async {
            let mut send = send.ready().await.unwrap();
            let (response, _) = send.send_request(to("GET", path), true).unwrap();
            let mut body = response.await.unwrap().into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), "half");
            cut.send_replace(true);
            assert!(body.data().await.unwrap().is_err(), "{path}");
        });
    }
    assert_eq!(
        upstream.connections.load(Ordering::SeqCst),
        1,
        "only streams were hurt"
    );
}

#[test]
fn connection_with_goaway_finishes_and_is_replaced() {
    let upstream = Http2Upstream::with(
        h2::server::Builder::new(),
        3,
        |_, exchange: ReceivedRequest| ok(exchange),
    );
    let served = upstream.behind(vec![op("POST", "/a")]).serve();
    for _ in 0..20 {
        let answer = fetch(served.address, "POST", "/a", "content-length: 0\r\n");
        assert_eq!((answer.status, answer.text()), (200, "ok"));
    }
    let connections = upstream.connections.load(Ordering::SeqCst);
    assert!((7..=10).contains(&connections), "{connections}");
}

#[test]
fn connection_is_shared_up_to_80_percent_of_streams() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(5);
    let (open, opened) = tokio::sync::watch::channel(false);
    let waiting = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&waiting);
    let upstream = Http2Upstream::with(
        builder,
        usize::MAX,
        move |number, exchange: ReceivedRequest| {
            log.lock().unwrap().push(number);
            let mut opened = opened.clone();
            async move {
                opened.wait_for(|open| *open).await.unwrap();
                ok(exchange).await;
            }
        },
    );
    let served = upstream.behind(vec![op("GET", "/a")]).serve();
    let mut client = Http2::connect(served.address);
    // The first request shows how many streams the connection allows.
    let mut begun = vec![client.begin(to("GET", "/a"), None)];
    eventually("the upstream has the first request", || {
        waiting.lock().unwrap().len() == 1
    });
    begun.extend((0..9).map(|_| client.begin(to("GET", "/a"), None)));
    eventually("the upstream has all requests", || {
        waiting.lock().unwrap().len() == 10
    });
    let mut each = [0; 3];
    for number in waiting.lock().unwrap().iter() {
        each[*number] += 1;
    }
    assert_eq!(each.iter().sum::<i32>(), 10);
    assert!(
        each.iter().all(|many| *many <= 4),
        "{each:?}: a new one is taken to bear as much"
    );
    open.send(true).unwrap();
    for one in begun {
        assert_eq!(client.end(one).unwrap().head.status(), StatusCode::OK);
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 3);
}

#[test]
fn upload_waits_for_100_and_early_response_ends_it() {
    let upstream = Http2Upstream::start(|_, (request, mut respond): ReceivedRequest| async move {
        if request.uri().path() == "/early" {
            respond.send_response(head(413), true).unwrap();
            return;
        }
        assert_eq!(request.headers()["expect"], "100-continue");
        respond.send_informational(head(100)).unwrap();
        echo((request, respond)).await;
    });
    let ops = vec![op("POST", "/early"), op("POST", "/a")];
    let served = upstream.behind(ops).serve();
    let ask = |path: &str| {
        let mut client = Client::connect(served.address);
        client.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n"
        ));
        client
    };
    let mut client = ask("/a");
    let began = std::time::Instant::now();
    assert!(client.head().starts_with("HTTP/1.1 100"));
    assert!(
        began.elapsed().as_millis() < 900,
        "the 100 arrived before the time limit"
    );
    client.send("body");
    assert_eq!(client.answer().text(), "body");
    assert_eq!(ask("/early").answer().status, 413);
}

#[test]
fn another_protocol_is_another_connection() {
    let upstream = Upstream::saying("one");
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    let mut served = shop.serve();
    assert_eq!(get(served.address, "/a").text(), "one");
    shop.upstreams[0].protocol = UpstreamProtocol::H2c;
    let version = shop.build(&mut served.node, bundle::digest::Digest::of(b"two"));
    served.node.publish(&version, 2);
    // The new upstream supports only HTTP/1.1, so existing HTTP/2 connections are not used.
    let answer = get(served.address, "/a");
    assert_eq!(answer.status, 502, "{answer:?}");
}

#[test]
fn http2_over_tls_is_used_only_if_negotiated() {
    let pem = Authority::new("ca").issue(&["127.0.0.1"]);
    let upstream =
        Http2Upstream::over_tls(server(&pem, None, &["h2"]), |_, received| echo(received));
    let mut shop = behind(upstream.address, unchecked());
    shop.upstreams[0].protocol = UpstreamProtocol::H2;
    let served = shop.serve();
    for _ in 0..3 {
        let answer = get(served.address, "/a?q=1");
        let [received] = answer.field("x-asked")[..] else {
            panic!("{answer:?}")
        };
        assert!(
            received.starts_with("GET https://shop.example/a?q=1 "),
            "{received}"
        );
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1, "shared");

    // In TLS 1.3, the server reports a missing client certificate after the handshake.
    let asks = server(&pem, Some(&Authority::new("clients")), &["h2"]);
    let asking = Http2Upstream::over_tls(asks, |_, received| ok(received));
    let mut shop = behind(asking.address, unchecked());
    shop.upstreams[0].protocol = UpstreamProtocol::H2;
    let served = shop.serve();
    let answer = get(served.address, "/a");
    assert_eq!(answer.problem(), "upstream_tls_alert", "{answer:?}");
    assert_eq!(
        answer.field("proxy-status"),
        ["gwd; error=tls_alert_received; alert-id=116"]
    );

    // Try servers without ALPN, and with only `http/1.1`.
    for protocols in [&[][..], &["http/1.1"]] {
        let upstream =
            Http2Upstream::over_tls(server(&pem, None, protocols), |_, received| ok(received));
        let mut shop = behind(upstream.address, unchecked());
        shop.upstreams[0].protocol = UpstreamProtocol::H2;
        let served = shop.serve();
        let answer = get(served.address, "/a");
        let proxy_status = answer.field("proxy-status").concat();
        // A server with other protocols sends the alert no_application_protocol.
        let wanted = match protocols {
            [] => "gwd; error=tls_protocol_error",
            _ => "gwd; error=tls_alert_received; alert-id=120",
        };
        assert_eq!((answer.status, proxy_status.as_str()), (502, wanted));
    }
}

#[test]
fn auto_protocol_follows_alpn_and_changing_hosts() {
    let pem = Authority::new("ca").issue(&["127.0.0.1"]);
    let upstream =
        Http2Upstream::over_tls(server(&pem, None, &["h2", "http/1.1"]), |_, exchange| {
            ok(exchange)
        });
    let auto = |address| {
        let mut shop = behind(address, unchecked());
        shop.upstreams[0].protocol = UpstreamProtocol::Auto;
        shop
    };
    let served = auto(upstream.address).serve();
    let many = (0..8).map(|_| {
        let address = served.address;
        std::thread::spawn(move || get(address, "/a").text().to_owned())
    });
    let many: Vec<_> = many.collect();
    for one in many {
        assert_eq!(one.join().unwrap(), "ok");
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1, "shared");

    // A server that supports only HTTP/1.1: each concurrent request has its own connection, which
    // is reused later.
    let old = TlsUpstream::start(server(&pem, None, &["http/1.1"]));
    let served = auto(old.address).serve();
    let first = get(served.address, "/a");
    assert!(first.text().contains("alpn=http/1.1 "), "{first:?}");
    assert_eq!(get(served.address, "/a").text(), first.text(), "kept");
    // Now without ALPN.
    old.exchange(server(&pem, None, &[]));
    let served = auto(old.address).serve();
    assert!(get(served.address, "/a").text().contains("alpn=- "));

    // Without TLS, protocols cannot be negotiated.
    let plain = Upstream::saying("plain");
    let mut shop = shop(plain.address, vec![op("GET", "/a")]);
    shop.upstreams[0].protocol = UpstreamProtocol::Auto;
    let served = shop.serve();
    assert_eq!(get(served.address, "/a").text(), "plain");
    assert!(plain.only().line().ends_with(" HTTP/1.1"));
}

/// Serves HTTP/1 at a Unix socket, and answers each request with its head.
fn at_a_socket(path: &std::path::Path) {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                loop {
                    let head = lines.by_ref().map_while(Result::ok);
                    let head: Vec<_> = head.take_while(|line| !line.is_empty()).collect();
                    if head.is_empty() {
                        return;
                    }
                    let body = head.join("\n");
                    let length = body.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                    let _gone = stream.write_all(answer.as_bytes());
                }
            });
        }
    });
}

#[test]
fn service_at_a_unix_socket_is_used_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let log = folder.path().join("access.log");
    at_a_socket(&path);
    let unused = "127.0.0.1:1".parse().unwrap();
    let mut shop = shop(unused, vec![op("GET", "/a")]);
    let main = &mut shop.upstreams[0];
    main.targets = bundle::ir::Set::new(vec![bundle::ir::Target {
        name: "app".into(),
        host: path.display().to_string(),
        port: 0,
        path: String::new(),
        weight: 1,
        zone: None,
        tls: false,
    }])
    .unwrap();
    main.host_header = bundle::ir::HostHeader::Upstream;
    let interval = policy::declared::Value::One(policy::declared::Scalar::Duration(20));
    let settings = policy::declared::Settings::default().with(&["interval"], interval);
    main.health.active = Some(policy::upstream::Active::of(&settings));
    let file = gwd::node::AccessLog::File(log.clone());
    let served = shop.serve_with(1, file);
    let answer = get(served.address, "/a");
    assert!(answer.text().starts_with("GET /a HTTP/1.1\n"), "{answer:?}");
    assert!(answer.text().contains("\nhost: localhost\n"), "{answer:?}");
    let name = format!("unix:{}", path.display());
    eventually("the service is healthy", || {
        served.metric("gwd_upstream_host_healthy", &[&name]) == 1.0
    });
    eventually("the request is logged", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.contains(&format!("\"upstream_host\":\"{name}\""))
    });
    std::fs::remove_file(&path).unwrap();
    eventually("the service is unhealthy", || {
        served.metric("gwd_upstream_host_healthy", &[&name]) == 0.0
    });
    at_a_socket(&path);
    eventually("the service serves again", || {
        get(served.address, "/a").status == 200
    });
}
