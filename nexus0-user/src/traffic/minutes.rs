//! The three minutes that are measured of a system: idle, with a newcomer, with its leader lost.

use anyhow::Context;

use super::MINUTE;
use super::segment::{Account, Segment, Station};

/// What one system sends in a minute.
pub(super) struct Measured {
    pub(super) idle: Account,
    pub(super) failover: Account,
    pub(super) join: Account,
    /// What the turn of the epoch sends in the idle minute, where there is one.
    pub(super) turn: Option<Account>,
}

/// A station of a system that can lose its leader and gain a member.
pub(super) trait Member: Station + Sized {
    /// Brings one more.
    fn join(segment: &mut Segment<Self>) -> anyhow::Result<()>;

    /// Whether the newcomer is one of them.
    fn joined(segment: &Segment<Self>) -> bool;

    /// Who leads, if exactly one does.
    fn leader(segment: &Segment<Self>) -> Option<usize>;
}

/// Measures a system that has settled.
pub(super) fn measure<S: Member>(segment: &mut Segment<S>) -> anyhow::Result<Measured> {
    let idle = segment.run(MINUTE);
    S::join(segment)?;
    let join = segment.run(MINUTE);
    anyhow::ensure!(S::joined(segment), "the newcomer was not let in");
    let lost = S::leader(segment).context("nobody leads")?;
    segment.kill(lost);
    let failover = segment.run(MINUTE);
    S::leader(segment).context("nobody leads after a failover")?;
    Ok(Measured {
        idle,
        failover,
        join,
        turn: None,
    })
}
