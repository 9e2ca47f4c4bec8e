//! Tests for false alarms of the injection rules of `kind: threat`, with texts of real API
//! descriptions. Examples, defaults and values of enumerations represent the values that clients
//! send. Descriptions are prose with markup, which causes more false alarms than most requests.

use std::collections::BTreeMap;

use policy::threat::{Rule, Rules};
use prerequisite::corpus;
use serde_yaml_ng::Value;

/// Expected number of false alarms of each rule, first for examples, then for prose. Rules without
/// alarms are left out.
const EXPECTED: [&[(&str, usize)]; 2] = [&[], &[("shell_command", 1)]];

/// Texts in the documents: values of examples, and prose.
#[derive(Default)]
struct Texts {
    examples: Vec<String>,
    prose: Vec<String>,
}

impl Texts {
    fn collect(&mut self, value: &Value, is_example: bool) {
        match value {
            Value::String(text) if is_example => self.examples.push(text.clone()),
            Value::Sequence(items) => {
                items.iter().for_each(|item| self.collect(item, is_example));
            }
            Value::Mapping(members) => {
                for (name, member) in members {
                    match (name.as_str().unwrap_or_default(), member) {
                        ("description" | "summary", Value::String(text)) if !is_example => {
                            self.prose.push(text.clone());
                        }
                        ("example" | "examples" | "default" | "enum" | "const", member) => {
                            self.collect(member, true);
                        }
                        (_, member) => self.collect(member, is_example),
                    }
                }
            }
            _ => {}
        }
    }
}

/// Number of texts in which each rule finds an attack. Rules without alarms are left out.
fn alarms(texts: &[String]) -> BTreeMap<&'static str, usize> {
    let counts = Rule::ALL.iter().map(|rule| {
        let rules = Rules::new(&[*rule]);
        let found = texts
            .iter()
            .filter(|text| rules.find(text.as_bytes()).is_some());
        (rule.name(), found.count())
    });
    counts.filter(|(_, count)| *count > 0).collect()
}

#[test]
fn false_alarms_in_real_descriptions_are_counted() {
    let folder = corpus::folder().join("specs");
    let mut texts = Texts::default();
    for name in corpus::DOCUMENTS {
        let text = std::fs::read_to_string(folder.join(name)).expect("a document");
        let value: Value = serde_yaml_ng::from_str(&text).expect("YAML");
        texts.collect(&value, false);
    }
    let Texts { examples, prose } = texts;
    assert!(
        examples.len() > 5_000 && prose.len() > 5_000,
        "{} examples, {} descriptions",
        examples.len(),
        prose.len()
    );
    let counts = [alarms(&examples), alarms(&prose)];
    assert_eq!(counts, EXPECTED.map(|all| all.iter().copied().collect()));
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/validation.md");
    let page = std::fs::read_to_string(page).expect("a page");
    for rule in Rule::ALL {
        let [name, finds, source] = [rule.name(), rule.finds(), rule.source()];
        let count = counts.each_ref().map(|all| all.get(name).unwrap_or(&0));
        let row = format!(
            "| `{name}` | {finds} | {source} | {}, {} |",
            count[0], count[1]
        );
        assert!(page.contains(&row), "docs/validation.md has no row {row}");
    }
}
