//! Limits what calls to language models cost, by their tokens.
//!
//! ```yaml
//! policies:
//!   chat: {kind: llm, provider: openai, models: [gpt-4o], tokens: 100000/h, key: consumer}
//! ```
//! The tokens of an answer are known at its end: limits hold approximately.

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
                "Whose format the messages have.",
            ),
            Field::optional(
                "models",
                Shape::Several(&Shape::Form(&forms::WORDS)),
                "Models that may be asked; all where nothing is said.",
            ),
            Field::optional(
                "tokens",
                Shape::Rate,
                "Tokens per period, those of the question and of the answer.",
            ),
            Field::optional(
                "max_tokens",
                Shape::Integer(1, 1 << 31),
                "The most tokens of one answer.",
            ),
            Field::optional(
                "key",
                Shape::Form(&forms::COUNTER_KEY),
                "Who shares the tokens: `consumer`.",
            ),
            Field::optional(
                "store",
                Shape::Name("a store or `local`"),
                "Where tokens are counted: `local`, or a store that a fleet shares.",
            ),
        ],
        rules: &[],
    };
}
