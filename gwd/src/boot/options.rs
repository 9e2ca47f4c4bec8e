//! Command-line options. Each option is also a `GWD_…` environment variable and a key of the
//! `--config` file. Precedence: command line, environment, file, default.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use super::client_options::{ClientOptions, TailOptions};
use super::examples::{CHECK_EXAMPLES, CLI_EXAMPLES, CLIENT_EXAMPLES, RUN_EXAMPLES, TAIL_EXAMPLES};
use super::values::{Format, OptionsError, duration, interface, read_text};
use super::{access_log, bounds, otlp, registry};
use crate::admin::Interface;
use crate::control::{Plan, RegistryPlan};
use crate::node::{AccessLog, Signal};
use crate::runtime::log_format::LogFormat;

/// Default state folder.
const STATE: &str = "/var/lib/gwd";
/// Maximum length of the name of a node, in bytes.
const NODE_NAME_MAX: usize = 255;

/// gwd runs signed bundles: it verifies a bundle, builds everything that the bundle needs, and
/// switches to it without a dropped connection.
#[derive(Debug, Parser)]
#[command(name = "gwd", version, max_term_width = 100, after_help = CLI_EXAMPLES)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Follow a channel and serve its bundle.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunOptions),
    /// Verify and build the bundle of the channel's newest record, and print what it would serve;
    /// bind no address. A hold of the node is ignored.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckOptions),
    /// Show the bundle that a running gwd serves, and the state of its registry, upstreams, key
    /// sets and stores.
    #[command(after_help = CLIENT_EXAMPLES)]
    Status(ClientOptions),
    /// List the bundles of a running gwd.
    #[command(after_help = "Examples:
  gwd versions --admin unix:/run/gwd/admin.sock
  gwd versions --format json --admin-token-file token")]
    Versions(ClientOptions),
    /// Roll back one node, independent of the channel; the node is held until the channel moves to
    /// another bundle.
    #[command(after_help = "Examples:
  gwd rollback --admin unix:/run/gwd/admin.sock             to the previous bundle
  gwd rollback -1 --admin-token-file token                  the same, over TCP
  gwd rollback sha256:… --sticky --admin-token-file token   and stay there until `gwd resume`")]
    Rollback {
        /// Bundle on this node (its id, or at least its first four digits), or `-1` for the bundle
        /// before the running one: `previous` of `gwd status`. Another rollback goes further back,
        /// never forward.
        #[arg(value_name = "ID|-1", default_value = "-1", allow_hyphen_values = true)]
        to: String,
        /// Hold until `gwd resume`, even if the channel moves to another bundle.
        #[arg(long)]
        sticky: bool,
        /// Reason, kept in the node's audit line.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Run a bundle on this node that is verified and not revoked; the node is held as by `gwd
    /// rollback`.
    #[command(after_help = "Examples:
  gwd versions --admin unix:/run/gwd/admin.sock             list the versions
  gwd activate 3f9c02 --reason 'paged: 5xx' --admin unix:/run/gwd/admin.sock")]
    Activate {
        /// The bundle's id, as `gwd versions` prints it, or at least its first four digits.
        id: String,
        /// Hold until `gwd resume`, even if the channel moves to another bundle.
        #[arg(long)]
        sticky: bool,
        /// Reason, kept in the node's audit line.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Limit the validation of requests on this node until the next bundle, for instance while it
    /// refuses valid requests.
    #[command(after_help = "Examples:
  gwd validation log --reason 'false alarms' --admin unix:/run/gwd/admin.sock    refuse no requests
  gwd validation restore --admin unix:/run/gwd/admin.sock                         validate as the bundle says")]
    Validation {
        /// `log`: findings are only logged; `off`: nothing is checked; `restore`: the modes of the
        /// bundle apply again.
        #[arg(value_parser = ["off", "log", "restore"])]
        mode: String,
        /// Reason, kept in the node's audit line and status.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Show the requests of a running gwd in the terminal as they end, whether or not the access
    /// log is on.
    #[command(after_help = TAIL_EXAMPLES)]
    Tail(TailOptions),
    /// End a hold and follow the channel again.
    #[command(after_help = "Example:
  gwd resume --admin unix:/run/gwd/admin.sock")]
    Resume(ClientOptions),
    /// Let a running gwd finish its work and end.
    #[command(after_help = "Example:
  gwd drain --admin unix:/run/gwd/admin.sock")]
    Drain(ClientOptions),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:
  gwd completions bash > /etc/bash_completion.d/gwd")]
    Completions {
        /// Name of the shell.
        shell: clap_complete::Shell,
    },
    /// Print or write manual pages.
    #[command(after_help = "Examples:
  gwd man > gwd.1
  gwd man run | man -l -
  gwd man --folder ~/.local/share/man/man1")]
    Man {
        /// Command whose page is printed [default: the page of gwd].
        #[arg(conflicts_with = "folder")]
        command: Option<String>,
        /// Write the pages of gwd and of all its commands into this folder.
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
    },
}

/// Options of `gwd run` and `gwd check`.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RunOptions {
    /// Read options from a TOML file. Its keys have the names of the options.
    #[arg(long, env = "GWD_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub(super) config: Option<PathBuf>,
    /// Store of bundles: a folder (an OCI image layout), or a repository of a registry. Required.
    #[arg(long, env = "GWD_STORE", value_name = "DIR|oci://HOST/REPOSITORY")]
    store: Option<String>,
    /// Registry with a copy of the repository, used while the registry of --store cannot be
    /// reached; may be given several times, in the order of use.
    #[arg(
        long,
        env = "GWD_REGISTRY_FALLBACK",
        value_name = "oci://HOST/REPOSITORY",
        value_delimiter = ','
    )]
    #[serde(default)]
    registry_fallback: Vec<String>,
    /// Interval at which a registry is asked for changes. [default: 15s]
    #[arg(long, env = "GWD_REGISTRY_POLL", value_name = "DURATION")]
    registry_poll: Option<String>,
    /// Folder with docker's config.json, for credentials of the registry. [default: $DOCKER_CONFIG
    /// or ~/.docker]
    #[arg(long, env = "GWD_REGISTRY_CONFIG", value_name = "DIR")]
    registry_config: Option<PathBuf>,
    /// File with a token for the registry, instead of docker's credentials.
    #[arg(long, env = "GWD_REGISTRY_TOKEN_FILE", value_name = "FILE")]
    registry_token_file: Option<PathBuf>,
    /// File with CA certificates in PEM for the registry, instead of the system's.
    #[arg(long, env = "GWD_REGISTRY_CA_FILE", value_name = "FILE")]
    registry_ca_file: Option<PathBuf>,
    /// Use HTTP instead of HTTPS for the registry.
    #[arg(long, env = "GWD_REGISTRY_PLAIN_HTTP", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    registry_plain_http: Option<bool>,
    /// The channel to follow. [default: prod]
    #[arg(long, env = "GWD_CHANNEL", value_name = "NAME")]
    channel: Option<String>,
    /// Trust file. Required.
    #[arg(long, env = "GWD_TRUST", value_name = "FILE")]
    trust: Option<PathBuf>,
    /// State folder: the last good bundles and the highest serial seen. One process per folder.
    /// [default: /var/lib/gwd]
    #[arg(long, env = "GWD_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
    /// The admin interface: an address, or `unix:PATH`. [default: 127.0.0.1:9901]
    #[arg(long, env = "GWD_ADMIN", value_name = "ADDR|unix:PATH")]
    admin: Option<String>,
    /// File with the token that `/v1/` requires over TCP; without it, `/v1/` needs a unix socket.
    #[arg(long, env = "GWD_ADMIN_TOKEN_FILE", value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// Host name that the admin interface accepts over TCP, beside IP addresses and `localhost`.
    /// Requests with the admin token may use any name.
    #[arg(
        long,
        env = "GWD_ADMIN_HOST",
        value_name = "NAME",
        value_delimiter = ','
    )]
    #[serde(default)]
    admin_host: Vec<String>,
    /// Listen on another address than the bundle's.
    #[arg(
        long,
        env = "GWD_LISTEN",
        value_name = "NAME=ADDR",
        value_delimiter = ','
    )]
    #[serde(default)]
    listen: Vec<String>,
    /// Worker threads. [default: one per core]
    #[arg(long, env = "GWD_WORKERS", value_name = "N")]
    workers: Option<usize>,
    /// Versions kept in memory, ready to switch to. [default: 5]
    #[arg(long, env = "GWD_KEEP", value_name = "N")]
    keep: Option<usize>,
    /// Folder from which `${file:…}` references may read. [default: /run/secrets]
    #[arg(long, env = "GWD_SECRET_DIR", value_name = "DIR")]
    secret_dir: Option<PathBuf>,
    /// Prefix of the variables that `${env:…}` references may read. [default: GWS_]
    #[arg(long, env = "GWD_SECRET_ENV_PREFIX", value_name = "PREFIX")]
    secret_env_prefix: Option<String>,
    /// Destination of the access log, one line per request. [default: off]
    #[arg(long, env = "GWD_ACCESS_LOG", value_name = "off|stdout|FILE")]
    pub(super) access_log: Option<String>,
    /// Size of the access log's file, such as 100MiB, at which it is moved to FILE.1, FILE.1 to
    /// FILE.2, and so on. [default: no limit; gwd notices if another program moves the file]
    #[arg(long, env = "GWD_ACCESS_LOG_SIZE", value_name = "SIZE")]
    pub(super) access_log_size: Option<String>,
    /// Number of access log files to keep beside the current one. [default: 5]
    #[arg(long, env = "GWD_ACCESS_LOG_KEEP", value_name = "N")]
    pub(super) access_log_keep: Option<u32>,
    /// Share of the requests that the access log shows, from 0 to 1, without errors, refusals, slow
    /// requests and sampled traces, which it always shows. `gwd tail` shows all requests.
    /// [default: 1]
    #[arg(long, env = "GWD_ACCESS_LOG_SAMPLE", value_name = "RATIO")]
    pub(super) access_log_sample: Option<f64>,
    /// Duration from which `--access-log-sample` always shows a request. [default: 1s]
    #[arg(long, env = "GWD_ACCESS_LOG_SLOW", value_name = "DURATION")]
    pub(super) access_log_slow: Option<String>,
    /// Collector that gets telemetry by OTLP over HTTP, such as `http://localhost:4318`.
    /// [default: $OTEL_EXPORTER_OTLP_ENDPOINT, otherwise none]
    #[arg(long, env = "GWD_OTLP", value_name = "URL")]
    otlp: Option<String>,
    /// Telemetry that the collector gets. [default: traces]
    #[arg(
        long,
        env = "GWD_OTLP_SIGNALS",
        value_name = "SIGNAL",
        value_enum,
        value_delimiter = ','
    )]
    #[serde(default)]
    otlp_signals: Vec<Signal>,
    /// Share of the requests without a parent whose trace is sampled, from 0 to 1. The parent
    /// decides about others. [default: 0.01]
    #[arg(long, env = "GWD_TRACE_RATIO", value_name = "RATIO")]
    trace_ratio: Option<f64>,
    /// Lowest level of events in the program log. [default: info]
    #[arg(long, env = "GWD_LOG_LEVEL", value_enum)]
    log_level: Option<LogLevel>,
    /// Format of the program log. [default: human on a terminal, otherwise json]
    #[arg(long, env = "GWD_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// This node's name in logs and status. [default: the host's]
    #[arg(long, env = "GWD_NODE", value_name = "NAME")]
    node: Option<String>,
    /// The zone that this node runs in: an upstream's targets with this `zone` come first.
    #[arg(long, env = "GWD_ZONE", value_name = "NAME")]
    zone: Option<String>,
    /// Name servers for the hosts of upstreams; without a port, port 53. [default: those of
    /// /etc/resolv.conf]
    #[arg(
        long,
        env = "GWD_NAME_SERVER",
        value_name = "ADDR",
        value_delimiter = ','
    )]
    #[serde(default)]
    name_server: Vec<String>,
    /// Time after a signal in which connections are still accepted while `/readyz` fails.
    /// [default: 5s]
    #[arg(long, env = "GWD_PRE_STOP", value_name = "DURATION")]
    pre_stop: Option<String>,
    /// Time for requests to finish, after the time of `--pre-stop`. [default: 20s]
    #[arg(long, env = "GWD_DRAIN_TIMEOUT", value_name = "DURATION")]
    drain_timeout: Option<String>,
    /// Time that a WebSocket has after Close 1001, when gwd stops. [default: 5s]
    #[arg(long, env = "GWD_WEBSOCKET_DRAIN", value_name = "DURATION")]
    websocket_drain: Option<String>,
    /// Replace the gwd that uses this state folder, without dropping a connection: take over its
    /// listening sockets, its admin interface and the folder's lock. The old gwd ends when its own
    /// connections have ended. If no gwd runs, start as usual.
    #[arg(long, env = "GWD_TAKE_OVER", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    take_over: Option<bool>,
    /// Maximum client connections, over all listeners; more get 503. [default: three quarters of
    /// the file descriptors; fewer if memory is bounded]
    #[arg(long, env = "GWD_CONNECTIONS", value_name = "N")]
    pub(super) connections: Option<u64>,
    /// Maximum connections of one client address, or one IPv6 /64; more get 503. Peers in
    /// `trusted_proxies` are not bounded. [default: a quarter of --connections, at most one per
    /// 384KiB of --memory and 2500]
    #[arg(long, env = "GWD_CONNECTIONS_PER_ADDRESS", value_name = "N")]
    pub(super) connections_per_address: Option<u32>,
    /// Maximum requests in flight; more get 503. WebSockets do not count. [default: one per 64 KiB
    /// of memory if memory is bounded, else unlimited]
    #[arg(long, env = "GWD_REQUESTS", value_name = "N")]
    pub(super) requests: Option<u64>,
    /// Memory that the process may use: above 80 % it reads no new requests, above 95 % it
    /// answers 503. [default: the control group's limit]
    #[arg(long, env = "GWD_MEMORY", value_name = "SIZE")]
    pub(super) memory: Option<String>,
    /// INSECURE: run unsigned bundles. Anyone who can write to the store controls this gateway.
    #[arg(long, env = "GWD_INSECURE_ALLOW_UNSIGNED", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    insecure_allow_unsigned: Option<bool>,
}

/// Options of `gwd check`.
#[derive(Args, Clone, Debug)]
pub(super) struct CheckOptions {
    #[command(flatten)]
    pub(super) options: RunOptions,
    /// Output format.
    #[arg(long, value_enum, default_value = "human")]
    pub(super) format: Format,
}

/// Levels of the program log.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

/// Options with every default filled in.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    /// Folder of the store, or of the copy of a registry.
    pub(super) store: PathBuf,
    pub(super) registry: Option<RegistryPlan>,
    pub(super) channel: String,
    pub(super) trust: Option<PathBuf>,
    pub(super) state: PathBuf,
    pub(super) admin: Interface,
    pub(super) admin_token_file: Option<PathBuf>,
    pub(super) admin_hosts: Vec<String>,
    pub(super) listen: BTreeMap<String, SocketAddr>,
    pub(super) workers: usize,
    pub(super) keep: usize,
    pub(super) secret_dir: PathBuf,
    pub(super) secret_env_prefix: String,
    pub(super) access_log: AccessLog,
    pub(super) access_log_sampling: Option<crate::node::LogSampling>,
    pub(super) exports: otlp::Exports,
    pub(super) log_level: LogLevel,
    pub(super) log_format: LogFormat,
    pub(super) node: String,
    pub(super) zone: Option<String>,
    pub(super) name_servers: Vec<SocketAddr>,
    pub(super) pre_stop: std::time::Duration,
    pub(super) drain_timeout: std::time::Duration,
    pub(super) websocket_drain: std::time::Duration,
    pub(super) take_over: bool,
    pub(super) bounds: crate::node::Bounds,
    pub(super) insecure_allow_unsigned: bool,
}

/// Folders and registry of a node.
struct Places {
    store: PathBuf,
    registry: Option<RegistryPlan>,
    state: PathBuf,
}

impl RunOptions {
    /// Adds the values of the configuration file for options that are not set, then the defaults.
    ///
    /// # Errors
    /// See [`OptionsError`].
    pub(super) fn resolve(&self) -> Result<Resolved, OptionsError> {
        let file = match &self.config {
            Some(path) => {
                read_config(path).map_err(|error| OptionsError::Input(format!("{error:#}")))?
            }
            None => Self::default(),
        };
        self.merged(file)
            .map_err(|error| OptionsError::Usage(format!("{error:#}")))
    }

    fn merged(&self, file: Self) -> anyhow::Result<Resolved> {
        let access_log = access_log::of(self, &file)?;
        let bounds = bounds::of(self, &file)?;
        let node = node_name(self.node.clone().or(file.node.clone()))?;
        let exports = self.exports(&file, &node)?;
        let has_log = access_log != AccessLog::Off || exports.logs.is_some();
        let access_log_sampling = access_log::sampling(self, &file, has_log)?;
        let places = self.places(&file)?;
        let ours = self.clone();
        let either = |ours: Vec<String>, file: Vec<String>| match ours.is_empty() {
            true => file,
            false => ours,
        };
        let listen = either(ours.listen, file.listen);
        let name_server = either(ours.name_server, file.name_server);
        let admin_hosts = either(ours.admin_host, file.admin_host);
        let admin = ours.admin.or(file.admin);
        let channel = ours.channel.or(file.channel);
        let websocket_drain = ours.websocket_drain.or(file.websocket_drain);
        let workers = ours.workers.or(file.workers);
        if workers == Some(0) {
            bail!("--workers: at least 1");
        }
        Ok(Resolved {
            store: places.store,
            registry: places.registry,
            channel: channel.unwrap_or_else(|| "prod".into()),
            trust: ours.trust.or(file.trust),
            state: places.state,
            admin: interface(admin.as_deref())?,
            admin_token_file: ours.admin_token_file.or(file.admin_token_file),
            admin_hosts,
            listen: listen
                .iter()
                .map(|text| override_of(text))
                .collect::<Result<_, _>>()?,
            workers: workers.unwrap_or_else(cores),
            keep: ours.keep.or(file.keep).unwrap_or(5).max(1),
            secret_dir: ours
                .secret_dir
                .or(file.secret_dir)
                .unwrap_or_else(|| "/run/secrets".into()),
            secret_env_prefix: ours
                .secret_env_prefix
                .or(file.secret_env_prefix)
                .unwrap_or_else(|| "GWS_".into()),
            access_log,
            access_log_sampling,
            exports,
            log_level: ours.log_level.or(file.log_level).unwrap_or(LogLevel::Info),
            log_format: ours
                .log_format
                .or(file.log_format)
                .unwrap_or_else(LogFormat::of_stderr),
            node,
            zone: ours.zone.or(file.zone),
            name_servers: name_server
                .iter()
                .map(|text| server(text))
                .collect::<Result<_, _>>()?,
            pre_stop: duration("--pre-stop", ours.pre_stop.or(file.pre_stop), 5)?,
            drain_timeout: duration(
                "--drain-timeout",
                ours.drain_timeout.or(file.drain_timeout),
                20,
            )?,
            websocket_drain: duration("--websocket-drain", websocket_drain, 5)?,
            take_over: ours.take_over.or(file.take_over).unwrap_or(false),
            bounds,
            insecure_allow_unsigned: ours
                .insecure_allow_unsigned
                .or(file.insecure_allow_unsigned)
                .unwrap_or(false),
        })
    }
}

impl RunOptions {
    /// Settings of the export by OTLP. Options that are not set come from the options file `file`.
    fn exports(&self, file: &Self, node: &str) -> anyhow::Result<otlp::Exports> {
        let signals = match self.otlp_signals.is_empty() {
            true => &file.otlp_signals,
            false => &self.otlp_signals,
        };
        otlp::of(&otlp::Given {
            signals: signals.clone(),
            url: self.otlp.clone().or(file.otlp.clone()),
            ratio: self.trace_ratio.or(file.trace_ratio),
            node,
        })
    }

    /// Store and state folder. Options that are not set come from the options file `file`.
    fn places(&self, file: &Self) -> anyhow::Result<Places> {
        let either =
            |ours: &Option<PathBuf>, file: &Option<PathBuf>| ours.clone().or_else(|| file.clone());
        let store = self.store.as_ref().or(file.store.as_ref());
        let store = store
            .context("--store is needed: the folder or registry that `gwc apply` publishes to")?;
        let poll = self.registry_poll.clone().or(file.registry_poll.clone());
        let poll = poll.map(|text| duration("--registry-poll", Some(text), 0));
        let registry = registry::of(
            store,
            registry::Given {
                fallbacks: match self.registry_fallback.is_empty() {
                    true => file.registry_fallback.clone(),
                    false => self.registry_fallback.clone(),
                },
                poll: poll.transpose()?,
                config: either(&self.registry_config, &file.registry_config),
                token_file: either(&self.registry_token_file, &file.registry_token_file),
                ca_file: either(&self.registry_ca_file, &file.registry_ca_file),
                plain_http: self.registry_plain_http.or(file.registry_plain_http),
            },
        )?;
        let state = either(&self.state, &file.state).unwrap_or_else(|| STATE.into());
        Ok(Places {
            store: match registry {
                Some(_) => Plan::copy_folder(&state),
                None => store.into(),
            },
            registry,
            state,
        })
    }
}

impl LogLevel {
    pub(super) const fn level(self) -> crate::runtime::program_log::Level {
        use crate::runtime::program_log::Level;
        match self {
            Self::Error => Level::Error,
            Self::Warn => Level::Warn,
            Self::Info => Level::Info,
            Self::Debug => Level::Debug,
        }
    }
}

fn read_config(path: &Path) -> anyhow::Result<RunOptions> {
    let text = read_text(path).with_context(|| format!("`{}`", path.display()))?;
    toml::from_str(&text).with_context(|| format!("`{}`", path.display()))
}

fn override_of(text: &str) -> anyhow::Result<(String, SocketAddr)> {
    let (name, address) = text
        .split_once('=')
        .with_context(|| format!("--listen: `{text}` is not NAME=IP:PORT"))?;
    let address = address
        .parse()
        .with_context(|| format!("--listen: `{address}` is not IP:PORT"))?;
    Ok((name.to_owned(), address))
}

/// Parses an IP address with an optional port. Default: 53.
fn server(text: &str) -> anyhow::Result<SocketAddr> {
    let with_port = text.parse();
    let alone = || text.parse().map(|ip: std::net::IpAddr| (ip, 53).into());
    let server = with_port.or_else(|_| alone());
    server.with_context(|| format!("--name-server: `{text}` is not IP or IP:PORT"))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Name of the node. `given`: from an option or a file; otherwise that of the host.
fn node_name(given: Option<String>) -> anyhow::Result<String> {
    let name = given.unwrap_or_else(host_name);
    anyhow::ensure!(
        (1..=NODE_NAME_MAX).contains(&name.len()) && !name.contains(char::is_control),
        "--node: a name has 1 to {NODE_NAME_MAX} bytes, and no control characters"
    );
    Ok(name)
}

fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
