//! Golden vectors for those who write a node of their own: docs/vectors.json is what this makes.

mod boxes;
mod frames;
mod object;
mod world;

use std::path::{Path, PathBuf};

use nexus0_common::wire::RosterEntry;

use crate::id::sha256;
use object::Object;
use world::World;

impl World {
    fn json(&self) -> String {
        let mesh = self.root.mesh_id();
        let mut mesh_object = Object::default();
        mesh_object.hex("root_seed", &*self.root.seed());
        mesh_object
            .hex("root_public", &self.root.public_key())
            .hex("mesh_id", &mesh.0);
        let entry = RosterEntry {
            position: 0,
            highest: 1,
            grant: *self.anchor_grant.bytes(),
        };
        let mut roster = Object::default();
        roster.hex("first_entry", &entry.bytes());
        roster.hex("digest", &self.roster().digest().unwrap().0);
        let door = sha256(&[b"nexus0 v1 door", &mesh.0]);
        let mut all = Object::default();
        all.number("version", 1).object("mesh", &mesh_object);
        all.object("anchor", &Self::node(&self.anchor, &self.anchor_grant));
        all.object("joiner", &Self::node(&self.joiner, &self.joiner_grant));
        all.object("door", &self.derivations(&door));
        all.object("epoch", &self.derivations(&[0x31; 32]));
        all.object("next_epoch", &self.derivations(&[0x32; 32]));
        all.object("roster", &roster)
            .object("answer_box", &self.welcome().0);
        all.object("revocations", &self.revocations_object());
        all.object("rekey_box", &self.rekey().0);
        all.object("epoch_seal", &self.epoch().0)
            .object("merge_box", &self.merge().0)
            .object("frames", &self.frames());
        let mut file = Object::default();
        file.object("", &all);
        format!("{}\n", file.0[0].1)
    }
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors.json")
}

#[test]
fn the_published_vectors_are_what_this_code_makes() {
    let published = std::fs::read_to_string(file()).expect("docs/vectors.json");
    assert!(
        published == World::new().json(),
        "docs/vectors.json differs: if the wire changed on purpose, run \
         `cargo test -p nexus0-core -- --ignored write_the_vectors`"
    );
}

#[test]
fn every_frame_type_but_data_has_a_vector() {
    let names = World::new().frames().0;
    for frame_type in nexus0_common::wire::FrameType::ALL {
        let known = names.iter().any(|(name, _)| name == frame_type.name());
        assert!(
            known || frame_type.name() == "DATA",
            "{}",
            frame_type.name()
        );
    }
}

#[test]
#[ignore = "writes docs/vectors.json"]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the generator of a checked-in file"
)]
fn write_the_vectors() {
    std::fs::write(file(), World::new().json()).expect("docs is writable");
}
