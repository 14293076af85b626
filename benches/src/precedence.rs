//! Before whatever else the machine does: by this process's priority, and by that of its session, since the
//! kernel shares processors among sessions first.

use std::fs;

use nix::libc;

const SESSION: &str = "/proc/self/autogroup";
const FIRST: i32 = -20;

/// Precedence until it is given back.
pub(crate) struct Precedence {
    before: Option<String>,
}

impl Precedence {
    pub(crate) fn take() -> Self {
        // SAFETY: no memory is involved; on failure the priority stays as it was.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, FIRST) };
        let before = session();
        fs::write(SESSION, FIRST.to_string()).ok();
        Self { before }
    }

    /// Gives the session back what it had; the process is about to end.
    pub(crate) fn give_back(&self) {
        if let Some(nice) = &self.before {
            fs::write(SESSION, nice).ok();
        }
    }
}

/// Lets a thread (0: the calling one) run whenever it has something to do, before all ordinary ones and those
/// of a lower rank. The kernel leaves ordinary ones a twentieth of the time nevertheless.
pub(crate) fn real_time(thread: i32, rank: i32) {
    let parameter = libc::sched_param {
        sched_priority: rank,
    };
    // SAFETY: the parameter lives through the call; on failure the priority stays as it was.
    unsafe { libc::sched_setscheduler(thread, libc::SCHED_FIFO, &raw const parameter) };
}

/// The nice value of this session, where sessions have one.
fn session() -> Option<String> {
    let text = fs::read_to_string(SESSION).ok()?;
    text.trim()
        .rsplit_once(' ')
        .map(|(_, nice)| nice.to_owned())
}
