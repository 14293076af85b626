//! A member that lies. It holds the epoch key and its own identity, and nothing of anybody else's.

use nexus0_common::auth::FrameKey;
use nexus0_common::wire::{Bye, Class, FrameType, GROUP, Header, SEQUENCE_END, authenticated_len};

use super::network::Sim;
use super::oracle::Cause;
use super::packet::{Origin, Packet};
use super::plan::Lie;
use crate::epoch::EpochKey;
use crate::id::{ChainId, NodeId};
use crate::time::Time;
use crate::turn::PROMOTION;

/// Frames of a spam: more than a member's bucket holds.
const SPAM: usize = 400;

impl Sim {
    /// Has a member lie, if it is one; `dead` is the host that was killed last.
    pub(crate) fn lie(&mut self, liar: usize, lie: Lie, dead: Option<usize>) {
        let told = match lie {
            Lie::ForgeAnn => self.forge_pulses(liar),
            Lie::Spam => self.spam(liar),
            Lie::Promote => self.announce_falsely(liar, Claim::Promotion),
            Lie::Equivocate => self.announce_falsely(liar, Claim::OtherNext),
            Lie::AnnounceOld => self.announce_falsely(liar, Claim::OtherCurrent),
            Lie::ReviveDead => dead.and_then(|dead| self.revive(liar, dead)),
        };
        let name = match lie {
            Lie::ForgeAnn => "member-forged-ann",
            Lie::Spam => "member-spammed",
            Lie::Promote => "member-promoted-falsely",
            Lie::Equivocate => "member-equivocated",
            Lie::AnnounceOld => "member-announced-old",
            Lie::ReviveDead => "member-revived-the-dead",
        };
        if let (Some(()), Some(watch)) = (told, &mut self.watch) {
            watch.sometimes.note(name);
        }
    }

    fn local(&self, host: usize) -> Time {
        self.nodes[host].clock.shows(self.now)
    }

    fn forge_pulses(&mut self, liar: usize) -> Option<()> {
        for host in 0..self.nodes.len() {
            if host != liar {
                let sequence = (1 << 20) + self.draw(1 << 30);
                self.forge(
                    liar,
                    self.id(host),
                    FrameType::Ann,
                    sequence.min(SEQUENCE_END - 1),
                )?;
            }
        }
        Some(())
    }

    /// A frame in another's name under the group's key: tagged rightly, signed by nobody.
    fn forge(&mut self, liar: usize, sender: NodeId, kind: FrameType, sequence: u64) -> Option<()> {
        let under = self.nodes[liar]
            .node
            .as_ref()?
            .under_current(self.local(liar))?;
        let key = FrameKey {
            id: under.material.id.0,
            pre_tag: under.material.pre_tag,
            midstates: under.material.midstates,
        };
        let header = Header {
            version: under.material.wire,
            frame_type: kind,
            class: Class::Multicast,
            key_id: key.id,
            sender: sender.0,
            sequence,
        };
        let mut payload = header.emit().to_vec();
        payload.resize(kind.authenticated_len().unwrap_or(authenticated_len(1)), 0);
        let source = self.nodes[liar].address;
        payload.extend(key.trailer(&payload, &source, &GROUP)?);
        let packet = Packet::new(Origin::Traitor(liar), source, GROUP, &payload, self.now);
        self.put(Some(liar), &packet);
        Some(())
    }

    fn spam(&mut self, liar: usize) -> Option<()> {
        let local = self.local(liar);
        let node = self.nodes[liar].node.as_mut()?;
        let under = node.under_current(local)?;
        for _ in 0..SPAM {
            let (chain, reason) = ([0xee; 8], 1);
            node.send(&under, GROUP, &Bye { chain, reason })?;
        }
        self.drain(liar, &Cause::Command);
        Some(())
    }

    /// An EPOCH that its own protocol would not send.
    fn announce_falsely(&mut self, liar: usize, claim: Claim) -> Option<()> {
        let local = self.local(liar);
        let node = self.nodes[liar].node.as_mut()?;
        let lineage = node.lineage.as_ref()?;
        let reigns = lineage.anchor == node.id;
        let (chain, number) = (lineage.chain, lineage.number);
        let under = node.under_current(local)?;
        let ends = node.keys.current(chain, local)?.activation + node.rhythm.epoch;
        let (chain, parent, number, activation, flags) = match claim {
            Claim::Promotion if !reigns => (
                ChainId(node.random()),
                Some(chain),
                number + 2,
                local,
                PROMOTION,
            ),
            Claim::OtherNext if reigns => (chain, lineage.parent, number + 1, ends, 0),
            Claim::OtherCurrent if reigns => (chain, lineage.parent, number, ends, 0),
            _ => return None,
        };
        let material = node.fresh_material(local);
        let rhythm = node.rhythm;
        let key = EpochKey::new(material, chain, number, activation, rhythm);
        let body = node.epoch_body(local, &under, &key, parent, flags)?;
        node.send(&under, GROUP, &body)?;
        self.drain(liar, &Cause::Command);
        Some(())
    }

    /// A dead anchor's last frames again, and pulses in its name.
    fn revive(&mut self, liar: usize, dead: usize) -> Option<()> {
        let sequence = (1 << 21) + self.draw(1 << 30);
        self.forge(liar, self.id(dead), FrameType::Ann, sequence)?;
        self.forge(liar, self.id(dead), FrameType::Anchor, sequence + 1)?;
        let old: Vec<_> = self.tap.as_ref()?.of(dead).cloned().collect();
        for packet in old.iter().rev().take(8) {
            self.put(None, packet);
        }
        Some(())
    }
}

#[derive(Clone, Copy)]
enum Claim {
    Promotion,
    OtherNext,
    OtherCurrent,
}
