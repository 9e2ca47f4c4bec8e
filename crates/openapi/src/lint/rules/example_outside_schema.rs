//! Rule for an example that violates its schema.

use diag::{Level, Lint, NodeRef, Sink};

use super::value_outside_schema::finding;
use crate::lint::Place;
use crate::spec::Version;
use crate::spec::objects::{MEDIA_TYPE, SCHEMA};
use crate::spec::schema::Verdict;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0349",
    name: "example-outside-schema",
    level: Level::Warn,
    summary: "an example that its schema refuses",
    explain: "`example` and `examples` illustrate the schema beside them: in a schema, a \
parameter, a header, a media type. An example that the schema refuses misleads readers, and a mock \
that sends it or a test that uses it fails. Either the example or the schema is wrong. Properties \
that are `readOnly` or `writeOnly` may be left out. An example of a media type that is not JSON \
may be a string.",
    bad: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: object, properties: {n: {type: integer}}, example: {n: one}}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: object, properties: {n: {type: integer}}, example: {n: 1}}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if place.object_is(&SCHEMA) {
        let listed = place.node.get("examples").into_iter();
        let listed = listed.filter(|_| place.version >= Version::V31);
        let examples = place.node.get("example").into_iter();
        for example in examples.chain(listed.flat_map(NodeRef::items)) {
            check_example(place, place.node, example, sink);
        }
        return;
    }
    let Some(schema) = place.node.get("schema") else {
        return;
    };
    // A string may be the serialised form of the value: XML, a form or a file.
    let texts_are_serialised = place.object_is(&MEDIA_TYPE) && !is_json(place);
    let named = place.node.get("examples").into_iter();
    let named = named.flat_map(NodeRef::entries).filter_map(|(_, example)| {
        let example = place.resolver.resolve(example)?;
        let data = example
            .get("dataValue")
            .filter(|_| place.version >= Version::V32);
        data.or_else(|| example.get("value"))
    });
    for example in place.node.get("example").into_iter().chain(named) {
        if !(texts_are_serialised && example.as_str().is_some()) {
            check_example(place, schema, example, sink);
        }
    }
}

fn check_example<'a>(
    place: &Place<'_, 'a>,
    schema: NodeRef<'a>,
    example: NodeRef<'a>,
    sink: &mut Sink,
) {
    if let Verdict::Invalid(faults) = place.schemas.validate(schema, example) {
        sink.push(finding(&LINT, "the example", &faults));
    }
}

/// True if the media type is JSON, according to its key.
fn is_json(place: &Place<'_, '_>) -> bool {
    let key = place.resolver.files().sources.text(place.at);
    let essence = key.split(';').next().unwrap_or_default();
    let essence = essence.trim_matches(['"', '\'', ' ']).to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use crate::lint::Chosen;
    use diag::Sink;

    use sources::project::files::{Document, Files};
    use sources::syntax::Limits;

    fn places(media: &str, version: &str) -> Vec<String> {
        let text = format!(
            "openapi: {version}\ninfo: {{title: t, version: \"1\"}}\npaths:\n  /a:\n    get:\n      responses:\n        '200':\n          description: d\n          content:\n{media}"
        );
        let mut files = Files::in_memory([("a.yaml", text.as_str())], Limits::default());
        let file = files.read("a.yaml").expect("it is there");
        let root = files.root(file).expect("it is well-formed");
        let document = Document {
            file,
            root,
            overlays: Vec::new(),
        };
        files.follow(&document);
        let mut sink = Sink::default();
        crate::check::document(&files, &document, &Chosen::default(), &mut sink);
        let line = |finding: &diag::Diagnostic| {
            format!("{} {}", finding.lint.name, files.sources.text(finding.span))
        };
        sink.findings().iter().map(line).collect()
    }

    #[test]
    fn string_example_of_xml_is_not_checked() {
        let xml = "            application/xml: {schema: {type: object}, example: <a/>}\n";
        assert_eq!(places(xml, "3.0.3"), Vec::<String>::new());
        let json = "            application/problem+json; charset=utf-8: {schema: {type: object}, example: '{}'}\n";
        assert_eq!(places(json, "3.0.3"), ["example-outside-schema '{}'"]);
        let map = "            application/xml: {schema: {type: object, required: [b]}, example: {a: 1}}\n";
        assert_eq!(places(map, "3.0.3"), ["example-outside-schema a"]);
    }

    #[test]
    fn named_examples_are_checked_through_references() {
        let media = "            application/json:\n              schema: {type: integer}\n              examples: {good: {value: 1}, bad: {$ref: '#/components/examples/E'}, out: {externalValue: e.json}}\ncomponents: {examples: {E: {value: wrong}}}\n";
        assert_eq!(places(media, "3.1.0"), ["example-outside-schema wrong"]);
    }

    #[test]
    fn read_only_property_may_lack_in_an_example() {
        let media = "            application/json:\n              schema: {type: object, required: [id], properties: {id: {type: integer, readOnly: true}}}\n              example: {}\n";
        assert_eq!(places(media, "3.0.3"), Vec::<String>::new());
    }
}
