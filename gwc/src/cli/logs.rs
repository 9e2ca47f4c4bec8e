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
/// First bytes of a gzip file (RFC 1952 §2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Number of bytes by which a HAR file is recognised.
const START_MAX: usize = 256;
/// Size of the buffer for a log, in bytes.
const BUFFER: usize = 256 << 10;

/// Values of requests that a log does not contain.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Defaults {
    /// Listener of requests, if the log does not contain it [default: the first one]
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Host of requests, if the log does not contain it
    #[arg(long, value_name = "HOST", default_value = HOST, value_parser = host)]
    host: String,
}

/// Host of `--host`: a request with another text is malformed for both versions, so that none would
/// be treated differently.
fn host(text: &str) -> Result<String, String> {
    match engine::edge::is_authority(text) {
        true => Ok(text.to_owned()),
        false => Err(
            "write a host as requests have it, such as shop.example or shop.example:8443"
                .to_owned(),
        ),
    }
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
///
/// # Errors
/// Returns an error if the log cannot be read, or has lines, but none with a request.
fn read(log: &Path, replay: &mut Replay<'_>) -> io::Result<()> {
    let (requests, unread) = replay.progress();
    if log == Path::new("-") {
        plain_or_compressed(io::stdin().lock(), false, replay)?;
    } else {
        let name = log.file_name().unwrap_or_default().to_string_lossy();
        let is_har = name.trim_end_matches(".gz").ends_with(".har");
        plain_or_compressed(File::open(log)?, is_har, replay)?;
    }
    let (requests_now, unread_now) = replay.progress();
    match requests_now == requests && unread_now > unread {
        true => Err(invalid("no line has a request in a known format")),
        false => Ok(()),
    }
}

/// Counts the requests of a log. A log that begins with the magic number of gzip is compressed.
fn plain_or_compressed(log: impl Read, is_har: bool, replay: &mut Replay<'_>) -> io::Result<()> {
    let mut log = BufReader::with_capacity(BUFFER, log);
    let magic = begin(&mut log, GZIP_MAGIC.len())?;
    let is_compressed = magic == GZIP_MAGIC;
    let log = io::Cursor::new(magic).chain(log);
    if is_compressed {
        let text = BufReader::with_capacity(BUFFER, MultiGzDecoder::new(log));
        return text_log(text, is_har, replay);
    }
    text_log(log, is_har, replay)
}

/// Counts the requests of a HAR file, or of lines.
fn text_log(mut log: impl BufRead, is_har: bool, replay: &mut Replay<'_>) -> io::Result<()> {
    let start = begin(&mut log, START_MAX)?;
    if is_har || har::is_begun(&start) {
        return archive(io::Cursor::new(&start[..]).chain(log), is_har, replay);
    }
    let without_mark = har::without_mark(&start);
    lines(without_mark.chain(log), replay)
}

/// Reads up to `length` bytes. Fewer: the log is shorter.
fn begin(log: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    log.take(length as u64).read_to_end(&mut start)?;
    Ok(start)
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
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

/// Counts each request of a HAR file. A log that only begins as a HAR file is read by lines, unless
/// its name is that of a HAR file (`is_har`).
fn archive(file: impl Read, is_har: bool, replay: &mut Replay<'_>) -> io::Result<()> {
    let mut text = Vec::new();
    file.take(HAR_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > HAR_MAX {
        return Err(invalid("the file has more than 256 MiB"));
    }
    let requests = match har::read(&text) {
        Some(requests) => requests,
        None if is_har => return Err(invalid("this is not a HAR file")),
        None => return lines(har::without_mark(&text), replay),
    };
    for request in requests {
        match request {
            Some(request) => replay.add(&request),
            None => replay.add_line(b""),
        }
    }
    Ok(())
}
