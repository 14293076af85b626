//! Someone who has stolen secrets and reads everything that is on the link: how far can it follow?

use nexus0_common::auth::FrameKey;
use nexus0_common::wire::{
    Class, Epoch, FrameType, GROUP, HEADER_LEN, Header, Rekey, RekeyEntry, SIGNATURE_LEN,
    TRAILER_LEN, authenticated_len,
};

use super::Sim;
use crate::id::{ChainId, KeyId, MeshId, NodeId};
use crate::identity::Identity;
use crate::node::Node;
use crate::seal::{EpochSeal, RekeyBox};
use crate::secret::Material;

pub(crate) struct Thief {
    mesh: MeshId,
    pub(crate) secrets: Vec<Material>,
    identity: Option<Identity>,
    read: usize,
}

impl Thief {
    /// With the epoch secrets a node holds now.
    pub(crate) fn of_secrets(node: &Node) -> Self {
        Self {
            mesh: node.mesh,
            secrets: node.keys.iter().map(|key| key.material.clone()).collect(),
            identity: None,
            read: 0,
        }
    }

    /// With everything a node has.
    pub(crate) fn of_everything(node: &Node) -> Self {
        Self {
            identity: Some(Identity::from_seed(&node.identity.seed())),
            ..Self::of_secrets(node)
        }
    }

    /// Reads what was sent since it last looked and opens what it can.
    pub(crate) fn listen(&mut self, sim: &Sim) {
        for sent in &sim.sent[self.read..] {
            if let Some(found) = self.open(&sent.payload) {
                let known = self.secrets.iter().any(|held| held.id == found.id);
                self.secrets.extend((!known).then_some(found));
            }
        }
        self.read = sim.sent.len();
    }

    /// Whether it holds the secret that a node sends under.
    pub(crate) fn follows(&self, sim: &Sim, index: usize) -> bool {
        let current = sim.node(index).under_current(sim.now).unwrap().material.id;
        self.secrets.iter().any(|held| held.id == current)
    }

    fn open(&self, payload: &[u8]) -> Option<Material> {
        let header = Header::parse(payload)?;
        let end = payload.len().checked_sub(TRAILER_LEN + SIGNATURE_LEN)?;
        let body = payload.get(HEADER_LEN..end)?;
        let (secret, wire) = match header.frame_type {
            FrameType::Epoch => {
                let under = self.secrets.iter();
                let under = under
                    .into_iter()
                    .find(|held| held.id == KeyId(header.key_id))?;
                let epoch = Epoch::parse(body)?;
                let seal = EpochSeal {
                    mesh: self.mesh,
                    key: &under.seal,
                    salt: &epoch.salt,
                    sealer: NodeId(header.sender),
                    chain: ChainId(epoch.head.chain),
                    number: epoch.head.number,
                };
                (seal.open(&epoch.sealed, &body[..216])?, epoch.head.wire)
            }
            FrameType::Rekey => {
                let own = self.identity.as_ref()?;
                let rekey = Rekey::parse(body)?;
                // Whatever the box says, its own key may open one.
                let mut entries = rekey.entries.iter().filter_map(RekeyEntry::parse);
                let secret = entries.find_map(|entry| {
                    let names = RekeyBox {
                        mesh: self.mesh,
                        anchor: NodeId(header.sender),
                        member: NodeId(entry.member),
                        chain: ChainId(rekey.head.chain),
                        number: rekey.head.number,
                        ephemeral: &rekey.ephemeral,
                    };
                    names.open(&own.agreement_secret(), &entry.sealed, &body[..56])
                })?;
                (secret, rekey.head.wire)
            }
            _ => return None,
        };
        Some(Material::derive(self.mesh, secret).speaking(wire))
    }

    /// A pulse in anyone's name, from anywhere, under each secret held.
    pub(crate) fn forgeries(&self, sender: NodeId, source: [u8; 16]) -> Vec<Vec<u8>> {
        let forge = |held: &Material| {
            let key = FrameKey {
                id: held.id.0,
                pre_tag: held.pre_tag,
                midstates: held.midstates,
            };
            let header = Header {
                version: held.wire,
                frame_type: FrameType::Ann,
                class: Class::Multicast,
                key_id: key.id,
                sender: sender.0,
                sequence: 1 << 36,
            };
            let mut payload = header.emit().to_vec();
            payload.resize(authenticated_len(1), 0);
            payload.extend(key.trailer(&payload, &source, &GROUP).unwrap());
            payload
        };
        self.secrets.iter().map(forge).collect()
    }
}
