//! Context for checking records and revocation lists: trust file, channel and time.

use crate::moment::Moment;
use crate::name::ChannelName;
use crate::refused::Refused;
use crate::trust::Trust;

/// Maximum time by which a signer's clock may be ahead of the local clock, in seconds.
pub const CLOCK_SKEW_S: u64 = 300;

/// Context for checking records and revocation lists: trust file, channel and time.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Trust file of the operator. Only records of its project are accepted.
    pub trust: &'a Trust,
    /// Channel whose records are accepted.
    pub channel: &'a ChannelName,
    /// Current time: the clock's, or the newest accepted `created` if that is later.
    pub now: Moment,
}

pub(crate) fn check_created(context: &Context<'_>, created: Moment) -> Result<(), Refused> {
    if created > context.now.plus_s(CLOCK_SKEW_S) {
        return Err(Refused::FromTheFuture { created });
    }
    Ok(())
}
