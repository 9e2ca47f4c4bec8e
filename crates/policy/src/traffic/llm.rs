//! Limits on the tokens of language-model calls.
//!
//! ```yaml
//! policies:
//!   chat: {kind: llm, provider: openai, models: [gpt-4o], tokens: 100000/h, key: consumer}
//! ```
//! The number of tokens is known only at the end of a response, so limits are approximate.

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: llm` settings.

    use diag::shape::{Field, Object, Shape};

    use crate::forms;

    /// The keys of `kind: llm`.
    pub static SHAPE: Object = Object {
        what: "limits on calls to language models",
        fields: &[
            Field::required(
                "provider",
                Shape::Word(&[
                    "openai",
                    "anthropic",
                    "azure",
                    "bedrock",
                    "gemini",
                    "mistral",
                ]),
                "Format of the messages.",
            ),
            Field::optional(
                "models",
                Shape::Several(&Shape::Form(&forms::WORDS)),
                "Models that may be used. Default: all.",
            ),
            Field::optional(
                "tokens",
                Shape::Rate,
                "Tokens per period, of prompts and answers. Default: unlimited.",
            ),
            Field::optional(
                "max_tokens",
                Shape::Integer(1, 1 << 31),
                "Maximum tokens of an answer. Default: unlimited.",
            ),
            Field::optional(
                "key",
                Shape::Form(&forms::COUNTER_KEY),
                "Key of the limit. Default: `consumer`.",
            ),
            Field::optional(
                "store",
                Shape::Name("a store or `local`"),
                "Store for counters: `local`, or a store that a fleet shares. Default: `local`.",
            ),
        ],
        rules: &[],
    };
}
