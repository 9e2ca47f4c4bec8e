//! Malformed messages, which the gateway must parse in the same way as another server.
//!
//! Request smuggling needs two readers that disagree where a message ends (RFC 9112 §11.2). Random
//! messages are built from parts of such attacks and sent to plain hyper and to the gateway. Each
//! request that reaches the upstream must be one that hyper also read, at the same position and
//! with the same length. The gateway may refuse more than hyper does.

use crate::paths::Dice;
use crate::rows::{hyper_alone, telling, understood};

const FIELDS: [&str; 16] = [
    "content-length: 3",
    "content-length: 0",
    "Content-Length: 0003",
    "content-length: 5",
    "content-length: 3, 3",
    "content-length : 3",
    "content-length: +3",
    "transfer-encoding: chunked",
    "Transfer-Encoding: Chunked",
    "transfer-encoding: gzip, chunked",
    "transfer-encoding: chunked, identity",
    "transfer-encoding:\u{b}chunked",
    "transfer-encoding : chunked",
    "x: y",
    " folded: z",
    "connection: content-length, keep-alive",
];

const BODIES: [&str; 12] = [
    "",
    "",
    "abc",
    "abcde",
    "3\r\nabc\r\n0\r\n\r\n",
    "0\r\n\r\n",
    "3;x=\"\r\nabc\r\n0\r\nx: y\r\n\r\n",
    "3\nabc\r\n0\r\n\r\n",
    "3\r\nabcd\r\n0\r\n\r\n",
    "03\r\nabc\r\n00\r\n\r\n",
    "3\r\nabc\r\n0\r\n\n",
    "GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n",
];

fn message(dice: &mut Dice) -> String {
    let line_end = |dice: &mut Dice| match dice.below(40) {
        0 => "\n",
        1 => "\r\r\n",
        _ => "\r\n",
    };
    let mut text = ["GET /a", "POST /a", "POST /b"][dice.below(3)].to_owned();
    text += [" HTTP/1.1", " HTTP/1.1", " HTTP/1.1", " HTTP/1.0"][dice.below(4)];
    text += line_end(dice);
    text += "host: h";
    text += line_end(dice);
    for _ in 0..dice.below(4) {
        text += FIELDS[dice.below(FIELDS.len())];
        text += line_end(dice);
    }
    text += line_end(dice);
    text + BODIES[dice.below(BODIES.len())]
}

/// Splits the result of [`understood`] into the requests that the server parsed, and the text after
/// them (`+` if the server also parsed the next request).
fn cells(line: &str) -> (Vec<String>, String) {
    let mut words = line.split(' ');
    let mut cells = Vec::new();
    while let Some(word) = words.next() {
        if word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase()) {
            let rest: Vec<&str> = words.by_ref().take(2).collect();
            cells.push(format!("{word} {}", rest.join(" ")));
        } else {
            let end = [word].into_iter().chain(words).collect::<Vec<_>>();
            return (cells, end.join(" "));
        }
    }
    (cells, String::new())
}

#[test]
fn request_is_split_as_other_servers_split_it() {
    let full = prerequisite::is_full();
    let messages = if full { 6_000 } else { 400 };
    let (_upstream, served) = telling();
    let (hyper, gateway) = (hyper_alone(), served.address);
    let threads = 16;
    let (mut requests, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mut dice = Dice(thread);
                    let mut counted = (0, 0);
                    for _ in 0..messages / threads {
                        let mut text = message(&mut dice);
                        if dice.below(2) == 0 {
                            text += &message(&mut dice);
                        }
                        let (theirs, their_end) = cells(&understood(hyper, &text));
                        let (ours, our_end) = cells(&understood(gateway, &text));
                        let difference = format!(
                            "{text:?}\nhyper: {theirs:?} {their_end}\ngwd: {ours:?} {our_end}"
                        );
                        assert!(theirs.starts_with(&ours), "{difference}");
                        // If the gateway accepts a further request, it has parsed the whole
                        // message.
                        let whole = our_end == "+";
                        assert!(
                            !whole || (ours.len(), &*their_end) == (theirs.len(), "+"),
                            "{difference}"
                        );
                        counted.0 += ours.len();
                        counted.1 += usize::from(our_end.starts_with('4'));
                    }
                    counted
                })
            })
            .collect();
        for part in parts {
            let (some, others) = part.join().unwrap();
            requests += some;
            refused += others;
        }
    });
    // The test is useful only if many messages are accepted and many are refused.
    let messages = usize::try_from(messages).unwrap();
    assert!(requests > messages / 4, "{requests} of {messages}");
    assert!(refused > messages / 4, "{refused} of {messages}");
}
