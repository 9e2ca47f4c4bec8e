//! Command `gwc watch`: after each save, lints the project, compares it with the channel's bundle,
//! and lets a local gateway serve it.
//!
//! The commands `gwc lint` and `gwc plan`, each in a separate process, print findings and plan. A
//! version with errors does not reach the gateway, which keeps serving the last version without
//! errors.

mod gateway;
mod local;

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use model::exit::Exit;

use self::gateway::{Activated, GatewayOptions, LocalGateway};
use self::local::{LocalReleases, Version};
use super::build::BuiltProject;
use super::limits::LimitOptions;
use super::options::StoreOptions;
use super::progress;
use super::saves::{self, Event, Saves};
use super::say::{self, Context};

/// Arguments of `gwc watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gwc watch                                  the project of this folder
  gwc watch --env test                       in an environment
  gwc watch --listen public=127.0.0.1:0      at a free port
  gwc watch --access-log                     with a line for each request")]
pub(super) struct Args {
    #[command(flatten)]
    at: StoreOptions,
    #[command(flatten)]
    gateway: GatewayOptions,
    #[command(flatten)]
    pub(super) limits: LimitOptions,
}

impl super::Arguments for Args {
    fn limits(&self) -> Option<&LimitOptions> {
        Some(&self.limits)
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    // The commands of each round show their own progress.
    progress::end();
    let root = context.root()?;
    let program = args.gateway.program()?;
    let mut session = Session {
        args,
        context,
        root: &root,
        program: &program,
        saves: Saves::of(&root)?,
        gateway: None,
        releases: None,
        serving: None,
    };
    say::result(&format!(
        "watching {}; Ctrl-C ends",
        diag::text::printable(&root.to_string_lossy())
    ));
    session.run()
}

/// Session of `gwc watch`. The order of the fields ensures that the gateway ends before its files
/// are removed.
struct Session<'a> {
    args: &'a Args,
    context: &'a Context,
    root: &'a Path,
    program: &'a Path,
    saves: Saves,
    gateway: Option<LocalGateway>,
    releases: Option<LocalReleases>,
    /// Version that the gateway serves. `None`: no version.
    serving: Option<Version>,
}

impl Session<'_> {
    /// Runs a round after each save, until a signal ends the command.
    fn run(&mut self) -> anyhow::Result<Exit> {
        let mut is_due = true;
        loop {
            if is_due && let Some(code) = self.round()? {
                return Ok(Exit(code));
            }
            match self.saves.next()? {
                Event::Saved(saved) => {
                    self.saves.announce(&saved);
                    is_due = true;
                }
                Event::Signal(code) => return Ok(Exit(code)),
                Event::GatewayEnded => {
                    // The event may come from a gateway that this command has already replaced.
                    is_due = false;
                    if self.gateway.as_mut().is_some_and(LocalGateway::has_ended) {
                        self.gateway = None;
                        self.serving = None;
                        say::note("error: gwd ended; it starts again after the next save");
                    }
                }
            }
        }
    }

    /// Runs one round: lints, plans and serves. Returns the exit code if a signal ends the command.
    fn round(&mut self) -> anyhow::Result<Option<u8>> {
        let lint = self.command("lint")?.status()?;
        if lint.code().is_none() {
            // Ctrl-C also ends the lint process. The main loop receives the signal.
            return Ok(None);
        }
        if !lint.success() {
            self.keep("the findings above prevent a build");
            return Ok(None);
        }
        let mut plan = self.command("plan")?;
        let at = &self.args.at;
        let options = [("--store", &at.store), ("--trust", &at.trust)];
        for (option, file) in options {
            if let Some(file) = file {
                plan.arg(option).arg(file);
            }
        }
        if let Some(channel) = &at.channel {
            plan.args(["--channel", channel]);
        }
        // The plan is only information for the user, so a failed plan does not prevent serving.
        if plan.status()?.code().is_none() {
            return Ok(None);
        }
        match self.serve() {
            Ok(ended) => Ok(ended),
            Err(error) => {
                self.keep(&format!("{error:#}"));
                Ok(None)
            }
        }
    }

    /// Returns a gwc command for a round, with the options of this command for reading the project.
    fn command(&self, name: &str) -> anyhow::Result<Command> {
        let mut command = saves::again(self.context)?;
        command.arg(name).args(self.args.limits.arguments());
        Ok(command)
    }

    /// Releases the project for the local gateway, and waits until the gateway serves the release
    /// or refuses it.
    fn serve(&mut self) -> anyhow::Result<Option<u8>> {
        let built = BuiltProject::of(self.context)?;
        let place = built.place(self.root, None, self.args.at.channel.as_deref())?;
        let lowered = built.compiled.lowered.as_ref();
        let gateway = &lowered
            .context("the sources have no errors, but no gateway was built")?
            .gateway;
        let listen = self.args.gateway.listen(gateway);
        if self.releases.as_ref().is_none_or(|own| !own.is_of(&place)) {
            self.gateway = None;
            self.releases = Some(LocalReleases::create(&place)?);
        }
        let releases = self
            .releases
            .as_ref()
            .context("the releases were just made")?;
        let version = releases.publish(&built)?;
        if self.gateway.as_mut().is_none_or(|own| !own.fits(&listen)) {
            // End the old process first, because both processes use the same addresses and files.
            self.gateway = None;
            self.serving = None;
            let own = (listen, self.saves.sender());
            self.gateway = Some(self.args.gateway.start(self.program, releases, own)?);
        }
        let running = self
            .gateway
            .as_mut()
            .context("the gateway was just started")?;
        match running.activate(version, (gateway, &mut self.saves)) {
            Activated::Signal(code) => return Ok(Some(code)),
            Activated::Refused(why) => self.keep(&why),
            Activated::Serving(urls) => {
                self.serving = Some(version);
                say::result(&format!(
                    "serving at {}, version {} ({})",
                    urls.join(", "),
                    version.serial,
                    version.bundle.short()
                ));
            }
        }
        Ok(None)
    }

    /// Prints that the current sources are not served, with the reason, and the version that the
    /// gateway still serves.
    fn keep(&self, why: &str) {
        let keeps = match self.serving {
            Some(version) => format!(
                "version {} ({}) keeps serving",
                version.serial,
                version.bundle.short()
            ),
            None => "no version is served yet".to_owned(),
        };
        say::result(&format!("not served: {why}; {keeps}"));
    }
}
