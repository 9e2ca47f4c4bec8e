//! File URIs (RFC 8089) and paths.

use std::path::{Component, Path, PathBuf};

use lsp_types::Uri;
use sources::project::files::percent_decoded;

/// Path of a `file:` URI. `None` for other URIs, and for a host other than `localhost`.
pub(crate) fn path_of(uri: &Uri) -> Option<PathBuf> {
    let rest = uri.as_str().strip_prefix("file://")?;
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    let path = rest.split(['?', '#']).next()?;
    let path = path.starts_with('/').then(|| percent_decoded(path))??;
    Some(normal(Path::new(&path)))
}

/// `file:` URI of an absolute path.
pub(crate) fn uri_of(path: &Path) -> Option<Uri> {
    let mut text = "file://".to_owned();
    for byte in path.to_str()?.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text.parse().ok()
}

/// Path without `.` and `..` segments. Symbolic links are not resolved, because clients name files
/// by the paths under which the user opened them.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            Component::RootDir | Component::Prefix(_) | Component::Normal(_) => {
                normal.push(component);
            }
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_and_paths_are_converted() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        let path = PathBuf::from("/a b/ä%.yaml");
        let written = uri_of(&path).unwrap();
        assert_eq!(written.as_str(), "file:///a%20b/%C3%A4%25.yaml");
        assert_eq!(path_of(&written), Some(path));
        let other = path_of(&uri("file://localhost/a/./b/../c"));
        assert_eq!(other, Some("/a/c".into()));
        for not_local in ["untitled:one", "file://host/a", "https://h/a"] {
            assert_eq!(path_of(&uri(not_local)), None, "{not_local}");
        }
    }
}
