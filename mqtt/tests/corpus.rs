//! Every input that the fuzzer was ever given, without a fuzzer: what it found
//! once would otherwise come back unnoticed where none is installed.

#[path = "wire/bridge.rs"]
mod bridge;
#[path = "wire/differ.rs"]
mod differ;
#[path = "../fuzz/src/generate.rs"]
mod generate;
#[path = "../fuzz/src/rig.rs"]
#[allow(dead_code, reason = "it also records, to make corpora")]
mod rig;
#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

/// Gives `target` each file of its corpus, and names those that it panics at.
fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let mut replayed = 0;
    let mut failed = Vec::new();
    for entry in fs::read_dir(&folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        let input = fs::read(&path).expect("an input");
        if catch_unwind(|| target(&input)).is_err() {
            failed.push(path);
        }
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
    assert!(failed.is_empty(), "{name} fails at {failed:#?}");
}

#[test]
fn any_bytes_are_decoded_or_refused() {
    replay("decode", targets::decode);
}

#[test]
fn both_codecs_read_what_the_other_writes() {
    replay("roundtrip", targets::roundtrip);
}

#[test]
fn a_session_comes_through_anything_and_heals() {
    replay("session", targets::session);
}
