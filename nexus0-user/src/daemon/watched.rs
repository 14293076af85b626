//! A descriptor that the reactor watches for something to read.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// An owner of one open descriptor, lent out by shared reference only.
pub(super) struct Watched<T: AsFd>(AsyncFd<Owner<T>>);

struct Owner<T>(T);

impl<T: AsFd> AsRawFd for Owner<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl<T: AsFd> Watched<T> {
    /// Watches `inner`: a socket, a timer or another plain owner of a non-blocking descriptor.
    pub(super) fn new(inner: T) -> io::Result<Self> {
        // SAFETY: the owner keeps its one descriptor open until it is dropped with the AsyncFd, and
        // nothing here gives it out mutably.
        let watched = unsafe { AsyncFd::register_with_interest(Owner(inner), Interest::READABLE) };
        Ok(Self(watched?))
    }

    /// Returns when there may be something to read. Whatever is there must then be read to its end:
    /// the reactor tells of new arrivals only.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await.map(|mut ready| ready.clear_ready())
    }

    /// The same for one that waits for several.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ready = self.0.poll_read_ready(context);
        ready.map(|ready| ready.map(|mut ready| ready.clear_ready()))
    }

    /// What is watched.
    pub(super) fn get(&self) -> &T {
        &self.0.get_ref().0
    }
}
