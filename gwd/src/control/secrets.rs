//! Values of secret references, within what the operator allows (release.md §8).
//!
//! A cell belongs to a reference, not to a snapshot: a rotated value reaches every version, a
//! rollback changes references and never values. Where a source vanishes the last value stays.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Weak};

use policy::{SecretCell, SecretRef, SecretUnavailable, Secrets};
use serde_json::json;

use crate::telemetry::program::{Level, event};

/// Largest secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Where secrets may come from, and the cells that are in use.
#[derive(Debug)]
pub(crate) struct Registry {
    folder: PathBuf,
    env_prefix: String,
    cells: RefCell<BTreeMap<SecretRef, Weak<SecretCell>>>,
}

enum Unavailable {
    NotAllowed,
    Missing,
}

impl Registry {
    pub(crate) fn new(folder: PathBuf, env_prefix: String) -> Self {
        Self {
            folder,
            env_prefix,
            cells: RefCell::default(),
        }
    }

    /// Reads every source again; values that changed reach all versions at once.
    pub(crate) fn refresh(&self) {
        self.cells
            .borrow_mut()
            .retain(|_, cell| cell.strong_count() > 0);
        for (reference, cell) in &*self.cells.borrow() {
            let Some(cell) = cell.upgrade() else { continue };
            match self.read(reference) {
                Ok(value) if value != *cell.value() => {
                    cell.store(value);
                    event(
                        Level::Info,
                        "a secret was exchanged",
                        json!({"reference": reference.to_string()}),
                    );
                }
                Ok(_) => {}
                Err(_) => event(
                    Level::Warn,
                    "a secret cannot be read any more; its last value is used",
                    json!({"reference": reference.to_string()}),
                ),
            }
        }
    }

    fn read(&self, reference: &SecretRef) -> Result<Vec<u8>, Unavailable> {
        match reference {
            SecretRef::Env(name) => {
                if self.env_prefix.is_empty() || !name.starts_with(&self.env_prefix) {
                    return Err(Unavailable::NotAllowed);
                }
                let value = std::env::var_os(name).ok_or(Unavailable::Missing)?;
                Ok(value.into_encoded_bytes())
            }
            SecretRef::File(path) => self.read_file(Path::new(path)),
        }
    }

    /// A file in the folder; symbolic links may lead about in it (a mounted volume's `..data`)
    /// and not out of it.
    fn read_file(&self, path: &Path) -> Result<Vec<u8>, Unavailable> {
        let plain = path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !plain || !path.starts_with(&self.folder) {
            return Err(Unavailable::NotAllowed);
        }
        let real = path.canonicalize().map_err(|_| Unavailable::Missing)?;
        let folder = self
            .folder
            .canonicalize()
            .map_err(|_| Unavailable::Missing)?;
        if !real.starts_with(&folder) {
            return Err(Unavailable::NotAllowed);
        }
        let size = std::fs::metadata(&real).map_err(|_| Unavailable::Missing)?;
        if size.len() > SECRET_BYTES_MAX {
            return Err(Unavailable::NotAllowed);
        }
        let mut value = std::fs::read(&real).map_err(|_| Unavailable::Missing)?;
        // Editors and `echo` end files with a line feed that is no part of the secret.
        while value
            .last()
            .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
        {
            value.pop();
        }
        Ok(value)
    }
}

impl Secrets for Registry {
    fn cell(&self, reference: &SecretRef) -> Result<Arc<SecretCell>, SecretUnavailable> {
        let known = self.cells.borrow().get(reference).and_then(Weak::upgrade);
        if let Some(cell) = known {
            return Ok(cell);
        }
        let value = self.read(reference).map_err(|why| SecretUnavailable {
            reference: reference.clone(),
            reason: match why {
                Unavailable::NotAllowed => "secret-not-allowed",
                Unavailable::Missing => "secret-missing",
            },
        })?;
        let cell = SecretCell::new(value);
        self.cells
            .borrow_mut()
            .insert(reference.clone(), Arc::downgrade(&cell));
        Ok(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_operator_allows_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::write(root.join("token"), "hunter2\n").unwrap();
        std::fs::write(outside.path().join("x"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path().join("x"), root.join("out")).unwrap();
        std::os::unix::fs::symlink(root.join("token"), root.join("in")).unwrap();
        let secrets = Registry::new(root.clone(), "GWS_".into());
        let reason = |reference: SecretRef| match secrets.cell(&reference) {
            Ok(cell) => String::from_utf8(cell.value().to_vec()).unwrap(),
            Err(unavailable) => unavailable.reason.to_owned(),
        };
        let file = |path: String| SecretRef::File(path);
        let root = root.display();
        assert_eq!(reason(file(format!("{root}/token"))), "hunter2");
        assert_eq!(reason(file(format!("{root}/in"))), "hunter2");
        assert_eq!(reason(file(format!("{root}/out"))), "secret-not-allowed");
        assert_eq!(reason(file(format!("{root}/../x"))), "secret-not-allowed");
        assert_eq!(reason(file("/etc/passwd".into())), "secret-not-allowed");
        assert_eq!(reason(file(format!("{root}/none"))), "secret-missing");
        assert_eq!(reason(SecretRef::Env("PATH".into())), "secret-not-allowed");
        assert_eq!(reason(SecretRef::Env("GWS_NONE".into())), "secret-missing");
    }

    #[test]
    fn a_rotated_value_reaches_who_holds_the_cell_and_a_vanished_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let path = root.join("token");
        std::fs::write(&path, "one").unwrap();
        let secrets = Registry::new(root, String::new());
        let reference = SecretRef::File(path.display().to_string());
        let cell = secrets.cell(&reference).unwrap();
        std::fs::write(&path, "two").unwrap();
        secrets.refresh();
        assert_eq!(*cell.value(), b"two");
        std::fs::remove_file(&path).unwrap();
        secrets.refresh();
        assert_eq!(*cell.value(), b"two");
        assert!(secrets.cell(&reference).is_ok(), "a rollback can bind it");
    }
}
