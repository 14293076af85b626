//! One frame of every type.

use nexus0_common::wire::{
    Anchor, Ann, Answer, Ask, Beacon, Body, Bye, Class, DoorProbe, DoorReply, DoorRevoke, Exhibit,
    GROUP, Hold, INTRODUCED_LEN, Introduce, Probe, ProbeReply, Proof, Pulse, Rekey, Revoke, Roster,
    StillHere,
};

use super::object::Object;
use super::world::{CHAIN, PEER, SOURCE, World, body_bytes};
use crate::identity::Identity;
use crate::send::{Envelope, Under, class_of};

impl World {
    pub(super) fn frame<B: Body>(
        &self,
        body: &B,
        by: &Identity,
        under: &Under,
        to: [u8; 16],
    ) -> (Object, Vec<u8>) {
        let source = if by.node_id() == self.anchor.node_id() {
            SOURCE
        } else {
            PEER
        };
        let sequence = 0x0010_0001;
        let (mesh, identity) = (self.root.mesh_id(), by);
        let envelope = Envelope {
            mesh,
            identity,
            under,
            source,
            destination: to,
            sequence,
        };
        let payload = envelope.frame(body).unwrap();
        let mut object = Object::default();
        object
            .number("type", B::TYPE as u64)
            .hex("source", &source)
            .hex("destination", &to);
        object.text(
            "class",
            if class_of(&to) == Class::Multicast {
                "multicast"
            } else {
                "unicast"
            },
        );
        object.text(
            "key",
            if under.chain.is_some() {
                "epoch"
            } else {
                "door"
            },
        );
        object
            .hex("chain", &under.chain.unwrap_or_default().0)
            .hex("sender", &by.node_id().0);
        object
            .number("sequence", sequence)
            .hex("body", &body_bytes(body))
            .hex("payload", &payload);
        (object, payload)
    }

    pub(super) fn frames(&self) -> Object {
        let (anchor, joiner, door, current) =
            (&self.anchor, &self.joiner, &self.door, &self.current);
        let roster = self.roster();
        let digest = roster.digest().unwrap().0;
        let pulse = Pulse {
            status: 1,
            flags: 0,
            anchor: anchor.node_id().0,
            uptime: 3600,
            profile: self.anchor_grant.profile().0,
            roster: digest,
            next_key: [0x71; 4],
            revocation: 3,
        };
        let follower = Pulse {
            status: 0,
            profile: self.joiner_grant.profile().0,
            ..pulse
        };
        let (grant, chain, nonce) = (*self.anchor_grant.bytes(), CHAIN.0, [0x72; 16]);
        let entries: Vec<[u8; 137]> = roster
            .succession()
            .iter()
            .map(|id| roster.entry(*id).unwrap().bytes())
            .collect();
        let entries = entries.as_slice();
        let (_, ephemeral, welcome) = self.welcome();
        let answer = Answer {
            ephemeral,
            chain,
            number: 7,
            flags: 1,
            entries: &[welcome],
            epoch: 60_000,
            pulse: 5_000,
            remaining: 30_000,
            roster: digest,
            members: 2,
            revocation: 3,
            grant,
            wire: 1,
            next_wire: 1,
        };
        let (anchor_pulse, payload) = self.frame(&Anchor(pulse), anchor, current, GROUP);
        let still_here = StillHere {
            source: SOURCE,
            pulse: *payload.first_chunk().unwrap(),
        };
        let ann = self.frame(&Ann(follower), joiner, current, GROUP).0;
        let request = self.request().0;
        let mut all = Object::default();
        all.object("ANN", &ann).object("ANCHOR", &anchor_pulse);
        all.object(
            "EPOCH",
            &self.frame(&self.epoch().1, anchor, current, GROUP).0,
        );
        let body = Roster {
            chain,
            number: 7,
            roster: digest,
            members: 2,
            entries,
        };
        all.object("ROSTER", &self.frame(&body, anchor, current, GROUP).0);
        all.object(
            "BYE",
            &self
                .frame(&Bye { chain, reason: 1 }, anchor, current, GROUP)
                .0,
        );
        all.object(
            "STILL-HERE",
            &self.frame(&still_here, joiner, current, SOURCE).0,
        );
        all.object(
            "PROBE",
            &self.frame(&Probe { nonce }, joiner, current, SOURCE).0,
        );
        let body = ProbeReply { nonce, state: 3 };
        all.object("PROBE-REPLY", &self.frame(&body, anchor, current, PEER).0);
        all.object(
            "ASK",
            &self
                .frame(
                    &Ask {
                        what: 1,
                        held: digest,
                    },
                    joiner,
                    current,
                    SOURCE,
                )
                .0,
        );
        self.later_frames(&mut all);
        all.object("REQ_EPOCH", &self.frame(&request, joiner, door, GROUP).0);
        all.object("ANSWER", &self.frame(&answer, anchor, door, GROUP).0);
        let body = Beacon {
            chain,
            number: 7,
            revocation: 3,
            door_nonce: [0x43; 4],
            grant,
        };
        all.object("BEACON", &self.frame(&body, anchor, door, GROUP).0);
        let body = Hold {
            request: self.request().1.0,
            grant,
        };
        all.object("HOLD", &self.frame(&body, anchor, door, PEER).0);
        all.object(
            "DOOR-PROBE",
            &self
                .frame(&DoorProbe { nonce, grant }, anchor, door, PEER)
                .0,
        );
        let body = DoorReply { nonce, state: 1 };
        all.object("DOOR-REPLY", &self.frame(&body, joiner, door, SOURCE).0);
        all
    }

    fn later_frames(&self, all: &mut Object) {
        let (anchor, joiner, door, current) =
            (&self.anchor, &self.joiner, &self.door, &self.current);
        let (under, preemption) = self.preemption();
        let frame = self.frame(&preemption, anchor, &under, GROUP).0;
        all.object("EPOCH (preemption)", &frame);
        let bytes = self.revocations();
        let list = Revoke::parse(bytes.bytes()).unwrap();
        all.object("REVOKE", &self.frame(&list, joiner, current, GROUP).0);
        let body = DoorRevoke(list);
        all.object("DOOR-REVOKE", &self.frame(&body, anchor, door, GROUP).0);
        let epoch = self.epoch().1;
        let (_, entry) = self.rekey();
        let entries = [entry];
        let body = Rekey {
            entries: &entries,
            ..self.rekey_head()
        };
        all.object("REKEY", &self.frame(&body, anchor, current, GROUP).0);
        let body = self.merge().1;
        all.object("MERGE", &self.frame(&body, joiner, current, GROUP).0);
        let exhibits = [epoch, self.contradiction()].map(|epoch| {
            let payload = self.frame(&epoch, anchor, current, GROUP).1;
            let frame = *payload.first_chunk().unwrap();
            Exhibit {
                chain: CHAIN.0,
                source: SOURCE,
                frame,
            }
            .bytes()
        });
        let body = Proof {
            exhibits: &exhibits,
        };
        all.object("PROOF", &self.frame(&body, joiner, current, GROUP).0);
        let mut introduced = [1; INTRODUCED_LEN];
        introduced[1..].copy_from_slice(self.joiner_grant.bytes());
        let body = Introduce {
            entries: &[introduced],
        };
        all.object("INTRODUCE", &self.frame(&body, joiner, current, SOURCE).0);
    }
}
