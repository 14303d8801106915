//! Writes the corpora from conversations of the session with the broker model:
//! `cargo run --example corpus`, in this directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Result;
use std::mem::discriminant;
use std::path::Path;

use aldis_mqtt::wire::Version;
use aldis_mqtt_fuzz::generate::packet;
use aldis_mqtt_fuzz::rig::{op, record};
use arbitrary::Unstructured;

/// Both versions and either, with and without limits and aliases.
const SETUPS: [[u8; 8]; 7] = [
    [0, 0xff, 0x0f, 0x06, 200, 200, 0, 0],
    [0x10, 0xff, 0x0f, 0x06, 60, 100, 0, 0],
    [2, 0xff, 0x0f, 0x06, 200, 200, 0, 0],
    [0x12, 0xff, 0xef, 0x07, 200, 200, 64, 64],
    [3, 0x11, 0x00, 0x06, 200, 200, 0, 0],
    [0x16, 0x42, 0x31, 0xfa, 100, 100, 40, 40],
    [0x0e, 0xff, 0x0f, 0x06, 200, 200, 0, 0],
];

/// What is done between connecting and the end.
const CONVERSATIONS: [&[u8]; 9] = [
    // Publications at each QoS, twice.
    &[
        5, 0, 4, 5, 1, 4, 5, 2, 4, 0, 0, 0, 5, 1, 9, 5, 2, 9, 0, 0, 0,
    ],
    // Subscriptions, and messages that are acknowledged one by one.
    &[
        6, 2, 2, 6, 0, 1, 0, 14, 1, 14, 6, 14, 2, 0, 8, 0, 0, 8, 0, 0, 8, 0, 0, 0,
    ],
    // An identifier, a shared subscription, an ending.
    &[6, 1, 18, 6, 3, 2, 0, 0, 7, 1, 0, 14, 5, 0, 8, 0, 0],
    // Cut while publications are under way; the broker keeps or forgets.
    &[5, 2, 4, 5, 1, 4, 3, 9, 10, 1, 9, 8, 2, 0, 0, 0],
    &[5, 2, 4, 5, 1, 4, 3, 60, 4, 5, 15, 10, 1, 9, 8, 2, 0, 0, 0],
    // Nothing is said until the ping; then nothing is answered.
    &[9, 8, 0, 0, 9, 8, 3, 255, 9, 8, 9, 8, 0, 0],
    // The latest wins, and old ones expire.
    &[
        10, 1, 5, 33, 4, 5, 33, 5, 5, 65, 1, 5, 161, 9, 9, 3, 0, 0, 0,
    ],
    // Bytes in pieces.
    &[
        6, 2, 2, 3, 3, 3, 200, 4, 2, 4, 3, 4, 1, 4, 255, 14, 34, 4, 7, 4, 200, 8, 1, 0, 0,
    ],
    // Stopped and started; withdrawn.
    &[
        5, 1, 4, 11, 0, 12, 9, 8, 2, 0, 5, 2, 3, 13, 0, 11, 3, 1, 9, 4, 0,
    ],
];

fn write(target: &str, inputs: impl IntoIterator<Item = Vec<u8>>) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder)?;
    for (number, input) in inputs.into_iter().enumerate() {
        fs::write(folder.join(format!("{number:03}")), input)?;
    }
    Ok(())
}

fn main() -> Result<()> {
    let mut packets = BTreeSet::new();
    let mut scripts = BTreeSet::new();
    for setup in SETUPS {
        for conversation in CONVERSATIONS {
            let connect = [op::WAIT, 8, op::CARRY, op::CARRY, op::CARRY];
            let input = [&setup, &connect[..], conversation].concat();
            let said = record(&input);
            packets.extend(said.packets);
            scripts.insert(said.script);
            scripts.insert(input);
        }
    }
    write("decode", packets)?;
    write("session", scripts)?;

    // Packets of each type from bytes without meaning: the shortest of some.
    let mut inputs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut state = 1u64;
    for round in 0..20_000usize {
        let mut random = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 56) as u8
        };
        let input: Vec<u8> = (0..24 + round % 100).map(|_| random()).collect();
        let mut u = Unstructured::new(&input);
        let version = match u.arbitrary() {
            Ok(false) => Version::V4,
            _ => Version::V5,
        };
        if let Ok(packet) = packet(&mut u, version) {
            let kind = format!("{version:?} {:?} {}", discriminant(&packet), round % 3);
            inputs.entry(kind).or_insert(input);
        }
    }
    write("roundtrip", inputs.into_values())
}
