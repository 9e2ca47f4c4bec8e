//! Lists of gateways that a command queries (`--nodes`): a file with one admin address per line, or
//! all addresses of a DNS name.
//!
//! A headless Service of Kubernetes has one address per pod. The names of the system's resolver
//! apply (`/etc/hosts`, search domains), as for any other program. A list is read once, when the
//! command begins.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;

use super::node::Node;
use model::exit::{Exit, Failure};

/// Maximum size of a list, in bytes.
const LIST_BYTES_MAX: u64 = 16 << 20;
/// Prefix of a list that is a DNS name.
const DNS: &str = "dns:";

/// Reads a list: `dns:NAME:PORT`, otherwise a file. Each address occurs once.
///
/// # Errors
/// Returns a usage error if the list or one of its addresses has a wrong form, or if the list is
/// empty; an input error if the file cannot be read; and exit code 69 if the name has no address.
pub(super) fn read(list: &str) -> anyhow::Result<Vec<Node>> {
    match list.strip_prefix(DNS) {
        Some(name) => resolve(list, name),
        None => {
            let text = read_file(Path::new(list))?;
            parse(list, &text)
        }
    }
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    let unreadable = |why: String| {
        let message = format!("the list of gateways `{}`: {why}", path.display());
        Failure::new(Exit::INPUT, "no-node-list", message)
    };
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut text = String::new();
    let read = file.take(LIST_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > LIST_BYTES_MAX {
        let mebibytes = LIST_BYTES_MAX >> 20;
        return Err(unreadable(format!("it is larger than {mebibytes} MiB")).into());
    }
    Ok(text)
}

/// Parses the text of a file: one address per line. `#` begins a comment, at the beginning of a line
/// or after white space.
fn parse(list: &str, text: &str) -> anyhow::Result<Vec<Node>> {
    let mut known = BTreeSet::new();
    let mut nodes = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let address = without_comment(line).trim();
        if address.is_empty() || !known.insert(address) {
            continue;
        }
        let place = format!("`{list}` line {}: `{address}`", at + 1);
        nodes.push(Node::parse_at(address, &place)?);
    }
    match nodes.is_empty() {
        true => Err(Failure::usage(format!("--nodes {list}: the list has no gateway")).into()),
        false => Ok(nodes),
    }
}

fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if c == '#' && before.is_whitespace() {
            return &line[..at];
        }
        before = c;
    }
    line
}

/// Resolves `NAME:PORT` to all addresses of the name.
fn resolve(list: &str, name: &str) -> anyhow::Result<Vec<Node>> {
    let is_complete = name.rsplit_once(':').is_some_and(|(host, port)| {
        let has_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        let host = host.trim_matches(['[', ']']);
        has_port && !host.is_empty() && !host.contains(['/', '@'])
    });
    if !is_complete {
        return Err(Failure::usage(format!("--nodes {list}: write dns:NAME:PORT")).into());
    }
    let unknown = |why: String| {
        let message = format!("--nodes {list}: {why}");
        Failure::new(Exit::UNREACHABLE, "node-unreachable", message)
    };
    let found = name.to_socket_addrs();
    let found = found.map_err(|error| unknown(format!("the name has no address: {error}")))?;
    let addresses: BTreeSet<SocketAddr> = found.collect();
    if addresses.is_empty() {
        return Err(unknown("the name has no address".to_owned()).into());
    }
    let nodes = addresses.iter().map(|address| {
        let address = address.to_string();
        Node::parse_at(&address, &format!("`{list}`: `{address}`"))
    });
    nodes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let nodes = parse("list", text).unwrap().into_iter();
        nodes.map(|node| node.name).collect()
    }

    #[test]
    fn comments_and_repeated_addresses_are_skipped() {
        let text = "# rack 7\n\n http://10.0.0.5:9901  # first\r\nunix:/run/a#b.sock\n10.0.0.6:9901\t#\n\
                    10.0.0.6:9901\n";
        let expected = [
            "http://10.0.0.5:9901",
            "unix:/run/a#b.sock",
            "10.0.0.6:9901",
        ];
        assert_eq!(names(text), expected);
    }

    #[test]
    fn wrong_lists_name_the_list_and_the_line() {
        for (text, expected) in [
            (
                "10.0.0.5:9901\nhttps://a:1\n",
                "`list` line 2: `https://a:1`",
            ),
            ("gateway\n", "`list` line 1: `gateway`: the port is missing"),
            ("# nothing\n\n", "the list has no gateway"),
        ] {
            let error = parse("list", text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        for bad in [
            "", ":", "a", "a:", "a:0", ":80", "a:70000", "a/b:80", "u@a:80",
        ] {
            let error = resolve("dns:x", bad).unwrap_err().to_string();
            assert!(error.contains("write dns:NAME:PORT"), "{bad}: {error}");
        }
    }

    #[test]
    fn address_of_either_family_is_a_gateway() {
        for (name, expected) in [("127.0.0.1:99", "127.0.0.1:99"), ("[::1]:99", "[::1]:99")] {
            let nodes = resolve("dns:x", name).unwrap();
            let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
            assert_eq!(names, [expected]);
        }
    }
}
