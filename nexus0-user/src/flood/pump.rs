//! One thread on each processor, each in one call that lasts as long as the flood: between two calls the
//! kernel waits, tens of milliseconds, for all programs one after the other. A signal ends a call.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{Pid, getpid, gettid};

const NUDGE: Signal = Signal::SIGUSR1;
const TICK: Duration = Duration::from_millis(1);

/// Calls `send` on each processor with its load, again and again until `over` says so of it.
pub(super) fn drive<'a, T: Sync + 'a>(
    loads: impl Iterator<Item = (&'a usize, &'a T)>,
    over: impl Fn(&T) -> Result<bool> + Sync,
    send: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    let mut result = Ok(());
    install_handler()?;
    let (over, send) = (&over, &send);
    thread::scope(|scope| {
        let (report, started) = std::sync::mpsc::channel();
        let mut threads = Vec::new();
        for (processor, load) in loads {
            let report = report.clone();
            let thread = scope.spawn(move || {
                report.send(gettid()).ok();
                crate::lab::process::pin_to(*processor)?;
                while !over(load)? {
                    send(load)?;
                }
                Ok(())
            });
            let thread_id = started.recv();
            threads.push((thread, thread_id, load));
        }
        for (thread, thread_id, load) in threads {
            while !thread.is_finished() {
                thread::sleep(TICK);
                if !matches!(over(load), Ok(false))
                    && let Ok(id) = thread_id
                {
                    nudge(id);
                }
            }
            let done = thread.join();
            let done = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = std::mem::replace(&mut result, Ok(())).and(done);
        }
    });
    result
}

/// Interrupts the call that a thread of this process is in.
fn nudge(thread: Pid) {
    // SAFETY: no memory is involved; a thread that has ended is no error.
    unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            getpid().as_raw(),
            thread.as_raw(),
            NUDGE as libc::c_int,
        )
    };
}

/// A handler that does nothing: without one the signal would end the process.
fn install_handler() -> Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    let action = SigAction::new(
        SigHandler::Handler(nothing),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler touches nothing.
    unsafe { sigaction(NUDGE, &action) }.context("cannot handle SIGUSR1")?;
    Ok(())
}
