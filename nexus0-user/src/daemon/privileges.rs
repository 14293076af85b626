//! Giving up what the node no longer needs once the filter is attached.

use std::fs;

use anyhow::{Context, Result};
use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;

/// First kernel on which a process without capabilities may write to maps it holds.
const NO_CAPABILITY_SINCE: (u32, u32) = (5, 19);

/// No core dumps and no tracing by others: memory holds keys. No new privileges through exec.
pub(super) fn harden() -> Result<()> {
    prctl::set_dumpable(false).context("cannot forbid core dumps")?;
    prctl::set_no_new_privs().context("cannot forbid new privileges")
}

/// Drops every capability but the few that later work needs; returns those.
pub(super) fn drop_capabilities() -> Result<Vec<Capability>> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let keep = needed(parse_release(&release));
    let held = caps::read(None, CapSet::Permitted).context("cannot read capabilities")?;
    let kept: CapsHashSet = held.intersection(&keep).copied().collect();
    let empty = CapsHashSet::new();
    drop_bounding(&kept);
    // Ambient ones go with the permitted and inheritable ones they depend on.
    caps::set(None, CapSet::Inheritable, &empty).context("cannot drop capabilities")?;
    caps::set(None, CapSet::Effective, &kept).context("cannot drop capabilities")?;
    caps::set(None, CapSet::Permitted, &kept).context("cannot drop capabilities")?;
    Ok(kept.into_iter().collect())
}

/// Needs CAP_SETPCAP; without it there is nothing in the set that could be regained anyway, since
/// new privileges are forbidden.
fn drop_bounding(kept: &CapsHashSet) {
    for capability in caps::all() {
        if !kept.contains(&capability) {
            let _ = caps::drop(None, CapSet::Bounding, capability);
        }
    }
}

fn needed(kernel: Option<(u32, u32)>) -> CapsHashSet {
    if kernel.is_some_and(|version| version >= NO_CAPABILITY_SINCE) {
        CapsHashSet::new()
    } else {
        CapsHashSet::from([Capability::CAP_BPF])
    }
}

/// Major and minor number of a kernel release such as `6.1.0-18-amd64`.
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release
        .trim()
        .split(['.', '-', '+'])
        .map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_unknown_kernels_keep_the_one_capability_maps_need() {
        assert!(needed(parse_release("5.19.0")).is_empty());
        assert!(needed(parse_release("6.1.0-18-amd64\n")).is_empty());
        assert_eq!(needed(parse_release("5.15.160")).len(), 1);
        assert_eq!(needed(parse_release("")).len(), 1);
        assert_eq!(parse_release("6.18+fc"), Some((6, 18)));
    }
}
