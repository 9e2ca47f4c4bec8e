//! Command `gwc watch`: after each save, lints the project, plans it against the channel, and lets
//! a local gateway serve it.
//!
//! Findings and the plan come from the commands `gwc lint` and `gwc plan`, each in a process of its
//! own. A version with errors does not reach the gateway, which keeps serving the last good one.

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
    // The rounds show their own progress.
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

/// Session of the command. The gateway is dropped, and so ended, before its files are removed.
struct Session<'a> {
    args: &'a Args,
    context: &'a Context,
    root: &'a Path,
    program: &'a Path,
    saves: Saves,
    gateway: Option<LocalGateway>,
    releases: Option<LocalReleases>,
    /// Version that the gateway serves. `None`: it serves none.
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
                    // A gateway that this command replaced ends, too.
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

    /// Lints, plans and serves. Returns the exit code if a signal ends the command.
    fn round(&mut self) -> anyhow::Result<Option<u8>> {
        let lint = self.command("lint")?.status()?;
        if lint.code().is_none() {
            // Ctrl-C ends the command of a round, too. The loop reads the signal.
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
        // The plan is only information for the user: a tripped gate or an unreachable store does
        // not prevent serving.
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

    /// Command of a round, with this command's options for reading the project.
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
            // The old process ends first, because both use the same addresses and files.
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

    /// Reports that these sources are not served, with the reason, and which version the gateway
    /// still serves.
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
