//! Corrections of typical mistakes in references: a pointer without `#`, a bare component name, or
//! a Windows path.

use diag::NodeRef;

/// Beginnings of JSON pointers into a document. A reference that begins with one of them lacks
/// `#/`.
const ROOTS: [&str; 4] = ["components/", "paths/", "webhooks/", "definitions/"];

/// Returns the correction of a reference that names no file. `None` if the mistake is not
/// recognised.
pub(super) fn correction(written: &str, root: NodeRef<'_>) -> Option<String> {
    if let Some(path) = windows_path(written) {
        return Some(format!(
            "write a path relative to this file, with `/`: `{path}`"
        ));
    }
    let pointer = written.trim_start_matches('#').trim_start_matches('/');
    if ROOTS.iter().any(|root| pointer.starts_with(root)) {
        return Some(format!(
            "a reference within this file begins with `#/`: write `#/{pointer}`"
        ));
    }
    let is_name = !written.contains(['/', '.', '#', ':']);
    let (section, _) = root
        .get("components")
        .filter(|_| is_name)?
        .entries()
        .map(|(entry, section)| (entry.key.to_string(), section))
        .find(|(_, section)| section.get(written).is_some())?;
    Some(format!(
        "a component is referenced by its location: write `#/components/{section}/{written}`"
    ))
}

/// Converts a path with `\` or a drive letter into a relative path with `/`. `None` for other
/// paths.
fn windows_path(written: &str) -> Option<String> {
    let behind_drive = match written.as_bytes() {
        [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic() => &written[3..],
        _ if written.contains('\\') => written,
        _ => return None,
    };
    Some(behind_drive.replace('\\', "/"))
}

#[cfg(test)]
mod tests {
    use super::windows_path;

    #[test]
    fn windows_paths_become_relative_ones() {
        for (written, path) in [
            ("C:\\pets\\pet.yaml", Some("pets/pet.yaml")),
            ("c:/pets/pet.yaml", Some("pets/pet.yaml")),
            (".\\pet.yaml#/Pet", Some("./pet.yaml#/Pet")),
            ("./pet.yaml", None),
            ("https://h/pet.yaml", None),
        ] {
            assert_eq!(windows_path(written).as_deref(), path, "{written}");
        }
    }
}
