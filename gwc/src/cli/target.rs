//! Resolution of `ID|FILE`: a bundle in the store, or a one-file bundle.

use std::path::Path;

use bundle::archive;
use bundle::digest::Digest;
use bundle::refused::Refused;
use bundle::store::Store;
use bundle::store::memory::Memory;

use super::options::StoreOptions;
use super::say::Context;
use crate::release::{self, AnyStore, StoreName, links};
use model::exit::{Exit, Failure};

/// Bundle, and the store or file that contains it.
pub(super) struct Target {
    pub(super) bundle: Digest,
    kept: BundleSource,
}

enum BundleSource {
    Store(AnyStore),
    File(Memory),
}

impl Target {
    /// Finds the bundle for an argument. If a file has this name, the file takes precedence over an
    /// id. The prefix `sha256:` always selects the id.
    pub(super) fn find(
        text: &str,
        options: &StoreOptions,
        context: &Context,
    ) -> anyhow::Result<Self> {
        let path = Path::new(text);
        if path.is_file() {
            return Self::file(path);
        }
        if text.contains(['/', '.']) {
            return Err(Failure::new(
                Exit::INPUT,
                "no-such-file",
                format!("there is no file `{}`", text.escape_debug()),
            )
            .into());
        }
        let store = match (&options.store, &options.channel) {
            (Some(name), None) => StoreName::parse(name)?.open()?,
            _ => options.place(context)?.open()?,
        };
        Ok(Self {
            bundle: release::resolve_id(&store, text)?,
            kept: BundleSource::Store(store),
        })
    }

    fn file(path: &Path) -> anyhow::Result<Self> {
        let input = |why: String| {
            Failure::new(
                Exit::INPUT,
                "bad-bundle-file",
                format!("`{}`: {why}", path.display()),
            )
        };
        links::check(path)?;
        let size = std::fs::metadata(path).map_err(|error| input(error.to_string()))?;
        if size.len() > archive::ARCHIVE_BYTES_MAX {
            return Err(input("the file is too large for a bundle".to_owned()).into());
        }
        let bytes = std::fs::read(path).map_err(|error| input(error.to_string()))?;
        let memory = match archive::read(&bytes) {
            // Damaged content is a failed verification. Any other error means that the file is not
            // a bundle.
            Err(refused @ Refused::BadDigest { .. }) => return Err(refused.into()),
            Err(refused) => {
                return Err(input(format!(
                    "{refused}. gwc reads a file as a bundle unless its name ends in .yaml, .yml or .json"
                ))
                .into());
            }
            Ok(memory) => memory,
        };
        match memory.bundles()?[..] {
            [bundle] => Ok(Self {
                bundle,
                kept: BundleSource::File(memory),
            }),
            [] => Err(input("the file contains no bundle".to_owned()).into()),
            _ => Err(
                input("the file contains several bundles; open it as a store".to_owned()).into(),
            ),
        }
    }

    pub(super) fn store(&self) -> &dyn Store {
        match &self.kept {
            BundleSource::Store(store) => store,
            BundleSource::File(memory) => memory,
        }
    }
}
