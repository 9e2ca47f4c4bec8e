//! Fuzz targets for every parser of external input.
//!
//! Each target accepts arbitrary bytes, and must return without a panic. If a target parses the
//! input and encodes the result, parsing the encoded bytes must give the same result.

mod fields;
mod front;
mod logs;
mod messages;
mod processors;
mod scans;
mod sequences;
mod tokens;
mod wire;

use std::net::IpAddr;

use bundle::archive;
use bundle::digest::Digest;
use bundle::ir::{self, Template};
use bundle::statement::Statement;
use bundle::statement::envelope::Envelope;
use bundle::statement::predicate::{Build, Record, Revoke};
use bundle::store::Store as _;
use bundle::trust::Trust;
use bundle::verify::Unverified;
use diag::{Sink, Sources, Tree};
use engine::path::{PathFault, normalise};
use gwc::assemble::{assemble, disassemble};
use model::compile::{self, Compiled};
use plan::ask::{Oracle, Question};
use sources::project::files::Files;
use sources::syntax::{self, Limits};

pub use fields::{accept, forwarded, keep_alive, location, set_cookie};
pub use front::{baseline, levels, number, outline, pattern, schema, swagger, target};
pub use logs::log_line;
pub use messages::{cookie, form_body, json_body, multipart_body, path_parameter, query};
pub use processors::processor;
pub use scans::{threat_json, threat_xml};
pub use sequences::sequence;
pub use tokens::{client_cert, signature, token};
pub use wire::{header_block, http1_requests, http1_responses, proxy_header};

/// Parser limits that keep the cost of a single input low.
fn limits() -> Limits {
    Limits {
        bytes_max: 1 << 20,
        nodes_max: 200_000,
        alias_nodes_max: 20_000,
        ..Limits::default()
    }
}

/// Parses the text of a file. The result must be a tree or findings, each with a position inside
/// the text.
fn tree(path: &str, data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let (mut sources, mut tree, mut sink) = (Sources::default(), Tree::default(), Sink::default());
    let file = sources.add(path, text);
    let root = syntax::parse(file, sources.file(file), &mut tree, &limits(), &mut sink);
    let findings = sink.into_sorted();
    for finding in &findings {
        let _place = sources.position(finding.span);
        let _text = sources.text(finding.span);
    }
    assert!(root.is_some() || !findings.is_empty() || text.trim().is_empty());
    findings.is_empty()
}

/// Fuzz target for YAML.
pub fn yaml(data: &[u8]) {
    tree("a.yaml", data);
}

/// Fuzz target for JSON. serde_json must accept each text that the project's parser accepts without
/// a finding.
pub fn json(data: &[u8]) {
    if tree("a.json", data) {
        let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
        let other = serde_json::from_slice::<serde_json::Value>(text);
        assert!(other.is_ok() || is_beyond(text, &other), "{other:?}");
    }
}

/// True for texts on which the parsers may disagree: empty texts, and texts with nesting or numbers
/// beyond the limits of serde_json.
fn is_beyond<T>(text: &[u8], other: &serde_json::Result<T>) -> bool {
    let message = other.as_ref().err().map(ToString::to_string);
    let beyond = ["recursion", "out of range"];
    text.trim_ascii().is_empty()
        || message.is_some_and(|message| beyond.iter().any(|word| message.contains(word)))
}

const GATEWAY: &str = "\
version: 1
name: s
apis: {s: {path: openapi.yaml, overlays: [overlay.yaml]}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
auth: {keys: {kind: api_key}}
policies: {limit: {kind: rate_limit, limit: 10/s, burst: 5, key: address}}
defaults: {upstream: u, security: upstream, policies: [limit]}
";
const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: t, version: \"1\"}
paths: {\"/a/{b}\": {get: {operationId: x, parameters: [{name: b, in: path, required: true, schema: {}}], responses: {}}}}
";
const OVERLAY: &str = "overlay: 1.0.0\ninfo: {title: t, version: \"1\"}\nactions: [{target: $.info, update: {x-a: 1}}]\n";

/// Compiles a project. If the project compiles, builds the bundle and the engine, encodes and
/// decodes each API, and sends one request to the engine.
fn compiled(files: [(&str, &[u8]); 3]) {
    let files = Files::in_memory(files.map(|(path, bytes)| (path, bytes.to_vec())), limits());
    let Compiled {
        lowered,
        findings,
        files,
        ..
    } = compile::project(files, &Vec::new());
    for finding in &findings {
        let _place = files.sources.position(finding.span);
    }
    let Some(lowered) = lowered else { return };
    let bundle = assemble(&lowered).expect("what compiles can be put together");
    let oracle = Oracle::build(&lowered.gateway, &bundle.id().to_string())
        .expect("what compiles can be built");
    for api in &lowered.gateway.apis {
        let bytes = bundle::codec::encode(api);
        let again: ir::Api = bundle::codec::decode(&bytes).expect("our own bytes");
        assert_eq!(*api, again);
    }
    ask(&oracle, b"GET /a/b");
}

/// Fuzz target for the OpenAPI document of a project.
pub fn document(data: &[u8]) {
    compiled([
        ("gateway.yaml", GATEWAY.as_bytes()),
        ("openapi.yaml", data),
        ("overlay.yaml", OVERLAY.as_bytes()),
    ]);
}

/// Fuzz target for overlays with JSONPath targets.
pub fn overlay(data: &[u8]) {
    compiled([
        ("gateway.yaml", GATEWAY.as_bytes()),
        ("openapi.yaml", DOCUMENT.as_bytes()),
        ("overlay.yaml", data),
    ]);
}

/// Fuzz target for path templates (first line). Formatting and encoding must preserve a template.
/// The patterns of its segments are matched against the path in the second line.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (text, path) = text.split_once('\n').unwrap_or((text, "/a/b"));
    let Ok(template) = Template::parse(text) else {
        return;
    };
    assert_eq!(
        Template::parse(&template.to_string()).as_ref(),
        Ok(&template)
    );
    for template in [template.clone(), template.into_prefix()] {
        let bytes = bundle::codec::encode(&template);
        assert_eq!(
            bundle::codec::decode::<Template>(&bytes),
            Ok(template.clone())
        );
        for (segment, text) in template.segments().iter().zip(path.split('/').skip(1)) {
            if let ir::Segment::Pattern(pattern) = segment {
                let _matches = pattern.matches(text);
            }
        }
    }
}

/// Fuzz target for request paths. Normalising twice must change nothing, and no dot segment may
/// remain. Each reading of a path must be a normalised path, except that it may have a control
/// character that the path escapes in another way (`%250A`, `%C0%8A`). A path has at most 64
/// readings.
pub fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(once) = normalise(text) {
        assert_eq!(normalise(&once).as_deref(), Ok(&*once));
        assert!(
            once.split('/')
                .all(|segment| !matches!(segment, "." | ".."))
        );
        assert!(once.starts_with('/') && once.is_ascii());
        if let Ok(readings) = engine::readings::readings(&once) {
            assert!(readings.len() <= 64);
            for reading in readings {
                match normalise(&reading) {
                    Err(PathFault::Byte) => assert!(once.contains('%'), "{once}: {reading}"),
                    other => assert_eq!(other.as_deref(), Ok(&*reading)),
                }
            }
        }
    }
    let _literal = engine::path::normalise_literal(text);
}

/// Fuzz target for one-file bundles and their blobs. Decoded content must encode to the same bytes.
pub fn bundle_open(data: &[u8]) {
    if let Ok(memory) = archive::read(data) {
        for id in memory.bundles().unwrap_or_default() {
            let opened = Unverified::open(&memory, id).and_then(|one| one.load_full(&memory));
            let Ok(full) = opened else { continue };
            if let Ok(lowered) = disassemble(&full) {
                let _built = Oracle::build(&lowered.gateway, &id.to_string());
            }
        }
    }
    if let Ok(shared) = bundle::codec::decode::<ir::Shared>(data) {
        assert_eq!(bundle::codec::encode(&shared), data);
    }
    if let Ok(api) = bundle::codec::decode::<ir::Api>(data) {
        assert_eq!(bundle::codec::encode(&api), data);
    }
    if let Ok(contract) = ir::Contract::read(data)
        && !contract.names_only
    {
        assert_eq!(bundle::codec::encode(&contract), data);
    }
}

/// Fuzz target for host files. Each host must have a usable address and a weight within the limit.
/// An error message must not repeat the content of the file.
pub fn host_file(data: &[u8]) {
    match gwd::discovery::file::places(data) {
        Ok(places) => assert!(
            places
                .iter()
                .all(|one| one.address.port() > 0 && one.weight <= 1_000_000)
        ),
        Err(why) => assert!(why.len() < 200, "{why}"),
    }
}

/// Fuzz target for files with quota counters. Each file must have only one encoding, and a table
/// must accept any integers as slots.
pub fn quota_file(data: &[u8]) {
    if let Ok(saved) = policy::saved::decode(data) {
        assert!(saved.is_empty() || policy::saved::encode(&saved) == data);
    }
    // Also test the content that the digest protects, without the check of the digest.
    for one in policy::saved::content(data).unwrap_or_default() {
        let table = policy::RateTable::saved(64, [0, 0]);
        let lost = table.restore(&one);
        let kept = table.save(0).map_or(0, |kept| kept.slots.len());
        assert!(lost + kept <= one.slots.len());
    }
}

/// Fuzz target for statements and their envelopes. Each statement and envelope must have only one
/// encoding.
pub fn statement(data: &[u8]) {
    if let Ok(envelope) = Envelope::decode(data) {
        assert_eq!(envelope.encode().as_deref(), Ok(data));
        statement(envelope.payload());
    }
    if let Ok(read) = Statement::<Record>::decode(data) {
        assert_eq!(read.encode().as_deref(), Ok(data));
    }
    if let Ok(read) = Statement::<Build>::decode(data) {
        assert_eq!(read.encode().as_deref(), Ok(data));
    }
    if let Ok(read) = Statement::<Revoke>::decode(data) {
        assert_eq!(read.encode().as_deref(), Ok(data));
    }
    let _type = bundle::statement::predicate_type(data);
    let _layer = bundle::statement::stored::layer(data);
}

/// Fuzz target for trust files, digests and address ranges.
pub fn trust(data: &[u8]) {
    if let Ok(trust) = Trust::parse(data) {
        let text = trust.to_json();
        let again = Trust::parse(text.as_bytes()).expect("our own text");
        assert_eq!(again.to_json(), text);
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    if let Some(range) = ir::Cidr::parse(text) {
        let again = ir::Cidr::parse(&range.to_string());
        assert_eq!(again, Some(range));
    }
}

/// Fuzz target for the responses, tags and addresses of a registry.
pub fn registry(data: &[u8]) {
    use registry::{Address, auth::challenge, tags, wire};
    let _challenges = challenge::read(data);
    let _error = wire::error(data);
    let _tags = wire::tags(data);
    if let Ok(token) = wire::token(data) {
        assert!(!token.0.is_empty());
    }
    if let Ok(index) = wire::index(data) {
        let again = wire::index(&wire::write_index(&index));
        assert_eq!(again, Ok(index));
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string().parse(), Ok(address));
    }
    if let Some(tag) = tags::parse(text) {
        let written = match tag {
            tags::Tag::Link(chain, serial) => tags::link(&chain, serial),
            tags::Tag::Head(chain) => tags::head(&chain),
            tags::Tag::Bundle(id) => Ok(tags::bundle(&id)),
        };
        assert_eq!(written.as_deref().ok(), Some(text));
    }
}

/// Fuzz target for request heads, which a small compiled gateway checks and decides.
pub fn edge(data: &[u8]) {
    thread_local! {
        static ORACLE: Oracle = small();
    }
    ORACLE.with(|oracle| ask(oracle, data));
}

fn small() -> Oracle {
    let files = [
        ("gateway.yaml", GATEWAY),
        ("openapi.yaml", DOCUMENT),
        ("overlay.yaml", OVERLAY),
    ];
    let compiled = compile::project(Files::in_memory(files, limits()), &Vec::new());
    let lowered = compiled.lowered.expect("our own project compiles");
    let id = Digest::of(b"small").to_string();
    Oracle::build(&lowered.gateway, &id).expect("our own project can be built")
}

/// Sends a request head to the engine. The first line is `METHOD target`, the other lines are
/// header fields.
fn ask(oracle: &Oracle, data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let mut words = first.splitn(2, |byte| *byte == b' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return;
    };
    let mut request = http::Request::builder()
        .method(method)
        .uri(target)
        .header("host", "h");
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(()) else {
        return;
    };
    let question = Question {
        listener: 0,
        request: request.into_parts().0,
        peer: IpAddr::from([192, 0, 2, 1]),
        certificates: Vec::new(),
        unix_s: 1_800_000_000,
        body: None,
    };
    let _explained = oracle.ask(&question, |decided, admitted, _| {
        let path = admitted.head.path();
        assert!(path == "*" || normalise(path).as_deref() == Ok(path));
        decided.ran
    });
}

/// Fuzz target. Members: name, function, and sample inputs.
pub type Target = (&'static str, fn(&[u8]), Vec<Vec<u8>>);

/// All fuzz targets with their sample inputs.
#[must_use]
pub fn targets() -> Vec<Target> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let rich = "a: &a {b: [1, 2.5, ~, yes], \"c\\n\": 'd'}\ne: |\n  text\n  more\nf: *a\n<<: *a\n? x\n: - y\n  - !!str z\n# end\n";
    let json_text = r#"{"a": [1, -2.5e3, null, true, "\u00e9\n"], "b": {"c": ""}}"#;
    vec![
        ("yaml", yaml as fn(&[u8]), texts(&[rich, GATEWAY, DOCUMENT])),
        ("json", json, texts(&[json_text])),
        (
            "outline",
            outline,
            texts(&[
                "\u{10}\0a: {b: [c, {d: 1}], \"e\": x}\nf:\n- g: |\n    h\n  i: 'j'\n",
                "\u{20}\0{\"x-gateway\": {\"policies\": [\"a\", {\"kind\": \"rate_limit\", \"lim\n",
                "\u{7}\0version: 1\npolicies:\n  a: {kind: rate_limit, ",
            ]),
        ),
        (
            "document",
            document,
            texts(&[
                DOCUMENT,
                include_str!("../../tests/cases/routing/openapi.yaml"),
                include_str!("../../tests/cases/security/openapi.yaml"),
                "openapi: 3.0.0\ninfo: {title: t, version: v}\npaths: {/a: {$ref: \"#/paths/~1b\"}, /b: {get: {parameters: [{$ref: \"#/components/parameters/%50\"}], responses: {}}}}\ncomponents: {parameters: {P: {name: p, in: query, schema: {}}}}\n",
            ]),
        ),
        (
            "overlay",
            overlay,
            texts(&[
                OVERLAY,
                "overlay: 1.0.0\ninfo: {title: t, version: v}\nactions:\n- {target: \"$.paths['/a/{b}'].get\", update: {x-gateway: {timeout: 2s}}}\n- {target: \"$..parameters[?@.in=='path']\", remove: true}\n",
            ]),
        ),
        (
            "template",
            template,
            texts(&["/a/{b}/c{d}e\n/a/x/cye", "/{a}...{b}\n/x...y", "/", "//a/"]),
        ),
        (
            "path",
            path,
            texts(&["/a/%2e%2e/b", "/%252e/./../x", "/a//b;c=1", "/%C3%A9"]),
        ),
        ("bundle_open", bundle_open, bundles()),
        ("statement", statement, statements()),
        ("host_file", host_file, host_files()),
        ("quota_file", quota_file, quota_files()),
        ("trust", trust, trusts()),
        (
            "registry",
            registry,
            texts(&[
                "Bearer realm=\"https://a/token\",service=\"r\", Basic realm=x",
                "{\"name\":\"a\",\"tags\":[\"ch-prod\",\"rev\"]}",
                "{\"access_token\":\"t\",\"expires_in\":60}",
                "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[{\"mediaType\":\"a/b\",\"digest\":\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2}]}",
                "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\"}]}",
                "ch-prod-00000000000000000007",
                "rev-00000000000000000001",
                "oci://[::1]:5000/a/b-c",
            ]),
        ),
        (
            "edge",
            edge,
            texts(&[
                "GET /a/b?x=1\nx-key: k\nconnection: close, x-key\nvia: 1.1 gwd",
                "OPTIONS *\nte: trailers",
                "POST http://h:80/a/%2e%2e/b\ntransfer-encoding: chunked\nforwarded: for=1",
                "HEAD /a/b\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ]),
        ),
        ("header_block", header_block, wire::header_blocks()),
        ("proxy_header", proxy_header, wire::proxy_headers()),
        ("processor", processor, processors::samples()),
        ("location", location, fields::locations()),
        ("set_cookie", set_cookie, fields::cookies()),
        ("token", token, tokens::samples()),
        ("client_cert", client_cert, tokens::certificates()),
        ("signature", signature, tokens::signed()),
        (
            "accept",
            accept,
            texts(&[
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                "application/json;q=0.5\ntext/html;level=1;q=0.7",
                "text/*;q=1.000, application/problem+json;Q=0.001",
            ]),
        ),
        (
            "query",
            query,
            texts(&[
                "xf0=1&yf1=1&yf1=2&zf0=a,1,b,2&ys0=1%202&yp0=1%7C2",
                "zd1%5Ba%5D=1&zd1[b][]=2&a=1&b=2&other=+",
            ]),
        ),
        (
            "path_parameter",
            path_parameter,
            texts(&["1,2,3", ".1.2", ";zm1=1;zm1=2", "a=1,b=2", "%31%2C%32"]),
        ),
        (
            "cookie",
            cookie,
            texts(&[
                "xf0=1; yf0=1,2; zf1=a,1",
                "a=1,b=2",
                "1, 2, 3",
                "s=\"1\";;=; xf1",
            ]),
        ),
        (
            "form_body",
            form_body,
            texts(&["a=1&b=1&b=2", "a=%31&b%5B%5D=1&c=+", "a[b]=1"]),
        ),
        (
            "multipart_body",
            multipart_body,
            texts(&[
                "x\n--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x\r\ncontent-type: application/json\r\ncontent-disposition: form-data; name=b\r\n\r\n[1]\r\n--x--\r\n",
            ]),
        ),
        (
            "json_body",
            json_body,
            texts(&[
                r#"{"a": 1, "b": [1, 2.5e3, null]}"#,
                r#"{"a": 1, "\u0061": 2}"#,
            ]),
        ),
        (
            "sequence",
            sequence,
            texts(&[
                "03{\"a\": 1}\r\n\n[2]\n3",
                "15\u{1e}{\"a\":\n[1]}\n\u{1e}12\n\u{1e}\u{1e}\"\\\"\"",
                "27\u{feff}: x\r\n\r\nevent: a\rdata: {}\r\rid:1\nretry: 5\ndata: [1]\n\n",
            ]),
        ),
        (
            "threat_json",
            threat_json,
            texts(&[
                r#"{"a": [1, -2.5e+3, "\u00e9\ud83d\ude00", {}], "b": {"c": null}}"#,
                "[true,false]\n\u{1e}{}",
            ]),
        ),
        (
            "threat_xml",
            threat_xml,
            texts(&[
                "<?xml version='1.0' encoding='UTF-8'?><a b='&lt;' c=\"d\"><!-- e --><f/>&#233;<![CDATA[g]]></a>",
                "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
            ]),
        ),
        (
            "forwarded",
            forwarded,
            texts(&[
                "203.0.113.9, [2001:db8::1]:99, unknown\n",
                "\nfor=203.0.113.9;proto=https;host=\"a:1\", For=\"[::1]\";by=_x",
                "<x>, _a\nfor=198.51.100.7",
            ]),
        ),
        (
            "log_line",
            log_line,
            texts(&[
                r#"{"http_method":"GET","listener":"public","host":"a.test","path":"/o","query":"a=1"}"#,
                r#"192.0.2.1 - - [10/Oct/2026:13:55:36 +0000] "GET /o/1 HTTP/1.1" 200 5 "-" "curl""#,
                r#"[2026-10-10T13:55:36.000Z] "PUT /o HTTP/2" 200 - 0 5 1 0 "-" "curl" "id" "a.test" "-""#,
                r#"{"log": {"entries": [{"request": {"method": "GET", "url": "https://a.test/o"}}]}}"#,
            ]),
        ),
        (
            "keep_alive",
            keep_alive,
            texts(&["timeout=5, max=100", "max=1,Timeout = \"30\""]),
        ),
        ("http1_requests", http1_requests, wire::requests()),
        ("http1_responses", http1_responses, wire::responses()),
        ("baseline", baseline, vec![front::sample_baseline()]),
        (
            "levels",
            levels,
            texts(&[
                "duplicate-tag=off\nunused-allow=error",
                "unknown-field=warn\nno-rule=info",
            ]),
        ),
        (
            "schema",
            schema,
            texts(&[
                "type: object\nrequired: [a]\nproperties: {a: {type: [string, 'null'], minLength: 2}, b: {$ref: '#/components/schemas/T'}}\nunevaluatedProperties: false\nexamples: [{a: xy, b: {a: ~}}, {c: 1}]",
                "$id: s\n$dynamicAnchor: n\nanyOf: [{$dynamicRef: '#n'}, {type: array, prefixItems: [{const: 1}], items: false, contains: {minimum: 2}}]\ndefault: [1, 2]\nenum: [[1], {}, 1.0]",
                "if: {type: integer}\nthen: {multipleOf: 3}\nelse: {not: {}}\ndependentSchemas: {a: {maxProperties: 1}}\npatternProperties: {'^x': true}\nexample: {xa: 1, a: 2}",
            ]),
        ),
        (
            "pattern",
            pattern,
            texts(&[
                "^[a-z0-9]{8,32}$\nabcdefgh",
                "(?<!a)b+?\\d\\p{L}\nbb1é",
                "(a|b)*c{2,}[^\\s\\]]\nabcc]",
                "\\u{1F600}|\\cA|\\/$",
            ]),
        ),
        (
            "number",
            number,
            texts(&[
                "0.01\n-1e400\n1e400\n12.345",
                "1e-400\n0x1F\n.inf\n18446744073709551616",
                "3\n-0\n0.0\n9e99999999999",
            ]),
        ),
        (
            "swagger",
            swagger,
            texts(&[
                "swagger: '2.0'\ninfo: {title: t, version: v}\nhost: h:1\nbasePath: /b\nschemes: [http, https]\nconsumes: [application/json]\npaths:\n  /a/{i}:\n    parameters: [{name: i, in: path, required: true, type: string}]\n    post:\n      parameters: [{name: b, in: body, schema: {$ref: '#/definitions/D'}}, {name: f, in: formData, type: file}, {$ref: '#/parameters/P'}]\n      responses: {'200': {description: d, schema: {type: file}, headers: {H: {type: array, items: {type: integer}, collectionFormat: pipes}}, examples: {a/b: 1}}}\n      security: [{o: [s]}]\ndefinitions: {D: {type: object, discriminator: k, x-nullable: true}}\nparameters: {P: {name: p, in: query, type: array, items: {type: string}, collectionFormat: multi}}\nsecurityDefinitions: {o: {type: oauth2, flow: accessCode, authorizationUrl: http://a, tokenUrl: http://t, scopes: {s: d}}, k: {type: basic}}\n",
            ]),
        ),
        (
            "target",
            target,
            texts(&[
                "$.paths['/a/{b}'].get",
                "$..parameters[?@.in=='path' && length(@.name) > 0]",
                "$.*[0:5:-1,'x']",
                "$[?match(@.a, 'a.*') || !@.b]",
            ]),
        ),
    ]
}

fn bundles() -> Vec<Vec<u8>> {
    let files = [
        ("gateway.yaml", GATEWAY),
        ("openapi.yaml", DOCUMENT),
        ("overlay.yaml", OVERLAY),
    ];
    let compiled = compile::project(Files::in_memory(files, limits()), &Vec::new());
    let lowered = compiled.lowered.expect("our own project compiles");
    let bundle = assemble(&lowered).expect("our own project");
    let memory = bundle::store::memory::Memory::default();
    bundle::publish::put_bundle(&memory, &bundle).expect("memory takes everything");
    let content = memory.into_content();
    let mut samples = vec![
        archive::write(&content),
        bundle::codec::encode(&lowered.gateway.shared),
    ];
    samples.extend(lowered.gateway.apis.iter().map(bundle::codec::encode));
    samples
}

fn host_files() -> Vec<Vec<u8>> {
    let text = br#"{"targets": [{"address": "10.0.0.7:8080", "weight": 2, "zone": "east"},
                                {"address": "[2001:db8::1]:80"}]}"#;
    vec![text.to_vec(), br#"{"targets": []}"#.to_vec()]
}

fn quota_files() -> Vec<Vec<u8>> {
    let slots = vec![[2, 1 << 51, 1 << 40 | 3, 1, 0], [u64::MAX; 5]];
    let table = policy::saved::Saved {
        seed: [1, 2],
        slots,
    };
    let empty = policy::saved::Saved {
        seed: [1, 2],
        slots: Vec::new(),
    };
    vec![
        policy::saved::encode(&[table.clone(), empty]),
        policy::saved::encode(&[table]),
    ]
}

fn statements() -> Vec<Vec<u8>> {
    let payload = br#"{"_type":"https://in-toto.io/Statement/v1","predicate":{"actor":"a","channel":"prod","created":"2026-01-01T00:00:00Z","evidence":[],"kind":"release","merges":[],"plan":null,"previous":null,"project":"s","reason":"r","revocations":null,"serial":1,"source":null,"withdraw":[]},"predicateType":"urn:gwc:record:v1","subject":[{"digest":{"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},"name":"bundle"}]}"#;
    let envelope = br#"{"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[]},"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":""}}}"#;
    vec![payload.to_vec(), envelope.to_vec()]
}

fn trusts() -> Vec<Vec<u8>> {
    let trust = br#"{"project":"s","channels":{"prod":{"min_serial":3,"min_revocations":1}},"keys":[{"id":"8dbdca66817335f2a05effa6d9dbca934a7e1fe85bbf99004516e5ed6cb9e7b5","owner":"o","spki":"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1Oc03U8jVSQHHq+UYpIUIcat2cJ3xpx532bFCpX6RcelqnFobOFN7IbJUW8ii0f8b01zsR0ZbsGfpaIOhGbetg==","roles":["build","release"],"channels":["*"],"not_before":"2026-01-01T00:00:00Z","not_after":"2028-01-01T00:00:00Z","state":"active"}],"thresholds":{"build":1,"release":1,"revoke":1,"approve":1}}"#;
    let texts: [&[u8]; 4] = [
        trust,
        b"10.0.0.0/8",
        b"2001:db8::/32",
        b"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ];
    texts.map(<[u8]>::to_vec).into()
}
