//! A conviction that one node kept: told to who joins, kept there too, and obeyed after a restart.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nexus0::hex;
use nexus0::store::{ConvictionsFolder, IDENTITY_FILE, PUBLIC_FILE, load_identity, read_public};
use nexus0_core::conviction::Conviction;
use nexus0_core::id::MeshId;
use nexus0_core::identity::Identity;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::link::{Link, is_root};
use crate::{SETTLED, wait_for_mesh};

/// Header, body and signature of an EPOCH.
const EPOCH_LEN: usize = 375;
/// Where its header names the sender.
const SENDER: usize = 8;
/// Where its body names the key: behind chain, parent and number.
const KEY_ID: usize = 24 + 24;

/// Two EPOCHs for one number, made from the published one and signed as PROTOCOL section 3 says.
fn contradiction(mesh: MeshId, cheat: &Identity) -> Conviction {
    let vectors: Value = serde_json::from_str(include_str!("../../../docs/vectors.json")).unwrap();
    let published = &vectors["frames"]["EPOCH"];
    let field = |name: &str| hex::decode(published[name].as_str().unwrap()).unwrap();
    let exhibit = |key: u8| {
        let mut frame = field("payload");
        frame.truncate(EPOCH_LEN);
        frame[SENDER..][..8].copy_from_slice(&cheat.node_id().0);
        frame[KEY_ID] = key;
        let signed = &frame[..EPOCH_LEN - 64];
        let (chain, source) = (field("chain"), field("source"));
        let message: [&[u8]; 6] = [
            b"nexus0 v1 frame",
            &mesh.0,
            &chain,
            &source,
            &field("destination"),
            signed,
        ];
        let signature = cheat.sign(&message.concat());
        [&chain, &source, signed, &signature].concat()
    };
    let bytes = [cheat.public_key().to_vec(), exhibit(1), exhibit(2)].concat();
    Conviction::parse(&bytes, mesh).unwrap()
}

#[test]
fn a_conviction_is_told_to_who_joins_kept_and_obeyed_after_a_restart() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(3);
    let root = read_public(&link.path("root").join(PUBLIC_FILE)).unwrap();
    let cheat = load_identity(&link.path("s2").join(IDENTITY_FILE)).unwrap();
    let conviction = contradiction(MeshId::of(&root), &cheat);
    let folder = |state: &str| ConvictionsFolder::new(&link.path(state), root);
    assert!(folder("s3").keep(&conviction).unwrap());
    let there = folder("s1");

    (2..=3).for_each(|node| link.start(node));
    wait_for_mesh(&link, &[2, 3], "n3");
    assert!(there.load().unwrap().is_empty());
    link.start(1);
    wait_for_mesh(&link, &[1, 2, 3], "n3");
    link.wait(SETTLED, "the proof is kept where it was shown", || {
        !there.load().unwrap().is_empty()
    });
    assert_eq!(there.load().unwrap(), [conviction]);
    let said = link.run(1, "");
    assert_eq!(said.code, 1, "degraded: {}", said.out);
    let shown = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    let warning = format!("{} announced two epochs", cheat.node_id());
    assert!(shown.contains(&warning), "{}", said.out);
    link.assert_narrow(1, &["", "peers", "anchor --why"]);
    let peers = link.json(1, "peers --json");
    let mut peers = peers["peers"].as_array().unwrap().iter();
    assert!(peers.any(|peer| peer["name"] == "n2" && peer["state"] == "convicted"));
    let ranking = link.json(1, "anchor --json")["ranking"].clone();
    let mut ranked = ranking.as_array().unwrap().iter();
    assert!(ranked.all(|ranked| ranked["name"] != "n2"), "{ranking}");

    link.end(1, Signal::SIGKILL);
    link.start(1);
    wait_for_mesh(&link, &[1, 2, 3], "n3");
    link.end(3, Signal::SIGTERM);
    // n2 has more ego.
    link.wait(SETTLED, "n1 leads", || {
        link.status(1)["anchor"]["name"] == "n1"
    });
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(link.status(1)["anchor"]["name"], "n1");
    refuses_what_is_damaged(&mut link, there.path());
    // Negative control: without the file it follows n2.
    fs::remove_dir_all(there.path()).unwrap();
    link.start(1);
    wait_for_mesh(&link, &[1, 2], "n2");
}

fn refuses_what_is_damaged(link: &mut Link, folder: &Path) {
    link.end(1, Signal::SIGTERM);
    let file = fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    fs::write(file.path(), "{}").unwrap();
    link.start(1);
    assert_eq!(link.ended(1), Some(1));
    let log = link.log(1);
    assert!(log.contains("is damaged: missing field"), "{log}");
    assert!(log.contains("move it away and start again"), "{log}");
}
