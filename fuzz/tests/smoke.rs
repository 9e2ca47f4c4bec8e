//! Short fuzz run with mutated samples for every target. The run needs neither cargo-fuzz nor a C++
//! compiler. The inputs are the same in every run, so that failures can be reproduced.

use gateway_fuzz::targets;

/// Number of inputs per target. Targets that compile whole projects get fewer inputs.
const INPUTS: usize = 40_000;

/// Strings that break parsers more often than single bytes do.
const WORDS: [&[u8]; 24] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"'",
    b"&a ",
    b"*a",
    b"<<: ",
    b": ",
    b"- ",
    b"\n",
    b"\x00",
    b"\xff",
    b"$ref",
    b"%2F",
    b"..",
    b"{x}",
    b"/",
    b"18446744073709551616",
    b"-1",
    b"~1",
    b"#",
    b"\xe2\x80\xa8",
];

#[test]
fn no_input_makes_a_target_panic() {
    for (name, target, samples) in targets() {
        for sample in &samples {
            target(sample);
        }
        let mut dice = Dice(name.len() as u64);
        let slow = !matches!(
            name,
            "yaml"
                | "json"
                | "outline"
                | "template"
                | "path"
                | "bundle_open"
                | "statement"
                | "host_file"
                | "trust"
                | "registry"
                | "edge"
                | "header_block"
                | "proxy_header"
                | "processor"
                | "location"
                | "set_cookie"
                | "token"
                | "client_cert"
                | "signature"
                | "accept"
                | "forwarded"
                | "keep_alive"
                | "log_line"
                | "query"
                | "path_parameter"
                | "cookie"
                | "form_body"
                | "multipart_body"
                | "json_body"
                | "sequence"
                | "threat_json"
                | "threat_xml"
        );
        for number in 0..if slow { INPUTS / 4 } else { INPUTS } {
            let input = mutated(&samples, &mut dice);
            let result = std::panic::catch_unwind(|| target(&input));
            assert!(
                result.is_ok(),
                "input {number} of {name}: {:?}",
                String::from_utf8_lossy(&input)
            );
        }
    }
}

fn mutated(samples: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = samples[dice.below(samples.len())].clone();
    for _ in 0..1 + dice.below(6) {
        let at = dice.below(input.len() + 1);
        match dice.below(6) {
            0 if at < input.len() => input[at] ^= 1 << dice.below(8),
            1 if at < input.len() => {
                let end = (at + 1 + dice.below(16)).min(input.len());
                input.drain(at..end);
            }
            2 => {
                let word = WORDS[dice.below(WORDS.len())];
                input.splice(at..at, word.iter().copied());
            }
            3 => {
                // Insert a copy of a part of the input.
                let end = (at + dice.below(64)).min(input.len());
                let piece = input[at..end].to_vec();
                let to = dice.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            4 => {
                let other = &samples[dice.below(samples.len())];
                let from = dice.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => input.truncate(at),
        }
    }
    input
}

/// Pseudorandom number generator (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound.max(1) as u64).unwrap_or(0)
    }
}
