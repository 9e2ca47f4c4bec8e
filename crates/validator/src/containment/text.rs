//! Values that are sent as text: parameters, header fields, and bodies other than JSON. Text does
//! not show the JSON type: `5` may be a number or a string.

use bundle::ir::Value;
use rustc_hash::FxHashSet;
use serde_json::{Map, Value as Json};

use super::exact::Form;
use super::types::{Types, property_names};
use crate::kinds::number;
use crate::lower::resolved;

/// Maximum number of combinations of the readings of the members of an object.
const COMBINATIONS_MAX: usize = 256;
/// Characters other than letters and digits that a witness can have. Requests can contain them as
/// percent-encoding. The others separate fields, or are part of an escape, and some servers decode
/// escapes before they separate fields.
const KEPT: &str = "-_.~:@/+ ,|!$'()*";
/// Characters other than letters and digits that an item or a member can have. They separate items
/// and members in no style.
const KEPT_INSIDE: &str = "-_~:@";
/// Characters at which some servers split a text into items.
const DELIMITERS: [char; 4] = [',', ' ', '|', '.'];

/// Reading of values by servers with the wide schema, for values that clients with the narrow
/// schema send.
pub(super) struct Reader<'a> {
    form: Form,
    narrow: Types,
    wide: Types,
    /// Properties that the narrow schema describes. Clients send no others.
    names: FxHashSet<&'a str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        nodes: &'a [Value],
        (narrow, wide): (&'a Value, &'a Value),
        form: Form,
    ) -> Self {
        let of = |schema| match form {
            Form::Json => Types::default(),
            _ => Types::of(nodes, &[schema]),
        };
        Self {
            form,
            narrow: of(narrow),
            wide: of(wide),
            names: match form {
                Form::Fields => property_names(nodes, narrow),
                _ => FxHashSet::default(),
            },
        }
    }

    /// Values that a server may read from a value in this form. The server may choose any of them
    /// that its schema accepts. `None` for a value that is no witness in this form, for example
    /// because clients write the value in several ways.
    pub(super) fn readings(&self, value: &Json) -> Option<Vec<Json>> {
        match (self.form, value) {
            (Form::Json, _) => Some(vec![value.clone()]),
            // The properties of an exploded object are fields with other names, so that its server
            // ignores the field of the client.
            (Form::ExplodedText, _) if self.wide.is_object() => None,
            // A server that expects no list refuses several occurrences.
            (Form::ExplodedText, Json::Array(items))
                if items.len() > 1 && self.narrow.has_array() =>
            {
                list(items)
            }
            (Form::ExplodedText | Form::Fields, Json::Array(items))
                if self.wide.is_array() && self.narrow.has_array() && !items.is_empty() =>
            {
                list(items)
            }
            (Form::Fields, Json::Object(members))
                if self.wide.is_object() && self.narrow.has_object() =>
            {
                let is_described = |name: &String| self.names.contains(&**name);
                let is_described = members.keys().all(is_described);
                members_of(members).filter(|_| is_described)
            }
            (_, Json::Array(_) | Json::Object(_)) => None,
            // Servers with the narrow schema read no scalars, so that they refuse the text.
            _ if !self.narrow.has_scalar() => None,
            (_, scalar) => self.scalars(scalar),
        }
    }

    /// Readings of a scalar by all servers that decode its text and do not split it: the scalar, or
    /// a list of one item if the wide schema allows lists.
    pub(super) fn whole(&self, value: &Json) -> Option<Vec<Json>> {
        let text = self.text(value)?;
        let mut all = self.whole_text(&text);
        all.retain(|reading| match reading.is_array() {
            true => self.wide.has_array(),
            false => self.wide.has_scalar(),
        });
        Some(all)
    }

    fn whole_text(&self, text: &str) -> Vec<Json> {
        let typed = typed(text, self.wide.has_number()).into_iter();
        let scalars: Vec<Json> = typed.chain([text.into()]).collect();
        // A server that expects a list reads one item.
        let lists = scalars.iter().map(|one| Json::Array(vec![one.clone()]));
        let lists: Vec<Json> = lists.collect();
        [scalars, lists].concat()
    }

    /// Readings of a scalar.
    fn scalars(&self, value: &Json) -> Option<Vec<Json>> {
        let text = self.text(value)?;
        let mut all = Vec::new();
        // `+` is a space in the query of some clients and servers.
        let decoded = text.contains('+').then(|| text.replace('+', " "));
        for text in [text].into_iter().chain(decoded) {
            all.extend(self.whole_text(&text));
            // A server that expects an object may ignore the text.
            all.push(Json::Object(Map::new()));
            for delimiter in DELIMITERS.into_iter().filter(|c| text.contains(*c)) {
                let parts = || text.split(delimiter);
                let first = parts().map(|part| typed(part, true).unwrap_or_else(|| part.into()));
                all.push(first.collect());
                all.push(parts().collect());
                let [names, values] = [0, 1].map(|at| parts().skip(at).step_by(2));
                let members = names.map(str::to_owned).zip(values.map(Json::from));
                all.push(Json::Object(members.collect()));
            }
        }
        Some(all)
    }

    /// Text of a scalar. `None` for a text that clients write or servers read in several ways.
    fn text(&self, value: &Json) -> Option<String> {
        let text = written(value)?;
        // In a path, `/` and segments of dots have their own meaning, also with escapes.
        let is_of_path = text.contains('/') || text.trim_matches('.').is_empty();
        // Clients write integers with digits only.
        let is_integer = value.is_number() && has_exponent(&text) && !self.narrow.has_number();
        let is_ambiguous = text.is_empty()
            || text.trim().len() != text.len()
            || is_integer
            || self.form == Form::Path && is_of_path;
        let is_certain = !is_ambiguous && text.chars().all(|c| is_kept(c, KEPT));
        is_certain.then_some(text)
    }
}

/// True if clients with all of these narrow schemas may write an integer with an exponent, such as
/// `1e2`, and servers with one of the wide schemas do not read the text. Servers read exponents only
/// if the schema has the type `number`.
pub(super) fn loses_exponents(nodes: &[Value], narrow: &[&Value], wide: &[&Value]) -> bool {
    let reads = |schemas: &[&Value]| Types::of(nodes, schemas).has_number();
    // Clients write a listed value as it is listed.
    let is_listed = |schema: &&Value| {
        let schema = resolved(nodes, schema);
        schema.get("enum").or_else(|| schema.get("const")).is_some()
    };
    reads(narrow) && !narrow.iter().any(is_listed) && !wide.iter().any(|schema| reads(&[*schema]))
}

/// True if clients with all of these narrow schemas may send scalars, and servers with one of the
/// wide schemas read each text as a list or an object.
pub(super) fn loses_scalars(nodes: &[Value], narrow: &[&Value], wide: &[&Value]) -> bool {
    let reads = |schemas: &[&Value]| Types::of(nodes, schemas).has_scalar();
    reads(narrow) && !wide.iter().any(|schema| reads(&[*schema]))
}

/// Readings of a list of scalars. All items have the same types.
fn list(items: &[Json]) -> Option<Vec<Json>> {
    let readings: Option<Vec<Vec<Json>>> = items.iter().map(inside).collect();
    let readings = readings?;
    let typed = readings.iter().filter_map(|all| all.first().cloned());
    let strings = readings.iter().filter_map(|all| all.last().cloned());
    Some(vec![items.into(), typed.collect(), strings.collect()])
}

/// Readings of an object whose members are scalars. `None` without members: such an object may be
/// the same as an absent value.
fn members_of(members: &Map<String, Json>) -> Option<Vec<Json>> {
    let is_plain = |name: &String| !name.is_empty() && name.chars().all(|c| is_kept(c, "-_"));
    if members.is_empty() || !members.keys().all(is_plain) {
        return None;
    }
    let mut objects = vec![Map::new()];
    for (name, value) in members {
        let mut readings = inside(value)?;
        let lists = readings.iter().map(|one| Json::Array(vec![one.clone()]));
        let lists: Vec<Json> = lists.collect();
        readings.extend(lists);
        if objects.len() * readings.len() > COMBINATIONS_MAX {
            return None;
        }
        let longer = objects.iter().flat_map(|object| {
            readings.iter().map(|reading| {
                let mut object = object.clone();
                object.insert(name.clone(), reading.clone());
                object
            })
        });
        objects = longer.collect();
    }
    Some(objects.into_iter().map(Json::Object).collect())
}

/// Readings of a scalar that is an item of a list or a member of an object: the typed value, if
/// there is one, and the string.
fn inside(value: &Json) -> Option<Vec<Json>> {
    let text = written(value)?;
    let is_plain = !text.is_empty() && text.chars().all(|c| is_kept(c, KEPT_INSIDE));
    let is_ambiguous = value.is_number() && has_exponent(&text);
    let readings = || typed(&text, true).into_iter().chain([text.clone().into()]);
    (is_plain && !is_ambiguous).then(|| readings().collect())
}

/// Text of a scalar. `None` for other values.
fn written(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(flag) => Some(flag.to_string()),
        Json::Null => Some("null".to_owned()),
        Json::Array(_) | Json::Object(_) => None,
    }
}

/// Value of a text that is no string. `exponents`: true if numbers with exponents are read.
fn typed(text: &str, exponents: bool) -> Option<Json> {
    match text {
        "null" => Some(Json::Null),
        "true" | "false" => Some((text == "true").into()),
        _ => {
            let is_read = exponents || !has_exponent(text);
            number(text).filter(|_| is_read).map(Json::Number)
        }
    }
}

fn has_exponent(text: &str) -> bool {
    text.contains(['e', 'E'])
}

fn is_kept(c: char, others: &str) -> bool {
    c.is_ascii_alphanumeric() || others.contains(c)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::brute::node;
    use super::*;

    /// Readings of a value that both schemas accept in this form.
    fn readings(schema: &Json, form: Form, value: &Json) -> Option<Vec<Json>> {
        let mut table = Vec::new();
        let schema = node(&mut table, schema);
        Reader::new(&table, (&schema, &schema), form).readings(value)
    }

    #[test]
    fn text_of_a_value_has_each_type() {
        let string = json!({"type": ["string", "number"]});
        let all = readings(&string, Form::Text, &json!("a")).unwrap_or_default();
        assert_eq!(all, [json!("a"), json!(["a"]), json!({})]);
        for (value, expected) in [
            (json!(5), Some(vec![json!(5), json!("5")])),
            (json!("5"), Some(vec![json!(5), json!("5")])),
            (json!("05"), Some(vec![json!(5), json!("05")])),
            (json!(true), Some(vec![json!(true), json!("true")])),
            (json!("null"), Some(vec![Json::Null, json!("null")])),
            (json!("a-b"), Some(vec![json!("a-b")])),
            (json!("a b"), Some(vec![json!("a b")])),
            (json!("a+b"), Some(vec![json!("a+b"), json!("a b")])),
            (json!("a@b.c:80/d"), Some(vec![json!("a@b.c:80/d")])),
            (json!(1.5), Some(vec![json!(1.5), json!("1.5")])),
            (json!(""), None),
            (json!(" a"), None),
            (json!("a;b"), None),
            (json!("a%b"), None),
            (json!("é"), None),
            (json!(["a"]), None),
            (json!({"a": 1}), None),
            (Json::Null, Some(vec![Json::Null, json!("null")])),
        ] {
            let scalars = readings(&string, Form::Text, &value).map(|all| {
                let scalars = all
                    .into_iter()
                    .filter(|one| !one.is_array() && !one.is_object());
                scalars.collect::<Vec<_>>()
            });
            assert_eq!(scalars, expected, "{value}");
        }
    }

    #[test]
    fn delimiter_in_a_text_may_separate_items() {
        let all = readings(&json!({}), Form::Text, &json!("5,a")).unwrap_or_default();
        assert!(all.contains(&json!(["5", "a"])), "{all:?}");
        assert!(all.contains(&json!([5, "a"])), "{all:?}");
        assert!(all.contains(&json!({"5": "a"})), "{all:?}");
    }

    #[test]
    fn slash_and_dots_in_a_path_have_no_readings() {
        let text = json!({"type": "string"});
        for (value, of_text, of_path) in [
            ("a/b", true, false),
            ("..", true, false),
            ("a.b", true, true),
            ("a:b", true, true),
        ] {
            let has = |form| readings(&text, form, &json!(value)).is_some();
            assert_eq!(
                (has(Form::Text), has(Form::Path)),
                (of_text, of_path),
                "{value}"
            );
        }
    }

    #[test]
    fn structures_need_a_server_that_expects_them() {
        let list = json!({"type": "array", "items": {}});
        let one = Some(vec![json!(["a"]), json!(["a"]), json!(["a"])]);
        assert_eq!(readings(&list, Form::Text, &json!(["a"])), None);
        for form in [Form::Fields, Form::ExplodedText] {
            assert_eq!(readings(&list, form, &json!(["a"])), one);
            assert_eq!(readings(&list, form, &json!([])), None);
            assert_eq!(readings(&list, form, &json!(["a,b"])), None);
        }
        let both = json!({"type": ["array", "string"]});
        assert_eq!(readings(&both, Form::Fields, &json!(["a", "b"])), None);
        let object = json!({"type": "object", "properties": {"a": {}, "b": {}}});
        let all = readings(&object, Form::Fields, &json!({"a": 1, "b": "x"})).unwrap_or_default();
        for expected in [
            json!({"a": 1, "b": "x"}),
            json!({"a": "1", "b": "x"}),
            json!({"a": 1, "b": ["x"]}),
            json!({"a": ["1"], "b": ["x"]}),
        ] {
            assert!(all.contains(&expected), "{expected}");
        }
        assert_eq!(readings(&object, Form::Fields, &json!({})), None);
        assert_eq!(readings(&object, Form::Fields, &json!({"c": 1})), None);
        assert_eq!(readings(&object, Form::Text, &json!({"a": 1})), None);
        assert_eq!(
            readings(&object, Form::ExplodedText, &json!({"a": 1})),
            None
        );
        assert_eq!(readings(&object, Form::Path, &json!({"a": 1})), None);
    }

    #[test]
    fn exponents_are_read_by_the_type_number_only() {
        let (integer, number) = (json!({"type": "integer"}), json!({"type": "number"}));
        let large = json!(1e16);
        assert_eq!(readings(&integer, Form::Text, &large), None);
        let all = readings(&number, Form::Text, &large).unwrap_or_default();
        assert_eq!(all[..2], [large.clone(), json!("1e+16")]);
        let mut table = Vec::new();
        let (narrow, wide) = (node(&mut table, &number), node(&mut table, &integer));
        let all = Reader::new(&table, (&narrow, &wide), Form::Text).readings(&large);
        assert_eq!(all.unwrap_or_default()[0], json!("1e+16"));
    }
}
