//! YAML 1.2 parser. Builds the tree from the events of granit-parser.
//!
//! The parser provides events and their positions. This module adds types of scalars (core schema),
//! unique keys, merge keys (`<<`), and aliases as shared nodes. An alias inside the value that it
//! names is refused, because it would be a cycle. A text is refused if its aliases expand to more
//! nodes or levels than the limits allow.

use diag::tree::Entry;
use diag::{Diagnostic, FileId, Kind, Lint, NodeId, Sink, Span, Tree};
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Tag};

use super::cause::{self, Cause};
use super::lints::{
    ALIAS_BOMB, BAD_MERGE_KEY, COMMENT_FOR_VALUE, COMPLEX_KEY, CYCLIC_ALIAS, MALFORMED_YAML,
    SEVERAL_DOCUMENTS, TOO_LARGE, UNKNOWN_ANCHOR,
};
use super::{Limits, MORE_ALIAS_VALUES, MORE_DEPTH, MORE_VALUES, map, scalar};

/// Result of parsing a text.
#[derive(Default)]
pub(crate) struct Parsed {
    /// Root node. `None` if the text is malformed.
    pub(crate) root: Option<NodeId>,
    /// True if the text has anchors, aliases or merge keys, so that a node may have several
    /// parents.
    pub(crate) is_shared: bool,
}

/// Parses a YAML text. The root of an empty document is null.
pub fn parse(
    file: FileId,
    text: &str,
    tree: &mut Tree,
    limits: &Limits,
    sink: &mut Sink,
) -> Option<NodeId> {
    read(file, text, tree, limits, sink).root
}

/// Parses a YAML text. Also reports if nodes may have several parents.
pub(super) fn read(
    file: FileId,
    text: &str,
    tree: &mut Tree,
    limits: &Limits,
    sink: &mut Sink,
) -> Parsed {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        // Allow long plain keys. The default limit reports a key of 1,025 characters as "not a
        // mapping".
        simple_key_max_lookahead: 16 * 1024,
    };
    let mut builder = Builder {
        file,
        text,
        tree,
        limits,
        sink,
        open: Vec::new(),
        items: Vec::new(),
        entries: Vec::new(),
        anchors: Vec::new(),
        root: None,
        read: 0,
        documents: 0,
        written: 0,
        unfolded: 0,
        is_shared: false,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => {
                let range = span.byte_range().unwrap_or(0..0);
                let step = builder.event(event, range.start, range.end);
                builder.read = range.end;
                step
            }
            Err(error) => {
                builder.malformed(&error);
                Err(Stop)
            }
        };
        if step.is_err() {
            return Parsed::default();
        }
    }
    if builder.root.is_none() {
        let span = Span::new(file, text.len(), text.len());
        builder.root = Some(builder.tree.push(span, Kind::Null));
    }
    Parsed {
        root: builder.root,
        is_shared: builder.is_shared,
    }
}

/// Error that ends parsing after a finding was reported.
struct Stop;

struct Builder<'a> {
    file: FileId,
    text: &'a str,
    tree: &'a mut Tree,
    limits: &'a Limits,
    sink: &'a mut Sink,
    open: Vec<Open>,
    /// Stacks of the items and entries of all open lists and maps, the innermost last. The end of a
    /// list or map removes its items from the stack, so that its allocation has the exact size.
    items: Vec<NodeId>,
    entries: Vec<Entry>,
    /// Anchors, indexed by the parser's anchor number.
    anchors: Vec<Option<Anchor>>,
    root: Option<NodeId>,
    /// End of the parser's last event. The parser may have read text after it.
    read: usize,
    documents: usize,
    /// Number of nodes in the text itself.
    written: usize,
    /// Number of nodes that aliases and merge keys add.
    unfolded: usize,
    /// True if the text has anchors, aliases or merge keys.
    is_shared: bool,
}

/// List or map whose end has not been parsed yet.
struct Open {
    what: What,
    start: usize,
    end: usize,
    anchor: usize,
    /// Height of the tree below the list or map, with aliases expanded.
    height: usize,
    /// Value of `written + unfolded` at the start of the list or map.
    nodes_before: usize,
}

enum What {
    List {
        /// Index of the list's first item in `items`.
        first: usize,
    },
    Map {
        /// Index of the map's first entry in `entries`.
        first: usize,
        merges: Vec<(Span, NodeId)>,
        key: Option<Key>,
    },
}

enum Key {
    Text(Box<str>, Span),
    Merge(Span),
    /// List or map used as a key. The mistake is reported, and the entry is dropped.
    Unusable,
}

#[derive(Clone, Copy)]
enum Anchor {
    Open,
    Done {
        node: NodeId,
        nodes: usize,
        height: usize,
    },
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, start: usize, end: usize) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let end = self.text.len().min(end.max(start));
                    return Err(self.stop(
                        &SEVERAL_DOCUMENTS,
                        self.span(start, end),
                        "the file contains a second YAML document",
                    ));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), start, end)
            }
            Event::SequenceStart(_, anchor, _) => {
                let first = self.items.len();
                self.begin(What::List { first }, anchor, start, end)
            }
            Event::MappingStart(_, anchor, _) => {
                let what = What::Map {
                    first: self.entries.len(),
                    merges: Vec::new(),
                    key: None,
                };
                self.begin(what, anchor, start, end)
            }
            Event::SequenceEnd | Event::MappingEnd => self.finish(start, end),
            Event::Alias(anchor) => self.alias(anchor, start, end),
            Event::UnresolvedAlias(name) => {
                let span = self.span(start, end);
                self.sink.push(
                    Diagnostic::new(
                        &UNKNOWN_ANCHOR,
                        span,
                        format!("no anchor `&{}` precedes this alias", name.escape_debug()),
                    )
                    .label("unknown alias")
                    .help("define it before its first use, or put the string in quotes"),
                );
                let node = self.push(span, Kind::Null)?;
                self.value(node, 0, start, end);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        start: usize,
        end: usize,
    ) -> Result<(), Stop> {
        let text = self.without_break_at_end(text, style, end);
        let end = self.scalar_end(style, start, end);
        let span = self.span(start, end);
        let kind = match (tag.and_then(Tag::core_suffix), tag, style) {
            (Some(core), _, _) => scalar::tagged(core, text),
            (None, None, ScalarStyle::Plain) => scalar::plain(text),
            (None, _, _) => Kind::String(text.into()),
        };
        if self.wants_key() {
            let merges = text == "<<" && style == ScalarStyle::Plain;
            self.is_shared |= merges;
            if anchor != 0 {
                let node = self.push(span, kind)?;
                self.anchor_done(anchor, node, 1, 0);
            }
            self.key(
                if merges {
                    Key::Merge(span)
                } else {
                    Key::Text(text.into(), span)
                },
                end,
            );
            return Ok(());
        }
        let is_empty = start == end && style == ScalarStyle::Plain && anchor == 0 && tag.is_none();
        let mut span = span;
        if is_empty {
            self.check_comment();
            span = self.behind_colon().unwrap_or(span);
        }
        let node = self.push(span, kind)?;
        self.anchor_done(anchor, node, 1, 0);
        self.value(node, 0, start, end);
        Ok(())
    }

    /// Removes the line break that the parser adds to a block scalar at the end of a file. Applies
    /// if the file has no line break there (YAML 1.2.2 §8.1.1.2, `b-chomped-last`).
    fn without_break_at_end<'s>(&self, text: &'s str, style: ScalarStyle, end: usize) -> &'s str {
        let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        if !is_block || end < self.text.len() {
            return text;
        }
        let last_line = self.text.rsplit(['\n', '\r']).next().unwrap_or_default();
        match text.strip_suffix('\n') {
            Some(without)
                if without.trim_end().ends_with(last_line.trim())
                    && !last_line.trim().is_empty() =>
            {
                without
            }
            Some(_) | None => text,
        }
    }

    /// End of a scalar's text. The parser's token of a block scalar extends up to the next token.
    fn scalar_end(&self, style: ScalarStyle, start: usize, end: usize) -> usize {
        match style {
            ScalarStyle::Literal | ScalarStyle::Folded => {
                let token = self.text.get(start..end).unwrap_or_default();
                start + token.trim_end().len()
            }
            _ => end,
        }
    }

    fn begin(&mut self, what: What, anchor: usize, start: usize, end: usize) -> Result<(), Stop> {
        if self.open.len() >= self.limits.depth_max {
            return Err(self.too_deep(start, end));
        }
        self.set_anchor(anchor, Anchor::Open);
        self.open.push(Open {
            what,
            start,
            end: start,
            anchor,
            height: 0,
            nodes_before: self.written + self.unfolded,
        });
        Ok(())
    }

    fn finish(&mut self, start: usize, end: usize) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        // The end event of a block collection is empty and placed at the next token.
        let end = if end > start { end } else { open.end };
        let kind = match open.what {
            What::List { first } => Kind::List(self.items.split_off(first)),
            What::Map { first, merges, .. } => {
                let entries = self.entries.split_off(first);
                let mut entries = map::unique(entries, self.sink);
                for (span, node) in merges {
                    self.merge(&mut entries, span, node)?;
                }
                Kind::Map(entries)
            }
        };
        let node = self.push(self.span(open.start, end), kind)?;
        let nodes = self.written + self.unfolded - open.nodes_before;
        let height = open.height + 1;
        self.anchor_done(open.anchor, node, nodes, height);
        if self.wants_key() {
            let span = self.tree.at(node).span();
            let finding = match cause::template_at(self.text, open.start) {
                Some(cause) => self.caused(&COMPLEX_KEY, cause),
                None => Diagnostic::new(&COMPLEX_KEY, span, "a list or map cannot be a key").help(
                    "keys are strings; put the string in quotes if it begins with `[` or `{`",
                ),
            };
            self.sink.push(finding);
            self.key(Key::Unusable, end);
            return Ok(());
        }
        self.value(node, height, open.start, end);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, start: usize, end: usize) -> Result<(), Stop> {
        let span = self.span(start, end);
        let known = self.anchors.get(anchor).copied().flatten();
        let Some(Anchor::Done {
            node,
            nodes,
            height,
        }) = known
        else {
            self.sink.push(
                Diagnostic::new(
                    &CYCLIC_ALIAS,
                    span,
                    "the alias is inside the value it names",
                )
                .label("would contain itself"),
            );
            let node = self.push(span, Kind::Null)?;
            self.value(node, 0, start, end);
            return Ok(());
        };
        self.unfold(nodes, span)?;
        if self.open.len() + height > self.limits.depth_max {
            return Err(self.too_deep(start, end));
        }
        if self.wants_key() {
            let key = match self.tree.at(node).scalar_text() {
                Some(text) => Key::Text(text.into(), span),
                None => {
                    self.sink.push(Diagnostic::new(
                        &COMPLEX_KEY,
                        span,
                        "the alias names a value that cannot be a key",
                    ));
                    Key::Unusable
                }
            };
            self.key(key, end);
            return Ok(());
        }
        self.value(node, height, start, end);
        Ok(())
    }

    /// Adds the entries of a merge value (`<<`) whose keys the map lacks. Earlier merge values take
    /// precedence.
    fn merge(&mut self, entries: &mut Vec<Entry>, span: Span, node: NodeId) -> Result<(), Stop> {
        let value = self.tree.at(node);
        let sources: Vec<NodeId> =
            match value.kind() {
                Kind::Map(_) => vec![node],
                Kind::List(items) if value.items().all(|item| item.is_map()) => items.clone(),
                _ => {
                    self.sink.push(
                    Diagnostic::new(
                        &BAD_MERGE_KEY,
                        value.span(),
                        format!("`<<` merges maps, this is {}", value.kind_name()),
                    )
                    .related(span, "the merge key")
                    .help("write an alias of a map, or a list of such aliases; write a key `<<` in \
quotes"),
                );
                    return Ok(());
                }
            };
        for source in sources {
            let count = self.tree.at(source).entries().len();
            self.unfold(count, span)?;
            let mut have: std::collections::HashSet<&str> =
                entries.iter().map(|entry| &*entry.key).collect();
            let added: Vec<Entry> = self
                .tree
                .at(source)
                .entries()
                .map(|(entry, _)| entry)
                .filter(|entry| have.insert(&entry.key))
                .cloned()
                .collect();
            entries.extend(added);
        }
        Ok(())
    }

    fn unfold(&mut self, nodes: usize, span: Span) -> Result<(), Stop> {
        self.unfolded = self.unfolded.saturating_add(nodes);
        if self.unfolded <= self.limits.alias_nodes_max {
            return Ok(());
        }
        let message = format!(
            "the file's aliases expand to more than {} values",
            self.limits.alias_nodes_max
        );
        Err(self.stop_at_limit(&ALIAS_BOMB, span, message, MORE_ALIAS_VALUES))
    }

    fn push(&mut self, span: Span, kind: Kind) -> Result<NodeId, Stop> {
        self.written += 1;
        if self.written > self.limits.nodes_max {
            let message = format!("the file has more than {} values", self.limits.nodes_max);
            return Err(self.stop_at_limit(&TOO_LARGE, span, message, MORE_VALUES));
        }
        Ok(self.tree.push(span, kind))
    }

    fn wants_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                what: What::Map { key: None, .. },
                ..
            })
        )
    }

    fn key(&mut self, new: Key, end: usize) {
        if let Some(open) = self.open.last_mut()
            && let What::Map { key, first, .. } = &mut open.what
        {
            if let Key::Text(_, span) | Key::Merge(span) = &new
                && self.entries.len() == *first
                && open.end == open.start
            {
                // The start event of a block map may be placed at an anchor or tag before its first
                // key.
                open.start = open.start.min(span.start as usize);
            }
            open.end = open.end.max(end);
            *key = Some(new);
        }
    }

    fn value(&mut self, node: NodeId, height: usize, start: usize, end: usize) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        // The event of an empty value is placed where the parser noticed it, possibly lines later.
        if end > start {
            open.end = open.end.max(end);
        }
        open.height = open.height.max(height);
        match &mut open.what {
            What::List { .. } => self.items.push(node),
            What::Map { merges, key, .. } => match key.take() {
                Some(Key::Text(key, key_span)) => self.entries.push(Entry {
                    key,
                    key_span,
                    value: node,
                }),
                Some(Key::Merge(span)) => merges.push((span, node)),
                Some(Key::Unusable) | None => {}
            },
        }
    }

    fn set_anchor(&mut self, anchor: usize, state: Anchor) {
        if anchor == 0 {
            return;
        }
        self.is_shared = true;
        if self.anchors.len() <= anchor {
            self.anchors.resize(anchor + 1, None);
        }
        self.anchors[anchor] = Some(state);
    }

    fn anchor_done(&mut self, anchor: usize, node: NodeId, nodes: usize, height: usize) {
        self.set_anchor(
            anchor,
            Anchor::Done {
                node,
                nodes,
                height,
            },
        );
    }

    fn too_deep(&mut self, start: usize, end: usize) -> Stop {
        let message = format!(
            "lists and maps are nested deeper than {} levels",
            self.limits.depth_max
        );
        let span = self.span(start, end);
        self.stop_at_limit(&TOO_LARGE, span, message, MORE_DEPTH)
    }

    fn stop_at_limit(
        &mut self,
        lint: &'static Lint,
        span: Span,
        message: String,
        help: &str,
    ) -> Stop {
        let finding = Diagnostic::new(lint, span, message);
        self.sink.push(finding.help(help));
        Stop
    }

    fn stop(&mut self, lint: &'static Lint, span: Span, message: impl Into<String>) -> Stop {
        self.sink.push(Diagnostic::new(lint, span, message));
        Stop
    }

    fn malformed(&mut self, error: &ScanError) {
        let at = error.marker().byte_offset().unwrap_or(0);
        let at = self.text.floor_char_boundary(at.min(self.text.len()));
        let width = self.text[at..]
            .chars()
            .next()
            .filter(|c| *c != '\n' && *c != '\r')
            .map_or(0, char::len_utf8);
        let span = self.span(at, at + width);
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            let finding = Diagnostic::new(&TOO_LARGE, span, "lists and maps are nested too deeply");
            self.sink.push(finding);
            return;
        }
        let site = cause::Site {
            text: self.text,
            at,
            read: self.read,
            open: self.open.iter().rev().map(|open| open.start).collect(),
        };
        let finding = match cause::find(&site, error.kind()) {
            Some(cause) => self.caused(&MALFORMED_YAML, cause),
            None => Diagnostic::new(
                &MALFORMED_YAML,
                span,
                format!("not well-formed YAML: {}", error.kind()),
            ),
        };
        self.sink.push(finding);
    }

    fn caused(&self, lint: &'static Lint, cause: Cause) -> Diagnostic {
        let Cause {
            start,
            end,
            message,
            help,
            related,
        } = cause;
        let finding = Diagnostic::new(lint, self.span(start, end), message);
        let finding = match help {
            Some(help) => finding.help(help),
            None => finding,
        };
        match related {
            Some((start, end, part)) => finding.related(self.span(start, end), part),
            None => finding,
        }
    }

    /// Returns the position after the colon of the current key. `None` if the key has no colon.
    fn behind_colon(&self) -> Option<Span> {
        let What::Map { key, .. } = &self.open.last()?.what else {
            return None;
        };
        let Some(Key::Text(_, key)) = key else {
            return None;
        };
        let from = key.end as usize;
        let rest = self.text.get(from..)?;
        let colon = rest.len() - rest.trim_start_matches(' ').len();
        let at = from + colon + 1;
        rest[colon..].starts_with(':').then(|| self.span(at, at))
    }

    /// Warns about a comment where a value is expected, as in `pattern: #abc`.
    fn check_comment(&mut self) {
        let Some(Open {
            what:
                What::Map {
                    key: Some(Key::Text(key, span)),
                    ..
                },
            ..
        }) = self.open.last()
        else {
            return;
        };
        let from = span.end as usize;
        let line = self.text[from..].lines().next().unwrap_or_default();
        let Some(at) = line.find('#') else { return };
        let is_value = line[..at].trim() == ":" && cause::is_hash_text(&line[at..]);
        if is_value {
            let text = line[at..].trim_end();
            let message = format!(
                "`{}` has no value: `#` begins a comment",
                key.escape_debug()
            );
            let finding = Diagnostic::new(
                &COMMENT_FOR_VALUE,
                self.span(from + at, from + at + text.len()),
                message,
            );
            self.sink
                .push(finding.help(format!("write {}", cause::quoted(text))));
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, start, end.max(start))
    }
}
