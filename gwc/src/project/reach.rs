//! Files that sources may name: gateway.yaml, documents and overlays reach the sources of the
//! project and nothing else that lies in its folder.
//!
//! The author of a pull request chooses every name that is read, while the folder of a CI job also
//! holds private keys, tokens and build products. A source has an extension of YAML or JSON, is not
//! hidden, is tracked by Git or not ignored by it, and holds neither key material nor a bare text.
//! The command line may name any file: its user can read the file anyway.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use git2::Repository;

use super::refusal::Refusal;
use super::repository::WorkTree;
use super::revision::NoRevision;
use crate::compile::GATEWAY_FILE;

/// Extensions of sources.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Largest file that is parsed to find a private JWK in it, in bytes.
const JWK_BYTES_MAX: usize = 1 << 20;

/// Checks a path by its text. `/` separates its parts.
pub(super) fn check_name(path: &str) -> Result<(), Refusal> {
    let mut parts = path.split('/').skip_while(|part| *part == "..");
    if parts.any(|part| part.starts_with('.')) {
        return Err(Refusal::Hidden);
    }
    let extension = path.rsplit('/').next().and_then(|file| {
        let (stem, extension) = file.rsplit_once('.')?;
        (!stem.is_empty()).then_some(extension)
    });
    let is_known = |extension: &str| {
        EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    };
    match extension {
        Some(extension) if is_known(extension) => Ok(()),
        Some(_) | None => Err(Refusal::Extension),
    }
}

/// Files of a folder that Git tracks or ignores.
pub(super) struct Tracked {
    /// Paths of the index below the folder, relative to it.
    index: HashSet<PathBuf>,
    /// The folder, from the work tree's.
    inside: PathBuf,
    /// One at a time: libgit2's handles are not shared among threads.
    repository: Mutex<Repository>,
}

impl Tracked {
    /// Reads the index of the work tree that contains a folder; none without a work tree, and none
    /// for a folder that its work tree ignores, because the repository is then another project's.
    ///
    /// # Errors
    /// A repository that cannot be read: then nothing tells sources from other files.
    pub(super) fn find(folder: &Path) -> Result<Option<Self>, Refusal> {
        let tree = match WorkTree::find(folder) {
            Ok(tree) => tree,
            Err(NoRevision::NoRepository(_)) => return Ok(None),
            Err(NoRevision::Unreadable(why)) => {
                return Err(Refusal::Unreadable(format!(
                    "the Git repository cannot be read: {why}"
                )));
            }
            Err(_) => {
                return Err(Refusal::Unreadable(
                    "the Git repository cannot be read".to_owned(),
                ));
            }
        };
        let inside = tree.inside(folder).unwrap_or_default();
        let unreadable = |error: git2::Error| Refusal::Unreadable(error.message().to_owned());
        let entries = tree.repository().index().map_err(unreadable)?;
        let index: HashSet<PathBuf> = entries
            .iter()
            .filter_map(|entry| {
                let path = std::str::from_utf8(&entry.path).ok()?;
                Some(Path::new(path).strip_prefix(&inside).ok()?.to_owned())
            })
            .collect();
        drop(entries);
        let own = Path::new(GATEWAY_FILE);
        let is_ignored = tree.repository().is_path_ignored(inside.join(own));
        if !index.contains(own) && is_ignored.unwrap_or(false) {
            return Ok(None);
        }
        Ok(Some(Self {
            index,
            inside,
            repository: Mutex::new(tree.into_repository()),
        }))
    }

    /// True if the index has a path, or a submodule that contains it.
    pub(super) fn has(&self, path: &Path) -> bool {
        path.ancestors()
            .any(|path| !path.as_os_str().is_empty() && self.index.contains(path))
    }

    /// True if Git ignores a path of the folder that it does not track.
    pub(super) fn ignores(&self, path: &Path) -> bool {
        if self.has(path) {
            return false;
        }
        let repository = self
            .repository
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // What cannot be told counts as ignored.
        repository
            .is_path_ignored(self.inside.join(path))
            .unwrap_or(true)
    }
}

/// Checks the content of a file. A file that lies untracked in a work tree may hold no private key
/// anywhere; elsewhere a key inside a longer text is an example.
pub(super) fn check_content(bytes: &[u8], is_tracked: bool) -> Result<(), Refusal> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if is_key(bytes) || !is_tracked && has_private_key(bytes) {
        return Err(Refusal::Key);
    }
    Ok(())
}

/// True if the content has the form of a document: a map or a list, as far as the first line that is
/// no comment tells. Nothing of other files is kept: no text, no excerpt, no digest.
pub(super) fn check_form(bytes: &[u8]) -> Result<(), Refusal> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find_map(|line| {
        let line = match line.strip_prefix(b"---") {
            Some(rest) if rest.first().is_none_or(u8::is_ascii_whitespace) => rest.trim_ascii(),
            Some(_) | None => line,
        };
        let blank = line.is_empty() || line.starts_with(b"#") || line.starts_with(b"%");
        (!blank).then_some(line)
    });
    let Some(line) = first else {
        return Ok(());
    };
    let is_list = line == b"-" || line.starts_with(b"- ") || line.starts_with(b"-\t");
    let is_flow = matches!(line.first(), Some(b'{' | b'['));
    let is_entry = line.starts_with(b"? ")
        || line.ends_with(b":")
        || line
            .windows(2)
            .any(|pair| pair[0] == b':' && pair[1].is_ascii_whitespace());
    // A tag or an anchor may stand alone in front of what it belongs to.
    let is_decorated = matches!(line.first(), Some(b'!' | b'&')) && !line.contains(&b' ');
    if is_list || is_flow || is_entry || is_decorated {
        return Ok(());
    }
    Err(Refusal::NotADocument)
}

/// True if a file is key material: PEM, PuTTY, age, or a private JWK. No line of a YAML map begins
/// so, because texts of several lines are indented there.
fn is_key(bytes: &[u8]) -> bool {
    const STARTS: [&[u8]; 4] = [
        b"-----BEGIN ",
        b"---- BEGIN SSH2",
        b"PuTTY-User-Key-File-",
        b"AGE-SECRET-KEY-1",
    ];
    let mut lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
    let is_start = |line: &[u8]| STARTS.iter().any(|start| line.starts_with(start));
    lines.any(is_start) || is_private_jwk(bytes)
}

fn has_private_key(bytes: &[u8]) -> bool {
    const MARK: &[u8] = b"PRIVATE KEY-----";
    bytes.windows(MARK.len()).any(|window| window == MARK)
}

/// True if the root, or one of `keys`, is a JWK with its private part (RFC 7517, RFC 7518).
fn is_private_jwk(bytes: &[u8]) -> bool {
    let has_type = bytes.windows(3).any(|window| window == b"kty");
    if !has_type || bytes.len() > JWK_BYTES_MAX {
        return false;
    }
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let begins = |key: &[u8]| lines.iter().any(|line| line.starts_with(key));
    if begins(b"kty:") && (begins(b"d:") || begins(b"k:")) {
        return true;
    }
    let is_private = |key: &serde_json::Value| {
        key.get("kty").is_some() && (key.get("d").is_some() || key.get("k").is_some())
    };
    serde_json::from_slice::<serde_json::Value>(bytes).is_ok_and(|root| {
        let keys = root.get("keys").and_then(serde_json::Value::as_array);
        is_private(&root) || keys.is_some_and(|keys| keys.iter().any(is_private))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_source_is_visible_yaml_or_json() {
        for good in ["a.yaml", "b/c.YML", "b.c/d.json", "a..yaml"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for hidden in [".a.yaml", ".git/x.yaml", "a/.b/c.json", ".yaml"] {
            assert_eq!(check_name(hidden), Err(Refusal::Hidden), "{hidden}");
        }
        for other in ["a", "a.pem", "a.yaml.bak", "yaml", "a.yaml/b", ""] {
            assert_eq!(check_name(other), Err(Refusal::Extension), "{other}");
        }
    }

    #[test]
    fn key_material_in_any_form_is_refused() {
        let keys: [&[u8]; 8] = [
            b"-----BEGIN PRIVATE KEY-----\nAA\n",
            b"\xef\xbb\xbf-----BEGIN CERTIFICATE-----\r\nAA\r\n",
            b"a: 1\n-----BEGIN EC PRIVATE KEY-----\n",
            b"PuTTY-User-Key-File-3: ed25519\n",
            b"# created\nAGE-SECRET-KEY-1QQQ\n",
            br#"{"kty": "EC", "crv": "P-256", "d": "AA"}"#,
            br#"{"keys": [{"kty": "oct", "k": "AA"}]}"#,
            b"kty: EC\nd: AA\n",
        ];
        for key in keys {
            let text = String::from_utf8_lossy(key);
            assert_eq!(check_content(key, true), Err(Refusal::Key), "{text}");
        }
        let public = br#"{"keys": [{"kty": "EC", "x": "AA", "y": "AA"}]}"#;
        assert_eq!(check_content(public, false), Ok(()));
        let example = b"example: |\n  -----BEGIN PRIVATE KEY-----\n  AA\n";
        assert_eq!(check_content(example, true), Ok(()));
        assert_eq!(check_content(example, false), Err(Refusal::Key));
    }

    #[test]
    fn bare_text_is_no_document() {
        let documents: [&[u8]; 12] = [
            b"",
            b"# only a comment\n",
            b"a: 1",
            b"\xef\xbb\xbf---\n# x\n\"a\":\n  b",
            b"%YAML 1.2\n---\na: b",
            b"- a",
            b"[1]",
            b" {\"a\": 1}",
            b"--- {a: 1}",
            b"? a\n: b",
            b"!!map\na: b",
            b"&anchor\na: b",
        ];
        for document in documents {
            let text = String::from_utf8_lossy(document);
            assert_eq!(check_form(document), Ok(()), "{text}");
        }
        let others: [&[u8]; 6] = [
            b"hunter2",
            b"TOKEN=abc\n",
            b"user:secret\n",
            b"--- hunter2",
            b"\x00\x01\x02",
            b"\"hunter2\"",
        ];
        for other in others {
            let text = String::from_utf8_lossy(other);
            assert_eq!(check_form(other), Err(Refusal::NotADocument), "{text}");
        }
    }
}
