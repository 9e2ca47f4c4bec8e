//! Access log: one JSON line per request, written when the request ends (observability.md §3).
//!
//! Each worker collects lines in a buffer and passes full buffers to one writing thread through a
//! bounded queue, and to the thread that exports telemetry by OTLP. If the disk is too slow, lines
//! are dropped and counted, so that no request waits.

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, LazyLock};

use policy::logged::{HashKey, HiddenParameters, LogForm, REDACTED};

use crate::runtime::escapes::{is_hidden, write_escaped};
use crate::telemetry::log_batch::{Batch, LogQueue};
use crate::telemetry::log_file::{LogFile, Rotation};
use crate::telemetry::log_sampling::LogSampler;
use crate::telemetry::process::Counters;
use crate::telemetry::tail::Tails;

/// Maximum number of full buffers in the queue of the writing thread.
const QUEUE_MAX: usize = 256;
/// Number of bytes at which a buffer is full and is passed to the writing thread.
const BATCH_BYTES: usize = 32 << 10;
/// Destination of the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    Off,
    Stdout,
    File(PathBuf, Option<Rotation>),
}

/// Access log writer of one worker.
pub(crate) struct Writer {
    queue: Option<SyncSender<Batch>>,
    /// Queue of the lines that are exported by OTLP. `None`: no lines are exported.
    export: Option<LogQueue>,
    tails: Arc<Tails>,
    batch: RefCell<Batch>,
    spare: RefCell<Vec<Vec<u8>>>,
    /// Sampler of the lines. `None`: each request is logged.
    sampler: Option<LogSampler>,
}

/// Creates a writer for each worker and starts the writing thread. `tails` get each line as well, also
/// those that `sampler` leaves out. `export` gets each line that is logged.
///
/// # Errors
/// If the file cannot be opened.
pub(crate) fn start(
    sink: &Sink,
    workers: usize,
    process: &Arc<Counters>,
    tails: &Arc<Tails>,
    (sampler, export): (Option<LogSampler>, Option<&LogQueue>),
) -> io::Result<Vec<Writer>> {
    let queue = match sink {
        Sink::Off => None,
        Sink::Stdout => Some(spawn(Target::Stdout, Arc::clone(process))?),
        Sink::File(path, rotation) => {
            let file = LogFile::open(path, *rotation)?;
            Some(spawn(Target::File(file), Arc::clone(process))?)
        }
    };
    Ok((0..workers)
        .map(|_| Writer {
            queue: queue.clone(),
            export: export.cloned(),
            tails: Arc::clone(tails),
            batch: RefCell::new(Batch::new()),
            spare: RefCell::default(),
            sampler: sampler.filter(|_| queue.is_some() || export.is_some()),
        })
        .collect())
}

enum Target {
    Stdout,
    File(LogFile),
}

/// True if the file must be reopened before the next write.
static REOPEN: AtomicBool = AtomicBool::new(false);

/// Makes the writing thread reopen the file before its next write. For external log rotation.
pub(crate) fn reopen() {
    REOPEN.store(true, Ordering::Relaxed);
}

fn spawn(mut target: Target, process: Arc<Counters>) -> io::Result<SyncSender<Batch>> {
    let (sender, receiver): (SyncSender<Batch>, Receiver<Batch>) = sync_channel(QUEUE_MAX);
    std::thread::Builder::new()
        .name("access-log".into())
        .spawn(move || {
            while let Ok(batch) = receiver.recv() {
                let lost = match &mut target {
                    Target::Stdout => {
                        let mut stdout = io::stdout();
                        let written = stdout.write_all(&batch.bytes);
                        match written.and_then(|()| stdout.flush()) {
                            Ok(()) => 0,
                            Err(_) => batch.lines,
                        }
                    }
                    Target::File(file) => {
                        if REOPEN.swap(false, Ordering::Relaxed) {
                            file.reopen();
                        }
                        file.write(&batch.bytes)
                    }
                };
                if lost > 0 {
                    process.log_dropped.fetch_add(lost, Ordering::Relaxed);
                }
            }
        })?;
    Ok(sender)
}

impl Writer {
    /// True if lines are written: the access log is enabled, or `gwd tail` reads lines.
    pub(crate) fn is_enabled(&self) -> bool {
        self.has_destination() || self.tails.is_active()
    }

    /// Sampler of the lines. `None`: each request is logged.
    pub(crate) const fn sampler(&self) -> Option<&LogSampler> {
        self.sampler.as_ref()
    }

    /// True if `gwd tail` reads lines.
    pub(crate) fn has_tails(&self) -> bool {
        self.tails.is_active()
    }

    /// True if lines are written to a file or standard output, or are exported.
    const fn has_destination(&self) -> bool {
        self.queue.is_some() || self.export.is_some()
    }

    /// Empty line buffer, with the capacity of an earlier line.
    pub(crate) fn line(&self) -> Vec<u8> {
        self.spare
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(1_024))
    }

    /// Appends a complete line. Returns true if the line is the first in the buffer: the caller
    /// must then schedule a [`Writer::flush`].
    pub(crate) fn take(&self, process: &Counters, line: Vec<u8>) -> bool {
        if self.tails.is_active() {
            self.tails.send(&line);
        }
        if !self.has_destination() {
            self.recycle(line);
            return false;
        }
        let full = {
            let mut batch = self.batch.borrow_mut();
            batch.bytes.extend_from_slice(&line);
            batch.lines += 1;
            batch.bytes.len() >= BATCH_BYTES
        };
        self.recycle(line);
        if full {
            self.flush(process);
            return false;
        }
        self.batch.borrow().lines == 1
    }

    /// Passes a complete line that is not logged to `gwd tail`.
    pub(crate) fn show(&self, line: Vec<u8>) {
        self.tails.send(&line);
        self.recycle(line);
    }

    /// Keeps the buffer of a line for later lines.
    pub(crate) fn recycle(&self, mut line: Vec<u8>) {
        line.clear();
        self.spare.borrow_mut().push(line);
    }

    /// Passes the buffer of this worker to the writing thread and to the exporting thread.
    pub(crate) fn flush(&self, process: &Counters) {
        if !self.has_destination() {
            return;
        }
        let batch = self.batch.replace(Batch::new());
        if batch.lines == 0 {
            return;
        }
        let Some(queue) = &self.queue else {
            if let Some(export) = &self.export {
                export.send(batch, process);
            }
            return;
        };
        if let Some(export) = &self.export {
            export.send(batch.clone(), process);
        }
        if let Err(TrySendError::Full(lost) | TrySendError::Disconnected(lost)) =
            queue.try_send(batch)
        {
            let dropped = &process.log_dropped;
            dropped.fetch_add(lost.lines, Ordering::Relaxed);
        }
    }
}

/// Appends text as a JSON string. Control characters and invisible characters are escaped, and
/// invalid UTF-8 is replaced, so that a log line stays one line and cannot manipulate a terminal.
pub(crate) fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    write_content(text, out);
    out.push(b'"');
}

/// Appends words as one JSON string, separated by spaces.
pub(crate) fn write_words(words: &[Box<str>], out: &mut Vec<u8>) {
    out.push(b'"');
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        write_content(word.as_bytes(), out);
    }
    out.push(b'"');
}

/// Like [`write_text`], without the quotes.
fn write_content(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid();
        if !valid.is_ascii() {
            write_beyond_ascii(valid, out);
        } else {
            for &byte in valid.as_bytes() {
                match byte {
                    b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                    0..=0x1F | 0x7F => {
                        out.extend_from_slice(b"\\u00");
                        out.push(HEX[usize::from(byte >> 4)]);
                        out.push(HEX[usize::from(byte & 15)]);
                    }
                    _ => out.push(byte),
                }
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Like [`write_text`], for valid UTF-8 with non-ASCII characters, and without the quotes.
#[cold]
fn write_beyond_ascii(text: &str, out: &mut Vec<u8>) {
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
            _ if is_hidden(character) => write_escaped(character, out),
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Key of the hashes of this process.
static HASH_KEY: LazyLock<HashKey> = LazyLock::new(HashKey::random);

/// Text that the log shows instead of a value, in the form `form`.
pub(crate) fn hidden(form: LogForm, value: &str) -> String {
    match form {
        LogForm::Keep => value.to_owned(),
        LogForm::Redact => REDACTED.to_owned(),
        LogForm::Hash => HASH_KEY.hash(value),
    }
}

/// Like [`hidden`], for a value that is not percent-encoded.
pub(crate) fn hidden_decoded(form: LogForm, value: &[u8]) -> String {
    match form {
        LogForm::Keep => String::from_utf8_lossy(value).into_owned(),
        LogForm::Redact => REDACTED.to_owned(),
        LogForm::Hash => HASH_KEY.hash_decoded(value),
    }
}

/// Appends a query as a JSON string, with the values of credentials redacted. `parameters`: query
/// parameters of the bundle's security schemes, and parameters of the operation that have their own
/// log form.
pub(crate) fn write_query(query: &str, parameters: HiddenParameters<'_>, out: &mut Vec<u8>) {
    match policy::logged::shown_query(query, parameters, hidden) {
        None => write_text(query.as_bytes(), out),
        Some(shown) => write_text(shown.as_bytes(), out),
    }
}

#[cfg(test)]
mod tests {
    use policy::logged::{LoggedParameters, SecretParameters};

    use super::*;

    fn text(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write_text(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn words_are_one_string() {
        let written = |words: &[&str]| {
            let words: Vec<Box<str>> = words.iter().map(|word| (*word).into()).collect();
            let mut out = Vec::new();
            write_words(&words, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(&[]), "\"\"");
        assert_eq!(written(&["read"]), "\"read\"");
        assert_eq!(written(&["read", "a\"\n"]), r#""read a\"\u000a""#);
    }

    #[test]
    fn control_characters_do_not_split_a_line() {
        assert_eq!(
            text(b"a\"b\\c\n\x1b[31m\x7f"),
            r#""a\"b\\c\u000a\u001b[31m\u007f""#
        );
        assert_eq!(text("é".as_bytes()), "\"é\"");
        assert_eq!(
            text("é\"\u{9b}31m\u{202e}\u{200b}\u{ad}\n\u{e0041}".as_bytes()),
            r#""é\"\u009b31m\u202e\u200b\u00ad\u000a\udb40\udc41""#
        );
        for hidden in [
            '\u{115f}', '\u{1160}', '\u{17b4}', '\u{17b5}', '\u{2800}', '\u{3164}', '\u{ffa0}',
            '\u{fffc}', '\u{600}', '\u{fe0f}',
        ] {
            let escaped = format!("\"\\u{:04x}\"", u32::from(hidden));
            assert_eq!(text(hidden.to_string().as_bytes()), escaped);
        }
        assert_eq!(
            text("\u{1bca0}\u{1d17a}".as_bytes()),
            r#""\ud82f\udca0\ud834\udd7a""#
        );
        let json = serde_json::json!({"a": "\u{9b}\u{2066}é"}).to_string();
        let escaped = String::from_utf8(crate::runtime::escapes::escape_hidden(&json)).unwrap();
        assert_eq!(escaped, r#"{"a":"\u009b\u2066é"}"#);
        assert_eq!(text(b"\xff\xfe"), "\"\u{fffd}\u{fffd}\"");
    }

    #[test]
    fn secrets_in_queries_are_not_shown() {
        let shown = |query: &str| {
            let mut out = Vec::new();
            let secret = SecretParameters::new(&["sid"]);
            write_query(query, (&secret, LoggedParameters::none()), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown("a=1&b=\"2"), r#""a=1&b=\"2""#);
        assert_eq!(
            shown("a=1&api.key=x&sid=y"),
            r#""a=1&api.key=REDACTED&sid=REDACTED""#
        );
    }
}
