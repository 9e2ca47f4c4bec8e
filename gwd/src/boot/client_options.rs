//! Options of the commands that talk to a running gwd.

use std::path::PathBuf;

use clap::Args;

use super::values::{Format, OptionsError, duration, interface, read_text};

/// Options of the commands that talk to a running gwd.
#[derive(Args, Clone, Debug)]
pub(super) struct ClientOptions {
    /// The admin interface of the gwd. [default: 127.0.0.1:9901]
    #[arg(long, env = "GWD_ADMIN", value_name = "ADDR|unix:PATH")]
    admin: Option<String>,
    /// File with the admin token; not needed for a unix socket.
    #[arg(long, env = "GWD_ADMIN_TOKEN_FILE", value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// Maximum time for an answer of the gwd.
    #[arg(
        long,
        env = "GWD_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s"
    )]
    timeout: String,
    /// Output format.
    #[arg(long, value_enum, default_value = "human")]
    pub(super) format: Format,
}

/// Options of `gwd tail`. A request is shown if it fits each option that is given.
#[derive(Args, Debug)]
pub(super) struct TailOptions {
    /// Statuses or classes of statuses, such as `404,5xx`.
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    pub(super) status: Vec<String>,
    /// Request methods.
    #[arg(long, value_name = "METHOD", value_delimiter = ',')]
    pub(super) method: Vec<String>,
    /// Beginning of the path. May be repeated.
    #[arg(long, value_name = "PREFIX")]
    pub(super) path: Vec<String>,
    /// Operations, as in the field `operation_id` of the access log. May be repeated.
    #[arg(long, value_name = "ID")]
    pub(super) operation: Vec<String>,
    /// Consumers. May be repeated.
    #[arg(long, value_name = "NAME")]
    pub(super) consumer: Vec<String>,
    /// Upstreams. May be repeated.
    #[arg(long, value_name = "NAME")]
    pub(super) upstream: Vec<String>,
    /// Reasons of refusals and failures, such as `rate_limited`.
    #[arg(long, value_name = "REASON", value_delimiter = ',')]
    pub(super) reason: Vec<String>,
    /// IP addresses of clients.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(super) client: Vec<String>,
    /// Minimum duration of a request.
    #[arg(long, value_name = "DURATION")]
    pub(super) slower_than: Option<String>,
    /// End after this number of requests. [default: no end]
    #[arg(long, value_name = "N")]
    pub(super) count: Option<u64>,
    #[command(flatten)]
    pub(super) node: ClientOptions,
}

impl ClientOptions {
    /// Address of the gwd to connect to, with its token and the timeout.
    ///
    /// # Errors
    /// See [`OptionsError`].
    pub(super) fn node(&self) -> Result<crate::admin::client::Node, OptionsError> {
        let interface = interface(self.admin.as_deref())
            .map_err(|error| OptionsError::Usage(format!("{error:#}")))?;
        let token = self.admin_token_file.as_ref().map(|path| {
            read_text(path)
                .map(|token| token.trim().to_owned())
                .map_err(|error| OptionsError::Input(format!("`{}`: {error}", path.display())))
        });
        let timeout = duration("--timeout", Some(self.timeout.clone()), 10)
            .map_err(|error| OptionsError::Usage(format!("{error:#}")))?;
        Ok(crate::admin::client::Node {
            interface,
            token: token.transpose()?,
            timeout,
        })
    }
}
