//! Stores of releases: a folder, or a repository of a registry.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bundle::digest::Digest;
use bundle::refused::Refused;
use bundle::store::folder::Folder;
use bundle::store::{Batch, Blobs, Chain, Store, WriteError, WriterGuard};
use registry::{Address, Registry, Settings};

use model::exit::Failure;

/// Settings of the connections to registries, from the command line. They apply to all stores of
/// the process.
static REGISTRIES: OnceLock<Settings> = OnceLock::new();

/// Host and port of the only registry that gets the token of the command line. Not set: the command
/// names only one registry.
static TOKEN_REGISTRY: OnceLock<Option<String>> = OnceLock::new();

/// Name of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreName {
    /// Path of a folder.
    Folder(PathBuf),
    /// Repository of a registry.
    Registry(Address),
}

/// Open store.
#[derive(Debug)]
pub enum AnyStore {
    /// Store in a folder.
    Folder(Folder),
    /// Store in a registry.
    Registry(Box<Registry>),
}

/// Sets the settings of the connections to registries.
pub fn set_registries(settings: Settings) {
    // Keep the first settings, because a process has one command line.
    let _first = REGISTRIES.set(settings);
}

/// Restricts the token of the command line to the registry at this address. A command that names
/// several registries calls this function first, because all their connections have the same
/// settings. `None`: no registry gets the token.
pub fn restrict_token(to: Option<&Address>) {
    // Keep the first registry, because a process has one command line.
    let _first = TOKEN_REGISTRY.set(to.map(Address::authority));
}

/// Settings of the connections to registries. `None` before they are set.
#[must_use]
pub fn registries() -> Option<&'static Settings> {
    REGISTRIES.get()
}

impl StoreName {
    /// Parses the name of a store on the command line.
    ///
    /// # Errors
    /// Returns a usage error if the text is a URL but not the address of a repository. Also returns
    /// this error if the folder's path contains a symbolic link inside a project or a work tree.
    pub fn parse(path: &Path) -> anyhow::Result<Self> {
        let text = path.to_string_lossy();
        if Address::is_one(&text) {
            let address = text.parse::<Address>();
            // The text may contain a password by mistake, so the message must not repeat it.
            let address = address.map_err(|why| Failure::usage(format!("--store: {why}")))?;
            return Ok(Self::Registry(address));
        }
        if text.contains("://") {
            return Err(Failure::usage(
                "--store: write a folder, or the address of a registry: oci://HOST[:PORT]/REPOSITORY",
            )
            .into());
        }
        let linked =
            |why: std::io::Error| Failure::usage(format!("--store: {why}; name the folder itself"));
        super::links::check_written(path).map_err(linked)?;
        Ok(Self::Folder(path.to_owned()))
    }

    /// Opens the store. Fails if a folder does not exist. The repository of a registry need not
    /// exist yet.
    ///
    /// # Errors
    /// Returns the errors of [`Folder::open`] and [`Registry::open`].
    pub fn open(&self) -> anyhow::Result<AnyStore> {
        Ok(match self {
            Self::Folder(folder) => AnyStore::Folder(Folder::open(folder)?),
            Self::Registry(address) => AnyStore::registry(address)?,
        })
    }

    /// Opens the store, and creates it if it does not exist.
    ///
    /// # Errors
    /// Returns the errors of [`Folder::create`] and [`Registry::open`].
    pub fn create(&self) -> anyhow::Result<AnyStore> {
        Ok(match self {
            Self::Folder(folder) => AnyStore::Folder(Folder::create(folder)?),
            Self::Registry(address) => AnyStore::registry(address)?,
        })
    }

    /// Address of the repository. `None` for a folder.
    #[must_use]
    pub const fn registry(&self) -> Option<&Address> {
        match self {
            Self::Folder(_) => None,
            Self::Registry(address) => Some(address),
        }
    }

    /// True if the store exists. A repository of a registry always counts as existing, because the
    /// first release creates it.
    #[must_use]
    pub fn exists(&self) -> bool {
        match self {
            Self::Folder(folder) => folder.join("oci-layout").exists(),
            Self::Registry(_) => true,
        }
    }
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Registry(address) => address.fmt(f),
        }
    }
}

impl AnyStore {
    fn registry(address: &Address) -> Result<Self, Refused> {
        let mut settings = REGISTRIES.get().cloned().unwrap_or_default();
        let owner = TOKEN_REGISTRY.get();
        if owner.is_some_and(|owner| owner.as_deref() != Some(&address.authority())) {
            settings.token_file = None;
        }
        let registry = Registry::open(address.clone(), &settings)?.for_command();
        Ok(Self::Registry(Box::new(registry)))
    }

    /// Name of the store.
    #[must_use]
    pub fn name(&self) -> StoreName {
        match self {
            Self::Folder(folder) => StoreName::Folder(folder.root().to_owned()),
            Self::Registry(registry) => StoreName::Registry(registry.address().clone()),
        }
    }

    fn store(&self) -> &dyn Store {
        match self {
            Self::Folder(folder) => folder,
            Self::Registry(registry) => &**registry,
        }
    }
}

impl Blobs for AnyStore {
    fn fetch(&self, digest: &Digest, bytes_max: u64) -> Result<Option<Vec<u8>>, Refused> {
        self.store().fetch(digest, bytes_max)
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>, Refused> {
        self.store().size(digest)
    }
}

impl Store for AnyStore {
    fn commit(&self, batch: &Batch<'_>) -> Result<(), WriteError> {
        self.store().commit(batch)
    }

    fn writing(&self) -> Result<WriterGuard, Refused> {
        self.store().writing()
    }

    fn refresh_index(&self) -> Result<(), Refused> {
        self.store().refresh_index()
    }

    fn serials(&self, chain: &Chain) -> Result<Vec<u64>, Refused> {
        self.store().serials(chain)
    }

    fn link(&self, chain: &Chain, serial: u64) -> Result<Option<Digest>, Refused> {
        self.store().link(chain, serial)
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Digest>, Refused> {
        self.store().referrers(subject)
    }

    fn channels(&self) -> Result<Vec<String>, Refused> {
        self.store().channels()
    }

    fn bundles(&self) -> Result<Vec<Digest>, Refused> {
        self.store().bundles()
    }
}
