//! Release settings of a project: its store, channel and trust file.
//!
//! Only the needed parts of gateway.yaml are read, and no OpenAPI documents. A rollback must work
//! even if documents or other parts of gateway.yaml are broken.

use std::path::{Component, Path, PathBuf};

use bundle::name::{ChannelName, ProjectName};
use bundle::rollout::VersionChoice;
use bundle::statement::predicate::{Guard, Step};
use bundle::store::{Chain, Store as _};
use bundle::trust::Trust;
use diag::{FileId, Sink, Span};

use model::acknowledge::Acknowledgement;
use model::compile::settings;
use model::environment::{self, Scope};
use model::exit::{Exit, Failure};
use model::freeze::FreezeWindow;
use model::settings::Settings;
use sources::project::files::Files;
use sources::project::{GATEWAY_FILE, TRUST_FILE};
use sources::syntax::Limits;

use super::stores::{AnyStore, StoreName};

/// Release settings of a project, with its folder.
#[derive(Clone, Debug)]
pub struct Place {
    /// Project folder.
    pub root: PathBuf,
    /// Project name.
    pub project: ProjectName,
    /// Name of the store.
    pub store: StoreName,
    /// Release channel of the project.
    pub channel: ChannelName,
    /// Steps of a progressive release. Empty: all gateways at once.
    pub steps: Vec<Step>,
    /// Choice of the version for a request in a step with a share of the requests.
    pub choice: VersionChoice,
    /// Guard of a progressive release. `None`: no guard.
    pub guard: Option<Guard>,
    /// Freeze windows.
    pub freeze: Vec<FreezeWindow>,
    /// Names of the enabled gates.
    pub gates: Vec<String>,
    /// Path of the acknowledgement file. `None`: gateway.yaml has no acknowledgement file.
    pub acknowledge: Option<String>,
    /// Entries of the acknowledgement file.
    pub acknowledgements: Vec<Acknowledgement>,
    /// Environment in which gateway.yaml was read. `None`: without an environment.
    pub environment: Option<String>,
}

/// Project whose release settings are read.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// Project folder.
    pub root: &'a Path,
    /// Environment in which gateway.yaml is read. `None`: without an environment.
    pub environment: Option<&'a str>,
    /// Limits on the files that are read.
    pub limits: Limits,
    /// Commit whose ignore rules apply in addition to the ignore rules of the work tree. `None`: no
    /// commit.
    pub base: Option<&'a str>,
}

impl Place {
    /// Reads the release settings from gateway.yaml. The options `store` and `channel` take
    /// precedence.
    ///
    /// # Errors
    /// Returns a usage error if the environment does not exist, and an input error if gateway.yaml
    /// lacks a needed setting.
    pub fn read(
        sought: Sought<'_>,
        store: Option<&Path>,
        channel: Option<&str>,
    ) -> anyhow::Result<Self> {
        let Sought {
            root,
            environment,
            limits,
            base,
        } = sought;
        let unreadable = |why: String| Failure::new(Exit::INPUT, "no-project", why);
        let mut files = Files::open(root, limits)
            .map_err(|error| unreadable(format!("cannot read `{}`: {error}", root.display())))?;
        if let Some(base) = base {
            files.set_base(base);
        }
        let mut sink = Sink::default();
        let loaded = files.load(GATEWAY_FILE, Span::start_of(FileId(0)), &mut sink);
        let read = match loaded {
            None => None,
            Some((_, node)) => {
                let wanted = (environment, Scope::Chosen);
                let chosen = environment::choose_in(&mut files, node, wanted, &mut sink)
                    .map_err(|unknown| Failure::usage(unknown.to_string()))?;
                settings(&mut files, &chosen.reading, &mut sink)
            }
        };
        let settings = read.ok_or_else(|| {
            unreadable(format!(
                "the project's name cannot be read from `{}` (`gwc lint` shows why)",
                root.join(GATEWAY_FILE).display()
            ))
        })?;
        Self::of(root, &settings, store, channel)
    }

    /// Creates the release settings from the settings of a compiled project.
    ///
    /// # Errors
    /// Returns an error if a name is invalid.
    pub fn of(
        root: &Path,
        settings: &Settings,
        store: Option<&Path>,
        channel: Option<&str>,
    ) -> anyhow::Result<Self> {
        let wrong = |what: &str, text: &str, why: &dyn std::fmt::Display| {
            Failure::usage(format!("`{text}` cannot name a {what}: {why}"))
        };
        let project = settings.name.value.as_str();
        let channel = channel.unwrap_or(&settings.channel);
        Ok(Self {
            root: root.to_owned(),
            project: project
                .parse()
                .map_err(|error| wrong("project", project, &error))?,
            store: store_name(root, &settings.store, store)?,
            channel: channel
                .parse()
                .map_err(|error| wrong("channel", channel, &error))?,
            steps: settings.release_steps.clone(),
            choice: settings.release_choice.clone(),
            guard: settings.release_guard.clone(),
            freeze: settings.release_freeze.clone(),
            gates: settings.gates.clone(),
            acknowledge: settings.acknowledge.as_ref().map(|file| file.value.clone()),
            acknowledgements: settings.acknowledgements.clone(),
            environment: settings.environment.clone(),
        })
    }

    /// Opens the store. Fails if it does not exist.
    ///
    /// # Errors
    /// Returns the errors of [`StoreName::open`].
    pub fn open(&self) -> anyhow::Result<AnyStore> {
        self.store.open()
    }

    /// Opens the store. `None` if it does not exist.
    ///
    /// # Errors
    /// Returns the errors of [`StoreName::open`].
    pub fn open_if_there(&self) -> anyhow::Result<Option<AnyStore>> {
        match self.store.exists() {
            true => self.open().map(Some),
            false => Ok(None),
        }
    }

    /// Returns a warning if the channel has no record but the store has other channels: the name
    /// may be mistyped, and the first record would create the channel. `None` otherwise.
    #[must_use]
    pub fn doubt(&self, store: &AnyStore) -> Option<String> {
        let channels = store.channels().ok()?;
        let channel = self.channel.as_str();
        if channels.is_empty() || channels.iter().any(|known| known == channel) {
            return None;
        }
        let known = || channels.iter().map(String::as_str);
        let near = diag::suggest::nearest(channel, known())
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        Some(format!(
            "warning: channel `{channel}` has no record yet; the store has {}{near}",
            channels.join(", ")
        ))
    }

    /// Message about a channel without a newest record: the channel has no record, or no valid
    /// record.
    #[must_use]
    pub fn without_head(&self, store: &AnyStore) -> String {
        let chain = Chain::Channel(self.channel.clone());
        match store.serials(&chain).map_or(0, |serials| serials.len()) {
            0 => format!("channel {} has no record yet", self.channel),
            lost => format!(
                "channel {}: none of its {lost} records is valid any more, because the keys that \
signed them were revoked; gateways keep serving their current version until `gwc apply` with \
another key",
                self.channel
            ),
        }
    }

    /// Opens the store. Creates it if it does not exist.
    ///
    /// # Errors
    /// Returns the errors of [`StoreName::create`].
    pub fn create(&self) -> anyhow::Result<AnyStore> {
        self.store.create()
    }
}

/// Returns the name of the store: the argument, with folders relative to the current directory.
/// Without an argument: `release.store`, which must be inside the project and without symbolic
/// links.
fn store_name(root: &Path, store: &str, argument: Option<&Path>) -> anyhow::Result<StoreName> {
    if let Some(argument) = argument {
        return StoreName::parse(argument);
    }
    if store.contains("://") {
        return Err(Failure::usage(format!(
            "`release.store: {}` must be a folder; name a registry with --store oci://HOST/REPOSITORY",
            store.escape_debug()
        ))
        .into());
    }
    let mut folder = root.to_owned();
    for part in Path::new(store).components() {
        if !matches!(part, Component::Normal(_) | Component::CurDir) {
            return Err(Failure::usage(format!(
                "`release.store: {}` lies outside the project; write a path inside it, or name the folder with --store",
                store.escape_debug()
            ))
            .into());
        }
        if is_git_folder(&part.as_os_str().to_string_lossy()) {
            return Err(Failure::usage(format!(
                "`release.store: {}` lies in a folder of Git; write another folder, or name it with --store",
                store.escape_debug()
            ))
            .into());
        }
        folder.push(part);
        if folder.is_symlink() {
            return Err(Failure::usage(format!(
                "`release.store: {}`: `{}` is a symbolic link, and gwc does not write through links; name the folder with --store",
                store.escape_debug(),
                folder.display()
            ))
            .into());
        }
    }
    Ok(StoreName::Folder(root.join(store)))
}

/// True if a file system may treat this name as `.git`. Covers other letter cases, dots and spaces
/// at the end, the short name of Windows, and characters that HFS+ ignores.
fn is_git_folder(name: &str) -> bool {
    let seen = name.chars().filter(|c| !diag::text::is_invisible(*c));
    let seen: String = seen.collect::<String>().to_ascii_lowercase();
    let seen = seen.trim_end_matches([' ', '.']);
    matches!(seen, ".git" | "git~1")
}

/// Opens the store of the command line, otherwise the store of `release.store`.
///
/// # Errors
/// Returns the errors of [`StoreName::open`].
pub fn open_store(
    root: &Path,
    settings: &Settings,
    argument: Option<&Path>,
) -> anyhow::Result<AnyStore> {
    store_name(root, &settings.store, argument)?.open()
}

/// Reads the trust file: the file of the command line, which must exist, otherwise the project's
/// file. `None` if the project has no trust file.
///
/// # Errors
/// Returns an input error if the file is missing or invalid.
pub fn trust(root: &Path, argument: Option<&Path>) -> anyhow::Result<Option<Trust>> {
    let path = argument.map_or_else(|| root.join(TRUST_FILE), Path::to_owned);
    let failed = |code: &str, why: String| {
        Failure::new(
            Exit::INPUT,
            code,
            format!("the trust file `{}`: {why}", path.display()),
        )
    };
    super::links::check(&path)?;
    match std::fs::read(&path) {
        Ok(bytes) => {
            let trust = Trust::parse(&bytes)
                .map_err(|refused| failed("bad-trust-file", refused.to_string()))?;
            Ok(Some(trust))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && argument.is_none() => {
            Ok(None)
        }
        Err(error) => Err(failed("no-trust-file", error.to_string()).into()),
    }
}
