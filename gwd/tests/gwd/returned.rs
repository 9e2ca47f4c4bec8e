//! Response rewriting (`rewrite_responses`): in response fields, the upstream's URLs are replaced
//! by the gateway's URLs. The table in `engine::forward::returned` lists the rewriting of single
//! values.

use std::io::Write as _;
use std::net::TcpStream;

use bundle::ir;

use crate::fixture::*;
use crate::websocket::{HANDSHAKE, accept_of};

/// A mount at `/shop`. The upstream receives paths that begin with `/v1` instead, and its own host
/// name in `Host`.
fn mounted(upstream: &Upstream, location: bool, cookies: bool) -> Shop {
    let ops = vec![op("GET", "/login"), op("GET", "/ws").websocket()];
    let mut shop = shop(upstream.address, ops);
    shop.mount.base_path = "/shop".into();
    shop.mount.strip_base_path = true;
    let mut service = shop.upstreams.remove(0);
    service.host_header = ir::HostHeader::Upstream;
    let mut targets = service.targets.into_vec();
    targets[0].path = "/v1".into();
    service.targets = ir::Set::new(targets).unwrap();
    service.rewrite_responses =
        (location || cookies).then_some(ir::RewriteResponses { location, cookies });
    shop.upstreams.push(service);
    shop
}

/// Answers as an upstream that redirects and sets cookies. Accepts a WebSocket handshake at
/// `/v1/ws` with the protocol `chat`.
fn answer(seen: &Seen, stream: &mut TcpStream) -> Then {
    let own = seen.field("host")[0].to_owned();
    let fields = format!(
        "location: http://{own}/v1/home\r\ncontent-location: /v1/login\r\n\
         set-cookie: a=1; Path=/v1; Domain=127.0.0.1\r\nset-cookie: b=2; Secure; Path=/\r\n"
    );
    let head = match seen.field("sec-websocket-key")[..] {
        [key] if seen.field("sec-websocket-protocol") == ["chat"] => format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: {}\r\nsec-websocket-protocol: chat\r\n{fields}\r\n",
            accept_of(key)
        ),
        _ => format!("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n{fields}\r\n"),
    };
    stream.write_all(head.as_bytes()).unwrap();
    Then::Close
}

/// Sorted lines of those fields in a head that contain URLs or cookie paths.
fn places(head: &str) -> Vec<&str> {
    let has_place = |line: &&str| {
        ["location:", "content-location:", "set-cookie:"]
            .iter()
            .any(|name| line.to_ascii_lowercase().starts_with(name))
    };
    let mut lines: Vec<&str> = head.lines().filter(has_place).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn returned_urls_name_the_gateway_where_configured() {
    let upstream = Upstream::start(answer);
    let own = upstream.address;
    let location = [
        "content-location: /shop/login".to_owned(),
        "location: /shop/home".to_owned(),
    ];
    let cookies = [
        "set-cookie: a=1; Path=/shop".to_owned(),
        "set-cookie: b=2; Secure; Path=/shop".to_owned(),
    ];
    let untouched = [
        "content-location: /v1/login".to_owned(),
        format!("location: http://{own}/v1/home"),
        "set-cookie: a=1; Path=/v1; Domain=127.0.0.1".to_owned(),
        "set-cookie: b=2; Secure; Path=/".to_owned(),
    ];
    for (settings, expected) in [
        ((false, false), untouched.clone()),
        (
            (true, true),
            [location.clone(), cookies.clone()]
                .concat()
                .try_into()
                .unwrap(),
        ),
        (
            (true, false),
            [&location[..], &untouched[2..]]
                .concat()
                .try_into()
                .unwrap(),
        ),
        (
            (false, true),
            [&untouched[..2], &cookies[..]].concat().try_into().unwrap(),
        ),
    ] {
        let served = mounted(&upstream, settings.0, settings.1).serve();
        let handshake = HANDSHAKE.replace("/ws", "/shop/ws");
        let declined = handshake.replace("chat", "other");
        for (request, status) in [
            (
                "GET /shop/login HTTP/1.1\r\nhost: shop.example\r\n\r\n",
                "302",
            ),
            (&declined, "302"),
            (&handshake, "101"),
        ] {
            let mut client = Client::connect(served.address);
            client.send(request);
            let head = client.head();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert_eq!(places(&head), expected, "{settings:?} {request}");
        }
    }
}

#[test]
fn own_cookie_is_not_rewritten() {
    let upstream = Upstream::start(|_, stream| {
        say(
            stream,
            "content-length: 0\r\nset-cookie: a=1; Path=/\r\n",
            "",
        );
        Then::Keep
    });
    let mut shop = mounted(&upstream, true, true);
    shop.upstreams[0].balance.lb = policy::upstream::Lb::Maglev;
    shop.upstreams[0].balance.hash_on = Some(policy::upstream::HashOn::Cookie("at".into()));
    let served = shop.serve();
    let answer = get(served.address, "/shop/login");
    let [theirs, own] = answer.field("set-cookie")[..] else {
        panic!("{answer:?}")
    };
    assert_eq!(theirs, "a=1; Path=/shop");
    assert!(own.starts_with("at=") && own.contains("; Path=/;"), "{own}");
}
