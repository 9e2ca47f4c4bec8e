//! Messages over a pair of byte streams: the base protocol of LSP 3.17, and JSON-RPC 2.0.
//!
//! `lsp_server::Connection::stdio` ends at the first text that is no message. Here the sender gets
//! an error response, and the next message is read. Only a head without a usable `Content-Length`
//! ends the session, because the start of the next message is unknown then.

use std::io::{self, BufRead, Read as _, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::anyhow;
use crossbeam_channel::{Receiver, bounded};
use lsp_server::{Connection, ErrorCode, Message};
use serde_json::{Value, json};

/// Maximum length of a message, in bytes. A text of the maximum size of a file fits, with escapes.
pub const CONTENT_BYTES_MAX: usize = 256 << 20;

/// Maximum length of a head, in bytes.
const HEAD_BYTES_MAX: u64 = 8 << 10;

/// Threads that read and write messages.
pub struct Threads {
    reader: JoinHandle<io::Result<()>>,
    writer: JoinHandle<io::Result<()>>,
}

/// Starts to read messages from `input` and to write messages to `output`.
#[must_use]
pub fn start(
    mut input: impl BufRead + Send + 'static,
    output: impl Write + Send + 'static,
) -> (Connection, Threads) {
    let output = Arc::new(Mutex::new(output));
    let (sender, messages) = bounded::<Message>(0);
    let own = output.clone();
    let writer = thread::spawn(move || write_all(&messages, &own));
    let (received, receiver) = bounded::<Message>(0);
    let reader = thread::spawn(move || {
        loop {
            match read(&mut input)? {
                Frame::End => return Ok(()),
                Frame::Message(message) => {
                    let is_exit =
                        matches!(&*message, Message::Notification(one) if one.method == "exit");
                    if received.send(*message).is_err() || is_exit {
                        return Ok(());
                    }
                }
                Frame::Refused(code, text) => write(&output, &refusal(code, &text))?,
                Frame::Lost(text) => {
                    return write(&output, &refusal(ErrorCode::ParseError, &text));
                }
            }
        }
    });
    (Connection { sender, receiver }, Threads { reader, writer })
}

impl Threads {
    /// Waits until both streams have ended.
    ///
    /// # Errors
    /// Returns an error if a stream breaks.
    pub fn join(self) -> anyhow::Result<()> {
        for thread in [self.reader, self.writer] {
            let ended = thread.join();
            ended.map_err(|_| anyhow!("a thread of the transport panicked"))??;
        }
        Ok(())
    }
}

/// Result of reading one message.
enum Frame {
    Message(Box<Message>),
    /// The content is no message; the next one can be read.
    Refused(ErrorCode, String),
    /// The end of the content is unknown.
    Lost(String),
    /// End of the stream.
    End,
}

fn read(input: &mut impl BufRead) -> io::Result<Frame> {
    let length = match length(input)? {
        Ok(Some(length)) => length,
        Ok(None) => return Ok(Frame::End),
        Err(why) => return Ok(Frame::Lost(why)),
    };
    // The buffer grows with the bytes that arrive, not with the announced length.
    let mut content = Vec::new();
    input.take(length as u64).read_to_end(&mut content)?;
    if content.len() < length {
        return Ok(Frame::End);
    }
    let value: Value = match serde_json::from_slice(&content) {
        Ok(value) => value,
        Err(error) => {
            let text = format!("the content is not valid JSON: {error}");
            return Ok(Frame::Refused(ErrorCode::ParseError, text));
        }
    };
    Ok(match serde_json::from_value(value) {
        Ok(message) => Frame::Message(Box::new(message)),
        Err(error) => {
            let text = format!("the content is no JSON-RPC message: {error}");
            Frame::Refused(ErrorCode::InvalidRequest, text)
        }
    })
}

/// Reads the head of a message. Returns the length of its content, `None` at the end of the stream,
/// or the reason why there is no usable length.
fn length(input: &mut impl BufRead) -> io::Result<Result<Option<usize>, String>> {
    let mut head = input.take(HEAD_BYTES_MAX);
    let mut length = None;
    loop {
        let mut line = Vec::new();
        if head.read_until(b'\n', &mut line)? == 0 || line.last() != Some(&b'\n') {
            return Ok(match head.limit() {
                0 => Err("the head is too long".to_owned()),
                _ => Ok(None),
            });
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else {
            return Ok(Err("a line of the head has no colon".to_owned()));
        };
        if name.eq_ignore_ascii_case("Content-Length") {
            length = Some(value.trim().parse::<usize>());
        }
    }
    Ok(match length {
        Some(Ok(length)) if length <= CONTENT_BYTES_MAX => Ok(Some(length)),
        Some(Ok(_)) => Err(format!(
            "`Content-Length` is greater than {CONTENT_BYTES_MAX}"
        )),
        Some(Err(_)) => Err("`Content-Length` is no number of bytes".to_owned()),
        None => Err("`Content-Length` is missing".to_owned()),
    })
}

/// Error response to a text from which no id can be read (JSON-RPC 2.0, section 5).
fn refusal(code: ErrorCode, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": null, "error": {"code": code as i32, "message": message}})
}

fn write_all(messages: &Receiver<Message>, output: &Mutex<impl Write>) -> io::Result<()> {
    for message in messages {
        let mut value = serde_json::to_value(&message)?;
        value["jsonrpc"] = "2.0".into();
        write(output, &value)?;
    }
    Ok(())
}

fn write(output: &Mutex<impl Write>, value: &Value) -> io::Result<()> {
    let text = value.to_string();
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    write!(output, "Content-Length: {}\r\n\r\n{text}", text.len())?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Output that tests read after the threads have ended.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn framed(content: &[u8]) -> Vec<u8> {
        let head = format!("Content-Length: {}\r\n\r\n", content.len());
        [head.as_bytes(), content].concat()
    }

    /// Methods of the messages that the server receives, and codes of the error responses.
    fn transported(input: Vec<u8>) -> (Vec<String>, Vec<i64>) {
        let output = Shared::default();
        let (connection, threads) = start(Cursor::new(input), output.clone());
        let methods = connection.receiver.iter().map(|message| match message {
            Message::Notification(one) => one.method,
            Message::Request(one) => one.method,
            Message::Response(_) => "response".to_owned(),
        });
        let methods = methods.collect();
        drop(connection);
        threads.join().unwrap();
        let bytes = output.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let bodies = text.split("Content-Length: ").skip(1);
        let codes = bodies.map(|body| {
            let (length, content) = body.split_once("\r\n\r\n").unwrap();
            assert_eq!(length.parse::<usize>().unwrap(), content.len());
            let response: Value = serde_json::from_str(content).unwrap();
            assert!(response["id"].is_null(), "{response}");
            response["error"]["code"].as_i64().unwrap()
        });
        (methods, codes.collect())
    }

    #[test]
    fn unreadable_content_is_refused_and_the_next_read() {
        let next = framed(br#"{"jsonrpc": "2.0", "method": "next"}"#);
        for (content, code) in [
            (&b"{"[..], -32700),
            (
                br#"{"jsonrpc": "2.0", "id": 1, "method": "a", "params": {"text": "\ud800"}}"#,
                -32700,
            ),
            (b"\"\xff\"", -32700),
            (b"", -32700),
            (br#"{"jsonrpc": "2.0"}"#, -32600),
            (b"[]", -32600),
        ] {
            let input = [framed(content), next.clone()].concat();
            let expected = (vec!["next".to_owned()], vec![code]);
            let shown = String::from_utf8_lossy(content).into_owned();
            assert_eq!(transported(input), expected, "{shown}");
        }
    }

    #[test]
    fn head_without_usable_length_ends_the_session() {
        let next = framed(br#"{"jsonrpc": "2.0", "method": "next"}"#);
        let huge = format!("Content-Length: {}\r\n\r\n", CONTENT_BYTES_MAX + 1);
        let long = "x".repeat(10_000);
        for head in [
            &*huge,
            "Content-Length: 99999999999999999999999\r\n\r\n",
            "Content-Length: -1\r\n\r\n",
            "Content-Type: x\r\n\r\n",
            "nonsense\r\n\r\n",
            &*long,
        ] {
            let input = [head.as_bytes(), &next].concat();
            let expected = (Vec::new(), vec![-32700]);
            assert_eq!(
                transported(input),
                expected,
                "{}",
                &head[..head.len().min(40)]
            );
        }
    }

    #[test]
    fn truncated_message_ends_the_session() {
        for input in ["Content-Length: 10\r\n\r\n{}", "Content-Le", ""] {
            let ended = transported(input.as_bytes().to_vec());
            assert_eq!(ended, (Vec::new(), Vec::new()), "{input}");
        }
    }
}
