//! What to say of another node with this node's identity.

use std::net::Ipv6Addr;
use std::time::Duration;

use nexus0_core::view::{TwinView, View};

use super::address::interface_with;

/// It is recognised when it joins and while it leads: it may be there longer than it was last heard.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What is wrong and what to do, while it was heard lately.
pub(super) fn warning(view: &View) -> Option<String> {
    let lately = |twin: &TwinView| view.now.since(twin.heard) < REMEMBERED;
    let twin = view.twin.filter(lately)?;
    let ago = view.now.since(twin.heard).as_secs();
    Some(format!("{} (heard {ago} s ago)", advice(twin.address)))
}

/// The same, when it was just heard.
pub(super) fn advice(address: [u8; 16]) -> String {
    let shown = Ipv6Addr::from(address);
    match interface_with(address) {
        Some(interface) => format!(
            "{interface} of this machine ({shown}) is on the same link and speaks under the same identity: \
             others take the frames of one interface for replays of the other's; \
             start again with --iface for one of the two, or give them different links"
        ),
        None => format!(
            "another machine ({shown}) speaks under this node's identity: others take its frames for \
             replays of this node's; if its identity.key was copied from here, \
             move the copy away there, run `nexus0 identity` and grant the new key"
        ),
    }
}
