//! Text of files that Git does not track. Plans show only locations in such files, never their
//! text.

use diag::{Kind, NodeRef};
use sources::project::files::Files;

/// Minimum length of a concealed word, in bytes. Shorter words reveal no secret.
const WORD_MIN: usize = 4;

/// Texts that plans must not show: the texts of files that Git does not track.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConcealedTexts {
    files: Vec<Hidden>,
    /// Texts of all files that may be shown, joined.
    shown: String,
}

/// A file that Git does not track.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hidden {
    path: String,
    text: String,
    /// Keys and scalar values of the file, after parsing.
    words: Vec<String>,
}

impl ConcealedTexts {
    /// Collects the project texts that plans must not show.
    pub(super) fn of(files: &Files) -> Self {
        let concealed = files.concealed();
        let mut all = Self::default();
        if concealed.is_empty() {
            return all;
        }
        for (file, source) in files.sources.iter() {
            if !concealed.contains(&file) {
                all.shown.push_str(source.text());
                all.shown.push('\n');
                continue;
            }
            let nodes = files.tree.nodes().filter(|node| node.span().file == file);
            let words = nodes.flat_map(words);
            all.files.push(Hidden {
                path: source.path().to_owned(),
                text: source.text().to_owned(),
                words: words.filter(|word| word.len() >= WORD_MIN).collect(),
            });
        }
        all
    }

    /// True if the project has no text to conceal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Path of the concealed file whose text a value would reveal. `None` if the value reveals no
    /// such text, for example because a file that Git tracks contains it as well.
    #[must_use]
    pub fn shown_by(&self, value: &str) -> Option<&str> {
        let is_between = |c: char| c.is_whitespace() || ",;:|&\"'`[]{}()…".contains(c);
        let parts = value.split(is_between);
        let parts: Vec<&str> = parts.filter(|part| part.len() >= WORD_MIN).collect();
        let is_new = |word: &str| !self.shown.contains(word);
        let shows = |file: &&Hidden| {
            let mut parts = parts.iter();
            let mut words = file.words.iter();
            parts.any(|part| {
                let is_read = || file.words.iter().any(|word| word.contains(part));
                is_new(part) && (file.text.contains(part) || is_read())
            }) || words.any(|word| value.contains(word) && is_new(word))
        };
        self.files.iter().find(shows).map(|file| file.path.as_str())
    }
}

/// Keys and scalar text of a node.
fn words(node: NodeRef<'_>) -> Vec<String> {
    let mut words: Vec<String> = node
        .entries()
        .map(|(entry, _)| entry.key.to_string())
        .collect();
    if let Kind::Number(text) | Kind::String(text) = node.kind() {
        words.push(text.to_string());
    }
    words
}
