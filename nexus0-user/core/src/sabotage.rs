//! Faults planted on purpose, each of which an oracle of the simulator must notice.
//!
//! They exist in tests and with the feature `sabotage`; without it [`planted`] is a constant `false`, and a
//! production build holds nothing of them.

use serde::Serialize;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident $name:literal $oracle:literal;)*) => {
        /// A planted fault. One line here and one `if planted(..)` where it acts make another.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Sabotage { $($(#[$doc])* $variant,)* }

        impl Sabotage {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As it is called on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The oracle that must notice it.
            pub const fn oracle(self) -> &'static str {
                match self { $(Self::$variant => $oracle),* }
            }
        }
    };
}

kinds! {
    /// Neither filter nor node look at the replay window.
    IgnoreWindow "ignore-window" "once";
    /// Neither filter nor node compare the tag.
    SkipTag "skip-tag" "genuine";
    /// Signatures are not looked at.
    SkipSignature "skip-signature" "genuine";
    /// An EPOCH with a number already taken is taken again.
    AcceptOlderNumber "accept-older-number" "fenced";
    /// Everybody takes itself for the first in the order: who speaks first is followed.
    FirstHeard "first-heard" "maximum";
    /// Keys do not end.
    ImmortalKey "immortal-key" "epoch-ends";
    /// Every answer is sent twice.
    AnswerTwice "answer-twice" "amplification";
    /// A member promotes itself at the first missed pulse, without probes.
    PromoteUnprobed "promote-unprobed" "deposed";
    /// A promotion is followed although the anchor lives.
    ObeyAnyone "obey-anyone" "deposed";
    /// The next epoch's secret is the current one's.
    SameSecret "same-secret" "fresh-secret";
    /// An event carries a secret.
    LeakInEvent "leak-in-event" "secrets";
    /// An announcement carries the secret as its salt.
    LeakInFrame "leak-in-frame" "secrets";
    /// Beacons of better anchors are ignored.
    IgnoreBeacons "ignore-beacons" "heal-bound";
    /// The anchor answers a request at its fifth repetition only.
    AnswerLate "answer-late" "join-bound";
    /// Keys that are over are not let go.
    HoardKeys "hoard-keys" "caps";
    /// Any member's ANN is a sign of life of the anchor.
    BelieveAnyone "believe-anyone" "failover-bound";
    /// A key is accepted from a second after its turn on.
    LateKey "late-key" "delivered";
    /// A node that restarts sends from sequence one again, whatever floor it was told.
    ForgetFloor "forget-floor" "fresh-sequence";
    /// Who is expelled stays in roster and filter.
    KeepExpelled "keep-expelled" "expelled";
    /// Lists that others show are not taken.
    DeafToLists "deaf-to-lists" "informed";
    /// An anchor that takes somebody out keeps its chain.
    NeverBreak "never-break" "left-behind";
    /// Every epoch is drawn in the lowest wire version.
    StayLow "stay-low" "versions";
    /// An anchor announces the succession of the moment.
    Fickle "fickle" "framed";
}

impl Sabotage {
    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Whether this build can plant faults.
    pub const fn available() -> bool {
        cfg!(any(test, feature = "sabotage"))
    }
}

#[cfg(any(test, feature = "sabotage"))]
mod switch {
    use core::cell::Cell;

    use super::Sabotage;

    thread_local! {
        static PLANTED: Cell<Option<Sabotage>> = const { Cell::new(None) };
    }

    pub(crate) fn planted(kind: Sabotage) -> bool {
        PLANTED.get() == Some(kind)
    }

    pub(super) fn set(kind: Option<Sabotage>) {
        PLANTED.set(kind);
    }
}

#[cfg(not(any(test, feature = "sabotage")))]
mod switch {
    use super::Sabotage;

    #[inline(always)]
    pub(crate) const fn planted(_: Sabotage) -> bool {
        false
    }

    pub(super) const fn set(_: Option<Sabotage>) {}
}

/// Whether this fault is planted on this thread.
pub(crate) use switch::planted;

/// Plants a fault on this thread until it is dropped.
#[derive(Debug)]
pub(crate) struct Planted(());

impl Planted {
    pub(crate) fn new(kind: Option<Sabotage>) -> Self {
        switch::set(kind);
        Self(())
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        switch::set(None);
    }
}
