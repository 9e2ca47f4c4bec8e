//! The circumstances in which records and revocation lists are judged.

use crate::moment::Moment;
use crate::name::ChannelName;
use crate::refused::Refused;
use crate::trust::Trust;

/// Maximum time by which a signer's clock may be ahead of ours, in seconds.
pub const CLOCK_SKEW_S: u64 = 300;

/// Trust file, channel and time by which records and revocation lists are judged.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The operator's trust file. Its project is the only one that counts.
    pub trust: &'a Trust,
    /// The only channel that counts.
    pub channel: &'a ChannelName,
    /// The clock, or the newest `created` that was accepted if that is later.
    pub now: Moment,
}

pub(crate) fn check_created(context: &Context<'_>, created: Moment) -> Result<(), Refused> {
    if created > context.now.plus_s(CLOCK_SKEW_S) {
        return Err(Refused::FromTheFuture { created });
    }
    Ok(())
}
