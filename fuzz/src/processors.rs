//! Fuzz target for the messages of external processors (`kind: ext_proc`).

use bytes::BytesMut;
use policy::processing::wire::{self, Answer};

/// Maximum length of a message that the target accepts, in bytes.
const BYTES_MAX: usize = 1 << 10;

/// Fuzz target for the frames and messages of an external processor. The result must not depend on
/// how the bytes are split. A message must be within the gateway's limits on changes and body
/// length.
pub fn processor(data: &[u8]) {
    let whole = answers(data.chunks(data.len().max(1)));
    assert_eq!(answers(data.chunks(3)), whole);
    for answer in whole.iter().flatten() {
        if let Answer::Continue(_, edit) | Answer::Immediate { edit, .. } = answer {
            assert!(edit.changes.len() <= 128, "too many changes");
            assert!(edit.body.as_ref().is_none_or(|body| body.len() <= BYTES_MAX));
        }
    }
}

/// Messages of a stream up to the first invalid frame. `None` for a malformed message.
fn answers<'d>(pieces: impl Iterator<Item = &'d [u8]>) -> Vec<Option<Answer>> {
    let mut received = BytesMut::new();
    let mut answers = Vec::new();
    for piece in pieces {
        received.extend_from_slice(piece);
        loop {
            match wire::take_message(&mut received, BYTES_MAX) {
                Ok(Some(message)) => answers.push(wire::answer(message).ok()),
                Ok(None) => break,
                Err(_) => return answers,
            }
        }
    }
    answers
}

pub(crate) fn samples() -> Vec<Vec<u8>> {
    // A `request_headers` response that sets `x-a: 1` and removes `x-b`.
    let mutation = b"\x0a\x0a\x0a\x08\x0a\x03x-a\x1a\x011\x12\x03x-b";
    let common = [&[0x12, 0x11][..], mutation].concat();
    let part = [&[0x0A, 0x13][..], &common].concat();
    let headers = [&[0x0A, 0x15][..], &part].concat();
    // An immediate response with the status 403 and the body `no`.
    let immediate = b"\x3a\x09\x0a\x03\x08\x93\x03\x1a\x02no".to_vec();
    let framed = |message: &[u8]| {
        let length = u8::try_from(message.len()).expect("the sample is short");
        [&[0, 0, 0, 0, length][..], message].concat()
    };
    let samples = [framed(&headers), framed(&immediate), framed(&[])];
    let all = samples.concat();
    samples.into_iter().chain([all]).collect()
}
