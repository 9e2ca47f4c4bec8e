//! Incremental parsing of a changed YAML text: only the changed entry of a map is parsed.
//!
//! If a text differs from a known text only inside one entry of a block map, the nodes outside this
//! entry are the same. [`Splice::find`] parses the entry alone. [`Splice::apply`] replaces the old
//! nodes and moves the spans after the entry. The result, including ids, equals that of parsing the
//! whole text. If this is not certain, [`Splice::find`] returns `None`, and the caller parses the
//! whole text.
//!
//! An entry can be parsed alone, because the parser reads from left to right. At the start of a
//! line in a block map, its state depends only on the columns of the open maps and lists. The next
//! line with content after the entry has at most the entry's column. It ends the entry in the whole
//! text, as the end of the text does for the entry alone. As a safeguard, the old text of the entry
//! is parsed alone, too, and must give the known nodes.

use std::ops::Range;

use diag::tree::{Entry, Node};
use diag::{FileId, Kind, NodeId, Sink, Span, Tree};

use super::{Limits, yaml};

/// Maximum nesting of a changed value. The parser's own depth limits are higher.
const DEPTH_MAX: usize = 64;

/// Divisor of the text's length that limits the parsed entries: their old and new texts together
/// have at most a quarter of this length, plus [`PIECE`] bytes.
const SHARE: usize = 4;

/// Length of the pieces in which texts are compared, in bytes.
const PIECE: usize = 4096;

/// Line breaks of YAML. A single carriage return is also a line break.
const LINE_BREAKS: [char; 2] = ['\n', '\r'];

/// Nodes of one file, numbered as in [`Tree::part`]: `nodes[i]` has the id `first + i`, and
/// children precede their parents. No node has two parents.
pub(crate) struct Known<'n> {
    pub(crate) text: &'n str,
    pub(crate) file: FileId,
    pub(crate) first: NodeId,
    pub(crate) root: NodeId,
    pub(crate) nodes: &'n [Node],
}

/// Replacement of the nodes of one map entry's value.
pub(crate) struct Splice {
    /// Indexes of the old nodes of the entry's value.
    old: Range<usize>,
    /// New nodes of the value, with their ids and spans in the new text.
    new: Vec<Node>,
    /// Index of the node of the map that contains the entry, and index of the entry in this map.
    holder: (usize, usize),
    entry: Entry,
    /// Offset of the next line with content after the entry, in the old text.
    end: u32,
    /// Number of bytes by which the text after the entry moves. Negative if the entry becomes
    /// shorter.
    bytes: i64,
    /// End of the entry's content in the new text.
    content_end: u32,
}

/// Entry of a block map that contains the whole change.
struct Candidate {
    /// Index of the node of the map. `entry` is the index of the entry in this map.
    map: usize,
    entry: usize,
    /// Number of lists and maps that contain the entry.
    depth: usize,
}

/// Result of parsing the text of an entry alone.
struct Alone {
    key: Box<str>,
    key_span: Span,
    nodes: Vec<Node>,
    content_end: u32,
    height: usize,
}

impl Splice {
    /// Finds the change of the nodes for a new text. `None` if the nodes outside of the entry might
    /// change, too, or if the new text has findings.
    pub(crate) fn find(known: &Known<'_>, text: &str, limits: &Limits) -> Option<Self> {
        let change = change(known.text, text);
        if text.len() > limits.bytes_max || known.text.starts_with('\u{feff}') {
            return None;
        }
        let mut tried = 0;
        for candidate in candidates(known, &change).into_iter().rev() {
            let Some((old, new)) = regions(known, &candidate, &change, text) else {
                continue;
            };
            tried += old.len() + new.len();
            if tried > text.len() / SHARE + PIECE {
                return None;
            }
            let found = Self::of_entry(known, &candidate, (old, new), (text, limits));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    fn of_entry(
        known: &Known<'_>,
        candidate: &Candidate,
        (old, new): (Range<usize>, Range<usize>),
        (text, limits): (&str, &Limits),
    ) -> Option<Self> {
        let Kind::Map(entries) = &known.nodes[candidate.map].kind else {
            return None;
        };
        let entry = &entries[candidate.entry];
        let last = index(known, entry.value);
        let first = leftmost(known, last);
        let id = |at: usize| known.first.0 + u32::try_from(at).unwrap_or(u32::MAX);
        let parse = |text: &str, range: &Range<usize>| {
            let text = &text[range.clone()];
            parse_alone(text, known.file, (range.start, id(first)), limits)
        };
        let before = parse(known.text, &old)?;
        if before.key != entry.key
            || before.key_span != entry.key_span
            || !are_equal(&before.nodes, &known.nodes[first..=last])
        {
            return None;
        }
        let after = parse(text, &new)?;
        let is_renamed = after.key != entry.key;
        let is_taken = || entries.iter().any(|other| other.key == after.key);
        let depth_max = DEPTH_MAX.min(limits.depth_max);
        let count = known.nodes.len() - before.nodes.len() + after.nodes.len();
        if is_renamed && is_taken()
            || after.key_span.start != entry.key_span.start
            || candidate.depth + after.height > depth_max
            || count > limits.nodes_max
        {
            return None;
        }
        let value = NodeId(id(first + after.nodes.len() - 1));
        Some(Self {
            old: first..last + 1,
            holder: (candidate.map, candidate.entry),
            entry: Entry {
                key: after.key,
                key_span: after.key_span,
                value,
            },
            end: u32::try_from(old.end).ok()?,
            bytes: i64::try_from(new.end).ok()? - i64::try_from(old.end).ok()?,
            content_end: after.content_end,
            new: after.nodes,
        })
    }

    /// Changes the nodes of the file. Returns the id of the root node.
    pub(crate) fn apply(&self, nodes: &mut Vec<Node>, first: NodeId, root: NodeId) -> NodeId {
        let last_id = i64::from(first.0) + self.old.end as i64 - 1;
        let ids = self.new.len() as i64 - self.old.len() as i64;
        let moved_id = |id: NodeId| match i64::from(id.0) < last_id {
            true => id,
            false => NodeId(moved(id.0, ids)),
        };
        let moved_span = |span: Span| match span.start < self.end {
            true => Span {
                // The node is a map or list that contains the entry.
                end: match span.end <= self.end {
                    true => self.content_end,
                    false => moved(span.end, self.bytes),
                },
                ..span
            },
            false => Span {
                start: moved(span.start, self.bytes),
                end: moved(span.end, self.bytes),
                ..span
            },
        };
        for node in &mut nodes[self.old.end..] {
            node.span = moved_span(node.span);
            match &mut node.kind {
                Kind::List(items) => items.iter_mut().for_each(|id| *id = moved_id(*id)),
                Kind::Map(entries) => {
                    for entry in entries {
                        entry.value = moved_id(entry.value);
                        if entry.key_span.start >= self.end {
                            entry.key_span = moved_span(entry.key_span);
                        }
                    }
                }
                Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => {}
            }
        }
        if let Kind::Map(entries) = &mut nodes[self.holder.0].kind {
            entries[self.holder.1] = self.entry.clone();
        }
        nodes.splice(self.old.clone(), self.new.iter().cloned());
        moved_id(root)
    }

    /// Ids of the nodes of the changed value and of the maps and lists around it, after
    /// [`Splice::apply`].
    pub(crate) fn changed(&self, nodes: &[Node], first: NodeId) -> impl Iterator<Item = NodeId> {
        let (start, end) = (self.old.start, self.old.start + self.new.len());
        let key = self.entry.key_span.start;
        let around = (end..nodes.len()).filter(move |at| nodes[*at].span.start <= key);
        let ids = (start..end).chain(around);
        ids.map(move |at| NodeId(first.0 + u32::try_from(at).unwrap_or(u32::MAX)))
    }
}

fn moved(number: u32, by: i64) -> u32 {
    u32::try_from(i64::from(number) + by).unwrap_or(u32::MAX)
}

/// Range of the old text that differs from the new text.
fn change(old: &str, new: &str) -> Range<usize> {
    let (old, new) = (old.as_bytes(), new.as_bytes());
    let shorter = old.len().min(new.len());
    let start = equal_bytes(shorter, |at, length| {
        old[at..at + length] == new[at..at + length]
    });
    let rest = shorter - start;
    let behind = equal_bytes(rest, |at, length| {
        old[old.len() - at - length..old.len() - at] == new[new.len() - at - length..new.len() - at]
    });
    start..old.len() - behind
}

/// Number of bytes up to `count` that are equal. `is_equal` compares a range, given its start and
/// length.
fn equal_bytes(count: usize, is_equal: impl Fn(usize, usize) -> bool) -> usize {
    let mut at = 0;
    while at + PIECE <= count && is_equal(at, PIECE) {
        at += PIECE;
    }
    while at < count && is_equal(at, 1) {
        at += 1;
    }
    at
}

/// Entries of block maps that contain the change, outermost first.
fn candidates(known: &Known<'_>, change: &Range<usize>) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut at = index(known, known.root);
    let mut depth = 1;
    loop {
        let node = &known.nodes[at];
        let begins = known.text.as_bytes().get(node.span.start as usize);
        // Entries of flow collections cannot be parsed alone. A tag may precede the bracket of such
        // a collection.
        if matches!(begins, Some(b'{' | b'[' | b'!')) {
            return found;
        }
        let is_before = |start: u32| start as usize <= change.start;
        let next = match &node.kind {
            // The position of a key without text depends on the text after it.
            Kind::Map(entries) if entries.iter().any(has_no_key) => return Vec::new(),
            Kind::Map(entries) => {
                let after = entries.partition_point(|entry| is_before(entry.key_span.start));
                let Some(entry) = after.checked_sub(1) else {
                    return found;
                };
                found.push(Candidate {
                    map: at,
                    entry,
                    depth,
                });
                entries[entry].value
            }
            Kind::List(items) => {
                let start = |id: &NodeId| known.nodes[index(known, *id)].span.start;
                let after = items.partition_point(|id| is_before(start(id)));
                let Some(item) = after.checked_sub(1) else {
                    return found;
                };
                items[item]
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => return found,
        };
        at = index(known, next);
        depth += 1;
    }
}

/// Whole lines of an entry in the old and in the new text: from the line of the key to the next
/// line with content. `None` if these lines cannot be parsed alone.
fn regions(
    known: &Known<'_>,
    candidate: &Candidate,
    change: &Range<usize>,
    text: &str,
) -> Option<(Range<usize>, Range<usize>)> {
    let Kind::Map(entries) = &known.nodes[candidate.map].kind else {
        return None;
    };
    let entry = &entries[candidate.entry];
    let key = entry.key_span.start as usize;
    let start = known.text[..key].rfind('\n').map_or(0, |at| at + 1);
    if !known.text[start..key].bytes().all(|byte| byte == b' ') {
        return None;
    }
    let column = key - start;
    let value = known.nodes[index(known, entry.value)].span;
    let content_end = entry.key_span.end.max(value.end) as usize;
    let end = next_content(known.text, content_end);
    let new_end = (end + text.len()).checked_sub(known.text.len())?;
    let old = start..end;
    let new = start..new_end;
    let is_at_end = end == known.text.len();
    let is_inside = change.start >= key && change.end <= end && new_end >= key;
    let is_closed = is_at_end || text.as_bytes().get(new_end.wrapping_sub(1)) == Some(&b'\n');
    let is_fit = is_inside && is_closed && ends_entry(&known.text[end..], column);
    let marks_document = |line: &str| {
        ["---", "...", "%"]
            .iter()
            .any(|mark| line.starts_with(mark))
    };
    let inner = text.get(new.clone()).filter(|_| is_fit)?;
    (!inner.contains('\0') && !inner.split(LINE_BREAKS).any(marks_document)).then_some((old, new))
}

/// Start of the first line after an offset that is neither empty nor a comment. An offset at the
/// start of a line counts as after the previous line.
fn next_content(text: &str, offset: usize) -> usize {
    let mut at = match text.as_bytes()[..offset].last() {
        Some(b'\n') => offset,
        _ => text[offset..]
            .find('\n')
            .map_or(text.len(), |end| offset + end + 1),
    };
    while at < text.len() {
        let end = text[at..].find('\n').map_or(text.len(), |end| at + end + 1);
        let line = text[at..end].trim_start();
        if !(line.is_empty() || line.starts_with('#')) {
            break;
        }
        at = end;
    }
    at
}

/// True if a line with content ends an entry whose key is at `column`, regardless of the entry's
/// value.
fn ends_entry(rest: &str, column: usize) -> bool {
    let line = rest.trim_start_matches(' ');
    let indent = rest.len() - line.len();
    match line.bytes().next() {
        None => true,
        // The line begins an explicit key or value or a document, or continues a flow collection.
        Some(b'?' | b':' | b'}' | b']' | b',' | b'%' | b'.' | b'\t' | b'\r') => false,
        Some(b'-') if indent == column || indent == 0 => false,
        Some(_) => indent <= column,
    }
}

/// Parses whole lines that contain one entry of a block map. `offset`: position of the lines in
/// their text. `first`: id of the first node of the value. `None` if the lines contain anything
/// else, or have findings.
fn parse_alone(
    text: &str,
    file: FileId,
    (offset, first): (usize, u32),
    limits: &Limits,
) -> Option<Alone> {
    let mut tree = Tree::part(NodeId(0), 0);
    let mut sink = Sink::default();
    let parsed = yaml::read(file, text, &mut tree, limits, &mut sink);
    if parsed.is_shared || !sink.findings().is_empty() {
        return None;
    }
    let mut nodes = std::sync::Arc::unwrap_or_clone(tree.into_nodes_of_part());
    let root = nodes.pop()?;
    let Kind::Map(entries) = root.kind else {
        return None;
    };
    let Ok([entry]) = <[Entry; 1]>::try_from(entries) else {
        return None;
    };
    let is_whole = parsed.root == Some(NodeId(u32::try_from(nodes.len()).ok()?))
        && entry.value.0 as usize + 1 == nodes.len()
        && !text[root.span.start as usize..].starts_with(['{', '[', '!']);
    // The parser places an empty value without a colon at the next token, which may be outside of
    // these lines.
    let is_outside = |node: &Node| {
        let at = node.span.start as usize;
        let is_late = node.span.start >= root.span.end && !text[..at].ends_with(':');
        // The parser also places a block scalar without content at the next token.
        let is_block = matches!(&node.kind, Kind::String(value) if value.trim().is_empty())
            && !text[at..].starts_with(['"', '\'']);
        is_block || node.span.start == node.span.end && is_late
    };
    let has_empty_key = |node: &Node| match &node.kind {
        Kind::Map(entries) => entries.iter().any(has_no_key),
        _ => false,
    };
    if !is_whole
        || has_no_key(&entry)
        || nodes
            .iter()
            .any(|one| is_outside(one) || has_empty_key(one))
    {
        return None;
    }
    let height = height(&nodes);
    let offset = u32::try_from(offset).ok()?;
    let moved = |span: Span| Span {
        start: span.start + offset,
        end: span.end + offset,
        ..span
    };
    for node in &mut nodes {
        node.span = moved(node.span);
        match &mut node.kind {
            Kind::List(items) => items.iter_mut().for_each(|id| id.0 += first),
            Kind::Map(entries) => entries.iter_mut().for_each(|entry| {
                entry.value.0 += first;
                entry.key_span = moved(entry.key_span);
            }),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => {}
        }
    }
    Some(Alone {
        key: entry.key,
        key_span: moved(entry.key_span),
        nodes,
        content_end: root.span.end + offset,
        height,
    })
}

fn has_no_key(entry: &Entry) -> bool {
    entry.key_span.start == entry.key_span.end
}

/// Height of the last node: the number of nested lists and maps. Ids of children are indexes in
/// `nodes`.
fn height(nodes: &[Node]) -> usize {
    let mut heights: Vec<usize> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let of = |id: NodeId| heights[id.0 as usize] + 1;
        heights.push(match &node.kind {
            Kind::List(items) => items.iter().map(|id| of(*id)).max().unwrap_or(1),
            Kind::Map(entries) => entries.iter().map(|one| of(one.value)).max().unwrap_or(1),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => 0,
        });
    }
    heights.last().copied().unwrap_or(0)
}

fn are_equal(left: &[Node], right: &[Node]) -> bool {
    let is_equal =
        |(left, right): (&Node, &Node)| left.span == right.span && left.kind == right.kind;
    left.len() == right.len() && left.iter().zip(right).all(is_equal)
}

/// Index of the first node of a value. `at` is the index of the value's last node, its root.
fn leftmost(known: &Known<'_>, mut at: usize) -> usize {
    loop {
        let first = match &known.nodes[at].kind {
            Kind::List(items) => items.first().copied(),
            Kind::Map(entries) => entries.first().map(|entry| entry.value),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => None,
        };
        match first {
            Some(id) => at = index(known, id),
            None => return at,
        }
    }
}

fn index(known: &Known<'_>, id: NodeId) -> usize {
    (id.0 - known.first.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: &[&str] = &[
        "a:\n  b: 1\n  c:\n    - d: x\n      e: |\n        one\n\n        two\n    - f: [1, {g: 2}]\n  h: 'q'\ni: end\n",
        "openapi: 3.0.3 # version\npaths:\n  /a:\n    get:\n      description: >-\n        folded\n        text\n      parameters:\n      - name: p\n        in: query\n      -\n        name: q\n      responses: {\"200\": {description: fine}}\n\n    # comment\n  /b:\n    post:\n      tags: [a,\n        b]\n      empty:\n      last: ~\ncomponents:\n  schemas:\n    A: {type: object}\n    B:\n      type: string\n      pattern: \"^a\\\"b$\"\n",
        "a: |+\n  kept\n\nb: |2\n    two\nc: >\n  x\n\n   y\n# end\nd:\n-\n- - e\n  -\nf:\n  g",
        "a:\r\n  b: x\r\n  c:\r\n    d: long\r\n      text\r\n  e: 1\r\nf: y\r\n",
        "é:\n  ü: ö\n  list:\n  - a\n  - b: c\n    d: e\n  m:\n    n:\n      o:\n        p: q\n        r: s\nt: 'two\n  lines'\nu: \"two\n  lines\"\n",
        "base: &b {x: 1}\nuse: *b\nmerge:\n  <<: *b\n  y: 2\n",
        "{a: 1, b: [2,\n 3],\n c: {d: 4}\n}\n",
    ];

    const PIECES: &[&str] = &[
        "\n",
        "\n  ",
        "\n    ",
        " ",
        "  ",
        ": ",
        ":",
        "- ",
        "\n- ",
        "\n  - ",
        "#",
        " # c",
        "\"",
        "'",
        "|",
        "|\n",
        ">-\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&a ",
        "*a",
        "<<: ",
        "? ",
        "a: 1\n",
        "  b: c\n",
        "    d:\n",
        "...\n",
        "---\n",
        "%X\n",
        "\t",
        "\r\n",
        "!!str ",
        "é",
        "x",
        "1",
        "~",
        "null",
        "\u{feff}",
        "      - z\n",
    ];

    /// Pseudo-random numbers (Knuth's linear congruential generator).
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, count: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % count.max(1)
        }
    }

    /// Result of parsing a whole text that has no findings.
    struct Full {
        nodes: Vec<Node>,
        root: NodeId,
        is_shared: bool,
    }

    const FIRST: NodeId = NodeId(512);

    fn full(text: &str) -> Option<Full> {
        let (mut tree, mut sink) = (Tree::part(FIRST, 0), Sink::default());
        let parsed = yaml::read(FileId(3), text, &mut tree, &Limits::default(), &mut sink);
        let nodes = std::sync::Arc::unwrap_or_clone(tree.into_nodes_of_part());
        let is_clean = sink.findings().is_empty() && !text.contains('\0');
        let root = parsed.root.filter(|_| is_clean)?;
        Some(Full {
            nodes,
            root,
            is_shared: parsed.is_shared,
        })
    }

    fn edited(text: &str, dice: &mut Dice) -> String {
        let at = |dice: &mut Dice| text.floor_char_boundary(dice.below(text.len() + 1));
        let start = at(dice);
        let end = match dice.below(3) {
            0 => text
                .floor_char_boundary((start + dice.below(12)).min(text.len()))
                .max(start),
            _ => start,
        };
        let new = match dice.below(8) {
            0 => String::new(),
            1 => {
                let (from, length) = (at(dice), dice.below(40));
                let to = text.floor_char_boundary((from + length).min(text.len()));
                text[from..to.max(from)].to_owned()
            }
            _ => PIECES[dice.below(PIECES.len())].to_owned(),
        };
        [&text[..start], &new, &text[end..]].concat()
    }

    /// Applies random edits to a text. Returns the number of edits, and the number of edits that
    /// [`Splice`] handled.
    fn edit_at_random(text: &str, seed: u64) -> (usize, usize) {
        let mut dice = Dice(seed);
        let mut known: Option<(String, Full)> = None;
        let mut text = text.to_owned();
        let (mut edits, mut spliced) = (0, 0);
        for _ in 0..30 {
            let new = edited(&text, &mut dice);
            let expected = full(&new);
            edits += 1;
            if let Some((old, base)) = known.as_ref().filter(|(_, base)| !base.is_shared) {
                let known = Known {
                    text: old,
                    file: FileId(3),
                    first: FIRST,
                    root: base.root,
                    nodes: &base.nodes,
                };
                if let Some(splice) = Splice::find(&known, &new, &Limits::default()) {
                    let mut nodes = base.nodes.clone();
                    let root = splice.apply(&mut nodes, FIRST, base.root);
                    let context = || format!("seed {seed}\n--- old\n{old}\n--- new\n{new}");
                    let expected = expected.as_ref().unwrap_or_else(|| panic!("{}", context()));
                    assert!(!expected.is_shared, "{}", context());
                    let first = nodes.iter().zip(&expected.nodes);
                    let first =
                        first.map(|(left, right)| (format!("{left:?}"), format!("{right:?}")));
                    let first = first.into_iter().find(|(left, right)| left != right);
                    assert_eq!(first, None, "{}", context());
                    assert_eq!(nodes.len(), expected.nodes.len(), "{}", context());
                    assert_eq!(root, expected.root, "{}", context());
                    spliced += 1;
                }
            }
            match expected {
                Some(full) => {
                    text.clone_from(&new);
                    known = Some((new, full));
                }
                // Continue with the malformed text, or return to the last valid text.
                None if dice.below(2) == 0 => text = new,
                None => {
                    if let Some((good, _)) = &known {
                        text.clone_from(good);
                    }
                }
            }
        }
        (edits, spliced)
    }

    #[test]
    fn nodes_of_random_edits_equal_those_of_the_text() {
        let rounds = if std::env::var_os("GWC_TEST_FULL").is_some() {
            20_000
        } else {
            100
        };
        let (mut edits, mut spliced) = (0, 0);
        for (at, text) in TEXTS.iter().enumerate() {
            for seed in 0..rounds {
                let (all, few) = edit_at_random(text, seed * 31 + at as u64);
                edits += all;
                spliced += few;
            }
        }
        println!("{spliced} of {edits} edits were parsed alone");
        assert!(spliced * 16 > edits, "{spliced} of {edits}");
    }
}
