//! Open meshes: what may a node give itself where everybody holds the root key?

use crate::grant::{Grant, MeshRoot};
use crate::id::sha256;

/// The highest ego in an open mesh.
pub const MAX_OPEN_EGO: u8 = 50;
/// The only serial in an open mesh.
pub const OPEN_SERIAL: u32 = 0;

/// The root key that everybody who knows the name can make.
pub fn open_root(name: &str) -> MeshRoot {
    MeshRoot::from_seed(&sha256(&[b"nexus0 v1 open", name.as_bytes()]))
}

/// Whether a grant takes no more than anybody may take.
pub fn fair(grant: &Grant) -> bool {
    grant.ego() <= MAX_OPEN_EGO && grant.serial() == OPEN_SERIAL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::{GrantRequest, Kind};
    use crate::identity::Identity;

    #[test]
    fn names_make_different_meshes_and_the_same_name_the_same() {
        assert_eq!(open_root("a").mesh_id(), open_root("a").mesh_id());
        assert_ne!(open_root("a").mesh_id(), open_root("b").mesh_id());
    }

    #[test]
    fn a_grant_above_the_cap_or_with_a_serial_is_not_fair() {
        let grant = |ego, serial| {
            let request = GrantRequest {
                public_key: Identity::from_seed(&[1; 32]).public_key(),
                name: "n",
                zone: "",
                kind: Kind::Agent,
                ego,
                serial,
            };
            open_root("a").issue(&request).unwrap()
        };
        assert!(fair(&grant(50, 0)));
        assert!(!fair(&grant(51, 0)));
        assert!(!fair(&grant(50, 1)));
    }
}
