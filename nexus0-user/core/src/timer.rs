//! A node's deadlines, by name.

use std::collections::BTreeMap;

use crate::time::Time;

/// What can be due. When several are, the one with the earlier deadline goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Repeat the request to join.
    Request,
    /// Judge whether to start a chain.
    Judge,
    /// No better answer is waited for any longer.
    Welcome,
    /// Answer the requests gathered.
    Batch,
    /// Multicast the roster entries of newcomers.
    Newcomers,
    /// Multicast the whole roster.
    Pages,
    /// Ask for the roster.
    AskRoster,
    /// Ask for the next epoch.
    AskEpoch,
    /// Draw the next door nonce.
    Nonce,
    /// Send a pulse.
    Pulse,
    /// Announce the next epoch.
    Announce,
    /// An epoch ends.
    Turn,
    /// Look at the anchor's silence.
    Suspect,
    /// Repeat the promotion.
    Repeat,
    /// Say once more that a promotion was taken back.
    Retract,
    /// The next step of a merge.
    Merge,
    /// Repeat the preemption.
    Preempt,
    /// Show an EPOCH, or the two that prove a cheat.
    Show,
    /// Repeat the break of a chain.
    RepeatBreak,
    /// Pass the revocation list on.
    PassOn,
    /// Ask for a newer revocation list.
    AskRevocations,
    /// Join again.
    Rejoin,
    /// Forget what is over.
    Sweep,
}

/// All deadlines set.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeMap<Timer, Time>);

impl Timers {
    /// Sets a deadline, in place of an earlier setting.
    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        self.0.insert(timer, at);
    }

    /// Sets a deadline unless one is set.
    pub(crate) fn set_once(&mut self, timer: Timer, at: Time) {
        self.0.entry(timer).or_insert(at);
    }

    /// Sets a deadline unless an earlier one is set.
    pub(crate) fn bring_forward(&mut self, timer: Timer, at: Time) {
        let due = self.0.entry(timer).or_insert(at);
        *due = (*due).min(at);
    }

    /// Clears a deadline.
    pub(crate) fn stop(&mut self, timer: Timer) {
        self.0.remove(&timer);
    }

    /// Whether a deadline is set.
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.0.contains_key(&timer)
    }

    /// The earliest deadline of those that are not about joiners, whose requests are better gathered.
    pub(crate) fn pressing(&self) -> Option<Time> {
        let gathers =
            |timer: &Timer| matches!(timer, Timer::Batch | Timer::Newcomers | Timer::Pages);
        let pressing = self.0.iter().filter(|(timer, _)| !gathers(timer));
        pressing.map(|(_, at)| *at).min()
    }

    /// Clears all.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The next deadline.
    pub(crate) fn next(&self) -> Option<Time> {
        self.0.values().min().copied()
    }

    /// Takes out what is due.
    pub(crate) fn due(&mut self, now: Time) -> Option<Timer> {
        let (timer, at) = self.0.iter().min_by_key(|(timer, at)| (**at, **timer))?;
        let (timer, at) = (*timer, *at);
        if at > now {
            return None;
        }
        self.0.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_the_order_of_their_deadlines_and_once() {
        let mut timers = Timers::default();
        timers.set(Timer::Pulse, Time(20));
        timers.set(Timer::Turn, Time(10));
        timers.set_once(Timer::Turn, Time(30));
        assert_eq!(timers.next(), Some(Time(10)));
        assert_eq!(timers.due(Time(9)), None);
        assert_eq!(timers.due(Time(20)), Some(Timer::Turn));
        assert_eq!(timers.due(Time(20)), Some(Timer::Pulse));
        assert_eq!(timers.due(Time(20)), None);
    }
}
