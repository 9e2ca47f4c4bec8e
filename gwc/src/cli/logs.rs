//! Reader of the access logs for `gwc replay` and `gwc plan --replay`, and a one-sentence summary
//! of the result.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::{progress, say};
use ::plan::replay::log_line::LINE_MAX;
use ::plan::replay::{Effect, Replay, Replayed, har};
use ::plan::{Plan, Side};
use model::exit::{Exit, Failure};

use crate::release::links;

/// Maximum size of a HAR file, in bytes: 256 MiB.
const HAR_MAX: u64 = 256 << 20;
/// Default host of requests whose log entry has no host.
const HOST: &str = "gateway";
/// Size of the buffer for a log, in bytes.
const BUFFER: usize = 256 << 10;

/// Values of requests that a log does not contain.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Defaults {
    /// Listener of requests, if the log does not contain it [default: the first one]
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Host of requests, if the log does not contain it
    #[arg(long, value_name = "HOST", default_value = HOST)]
    host: String,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            listener: None,
            host: HOST.to_owned(),
        }
    }
}

impl Defaults {
    /// Creates a replay of requests with both versions of a plan.
    ///
    /// # Errors
    /// Returns the error with which gwd would refuse a version.
    pub(super) fn begin<'a>(
        &self,
        sides: (&'a Side, &'a Side),
        plan: &Plan,
    ) -> Result<Replay<'a>, engine::BuildError> {
        Replay::new(sides, plan, (self.listener.as_deref(), &self.host))
    }

    /// Counts the requests of logs by the effect of the change on them.
    ///
    /// # Errors
    /// Returns an error if a log cannot be read, or if neither version has the listener of
    /// `--listener`.
    pub(super) fn count(
        &self,
        logs: &[PathBuf],
        mut replay: Replay<'_>,
    ) -> anyhow::Result<Replayed> {
        if let Some(name) = &self.listener
            && !replay.listeners().contains(name.as_str())
        {
            let known = diag::suggest::one_of(replay.listeners(), 8);
            let why = format!(
                "--listener: there is no listener `{}`; {known}",
                name.escape_debug()
            );
            return Err(Failure::usage(why).into());
        }
        for log in logs {
            progress::stage("reading");
            links::check(log)?;
            read(log, &mut replay).map_err(|error| {
                let why = format!("{}: {error}", say::path(log));
                Failure::new(Exit::INPUT, "unreadable-log", why)
            })?;
        }
        Ok(replay.end())
    }
}

/// Summarizes a replay in one sentence, such as: `3 of 12 requests would be treated differently, or
/// may be: 2 refused, 1 moved`.
pub(super) fn sentence(replayed: &Replayed) -> String {
    let of = |effect: Effect| replayed.counts.get(effect.name()).copied().unwrap_or(0);
    let differ = replayed.requests - of(Effect::Same);
    let about = about(replayed);
    let mut text = format!(
        "{about}{differ} of {about}{} would be treated differently, or may be",
        requests(replayed.requests)
    );
    let parts = Effect::ALL.into_iter();
    let parts = parts.filter(|effect| *effect != Effect::Same && of(*effect) > 0);
    let parts: Vec<String> = parts
        .map(|effect| format!("{} {}", of(effect), effect.name()))
        .collect();
    if !parts.is_empty() {
        text.push_str(&format!(": {}", parts.join(", ")));
    }
    text
}

/// `about `, if a log is sampled: the counts are then estimates.
pub(super) fn about(replayed: &Replayed) -> &'static str {
    match replayed.sampled {
        0 => "",
        _ => "about ",
    }
}

pub(super) fn requests(count: u64) -> String {
    match count {
        1 => "1 request".to_owned(),
        count => format!("{count} requests"),
    }
}

/// Counts the requests of one log file, or of standard input (`-`).
fn read(log: &Path, replay: &mut Replay<'_>) -> io::Result<()> {
    if log == Path::new("-") {
        return lines(io::stdin().lock(), replay);
    }
    let file = File::open(log)?;
    match log.extension().and_then(|extension| extension.to_str()) {
        Some("har") => archive(file, replay),
        Some("gz") => {
            let text = MultiGzDecoder::new(BufReader::new(file));
            lines(BufReader::with_capacity(BUFFER, text), replay)
        }
        _ => lines(BufReader::with_capacity(BUFFER, file), replay),
    }
}

/// Counts the request of each line. A line of more than [`LINE_MAX`] bytes counts as unreadable.
fn lines(mut log: impl BufRead, replay: &mut Replay<'_>) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let bytes = log
            .by_ref()
            .take(LINE_MAX as u64)
            .read_until(b'\n', &mut line)?;
        if bytes == 0 {
            return Ok(());
        }
        let is_whole = line.ends_with(b"\n") || bytes < LINE_MAX;
        let text = line.trim_ascii();
        match is_whole {
            true if text.is_empty() => {}
            true => replay.add_line(text),
            false => {
                replay.add_line(b"");
                skip_line(&mut log)?;
            }
        }
    }
}

/// Skips the rest of the current line.
fn skip_line(log: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = log.fill_buf()?;
        let end = memchr::memchr(b'\n', buffer);
        let (bytes, is_end) = match end {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        log.consume(bytes);
        if is_end {
            return Ok(());
        }
    }
}

/// Counts each request of a HAR file.
fn archive(file: File, replay: &mut Replay<'_>) -> io::Result<()> {
    let mut text = Vec::new();
    file.take(HAR_MAX + 1).read_to_end(&mut text)?;
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
    if text.len() as u64 > HAR_MAX {
        return Err(invalid("the file has more than 256 MiB"));
    }
    let requests = har::read(&text).ok_or_else(|| invalid("this is not a HAR file"))?;
    for request in requests {
        match request {
            Some(request) => replay.add(&request),
            None => replay.add_line(b""),
        }
    }
    Ok(())
}
