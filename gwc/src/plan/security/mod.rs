//! Who may do what: the order of access (plan.md, *Security order*).

mod who;

pub use who::{Atom, Verdict, Who, describe};
