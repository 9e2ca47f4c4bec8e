//! Documents as a tree that keeps the order of keys. serde's parsers read the tree, and the tests
//! write it as JSON or YAML in several styles, without the compiler's own parser.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::dice::Dice;

/// Value of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    /// Number in the notation of the document.
    Number(String),
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Tree {
    pub(crate) fn read(text: &str) -> Option<Self> {
        if text.trim_start().starts_with('{') {
            return serde_json::from_str(text).ok();
        }
        serde_yaml_ng::from_str(text).ok()
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(crate) fn map<const N: usize>(entries: [(&str, Self); N]) -> Self {
        Self::Map(entries.map(|(key, value)| (key.to_owned(), value)).into())
    }

    pub(crate) fn reference(to: &str) -> Self {
        Self::map([("$ref", Self::text(to))])
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let entries = self.entries().iter();
        entries
            .rev()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Self::Map(entries) = self else {
            return None;
        };
        let found = entries.iter_mut().find(|(name, _)| name == key);
        found.map(|(_, value)| value)
    }

    /// Sets a key; a new key is added at the end.
    pub(crate) fn set(&mut self, key: &str, value: Self) {
        match self.get_mut(key) {
            Some(old) => *old = value,
            None => {
                if let Self::Map(entries) = self {
                    entries.push((key.to_owned(), value));
                }
            }
        }
    }

    /// Map under a key, created if it does not exist.
    pub(crate) fn within(&mut self, key: &str) -> &mut Self {
        if self.get(key).is_none() {
            self.set(key, Self::Map(Vec::new()));
        }
        self.get_mut(key).expect("it was set")
    }

    pub(crate) fn remove(&mut self, key: &str) {
        if let Self::Map(entries) = self {
            entries.retain(|(name, _)| name != key);
        }
    }

    pub(crate) fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Target of a `$ref`, if the node is a reference.
    pub(crate) fn target(&self) -> Option<&str> {
        self.get("$ref")?.as_text()
    }

    /// Node of this document at a JSON pointer.
    pub(crate) fn at(&self, reference: &str) -> Option<&Self> {
        let mut at = self;
        for part in reference.strip_prefix("#/")?.split('/') {
            let part = part.replace("~1", "/").replace("~0", "~");
            at = at.get(&part)?;
        }
        Some(at)
    }

    /// Calls `see` for every value in the tree, outer values first.
    pub(crate) fn each(&mut self, see: &mut impl FnMut(&mut Self)) {
        see(self);
        match self {
            Self::List(items) => items.iter_mut().for_each(|item| item.each(see)),
            Self::Map(entries) => entries.iter_mut().for_each(|(_, value)| value.each(see)),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => {}
        }
    }

    pub(crate) fn json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(text) => out.push_str(text),
            Self::Text(text) => out.push_str(&quoted(text)),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    item.write_json(out);
                }
                out.push(']');
            }
            Self::Map(entries) => {
                out.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    out.push_str(&quoted(key));
                    out.push_str(": ");
                    value.write_json(out);
                }
                out.push('}');
            }
        }
    }

    /// YAML in block style, with comments, and with aliases for repeated values.
    pub(crate) fn yaml(&self, how: Yaml) -> String {
        let mut writer = Writer {
            out: String::new(),
            dice: Dice::new(how.seed),
            comments: how.comments,
            twice: HashMap::new(),
            aliases: if how.anchors { 200 } else { 0 },
        };
        if how.anchors {
            writer.count(self);
            writer.twice.retain(|_, (count, _)| *count > 1);
        }
        writer.block(self, 0);
        writer.out.push('\n');
        writer.out
    }
}

/// Style of YAML output.
#[derive(Clone, Copy)]
pub(crate) struct Yaml {
    pub(crate) seed: u64,
    pub(crate) comments: bool,
    pub(crate) anchors: bool,
}

struct Writer<'t> {
    out: String,
    dice: Dice,
    comments: bool,
    /// Maps that occur in the tree: number of occurrences, and number of the anchor after the map
    /// was written.
    twice: HashMap<&'t Tree, (usize, Option<usize>)>,
    aliases: usize,
}

impl<'t> Writer<'t> {
    fn count(&mut self, tree: &'t Tree) {
        if tree.entries().len() > 1 {
            self.twice.entry(tree).or_default().0 += 1;
        }
        tree.items().iter().for_each(|item| self.count(item));
        tree.entries()
            .iter()
            .for_each(|(_, value)| self.count(value));
    }

    fn block(&mut self, tree: &'t Tree, depth: usize) {
        if self.aliases > 0
            && let Some((_, anchor)) = self.twice.get_mut(tree)
        {
            if let Some(known) = anchor {
                self.out.push_str(&format!(" *a{known}"));
                return;
            }
            self.aliases -= 1;
            *anchor = Some(self.aliases);
            self.out.push_str(&format!(" &a{}", self.aliases));
        }
        match tree {
            Tree::Map(entries) if !entries.is_empty() => {
                for (key, value) in entries {
                    self.line(depth);
                    self.out.push_str(&quoted(key));
                    self.out.push(':');
                    self.block(value, depth + 1);
                }
            }
            Tree::List(items) if !items.is_empty() => {
                for item in items {
                    self.line(depth);
                    self.out.push('-');
                    self.block(item, depth + 1);
                }
            }
            other => {
                self.out.push(' ');
                other.write_json(&mut self.out);
            }
        }
    }

    fn line(&mut self, depth: usize) {
        if self.comments && self.dice.chance(1) {
            self.out.push_str(" # {a comment: [*\n\n# another");
        }
        self.out.push('\n');
        self.out.push_str(&"  ".repeat(depth));
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Number(format!("{value:?}")))
    }
    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::text(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<Tree, Tree>()? {
            let key = match key {
                Tree::Text(text) | Tree::Number(text) => text,
                other => other.json(),
            };
            entries.push((key, value));
        }
        Ok(Tree::Map(entries))
    }
}
