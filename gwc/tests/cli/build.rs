//! `gwc build`, `gwc sign`, `gwc inspect`.

use std::collections::BTreeSet;
use std::fs;

use bundle::keys::PrivateKey;
use bundle::publish;
use bundle::statement::predicate::{Build, Builder};
use bundle::store::folder::Folder;
use bundle::verify::Unverified;

use crate::project::{Project, command, run};

#[test]
fn build_prints_the_id_and_a_json_document() {
    let project = Project::bare();
    let id = project.build();
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    let document = project
        .run(&["build", "--format", "json"])
        .with(0)
        .json("build/v1");
    assert_eq!(document["bundle"], id.as_str());
    assert_eq!(document["name"], "shop");
    assert_eq!(document["operations"], 2);
    assert!(document["bytes"].as_u64().unwrap() > 100);
    assert!(project.file("releases/oci-layout").is_file());
}

#[test]
fn build_is_the_same_in_every_user_environment() {
    let project = Project::bare();
    let id = project.build();
    project.run(&["build", "-o", "one.tar"]).with(0);
    let one = fs::read(project.file("one.tar")).unwrap();
    let mut ids = BTreeSet::from([id]);
    for (home, zone, language, mask) in [
        ("/", "Asia/Kathmandu", "tr_TR.UTF-8", "000"),
        ("/nonexistent", "America/St_Johns", "C", "077"),
    ] {
        let other = Project::bare();
        let script = format!("umask {mask} && exec \"$0\" build -o one.tar");
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", &script, env!("CARGO_BIN_EXE_gwc")])
            .current_dir(other.path())
            .env("HOME", home)
            .env("TZ", zone)
            .env("LANG", language)
            .env("LC_ALL", language);
        ids.insert(run(&mut shell).with(0).out.trim().to_owned());
        assert_eq!(
            fs::read(other.file("one.tar")).unwrap(),
            one,
            "one file, the same bytes"
        );
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
}

#[test]
fn build_with_mistakes_writes_nothing() {
    let project = Project::bare();
    project.edit("gateway.yaml", "policies: [slow]", "policies: [slwo]");
    project.run(&["build"]).with(1).contains("slow");
    assert!(!project.file("releases").exists());
    project.write("orders.yaml", b"\xff\xfe\0\0binary");
    project.run(&["build"]).with(65);
    let failed = project.run(&["build", "--format", "json"]).with(65);
    assert_eq!(failed.json("error/v1")["error"]["exit"], 65);
    assert!(!project.file("releases").exists());
}

#[test]
fn reproduce_names_the_operations_that_differ() {
    let project = Project::bare();
    let id = project.build();
    project
        .run(&["build", "--reproduce", &id])
        .with(0)
        .contains("same");
    project
        .run(&["build", "--reproduce", &id[7..15]])
        .with(0)
        .contains("same");
    project.edit(
        "orders.yaml",
        "operationId: getOrder,",
        "operationId: getOrder, security: [],  x-gateway: {public: true},",
    );
    let ended = project.run(&["build", "--reproduce", &id, "--format", "json"]);
    let document = ended.with(1).json("build/v1");
    assert_eq!(document["reproduce"]["outcome"], "different");
    let differs = document["reproduce"]["differs"].to_string();
    assert!(differs.contains("getOrder: differs"), "{differs}");
    assert!(!differs.contains("listOrders"), "{differs}");
    project
        .run(&["build", "--reproduce", "ffffffff"])
        .with(65)
        .contains("no bundle");
    project.run(&["build", "--reproduce", "xyz"]).with(64);
}

#[test]
fn another_compiler_is_no_mismatch() {
    let project = Project::bare();
    let id = project.build();
    let store = Folder::open(&project.file("releases")).unwrap();
    let bundle = Unverified::open(&store, id.parse().unwrap()).unwrap();
    let build = Build {
        builder: Builder {
            gwc: "0.0.7".to_owned(),
            commit: None,
        },
        format: 1,
        git: None,
        environment: None,
        project: "shop".parse().unwrap(),
        source: None,
    };
    let key = PrivateKey::from_entropy(&[7; 32]).unwrap();
    publish::put_build(&store, bundle.descriptor(), build, &[&key]).unwrap();
    project.run(&["build", "--reproduce", &id]).with(0);
    project.change("7s");
    let ended = project.run(&["build", "--reproduce", &id, "--format", "json"]);
    let document = ended.with(1).json("build/v1");
    assert_eq!(document["reproduce"]["outcome"], "different-compiler");
    let install = document["reproduce"]["install"].as_str().unwrap();
    assert!(
        install.contains("v0.0.7") && install.contains("cargo install --locked"),
        "{install}"
    );
}

#[test]
fn notes_of_a_consumer_are_inspected() {
    let project = Project::new();
    let old = project.build();
    let noted =
        "acme: {metadata: {contact: ops, ticket: '7'}, tokens: [{issuer: i, client: c}], keys";
    project.edit("gateway.yaml", "acme: {keys", noted);
    let id = project.build();
    assert_ne!(old, id, "notes are part of a bundle");
    let arguments = ["inspect", &id[7..17], "--format", "json"];
    let document = project.run(&arguments).with(0).json("inspect/v1");
    let consumer = &document["consumers"][0];
    assert_eq!(consumer["credentials"], 2);
    assert_eq!(consumer["metadata"]["contact"], "ops");
    assert_eq!(consumer["metadata"]["ticket"], "7");
    let page = project.run(&arguments[..2]).with(0);
    let page = page.contains("consumer  acme (2 credentials)");
    page.contains("          contact: ops");
}

#[test]
fn a_bundle_is_inspected() {
    let project = Project::new();
    let id = project.build();
    let document = project
        .run(&["inspect", &id[7..17], "--format", "json"])
        .with(0)
        .json("inspect/v1");
    assert_eq!(document["bundle"], id.as_str());
    assert_eq!(
        document["apis"][0]["operations"].as_array().unwrap().len(),
        2
    );
    assert_eq!(document["consumers"][0]["credentials"], 1);
    assert!(
        !document.to_string().contains("9f86d081"),
        "hashes of credentials are not shown"
    );
    project.run(&["build", "-o", "one.tar"]).with(0);
    project
        .run(&["inspect", "one.tar"])
        .with(0)
        .contains("/orders/{id}");
    project.write("noise.bin", [7u8; 3000]);
    project.run(&["inspect", "noise.bin"]).with(65);
    project.run(&["inspect", "missing.tar"]).with(65);
    project.run(&["inspect", "abcdef012345"]).with(65);
    project
        .run(&["inspect", "--store", "nowhere", "abcdef012345"])
        .with(69);
}

#[test]
fn only_what_can_be_rebuilt_is_signed() {
    let project = Project::new();
    let id = project.build();
    project.change("7s");
    project
        .run(&["sign", &id, "--key", "keys/release.pem"])
        .with(1)
        .contains("nothing was signed");
    project.change("5s");
    project
        .run(&["sign", &id, "--key", "keys/release.pem"])
        .with(0);
    project
        .run(&["sign", &id, "--key", "keys/none.pem"])
        .with(65);
    project.write("bad.pem", b"\0\x01\x02");
    project.run(&["sign", &id, "--key", "bad.pem"]).with(65);
    project
        .run(&["sign", &id, "--key", "env:GWC_TEST_NO_SUCH_KEY"])
        .with(65);
    let pem = project.read("keys/release.pem");
    let signed = run(command(project.path())
        .args(["sign", &id, "--key", "env:TEST_KEY"])
        .env("TEST_KEY", &pem))
    .with(0);
    assert!(!signed.out.contains(pem.lines().nth(1).unwrap()));
    project
        .run(&["keygen", "rita", "--roles", "release"])
        .with(0);
    project
        .run(&["sign", &id, "--key", "keys/rita.pem"])
        .with(4)
        .contains("role `build`");
}

#[test]
fn methods_of_3_2_are_built_and_routed() {
    let project = Project::bare();
    project.edit("orders.yaml", "openapi: 3.1.0", "openapi: 3.2.0");
    project.edit(
        "orders.yaml",
        "  /orders/{id}:\n",
        "  /search:\n    query: {operationId: search, responses: {\"200\": {description: fine}}}\n    additionalOperations:\n      COPY: {operationId: copy, responses: {\"200\": {description: fine}}}\n  /orders/{id}:\n",
    );
    let document = project.run(&["build", "--format", "json"]).with(0);
    assert_eq!(document.json("build/v1")["operations"], 4);
    let route = |method: &str| {
        let ended = project.run(&["route", method, "http://127.0.0.1:8080/search"]);
        (ended.code, ended.out)
    };
    for (method, key) in [("QUERY", "orders/search"), ("COPY", "orders/copy")] {
        let (code, out) = route(method);
        assert!(out.contains(key), "{method}: {code}\n{out}");
    }
    // Method names are case-sensitive, and OpenAPI 3.1 does not allow additional methods.
    assert!(route("copy").1.contains("405"));
    project.edit("orders.yaml", "openapi: 3.2.0", "openapi: 3.1.0");
    project.run(&["build"]).with(1).contains("unknown-method");
}

#[test]
fn redacted_whole_query_stops_the_build() {
    let project = Project::bare();
    project.edit("orders.yaml", "openapi: 3.1.0", "openapi: 3.2.0");
    project.edit(
        "orders.yaml",
        "    get: {operationId: listOrders,",
        "    get: {operationId: listOrders, parameters: [{name: q, in: querystring, content: {application/json: {schema: {type: object, x-gateway: {redact: true}}}}}],",
    );
    let linted = project.run(&["lint"]).with(0);
    linted
        .contains("warning[GW0106]")
        .contains("orders.yaml:6:63");
    for command in ["build", "plan"] {
        let ended = project.run(&[command]).with(1);
        ended.contains("error[GW0106]").contains("orders.yaml:6:63");
    }
}

#[test]
fn unavailable_key_stops_the_build_at_any_level() {
    let project = Project::bare();
    let later = "{operationId: listOrders, x-gateway: {mock: true}, x-gateway-ext-a: 1,";
    project.edit("orders.yaml", "{operationId: listOrders,", later);
    for (wanted, exit) in [("error", 1), ("warn", 0)] {
        let rule = format!("not-available={wanted}");
        project.run(&["lint", "--rule", &rule]).with(exit);
    }
    for wanted in ["off", "info"] {
        let rule = format!("not-available={wanted}");
        let refused = project.run(&["lint", "--rule", &rule]).with(64);
        refused.contains("cannot be set below a warning");
    }
    let allowed = "x-gateway-lint: {allow: [not-available]}, x-gateway-ext-a: 1,";
    project.edit("orders.yaml", "x-gateway-ext-a: 1,", allowed);
    project.run(&["lint"]).with(1).contains("unknown-rule");
    project.run(&["build"]).with(1).contains("error[GW0106]");
}

#[test]
fn a_document_of_2_0_is_built_and_routed() {
    let project = Project::bare();
    project.write(
        "orders.yaml",
        "swagger: \"2.0\"\ninfo: {title: Orders, version: \"1\"}\nsecurity: [{key: []}]\nsecurityDefinitions: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}\npaths:\n  /orders:\n    get: {operationId: listOrders, responses: {\"200\": {description: fine}}}\n  /orders/{id}:\n    parameters: [{name: id, in: path, required: true, type: string}]\n    get: {operationId: getOrder, responses: {\"200\": {description: fine}}}\n",
    );
    let two = project.build();
    let route = project.run(&["route", "GET", "http://127.0.0.1:8080/orders/7"]);
    assert!(
        route.out.contains("orders/getOrder") && route.out.contains("401"),
        "{}",
        route.out
    );
    // The equivalent 3.1 document gives the same bundle.
    assert_eq!(two, Project::bare().build());
}
