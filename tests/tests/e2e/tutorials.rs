//! Test of the tutorial "Protect an API with your identity provider". The project compiles with the
//! settings of each provider, and the gateway accepts the token of the page. `jose` (npm) signs the
//! tokens.

use std::collections::BTreeMap;

use e2e::binaries;
use e2e::gateway::Options;
use e2e::peers::{self, Peer};
use e2e::project::Project;
use e2e::upstream::Upstream;
use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;

use crate::recipes::merge;

const PROVIDERS: &[&str] = &["Keycloak", "Auth0", "Microsoft Entra ID", "Amazon Cognito"];

fn page() -> String {
    let path = binaries::workspace().join("docs/protect-an-api.md");
    std::fs::read_to_string(path).expect("the page is there")
}

/// Code blocks with this language in a part of the page.
fn blocks<'p>(part: &'p str, language: &str) -> Vec<&'p str> {
    let begin = format!("```{language}\n");
    let blocks = part.split(begin.as_str()).skip(1);
    blocks
        .map(|block| block.split("```").next().expect("a block ends"))
        .collect()
}

/// Section of the page about a provider.
fn section<'p>(page: &'p str, provider: &str) -> &'p str {
    let (_, rest) = page
        .split_once(&format!("\n### {provider}\n"))
        .unwrap_or_else(|| panic!("no section on {provider}"));
    rest.split("\n##").next().expect("a section ends")
}

/// Files of the tutorial's project with the settings of a provider, by file name.
fn files(page: &str, provider: &str) -> BTreeMap<String, Yaml> {
    let (_, first) = page.split_once("\n## 1. ").expect("the first step");
    let first = first.split("\n## ").next().expect("it ends");
    let own = section(page, provider);
    let mut files: BTreeMap<String, Yaml> = BTreeMap::new();
    for block in [blocks(first, "yaml"), blocks(own, "yaml")].concat() {
        let (name, text) = block.split_once('\n').expect("lines");
        let name = name.strip_prefix("# ").expect("the name of a file");
        let content = serde_yaml_ng::from_str(text).expect(provider);
        merge(files.entry(name.to_owned()).or_insert(Yaml::Null), content);
    }
    files
}

fn write(project: &Project, files: &BTreeMap<String, Yaml>) {
    for (name, content) in files {
        project.write(name, serde_yaml_ng::to_string(content).expect("YAML"));
    }
}

/// Sets the value at the key path `path` in gateway.yaml.
fn set(files: &mut BTreeMap<String, Yaml>, path: &[&str], value: &Value) {
    let mut at = files.get_mut("gateway.yaml").expect("gateway.yaml");
    for key in path {
        let map = at.as_mapping_mut().expect("a map");
        at = map.entry(Yaml::from(*key)).or_insert(Yaml::from("")) as &mut Yaml;
        if at.is_string() {
            *at = Yaml::Mapping(Default::default());
        }
    }
    *at = serde_yaml_ng::to_value(value).expect("YAML");
}

#[test]
fn tutorial_compiles_for_each_provider() {
    let page = page();
    assert_eq!(page.matches("\n### ").count(), PROVIDERS.len());
    let (_, third) = page.split_once("\n## 3. ").expect("the third step");
    for provider in PROVIDERS {
        let project = Project::new();
        write(&project, &files(&page, provider));
        project.gwc(&["lint", "--fail-on", "warn"]).succeeds();
        let commands = blocks(third, "sh")[0].lines();
        let outputs: Vec<String> = commands
            .map(|line| {
                let words: Vec<&str> = line.split(' ').skip(1).collect();
                project.gwc(&words).succeeds().stdout.clone()
            })
            .collect();
        assert!(outputs[2].contains("credential_missing"), "{}", outputs[2]);
        assert!(outputs[3].contains("→ forwarded"), "{}", outputs[3]);
    }
}

#[test]
fn token_of_each_provider_is_accepted() {
    let Some(mut maker) = Peer::node("tokens.mjs", &["https://unused.example", "unused"]) else {
        return prerequisite::skip(peers::MISSING);
    };
    let page = page();
    for provider in PROVIDERS {
        let upstream = Upstream::start();
        let project = Project::new();
        let mut files = files(&page, provider);
        // Replace the provider's keys by the keys of the test.
        let keys = maker.greeting().clone();
        set(&mut files, &["auth", "idp", "jwks"], &keys);
        let target = ["upstreams", "orders", "targets", "a", "url"];
        set(&mut files, &target, &json!(upstream.url()));
        write(&project, &files);
        project.keygen();
        project.apply();
        let gateway = Options::of(&project).start();
        let shown = blocks(section(&page, provider), "json")[0];
        let shown: Value = serde_json::from_str(shown).expect(provider);
        let mut ask = |method: &str, changes: &Value| {
            let mut claims = shown.clone();
            claims["exp"] = json!("$now+600");
            claims["iat"] = json!("$now-10");
            for (name, value) in changes.as_object().expect("claims") {
                claims[name] = value.clone();
            }
            let recipe = json!({"make": "sign", "alg": "RS256", "claims": claims});
            let token = maker.ask(&recipe)["token"].clone();
            let token = token.as_str().expect("a token");
            let length = if method == "POST" {
                "content-length: 0\n"
            } else {
                ""
            };
            let request = format!(
                "{method} /orders HTTP/1.1\nhost: h\n{length}authorization: Bearer {token}"
            );
            let response = gateway.ask(&request);
            let code = match response.status {
                200 => Value::Null,
                _ => response.json()["code"].clone(),
            };
            (response.status, code)
        };
        assert_eq!(ask("GET", &json!({})), (200, Value::Null), "{provider}");
        assert_eq!(upstream.take().len(), 1);
        let refused = [
            ("POST", json!({}), 403, "insufficient_scope"),
            ("GET", json!({"aud": "account"}), 401, "token_invalid"),
            ("GET", json!({"aud": "$absent"}), 401, "token_invalid"),
            (
                "GET",
                json!({"iss": "https://login.example.org"}),
                401,
                "token_invalid",
            ),
        ];
        for (method, changes, status, code) in refused {
            let expected = (status, json!(code));
            assert_eq!(ask(method, &changes), expected, "{provider} {changes}");
        }
        assert!(upstream.take().is_empty());
    }
}
