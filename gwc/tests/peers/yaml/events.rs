//! Common type for the events of the two other parsers, and their conversion to values.

use std::collections::HashMap;

use libyaml_safer as libyaml;
use saphyr_parser as saphyr;

use crate::value::Value;

/// Event of a parser.
#[derive(Debug)]
pub(crate) enum Event {
    Scalar {
        text: String,
        style: Style,
        /// Suffix of a `tag:yaml.org,2002:` tag, or the whole text of another tag.
        tag: Option<String>,
        anchor: Option<String>,
    },
    Alias(String),
    List(Option<String>),
    Map(Option<String>),
    End,
}

/// Notation of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Quoted,
    Block,
}

const CORE: &str = "tag:yaml.org,2002:";

/// Events of libyaml. The Rust port panics if the text ends inside a block scalar. Therefore, a
/// missing line feed is added to the text, and removed from the result as libyaml does.
pub(crate) fn libyaml(text: &str) -> Result<Vec<Event>, String> {
    let ends = text.ends_with(['\n', '\r']);
    let ended = if ends {
        text.to_owned()
    } else {
        format!("{text}\n")
    };
    let mut events = libyaml_events(&ended)?;
    without_break_at_end(text, &mut events);
    Ok(events)
}

/// Removes the line break that saphyr adds to a block scalar at the end of a text without a final
/// line break (YAML 1.2.2 §8.1.1.2, `b-chomped-last`).
fn without_break_at_end(text: &str, events: &mut [Event]) {
    let last_line = text.rsplit(['\n', '\r']).next().unwrap_or_default().trim();
    let last = events.iter_mut().rev().find_map(|event| match event {
        Event::Scalar { text, style, .. } => Some((text, *style)),
        _ => None,
    });
    if let Some((scalar, Style::Block)) = last
        && !last_line.is_empty()
        && scalar.trim_end().ends_with(last_line)
        && scalar.ends_with('\n')
    {
        scalar.pop();
    }
}

fn libyaml_events(text: &str) -> Result<Vec<Event>, String> {
    let mut bytes = text.as_bytes();
    let mut parser = libyaml::Parser::new();
    parser.set_input_string(&mut bytes);
    let mut events = Vec::new();
    let mut documents = 0;
    loop {
        let event = parser.parse().map_err(|error| error.to_string())?;
        events.push(match event.data {
            libyaml::EventData::StreamEnd => return Ok(events),
            libyaml::EventData::DocumentStart { .. } => {
                documents += 1;
                one(documents)?;
                continue;
            }
            libyaml::EventData::StreamStart { .. } | libyaml::EventData::DocumentEnd { .. } => {
                continue;
            }
            libyaml::EventData::Alias { anchor } => Event::Alias(anchor),
            libyaml::EventData::Scalar {
                anchor,
                tag,
                value,
                style,
                ..
            } => {
                let tag = tag.map(|tag| tag.strip_prefix(CORE).unwrap_or(&tag).to_owned());
                let style = match style {
                    libyaml::ScalarStyle::Plain => Style::Plain,
                    libyaml::ScalarStyle::Literal | libyaml::ScalarStyle::Folded => Style::Block,
                    _ => Style::Quoted,
                };
                Event::Scalar {
                    text: value,
                    style,
                    tag,
                    anchor,
                }
            }
            libyaml::EventData::SequenceStart { anchor, .. } => Event::List(anchor),
            libyaml::EventData::MappingStart { anchor, .. } => Event::Map(anchor),
            libyaml::EventData::SequenceEnd | libyaml::EventData::MappingEnd => Event::End,
        });
    }
}

/// Events of saphyr.
pub(crate) fn saphyr(text: &str) -> Result<Vec<Event>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut events = Vec::new();
    let mut documents = 0;
    let anchor = |id: usize| (id != 0).then(|| id.to_string());
    for event in saphyr::Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| error.to_string())?;
        events.push(match event {
            saphyr::Event::DocumentStart(_) => {
                documents += 1;
                one(documents)?;
                continue;
            }
            saphyr::Event::Nothing
            | saphyr::Event::StreamStart
            | saphyr::Event::StreamEnd
            | saphyr::Event::DocumentEnd => continue,
            saphyr::Event::Alias(id) => Event::Alias(id.to_string()),
            saphyr::Event::Scalar(text, style, id, tag) => {
                let tag = tag.map(|tag| match &*tag.handle {
                    CORE => tag.suffix.clone(),
                    handle => format!("{handle}{}", tag.suffix),
                });
                let style = match style {
                    saphyr::ScalarStyle::Plain => Style::Plain,
                    saphyr::ScalarStyle::Literal | saphyr::ScalarStyle::Folded => Style::Block,
                    saphyr::ScalarStyle::SingleQuoted | saphyr::ScalarStyle::DoubleQuoted => {
                        Style::Quoted
                    }
                };
                Event::Scalar {
                    text: text.into_owned(),
                    style,
                    tag,
                    anchor: anchor(id),
                }
            }
            saphyr::Event::SequenceStart(id, _) => Event::List(anchor(id)),
            saphyr::Event::MappingStart(id, _) => Event::Map(anchor(id)),
            saphyr::Event::SequenceEnd | saphyr::Event::MappingEnd => Event::End,
        });
    }
    without_break_at_end(text, &mut events);
    Ok(events)
}

fn one(documents: usize) -> Result<(), String> {
    if documents > 1 {
        Err("a second document".into())
    } else {
        Ok(())
    }
}

/// Converts events to a value.
pub(crate) fn tree(events: &[Event]) -> Result<Value, String> {
    if events.is_empty() {
        return Ok(Value::Null);
    }
    let mut reader = Reader {
        events,
        at: 0,
        anchors: HashMap::new(),
    };
    reader.value().map(|(value, _)| value)
}

struct Reader<'e> {
    events: &'e [Event],
    at: usize,
    anchors: HashMap<String, (Value, Option<String>)>,
}

impl Reader<'_> {
    /// Reads the next value. Also returns the text of a scalar that can be a key.
    fn value(&mut self) -> Result<(Value, Option<String>), String> {
        let event = self.events.get(self.at).ok_or("no more events")?;
        self.at += 1;
        let (value, key, anchor) = match event {
            Event::Alias(name) => {
                let known = self.anchors.get(name).cloned();
                return known.ok_or_else(|| format!("unknown alias {name}"));
            }
            Event::Scalar {
                text,
                style,
                tag,
                anchor,
            } => {
                let value = match tag.as_deref() {
                    None if *style == Style::Plain => core(text),
                    Some("null" | "bool" | "int" | "float") => core(text),
                    _ => Value::Text(text.clone()),
                };
                (value, Some(text.clone()), anchor)
            }
            Event::List(anchor) => {
                let mut items = Vec::new();
                while !self.ends() {
                    items.push(self.value()?.0);
                }
                (Value::List(items), None, anchor)
            }
            Event::Map(anchor) => (self.map()?, None, anchor),
            Event::End => return Err("an end without a beginning".into()),
        };
        if let Some(anchor) = anchor {
            self.anchors
                .insert(anchor.clone(), (value.clone(), key.clone()));
        }
        Ok((value, key))
    }

    fn ends(&mut self) -> bool {
        let ends = matches!(self.events.get(self.at), Some(Event::End));
        self.at += usize::from(ends);
        ends
    }

    fn map(&mut self) -> Result<Value, String> {
        let mut entries: Vec<(String, Value)> = Vec::new();
        let mut merged = Vec::new();
        while !self.ends() {
            let merges = matches!(self.events.get(self.at), Some(Event::Scalar { text, style: Style::Plain, tag: None, .. }) if text == "<<");
            let (_, key) = self.value()?;
            let key = key.ok_or("a list or map as a key")?;
            let (value, _) = self.value()?;
            if merges {
                merged.push(value);
            } else if entries.iter().any(|(known, _)| *known == key) {
                return Err(format!("the key {key:?} twice"));
            } else {
                entries.push((key, value));
            }
        }
        for source in merged {
            let sources = match source {
                Value::List(sources) => sources,
                one => vec![one],
            };
            for source in sources {
                let Value::Map(more) = source else {
                    return Err("`<<` of something that is not a map".into());
                };
                for (key, value) in more {
                    if !entries.iter().any(|(known, _)| *known == key) {
                        entries.push((key, value));
                    }
                }
            }
        }
        Ok(Value::Map(entries))
    }
}

/// Value of a plain scalar in the core schema, determined with the regular expressions of YAML
/// 1.2.2 §10.3.2.
fn core(text: &str) -> Value {
    use std::sync::LazyLock;
    static NUMBER: LazyLock<regex::Regex> = LazyLock::new(|| {
        regex::Regex::new(concat!(
            r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
            r"|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?",
            r"|[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN)$"
        ))
        .expect("the expressions of the specification")
    });
    match text {
        "" | "null" | "Null" | "NULL" | "~" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if NUMBER.is_match(text) => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}
