//! Output about many gateways. Gateways with the same text share a line, so that a thousand
//! gateways need a few lines. Those with a problem are named.

use std::collections::BTreeMap;

use diag::text::printable;

/// Maximum number of gateways with a line each. More gateways are grouped by their text.
pub(super) const LINES_MAX: usize = 20;
/// Maximum number of groups that are shown.
const GROUPS_MAX: usize = 50;
/// Maximum number of gateways that a group or a list names.
const NAMES_MAX: usize = 10;

/// Text about one gateway.
#[derive(Clone, Debug)]
pub(super) struct NodeText {
    /// Admin address of the gateway.
    pub(super) name: String,
    /// Text. Lines after the first one are details.
    pub(super) text: String,
    /// True if the group of this text names its gateways.
    pub(super) is_named: bool,
}

/// Gateways with the same text.
struct Group<'a> {
    text: &'a str,
    is_named: bool,
    names: Vec<&'a str>,
}

/// Indented lines about gateways: one for each gateway, or one for each text if there are more than
/// [`LINES_MAX`] gateways. Groups that name their gateways come last.
pub(super) fn lines(nodes: &[NodeText]) -> Vec<String> {
    if nodes.len() <= LINES_MAX {
        let lines = nodes.iter();
        return lines
            .map(|node| indented(&format!("{}: {}", node.name, node.text)))
            .collect();
    }
    let groups = groups(nodes.iter());
    let mut lines: Vec<String> = groups.iter().take(GROUPS_MAX).map(group_line).collect();
    let hidden = groups.get(GROUPS_MAX..).unwrap_or_default();
    if !hidden.is_empty() {
        let count: usize = hidden.iter().map(|group| group.names.len()).sum();
        lines.push(format!(
            "  {} in {} further groups; `--format json` lists all",
            gateways(count),
            hidden.len()
        ));
    }
    lines
}

/// Joins texts, at most [`NAMES_MAX`] of them.
pub(super) fn list<T: AsRef<str>>(texts: &[T], separator: &str) -> String {
    let shown = texts.iter().take(NAMES_MAX).map(AsRef::as_ref);
    let mut joined = shown.collect::<Vec<_>>().join(separator);
    if texts.len() > NAMES_MAX {
        joined.push_str(&format!("{separator}and {} more", texts.len() - NAMES_MAX));
    }
    joined
}

/// Sentence about gateways: name and text of each, or of each group if there are more than
/// [`LINES_MAX`] gateways.
pub(super) fn sentence(nodes: &[&NodeText]) -> String {
    if nodes.len() <= LINES_MAX {
        let texts = nodes.iter();
        let texts: Vec<String> = texts
            .map(|node| format!("{} {}", node.name, node.text))
            .collect();
        return texts.join("; ");
    }
    let groups = groups(nodes.iter().copied());
    let texts: Vec<String> = groups
        .iter()
        .map(|group| {
            let names = list(&group.names, ", ");
            let count = gateways(group.names.len());
            format!("{count}: {} ({names})", group.text)
        })
        .collect();
    list(&texts, "; ")
}

/// Number of gateways, as text.
pub(super) fn gateways(count: usize) -> String {
    match count {
        1 => "1 gateway".to_owned(),
        _ => format!("{count} gateways"),
    }
}

/// Groups the gateways by their text. Unnamed groups first, then by size, largest first.
fn groups<'a>(nodes: impl Iterator<Item = &'a NodeText>) -> Vec<Group<'a>> {
    let mut by_text: BTreeMap<(bool, &str), Vec<&str>> = BTreeMap::new();
    for node in nodes {
        let names = by_text.entry((node.is_named, &node.text)).or_default();
        names.push(&node.name);
    }
    let mut groups: Vec<Group<'_>> = by_text
        .into_iter()
        .map(|((is_named, text), names)| Group {
            text,
            is_named,
            names,
        })
        .collect();
    groups.sort_by_key(|group| (group.is_named, std::cmp::Reverse(group.names.len())));
    groups
}

fn group_line(group: &Group<'_>) -> String {
    let mut text = format!("{}: {}", gateways(group.names.len()), group.text);
    if group.is_named {
        text.push_str(&format!("\n{}", list(&group.names, ", ")));
    }
    indented(&text)
}

/// Indents a text by two spaces, and its further lines by four.
fn indented(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(printable).collect();
    format!("  {}", lines.join("\n    "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(at: usize, text: &str, is_named: bool) -> NodeText {
        NodeText {
            name: format!("n{at}"),
            text: text.to_owned(),
            is_named,
        }
    }

    #[test]
    fn each_of_a_few_gateways_has_a_line() {
        let few: Vec<NodeText> = (0..20).map(|at| node(at, "runs a", false)).collect();
        assert_eq!(lines(&few).len(), 20);
        assert_eq!(lines(&few)[3], "  n3: runs a");
    }

    #[test]
    fn many_gateways_are_grouped_by_their_text() {
        let mut many: Vec<NodeText> = (0..900).map(|at| node(at, "runs a", false)).collect();
        many.extend((900..912).map(|at| node(at, "lost", true)));
        many.push(node(912, "runs b\nALARM x\u{1b}", true));
        let expected = [
            "  900 gateways: runs a",
            "  12 gateways: lost\n    \
             n900, n901, n902, n903, n904, n905, n906, n907, n908, n909, and 2 more",
            "  1 gateway: runs b\n    ALARM x\u{241b}\n    n912",
        ];
        assert_eq!(lines(&many), expected);
        let late = sentence(&many[900..].iter().collect::<Vec<_>>());
        assert_eq!(late.matches("n9").count(), 13, "{late}");
        many.truncate(30);
        assert_eq!(
            sentence(&many.iter().collect::<Vec<_>>()),
            "30 gateways: runs a (n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, and 20 more)"
        );
    }

    #[test]
    fn groups_beyond_the_maximum_are_counted() {
        let many: Vec<NodeText> = (0..70)
            .map(|at| node(at, &format!("error {at}"), true))
            .collect();
        let lines = lines(&many);
        assert_eq!(lines.len(), 51);
        assert_eq!(
            lines[50],
            "  20 gateways in 20 further groups; `--format json` lists all"
        );
    }
}
